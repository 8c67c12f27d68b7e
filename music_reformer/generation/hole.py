"""What the model reads of a piece of which some bars are to be composed anew: all that is before and behind them.

The piece itself stays as it was uploaded but for the notes that are to be replaced: tempo map, controllers and what the
other instruments play in these bars are kept. How the hole is told to the model: `midi/infill.py`.
"""

from __future__ import annotations

from collections.abc import Collection

import symusic

from music_reformer.config import require
from music_reformer.generation.prompt import Prompt, hold_across, keep_before, programs_of, score_from, tempo_at
from music_reformer.midi.bars import BarReader
from music_reformer.midi.grammar import Grammar
from music_reformer.midi.infill import ALL, cut_hole
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
    max_tokens: int,
) -> Prompt:
    """Take bars `first_bar` to `until_bar - 1` out of a score, and write the rest as tokens (the first bar is 0).

    Args:
        score: in ticks; it is not altered.
        tokenizer: of the model.
        programs: instruments that are composed anew, -1 for drums; what the others play stays. None: all.
        max_tokens: of a longer piece only so much around the hole is read.

    Raises:
        UserError: there are no such bars, their metre changes, or the model's encoding cannot say where bars end.
    """
    reader = BarReader(tokenizer.vocabulary)
    require(
        reader.has_whole_bars,
        "this model writes no bars, so it cannot compose bars anew; use a model of the REMI encoding",
    )
    clean = clean_upload(score)
    bars = bar_starts(clean)
    require(
        0 <= first_bar < until_bar < len(bars),
        f"bars to compose anew ({first_bar} to {until_bar}) must be 0 to {len(bars) - 1}, because the piece has "
        f"{len(bars) - 1} bars",
    )
    cut, until = bars[first_bar], bars[until_bar]
    require(
        not any(cut < tick < until for tick, _, _ in metres(clean)),
        "the metre changes within the bars to compose anew; choose bars of one metre",
    )
    whole = tokenizer.encode(clean)
    lines_of_whole = reader.bars(whole).tolist()
    require(first_bar < len(lines_of_whole), "nothing plays from these bars on; continue the piece instead")
    playing = programs_of(clean)
    missing = frozenset(programs or ()) if reader.programs(whole) and programs != playing else ALL
    low, high = _in_view(lines_of_whole, first_bar, until_bar, max_tokens)
    ids = tokenizer.encode(score_from(keep_before(clean, bars[min(high, len(bars) - 1)]), bars[low]))
    lines = reader.bars(ids)
    count = min(until_bar - low, len(lines)) - (first_bar - low)
    cut_out = cut_hole(reader, ids, first_bar - low, count, missing)
    begin = int(lines[first_bar - low])
    past = [tokenizer.bos_id, *ids[:begin].tolist(), *cut_out.opening]
    grammar = Grammar(tokenizer, programs=set(missing) or playing)
    state = grammar.start(past)
    ticks_per_grid = score.ticks_per_quarter / grammar.vocabulary.ticks_per_beat
    require(
        abs(state.tick * ticks_per_grid - (cut - bars[low])) < 1,
        "the model has no tokens for the metre of this piece, so that its bars cannot be told apart",
    )
    prompt = Prompt(
        score=_without(score, cut, until, missing),
        cut_tick=cut,
        cut_seconds=float(seconds_at(clean, cut)),
        tempo=tempo_at(clean, cut),
        metre=[(beats, unit) for tick, beats, unit in metres(clean) if tick <= cut][-1],
        ids=[*cut_out.context, *cut_out.opening],
        past_ids=past,
        state=state,
        cut_grid=state.tick,
        ticks_per_grid=ticks_per_grid,
        dropped_bars=low + max(0, len(lines_of_whole) - high),
        until_tick=until,
        missing=missing,
    )
    hold_across(prompt, keep_before(clean, cut))
    return prompt


def _in_view(lines: list[int], first: int, until: int, most: int) -> tuple[int, int]:
    """Bars around a hole that fit in so many tokens (lines: where bars begin), taken from both sides in turn."""
    low, high = first, min(until, len(lines))
    ends = [*lines[1:], lines[-1] + (lines[-1] - lines[0]) // max(1, len(lines) - 1)]
    size = [end - line for line, end in zip(lines, ends, strict=True)]
    # The hole counts twice: in the context something of it may stay, and it is to be written.
    room = most - 2 * sum(size[low:high])
    grew = True
    while grew:
        grew = False
        if low > 0 and size[low - 1] <= room:
            low, room, grew = low - 1, room - size[low - 1], True
        if high < len(lines) and size[high] <= room:
            room, high, grew = room - size[high], high + 1, True
    return low, max(high, until)


def _without(score: symusic.Score, cut: int, until: int, missing: Collection[int]) -> symusic.Score:
    """A copy without the notes that begin from `cut` to before `until`, of these instruments or (none given) of all."""
    kept = score.copy()
    for track in kept.tracks:
        if not missing or program_of(track) in missing:
            track.notes = type(track.notes)([note for note in track.notes if not cut <= note.time < until])
    return kept
