"""Joining bars of variations: every bar has the notes and the sound of its variation, by brute force."""

from __future__ import annotations

import random

import pytest
import symusic

from music_reformer.errors import UserError
from music_reformer.midi.join import joined, new_bar_lines

QUARTER, BAR, CUT, NUM_BARS = 480, 1920, 4, 6
LINES = [(CUT + bar) * BAR for bar in range(NUM_BARS + 1)]


def variation(seed: int, *, extra: bool = False) -> symusic.Score:
    """Four bars common to all variations, then six of its own; notes of one pitch do not overlap within a track."""
    score = symusic.Score(QUARTER)
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for number, program in enumerate([0, 40, 40, *([73] if extra else [])]):
        track = symusic.Track(f"part {number}", program)
        free = dict.fromkeys(range(60, 66), 0)
        for dice, begin, end in ((random.Random(number), 0, CUT), (random.Random(seed + number), CUT, CUT + NUM_BARS)):
            free = {pitch: max(time, begin * BAR) for pitch, time in free.items()}
            for _ in range(0 if program == 73 and begin == 0 else 30):
                pitch = dice.choice(list(free))
                start = free[pitch] + 60 * dice.randrange(8)
                length = 120 * dice.randrange(1, 30)
                if start < end * BAR:
                    free[pitch] = start + length
                    track.notes.append(symusic.Note(start, length, pitch, 40 + dice.randrange(60)))
        track.notes.sort()
        for tick in range(CUT * BAR, (CUT + NUM_BARS) * BAR, 700):
            track.controls.append(symusic.ControlChange(tick, 64, dice.choice([0, 127])))
            track.pitch_bends.append(symusic.PitchBend(tick + 5, dice.randrange(-100, 100)))
        score.tracks.append(track)
    return score


def named(score: symusic.Score) -> dict[str, symusic.core.TrackTick]:
    return {track.name: track for track in score.tracks}


def onsets(score: symusic.Score, name: str, begin: int, end: int) -> list[tuple[int, int, int]]:
    notes = named(score)[name].notes if name in named(score) else []
    return sorted((note.time, note.pitch, note.velocity) for note in notes if begin <= note.time < end)


def sounding(score: symusic.Score, name: str, tick: int) -> dict[int, int]:
    """The sounding pitches of a track just after a tick, with their ends."""
    notes = named(score)[name].notes if name in named(score) else []
    return {note.pitch: note.end for note in notes if note.time <= tick < note.end}


def in_force(score: symusic.Score, name: str, kind: str, tick: int) -> int:
    events = getattr(named(score)[name], kind) if name in named(score) else []
    before = [event for event in events if event.time <= tick]
    return max(before, key=lambda event: event.time).value if before else 0


@pytest.mark.parametrize("seed", range(6))
def test_each_bar_has_the_notes_and_the_sound_of_its_variation(seed: int) -> None:
    scores = [variation(100 * (number + 1), extra=number == 1) for number in range(3)]
    choice = random.Random(seed).choices(range(3), k=NUM_BARS)
    result = joined(scores, LINES, choice)
    assert [track.name for track in result.tracks] == ["part 0", "part 1", "part 2", "part 3"]
    for name in named(result):
        assert onsets(result, name, 0, LINES[0]) == onsets(scores[choice[0]], name, 0, LINES[0])
        for bar, chosen in enumerate(choice):
            begin, end = LINES[bar], LINES[bar + 1] if bar < NUM_BARS - 1 else 10**9
            is_joint = bar > 0 and choice[bar - 1] != chosen
            wanted = onsets(scores[chosen], name, begin, end)
            found = onsets(result, name, begin, end)
            assert set(wanted) <= set(found)
            begun = set(found) - set(wanted)
            assert all(tick == begin and is_joint for tick, _, _ in begun), "only at a joint notes are begun anew"
            for tick in range(begin, min(end, begin + BAR), 60):
                there, here = sounding(scores[chosen], name, tick), sounding(result, name, tick)
                short = {pitch for pitch, stop in there.items() if stop - begin < QUARTER}
                assert here.keys() <= there.keys()
                assert there.keys() - here.keys() <= short, "what is left out lasts less than a quarter"
                for kind in ("controls", "pitch_bends"):
                    assert in_force(result, name, kind, tick) == in_force(scores[chosen], name, kind, tick)


def test_a_note_held_across_a_joint_by_both_variations_is_struck_once() -> None:
    scores = [symusic.Score(QUARTER) for _ in range(2)]
    for score, (begin, length) in zip(scores, [(0, 3000), (960, 4000)], strict=True):
        score.tracks.append(symusic.Track("", 0))
        score.tracks[0].notes.append(symusic.Note(begin, length, 60, 80))
    (track,) = joined(scores, [0, BAR, 2 * BAR, 3 * BAR], [0, 1, 1]).tracks
    assert [(note.time, note.end) for note in track.notes] == [(0, 4960)]


def test_one_variation_throughout_is_that_variation() -> None:
    scores = [variation(100), variation(200)]
    result = joined(scores, LINES, [1] * NUM_BARS)
    for one, other in zip(result.tracks, scores[1].tracks, strict=True):
        assert list(one.notes) == sorted(other.notes, key=lambda note: (note.time, note.pitch))


def test_too_many_bars_are_refused_in_a_sentence() -> None:
    scores = [variation(100), variation(200)]
    assert new_bar_lines(scores, CUT * BAR, 3) == LINES[:4]
    with pytest.raises(UserError, match="bars names 99 bars, but the variations have"):
        new_bar_lines(scores, CUT * BAR, 99)
