"""How often pieces have known flaws: loops, clusters, silence, instruments that never come in.

Songs of the validation split are cut after their 16th bar and continued for 32 bars; and pieces of 12 bars are composed
from nothing, for a piano and for a band. To compare, the same bars of the songs themselves. A piece

- loops, if one, two or four bars come more than 4 times in a row (velocities aside);
- clusters, if more than a fifth of its notes begin together with seven or more others of their instrument;
- is silent in bars in which no note begins;
- lacks an instrument, if a requested one never plays.

    python -m benchmarks.flaws --data datasets/pop909
"""

from __future__ import annotations

import statistics
from collections import Counter
from typing import Any

from benchmarks.harness import composing_parser, for_composing, in_child, machine, show, use_threads, write
from benchmarks.usable import composed_scores

CUT, LENGTH, LENGTH_FROM_NOTHING = 16, 32, 12  # bars
BAND = {-1, 0, 33, 48, 73}  # drums, piano, bass, strings, flute
FROM_NOTHING = {"a piano from nothing": {0}, "a band from nothing": BAND}
TOO_OFTEN, TOO_MANY, TOO_LARGE_A_SHARE = 4, 8, 0.2
PERIODS = (1, 2, 4)


def compose(*, checkpoint: str, data: str, num_pieces: int, variations: int, threads: int) -> dict[str, Any]:
    """In a child process: what `_look` finds in each piece, by where it comes from."""
    from music_reformer.data.store import TokenStore
    from music_reformer.generation.generator import Generator
    from music_reformer.generation.request import Request
    from music_reformer.midi.cut import programs_of

    use_threads(threads)
    store, generator = TokenStore.open(data), Generator.load(checkpoint, "cpu")

    def composed(score: Any, **order: Any) -> list[Any]:
        return composed_scores(generator, score, Request(variations=variations, **order))

    found: dict[str, Any] = {"the songs": [], "songs that go on": []}
    for number, piece in enumerate(list(store.split("validation"))[:num_pieces]):
        song = store.music_tokenizer.decode(store.tokens(piece))
        found["the songs"].append(_look(song, CUT, LENGTH, set()))
        found["songs that go on"] += [
            _look(score, CUT, LENGTH, set())
            for score in composed(song, cut_bar=CUT, length=f"{LENGTH}bars", seed=number)
        ]
    for name, programs in FROM_NOTHING.items():
        found[name] = [
            _look(score, 0, LENGTH_FROM_NOTHING, programs - programs_of(score))
            for number in range(num_pieces)
            for score in composed(None, programs=sorted(programs), length=f"{LENGTH_FROM_NOTHING}bars", seed=number)
        ]
    return found


def _look(score: Any, first: int, length: int, lacking: set[int]) -> dict[str, Any]:
    """Of `length` bars in 4/4 from bar `first` on."""
    from music_reformer.midi.vocabulary import program_of

    per_bar = 4 * score.ticks_per_quarter
    bars: list[set[tuple[int, ...]]] = [set() for _ in range(length)]
    together: Counter[tuple[int, int]] = Counter()
    for track in score.tracks:
        program = program_of(track)
        for note in track.notes:
            number, place = divmod(note.time, per_bar)
            if first <= number < first + length:
                bars[number - first].add((program, place, note.pitch, note.duration))
                together[program, note.time] += 1
    notes = sum(together.values())
    return {
        "in_a_row": max(_in_a_row(bars, period) for period in PERIODS),
        "clustered": sum(count for count in together.values() if count >= TOO_MANY) / max(1, notes),
        "silent": sum(not bar for bar in bars) / length,
        "lacking": sorted(lacking),
    }


def _in_a_row(bars: list[set[tuple[int, ...]]], period: int) -> int:
    """How often the same `period` bars come in a row at the most; silence does not count."""
    longest = same = 0
    for number in range(period, len(bars)):
        same = same + 1 if bars[number] and bars[number] == bars[number - period] else 0
        longest = max(longest, same)
    return longest // period + 1


def main() -> None:
    parser = composing_parser(
        __doc__, data="datasets/pop909", pieces=6, what_pieces="songs, and seeds of pieces from nothing"
    )
    options = parser.parse_args()
    print(machine("cpu"))
    common = for_composing(options)
    rows = [
        {"checkpoint": checkpoint, **in_child("benchmarks.flaws:compose", checkpoint=checkpoint, **common)}
        for checkpoint in options.checkpoints
    ]
    lines = []
    for row in rows:
        for name, pieces in row.items():
            if name != "checkpoint" and (name != "the songs" or row is rows[0]):
                lines.append([name, "" if name == "the songs" else row["checkpoint"], *_figures(pieces)])
    header = ["", "", "pieces", "same bars in a row, mean", "longest", "loop", "cluster", "silent bars", "lack one"]
    show("flaws of pieces", header, lines)
    print(f"\n{write('flaws', settings=vars(options), rows=rows, device='cpu')}")


def _figures(pieces: list[dict[str, Any]]) -> list[str]:
    in_a_row = [piece["in_a_row"] for piece in pieces]
    return [
        str(len(pieces)),
        f"{statistics.mean(in_a_row):.2f}",
        str(max(in_a_row)),
        str(sum(times > TOO_OFTEN for times in in_a_row)),
        str(sum(piece["clustered"] > TOO_LARGE_A_SHARE for piece in pieces)),
        f"{100 * statistics.mean(piece['silent'] for piece in pieces):.0f} %",
        str(sum(bool(piece["lacking"]) for piece in pieces)),
    ]


if __name__ == "__main__":
    main()
