"""Does studying a piece make what really follows more likely, and do studied weights merely copy?

The pieces of `benchmarks.usable` are cut at the same places. The weights study the music before the cut; then both they
and the unstudied weights predict up to 1,024 tokens of what follows in the piece. Both also compose 16 bars. The length
of the longest passage that these share with the music before the cut stands beside that of the piece's own next bars.

    python -m benchmarks.study

Give it the folder of corpora with --corpora or MUSIC_REFORMER_CORPORA (default: ../shared/corpora). On two cores it
takes some ten minutes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.harness import in_children, machine, show, use_threads, write
from benchmarks.usable import add_corpora, composed_scores, cut_pieces

FOLLOWING = 1024  # tokens of the real continuation
READ = 2048  # tokens before it that the model sees
FEWEST = 100  # tokens of a real continuation that counts
BARS = 16  # composed
SAME = 0.002  # nats per token; a smaller change counts as none


def study_genre(
    *, checkpoint: str, corpora: str, genre: str, pieces: int, steps: int, threads: int
) -> dict[str, list[dict[str, Any]]]:
    """In a child process: for each piece of a genre, the losses with and without studying, and the longest passages."""
    from music_reformer.generation.generator import Generator
    from music_reformer.generation.request import Request
    from music_reformer.midi.score import count_bars

    use_threads(threads)
    generator = Generator.load(checkpoint, "cpu")
    found = []
    for file, piece, cut in cut_pieces(corpora, genre, pieces):
        request = Request(length=f"{BARS}bars", cut_bar=cut, study=steps)
        study = generator.study(piece, request)
        begun = time.perf_counter()
        for _ in study:
            pass
        seconds, lesson = time.perf_counter() - begun, study.lesson
        taught = generator.taught(lesson)
        before = _loss_of_what_follows(generator, piece, cut)
        if before is None:
            continue
        found.append(
            {
                "file": file,
                "seconds": seconds,
                "steps": lesson.steps if lesson.changes else 0,
                "before": before,
                "after": before if taught is generator else _loss_of_what_follows(taught, piece, cut),
                "longest": _longest_passage(composed_scores(generator, piece, request)[0], cut),
                "longest_studied": _longest_passage(composed_scores(taught, piece, request)[0], cut),
                "longest_own": _longest_passage(piece, cut) if count_bars(piece) >= cut + BARS else None,
            }
        )
    return {"studied": found}


def _loss_of_what_follows(generator: Any, piece: Any, cut: int) -> float | None:
    """Nats per token of the piece from bar `cut` on; None if little follows."""
    import torch

    from music_reformer.model.loss import IGNORED

    tokenizer = generator.tokenizer
    ids = np.concatenate([[tokenizer.bos_id], tokenizer.encode(piece)]).astype(np.int64)
    lines = [index for index, token in enumerate(ids) if tokenizer.vocabulary.kinds[token] == "Bar"]
    if len(lines) <= cut or len(ids) - lines[cut] < FEWEST:
        return None
    first = lines[cut]
    begin = max(0, first - READ)
    row = torch.from_numpy(ids[begin : first + FOLLOWING])[None]
    targets = row[:, 1:].clone()
    targets[:, : first - begin - 1] = IGNORED
    position = torch.arange(begin, begin + targets.shape[1])[None]
    with torch.inference_mode():
        total, count = generator.decoder.model.loss(row[:, :-1], targets, position_BL=position)
    return float(total / count)


def _longest_passage(score: Any, cut: int) -> int:
    """Notes of the longest passage of the 16 bars from `cut` on that the music before it has, too."""
    from music_reformer.evaluation.judging import NewMusic, judge
    from music_reformer.midi.score import bar_starts

    lines = bar_starts(score)
    end = lines[min(cut + BARS, len(lines) - 1)]
    return judge([score.clip(0, end, True)], NewMusic(lines[cut], end))[0].longest_in_piece


def row(genre: str, pieces: Sequence[dict[str, Any]]) -> list[str]:
    """The table's row of some pieces."""
    change = [piece["after"] - piece["before"] for piece in pieces]
    own = [piece["longest_own"] for piece in pieces if piece["longest_own"] is not None]
    return [
        genre,
        str(len(pieces)),
        f"{np.mean([piece['before'] for piece in pieces]):.3f}",
        f"{np.mean(change):+.3f}",
        f"{max(change):+.3f}",
        f"{sum(each < -SAME for each in change)}, {sum(each > SAME for each in change)}",
        f"{statistics.median(piece['seconds'] for piece in pieces):.1f} s",
        *(f"{statistics.median(piece[side] for piece in pieces):.0f}" for side in ("longest", "longest_studied")),
        f"{statistics.median(own):.0f}" if own else "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="pretrained")
    add_corpora(parser)
    parser.add_argument("--pieces", type=int, default=100, help="of each genre")
    parser.add_argument("--steps", type=int, default=6, help="most training steps")
    options = parser.parse_args()
    print(machine("cpu"))
    common = {name: getattr(options, name) for name in ("checkpoint", "corpora", "pieces", "steps", "threads")}
    tasks = [{"genre": genre, **common} for genre in options.genres]
    done = in_children("study", "benchmarks.study:study_genre", tasks, workers=options.workers)
    lines = [row(each["genre"], each["studied"]) for each in done if each["studied"]]
    lines.append(row("all", [piece for each in done for piece in each["studied"]]))
    show(
        "What studying gives",
        [
            *("genre", "pieces", "nats per token", "change", "worst", "better, worse", "time"),
            *("longest passage", "studied", "the pieces' own"),
        ],
        lines,
    )
    print(f"\n{write('study', settings=vars(options), rows=done, device='cpu')}")


if __name__ == "__main__":
    main()
