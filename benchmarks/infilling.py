"""How close recomposed bars are to the bars that stood there, and to the bars around them.

Of held-out pieces of twelve genres (those of `benchmarks.usable`), 1, 2, 4, 8 and 16 bars after the cut are recomposed
with all else in view; and of the test split of POP909, the two middle bars of ten, so that eight bars are all there is
to go by. Beside the recomposed bars stand the true ones, the bars just before the hole, copied, and bars from elsewhere
in the piece. What is measured, and by whom it was proposed: `music_reformer/evaluation/infilled.py`.

    python -m benchmarks.infilling

The shipped weights saw none of these pieces; --data names the token store whose index says which songs of POP909 they
did not see. On one idle core, two pieces of each genre and 24 songs take some twenty minutes for each sampling.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import in_children, machine, show, use_threads, write
from benchmarks.usable import add_corpora, cut_pieces

BARS = (1, 2, 4, 8, 16)
POP909, SHORT_BARS, SHORT_CONTEXT = "POP909, 8 bars of context", 2, 4
AROUND = 8  # bars on each side with which new bars are compared
FEWEST_AFTER = 4  # bars of the piece after a hole


def recompose(
    *,
    checkpoint: str,
    corpora: str,
    genre: str,
    bars: list[int],
    samplings: list[str],
    data: str,
    pieces: int,
    variations: int,
    threads: int,
) -> dict[str, Any]:
    """In a child process: the measures of the recomposed bars of each piece, and of what stands beside them."""
    from music_reformer.config import SamplingConfig
    from music_reformer.generation.generator import Generator
    from music_reformer.generation.request import Request

    use_threads(threads)
    generator = Generator.load(checkpoint, "cpu")
    holes = []
    for count in bars:
        for file, piece, first in _holes(corpora, genre, count, data, pieces):
            ways = {}
            for sampling in samplings:
                settings = SamplingConfig(**json.loads(sampling))
                request = Request(cut_bar=first, until_bar=first + count, variations=variations, sampling=settings)
                session = generator.start(piece, request)
                for _ in generator.compose(session):
                    pass
                quarters = session.prompt.metre[0] * 4 / session.prompt.metre[1]
                scores = session.scores
                ways[f"composed {sampling}"] = _mean(
                    [_measures(piece, each, first, count, quarters) for each in scores]
                )
            holes.append({"file": file, "bars": count, "ways": ways | _yardsticks(piece, first, count, quarters)})
    return {"holes": holes}


def _holes(corpora: str, genre: str, bars: int, data: str, pieces: int) -> Iterator[tuple[str, Any, int]]:
    """File, score and first bar of each hole."""
    from music_reformer.midi.score import count_bars, metres

    for file, piece, cut in _excerpts(corpora, data, pieces) if genre == POP909 else cut_pieces(corpora, genre, pieces):
        first = min(cut, count_bars(piece) - bars - FEWEST_AFTER)
        if first >= FEWEST_AFTER and len(metres(piece)) == 1:
            yield file, piece, first


def _excerpts(corpora: str, data: str, pieces: int) -> Iterator[tuple[str, Any, int]]:
    """Of songs of POP909's test split the ten bars in the middle, and the first bar of the hole."""
    from music_reformer.data.store import TokenStore
    from music_reformer.midi.cut import keep_before, score_from
    from music_reformer.midi.retiming import on_its_beats
    from music_reformer.midi.score import bar_starts, read_score, with_likely_metre

    sources = [str(piece.source) for piece in TokenStore.open(data).split("test") if "pop909" in str(piece.source)]
    for source in sources[:pieces]:
        data = (Path(corpora) / source).read_bytes()
        _, score = on_its_beats(data, read_score(data, name=source), source)
        piece = with_likely_metre(score)
        lines = bar_starts(piece)
        first = (len(lines) - 1) // 2 - SHORT_CONTEXT
        excerpt = score_from(keep_before(piece, lines[first + 2 * SHORT_CONTEXT + SHORT_BARS]), lines[first])
        yield source, excerpt, SHORT_CONTEXT


def _measures(
    piece: Any, score: Any, first: int, bars: int, quarters: float, at: int | None = None
) -> dict[str, float]:
    """Measures of bars of a score from `at` on (None: `first`), compared with those of the piece from `first` on."""
    from music_reformer.evaluation.checks import Bars
    from music_reformer.evaluation.infilled import against_true, around

    new, true = Bars.of(score, first if at is None else at, bars), Bars.of(piece, first, bars)
    measures = against_true(new, true, quarters=quarters)
    begin = max(0, first - AROUND)
    sides = [around(new, Bars.of(piece, low, num)) for low, num in ((begin, first - begin), (first + bars, AROUND))]
    return measures | {f"around: {name}": float(np.mean([side[name] for side in sides])) for name in sides[0]}


def _yardsticks(piece: Any, first: int, bars: int, quarters: float) -> dict[str, dict[str, float]]:
    from music_reformer.midi.score import count_bars

    before = max(0, first - bars)
    # As far from the hole as the piece allows: its other half, from the beginning or towards the end.
    elsewhere = 0 if first > count_bars(piece) / 2 else count_bars(piece) - bars
    places = {"true": first, "before": before, "elsewhere": elsewhere}
    return {name: _measures(piece, piece, first, bars, quarters, at) for name, at in places.items()}


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="pretrained")
    add_corpora(parser)
    parser.add_argument("--data", default="datasets/open", help="the token store of the weights")
    parser.add_argument("--bars", nargs="+", type=int, default=list(BARS))
    parser.add_argument("--pieces", type=int, default=2, help="of each genre")
    parser.add_argument("--songs", type=int, default=24, help="of POP909's test split")
    parser.add_argument("--variations", type=int, default=2)
    parser.add_argument("--sampling", nargs="+", default=["{}"], help='what differs from the default: {"hold": 0}')
    options = parser.parse_args()
    print(machine("cpu"))
    common = {name: getattr(options, name) for name in ("checkpoint", "corpora", "data", "variations", "threads")}
    common |= {"samplings": options.sampling}
    tasks = [{"genre": genre, "bars": options.bars, "pieces": options.pieces, **common} for genre in options.genres]
    tasks.append({"genre": POP909, "bars": [SHORT_BARS], "pieces": options.songs, **common})
    rows = in_children("infilling", "benchmarks.infilling:recompose", tasks, workers=options.workers)
    for name in ("twelve genres", POP909):
        _report(name, [hole for row in rows if (row["genre"] == POP909) == (name == POP909) for hole in row["holes"]])
    print(f"\n{write('infilling', settings=vars(options), rows=rows, device='cpu')}")


def _report(title: str, holes: Sequence[dict[str, Any]]) -> None:
    lines: list[list[Any]] = []
    names: list[str] = []
    for bars in sorted({hole["bars"] for hole in holes}):
        some = [hole["ways"] for hole in holes if hole["bars"] == bars]
        for way in some[0]:
            mean = _mean([ways[way] for ways in some])
            names = list(mean)
            lines.append([bars, len(some), way, *(f"{mean[name]:.2f}" for name in names)])
    show(title, ["bars", "pieces", "", *names], lines)


if __name__ == "__main__":
    main()
