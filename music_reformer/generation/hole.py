"""Tokenizes a piece with a hole (bars to recompose): everything before and after these bars.

Of the uploaded piece, only the notes to be replaced are removed: the tempo map, controllers and what other instruments
play in these bars are kept. `midi/infill.py` describes the token layout that presents the hole to the model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.config import require
from music_reformer.generation.cast import Cast, Recast, cast_in_hole
from music_reformer.generation.director import HEARD_BARS
from music_reformer.generation.prompt import Prompt
from music_reformer.generation.recall import BarMusic, RecalledNote, read_bars
from music_reformer.generation.request import CHORDS_OF_PIECE, Request
from music_reformer.midi.bars import BarReader
from music_reformer.midi.chords import Chord, recognise
from music_reformer.midi.cut import keep_before, programs_of, score_from, tempo_at, without_notes
from music_reformer.midi.grammar import Grammar
from music_reformer.midi.infill import ALL, CutOut, cut_hole
from music_reformer.midi.lead_sheet import laid_over
from music_reformer.midi.parts import on_grid
from music_reformer.midi.parts_grammar import grammar_for
from music_reformer.midi.parts_reader import Part, PartsReader, reader_for
from music_reformer.midi.played import Feel, as_written
from music_reformer.midi.score import bar_starts, clean_upload, metres, seconds_at
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import is_selected, program_of


def read_hole(score: symusic.Score, request: Request, *, tokenizer: MusicTokenizer, max_tokens: int) -> Prompt:
    """Take bars `cut_bar` to `until_bar - 1` (the first is 0) out of a score and tokenize the rest.

    Args:
        score: in ticks, with the tracks that the request adds; it is not altered.
        request: what to compose; parts that it does not name keep their notes.
        tokenizer: of the model.
        max_tokens: room for the prompt; of a longer piece, only the bars around the hole are read.

    Raises:
        UserError: the piece has no such bars, tracks or notes, the metre changes within the bars, or the model cannot
            recompose them.
    """
    reader = _reader(tokenizer)
    first_bar, until_bar = request.cut_bar or 0, request.until_bar
    assert until_bar is not None
    played = clean_upload(score)
    clean = as_written(played)
    lines = bar_starts(clean)
    _check_bars(clean, lines, first_bar, until_bar)
    cut, until = lines[first_bar], lines[until_bar]
    recast = cast_in_hole(score, request)
    _check_tracks(reader, recast, request)
    chords = _chords_there(clean, request, lines[first_bar : until_bar + 1]) if tokenizer.config.use_chords else None
    ids, low, num_dropped = _in_view(clean, chords, lines, tokenizer, reader, first_bar, until_bar, max_tokens)
    missing = _missing(recast, reader.programs(ids), programs_of(clean))
    bars = reader.bars(ids)
    hole_bars = range(first := first_bar - low, min(until_bar - low, len(bars)))
    hole = _cut(reader, ids, first, len(hole_bars), recast, missing)
    past = [tokenizer.bos_id, *ids[: int(bars[first])].tolist(), *hole.opening]
    state = _grammar(tokenizer, clean, recast.cast).start(past)
    ticks_per_grid = score.ticks_per_quarter / tokenizer.vocabulary.ticks_per_beat
    _check_place(state.tick * ticks_per_grid, cut - lines[low])
    locked = _locked(score, request, recast, missing, range(cut, until))
    prompt = Prompt(
        score=without_notes(score, cut, until, missing, recast.tracks, locked),
        cut_tick=cut,
        cut_seconds=float(seconds_at(played, cut)),
        tempo=tempo_at(played, cut),
        feel=Feel.of(played, clean, cut),
        metre=[(beats, unit) for tick, beats, unit in metres(clean) if tick <= cut][-1],
        ids=[*hole.context, *hole.opening],
        past_ids=past,
        state=state,
        cut_grid=state.tick,
        ticks_per_grid=ticks_per_grid,
        written=clean,
        around_ids=_around(reader, ids, first, until_bar - low),
        dropped_bars=num_dropped,
        until_tick=until,
        missing=missing,
        missing_tracks=recast.tracks,
        stays=recast.stays if recast.parts else bool(missing),
        locked=locked,
        given=_given(ids, tokenizer, recast.cast, locked, lines[low], score.ticks_per_quarter, hole_bars),
        cast=recast.cast,
        track_of_part=dict(recast.cast.tracks),
    )
    prompt.hold_across(keep_before(clean, cut))
    return prompt


def _cut(
    reader: BarReader, ids: NDArray[np.integer], first: int, count: int, recast: Recast, missing: frozenset[int]
) -> CutOut:
    """Cut out the bars; if no part stays in them, their chords are cut out, too."""
    if not recast.parts:
        return cut_hole(reader, ids, first, count, missing)
    programs, parts = (missing, recast.parts) if recast.stays else (ALL, frozenset())
    return cut_hole(reader, ids, first, count, programs, parts, recast.cast.programs)


def _missing(recast: Recast, heard: Collection[int], playing: Collection[int]) -> frozenset[int]:
    """Instruments whose notes are removed from the hole, or are new there; `ALL` if no other instrument plays."""
    if recast.parts:
        return frozenset(program for program, _ in recast.parts)
    programs = recast.cast.programs or ALL
    return programs if heard and programs != playing else ALL


def _locked(
    score: symusic.Score, request: Request, recast: Recast, missing: Collection[int], hole: range
) -> frozenset[tuple[int, int, int]]:
    """Notes that stay although their tracks are recomposed, as (track, tick, pitch).

    Raises:
        UserError: the piece does not have such a note.
    """
    found = set()
    for track, tick, pitch in request.locked:
        notes = score.tracks[track].notes if track < len(score.tracks) else ()
        is_there = any(note.time == tick and note.pitch == pitch for note in notes)
        require(is_there, f"locked: the piece has no note of pitch {pitch} at tick {tick} of track {track}")
        if tick in hole and is_selected(score.tracks[track], track, programs=missing, tracks=recast.tracks):
            found.add((track, tick, pitch))
    return frozenset(found)


def _given(
    ids: NDArray[np.integer],
    tokenizer: MusicTokenizer,
    cast: Cast,
    locked: Collection[tuple[int, int, int]],
    origin: int,
    ticks_per_quarter: int,
    bars: Iterable[int],
) -> list[BarMusic]:
    """The locked notes in each bar of the hole, in the grid of the tokens.

    Args:
        ids: tokens of the part of the piece that the model reads.
        origin: tick of the score at which `ids` begin.
        bars: numbers of the hole's bars among those of `ids`.
    """
    if not locked:
        return []
    part_of = {track: part for part, track in cast.tracks.items()}
    music = read_bars(tokenizer.vocabulary, ids.tolist(), set(bars))
    begin = np.cumsum([0, *PartsReader(tokenizer.vocabulary).notes(ids).bar_lengths])
    places: dict[tuple[Part, int], list[int]] = defaultdict(list)
    for bar in bars:
        for part, notes in music[bar].parts.items():
            for note in notes:
                places[part, note.pitch].append(int(begin[bar]) + note.position)
    wanted = set()
    for track, tick, pitch in locked:
        place, known = int(on_grid(np.array(tick - origin), ticks_per_quarter)), places[part_of[track], pitch]
        # Played loosely, a note may be rounded to a neighbouring place of the grid.
        if known:
            wanted.add((part_of[track], min(known, key=lambda each: abs(each - place)), pitch))

    def given(bar: int) -> dict[Part, tuple[RecalledNote, ...]]:
        parts = {
            part: tuple(note for note in notes if (part, int(begin[bar]) + note.position, note.pitch) in wanted)
            for part, notes in music[bar].parts.items()
        }
        return {part: notes for part, notes in parts.items() if notes}

    return [BarMusic((), given(bar)) for bar in bars]


def _check_tracks(reader: BarReader, recast: Recast, request: Request) -> None:
    """Raise `UserError` if the request names single tracks and the model cannot tell tracks apart."""
    require(
        isinstance(reader, PartsReader) or not (recast.parts or request.locked),
        "this model tells instruments apart, but not tracks; name programs instead of tracks",
    )


def _check_place(tick: float, expected: int) -> None:
    """Raise `UserError` if the bars of the tokens differ from those of the piece."""
    require(
        abs(tick - expected) < 1,
        "the model has no tokens for the metre of this piece, so its bars cannot be told apart",
    )


def _around(reader: BarReader, ids: NDArray[np.integer], first: int, until: int) -> list[int]:
    """Tokens of up to `HEARD_BARS` bars after the hole, then as many before it, then the bar line of its first bar."""
    bars = [*reader.bars(ids).tolist(), len(reader.content(ids))]
    behind = ids[bars[min(until, len(bars) - 1)] : bars[min(until + HEARD_BARS, len(bars) - 1)]]
    return [*behind.tolist(), *ids[bars[max(0, first - HEARD_BARS)] : bars[first] + 1].tolist()]


def _reader(tokenizer: MusicTokenizer) -> BarReader:
    reader = reader_for(tokenizer.vocabulary)
    require(
        reader.has_whole_bars,
        "this model's encoding has no bars, so it cannot recompose any; use a model of the Parts or REMI encoding",
    )
    return reader


def _grammar(tokenizer: MusicTokenizer, clean: symusic.Score, cast: Cast) -> Grammar:
    """The grammar for composing the hole, limited to the cast."""
    num_parts = Counter(program_of(track) for track in clean.tracks)
    programs = set(cast.programs or programs_of(clean))
    return grammar_for(tokenizer, programs=programs, num_parts=num_parts, parts=cast.parts, keeps_tempo=True)


def _check_bars(score: symusic.Score, lines: list[int], first: int, until: int) -> None:
    """Raise `UserError` unless the piece (bar lines at `lines`) has these bars, all of one metre."""
    num_bars = len(lines) - 1
    require(
        0 <= first < until <= num_bars,
        f"the bars to recompose ({first} to {until}) must be 0 to {num_bars}, because the piece has {num_bars} bars",
    )
    require(
        not any(lines[first] < tick < lines[until] for tick, _, _ in metres(score)),
        "the metre changes within the bars to recompose; choose bars of one metre",
    )


def _chords_there(score: symusic.Score, request: Request, lines: Sequence[int]) -> list[tuple[int, Chord]] | None:
    """The chords of the piece, with the requested ones in the bars to recompose; None: the recognised chords.

    If other parts stay in these bars, the model reads the requested chords together with those parts.
    """
    sheet = request.parsed_chords() if request.chords != CHORDS_OF_PIECE else None
    if sheet is None:
        return None
    beats = [beats for tick, beats, _ in metres(score) if tick <= lines[0]][-1]
    return laid_over(recognise(score), sheet, lines, beats)


def _in_view(
    score: symusic.Score,
    chords: list[tuple[int, Chord]] | None,
    lines: list[int],
    tokenizer: MusicTokenizer,
    reader: BarReader,
    first: int,
    until: int,
    max_tokens: int,
) -> tuple[NDArray[np.integer], int, int]:
    """The tokens that the model reads, the number of their first bar, and the number of bars left out.

    Args:
        chords: of the piece, as (tick, chord); None: as recognised.
        lines: ticks of the bar lines.
        first, until: the hole.
        max_tokens: room for all tokens.
    """
    whole = tokenizer.encode(score, chords)
    bars = reader.bars(whole).tolist()
    require(first < len(bars), "no note begins in these bars or after them; continue the piece instead")
    low, high = _bars_around(bars, first, until, max_tokens)
    if low == 0 and high >= len(bars):
        return whole, 0, 0
    # The excerpt is encoded by itself, so that its first bar states the tempo in force.
    excerpt = score_from(keep_before(score, lines[min(high, len(lines) - 1)]), lines[low])
    chords_there = chords and [(tick - lines[low], chord) for tick, chord in chords]
    return tokenizer.encode(excerpt, chords_there), low, low + max(0, len(bars) - high)


def _bars_around(bars: list[int], first: int, until: int, max_tokens: int) -> tuple[int, int]:
    """First and end of the bars around a hole that fit into `max_tokens`, taken from both sides in turn.

    Args:
        bars: index of each bar's line among the tokens of the piece.
        first, until: the hole.
        max_tokens: room for all bars together.
    """
    low, high = first, min(until, len(bars))
    ends = [*bars[1:], bars[-1] + (bars[-1] - bars[0]) // max(1, len(bars) - 1)]
    size = [end - line for line, end in zip(bars, ends, strict=True)]
    # The hole counts twice: what other instruments play in it is read, and its new notes are written.
    room = max_tokens - 2 * sum(size[low:high])
    grew = True
    while grew:
        grew = False
        if low > 0 and size[low - 1] <= room:
            low, room, grew = low - 1, room - size[low - 1], True
        if high < len(bars) and size[high] <= room:
            room, high, grew = room - size[high], high + 1, True
    return low, max(high, until)
