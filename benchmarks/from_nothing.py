"""What default settings compose from nothing, for eight ensembles: who plays, in which key, and with what beat.

    python -m benchmarks.from_nothing

Four variations of 16 bars each; a minute on two cores. *All play*: every instrument plays in half of the bars at least.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.harness import in_children, machine, show, use_threads, write
from benchmarks.usable import composed_scores

BARS, VARIATIONS = 16, 4
# Programs (-1 for drums), metre and key.
ENSEMBLES = (
    ((40, 41, 42), (3, 4), "A minor"),
    ((40, 41, 42, 43), (4, 4), "D major"),
    ((0,), (6, 8), "D minor"),
    ((0, 33, -1), (4, 4), "F major"),
    ((25, 33, -1), (4, 4), "E minor"),
    ((73, 68, 71, 70), (4, 4), "G major"),
    ((56, 60, 57, 58), (3, 4), "Bb major"),
    ((52,), (4, 4), "C major"),
)


def compose(*, checkpoint: str, programs: list[int], metre: list[int], key: str, threads: int) -> dict[str, Any]:
    """In a child process: what some variations of one ensemble are like."""
    from music_reformer.evaluation.checks import Bars
    from music_reformer.generation.generator import Generator
    from music_reformer.generation.request import Request
    from music_reformer.midi.cut import blank_score
    from music_reformer.midi.key import Key
    from music_reformer.midi.playing_ranges import usual_range

    use_threads(threads)
    generator, asked = Generator.load(checkpoint, "cpu"), Key.parse(key)
    blank = blank_score(sorted(set(programs)), tempo=100, metre=(metre[0], metre[1]), key=asked)
    request = Request(length=f"{BARS}bars", programs=programs, key=key, variations=VARIATIONS)
    found = []
    for score in composed_scores(generator, blank, request):
        bars = Bars.of(score, 0, BARS)
        pitched = bars.pitched
        plays = [len(set(bars.onset[bars.program == program].astype(int).tolist())) for program in set(programs)]
        ranges = [usual_range(program) for program in pitched.program.tolist()]
        inside = [low <= pitch <= high for pitch, (low, high) in zip(pitched.pitch.tolist(), ranges, strict=True)]
        found.append(
            {
                "all_play": min(plays) >= BARS / 2,
                "in_key": float(np.mean([pitch % 12 in asked.pitch_classes for pitch in pitched.pitch.tolist()])),
                "in_range": float(np.mean(inside)),
                "downbeats": len({round(onset) for onset in bars.onset.tolist() if abs(onset - round(onset)) < 1e-3}),
            }
        )
    return {"variations": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="pretrained")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="ensembles at a time")
    options = parser.parse_args()
    print(machine("cpu"))
    tasks = [
        {
            "checkpoint": options.checkpoint,
            "programs": list(programs),
            "metre": list(metre),
            "key": key,
            "threads": options.threads,
        }
        for programs, metre, key in ENSEMBLES
    ]
    rows = in_children("from_nothing", "benchmarks.from_nothing:compose", tasks, workers=options.workers)
    header = ["instruments", "metre", "key", "all play", "in key", "in range", f"downbeats of {BARS}"]
    show(options.checkpoint, header, [_line(row) for row in rows])
    print(f"\n{write('from_nothing', settings=vars(options), rows=rows, device='cpu')}")


def _line(row: dict[str, Any]) -> list[str]:
    from music_reformer.midi.instruments import instrument_name

    names = [instrument_name(max(program, 0), drum=program < 0) for program in row["programs"]]
    mean = {name: np.mean([each[name] for each in row["variations"]]) for name in row["variations"][0]}
    return [
        ", ".join(names),
        f"{row['metre'][0]}/{row['metre'][1]}",
        row["key"],
        f"{VARIATIONS * mean['all_play']:.0f} of {VARIATIONS}",
        f"{100 * mean['in_key']:.0f} %",
        f"{100 * mean['in_range']:.0f} %",
        f"{mean['downbeats']:.0f}",
    ]


if __name__ == "__main__":
    main()
