"""Nats per note of held-out pieces: the weights of this checkout beside those of another one, whose tokens differ.

    git worktree add ../before d5d5638
    python -m benchmarks.per_note ../before --data datasets/open

Tokens of different encodings do not compare, notes do. Pieces of the test split (where it has too few, of the
validation split) are written as MIDI files from the store, so that both sides read the same notes on the same grid,
and each side encodes and scores whole files. What counts is all that a side writes, bars, tempos and instruments
included, divided by the number of notes in the file. This side is scored three times: without chords, as the weights
before write no chords either; with chords in front of the notes; and without chords, on the notes as the other side has
rounded them, for a coarser grid has less to say about played music.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import show, write
from music_reformer.data.store import Piece, TokenStore
from music_reformer.evaluation.confidence import ratio

HERE = Path(__file__).parent.parent
SIDES = ("before", "now", "with_chords", "rounded")
SHORTEST, LONGEST = 500, 16_000  # tokens
# Reads names of files and answers with [nats, number of notes written]; works in both checkouts. What was written it
# decodes to a file beside the first.
CHILD = """
import dataclasses, json, sys
import numpy as np, torch
from music_reformer.midi.score import read_score
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.weights import load_weights
torch.set_num_threads({threads})
loaded = load_weights("pretrained")
config = MusicTokenizer.from_json(loaded.tokenizer_settings).config
tokenizer = MusicTokenizer(dataclasses.replace(config, use_chords={chords}))
is_pitch = np.array([name.startswith(("Pitch_", "PitchDrum_", "Drum_")) for name in tokenizer.tokens])
for line in sys.stdin:
    body = tokenizer.encode(read_score(line.strip()))
    if {rounds}:
        tokenizer.decode(body).dump_midi(line.strip() + ".rounded.mid")
    tokens = np.concatenate([[tokenizer.bos_id], body, [tokenizer.eos_id]]).astype(np.int64)
    with torch.inference_mode():
        row = torch.from_numpy(tokens)[None]
        nats = loaded.model.token_losses(row[:, :-1], row[:, 1:])[0].double().sum()
    print(json.dumps([float(nats), int(is_pitch[body].sum())]), flush=True)
"""


def held_out(store: TokenStore, count: int) -> dict[str, list[Piece]]:
    """Pieces by corpus, drawn with a seed: of the test split first."""
    found: dict[str, list[Piece]] = {}
    for split in ("test", "validation"):
        pieces = [piece for piece in store.split(split) if SHORTEST <= piece.length <= LONGEST]
        random.Random(0).shuffle(pieces)
        for piece in pieces:
            corpus = found.setdefault(piece.corpus, [])
            if len(corpus) < count:
                corpus.append(piece)
    return dict(sorted(found.items()))


def score(
    checkout: Path, files: list[Path], *, threads: int, chords: bool = False, rounds: bool = False
) -> list[tuple[float, int]]:
    """Nats and number of notes of each file, by the weights of a checkout.

    With `rounds`, each file is also decoded from its tokens, and written beside it as FILE.rounded.mid.
    """
    child = subprocess.run(
        [sys.executable, "-c", CHILD.format(chords=chords, rounds=rounds, threads=threads)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        input="".join(f"{file}\n" for file in files),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [tuple(json.loads(line)) for line in child.stdout.splitlines()]


def measure(before: Path, data: str, count: int, threads: int) -> dict[str, list[dict[str, Any]]]:
    """By corpus, of each piece: its notes, and nats and notes of each side."""
    store = TokenStore.open(data)
    pieces = held_out(store, count)
    drawn = [(corpus, piece) for corpus, some in pieces.items() for piece in some]
    with tempfile.TemporaryDirectory() as temporary:
        files, notes = [], []
        for number, (_, piece) in enumerate(drawn):
            written = store.music_tokenizer.decode(store.tokens(piece))
            files.append(Path(temporary) / f"{number}.mid")
            notes.append(sum(len(track.notes) for track in written.tracks))
            written.dump_midi(files[-1])
        sides = {
            "before": score(before, files, threads=threads, rounds=True),
            "now": score(HERE, files, threads=threads),
            "with_chords": score(HERE, files, threads=threads, chords=True),
            "rounded": score(HERE, [Path(f"{file}.rounded.mid") for file in files], threads=threads),
        }
    found: dict[str, list[dict[str, Any]]] = {corpus: [] for corpus in pieces}
    for number, (corpus, piece) in enumerate(drawn):
        scored = {side: dict(zip(("nats", "notes"), each[number], strict=True)) for side, each in sides.items()}
        found[corpus].append({"source": piece.source, "notes": notes[number], **scored})
    return found


def row(corpus: str, pieces: list[dict[str, Any]]) -> list[str]:
    """Nats per note of each side, and the ratio of the sides, with its interval."""

    def nats(side: str) -> Any:
        return np.array([piece[side]["nats"] for piece in pieces])

    notes = np.array([float(piece["notes"]) for piece in pieces])
    change, of_rounded = (ratio(nats(side), nats("before")) for side in ("now", "rounded"))
    return [
        corpus,
        str(len(pieces)),
        f"{int(notes.sum()):,}",
        *(f"{nats(side).sum() / notes.sum():.2f}" for side in SIDES),
        f"{change['value']:.2f} ({change['low']:.2f} to {change['high']:.2f})",
        f"{of_rounded['value']:.2f} ({of_rounded['low']:.2f} to {of_rounded['high']:.2f})",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="another checkout")
    parser.add_argument("--data", default="datasets/open", help="a token store of this checkout")
    parser.add_argument("--pieces", type=int, default=8, help="of each corpus")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    found = measure(options.before.resolve(), options.data, options.pieces, options.threads)
    show(
        "Nats per note",
        ["corpus", "pieces", "notes", "before", "now", "with chords", "rounded", "now / before", "rounded / before"],
        [row(corpus, pieces) for corpus, pieces in found.items()],
    )
    rows = [{"corpus": corpus, **piece} for corpus, pieces in found.items() for piece in pieces]
    write("per_note", settings={"pieces": options.pieces}, rows=rows, device="cpu")


if __name__ == "__main__":
    main()
