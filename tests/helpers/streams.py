"""Token streams drawn at random from a grammar, and a score with everything in it."""

from __future__ import annotations

import numpy as np
import pytest
import symusic
import torch

from music_reformer.config import TokenizerConfig
from music_reformer.midi.grammar import GrammarState
from music_reformer.midi.stream import Note


def random_walk(state: GrammarState, steps: int, seed: int) -> tuple[list[int], list[Note]]:
    """Random allowed tokens, every kind equally likely, so that rare kinds occur; EOS is never taken."""
    generator = torch.Generator().manual_seed(seed)
    kinds = state.vocabulary.kinds
    ids, notes = [], []
    for _ in range(steps):
        by_kind: dict[str, list[int]] = {}
        for token in np.flatnonzero(state.allowed()).tolist():
            if kinds[token] != "EOS":
                by_kind.setdefault(kinds[token], []).append(token)
        choices = by_kind[sorted(by_kind)[_pick(len(by_kind), generator)]]
        token = choices[_pick(len(choices), generator)]
        notes += state.advance(token)
        ids.append(token)
    return ids, notes


def _pick(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (1,), generator=generator))


def busy_score() -> symusic.Score:
    """Two pianos, a bass, drums; a change of metre (4/4, 6/8, 3/4) and of tempo; unisons, bends, pedals, a long gap."""
    score = symusic.Score(480)
    score.time_signatures.extend(
        [symusic.TimeSignature(0, 4, 4), symusic.TimeSignature(3840, 6, 8), symusic.TimeSignature(6720, 3, 4)]
    )
    score.tempos.extend([symusic.Tempo(0, 100), symusic.Tempo(2400, 140)])
    for program, drum, pitches in ((0, False, (60, 64)), (0, False, (60, 48)), (33, False, (36,)), (0, True, (36, 42))):
        track = symusic.Track(program=program, is_drum=drum)
        for beat in (0, 1, 1.5, 2, 5, 7, 8, 9.5, 14, 15, 16.25, 60):
            for pitch in pitches:
                track.notes.append(symusic.Note(int(beat * 480), 360 if drum else 700, pitch, 70 + pitch % 9))
        track.controls.append(symusic.ControlChange(100, 64, 127))
        track.controls.append(symusic.ControlChange(1300, 64, 0))
        track.pedals.append(symusic.Pedal(100, 1200))
        track.pitch_bends.append(symusic.PitchBend(500, 1000))
        score.tracks.append(track)
    return score


ENCODINGS = ("REMI", "TSD", "MIDILike", "Performance", "Parts")


SETTINGS = [
    *(pytest.param(TokenizerConfig(encoding=encoding), id=encoding) for encoding in ENCODINGS),
    *(
        pytest.param(
            TokenizerConfig(
                encoding=encoding,
                use_rests=True,
                use_sustain_pedals=True,
                use_pitch_bends=True,
                use_chords=True,
            ),
            id=f"{encoding} with all",
        )
        for encoding in ENCODINGS[:3]
    ),
    *(
        pytest.param(
            TokenizerConfig(encoding=encoding, use_tempos=False, use_time_signatures=False), id=f"{encoding} bare"
        )
        for encoding in ENCODINGS[:3]
    ),
]


def as_set(notes: list[Note]) -> list[tuple[int, ...]]:
    return sorted((-1 if n.drum else n.program, n.pitch, n.velocity, n.start_tick, n.end_tick) for n in notes)


def notes_of(score: symusic.Score) -> list[tuple[int, ...]]:
    return sorted(
        (-1 if track.is_drum else track.program, n.pitch, n.velocity, n.time, n.time + n.duration)
        for track in score.tracks
        for n in track.notes
    )
