"""Reading bad files, cleaning, bars and seconds, writing."""

from __future__ import annotations

import struct
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import symusic

from helpers.scores import random_score
from music_reformer.errors import UserError
from music_reformer.midi import score as module
from music_reformer.midi.guard import read_score_guarded
from music_reformer.midi.score import (
    MAX_LIMITS,
    bar_starts,
    clean_score,
    metres,
    read_score,
    seconds_at,
    with_likely_metre,
    write_score,
)


def midi(body: bytes, *, division: int = 480, tracks: int = 1) -> bytes:
    """A MIDI file with one track of raw events."""
    return b"MThd" + struct.pack(">IHHH", 6, 1, tracks, division) + b"MTrk" + struct.pack(">I", len(body)) + body


NOTE = b"\x00\x90\x3c\x40\x60\x80\x3c\x00"
END = b"\x00\xff\x2f\x00"
LONGEST = b"\xff\xff\xff\x7f"  # the longest time that one event can wait

HOSTILE = {
    "empty": (b"", "is empty"),
    "text": (b"hello, this is not music at all", "not a MIDI file"),
    "one byte": (b"M", "not a MIDI file"),
    "header only": (b"MThd" + struct.pack(">IHHH", 6, 1, 1, 480), "no track"),
    "cut in the header": (b"MThd\x00\x00", "not a MIDI file"),
    "cut in a track": (midi(NOTE * 50 + END)[:-40], "cut short"),
    "track of 4 GB": (
        b"MThd" + struct.pack(">IHHH", 6, 1, 1, 480) + b"MTrk" + struct.pack(">I", 2**32 - 1) + NOTE,
        "cut short",
    ),
    "no ticks": (midi(NOTE + END, division=0), "0 ticks per quarter"),
    "SMPTE": (midi(NOTE + END, division=0xE728), "SMPTE"),
    "RIFF": (b"RIFF" + struct.pack("<I", 100) + b"RMID" + midi(NOTE + END), "RIFF"),
    "no notes": (midi(END), "no notes"),
    "absurd ticks": (midi((LONGEST + b"\x90\x3c\x40" + b"\x60\x80\x3c\x00") * 8 + END), "absurd times"),
    "absurd hours": (
        midi(b"\x00\xff\x51\x03\xff\xff\xff" + b"\xff\xff\x7f\x90\x3c\x40" + b"\x60\x80\x3c\x00" + END, division=24),
        "hours",
    ),
    "endless number": (midi(b"\xff" * 200), "damaged|no notes"),
    "wrong status": (midi(b"\x00\x3c\x40\x00\x3c" + END), "damaged|no notes"),
    "short header": (b"MThd" + struct.pack(">IHHH", 2, 1, 1, 480) + b"MTrk\x00\x00\x00\x00", "header is 2 bytes"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bad_files_get_one_clear_sentence(name: str, tmp_path: Path) -> None:
    data, message = HOSTILE[name]
    path = tmp_path / "bad.mid"
    path.write_bytes(data)
    began = time.process_time()
    with pytest.raises(UserError, match=message) as caught:
        read_score(path)
    assert time.process_time() - began < 2
    assert "\n" not in str(caught.value)
    assert "bad.mid" in str(caught.value)


@pytest.mark.parametrize("name", ["empty", "cut in a track", "absurd ticks", "endless number"])
def test_guarded_reading_refuses_with_the_same_messages(name: str) -> None:
    data, message = HOSTILE[name]
    with pytest.raises(UserError, match=message):
        read_score_guarded(data)


def test_guarded_reading_returns_the_notes(tmp_path: Path) -> None:
    write_score(random_score(), tmp_path / "a.mid")
    assert read_score_guarded(tmp_path / "a.mid").note_num() == random_score().note_num()


def test_guarded_reading_ends_what_takes_too_long_or_too_much(tmp_path: Path) -> None:
    write_score(random_score(17), tmp_path / "a.mid")
    with pytest.raises(UserError, match=r"took more than 0\.001 seconds"):
        read_score_guarded(tmp_path / "a.mid", seconds=0.001)
    write_score(random_score(num_notes=50_000), tmp_path / "large.mid")
    with pytest.raises(UserError, match="could not be read within 20 MB"):
        read_score_guarded(tmp_path / "large.mid", megabytes=20)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.mid"
    with open(path, "wb") as file:
        file.truncate(100_000_000)
    began = time.process_time()
    with pytest.raises(UserError, match=r"100.0 MB, more than the 20 MB"):
        read_score(path)
    assert time.process_time() - began < 0.5


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"nowhere.mid cannot be opened"):
        read_score("nowhere.mid")


def test_too_many_notes_are_refused() -> None:
    with pytest.raises(UserError, match="200 notes, more than the 100"):
        read_score(random_score(num_notes=200).dumps_midi(), limits=replace(MAX_LIMITS, max_notes=100))


def test_bytes_after_the_last_chunk_are_tolerated() -> None:
    assert read_score(midi(NOTE + END) + b"\x00junk").note_num() == 1


def test_cleaning_changes_a_copy() -> None:
    score = random_score()
    score.tracks.append(symusic.Track("empty", 5, False))
    score.time_signatures[0].numerator, score.time_signatures[0].denominator = 1, 4
    before = score.dumps_midi()
    clean = clean_score(score, metre_aliases={"1/4": "4/4"}, program_by_track={"part 40": 73})
    assert score.dumps_midi() == before
    assert {track.name: track.program for track in clean.tracks} == {"part 0": 0, "part 40": 73, "kit": 0}
    assert (clean.time_signatures[0].numerator, clean.time_signatures[0].denominator) == (4, 4)


def test_bar_lines_follow_every_metre() -> None:
    score = random_score(tpq=480)  # 4/4 for 8 bars, then 3/4
    starts = bar_starts(score)
    assert starts[:9] == [1920 * bar for bar in range(9)]
    assert set(np.diff(starts[8:])) == {1440}
    end = max(note.end for track in score.tracks for note in track.notes)
    assert starts[-2] < end <= starts[-1]


def test_a_metre_change_inside_a_bar_begins_a_bar() -> None:
    score = random_score(num_notes=5)
    score.time_signatures = [symusic.TimeSignature(0, 4, 4), symusic.TimeSignature(1000, 6, 8)]
    assert bar_starts(score)[:3] == [0, 1000, 1000 + 1440]


def test_seconds_follow_the_tempo_map() -> None:
    score = random_score(tpq=480)  # 100 bpm for 16 quarters, then 140
    np.testing.assert_allclose(seconds_at(score, [0, 480, 16 * 480, 17 * 480]), [0, 0.6, 9.6, 9.6 + 60 / 140])
    in_seconds = score.to("Second")
    for ticks, seconds in zip(score.tracks[0].notes, in_seconds.tracks[0].notes, strict=True):
        assert float(seconds_at(score, ticks.time)) == pytest.approx(seconds.time, abs=1e-3)
    no_tempo = symusic.Score(480)
    assert float(seconds_at(no_tempo, 960)) == 1.0


def test_a_score_is_written_completely_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "a.mid"
    write_score(random_score(), path)
    assert read_score(path).note_num() > 0
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(module.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_score(random_score(1), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["a.mid"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ([(0, 1, 4)], [(0, 4, 4)]),
        ([(0, 4, 4), (0, 1, 4)], [(0, 4, 4)]),  # a tenth of POP909 says both, the latter in force
        ([(0, 1, 4), (960, 3, 4)], [(0, 1, 4), (960, 3, 4)]),
        ([(0, 3, 4)], [(0, 3, 4)]),
        ([], [(0, 4, 4)]),
    ],
)
def test_quarters_throughout_are_read_in_four(
    given: list[tuple[int, int, int]], meant: list[tuple[int, int, int]]
) -> None:
    score = symusic.Score(480)
    score.time_signatures = [symusic.TimeSignature(*metre) for metre in given]
    assert metres(with_likely_metre(score)) == meant
    assert [(m.time, m.numerator, m.denominator) for m in score.time_signatures] == given
