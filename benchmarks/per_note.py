"""Nats per note of held-out pieces: the weights of this checkout beside those of another one, whose tokens differ.

    git worktree add ../before d5d5638
    python -m benchmarks.per_note ../before --data datasets/open

Tokens of different encodings do not compare, notes do. Pieces of the test split (where it has too few, of the
validation split) are written as MIDI files from the store, so that both sides read the same notes on the same grid,
and each side encodes and scores whole files. What counts is all that a side writes, bars, tempos and instruments
included, divided by the number of notes in the file. This side is scored three times: without chords, as the weights
before write no chords either; with chords in front of the notes; and without chords, by what both sides can tell. For
the grid before was coarser: it rounds positions, durations and tempos, and has less to say about played music. So each
such token counts with the total probability of all tokens that the other side rounds to the same value.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import show, write
from music_reformer.data.store import Piece, TokenStore
from music_reformer.evaluation.confidence import ratio
from music_reformer.midi.parts import GRID
from music_reformer.midi.vocabulary import Vocabulary

HERE = Path(__file__).parent.parent
SIDES = ("before", "now", "with_chords", "told_by_both")
SHORTEST, LONGEST = 500, 16_000  # tokens
# Prints the names of all tokens, reads a grid, then names of files, and answers each with [nats, nats of what the grid
# can tell]; works in both checkouts. A grid is a number for each token: those that it cannot tell apart have the same
# one. An empty grid is not counted.
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
print(json.dumps(list(tokenizer.tokens)), flush=True)
grid = torch.tensor(json.loads(sys.stdin.readline()))
for line in sys.stdin:
    body = tokenizer.encode(read_score(line.strip()))
    tokens = np.concatenate([[tokenizer.bos_id], body, [tokenizer.eos_id]]).astype(np.int64)
    with torch.inference_mode():
        row = torch.from_numpy(tokens)[None]
        logits_LV = loaded.model(row[:, :-1])[0]
        nats = told = 0.0
        for each, target in zip(logits_LV.split(1024), row[0, 1:].split(1024)):
            logits = each.double()
            nats += float(torch.nn.functional.cross_entropy(logits, target, reduction="sum"))
            if len(grid):
                same = grid[None] == grid[target][:, None]
                told -= float((logits.masked_fill(~same, -torch.inf).logsumexp(1) - logits.logsumexp(1)).sum())
    print(json.dumps([nats, told]), flush=True)
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


def grid_of(tokens: Sequence[str], before: Sequence[str]) -> list[int]:
    """A number for each token; tokens between which the encoding before does not distinguish have the same one.

    Args:
        tokens: names of this side's tokens, in the Parts encoding.
        before: names of the other side's.
    """
    mine, theirs = Vocabulary(tokens), Vocabulary(before)
    durations = [beats + parts / per_beat for beats, parts, per_beat in _values(theirs, "Duration")]
    step, tempos = min(durations), _values(theirs, "Tempo")
    numbers: dict[tuple[str, Any], int] = {}

    def told(kind: str, value: Any) -> Any:
        if kind == "Duration":
            return int(np.abs(np.array(durations) - value / GRID).argmin())
        if kind == "Position":
            return int(np.floor(value / GRID / step + 0.5))
        return int(np.abs(np.array(tempos) - value).argmin()) if kind == "Tempo" else value

    pairs = [(kind, told(kind, value)) for kind, value in zip(mine.kinds, mine.values, strict=True)]
    return [numbers.setdefault(pair, len(numbers)) for pair in pairs]


def _values(vocabulary: Vocabulary, kind: str) -> list[Any]:
    return [vocabulary.values[token] for token in vocabulary.ids_of[kind]]


def score(
    checkout: Path, files: list[Path], *, threads: int, chords: bool = False, before: Sequence[str] | None = None
) -> tuple[list[dict[str, float]], list[str]]:
    """Nats of each file by the weights of a checkout, and the names of all tokens.

    Args:
        checkout: with its weights.
        files: MIDI files.
        threads: of torch.
        chords: whether chords are written before the notes.
        before: names of another encoding's tokens; nats of what both can tell are counted, too.
    """
    with subprocess.Popen(
        [sys.executable, "-c", CHILD.format(chords=chords, threads=threads)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        tokens = json.loads(child.stdout.readline())
        print(json.dumps([] if before is None else grid_of(tokens, before)), file=child.stdin, flush=True)
        scored = []
        for file in files:
            print(file, file=child.stdin, flush=True)
            answer = json.loads(child.stdout.readline())
            scored.append(dict(zip(("nats", "told_by_both"), answer, strict=True)))
    return scored, tokens


def measure(before: Path, data: str, count: int, threads: int) -> dict[str, list[dict[str, Any]]]:
    """By corpus, of each piece: its notes, and the nats of each side."""
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
        of_before, names = score(before, files, threads=threads)
        now, _ = score(HERE, files, threads=threads, before=names)
        with_chords, _ = score(HERE, files, threads=threads, chords=True)
    found: dict[str, list[dict[str, Any]]] = {corpus: [] for corpus in pieces}
    for number, (corpus, piece) in enumerate(drawn):
        sides = {
            "before": of_before[number]["nats"],
            "now": now[number]["nats"],
            "with_chords": with_chords[number]["nats"],
            "told_by_both": now[number]["told_by_both"],
        }
        found[corpus].append({"source": piece.source, "notes": notes[number], **sides})
    return found


def row(corpus: str, pieces: list[dict[str, Any]]) -> list[str]:
    """Nats per note of each side, and the ratio of the sides, with its interval."""

    def nats(side: str) -> Any:
        return np.array([piece[side] for piece in pieces])

    notes = np.array([float(piece["notes"]) for piece in pieces])
    change, of_both = (ratio(nats(side), nats("before")) for side in ("now", "told_by_both"))
    return [
        corpus,
        str(len(pieces)),
        f"{int(notes.sum()):,}",
        *(f"{nats(side).sum() / notes.sum():.2f}" for side in SIDES),
        f"{change['value']:.2f} ({change['low']:.2f} to {change['high']:.2f})",
        f"{of_both['value']:.2f} ({of_both['low']:.2f} to {of_both['high']:.2f})",
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
        [
            "corpus",
            "pieces",
            "notes",
            *(side.replace("_", " ") for side in SIDES),
            "now / before",
            "both / before",
        ],
        [row(corpus, pieces) for corpus, pieces in found.items()],
    )
    rows = [{"corpus": corpus, **piece} for corpus, pieces in found.items() for piece in pieces]
    write("per_note", settings={"pieces": options.pieces}, rows=rows, device="cpu")


if __name__ == "__main__":
    main()
