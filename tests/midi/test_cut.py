"""Cutting a score: both halves keep what belongs to them, and nothing of the original changes."""

from __future__ import annotations

import pytest
import symusic

from helpers.midi_bytes import event, midi, scale
from helpers.stand_in_model import full_score
from music_reformer.errors import UserError
from music_reformer.midi.cut import (
    blank_score,
    end_stuck_notes,
    find_cut,
    keep_before,
    lift_pedals,
    new_track,
    programs_of,
    score_from,
    tempo_at,
    without_notes,
)
from music_reformer.midi.key import Key
from music_reformer.midi.score import bar_starts, read_score, seconds_at
from music_reformer.midi.splice import Writer

DRUMS, PIANO, BASS = -1, 0, 33


def starts(score: symusic.Score) -> list[int]:
    return sorted(note.time for track in score.tracks for note in track.notes)


def test_a_cut_lies_on_a_bar_line() -> None:
    score = full_score(bars=8)
    lines = bar_starts(score)
    assert find_cut(score, 3) == (lines[3], lines[:3])
    assert find_cut(score, 0) == (0, [])
    # The last notes begin in bar 8 and sound for five bars more.
    assert len(lines) > 10
    assert find_cut(score, None) == (lines[8], lines[:8])
    assert find_cut(symusic.Score(480), None) == (0, [])
    with pytest.raises(UserError, match=r"the cut \(bar 99\) must be 0 to \d+, because the piece has"):
        find_cut(score, 99)


@pytest.mark.parametrize("bar", [0, 1, 4, 8])
def test_keep_before_and_score_from_divide_the_notes(bar: int) -> None:
    score = full_score()
    before_cutting = score.dumps_midi()
    cut = bar_starts(score)[bar]
    before, tail = keep_before(score, cut), score_from(score, cut)
    assert score.dumps_midi() == before_cutting
    assert starts(before) + [start + cut for start in starts(tail)] == starts(score)
    assert all(control.time < cut for track in before.tracks for control in track.controls)
    for whole, track in zip(score.tracks, before.tracks, strict=True):
        assert list(track.notes) == [note for note in whole.notes if note.time < cut]


@pytest.mark.parametrize("cut_bar", [0, 1, 3, None])
def test_notes_that_never_end_are_ended_at_the_cut(cut_bar: int | None) -> None:
    """Pitch 40 is never ended, the first note of pitch 45 not until the next strike; pitch 50 ends with the piece."""
    bar = 4 * 480
    held = event(0, 0x90, 50, 80) + event(8 * bar, 0x80, 50, 0)
    struck = event(200, 0x90, 45, 80) + event(4 * bar, 0x90, 45, 80) + event(100, 0x80, 45, 0)
    original = midi(event(300, 0x90, 40, 80) + scale() + scale() + scale() + scale(), held, struck)
    score = read_score(original)
    ended = end_stuck_notes(score, original, cut_bar)
    cut, bars = find_cut(score, cut_bar)
    assert find_cut(ended, cut_bar) == (cut, bars)
    prompt = keep_before(ended, cut)
    written = read_score(Writer(original, score, cut).write(prompt)[0]) if cut else prompt

    def notes(score: symusic.Score) -> list[tuple[int, int, int]]:
        return sorted((note.time, note.end, note.pitch) for track in score.tracks for note in track.notes)

    assert notes(prompt) == notes(written)
    ends = {pitch: end for _, end, pitch in notes(prompt)}
    if cut:
        assert ends[50] == 8 * bar
        assert ends[40] == cut
    if cut_bar in (1, 3):
        assert ends[45] == cut
    assert len(notes(ended)) == len(notes(score))


@pytest.mark.parametrize("bar", [0, 1, 2, 6])
def test_the_tail_begins_in_the_tempo_and_metre_in_force(bar: int) -> None:
    score = full_score()
    cut = bar_starts(score)[bar]
    tail = score_from(score, cut)
    assert tempo_at(tail, 0) == pytest.approx(tempo_at(score, cut))
    assert [(m.time, m.numerator, m.denominator) for m in tail.time_signatures] == [(0, 3, 4)]
    end = score.end()
    lasts = float(seconds_at(score, end)) - float(seconds_at(score, cut))
    assert float(seconds_at(tail, end - cut)) == pytest.approx(lasts)


def test_a_tempo_that_begins_at_the_cut_is_kept() -> None:
    score = full_score()
    score.tempos.append(symusic.Tempo(bar_starts(score)[2], 60.0))
    assert tempo_at(keep_before(score, bar_starts(score)[2]), bar_starts(score)[2]) == pytest.approx(60)
    assert tempo_at(symusic.Score(480), 0) == 120


@pytest.mark.parametrize("programs", [set(), {PIANO}, {DRUMS, BASS}])
def test_only_notes_of_the_bars_and_instruments_are_taken_out(programs: set[int]) -> None:
    score = full_score()
    lines = bar_starts(score)
    rest = without_notes(score, lines[2], lines[4], programs)
    for track, left in zip(score.tracks, rest.tracks, strict=True):
        program = DRUMS if track.is_drum else track.program
        taken = [n for n in track.notes if lines[2] <= n.time < lines[4] and (not programs or program in programs)]
        assert len(left.notes) == len(track.notes) - len(taken)
        assert len(left.controls) == len(track.controls)


def test_pedals_and_bends_are_lifted_once() -> None:
    score = full_score()
    cut = bar_starts(score)[8]
    score = keep_before(score, cut)
    lift_pedals(score, cut)
    _, left, bass, _ = score.tracks
    assert (left.controls[-1].time, left.controls[-1].number, left.controls[-1].value) == (cut, 64, 0)
    assert (bass.pitch_bends[-1].time, bass.pitch_bends[-1].value) == (cut, 0)
    again = score.copy()
    lift_pedals(again, cut)
    assert again.dumps_midi() == score.dumps_midi()


def test_a_blank_score_has_a_track_for_each_instrument_and_the_drums_last() -> None:
    score = blank_score([DRUMS, 40, 0], tempo=90, metre=(6, 8), key=Key.parse("Eb major"))
    assert [(track.program, track.is_drum, track.name) for track in score.tracks] == [
        (0, False, ""),
        (40, False, ""),
        (0, True, "Drums"),
    ]
    assert programs_of(score) == set()
    assert [(m.numerator, m.denominator) for m in score.time_signatures] == [(6, 8)]
    assert (score.tempos[0].qpm, score.key_signatures[0].key) == (pytest.approx(90), -3)
    assert len(new_track(PIANO).notes) == 0
