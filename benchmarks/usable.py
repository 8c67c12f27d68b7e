"""How many continuations of real pieces would a composer keep? The share that passes nine checks, by genre.

62 pieces of twelve genres (`usable_prompts.csv`) are cut inside and continued with default settings. None of them may
be in the training set of the weights. `music_reformer.evaluation.checks` holds the new bars against the 16 before the
cut. Beside them stand the same bars of the pieces themselves. Further figures that no check looks at: the share of
patterns of five notes that were heard before ("themes"); the share of stretches of 16 bars in which the harmony stands
still although it moved before ("still"); and, of 32 bars and more, how much the texture varies between blocks of eight
bars, beside any stretches of that length in the pieces. Intervals (95 %) are over pieces.

    python -m benchmarks.usable --bars 16 64 --pictures /tmp/usable

Give it the folder of corpora with --corpora or MUSIC_REFORMER_CORPORA (default: ../shared/corpora). An interrupted run
goes on with the genres that are left. On two cores, 16 bars take a quarter of an hour and 64 bars most of an hour.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import in_children, machine, show, use_threads, write

PROMPTS = Path(__file__).parent / "usable_prompts.csv"
BARS_SHOWN = 16  # of the prompt, in pictures
BARS_WITH_VARIETY = 32  # from which variety is reported


def continue_genre(
    *,
    checkpoint: str,
    corpora: str,
    genre: str,
    bars: int,
    settings: dict[str, Any],
    sampling: dict[str, Any],
    pieces: int,
    threads: int,
    pictures: str,
) -> dict[str, Any]:
    """In a child process: the checks that each continuation of a genre's pieces fails, and each piece itself."""
    from music_reformer.config import SamplingConfig
    from music_reformer.evaluation.checks import distances, failed_checks
    from music_reformer.evaluation.harmonic_motion import still_share
    from music_reformer.evaluation.themes import returning_share
    from music_reformer.evaluation.variety import usual_variety, variety
    from music_reformer.generation.generator import Generator
    from music_reformer.generation.request import Request
    from music_reformer.midi.score import count_bars, with_likely_metre

    use_threads(threads)
    generator = Generator.load(checkpoint, "cpu")
    results = []
    for file, piece, cut in cut_pieces(corpora, genre, pieces):
        request = Request(length=f"{bars}bars", cut_bar=cut, sampling=SamplingConfig(**sampling), **settings)
        study = generator.study(piece, request)
        for _ in study:
            pass
        scores = composed_scores(generator.taught(study.lesson), piece, request)
        composed = [with_likely_metre(score) for score in scores]
        long_enough = count_bars(piece) >= cut + bars
        found = {
            "file": file,
            "failed": [failed_checks(score, cut, bars) for score in composed],
            "distances": [distances(score, cut, bars) for score in composed],
            "returning": [returning_share(score, cut, bars) for score in composed],
            "still": [still_share(score, cut, bars) for score in composed],
            "variety": [variety(score, cut, bars) for score in composed] if bars >= BARS_WITH_VARIETY else [],
            "piece_variety": usual_variety(piece, bars) if bars >= BARS_WITH_VARIETY else None,
            "piece_failed": failed_checks(piece, cut, bars) if long_enough else None,
            "piece_returning": returning_share(piece, cut, bars) if long_enough else None,
            "piece_still": still_share(piece, cut, bars) if long_enough else None,
        }
        results.append(found)
        if pictures:
            _draw(Path(pictures) / f"{genre}-{Path(file).stem[:40]}-{bars}.png", piece, composed, cut, bars, found)
    return {"pieces": results}


def prompts_of(genre: str | None = None) -> list[dict[str, str]]:
    """Rows of `usable_prompts.csv`: genre, file, cut_bar (bars kept of the piece)."""
    with open(PROMPTS, encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if genre in (None, row["genre"])]


def cut_pieces(corpora: str, genre: str, most: int) -> Iterator[tuple[str, Any, int]]:
    """File, score and bars to keep of the first pieces of a genre.

    The bars of played pieces are found in their music, as the page and `generate` do; they are cut at the bar line
    nearest to that of the file.
    """
    from music_reformer.midi.retiming import retimed, timing_of
    from music_reformer.midi.score import MAX_LIMITS, bar_starts, read_score, with_likely_metre

    for prompt in prompts_of(genre)[:most]:
        name, cut = prompt["file"], int(prompt["cut_bar"])
        data = (Path(corpora) / name).read_bytes()
        score = with_likely_metre(read_score(data, name=name))
        timing = timing_of(score)
        if timing is not None:
            tick = timing.moved(np.array([bar_starts(score)[cut]]))[0]
            score = read_score(retimed(data, name, timing, MAX_LIMITS.file), name=name)
            cut = int(np.argmin(np.abs(np.array(bar_starts(score)) - tick)))
        yield name, score, cut


def composed_scores(generator: Any, piece: Any, request: Any) -> list[Any]:
    """The piece with each variation that the request asks for; without a piece, the variations alone."""
    session = generator.start(piece, request)
    for _ in generator.compose(session):
        pass
    return session.scores


def add_corpora(parser: argparse.ArgumentParser) -> None:
    """The arguments of benchmarks that take the pieces genre by genre."""
    parser.add_argument("--corpora", default=os.environ.get("MUSIC_REFORMER_CORPORA", "../shared/corpora"))
    parser.add_argument("--genres", nargs="+", default=list(dict.fromkeys(row["genre"] for row in prompts_of())))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="genres at a time")


def _draw(path: Path, piece: Any, composed: Sequence[Any], cut: int, bars: int, found: dict[str, Any]) -> None:
    """One piano roll above another: the piece, then each variation, from 16 bars before the cut on."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from music_reformer.evaluation.checks import Bars

    figure = Figure(figsize=(14, 2 + 2 * len(composed)), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    first = max(0, cut - BARS_SHOWN)
    titles = [found["piece_failed"], *found["failed"]]
    for axes, score, failed in zip(figure.subplots(1 + len(composed), 1), [piece, *composed], titles, strict=True):
        shown = Bars.of(score, first, cut - first + bars)
        programs = sorted(set(shown.program.tolist()))
        colours = [f"C{programs.index(program) % 10}" for program in shown.program]
        axes.hlines(shown.pitch, shown.onset + first, shown.end + first, colors=colours, linewidth=1.5)
        axes.axvline(cut, color="black", linewidth=1)
        axes.set_xlim(first, cut + bars)
        verdict = "not long enough" if failed is None else ", ".join(failed) or "passes"
        axes.set_title(f"{'the piece' if axes.get_subplotspec().is_first_row() else 'variation'}: {verdict}", size=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", nargs="+", default=["pretrained"])
    add_corpora(parser)
    parser.add_argument("--bars", nargs="+", type=int, default=[16])
    parser.add_argument("--variations", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=0, help="hash rounds; 0: as the weights were trained")
    parser.add_argument("--study", type=int, default=0, help="steps of studying each piece")
    parser.add_argument("--request", default="{}", help='what differs from the default, such as {"form": null}')
    parser.add_argument("--sampling", default="{}", help='what differs from the default, such as {"hold": 0}')
    parser.add_argument("--pieces", type=int, default=100, help="of each genre, for a quick look")
    parser.add_argument("--pictures", default="", help="a folder for a picture of each prompt and its variations")
    options = parser.parse_args()
    print(machine("cpu"))
    common = {name: getattr(options, name) for name in ("corpora", "pieces", "threads", "pictures")}
    common["sampling"] = json.loads(options.sampling)
    common["settings"] = {name: getattr(options, name) for name in ("variations", "rounds", "study")}
    common["settings"] |= json.loads(options.request)
    tasks = [
        {"checkpoint": checkpoint, "bars": bars, "genre": genre, **common}
        for checkpoint in options.checkpoints
        for bars in options.bars
        for genre in options.genres
    ]
    rows = in_children("usable", "benchmarks.usable:continue_genre", tasks, workers=options.workers)
    for checkpoint in options.checkpoints:
        for bars in options.bars:
            _report(checkpoint, bars, [row for row in rows if (row["checkpoint"], row["bars"]) == (checkpoint, bars)])
    print(f"\n{write('usable', settings=vars(options), rows=rows, device='cpu')}")


def _report(checkpoint: str, bars: int, rows: Sequence[dict[str, Any]]) -> None:
    everything = [piece for row in rows for piece in row["pieces"]]
    lines = [[row["genre"], *_figures(row["pieces"])] for row in rows]
    lines.append(["all", *_figures(everything)])
    show(
        f"{checkpoint}, {bars} bars",
        ["genre", "pieces", "pass", "the pieces pass", "themes", "theirs", "still", "theirs", "most frequent faults"],
        lines,
    )
    _report_choice(everything)
    if bars >= BARS_WITH_VARIETY:
        _report_variety(rows)


# Halves of the checks: what is chosen by one is measured by the other.
HALVES = (
    ("density", "register", "pitch classes", "loops"),
    ("rhythm", "key", "instruments", "polyphony", "empty bars"),
)


def chosen_and_all(pieces: Sequence[dict[str, Any]], choose: Sequence[str], judge: Sequence[str]) -> tuple[str, str]:
    """Share of continuations that pass the checks `judge`: of the half closest to the piece by `choose`, and of all."""
    from music_reformer.evaluation.ranking import cost

    halves, everything = [], []
    for piece in pieces:
        costs = [cost({name: each[name] for name in choose if name in each}) for each in piece["distances"]]
        failed = [[name for name in judge if each.get(name, 0) > 1] for each in piece["distances"]]
        closest = sorted(range(len(costs)), key=costs.__getitem__)[: len(costs) // 2]
        halves.append({"failed": [failed[index] for index in closest]})
        everything.append({"failed": failed})
    return share_that_passes(halves), share_that_passes(everything)


def _report_choice(pieces: Sequence[dict[str, Any]]) -> None:
    """What choosing half of the continuations gives."""
    first, second = HALVES
    ways = [
        ("all nine", "all nine", (*first, *second), (*first, *second)),
        (", ".join(first), ", ".join(second), first, second),
        (", ".join(second), ", ".join(first), second, first),
    ]
    lines = [[by, judge_by, *chosen_and_all(pieces, choose, judge)] for by, judge_by, choose, judge in ways]
    show("the half closest to the piece", ["chosen by", "passes", "the half", "all"], lines)


def _report_variety(rows: Sequence[dict[str, Any]]) -> None:
    """Means over the pieces of each genre, continuations before the pieces themselves, and the means of the genres."""
    from music_reformer.evaluation.variety import MEASURES, mean_variety

    figures = {
        row["genre"]: (
            mean_variety(each for piece in row["pieces"] for each in piece["variety"]),
            mean_variety(piece["piece_variety"] for piece in row["pieces"]),
        )
        for row in rows
    }
    figures["mean of the genres"] = (
        mean_variety(composed for composed, _ in figures.values()),
        mean_variety(own for _, own in figures.values()),
    )
    lines = [
        [genre, *("" if side is None else f"{side[name]:.2f}" for name in MEASURES for side in sides)]
        for genre, sides in figures.items()
    ]
    show("variety", ["genre", *(column for name in MEASURES for column in (name, "theirs"))], lines)


def _figures(pieces: Sequence[dict[str, Any]]) -> list[str]:
    faults = Counter(fault for piece in pieces for failed in piece["failed"] for fault in failed)
    total = sum(len(piece["failed"]) for piece in pieces)
    own = [not piece["piece_failed"] for piece in pieces if piece["piece_failed"] is not None]
    return [
        str(len(pieces)),
        share_that_passes(pieces),
        f"{100 * np.mean(own):.0f} % of {len(own)}" if own else "",
        mean_share([share for piece in pieces for share in piece["returning"]]),
        mean_share([piece["piece_returning"] for piece in pieces]),
        mean_share([share for piece in pieces for share in piece["still"]]),
        mean_share([piece["piece_still"] for piece in pieces]),
        ", ".join(f"{fault} {100 * count / total:.0f} %" for fault, count in faults.most_common(4)),
    ]


def mean_share(shares: Sequence[float | None]) -> str:
    """In per cent, of those that are known."""
    known = [share for share in shares if share is not None]
    return f"{100 * np.mean(known):.0f} %" if known else ""


def share_that_passes(pieces: Sequence[dict[str, Any]]) -> str:
    """Share of continuations without a failed check, with its interval over pieces."""
    from music_reformer.evaluation.confidence import ratio

    passed = np.array([sum(not failed for failed in piece["failed"]) for piece in pieces], dtype=float)
    found = ratio(passed, np.array([len(piece["failed"]) for piece in pieces], dtype=float))
    return f"{100 * found['value']:.0f} % ({100 * found['low']:.0f} to {100 * found['high']:.0f})"


if __name__ == "__main__":
    main()
