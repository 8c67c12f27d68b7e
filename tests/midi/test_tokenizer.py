"""Scores to tokens and back: what is preserved, and how precisely."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import symusic

from helpers.scores import random_score
from music_reformer.config import ENCODINGS, TokenizerConfig
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer

# The grid of the default settings: 8 positions a beat, so an onset moves by half of that at the most.
HALF_STEP = 1 / 16
DRUM_PITCHES = range(27, 89)  # of General MIDI 2


def onsets(score: symusic.Score) -> dict[tuple[int, int], np.ndarray]:
    """Onsets in quarters, rising, by (program or -1 for drums, pitch)."""
    found = defaultdict(list)
    for track in score.tracks:
        for note in track.notes:
            found[-1 if track.is_drum else track.program, note.pitch].append(note.time / score.ticks_per_quarter)
    return {key: np.sort(times) for key, times in found.items()}


def assert_notes_survive(before: symusic.Score, after: symusic.Score) -> None:
    """Every note is there on its instrument and pitch, within half a step of the grid; none is new.

    Electronic kits play drums beside General MIDI's, which have no token.
    """
    old, new = onsets(before), onsets(after)
    old = {(program, pitch): times for (program, pitch), times in old.items() if program >= 0 or pitch in DRUM_PITCHES}
    assert old.keys() == new.keys()
    for key, times in old.items():
        nearest = np.abs(times[:, None] - new[key][None]).min(axis=1)
        assert nearest.max() <= HALF_STEP + 1e-6, f"{key}: an onset moved by {nearest.max()} quarters"
        # Notes that fall on one point of the grid with the same pitch become one.
        distinct = len(np.unique(np.round(times / HALF_STEP / 2)))
        assert distinct <= len(new[key]) <= len(times)


@pytest.mark.parametrize("encoding", ["REMI", "TSD", "MIDILike"])
@pytest.mark.parametrize("seed", range(3))
def test_round_trip_of_made_scores(encoding: str, seed: int) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    # Apart from one another, so that no two notes of a pitch overlap: MIDILike cannot tell those apart.
    score = random_score(seed, num_notes=120)
    for track in score.tracks:
        last: dict[int, int] = {}
        kept = []
        for note in track.notes:
            if note.time > last.get(note.pitch, -1) + 120:
                kept.append(note)
                last[note.pitch] = note.end
        track.notes = kept
    again = tokenizer.decode(tokenizer.encode(score))
    assert_notes_survive(score, again)
    assert [(m.numerator, m.denominator) for m in again.time_signatures] == [(4, 4), (3, 4)]
    assert [round(tempo.qpm) for tempo in again.tempos] == pytest.approx([100, 140], abs=4)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_saved_and_loaded_tokenizers_are_the_same(encoding: str, tmp_path: Path) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding, num_velocities=16))
    tokenizer.save(tmp_path / "tokenizer.json")
    again = MusicTokenizer.load(tmp_path / "tokenizer.json")
    assert again.tokens == tokenizer.tokens
    assert again.fingerprint == tokenizer.fingerprint
    assert again.fingerprint != MusicTokenizer(TokenizerConfig(encoding=encoding)).fingerprint
    assert tokenizer.tokens[:3] == ["PAD", "BOS", "EOS"]


def test_every_field_changes_the_vocabulary_or_the_fingerprint() -> None:
    plain = MusicTokenizer(TokenizerConfig())
    assert not any(name.startswith("Tempo") for name in MusicTokenizer(TokenizerConfig(use_tempos=False)).tokens)
    assert not any(name.startswith("Program") for name in MusicTokenizer(TokenizerConfig(use_programs=False)).tokens)
    assert any(name.startswith("Pedal") for name in MusicTokenizer(TokenizerConfig(use_sustain_pedals=True)).tokens)
    finer = MusicTokenizer(TokenizerConfig(beat_resolution={"0_4": 12, "4_12": 4}))
    assert sum(name.startswith("Position") for name in finer.tokens) > sum(
        name.startswith("Position") for name in plain.tokens
    )


def test_foreign_tokenizers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the settings of a Music Reformer tokenizer"):
        MusicTokenizer.from_json({"model": "bpe"})
    with pytest.raises(UserError, match="cannot be read"):
        MusicTokenizer.load(tmp_path / "nothing.json")
    content = MusicTokenizer(TokenizerConfig()).to_json()
    content["tokens"][5] = "Pitch_999"
    with pytest.raises(UserError, match="names of the tokens differ"):
        MusicTokenizer.from_json(content)
