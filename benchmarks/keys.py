"""How well keys are found: against POP909's key labels, and the key signatures of scores in the open corpora.

    python -m benchmarks.keys --corpora ../shared/corpora
    python -m benchmarks.keys --corpora ../shared/corpora --fit

Signatures are compared by their number of sharps, bar by bar; a score that modulates without a new signature counts
as wrong there. Beside it: the whole piece in the key whose profile correlates best, by Krumhansl and Kessler (1982) and
by Albrecht and Shanahan (2013). `--fit` prints the profiles and the change penalty of `midi/tonality.py`, fitted as a
conditional random field on the training songs of POP909 and on three quarters of the other scores, by composition
(where a signature is known, its major and minor key are both right); and the usual shares, from the same pieces.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from benchmarks.fit_chords import songs
from benchmarks.harness import show, write
from music_reformer.errors import UserError
from music_reformer.midi.score import read_score
from music_reformer.midi.tonality import bar_profiles, key_path

# Scores of each corpus, at the most; those of more notes are left out.
SCORES = {"openscore-lieder": 350, "openscore-stringquartets": 122, "openscore-orchestra": 95, "mutopia": 400}
MAX_NOTES = 15_000
HELD_OUT = 0.25
STRETCH = 64  # bars
KRUMHANSL = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)
ALBRECHT = (
    (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
    (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
)


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece with known keys.

    Attributes:
        corpus: where it is from.
        is_held_out: whether it is for measuring.
        profiles: sounding share of each pitch class in each bar, [bars, 12].
        allowed: keys that are right in each bar, as `key_path` numbers them, [bars, 24]; all where nothing is known.
    """

    corpus: str
    is_held_out: bool
    profiles: NDArray[np.float64]
    allowed: NDArray[np.bool_]


def pieces(corpora: Path) -> Iterator[Piece]:
    """All labelled pieces."""
    for held_out, splits in ((False, ["train"]), (True, ["validation", "test"])):
        for _, song in songs(corpora, *splits):
            ticks, profiles = bar_profiles(song.score)
            middle = (ticks[:-1] + ticks[1:]) / 2
            allowed = np.ones((len(profiles), 24), dtype=bool)
            for span in song.keys:
                tonic, is_minor = span.value
                allowed[(middle >= span.start) & (middle < span.end)] = np.arange(24) == tonic + 12 * is_minor
            yield Piece("pop909", held_out, profiles, allowed)
    with open(corpora / "open" / "groups.csv", newline="", encoding="utf-8") as file:
        groups = {(row["corpus"], row["file"]): row["group_id"] for row in csv.DictReader(file)}
    for corpus, most in SCORES.items():
        paths = sorted((corpora / "open" / corpus).rglob("*.mid"))
        for path in random.Random(2).sample(paths, min(most, len(paths))):
            group = groups.get((corpus, path.name))
            piece = None if group is None else notated(path, corpus, group)
            if piece is not None:
                yield piece


def notated(path: Path, corpus: str, group: str) -> Piece | None:
    """A score with its signatures; None if it has none at its beginning, or two at once, or is too long."""
    try:
        score = read_score(path)
    except UserError:
        return None
    signatures = sorted({(change.time, change.key) for change in score.key_signatures})
    times = [tick for tick, _ in signatures]
    if not times or times[0] > 0 or len(set(times)) < len(times) or score.note_num() > MAX_NOTES:
        return None
    ticks, profiles = bar_profiles(score)
    allowed = np.zeros((len(profiles), 24), dtype=bool)
    for tick, sharps in signatures:
        major = sharps * 7 % 12
        allowed[np.searchsorted(ticks, tick) :] = np.isin(np.arange(24), [major, 12 + (major + 9) % 12])
    draw = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) / 2**64
    return Piece(corpus, draw < HELD_OUT, profiles, allowed)


def correlating(profiles: tuple[tuple[float, ...], ...]) -> Callable[[NDArray[np.float64]], NDArray[np.int64]]:
    """The whole piece in one key."""
    rows = np.array([np.roll(profile, tonic) for profile in profiles for tonic in range(12)])
    rows = rows - rows.mean(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return lambda bars: np.full(len(bars), int((rows @ bars.sum(axis=0)).argmax()))


def measure(held_out: list[Piece], find: Callable[[NDArray[np.float64]], NDArray[np.int64]]) -> dict[str, Any]:
    """Shares of bars by corpus, "key" where the label has one, and how often keys change."""
    found: dict[str, Any] = {}
    for corpus in ("pop909", *SCORES):
        right = related = known = changes = bars = 0
        for piece in (piece for piece in held_out if piece.corpus == corpus):
            path = find(piece.profiles)
            is_known = ~piece.allowed.all(axis=1)
            relative = np.where(path < 12, 12 + (path + 9) % 12, (path + 3) % 12)
            hit = piece.allowed[np.arange(len(path)), path]
            right += int(hit[is_known].sum())
            related += int((hit | piece.allowed[np.arange(len(path)), relative])[is_known].sum())
            known += int(is_known.sum())
            changes += int((np.diff(path) != 0).sum())
            bars += len(path)
        if bars:
            found[corpus] = {"signature": related / known, "changes in 100 bars": 100 * changes / bars, "bars": bars}
        if corpus == "pop909":
            found[corpus]["key"] = right / known
    return found


def fit(training: list[Piece], steps: int = 120) -> tuple[NDArray[np.float32], float]:
    """Profiles of major and minor, [2, 12], and the score of a change of key."""
    profiles = torch.zeros(2, 12, requires_grad=True)
    change = torch.tensor(-6.0, requires_grad=True)
    from_tonic = (torch.arange(12)[:, None] + torch.arange(12)) % 12
    by_corpus: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for piece in training:
        for start in range(0, max(1, len(piece.profiles) - 8), STRETCH):
            part = slice(start, start + STRETCH)
            bars = torch.tensor(piece.profiles[part], dtype=torch.float32)
            by_corpus.setdefault(piece.corpus, []).append((bars, torch.tensor(piece.allowed[part])))
    optimizer = torch.optim.Adam([profiles, change], lr=0.1)
    draw = np.random.default_rng(0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / steps) + 0.002
        batch = [
            parts[index]
            for corpus, parts in by_corpus.items()
            for index in draw.choice(len(parts), min(len(parts), 120 if corpus == "pop909" else 40), replace=False)
        ]
        lengths = [len(bars) for bars, _ in batch]
        scores = torch.einsum("bti,mi->bmt", torch.cat([bars for bars, _ in batch])[:, from_tonic], profiles).flatten(1)
        padded = pad_sequence(scores.split(lengths), batch_first=True)
        allowed = pad_sequence([right for _, right in batch], batch_first=True, padding_value=True)
        gap = _total(padded, lengths, change) - _total(padded.masked_fill(~allowed, -1e4), lengths, change)
        loss = gap.sum() / sum(lengths) + 1e-4 * (profiles**2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}: {loss.item():.4f} nats a bar", flush=True)
    return profiles.detach().numpy(), change.item()


def usual(training: list[Piece]) -> NDArray[np.float64]:
    """Mean share of the sounding time of each degree, in semitones above the tonic, in major and minor: [2, 12]."""
    shares = np.zeros((2, 12))
    for piece in training:
        of_piece = np.zeros((2, 12))
        for key, profile in zip(key_path(piece.profiles), piece.profiles, strict=True):
            of_piece[key // 12] += np.roll(profile, -key % 12)
        shares += of_piece / max(of_piece.sum(), 1e-9)
    return shares / shares.sum(axis=1, keepdims=True)


def _total(scores: torch.Tensor, lengths: list[int], change: torch.Tensor) -> torch.Tensor:
    """Logarithm of the summed chances of all paths of keys, by stretch."""
    alive = torch.arange(scores.shape[1]) < torch.tensor(lengths)[:, None]
    total = scores[:, 0]
    for bar in range(1, scores.shape[1]):
        anywhere = total.logsumexp(dim=1, keepdim=True) + change
        moved = torch.logaddexp(anywhere, total + torch.log1p(-change.exp())) + scores[:, bar]
        total = torch.where(alive[:, bar, None], moved, total)
    return total.logsumexp(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    everything = list(pieces(options.corpora))
    if options.fit:
        training = [piece for piece in everything if not piece.is_held_out]
        profiles, change = fit(training)
        print(np.round(profiles, 2).tolist(), round(change, 2))
        print(np.round(usual(training), 3).tolist())
        return
    held_out = [piece for piece in everything if piece.is_held_out]
    methods = {
        "by bar": key_path,
        "whole piece, Albrecht": correlating(ALBRECHT),
        "whole piece, Krumhansl": correlating(KRUMHANSL),
    }
    rows = [{"method": name, **measure(held_out, find)} for name, find in methods.items()]
    lines = []
    for corpus in ("pop909", *SCORES):
        count = sum(piece.corpus == corpus for piece in held_out)
        for what in ("key", "signature", "changes in 100 bars"):
            if what in rows[0][corpus]:
                form = "{:.2f}" if "changes" in what else "{:.1%}"
                lines.append([f"{corpus} ({count}), {what}", *(form.format(row[corpus][what]) for row in rows)])
    show("Keys, share of bars", ["", *methods], lines)
    print(write("keys", settings={"held_out": HELD_OUT}, rows=rows, device="cpu"))


if __name__ == "__main__":
    main()
