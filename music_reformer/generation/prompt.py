"""Cuts a piece and tokenizes the music before the cut.

The piece itself is never replaced by its quantised form. A `Prompt` has two views of the music before the cut: the
score, event for event, to which the continuation is added; and the tokens, which only the model sees.

Time: a tick of the tokenizer's grid is a fraction of a quarter, or 10 ms in the Performance encoding. After the cut,
tempo and metre are those in force at the cut, so a single factor converts grid ticks to ticks of the score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from math import ceil, floor

import symusic

from music_reformer.generation.cast import Cast, cast_behind_cut
from music_reformer.generation.director import Director
from music_reformer.generation.instrument_reminder import InstrumentReminder
from music_reformer.generation.recall import BarMusic
from music_reformer.generation.request import Length, Request
from music_reformer.midi.cut import (
    find_cut,
    keep_before,
    lift_pedals,
    programs_of,
    score_from,
    tempo_at,
    with_metre,
    with_tempo,
)
from music_reformer.midi.grammar import Grammar, GrammarState
from music_reformer.midi.instrumentation import with_names
from music_reformer.midi.parts import part_numbers
from music_reformer.midi.parts_grammar import grammar_for
from music_reformer.midi.parts_reader import PartsReader, reader_for
from music_reformer.midi.played import Feel, as_written, steady_tempo
from music_reformer.midi.score import clean_upload, metres, seconds_at
from music_reformer.midi.stream import DEFAULT_TEMPO, Note
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import program_of

PIANO = 0


@dataclass
class Prompt:
    """A piece up to the cut, or with a hole after the cut, and the tokens that lead to the cut.

    Attributes:
        score: the score that new notes are added to; events before the cut are as uploaded.
        cut_tick: the bar line where the new music begins, in ticks of `score`.
        cut_seconds: the same in seconds.
        tempo, metre: in force at the cut (quarters per minute; beats and unit).
        ids: the tokens that the model reads: BOS and the tokens up to the cut, with names of instruments or directions;
            for a hole, also the music after it.
        past_ids: BOS and the tokens up to the cut; never an EOS.
        state: state of the grammar at the cut.
        around_ids: for a hole, the tokens of the bars after it, of those before it, and the line of its first bar.
        cut_grid: the cut in ticks of the tokenizer's grid, as counted by `state`.
        ticks_per_grid: ticks of `score` per tick of the grid.
        dropped_bars: number of bars that the model does not read because the piece is too long: the first ones or, with
            a hole, those farthest from it.
        until_tick: end of the hole in ticks of `score`; None: the piece is continued.
        missing: instruments whose notes were removed from the hole, or are new there, -1 for drums; empty: all.
        missing_tracks: indices in `score` of their tracks; empty: all tracks of these instruments.
        stays: whether any part keeps its notes in the hole, so that the chords written there stay, too.
        locked: notes in the hole that stay although their tracks are recomposed, as (track, tick, pitch).
        given: the same notes on the grid, by bar of the hole.
        cast: which parts play the new bars, and how.
        reminder: repeats to the model which instruments play; None: they are not named.
        written: the whole piece as the model reads it.
        new_tempo: constant tempo from the cut on, if that of the piece fluctuates; None: the tempo at the cut stays.
        feel: timing deviations of new notes, if those before the cut are played loosely; None: new notes are exact.
        track_of_part: index in `score` of the track of each part (program or -1 for drums, number among its tracks).
    """

    score: symusic.Score
    cut_tick: int
    cut_seconds: float
    tempo: float
    metre: tuple[int, int]
    ids: list[int]
    past_ids: list[int]
    state: GrammarState
    cut_grid: int
    ticks_per_grid: float
    written: symusic.Score
    dropped_bars: int = 0
    around_ids: list[int] = field(default_factory=list)
    until_tick: int | None = None
    missing: frozenset[int] = frozenset()
    missing_tracks: frozenset[int] = frozenset()
    stays: bool = False
    locked: frozenset[tuple[int, int, int]] = frozenset()
    given: list[BarMusic] = field(default_factory=list)
    cast: Cast = field(default_factory=Cast)
    reminder: InstrumentReminder | Director | None = None
    new_tempo: float | None = None
    feel: Feel | None = None
    track_of_part: dict[tuple[int, int], int] = field(default_factory=dict)

    def tick(self, grid_tick: float) -> int:
        """Convert a time after the cut from grid ticks to ticks of the score; never before the cut."""
        return self.cut_tick + max(0, round((grid_tick - self.cut_grid) * self.ticks_per_grid))

    def onset(self, note: Note) -> int:
        """Onset of a new note in ticks of the score: on the grid, or displaced like the notes before the cut."""
        tick = self.tick(note.start_tick)
        if self.feel is None or note.drum:
            return tick
        played = max(self.cut_tick, tick + self.feel.late(tick, note.pitch))
        return played if self.until_tick is None else min(played, max(tick, self.until_tick - 1))

    def seconds(self, tick: float) -> float:
        """Convert a time after the cut from ticks of the score to seconds from the beginning of the piece."""
        if self.until_tick is not None:  # the tempo may change in a hole
            return float(seconds_at(self.score, round(tick)))
        return self.cut_seconds + (tick - self.cut_tick) * 60.0 / (self.tempo * self.score.ticks_per_quarter)

    @property
    def until_grid(self) -> float:
        """The end of the hole in ticks of the grid."""
        assert self.until_tick is not None
        return self.cut_grid + (self.until_tick - self.cut_tick) / self.ticks_per_grid

    def grid_after(self, *, bars: float | None = None, seconds: float | None = None) -> float:
        """The grid tick `bars` or `seconds` after the cut; exactly one of them is given."""
        if bars is not None:
            ticks = bars * self.score.ticks_per_quarter * 4 * self.metre[0] / self.metre[1]
        else:
            assert seconds is not None
            ticks = seconds * self.tempo / 60.0 * self.score.ticks_per_quarter
        end = self.cut_grid + ticks / self.ticks_per_grid
        # A grid tick just before the end may fall on the same tick of the score: no note begins there.
        return floor(end) if self.tick(floor(end)) == self.tick(end) else end

    @property
    def bar_line(self) -> int:
        """Index in `past_ids` of the last bar line, that of the first new bar; -1 if there is none."""
        kinds = self.state.vocabulary.kinds
        return next((i for i in reversed(range(len(self.past_ids))) if kinds[self.past_ids[i]] == "Bar"), -1)

    def bars_in(self, length: Length) -> int:
        """Number of new bars of a length; the last may be incomplete."""
        ticks = self.grid_after(bars=length.bars, seconds=length.seconds) - self.cut_grid
        return ceil(ticks / self.state.ticks_per_bar)

    def hold_across(self, before: symusic.Score, *, origin: int = 0) -> None:
        """Tell the grammar which keys are still down at the cut.

        Args:
            before: the music up to the cut.
            origin: tick of the piece at which `before` begins.
        """
        programs = [program_of(track) for track in before.tracks]
        for track, program, part in zip(before.tracks, programs, part_numbers(programs), strict=True):
            for note in track.notes:
                until = self.cut_grid + (note.end + origin - self.cut_tick) / self.ticks_per_grid
                if until > self.cut_grid:
                    self.state.hold(program, note.pitch, round(until), part)


def read_prompt(
    score: symusic.Score, request: Request, *, tokenizer: MusicTokenizer, max_tokens: int, named: bool = False
) -> Prompt:
    """Cut a score and tokenize the music before the cut.

    Args:
        score: in ticks, with the tracks that the request adds; it is not altered. Without notes, a piece is composed
            from nothing.
        request: what to compose. If it names no programs, those that play before the cut continue (if none does,
            those of the whole score, or a piano).
        tokenizer: of the model.
        max_tokens: room for the prompt; of a longer one, only the end is read, from a bar line on.
        named: name instruments to the model: the requested programs or, if these are those that play before the cut,
            those heard last. Only for models that have learnt it (`augment.named`).

    Raises:
        UserError: the score has fewer bars.
    """
    played, metre = clean_upload(score), request.parsed_metre()
    clean = played if tokenizer.vocabulary.is_performance else as_written(played)
    written = clean
    cut_tick, bars = find_cut(clean, request.cut_bar)
    if metre is not None:
        score, clean = (with_metre(each, cut_tick, metre) for each in (score, clean))
    heard, new_tempo = keep_before(clean, cut_tick), steady_tempo(played, cut_tick)
    playing = programs_of(heard)
    wanted = set(request.programs) or playing or programs_of(clean) or {PIANO}
    cast = cast_behind_cut(score, request, wanted)
    num_parts = Counter(program_of(track) for track in clean.tracks)
    grammar = grammar_for(
        tokenizer, programs=set(cast.programs or ()), num_parts=num_parts, parts=cast.parts, keeps_tempo=True
    )
    prompt = Prompt(
        score=_kept(score, cut_tick, new_tempo),
        cut_tick=cut_tick,
        cut_seconds=float(seconds_at(played, cut_tick)),
        tempo=new_tempo or tempo_at(played, cut_tick),
        new_tempo=new_tempo,
        feel=Feel.of(played, clean, cut_tick),
        metre=[(beats, unit) for tick, beats, unit in metres(heard) if tick <= cut_tick][-1],
        ids=[],
        past_ids=[],
        state=grammar.start(),
        cut_grid=0,
        ticks_per_grid=0.0,
        written=written,
        cast=cast,
        track_of_part=dict(cast.tracks),
    )
    _tokenize_end(prompt, heard, tokenizer, grammar, bars=bars, max_tokens=max_tokens)
    if named:
        _tell_who_plays(prompt, tokenizer, request, () if wanted == playing else wanted)
    return prompt


def _kept(score: symusic.Score, cut: int, tempo: float | None) -> symusic.Score:
    """The score before the cut, ready to be continued, in tempo `tempo` if one is given."""
    kept = keep_before(score, cut)
    lift_pedals(kept, cut)
    return kept if tempo is None else with_tempo(kept, cut, tempo)


def _tell_who_plays(prompt: Prompt, tokenizer: MusicTokenizer, request: Request, asked: Collection[int]) -> None:
    """Name the playing instruments to the model at the cut and repeatedly after it.

    If the model knows directions, it is also told how the parts play and where the piece ends.
    """
    reader = reader_for(tokenizer.vocabulary)
    if isinstance(reader, PartsReader):
        ends_in = prompt.bars_in(request.parsed_length()) if request.ending else None
        prompt.reminder = Director(
            reader,
            tokenizer.vocabulary,
            prompt.past_ids,
            asked,
            ends_in=ends_in,
            key=request.parsed_key(),
            cast=prompt.cast,
        )
        # Directions follow the line of the first new bar; a late note of the prompt may have been rounded into it.
        line = prompt.bar_line + 1
        prompt.ids = [*prompt.past_ids[:line], *prompt.reminder.opening(), *prompt.past_ids[line:]]
        return
    prompt.reminder = InstrumentReminder(reader, prompt.past_ids, asked)
    if names := prompt.reminder.names():
        prompt.ids = with_names(reader, prompt.past_ids, names)


def _tokenize_end(
    prompt: Prompt,
    heard: symusic.Score,
    tokenizer: MusicTokenizer,
    grammar: Grammar,
    *,
    bars: list[int],
    max_tokens: int,
) -> None:
    """Tokenize the music before the cut, or as many of its last bars as fit into `max_tokens`."""
    _tokenize(prompt, heard, tokenizer, grammar, origin=0)
    while len(prompt.ids) > max_tokens and prompt.dropped_bars + 1 < len(bars):
        # Bars differ in their number of tokens: drop the share of bars that is too much, then check again.
        left = len(bars) - prompt.dropped_bars
        prompt.dropped_bars += min(left - 1, max(1, int(left * (1 - max_tokens / len(prompt.ids)))))
        _tokenize(prompt, heard, tokenizer, grammar, origin=bars[prompt.dropped_bars])


def _tokenize(
    prompt: Prompt, heard: symusic.Score, tokenizer: MusicTokenizer, grammar: Grammar, *, origin: int
) -> None:
    """Fill in the tokens of the music from `origin` (a bar line, in ticks of the score) to the cut."""
    vocabulary = grammar.vocabulary
    score = heard if origin == 0 else score_from(heard, origin)
    if vocabulary.is_performance:
        grid_seconds = 60.0 / (DEFAULT_TEMPO * vocabulary.ticks_per_beat)
        prompt.cut_grid = round((prompt.cut_seconds - float(seconds_at(heard, origin))) / grid_seconds)
        prompt.ticks_per_grid = grid_seconds * prompt.tempo / 60.0 * score.ticks_per_quarter
    else:
        prompt.ticks_per_grid = score.ticks_per_quarter / vocabulary.ticks_per_beat
        prompt.cut_grid = round((prompt.cut_tick - origin) / prompt.ticks_per_grid)
    if programs_of(score):
        ids = [int(token) for token in tokenizer.encode(score)]
    else:
        ids = grammar.opening(tempo=prompt.tempo, metre=prompt.metre)
    # If note ends are events, those of notes held across the cut come after it: the model writes them.
    state = grammar.start()
    for count, token in enumerate(ids):
        state.advance(token)
        if state.tick > prompt.cut_grid:
            ids = ids[:count]
            break
    prompt.state = grammar.start(ids)
    prompt.ids = prompt.past_ids = [tokenizer.bos_id, *ids, *prompt.state.forward(prompt.cut_grid, prompt.metre)]
    prompt.hold_across(score, origin=origin)
