"""Labels of POP909: parsing the files, and placing the labels in the score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import symusic

from music_reformer.data.corpora.pop909_labels import (
    LabelledSection,
    parse_beat_chords,
    parse_form,
    parse_key,
    read_song,
)
from music_reformer.midi.chords import NO_CHORD, Chord
from music_reformer.midi.score import bar_starts, write_score

TICKS = 480


@pytest.fixture
def labels(corpora: Path) -> Path:
    folder = corpora / "pop909-labels"
    if not folder.is_dir():
        pytest.skip("the labels of POP909 are not at hand")
    return folder


def test_chords_by_beat_are_parsed() -> None:
    text = "B:maj [3, 6, 11] 11 2 \nN []  7\n\nEb:sus4(b7, 9) [3] 3 4\nF:sus4(b7 [5] 5 1\nA:min7/b3 [0, 4] 0 1\n"
    assert parse_beat_chords(text) == [
        (Chord(11, "maj", 11), 2),
        (NO_CHORD, 7),
        (Chord(3, "sus4", 3), 4),
        (Chord(5, "sus4", 5), 1),
        (Chord(9, "min7", 0), 1),
    ]


def test_sections_and_keys_are_parsed() -> None:
    assert parse_form("i4A16o3\n") == [LabelledSection("i", 4), LabelledSection("A", 16), LabelledSection("o", 3)]
    assert parse_key("Gb:maj") == (6, False)
    assert parse_key("B:min") == (11, True)


def song_of_triads(folder: Path, *, empty_beats: int) -> Path:
    """C, F, G, C for a bar each, twice, after some beats with a single note, at 120 beats per minute."""
    score = symusic.Score(TICKS)
    score.tempos = [symusic.Tempo(0, qpm=120)]
    score.time_signatures = [symusic.TimeSignature(0, 4, 4)]
    track = symusic.Track("PIANO", 0, False)
    track.notes.append(symusic.Note(0, TICKS // 2, 60, 80))
    for bar, root in enumerate([60, 65, 67, 60] * 2):
        for quarter in range(4):
            for interval in (0, 4, 7):
                time = (empty_beats + 4 * bar + quarter) * TICKS
                track.notes.append(symusic.Note(time, TICKS, root + interval, 80))
    score.tracks.append(track)
    write_score(score, folder / "song.mid")
    lines, begin = [], empty_beats / 2
    for name in ["C:maj", "F:maj", "G:maj", "C:maj"] * 2:
        lines.append(f"{begin}\t{begin + 2}\t{name}")
        begin += 2
    (folder / "chord_midi.txt").write_text("\n".join([f"0\t{empty_beats / 2}\tN", *lines]))
    (folder / "key_audio.txt").write_text(f"0\t{begin}\tC:maj\n")
    return folder / "song.mid"


@pytest.mark.parametrize("empty_beats", [4, 8])
def test_beats_and_bars_begin_where_the_chords_fit(tmp_path: Path, empty_beats: int) -> None:
    midi = song_of_triads(tmp_path, empty_beats=empty_beats)
    assert read_song(midi, tmp_path).form == []  # without the files
    (tmp_path / "finalized_chord.txt").write_text("C:maj [] 0 4\nF:maj [] 5 4\nG:maj [] 7 4\nC:maj [] 0 4\n" * 2)
    (tmp_path / "human_label1.txt").write_text("i2A4o2")
    song = read_song(midi, tmp_path)
    assert [span.start / TICKS for span in song.form] == [empty_beats + beat for beat in (0, 8, 24)]
    assert song.form[-1].end == (empty_beats + 32) * TICKS
    assert [(span.start, span.value) for span in song.beat_chords] == [
        ((empty_beats + 4 * bar) * TICKS, Chord(root, "maj", root)) for bar, root in enumerate([0, 5, 7, 0] * 2)
    ]
    (tmp_path / "finalized_chord.txt").write_text("E:maj [] 4 32\n")
    assert read_song(midi, tmp_path).form == []  # fits nowhere


def test_every_file_of_labels_here_can_be_read(labels: Path) -> None:
    for folder in labels.glob("[0-9]*"):
        assert parse_beat_chords((folder / "finalized_chord.txt").read_text())
        text = (folder / "human_label1.txt").read_text().strip()
        assert "".join(f"{section.letter}{section.num_bars}" for section in parse_form(text)) == text


def test_labels_lie_on_the_bars_of_real_songs(labels: Path, corpora: Path) -> None:
    """On bar lines or half-way between them, within the song."""
    placed = 0
    for number in range(1, 910, 60):
        song = read_song(corpora / "pop909" / f"{number:03d}.mid", labels / f"{number:03d}")
        if not song.form:
            continue
        placed += 1
        beat = song.score.ticks_per_quarter
        lines = np.array(bar_starts(song.score))
        starts = np.array([span.start for span in song.form])
        assert np.all(starts % beat == 0)
        assert song.form[-1].end <= lines[-1] + 8 * beat
        assert [span.end for span in song.form[:-1]] == starts[1:].tolist()
    assert placed >= 12
