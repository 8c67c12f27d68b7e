"""What does each rule that holds a continuation to its piece contribute? Continuations without it, and with all.

    python -m benchmarks.holding

Pieces, cuts and checks are those of `benchmarks.usable`, two pieces of each genre. In each row, one rule is switched
off (or, like studying, on), and all else stays at its default. Differences are between continuations of the same
pieces; their intervals (95 %) are over pieces. An interrupted run resumes with the genres that are left. The whole
table takes an hour on two cores; --rows selects some of the rows.
"""

from __future__ import annotations

import argparse
import importlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.harness import in_children, machine, show, write
from benchmarks.usable import add_corpora, continue_genre, mean_share, share_that_passes

ALL = "all of it"
# What each row changes: by module of `generation`, the new values of its names; or settings of the request ("settings")
# and of sampling ("sampling").
ROWS: dict[str, dict[str, dict[str, Any]]] = {
    ALL: {},
    "without holding (`sampling.hold=0`)": {"sampling": {"hold": 0.0}},
    "without who must play, and no empty bars": {"ensemble": {"Ensemble.narrowed": lambda _, allowed_V: allowed_V}},
    "without ranges of parts, and drums as heard": {"ensemble": {"LOWEST_LOGIT": 0.0, "NEW_DRUM_LOGIT": 0.0}},
    "without rare pitch classes and roots": {"ensemble": {"SHARE_WEIGHT": 0.0}},
    "without positions of parts": {"ensemble": {"OTHERS_POSITION_LOGIT": 0.0, "NEW_POSITION_LOGIT": 0.0}},
    "without led chords": {"session": {"_progression": lambda *_: None}},
    "without steering": {"session": {"_steering": lambda *_: None}},
    "without steered density": {"steering": {"PER_MISSING_BAR": 0.0}},
    "without steered register": {"steering": {"PER_SEMITONE": 0.0}},
    "without steered notes at once": {"steering": {"PER_NOTE_AT_ONCE": 0.0}},
    "without steered velocity": {"steering": {"PER_VELOCITY": 0.0}},
    "without steered durations": {"steering": {"DURATION_WEIGHT": 0.0}},
    "without steered pitch classes and rhythm": {"steering": {"CLASS_WEIGHT": 0.0, "RHYTHM_WEIGHT": 0.0}},
    "without returns (`form=null`)": {"settings": {"form": None}},
    "without other manners (with --bars 64)": {"generator": {"MannerPlan.of": lambda *_: []}},
    "without the guard against settling on pitches": {"steering": {"REPEATS_WEIGHT": 0.0}},
    "without the guard against monotony": {"variation": {"MONOTONY_LOGIT": 0.0}},
    "without the guard against loops": {"sampling": {"most_repeats": 0}},
    "without the guard against clusters": {"sampling": {"most_at_once": 0}},
    "calmer (`temperature` 0.9, `top_p` 0.9)": {"sampling": {"temperature": 0.9, "top_p": 0.9}},
    "studied for six steps (`study=6`)": {"settings": {"study": 6}},
}


def continue_changed(*, row: str, settings: dict[str, Any], sampling: dict[str, Any], **task: Any) -> dict[str, Any]:
    """In a child process: `benchmarks.usable.continue_genre` with what a row changes."""
    changes = dict(ROWS[row])
    settings, sampling = settings | changes.pop("settings", {}), sampling | changes.pop("sampling", {})
    for module, values in changes.items():
        for path, value in values.items():
            owner: Any = importlib.import_module(f"music_reformer.generation.{module}")
            *outer, name = path.split(".")
            for each in outer:
                owner = getattr(owner, each)
            getattr(owner, name)  # raises AttributeError if the name no longer exists
            setattr(owner, name, value)
    return continue_genre(settings=settings, sampling=sampling, **task)


def difference(pieces: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> str:
    """By how many percentage points more (or, if negative, fewer) continuations of `pieces` pass than of `others`.

    Both are of the same pieces, in the same order. The interval (95 %) follows in parentheses.
    """
    from music_reformer.evaluation.confidence import ratio

    gained = [_passing(piece) - _passing(other) for piece, other in zip(pieces, others, strict=True)]
    found = ratio(np.array(gained), np.ones(len(gained)))
    return f"{100 * found['value']:+.0f} ({100 * found['low']:+.0f} to {100 * found['high']:+.0f})"


def _passing(piece: dict[str, Any]) -> float:
    return float(np.mean([not failed for failed in piece["failed"]]))


def faults_that_change(pieces: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> str:
    """The up to three checks whose shares of failures differ most, by three percentage points or more."""
    counts, before = _faults(pieces), _faults(others)
    changes = {name: counts[name] - before[name] for name in counts | before}
    largest = sorted(changes.items(), key=lambda change: -abs(change[1]))[:3]
    return ", ".join(f"{name} {100 * change:+.0f}" for name, change in largest if abs(change) >= 0.03)


def _variety(pieces: Sequence[dict[str, Any]]) -> str:
    """Of long continuations, how much density and register vary; otherwise empty."""
    from music_reformer.evaluation.variety import mean_variety

    means = mean_variety(each for piece in pieces for each in piece["variety"])
    return f"{means['density']:.2f}, {means['register']:.2f}" if means is not None else ""


def _faults(pieces: Sequence[dict[str, Any]]) -> Counter[str]:
    total = sum(len(piece["failed"]) for piece in pieces)
    counts = Counter(fault for piece in pieces for failed in piece["failed"] for fault in failed)
    return Counter({fault: count / total for fault, count in counts.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="pretrained")
    add_corpora(parser)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    parser.add_argument("--bars", type=int, default=16)
    parser.add_argument("--variations", type=int, default=2)
    parser.add_argument("--pieces", type=int, default=2, help="of each genre")
    options = parser.parse_args()
    print(machine("cpu"))
    common = {name: getattr(options, name) for name in ("checkpoint", "corpora", "bars", "pieces", "threads")}
    common |= {"settings": {"variations": options.variations}, "sampling": {}, "pictures": ""}
    names = list(dict.fromkeys([ALL, *options.rows]))
    tasks = [{"row": row, "genre": genre, **common} for row in names for genre in options.genres]
    done = in_children("holding", "benchmarks.holding:continue_changed", tasks, workers=options.workers)
    pieces = {row: [piece for each in done if each["row"] == row for piece in each["pieces"]] for row in names}
    lines = [
        [
            row,
            share_that_passes(pieces[row]),
            difference(pieces[row], pieces[ALL]),
            faults_that_change(pieces[row], pieces[ALL]),
            mean_share([share for piece in pieces[row] for share in piece["returning"]]),
            mean_share([share for piece in pieces[row] for share in piece["still"]]),
            _variety(pieces[row]),
        ]
        for row in names
    ]
    columns = ["continuations", "pass", "points", "faults, points", "themes", "still", "variety: density, register"]
    show("What each gives", columns, lines)
    print(f"\n{write('holding', settings=vars(options), rows=done, device='cpu')}")


if __name__ == "__main__":
    main()
