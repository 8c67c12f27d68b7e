"""A model without weights for tests of generation, and a score with one of everything."""

from __future__ import annotations

import math

import symusic
import torch
from torch import Tensor

from music_reformer.config import ModelConfig
from music_reformer.midi.tokenizer import MusicTokenizer


class StandIn:
    """Logits that depend on the last two tokens, with the interface of `Decoder`. Records its input."""

    def __init__(self, tokenizer: MusicTokenizer, *, time_bias: float = 0.0, max_length: int = 1 << 20) -> None:
        size = tokenizer.vocab_size
        self.config = ModelConfig(vocab_size=size, axial_shape=[max_length, 1])
        generator = torch.Generator().manual_seed(0)
        self.table = torch.randn(2, size, size, generator=generator) * 0.7
        # What comes next, by kind, so that a bar holds some ten notes in every encoding; long shifts are rare.
        weights = {"Bar": 0.04, "Position": 1.0, "TimeShift": 0.7, "Program": 2.0, "NoteOff": 2.0, "DrumOff": 2.0}
        kinds = [name.partition("_")[0] for name in tokenizer.tokens]
        if "Part" in kinds:  # a part is left as often as it is wanted, whichever programs and metres are allowed
            weights |= {"Bar": 0.002, "Program": 0.05, "EOS": 1e-4}
        for token, name in enumerate(tokenizer.tokens):
            self.table[0, :, token] += math.log(weights.get(kinds[token], 1.0) / kinds.count(kinds[token]))
            if kinds[token] in ("Bar", "TimeShift"):
                self.table[0, :, token] += time_bias
            if kinds[token] == "TimeShift":
                numbers = [int(number) for number in name.partition("_")[2].split(".")]
                beats = numbers[0] / 50 if len(numbers) == 1 else numbers[0] + numbers[1] / numbers[2]
                self.table[0, :, token] -= 1.5 * beats
        self.prompts: list[list[int]] = []
        self.steps: list[list[int]] = []

    def prefill(self, tokens_BL: Tensor, *, num_rounds: int = 0) -> tuple[Tensor, StandInState]:
        self.prompts.append(tokens_BL[0].tolist())
        return self.logits(tokens_BL[:, -1], tokens_BL[:, -1]), StandInState(
            tokens_BL[:, -1], [tokens_BL.shape[1]] * len(tokens_BL)
        )

    def step(self, tokens_B: Tensor, state: StandInState) -> Tensor:
        assert len(tokens_B) == len(state.last_B)
        self.steps.append(tokens_B.tolist())
        logits_BV = self.logits(tokens_B, state.last_B)
        state.last_B, state.lengths = tokens_B, [length + 1 for length in state.lengths]
        return logits_BV

    def logits(self, tokens_B: Tensor, before_B: Tensor) -> Tensor:
        return self.table[0, tokens_B] + self.table[1, before_B]


class StandInState:
    """The last token of every row, and its number of tokens."""

    def __init__(self, last_B: Tensor, lengths: list[int]) -> None:
        self.last_B, self.lengths = last_B, lengths

    def expand(self, num: int) -> StandInState:
        return StandInState(self.last_B.repeat_interleave(num), [n for n in self.lengths for _ in range(num)])

    def admit(self, other: StandInState) -> None:
        self.last_B, self.lengths = torch.cat([self.last_B, other.last_B]), self.lengths + other.lengths

    def keep(self, rows: list[int]) -> None:
        self.last_B, self.lengths = self.last_B[rows], [self.lengths[row] for row in rows]


def full_score(*, metre: tuple[int, int] = (3, 4), bars: int = 8, ticks: int = 384) -> symusic.Score:
    """Two hands of a piano, a bass and drums, with controllers, bends, lyrics, markers, keys, tempos, a held chord.

    The metre is constant; tempos change at beats 5 and 13; ticks per quarter are odd. Some notes of the last bar sound
    far beyond it; the pedal of the left hand is never lifted, and the bass is bent at the end.
    """
    score = symusic.Score(ticks)
    bar = ticks * 4 * metre[0] // metre[1]
    score.time_signatures.append(symusic.TimeSignature(0, *metre))
    score.tempos.extend([symusic.Tempo(0, 90.0), symusic.Tempo(5 * ticks, 131.0), symusic.Tempo(13 * ticks, 77.0)])
    score.key_signatures.append(symusic.KeySignature(0, 2, 0))
    score.markers.extend([symusic.TextMeta(0, "Verse"), symusic.TextMeta(4 * bar, "Chorus")])
    right = symusic.Track("Right hand", 0, False)
    left = symusic.Track("Left hand", 0, False)
    bass = symusic.Track("Bass", 33, False)
    drums = symusic.Track("Kit", 0, True)
    for number in range(bars):
        start = number * bar
        for step, pitch in enumerate((72, 76, 79, 77)):
            right.notes.append(symusic.Note(start + step * bar // 4 + 7, bar // 4 - 13, pitch + number % 3, 71 + step))
        for pitch in (45, 52):
            left.notes.append(symusic.Note(start + 3, bar - 20, pitch + number % 2, 64))
        bass.notes.append(symusic.Note(start, bar // 2, 33 + number % 5, 88))
        drums.notes.extend([symusic.Note(start, 20, 36, 100), symusic.Note(start + bar // 2, 20, 38, 101)])
        left.controls.extend([symusic.ControlChange(start + 5, 64, 127), symusic.ControlChange(start + bar - 9, 64, 0)])
        right.controls.append(symusic.ControlChange(start + 11, 11, 60 + number))
        right.lyrics.append(symusic.TextMeta(start + 7, f"la{number}"))
    end = bars * bar
    left.notes.append(symusic.Note(end - ticks // 2, 5 * bar, 48, 55))
    right.notes.append(symusic.Note(end - ticks // 4, bar + 1, 84, 66))
    left.controls.append(symusic.ControlChange(end - 4, 64, 127))
    bass.pitch_bends.extend([symusic.PitchBend(9, 500), symusic.PitchBend(bar, 0), symusic.PitchBend(end - 30, -2000)])
    score.tracks.extend([right, left, bass, drums])
    return score


def quartet() -> symusic.Score:
    """Two violins, a viola and a second viola that is silent in the first bars."""
    score = full_score()
    score.tracks = type(score.tracks)([score.tracks[0].copy() for _ in range(4)])
    for number, (track, program) in enumerate(zip(score.tracks, (40, 40, 41, 41), strict=True)):
        track.program, track.name, track.is_drum = program, f"part {number}", False
        track.notes.filter(lambda note, number=number: note.time % 7 != number and note.time >= 480 * number)
        track.controls, track.pitch_bends, track.pedals, track.lyrics = (
            type(events)() for events in (track.controls, track.pitch_bends, track.pedals, track.lyrics)
        )
    return score
