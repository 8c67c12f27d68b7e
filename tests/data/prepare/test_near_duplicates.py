"""Near-duplicates are found in any key and tempo, never among unrelated pieces, and never end up in two splits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import symusic

from helpers.scores import random_score
from music_reformer.config import CorpusConfig, PrepareConfig
from music_reformer.data.corpora.corpus_manifest import CorpusManifest
from music_reformer.data.corpora.splits import find_files
from music_reformer.data.prepare.command import prepare
from music_reformer.data.prepare.near_duplicates import NUM_HASHES, estimate, group, melodic_grams, signature
from music_reformer.midi.score import clean_score, read_score, write_score


def transposed(score: symusic.Score, semitones: int) -> symusic.Score:
    other = score.copy()
    for track in other.tracks:
        if not track.is_drum:
            track.notes.filter(lambda note: 0 <= note.pitch + semitones < 128, inplace=True)
            for note in track.notes:
                note.pitch += semitones
    return other


def rescaled(score: symusic.Score, factor: float) -> symusic.Score:
    other = score.copy()
    for track in other.tracks:
        for note in track.notes:
            note.time, note.duration = round(note.time * factor), max(1, round(note.duration * factor))
    return other


def jaccard(one: symusic.Score, other: symusic.Score) -> float:
    """The oracle of the signatures."""
    first, second = set(melodic_grams(one).tolist()), set(melodic_grams(other).tolist())
    return len(first & second) / len(first | second)


def array_of(score: symusic.Score) -> np.ndarray:
    data = signature(score)
    assert data is not None
    return np.frombuffer(data, dtype=np.uint32)


def test_transposition_tempo_and_other_parts_change_little() -> None:
    score = random_score(1, num_notes=400)
    assert jaccard(transposed(score, 5), score) == 1
    assert jaccard(score.resample(96), score) > 0.6
    assert jaccard(rescaled(score, 1.37), score) > 0.9
    fewer = score.copy()
    fewer.tracks.pop(-1)  # the drums
    assert np.array_equal(melodic_grams(fewer), melodic_grams(score))
    assert jaccard(random_score(2, num_notes=400), score) == 0


def test_signatures_estimate_the_jaccard_similarity() -> None:
    score = random_score(1, num_notes=800)
    for changed in (0, 20, 60, 120):
        other = score.copy()
        for note in list(other.tracks[0].notes)[: changed // 2] + list(other.tracks[1].notes)[: changed // 2]:
            note.pitch = 127 - note.pitch
        assert estimate(array_of(other), array_of(score)) == pytest.approx(jaccard(other, score), abs=0.13)
    assert signature(random_score(1, num_notes=6)) is None
    assert signature(random_score(1, programs=())) is None


def test_groups_are_those_of_all_pairs() -> None:
    """The oracle compares all pairs."""
    scores = [random_score(seed, num_notes=300) for seed in range(12)]
    scores += [transposed(scores[3], 2), rescaled(scores[3], 1.5), transposed(scores[7], -4)]
    signatures = np.stack([array_of(score) for score in scores])
    present = np.ones(len(scores), dtype=bool)
    first = group(signatures, present, 0.5)
    assert first.tolist() == [*range(12), 3, 3, 7]
    present[13] = False
    assert group(signatures, present, 0.5).tolist() == [*range(12), 3, 13, 7]
    assert group(np.zeros((3, NUM_HASHES), np.uint32), np.zeros(3, dtype=bool), 0.5).tolist() == [0, 1, 2]


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A piece in six keys, another in two; with their splits."""
    midi = tmp_path / "midi"
    for semitones in range(6):
        write_score(transposed(random_score(1, num_notes=80), semitones), midi / f"b {semitones}.mid")
    for semitones in range(2):
        write_score(transposed(random_score(2, num_notes=80), semitones), midi / f"song {semitones}.mid")
    write_score(random_score(3, num_notes=80), midi / "alone.mid")
    config = CorpusConfig(path=str(midi), validation_fraction=0.25, test_fraction=0.25)
    return midi, {file.source: file.split for file in find_files(config, CorpusManifest())}


@pytest.mark.parametrize("policy", ["drop", "report"])
def test_no_group_is_in_two_splits(folder: tuple[Path, dict[str, str]], tmp_path: Path, policy: str) -> None:
    midi, splits = folder
    config = PrepareConfig(
        output=str(tmp_path / "store"),
        corpus=CorpusConfig(path=str(midi), validation_fraction=0.25, test_fraction=0.25),
        near_duplicates=policy,
        workers=1,
    )
    store = prepare(config, progress=False)
    entries = [json.loads(line) for line in (store.path / "near_duplicates.jsonl").read_text().splitlines()]
    used = {piece.source: piece.split for piece in store.pieces}
    if policy != "drop":
        assert used == splits
        assert len(entries) == 2
        return
    assert [[piece["source"] for piece in entry["pieces"]] for entry in entries] == [
        [f"b {semitones}.mid" for semitones in range(6)],
        ["song 0.mid", "song 1.mid"],
    ]
    expected = {"alone.mid"}
    for entry in entries:
        there = {splits[piece["source"]] for piece in entry["pieces"]}
        kept = next(split for split in ("test", "validation", "train") if split in there)
        expected |= {piece["source"] for piece in entry["pieces"] if splits[piece["source"]] == kept}
        assert all(piece["used"] == (piece["source"] in used) for piece in entry["pieces"])
    assert set(used) == expected
    assert len(used) < len(splits), "these names put no group in two splits; choose others"
    assert store.info["skipped"] == {"near-duplicate": len(splits) - len(used)}


@pytest.mark.slow
def test_transposed_songs_of_pop909_are_found(corpora: Path) -> None:
    """Every song of POP909 is found in another key at another tempo; among the original songs, one pair is found."""
    paths = sorted((corpora / "pop909").rglob("*.mid"))
    scores = [clean_score(read_score(path)) for path in paths]
    originals = np.stack([array_of(score) for score in scores])
    changed = np.stack([array_of(rescaled(transposed(score, 3), 0.8)) for score in scores])
    number = len(scores)
    first = group(np.concatenate([originals, changed]), np.ones(2 * number, dtype=bool), 0.5)
    alone = {paths[i].stem: paths[first[i]].stem for i in range(number) if first[i] != i}
    assert alone == {"018": "017"}
    found = sum(first[number + i] == first[i] for i in range(number))
    assert found == number
