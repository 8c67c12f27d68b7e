"""What it is worth to see both sides of a hole: nats per token of bars of held-out songs, exact.

For each song a hole of some bars in the middle. The same tokens of the same bars are scored by the same weights as what
follows the bars before (the plain order), and as what fills the hole (the context, then the hole).

    python -m benchmarks.both_sides --checkpoint pretrained --data datasets/pop909-voices
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from benchmarks.harness import in_child, machine, show, use_threads, write

BARS = [1, 2, 4, 8, 16]


def score(*, checkpoint: str, data: str, num_pieces: int, bars: list[int], threads: int) -> list[dict[str, Any]]:
    """In a child process: of each song and length of the hole, nats and number of the hole's tokens."""
    import torch

    from music_reformer.data.store import TokenStore
    from music_reformer.midi.bars import BarReader
    from music_reformer.midi.infill import cut_hole
    from music_reformer.model.weights import load_weights

    use_threads(threads)
    store, model = TokenStore.open(data), load_weights(checkpoint).model
    reader = BarReader(store.tokenizer.vocabulary)

    def nats(ids: list[int], begin: int, end: int) -> float:
        """Of tokens `begin` to `end - 1`, given all before each."""
        tokens = torch.tensor([ids])
        losses = model.token_losses(tokens[:, :-1], tokens[:, 1:])[0]
        return float(losses[begin - 1 : end - 1].sum())

    rows = []
    for piece in list(store.split("test"))[:num_pieces]:
        ids = store.tokens(piece)
        lines = reader.bars(ids)
        for count in bars:
            first = (len(lines) - count) // 2
            begin, end = int(lines[first]), int(lines[first + count])
            cut = cut_hole(reader, ids, first, count)
            filled = [*cut.context, *cut.hole]
            if cut.hole != ids[begin:end].tolist():
                continue  # A change of tempo stays in the context: the tokens are not the same.
            rows.append(
                {
                    "bars": count,
                    "tokens": end - begin,
                    "plain": nats(ids.tolist(), begin, end),
                    "filled": nats(filled, len(filled) - len(cut.hole), len(filled)),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="pretrained")
    parser.add_argument("--data", default="datasets/pop909-voices", help="a token store")
    parser.add_argument("--pieces", type=int, default=32, help="songs of the test split")
    parser.add_argument("--bars", type=int, nargs="+", default=BARS)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    print(machine("cpu"))
    rows = in_child(
        "benchmarks.both_sides:score",
        checkpoint=options.checkpoint,
        data=options.data,
        num_pieces=options.pieces,
        bars=options.bars,
        threads=options.threads,
    )
    lines = []
    for count in options.bars:
        some = [row for row in rows if row["bars"] == count]
        tokens = sum(row["tokens"] for row in some)
        better = statistics.mean(row["filled"] < row["plain"] for row in some)
        plain, filled = (sum(row[way] for row in some) / tokens for way in ("plain", "filled"))
        lines.append([count, len(some), f"{tokens:,}", f"{plain:.3f}", f"{filled:.3f}", f"{100 * better:.0f} %"])
    show(
        f"nats per token of bars in the middle of {options.pieces} test songs, {options.checkpoint}",
        ["bars", "songs", "tokens", "given what comes before", "given both sides", "songs in which that is better"],
        lines,
    )
    print(f"\n{write('both_sides', settings=vars(options), rows=rows, device='cpu')}")


if __name__ == "__main__":
    main()
