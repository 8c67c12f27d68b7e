"""Generated files are cut where the manifest says, and files that cannot be used are reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import symusic

from music_reformer.errors import UserError
from music_reformer.evaluation.groups import generated_excerpts, read_generated, sample
from music_reformer.midi.score import write_score


def song(num_notes: int) -> symusic.Score:
    """A note a second."""
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, 60.0))
    track = symusic.Track("", 0, False)
    track.notes.extend([symusic.Note(place * 480, 480, 60 + place % 12, 80) for place in range(num_notes)])
    score.tracks.append(track)
    return score


def test_the_last_manifest_line_for_a_file_counts(tmp_path: Path) -> None:
    write_score(song(10), tmp_path / "a.mid")
    write_score(song(6), tmp_path / "b.mid")
    (tmp_path / "c.mid").write_bytes(b"no music")
    lines = [{"file": "a.mid", "new_from_second": 2}, {"file": "a.mid", "new_from_second": 4}, {"text": "no file"}]
    (tmp_path / "manifest.jsonl").write_text("\n".join([*map(json.dumps, lines), '{"file": "b.mi']))
    pieces, refused = read_generated(tmp_path)
    assert [(piece.name, piece.begin_s, piece.seconds) for piece in pieces] == [
        ("a.mid", 4.0, 6.0),
        ("b.mid", 0.0, 6.0),
    ]
    assert [len(excerpt.notes) for excerpt in generated_excerpts(pieces, 5.0)] == [5, 5]
    assert len(refused) == 1
    assert "c.mid" in refused[0]


def test_files_without_a_generated_part_are_refused(tmp_path: Path) -> None:
    write_score(song(3), tmp_path / "a.mid")
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"file": "a.mid", "new_from_second": 60}))
    with pytest.raises(UserError, match=r"holds no MIDI file that can be used: .*a\.mid has no notes after its prompt"):
        read_generated(tmp_path)


def test_a_sample_is_always_the_same_and_in_order() -> None:
    numbers = list(range(100))
    assert sample(numbers, 200) == numbers  # type: ignore[arg-type, comparison-overlap]
    chosen = sample(numbers, 10)  # type: ignore[arg-type]
    assert chosen == sorted(chosen) == sample(numbers, 10)  # type: ignore[arg-type, type-var]
    assert len(set(chosen)) == 10
