"""Assigning music to staves: hands, lyrics, keys by section, tempo marks and short bars."""

from __future__ import annotations

import symusic

from music_reformer.midi.score import bar_starts
from music_reformer.midi.staves import (
    Syllable,
    hands,
    hidden_metres,
    key_sections,
    simplified,
    tempo_marks,
    written_parts,
)  # fmt: skip
from music_reformer.midi.written import UNIT, WrittenNote, written_bars

QUARTER = 480


def empty(*, bars: int = 40, metre: tuple[int, int] = (4, 4)) -> symusic.Score:
    """One long note."""
    score = symusic.Score(QUARTER)
    score.time_signatures.append(symusic.TimeSignature(0, *metre))
    track = symusic.Track("", 73, False)
    track.notes.append(symusic.Note(0, bars * metre[0] * 4 * QUARTER // metre[1], 60, 80))
    score.tracks.append(track)
    return score


def test_crossing_notes_stay_with_their_hand() -> None:
    melody = [(beat * QUARTER, (beat + 1) * QUARTER, pitch) for beat, pitch in enumerate((72, 74, 76, 62, 64, 72))]
    bass = [(beat * QUARTER, (beat + 1) * QUARTER, pitch) for beat, pitch in enumerate((48, 43, 48, 43, 48, 43))]
    right, left = hands(sorted(melody + bass), together=30)
    assert sorted(right) == sorted(melody)
    assert sorted(left) == sorted(bass)


def test_a_rolled_chord_is_divided_as_one() -> None:
    rolled = [(step * 10, QUARTER, pitch) for step, pitch in enumerate((40, 47, 52, 64, 68, 71))]
    right, left = hands(rolled, together=60)
    assert ([pitch for *_, pitch in left], [pitch for *_, pitch in right]) == ([40, 47, 52], [64, 68, 71])


def test_loose_ends_move_to_the_next_onset_and_others_stay() -> None:
    def note(onset: float, end: float, pitch: int, is_loose: bool) -> WrittenNote:
        return WrittenNote(round(onset * UNIT), round(end * UNIT), pitch, is_loose)

    found = simplified(
        [note(0, 0.75, 60, True), note(1, 1.5, 64, False), note(2, 2.25, 60, True), note(4, 5, 60, True)]
    )
    assert [round(each.end / UNIT, 2) for each in found] == [1, 1.5, 2.25, 5]


def test_two_tracks_of_one_keyboard_are_one_part_and_names_are_told_apart() -> None:
    score = symusic.Score(QUARTER)
    for name, program, pitch in (
        ("", 0, 72),
        ("", 0, 48),
        ("", 40, 70),
        ("", 40, 60),
        ("A name that is much too long to be read", 41, 60),
    ):
        track = symusic.Track(name, program, False)
        track.notes.append(symusic.Note(0, 1920, pitch, 80))
        score.tracks.append(track)
    parts = written_parts(score, written_bars(score))
    assert [(part.name, len(part.staves)) for part in parts] == [
        ("Piano", 2), ("Violin 1", 1), ("Violin 2", 1), ("Viola", 1),
    ]  # fmt: skip


def test_syllables_go_to_the_part_whose_notes_they_meet() -> None:
    score = symusic.Score(QUARTER)
    for name, first in (("Flute", 1), ("Voice", 0)):
        track = symusic.Track(name, 73, False)
        track.notes.extend([symusic.Note((2 * beat + first) * QUARTER, QUARTER, 60, 80) for beat in range(3)])
        score.tracks.append(track)
    words = symusic.Track("Words", 0, False)
    words.lyrics.extend(
        [symusic.TextMeta(0, "hel-"), symusic.TextMeta(2 * QUARTER + 5, "lo"), symusic.TextMeta(4 * QUARTER, "you")]
    )
    score.tracks.append(words)
    flute, voice = written_parts(score, written_bars(score))
    assert not flute.syllables
    assert voice.syllables == {
        0: Syllable("hel", False, True),
        2 * UNIT: Syllable("lo", True, False),
        4 * UNIT: Syllable("you", False, False),
    }


def test_named_keys_are_believed_and_c_major_alone_is_not() -> None:
    score = empty()
    bars = written_bars(score)
    score.key_signatures.append(symusic.KeySignature(0, -3, 1))
    assert [(bar, str(key)) for bar, key in key_sections(score, bars)] == [(0, "C minor")]
    score.key_signatures.append(symusic.KeySignature(16 * QUARTER, 0, 0))
    assert [(bar, str(key)) for bar, key in key_sections(score, bars)] == [(0, "C minor"), (4, "C major")]
    scale = empty()
    scale.key_signatures.append(symusic.KeySignature(0, 0, 0))
    scale.tracks[0].notes.clear()
    for beat in range(64):
        scale.tracks[0].notes.append(
            symusic.Note(beat * QUARTER, QUARTER, (62, 64, 66, 67, 69, 71, 73, 74)[beat % 8], 80)
        )
    assert [(bar, key.sharps) for bar, key in key_sections(scale, written_bars(scale))] == [(0, 2)]


def test_drums_alone_have_no_key() -> None:
    score = empty()
    score.tracks[0].is_drum = True
    assert [(bar, key.sharps) for bar, key in key_sections(score, written_bars(score))] == [(0, 0)]


def test_tempos_that_stay_are_marked_and_a_recording_has_its_mean() -> None:
    score = empty()
    bars = written_bars(score)
    assert tempo_marks(score, bars) == [(0, 120.0)]
    score.tempos.extend(
        [symusic.Tempo(0, qpm=90), symusic.Tempo(40 * QUARTER, qpm=93), symusic.Tempo(80 * QUARTER, qpm=150)]
    )
    assert [(bar, round(qpm)) for bar, qpm in tempo_marks(score, bars)] == [(0, 90), (20, 150)]
    score.tempos = symusic.core.TempoTickList(
        [symusic.Tempo(bar * 4 * QUARTER, qpm=80 + 40 * (bar % 2)) for bar in range(40)]
    )
    assert [(bar, round(qpm)) for bar, qpm in tempo_marks(score, bars)] == [(0, 96)]


def test_pickups_and_bars_cut_by_repeats_show_the_metre_of_the_piece() -> None:
    score = empty(bars=12, metre=(3, 4))
    for quarter, beats in ((0, 1), (1, 3), (13, 2), (15, 1), (16, 3), (25, 4)):
        score.time_signatures.append(symusic.TimeSignature(quarter * QUARTER, beats, 4))
    score.time_signatures.sort()
    bars = written_bars(score)
    assert [bar.tick for bar in bars] == bar_starts(score)[:-1]
    assert hidden_metres(bars) == {0: (3, 4), 5: (3, 4), 6: (3, 4)}
