"""Does a band continue as a band? Held-out songs with bass and drums (`midi.rhythm_section`) are continued.

Measured in the composed bars: in how many of them the drums and the bass play; how many of the bass's notes have the
pitch class of the lowest note that the others play there (the rule by which the bass was made); and how many drum hits
stand where the eight bars before the cut have the same one. To compare, the same figures of the songs themselves.

With `--prompt others`, the bars before the cut lack bass and drums, which are requested all the same: do they come in?
With `--prompt nothing`, there are no bars before, and a band of the same instruments is requested.

    music-reformer prepare corpus=pop909 corpus.path=... corpus.rhythm_section=1 output=datasets/pop909-all-bands
    python -m benchmarks.band --data datasets/pop909-all-bands
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.harness import composing_parser, for_composing, in_child, machine, show, use_threads, write
from benchmarks.usable import composed_scores

CUT, LENGTH = 16, 8  # bars
PROMPTS = ["band", "others", "nothing"]
FIGURES = {
    "drums": "bars with drums",
    "bass": "bars with bass",
    "bass_fits": "bass notes that are the lowest of the others",
    "drums_fit": "strikes as before the cut",
}


def continue_songs(
    *, checkpoint: str, prompt: str, data: str, num_pieces: int, variations: int, threads: int
) -> dict[str, Any]:
    """In a child process: the figures of continuations and of the songs, a list of each."""
    from music_reformer.data.store import TokenStore
    from music_reformer.generation.generator import Generator
    from music_reformer.generation.request import Request
    from music_reformer.midi.cut import programs_of

    use_threads(threads)
    cut_bar = 0 if prompt == "nothing" else CUT
    store, generator = TokenStore.open(data), Generator.load(checkpoint, "cpu")
    found: dict[str, Any] = {"songs": [], "continuations": []}
    for piece in store.split("test"):
        song = store.music_tokenizer.decode(store.tokens(piece))
        figures = _figures(song, CUT)
        if figures["drums"] < 1 or figures["bass"] < 1:
            continue  # One of the two is silent there.
        programs = programs_of(song)
        if prompt == "others":
            song.tracks = [track for track in song.tracks if not (track.is_drum or _is_bass(track))]
        request = Request(
            cut_bar=cut_bar,
            length=f"{LENGTH}bars",
            variations=variations,
            programs=sorted(programs),
            seed=len(found["songs"]),
        )
        scores = composed_scores(generator, None if prompt == "nothing" else song, request)
        found["songs"].append(figures)
        found["continuations"] += [_figures(score, cut_bar) for score in scores]
        if len(found["songs"]) == num_pieces:
            break
    return found


def _is_bass(track: Any) -> bool:
    return not track.is_drum and 32 <= track.program < 40


def _figures(score: Any, cut_bar: int) -> dict[str, float | None]:
    """Of the bars after the cut, in 4/4; None: there is nothing to count."""
    bar = 4 * score.ticks_per_quarter
    cut, end, sixteenth = cut_bar * bar, (cut_bar + LENGTH) * bar, bar // 16
    before: set[tuple[int, int]] = set()
    strikes, bass, others = [], [], []
    for track in score.tracks:
        for note in track.notes:
            new, place = cut <= note.time < end, (note.time % bar // sixteenth, note.pitch)
            if track.is_drum and new:
                strikes.append((note.time // bar, place))
            elif track.is_drum and cut - 8 * bar <= note.time < cut:
                before.add(place)
            elif _is_bass(track) and new:
                bass.append(note)
            elif not (track.is_drum or _is_bass(track)):
                others.append(note)
    fits = []
    for note in bass:
        sounding = [other.pitch for other in others if other.time <= note.time < other.time + other.duration]
        if sounding:
            fits.append(note.pitch % 12 == min(sounding) % 12)
    return {
        "drums": len({number for number, _ in strikes}) / LENGTH,
        "bass": len({note.time // bar for note in bass}) / LENGTH,
        "bass_fits": statistics.mean(fits) if fits else None,
        "drums_fit": statistics.mean(place in before for _, place in strikes) if strikes and before else None,
    }


def main() -> None:
    parser = composing_parser(
        __doc__, data="datasets/pop909-all-bands", pieces=12, what_pieces="songs of the test split"
    )
    parser.add_argument("--prompt", choices=PROMPTS, default="band", help="what comes before")
    options = parser.parse_args()
    print(machine("cpu"))
    common = {"prompt": options.prompt, **for_composing(options)}
    rows = [
        {"checkpoint": checkpoint, **in_child("benchmarks.band:continue_songs", checkpoint=checkpoint, **common)}
        for checkpoint in options.checkpoints
    ]
    lines = [["the songs", *_means(rows[0]["songs"])]]
    lines += [[row["checkpoint"], *_means(row["continuations"])] for row in rows]
    show(
        f"{LENGTH} bars, prompt: {options.prompt}; {options.pieces} songs, {options.variations} variations, per cent",
        ["", *FIGURES.values()],
        lines,
    )
    kind = "" if options.prompt == "band" else f"-{options.prompt}"
    print(f"\n{write('band', kind=kind, settings=vars(options), rows=rows, device='cpu')}")


def _means(figures: list[dict[str, float | None]]) -> list[str]:
    known = {name: [row[name] for row in figures if row[name] is not None] for name in FIGURES}
    return [f"{100 * statistics.mean(values):.0f}" if values else "-" for values in known.values()]


if __name__ == "__main__":
    main()
