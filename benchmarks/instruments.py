"""Does an added instrument come in? Held-out songs for piano are continued with one more instrument.

The table says in how many composed bars it plays, and in how many continuations it plays at all; then the same if the
bars after the cut are recomposed for that instrument alone, beside the piano's own notes.

    music-reformer prepare corpus=pop909 corpus.path=... output=datasets/pop909
    python -m benchmarks.instruments --data datasets/pop909
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.harness import composing_parser, for_composing, in_child, machine, show, use_threads, write
from benchmarks.usable import composed_scores

CUT, LENGTH = 16, 8  # bars
PIANO = 0
# As General MIDI numbers them. Of these, songs of POP909 have flute and strings.
INSTRUMENTS = {"flute": 73, "strings": 48, "violin": 40, "cello": 42, "trumpet": 56}


def add_to_songs(
    *, program: int, anew: bool, checkpoint: str, data: str, num_pieces: int, variations: int, threads: int
) -> list[float]:
    """In a child process: of each continuation, the share of the bars in which the instrument plays."""
    from music_reformer.data.store import TokenStore
    from music_reformer.generation.generator import Generator
    from music_reformer.generation.request import Request

    use_threads(threads)
    store, generator = TokenStore.open(data), Generator.load(checkpoint, "cpu")
    shares = []
    for seed, piece in enumerate(list(store.split("test"))[:num_pieces]):
        song = store.music_tokenizer.decode(store.tokens(piece))
        song.tracks = [track for track in song.tracks if track.program == PIANO and not track.is_drum]
        request = Request(
            cut_bar=CUT,
            until_bar=CUT + LENGTH if anew else None,
            length=f"{LENGTH}bars",
            variations=variations,
            programs=[program] if anew else [PIANO, program],
            seed=seed,
        )
        shares += [_share_of_bars(score, program) for score in composed_scores(generator, song, request)]
    return shares


def _share_of_bars(score: Any, program: int) -> float:
    """Of the bars after the cut, in 4/4, those in which a note of the instrument begins."""
    bar = 4 * score.ticks_per_quarter
    tracks = [track for track in score.tracks if track.program == program and not track.is_drum]
    bars = {note.time // bar for track in tracks for note in track.notes}
    return len(bars & set(range(CUT, CUT + LENGTH))) / LENGTH


def main() -> None:
    parser = composing_parser(__doc__, data="datasets/pop909", pieces=12, what_pieces="songs of the test split")
    options = parser.parse_args()
    print(machine("cpu"))
    rows = []
    for checkpoint in options.checkpoints:
        lines = []
        for name, program in INSTRUMENTS.items():
            cells = []
            for anew in (False, True):
                task = {"checkpoint": checkpoint, "program": program, "anew": anew}
                shares = in_child("benchmarks.instruments:add_to_songs", **task, **for_composing(options))
                rows.append({**task, "shares": shares})
                cells += [f"{100 * statistics.mean(shares):.0f}", f"{sum(map(bool, shares))} of {len(shares)}"]
            lines.append([name, *cells])
        show(
            f"{checkpoint}: {LENGTH} bars after the piano part of {options.pieces} songs",
            ["added", "bars, %", "continuations", "anew: bars, %", "anew: pieces"],
            lines,
        )
    print(f"\n{write('instruments', settings=vars(options), rows=rows, device='cpu')}")


if __name__ == "__main__":
    main()
