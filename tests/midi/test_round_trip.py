"""A score that is written as MusicXML and read again is the same: notes, parts, bar lines, metres and keys."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import symusic

from helpers.round_trip import differences
from helpers.scores import random_score
from music_reformer.midi.examples import EXAMPLES

# (folder of the corpora, pieces): all genres, as composed and as played.
GENRES = [
    ("pop909", 5),
    ("asap", 5),
    ("open/nifc-polish-scores", 5),
    ("open/openscore-stringquartets", 4),
    ("open/openscore-lieder", 5),
    ("open/openscore-orchestra", 3),
    ("open/mutopia", 5),
    ("open/freedoom", 4),
    ("open/simutrans", 4),
    ("open/groove-midi", 4),
    ("open/nifc-chopin-first-editions", 4),
    ("open/openhymnal", 4),
    ("open/songs-from-the-public-domain", 4),
]
LARGEST = 80_000  # bytes: within a minute


def files(corpora: Path, folder: str, number: int) -> list[Path]:
    """The same random files of a folder each time."""
    found = sorted(path for path in (corpora / folder).rglob("*.mid") if path.stat().st_size < LARGEST)
    if not found:
        pytest.skip(f"no {folder} in {corpora}")
    return random.Random(21).sample(found, number)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_survive_the_round_trip(name: str) -> None:
    assert differences(EXAMPLES[name].score().dumps_midi(), name) == []


def test_irregular_notes_survive_the_round_trip_apart_from_rounding() -> None:
    """Notes on no grid, a change of metre that shortens a bar, drums, and every pitch."""
    score = random_score(4, num_notes=300, programs=(0, 40, 79, 127))
    score.time_signatures.append(symusic.TimeSignature(33 * 480, 7, 8))
    assert differences(score.dumps_midi(), "wild") == []


@pytest.mark.parametrize("folder", ["pop909", "asap"])
def test_real_pieces_survive_the_round_trip(corpora: Path, folder: str) -> None:
    for path in files(corpora, folder, 1):
        assert differences(path.read_bytes(), path.name) == []


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "number"), GENRES)
def test_pieces_of_all_genres_survive_the_round_trip(corpora: Path, folder: str, number: int) -> None:
    found = {path.name: differences(path.read_bytes(), path.name) for path in files(corpora, folder, number)}
    assert {name: what for name, what in found.items() if what} == {}
