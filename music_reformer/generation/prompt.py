"""What the model reads of an upload.

The upload itself is never replaced by its quantised image. `Prompt` holds two views of what comes before the cut: the
score, event for event, which the continuation is written behind; and the tokens, which only the model sees.

Time. A tick of the tokenizer's grid is a fraction of a beat, or in the Performance encoding 10 ms. Behind the cut the
tempo and the metre are those in force there, so one factor leads from the grid to the ticks of the upload.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import floor
from typing import Any

import symusic

from music_reformer.config import require
from music_reformer.generation.roll_call import RollCall
from music_reformer.midi.bars import BarReader
from music_reformer.midi.grammar import Grammar, GrammarState
from music_reformer.midi.instrumentation import with_names
from music_reformer.midi.key import Key
from music_reformer.midi.score import DEFAULT_METRE, bar_starts, clean_upload, metres, seconds_at
from music_reformer.midi.stream import DEFAULT_TEMPO
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import DRUMS, program_of

TICKS_PER_QUARTER = 480  # of a piece composed from nothing
PIANO = 0
SUSTAIN = 64  # number of the controller


@dataclass
class Prompt:
    """A score up to the cut, or with a hole behind the cut, and the tokens that lead there.

    Attributes:
        score: what the continuation is written behind; every event before the cut as it was uploaded.
        cut_tick: the bar line on which the continuation begins, in ticks of `score`.
        cut_seconds: the same in seconds.
        tempo, metre: in force at the cut (quarters a minute; beats and unit).
        ids: what the model reads: BOS and the tokens up to the cut, instruments named among them, or of a piece with a
            hole all of it.
        past_ids: BOS and the tokens up to the cut; never an EOS.
        state: of the grammar at the cut.
        cut_grid: the cut in ticks of the tokenizer's grid, as `state` counts them.
        ticks_per_grid: ticks of `score` in one tick of the grid.
        dropped_bars: bars at the beginning (or around a hole, those farthest from it) that the model does not see,
            because the prompt is too long for it.
        until_tick: where the hole ends that is to be filled; None: the piece goes on from the cut.
        missing: instruments that are composed anew in the hole, -1 for drums; none: all.
        roll_call: names the instruments to the model again and again; None: it is not told who plays.
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
    dropped_bars: int = 0
    until_tick: int | None = None
    missing: frozenset[int] = frozenset()
    roll_call: RollCall | None = None

    def tick(self, grid_tick: float) -> int:
        """A moment behind the cut, in ticks of the score; never before the cut."""
        return self.cut_tick + max(0, round((grid_tick - self.cut_grid) * self.ticks_per_grid))

    def seconds(self, tick: float) -> float:
        """A moment behind the cut (ticks of the score) in seconds."""
        if self.until_tick is not None:  # the tempo may change in a hole
            return float(seconds_at(self.score, round(tick)))
        return self.cut_seconds + (tick - self.cut_tick) * 60.0 / (self.tempo * self.score.ticks_per_quarter)

    @property
    def until_grid(self) -> float:
        """The end of the hole in ticks of the grid."""
        assert self.until_tick is not None
        return self.cut_grid + (self.until_tick - self.cut_tick) / self.ticks_per_grid

    def grid_after(self, *, bars: float | None = None, seconds: float | None = None) -> float:
        """The grid tick so many bars or seconds behind the cut."""
        if bars is not None:
            ticks = bars * self.score.ticks_per_quarter * 4 * self.metre[0] / self.metre[1]
        else:
            assert seconds is not None
            ticks = seconds * self.tempo / 60.0 * self.score.ticks_per_quarter
        end = self.cut_grid + ticks / self.ticks_per_grid
        # A grid tick just before the end may fall on the same tick of the score: no note begins there.
        return floor(end) if self.tick(floor(end)) == self.tick(end) else end


def programs_of(score: symusic.Score) -> set[int]:
    """Instruments that play at least one note; -1 is drums."""
    return {program_of(track) for track in score.tracks if len(track.notes)}


def blank_score(
    programs: Iterable[int],
    *,
    tempo: float = DEFAULT_TEMPO,
    metre: tuple[int, int] = DEFAULT_METRE,
    key: Key | None = None,
) -> symusic.Score:
    """An empty piece with a track for each instrument (-1 for drums); `tempo` in quarters a minute."""
    score = symusic.Score(TICKS_PER_QUARTER)
    score.tempos.append(symusic.Tempo(0, tempo))
    score.time_signatures.append(symusic.TimeSignature(0, *metre))
    if key is not None:
        score.key_signatures.append(symusic.KeySignature(0, key.sharps, int(key.is_minor)))
    for program in sorted(programs, key=lambda program: (program == DRUMS, program)):
        score.tracks.append(new_track(program))
    return score


def read_prompt(
    score: symusic.Score,
    *,
    tokenizer: MusicTokenizer,
    programs: set[int] | None = None,
    cut_bar: int | None = None,
    max_tokens: int,
    named: bool = False,
) -> Prompt:
    """Cut a score and write what comes before as tokens.

    Args:
        score: in ticks; it is not altered. One without notes is a piece to be composed from nothing.
        tokenizer: of the model.
        programs: instruments that may play behind the cut, -1 for drums; None: those that play before it (or, where
            nothing does, those of the whole score, or a piano).
        cut_bar: how many bars to keep; None: all, through the bar in which the last note begins.
        max_tokens: of a longer prompt only the end is read, from a bar line on.
        named: name the instruments to the model: these, or where they are those that play before the cut, of them the
            ones that were heard last; only for one that has learnt what that means (`augment.named`).

    Raises:
        UserError: the score has no such bar.
    """
    clean = clean_upload(score)
    cut_tick, bars = _find_cut(clean, cut_bar)
    heard = keep_before(clean, cut_tick)
    playing = programs_of(heard)
    wanted = programs or playing or programs_of(clean) or {PIANO}
    grammar = Grammar(tokenizer, programs=wanted)
    prompt = Prompt(
        score=keep_before(score, cut_tick),
        cut_tick=cut_tick,
        cut_seconds=float(seconds_at(heard, cut_tick)),
        tempo=tempo_at(heard, cut_tick),
        metre=[(beats, unit) for tick, beats, unit in metres(heard) if tick <= cut_tick][-1],
        ids=[],
        past_ids=[],
        state=grammar.start(),
        cut_grid=0,
        ticks_per_grid=0.0,
    )
    _tokenize(prompt, heard, tokenizer, grammar, origin=0)
    while len(prompt.ids) > max_tokens and prompt.dropped_bars + 1 < len(bars):
        # Tokens lie unevenly over the bars: aim for what is too much, then look again.
        left = len(bars) - prompt.dropped_bars
        prompt.dropped_bars += min(left - 1, max(1, int(left * (1 - max_tokens / len(prompt.ids)))))
        _tokenize(prompt, heard, tokenizer, grammar, origin=bars[prompt.dropped_bars])
    if named:
        reader = BarReader(tokenizer.vocabulary)
        prompt.roll_call = RollCall(reader, prompt.past_ids, () if wanted == playing else wanted)
        if names := prompt.roll_call.names():
            prompt.ids = with_names(reader, prompt.past_ids, names)
    _release(prompt)
    return prompt


def new_track(program: int) -> symusic.core.TrackTick:
    """An empty track for an instrument, -1 for drums."""
    drum = program == DRUMS
    return symusic.Track(name="Drums" if drum else "", program=0 if drum else program, is_drum=drum)


def _find_cut(score: symusic.Score, cut_bar: int | None) -> tuple[int, list[int]]:
    """Tick of the cut, and the bar lines before it."""
    starts = [int(notes.max()) for track in score.tracks if len(notes := track.notes.numpy()["time"])]
    bars = [int(tick) for tick in bar_starts(score)] if starts else [0]
    if cut_bar is None:
        if not starts:
            return 0, []
        index = bisect_right(bars, max(starts))
    else:
        require(
            0 <= cut_bar < len(bars),
            f"the cut (bar {cut_bar}) must be 0 to {len(bars) - 1}, because the piece has {len(bars) - 1} bars",
        )
        index = cut_bar
    return bars[index], bars[:index]


def keep_before(score: symusic.Score, cut: int) -> symusic.Score:
    """A copy without what begins at or after the cut; a tempo, metre or key that begins there stays, being in force.

    Notes that begin before and sound across the cut keep their length.
    """
    kept = score.copy()
    for track in kept.tracks:
        for name in ("notes", "controls", "pitch_bends", "pedals", "lyrics"):
            events = getattr(track, name)
            setattr(track, name, type(events)([event for event in events if event.time < cut]))
    kept.markers = type(kept.markers)([event for event in kept.markers if event.time < cut])
    for name in ("tempos", "time_signatures", "key_signatures"):
        events = getattr(kept, name)
        setattr(kept, name, type(events)([event for event in events if event.time <= cut]))
    return kept


def tempo_at(score: symusic.Score, tick: int) -> float:
    """Quarters a minute in force at a tick."""
    tempo = _last_before(score.tempos, tick)
    return float(tempo.qpm) if tempo is not None else DEFAULT_TEMPO


def _last_before(events: Iterable[Any], tick: int) -> Any:
    """The last event at or before `tick`, or None."""
    found = [event for event in events if event.time <= tick]
    return max(found, key=lambda event: event.time) if found else None


def _release(prompt: Prompt) -> None:
    """Lift pedals and pitch bends that the prompt leaves down at the cut; else they would colour all that follows."""
    cut = prompt.cut_tick
    for track in prompt.score.tracks:
        presses = [control.value for control in track.controls if control.number == SUSTAIN]
        if presses and presses[-1] >= 64:
            track.controls.append(symusic.ControlChange(cut, SUSTAIN, 0))
        if len(track.pitch_bends) and track.pitch_bends[-1].value != 0:
            track.pitch_bends.append(symusic.PitchBend(cut, 0))


def _tokenize(
    prompt: Prompt, heard: symusic.Score, tokenizer: MusicTokenizer, grammar: Grammar, *, origin: int
) -> None:
    """Fill in the tokens of what is heard from `origin` (a bar line, in ticks of the score) to the cut."""
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
    # Where notes are pairs, the ends of those that sound across the cut lie behind it: the model is to write them.
    state = grammar.start()
    for count, token in enumerate(ids):
        state.advance(token)
        if state.tick > prompt.cut_grid:
            ids = ids[:count]
            break
    prompt.state = grammar.start(ids)
    prompt.ids = prompt.past_ids = [tokenizer.bos_id, *ids, *prompt.state.forward(prompt.cut_grid)]
    hold_across(prompt, score, origin=origin)


def hold_across(prompt: Prompt, before: symusic.Score, *, origin: int = 0) -> None:
    """Tell the grammar which keys are still down at the cut; `before` begins at tick `origin` and ends at the cut."""
    for track in before.tracks:
        for note in track.notes:
            until = prompt.cut_grid + (note.end + origin - prompt.cut_tick) / prompt.ticks_per_grid
            if until > prompt.cut_grid:
                prompt.state.hold(program_of(track), note.pitch, round(until))


def score_from(score: symusic.Score, origin: int) -> symusic.Score:
    """What begins at or after tick `origin`, moved to tick 0, in the tempo and metre in force there."""
    tail = score.copy()
    for track in tail.tracks:
        for name in ("notes", "controls", "pitch_bends", "pedals", "lyrics"):
            events = getattr(track, name)
            setattr(track, name, type(events)([event for event in events if event.time >= origin]))
            for event in getattr(track, name):
                event.time -= origin
    tail.markers = type(tail.markers)()
    for name in ("tempos", "time_signatures", "key_signatures"):
        events = getattr(tail, name)
        in_force = _last_before(events, origin)
        later = [event for event in events if event.time > origin]
        moved = type(events)(([in_force] if in_force is not None else []) + later)
        for event in moved:
            event.time = max(0, event.time - origin)
        setattr(tail, name, moved)
    return tail
