"""Notes are compared independently of instruments and tempo; songs are aligned and accompanied as often as asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import symusic

from helpers.scores import random_score
from music_reformer.config import CorpusConfig, PrepareConfig
from music_reformer.data.prepare.command import prepare
from music_reformer.data.prepare.encode import notes_digest
from music_reformer.errors import UserError
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.score import write_score

pytestmark = pytest.mark.timeout(1200)  # worker processes start slowly on a busy machine


def test_the_digest_of_notes_ignores_all_but_the_notes() -> None:
    score = random_score(3)
    same = score.resample(960)
    same.tempos = []
    same.tracks = list(reversed(same.tracks))
    for track in same.tracks:
        track.program = 11
        track.notes = [symusic.Note(note.time + 777, note.duration, note.pitch, 99) for note in track.notes]
    assert notes_digest(same) == notes_digest(score)
    other = score.copy()
    other.tracks[0].notes[5].pitch += 1
    assert notes_digest(other) != notes_digest(score)


@pytest.mark.slow
def test_pieces_are_aligned_and_accompanied_with_the_given_probabilities(tmp_path: Path) -> None:
    folder = tmp_path / "songs"
    for number in range(40):
        song = EXAMPLES["evening"].score()
        song.tracks = song.tracks[:2]
        song = song.shift_time(77 + number)
        song.time_signatures[0].time = song.tempos[0].time = 0
        song.tracks[0].notes[0].pitch += number // 7  # no two alike
        song.tracks[0].notes[1].pitch += number % 7
        write_score(song, folder / f"{number:02d}.mid")

    def pieces(name: str, **changes: float) -> list[set[str]]:
        corpus = CorpusConfig(path=str(folder), validation_fraction=0, test_fraction=0, **changes)
        store = prepare(
            PrepareConfig(output=str(tmp_path / name), corpus=corpus, workers=1, near_duplicates="off"), progress=False
        )
        names = store.music_tokenizer.tokens
        return [{names[token] for token in store.tokens(piece)} for piece in store.split("train")]

    # On the grid, whole eighths of a song in eighths; beside it, other positions.
    even = {f"Position_{place}" for place in range(0, 32, 4)}
    on_grid = [
        all(name in even for name in piece if name.startswith("Position")) for piece in pieces("half", align=0.5)
    ]
    assert 10 < sum(on_grid) < 30
    band = pieces("band", align=1.0, rhythm_section=0.5)
    assert 10 < sum(any(name in piece for name in ("Program_-1", "Program_33")) for piece in band) < 35
    assert pieces("again", align=1.0, rhythm_section=0.5) == band
    assert all("Program_-1" not in piece for piece in pieces("alone", rhythm_section=1.0))  # needs the grid
    with pytest.raises(UserError, match=r"corpus\.align \(1\.5\) must be 0 to 1"):
        CorpusConfig(path=str(folder), align=1.5)
