"""What `benchmarks.directions` and `benchmarks.control` share: command line, a process for each genre, the table."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from benchmarks.harness import in_children, machine, show, write
from benchmarks.usable import add_corpora


class Obedience:
    """Calls `obedience` of a benchmark once for each genre, as the command line says.

    Args:
        name: of the benchmark.
        description: of it, for --help.
        pieces: of each genre, unless the command line says otherwise.
        kinds: the kinds of requests from which the command line can select; `obedience` gets the selected ones as
            `asks`. Empty: there is no choice.

    Attributes:
        shares: the obeyed share of each kind of request; undecidable cases are left out.
    """

    def __init__(self, name: str, description: str | None, *, pieces: int, kinds: Sequence[str] = ()) -> None:
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--checkpoint", default="pretrained")
        add_corpora(parser)
        parser.add_argument("--pieces", type=int, default=pieces, help="of each genre")
        if kinds:
            parser.add_argument("--asks", nargs="+", choices=kinds, default=list(kinds), help="kinds of requests")
        self._name, self._options = name, parser.parse_args()
        print(machine("cpu"))
        given = ("checkpoint", "corpora", "pieces", "threads", *(["asks"] if kinds else []))
        common = {each: getattr(self._options, each) for each in given}
        tasks = [{"genre": genre, **common} for genre in self._options.genres]
        self._rows = in_children(name, f"benchmarks.{name}:obedience", tasks, workers=self._options.workers)
        self.shares: dict[str, list[float]] = defaultdict(list)
        for row in self._rows:
            for asked, shares in row["obeyed"].items():
                self.shares[asked] += [share for share in shares if not np.isnan(share)]

    def percent(self, asked: str) -> str:
        """The mean share; nothing where there is none."""
        return f"{100 * np.mean(self.shares[asked]):.0f} %" if self.shares[asked] else ""

    def report(self, header: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
        """Show a table, and write the results."""
        show(self._options.checkpoint, header, lines)
        print(f"\n{write(self._name, settings=vars(self._options), rows=self._rows, device='cpu')}")
