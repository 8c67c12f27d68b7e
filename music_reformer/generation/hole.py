"""Tokenizes a piece with a hole (bars to recompose): everything before and behind these bars.

The piece stays as it was uploaded except for the notes that are replaced: tempo map, controllers and what other
instruments play in these bars are kept. The token layout that tells the model about the hole: `midi/infill.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.config import require
from music_reformer.generation.director import HEARD_BARS
from music_reformer.generation.prompt import Prompt
from music_reformer.midi.bars import BarReader
from music_reformer.midi.cut import keep_before, programs_of, score_from, tempo_at, without_notes
from music_reformer.midi.grammar import Grammar
from music_reformer.midi.infill import ALL, cut_hole
from music_reformer.midi.parts import tracks_of_parts
from music_reformer.midi.parts_grammar import grammar_for
from music_reformer.midi.parts_reader import Part, PartsReader, reader_for
from music_reformer.midi.score import bar_starts, clean_upload, metres, seconds_at
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import program_of


def read_hole(
    score: symusic.Score,
    *,
    tokenizer: MusicTokenizer,
    first_bar: int,
    until_bar: int,
    programs: set[int] | None = None,
    tracks: Collection[int] = (),
    max_tokens: int,
) -> Prompt:
    """Take bars `first_bar` to `until_bar - 1` (the first is 0) out of a score and tokenize the rest.

    Args:
        score: in ticks; it is not altered.
        tokenizer: of the model.
        programs: instruments that are recomposed, -1 for drums; the others keep what they play. None: all.
        tracks: indices of the tracks that are recomposed; the others keep what they play. None of them: by `programs`.
        max_tokens: of a longer piece only the bars around the hole are read.

    Raises:
        UserError: the piece has no such bars, their metre changes, or the model's encoding has no bars.
    """
    reader = _reader(tokenizer)
    clean = clean_upload(score)
    lines = bar_starts(clean)
    _check_bars(clean, lines, first_bar, until_bar)
    cut, until, playing = lines[first_bar], lines[until_bar], programs_of(clean)
    ids, low, num_dropped = _in_view(clean, lines, tokenizer, reader, first_bar, until_bar, max_tokens)
    parts = _parts_of(score, tracks, reader)
    programs = {program for program, _ in parts} or programs
    missing = frozenset(programs or ()) if reader.programs(ids) and (parts or programs != playing) else ALL
    bars = reader.bars(ids)
    hole = cut_hole(reader, ids, first_bar - low, min(until_bar - low, len(bars)) - (first_bar - low), missing, parts)
    past = [tokenizer.bos_id, *ids[: int(bars[first_bar - low])].tolist(), *hole.opening]
    state = _grammar(tokenizer, clean, set(missing) or playing, parts).start(past)
    ticks_per_grid = score.ticks_per_quarter / tokenizer.vocabulary.ticks_per_beat
    recomposed = tracks if parts else ()
    _check_place(state.tick * ticks_per_grid, cut - lines[low])
    prompt = Prompt(
        score=without_notes(score, cut, until, missing, recomposed),
        cut_tick=cut,
        cut_seconds=float(seconds_at(clean, cut)),
        tempo=tempo_at(clean, cut),
        metre=[(beats, unit) for tick, beats, unit in metres(clean) if tick <= cut][-1],
        ids=[*hole.context, *hole.opening],
        past_ids=past,
        state=state,
        cut_grid=state.tick,
        ticks_per_grid=ticks_per_grid,
        around_ids=_around(reader, ids, first_bar - low, until_bar - low),
        dropped_bars=num_dropped,
        until_tick=until,
        missing=missing,
        missing_tracks=frozenset(recomposed),
        track_of_part=tracks_of_parts(score),
    )
    prompt.hold_across(keep_before(clean, cut))
    return prompt


def _check_place(tick: float, expected: int) -> None:
    """Raise `UserError` where the bars of the tokens are not those of the piece."""
    require(
        abs(tick - expected) < 1,
        "the model has no tokens for the metre of this piece, so its bars cannot be told apart",
    )


def _around(reader: BarReader, ids: NDArray[np.integer], first: int, until: int) -> list[int]:
    """The tokens of up to `HEARD_BARS` bars behind a hole and before it, and the line of its first bar."""
    bars = [*reader.bars(ids).tolist(), len(reader.content(ids))]
    behind = ids[bars[min(until, len(bars) - 1)] : bars[min(until + HEARD_BARS, len(bars) - 1)]]
    return [*behind.tolist(), *ids[bars[max(0, first - HEARD_BARS)] : bars[first] + 1].tolist()]


def _reader(tokenizer: MusicTokenizer) -> BarReader:
    reader = reader_for(tokenizer.vocabulary)
    require(
        reader.has_whole_bars,
        "this model writes no bars, so it cannot recompose bars; use a model of the REMI encoding",
    )
    return reader


def _grammar(tokenizer: MusicTokenizer, clean: symusic.Score, programs: set[int], parts: set[Part]) -> Grammar:
    """The grammar of the hole, in which these instruments play; of them, these parts (none: all)."""
    num_parts = Counter(program_of(track) for track in clean.tracks)
    return grammar_for(tokenizer, programs=programs, num_parts=num_parts, parts=parts, keeps_tempo=True)


def _parts_of(score: symusic.Score, tracks: Collection[int], reader: BarReader) -> set[Part]:
    """The parts that some tracks play; none where these are all tracks of the piece, or none was named."""
    if not tracks:
        return set()
    require(
        isinstance(reader, PartsReader),
        "this model tells instruments apart, but not tracks; name programs instead of tracks",
    )
    part_of_track = {track: part for part, track in tracks_of_parts(score).items()}
    for track in tracks:
        require(track in part_of_track, f"track {track} has no notes in this piece; choose tracks that have some")
    return {part_of_track[track] for track in tracks} if set(tracks) != set(part_of_track) else set()


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


def _in_view(
    score: symusic.Score,
    lines: list[int],
    tokenizer: MusicTokenizer,
    reader: BarReader,
    first: int,
    until: int,
    max_tokens: int,
) -> tuple[NDArray[np.integer], int, int]:
    """Tokens of the bars that the model reads, number of the first of these bars, and how many bars are left out."""
    whole = tokenizer.encode(score)
    bars = reader.bars(whole).tolist()
    require(first < len(bars), "no note begins in these bars or behind them; continue the piece instead")
    low, high = _bars_around(bars, first, until, max_tokens)
    if low == 0 and high >= len(bars):
        return whole, 0, 0
    # An excerpt is encoded by itself: its first bar states the tempo that is in force.
    excerpt = score_from(keep_before(score, lines[min(high, len(lines) - 1)]), lines[low])
    return tokenizer.encode(excerpt), low, low + max(0, len(bars) - high)


def _bars_around(bars: list[int], first: int, until: int, max_tokens: int) -> tuple[int, int]:
    """First and end of the bars around a hole that fit in `max_tokens`, taken from both sides in turn.

    Args:
        bars: index of the bar line of each bar, among the tokens of the piece.
        first, until: the hole.
        max_tokens: room for all bars together.
    """
    low, high = first, min(until, len(bars))
    ends = [*bars[1:], bars[-1] + (bars[-1] - bars[0]) // max(1, len(bars) - 1)]
    size = [end - line for line, end in zip(bars, ends, strict=True)]
    # The hole counts twice: other instruments may stay in it, and it is written anew.
    room = max_tokens - 2 * sum(size[low:high])
    grew = True
    while grew:
        grew = False
        if low > 0 and size[low - 1] <= room:
            low, room, grew = low - 1, room - size[low - 1], True
        if high < len(bars) and size[high] <= room:
            room, high, grew = room - size[high], high + 1, True
    return low, max(high, until)
