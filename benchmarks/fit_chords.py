"""Fits the chord recogniser on POP909's training songs and made pieces; writes `music_reformer/midi/harmony.npz`.

The path of chords is a conditional random field over the states and features of `midi/harmony.py`; its likelihood is
maximised by Adam over stretches of 48 beats. The score of a pitch class is the sum of one by its role in the chord
(root, third, fifth, seventh or sixth, suspension, or its interval where it is not in the chord) and of a deviation that
its quality has to pay for, so that rare qualities get sensible scores.

Made pieces (`made_harmony.py`) are two fifths of all stretches: without them, seventh and diminished chords, rare in
pop songs, are heard as triads. And every sounding pitch class speaks against silence: without that, one beat in four of
a string quartet had no chord.

    python -m benchmarks.fit_chords --corpora ../shared/corpora

Takes some fifteen minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus
from torch.nn.utils.rnn import pad_sequence

from benchmarks.made_harmony import made_piece
from music_reformer.config import CorpusConfig
from music_reformer.data.corpora.corpus_manifest import read_manifest
from music_reformer.data.corpora.pop909_labels import LabelledSong, LabelSpan, read_song
from music_reformer.data.corpora.splits import find_files
from music_reformer.midi.beats import beats_of, pitched_notes
from music_reformer.midi.chords import INTERVALS, QUALITIES, Chord
from music_reformer.midi.harmony import FEATURES, WEIGHTS, pitch_class_profiles

NAMES = [quality for quality in QUALITIES if quality != "N"]
NUM_STATES = 12 * len(NAMES) + 1
MADE_PIECES = 3500
# Added to the score of power chords after the fit: pop songs call a chord major or minor that has no third. It costs
# 0.4 points of agreement on the validation songs.
POWER_BONUS = 0.5
MIN_AGAINST_SILENCE = 0.3  # of a pitch class that sounds through the beat, by feature
STRETCH, STRETCHES = 48, 320  # beats of a stretch, stretches of a step
RATE, DECAY = 0.05, 1e-4


def songs(corpora: Path, *splits: str) -> Iterator[tuple[str, LabelledSong]]:
    """(source, song) of the songs of some splits, in order of their names."""
    config = CorpusConfig(
        name="pop909", path=str(corpora / "pop909"), validation_fraction=0.05, test_fraction=0.05
    )  # as in conf/corpus/pop909.yaml
    for file in sorted(find_files(config, read_manifest("pop909"))):
        if file.split in splits:
            name = file.source.removesuffix(".mid")
            yield file.source, read_song(corpora / "pop909" / file.source, corpora / "pop909-labels" / name)


def state_of(chord: Chord) -> int:
    """Its state in the path."""
    return NUM_STATES - 1 if chord.quality == "N" else chord.root * len(NAMES) + NAMES.index(chord.quality)


def by_beat(tick: NDArray[np.int64], spans: list[LabelSpan[Chord]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """State and bass of the label that fills most of each beat, [B] each; -1 where there is none."""
    longest = np.zeros(len(tick) - 1)
    states, bass = np.full((2, len(longest)), -1)
    for span in spans:
        shared = np.minimum(span.end, tick[1:]) - np.maximum(span.start, tick[:-1])
        longer = shared > longest
        longest[longer], states[longer], bass[longer] = shared[longer], state_of(span.value), span.value.bass
    return states, bass


def roles() -> NDArray[np.int64]:
    """Role of each interval above the root in each quality, [12, Q]."""
    kinds = {0: 0, 3: 1, 4: 1, 6: 2, 7: 2, 8: 2, 9: 3, 10: 3, 11: 3, 2: 4, 5: 4}
    return np.array([[kinds[step] if step in INTERVALS[name] else 5 + step for name in NAMES] for step in range(12)])


class ChordField(torch.nn.Module):
    """The weights, as they are fitted."""

    def __init__(self) -> None:
        super().__init__()
        num, features = len(NAMES), len(FEATURES)
        self.roles = torch.tensor(roles())
        by_role = torch.zeros(features, 17)
        by_role[:, :5] = 0.5
        self.by_role = torch.nn.Parameter(by_role)
        self.deviation = torch.nn.Parameter(torch.zeros(features, 12, num))
        self.quality = torch.nn.Parameter(torch.zeros(num))
        self.sound = torch.nn.Parameter(torch.full((features,), -1.0))
        self.no_sound = torch.nn.Parameter(torch.tensor(0.0))
        self.stay = torch.nn.Parameter(torch.tensor([1.0, 2.5, 4.0]))
        self.change = torch.nn.Parameter(torch.full((12, num, num), -3.0))
        self.leave = torch.nn.Parameter(torch.tensor(-3.0))
        self.enter = torch.nn.Parameter(torch.tensor(-6.0))

    def chord(self) -> Tensor:
        return self.by_role[:, self.roles] + self.deviation

    def silence(self) -> Tensor:
        return torch.cat([-MIN_AGAINST_SILENCE - softplus(self.sound), self.no_sound[None]])

    def penalty(self) -> Tensor:
        squares = (self.deviation**2).sum() + ((self.change + 3) ** 2).sum() + (self.by_role**2).sum()
        return DECAY * squares + DECAY / 10 * (self.quality**2).sum()

    def scores(self, profiles: Tensor) -> Tensor:
        """`harmony.chord_scores`, differentiable: [B, F, 12] to [B, C]."""
        from_root = (torch.arange(12)[:, None] + torch.arange(12)) % 12
        fit = torch.einsum("bfri,fiq->brq", profiles[:, :, from_root], self.chord()) + self.quality
        silence = self.silence()
        none = profiles.sum(dim=2) @ silence[:-1] + silence[-1]
        return torch.cat([fit.flatten(1), none[:, None]], dim=1)

    def change_scores(self) -> Tensor:
        """Score of every change, [C from, C to]; the diagonal means nothing."""
        step = (torch.arange(12) - torch.arange(12)[:, None]) % 12
        size = NUM_STATES - 1
        chords = self.change[step].transpose(1, 2).reshape(size, size)
        right, below = self.leave.expand(size, 1), self.enter.expand(1, size)
        return torch.cat([torch.cat([chords, right], 1), torch.cat([below, torch.zeros(1, 1)], 1)], 0)

    def loss(self, profiles: list[Tensor], strengths: list[Tensor], labels: list[Tensor]) -> Tensor:
        """Negative log-likelihood of the labelled paths, in nats a beat."""
        lengths = torch.tensor([len(label) for label in labels])
        scores = pad_sequence(self.scores(torch.cat(profiles)).split(lengths.tolist()), batch_first=True)
        strength, label = pad_sequence(strengths, batch_first=True), pad_sequence(labels, batch_first=True)
        change = self.change_scores()
        chances = change.exp() * (1 - torch.eye(NUM_STATES))
        stay = self.stay[strength]
        alive = torch.arange(scores.shape[1]) < lengths[:, None]
        total = scores[:, 0]
        for beat in range(1, scores.shape[1]):
            highest = total.max(dim=1, keepdim=True).values
            before = (total - highest).exp()
            into = before @ chances + before * stay[:, beat, None].exp()
            new = into.clamp(min=1e-30).log() + highest + scores[:, beat]
            total = torch.where(alive[:, beat, None], new, total)
        right = (scores.gather(2, label[:, :, None])[:, :, 0] * alive).sum()
        moves = torch.where(label[:, 1:] == label[:, :-1], stay[:, 1:], change[label[:, :-1], label[:, 1:]])
        right = right + (moves * alive[:, 1:]).sum()
        return (total.logsumexp(1).sum() - right) / lengths.sum()


class BassField(torch.nn.Module):
    """The weights of the bass under given chords."""

    def __init__(self) -> None:
        super().__init__()
        self.by_interval = torch.nn.Parameter(torch.zeros(12, 1))
        self.deviation = torch.nn.Parameter(torch.zeros(12, len(NAMES)))
        self.sounds = torch.nn.Parameter(torch.tensor(2.0))
        self.stays = torch.nn.Parameter(torch.tensor(1.0))

    def prior(self) -> Tensor:
        return self.by_interval + self.deviation

    def loss(self, profiles: list[Tensor], chords: list[Tensor], labels: list[Tensor]) -> Tensor:
        """Negative log-likelihood of the labelled basses, in nats a beat with a chord."""
        chord, label = pad_sequence(chords, True, NUM_STATES - 1), pad_sequence(labels, True)
        sound = pad_sequence([part[:, FEATURES.index("bass")] for part in profiles], batch_first=True)
        alive = chord < NUM_STATES - 1
        root, quality = chord.clamp(max=NUM_STATES - 2) // len(NAMES), chord % len(NAMES)
        scores = self.prior()[(torch.arange(12) - root[..., None]) % 12, quality[..., None]] + self.sounds * sound
        scores = scores * alive[..., None]
        total = scores[:, 0]
        right = scores.gather(2, label[..., None]).sum()
        for beat in range(1, chord.shape[1]):
            goes_on = (chord[:, beat] == chord[:, beat - 1]) & alive[:, beat]
            stays = (self.stays * goes_on)[:, None]
            elsewhere = total.logsumexp(1, keepdim=True)
            # All moves, and the surplus of staying: log(sum of all + own * (exp(stays) - 1)).
            total = torch.logaddexp(elsewhere, total + torch.log(torch.expm1(stays).clamp(min=1e-30))) + scores[:, beat]
            right = right + (stays[:, 0] * (label[:, beat] == label[:, beat - 1])).sum()
        # A beat without a chord adds log(12) to the total whatever the weights.
        return (total.logsumexp(1).sum() - right) / alive.sum()


def stretches(corpora: Path) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
    """Profiles, strengths, chords and basses of stretches of the songs that are on their grid, and of made pieces."""
    found: tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]] = ([], [], [], [])
    for _, song in songs(corpora, "train"):
        if not song.is_aligned:
            continue
        beats = beats_of(song.score)
        chords, bass = by_beat(beats.tick, song.chords)
        labelled = np.flatnonzero(chords >= 0)
        for beat in np.flatnonzero(chords < 0):
            chords[beat], bass[beat] = chords[beat - 1], bass[beat - 1]
        profiles = pitch_class_profiles(pitched_notes(song.score), beats).astype(np.float32)
        for start in range(labelled[0], labelled[-1] - STRETCH // 4, STRETCH):
            part = slice(start, min(start + STRETCH, labelled[-1] + 1))
            for kind, values in zip(found, (profiles, beats.strength, chords, bass), strict=True):
                kind.append(torch.tensor(values[part]))
    random = np.random.default_rng(0)
    for _ in range(MADE_PIECES):
        piece = made_piece(random)
        beats = beats_of(piece.score)
        num_beats = min(len(beats), STRETCH)  # rests at the end have no beats
        profiles = pitch_class_profiles(pitched_notes(piece.score), beats).astype(np.float32)
        known = piece.chords[:num_beats]
        of_chords, of_bass = np.array([(state_of(chord), chord.bass) for chord in known]).T
        for kind, values in zip(found, (profiles, beats.strength, of_chords, of_bass), strict=True):
            kind.append(torch.tensor(values[:num_beats]))
    return found


def maximise(module: torch.nn.Module, loss: Callable[[list[int]], Tensor], count: int, epochs: float) -> None:
    """Adam over random stretches; `loss` is that of some of `count` stretches, decay included."""
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
    steps = round(epochs * count / STRETCHES)
    random = np.random.default_rng(0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps) + RATE / 50
        value = loss(random.choice(count, min(count, STRETCHES), replace=False).tolist())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if step % 10 == 0 or step + 1 == steps:
            print(f"{type(module).__name__}, step {step + 1} of {steps}: {value.item():.4f}", flush=True)


def fit(corpora: Path, epochs: float) -> dict[str, NDArray[np.float32]]:
    """The fitted arrays of `HarmonyWeights`."""
    profiles, strengths, chords, bass = stretches(corpora)
    chord_field, bass_field = ChordField(), BassField()

    def some(kind: list[Tensor], chosen: list[int]) -> list[Tensor]:
        return [kind[index] for index in chosen]

    def chord_loss(chosen: list[int]) -> Tensor:
        parts = some(profiles, chosen), some(strengths, chosen), some(chords, chosen)
        return chord_field.loss(*parts) + chord_field.penalty()

    def bass_loss(chosen: list[int]) -> Tensor:
        penalty = DECAY * (bass_field.deviation**2).sum()
        return bass_field.loss(some(profiles, chosen), some(chords, chosen), some(bass, chosen)) + penalty

    maximise(bass_field, bass_loss, len(chords), min(epochs, 3.0))
    maximise(chord_field, chord_loss, len(chords), epochs)
    arrays = {name: getattr(chord_field, name) for name in ("quality", "stay", "change", "leave", "enter")}
    arrays |= {"chord": chord_field.chord(), "silence": chord_field.silence(), "bass": bass_field.prior()}
    arrays |= {"bass_sounds": bass_field.sounds, "bass_stays": bass_field.stays}
    fitted = {name: value.detach().numpy().astype(np.float32) for name, value in arrays.items()}
    fitted["quality"][NAMES.index("5")] += POWER_BONUS
    return fitted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, required=True, help="holds pop909/ and pop909-labels/")
    parser.add_argument("--epochs", type=float, default=4.0)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    np.savez_compressed(options.output, **fit(options.corpora, options.epochs))


if __name__ == "__main__":
    main()
