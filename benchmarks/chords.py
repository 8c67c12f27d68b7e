"""How well and how fast the chord recogniser finds chords: agreement with POP909's labels, speed on every corpus.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.chords --corpora ../shared/corpora

Agreement is the share of labelled time, summed over the validation and test songs, with a bootstrap interval over
songs. Songs that cannot be moved onto their grid count, too. Labels are read as the nearest of our qualities
("sus4(b7)" is sus4). Beside it: each beat alone, as the major or minor triad that holds most of its sounding time.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import symusic
from numpy.typing import NDArray

from benchmarks.fit_chords import songs
from benchmarks.harness import machine, show, write
from benchmarks.made_harmony import ODDS, made_piece
from music_reformer.data.corpora.pop909_labels import LabelledSong, LabelSpan
from music_reformer.errors import UserError
from music_reformer.midi.beats import beats_of, pitched_notes, sounding_ticks
from music_reformer.midi.chords import INTERVALS, Chord, recognise
from music_reformer.midi.score import last_tick, read_score, seconds_at

SPEED_CORPORA = (
    "pop909",
    "asap",
    "open/nifc-polish-scores",
    "open/openscore-orchestra",
    "open/openscore-stringquartets",
    "open/mutopia",
    "open/freedoom",
)
FILES = 25  # of each corpus, for speed


def third(chord: Chord) -> int | None:
    """3 or 4 semitones; None where there is none."""
    return next((interval for interval in INTERVALS[chord.quality] if interval in (3, 4)), None)


def agrees(found: Chord, label: Chord) -> dict[str, bool]:
    """What of a chord is the same."""
    no_chord = "N" in (found.quality, label.quality)
    root = found.quality == label.quality if no_chord else found.root == label.root
    return {
        "root": root,
        "root and third": root and third(found) == third(label),
        "root and quality": root and found.quality == label.quality,
        "bass": found.quality == label.quality if no_chord else found.bass == label.bass,
        "all": found == label,
    }


def shared_time(
    found: Sequence[tuple[int, Chord]], labels: Sequence[LabelSpan[Chord]]
) -> list[tuple[float, Chord, Chord]]:
    """(ticks, found, label) of every stretch of labelled time."""
    starts = np.array([tick for tick, _ in found])
    parts = []
    for span in labels:
        index = max(int(np.searchsorted(starts, span.start, side="right")) - 1, 0)
        start = span.start
        while start < span.end:
            until = min(span.end, found[index + 1][0]) if index + 1 < len(found) else span.end
            if until > start:
                parts.append((until - start, found[index][1], span.value))
            start, index = max(start, until), index + 1
    return parts


def agreement(found: Sequence[tuple[int, Chord]], song: LabelledSong) -> dict[str, float]:
    """Ticks in which each part of the chord agrees; "time" is all that is labelled, "maj and min" what has a triad."""
    sums: dict[str, float] = {"time": 0.0, "time in triads": 0.0, "root and third in triads": 0.0}
    for ticks, chord, label in shared_time(found, song.chords):
        same = agrees(chord, label)
        sums["time"] += ticks
        for name, value in same.items():
            sums[name] = sums.get(name, 0.0) + ticks * value
        if third(label) is not None and 7 in INTERVALS[label.quality]:
            sums["time in triads"] += ticks
            sums["root and third in triads"] += ticks * same["root and third"]
    return sums


def by_beats_alone(score: symusic.Score) -> list[tuple[int, Chord]]:
    """The major or minor triad that holds most of each beat's sounding time."""
    beats, notes = beats_of(score), pitched_notes(score)
    chroma = sounding_ticks(notes, notes.pitch % 12, 12, beats.tick, np.ones(len(notes)))
    triads = [Chord(root, quality, root) for quality in ("maj", "min") for root in range(12)]
    templates = np.zeros((12, len(triads)))
    for index, triad in enumerate(triads):
        templates[list(triad.pitch_classes), index] = 1
    return [
        (tick, triads[best]) for tick, best in zip(beats.tick.tolist(), (chroma @ templates).argmax(1), strict=False)
    ]


def table(sums: Sequence[dict[str, float]]) -> dict[str, tuple[float, float, float]]:
    """Share and its 95 % interval by what agrees."""
    names = [name for name in sums[0] if not name.startswith("time")]
    values = {name: np.array([song[name] for song in sums]) for name in [*names, "time", "time in triads"]}
    draws = np.random.default_rng(0).integers(0, len(sums), (1000, len(sums)))

    def share(name: str, chosen: NDArray[np.int64]) -> float:
        time = "time in triads" if name.endswith("in triads") else "time"
        return float(values[name][chosen].sum() / values[time][chosen].sum())

    everything = np.arange(len(sums))
    return {
        name: (share(name, everything), *np.percentile([share(name, draw) for draw in draws], [2.5, 97.5]).tolist())
        for name in names
    }


def on_made_pieces(num_pieces: int = 200) -> dict[str, float]:
    """Share of beats with the right root, quality and bass, by quality, of made pieces that the fit has not seen."""
    random_ = np.random.default_rng(1)
    right, beats = dict.fromkeys(ODDS, 0), dict.fromkeys(ODDS, 0)
    for _ in range(num_pieces):
        piece = made_piece(random_)
        ticks = beats_of(piece.score).tick[:-1]
        found = recognise(piece.score)
        index = np.searchsorted([tick for tick, _ in found], ticks, side="right") - 1
        for chord, at in zip(piece.chords, index.tolist(), strict=False):
            beats[chord.quality] += 1
            right[chord.quality] += found[at][1] == chord
    shares = {quality: right[quality] / beats[quality] for quality in ODDS}
    return {"all beats": sum(right.values()) / sum(beats.values()), **shares}


def speed(folder: Path, files: int) -> dict[str, Any] | None:
    """Milliseconds of one core for some files of a corpus, reading left out."""
    paths = sorted(path for path in folder.rglob("*.mid*") if path.is_file())
    scores = []
    for path in random.Random(0).sample(paths, min(files, len(paths))):
        try:
            scores.append(read_score(path))
        except UserError:
            continue
    if not scores:
        return None
    seconds = []
    for score in scores:
        begin = time.process_time()
        recognise(score)
        seconds.append(time.process_time() - begin)
    minutes = [float(seconds_at(score, last_tick(score))) / 60 for score in scores]
    return {
        "corpus": folder.name,
        "files": len(scores),
        "ms a file": 1000 * statistics.median(seconds),
        "ms in 4 minutes": 1000
        * statistics.median(4 * took / lasts for took, lasts in zip(seconds, minutes, strict=True)),
        "notes a second": sum(score.note_num() for score in scores) / sum(seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--splits", nargs="+", default=["validation", "test"])
    options = parser.parse_args()
    labelled = [song for _, song in songs(options.corpora, *options.splits)]
    methods = {"recogniser": recognise, "each beat alone": by_beats_alone}
    rows: list[dict[str, Any]] = []
    for name, method in methods.items():
        sums = [agreement(method(song.score), song) for song in labelled]
        rows.append({"method": name, "songs": len(sums), "agreement": table(sums)})
        per_song = [song["root and third"] / song["time"] for song in sums]
        rows[-1]["median song"] = statistics.median(per_song)
        rows[-1]["worst songs"] = sorted(per_song)[:5]
    names = list(rows[0]["agreement"])
    lines = [[name, *("{:.1%} ({:.1%} to {:.1%})".format(*row["agreement"][name]) for row in rows)] for name in names]
    lines.append(["root and third, median song", *(f"{row['median song']:.1%}" for row in rows)])
    show(f"Agreement, {len(labelled)} songs ({', '.join(options.splits)})", ["", *methods], lines)
    made = on_made_pieces()
    show("Made pieces, root, quality and bass", list(made), [[f"{value:.0%}" for value in made.values()]])
    rows.append({"method": "recogniser", "made pieces": made})
    timed = [row for name in SPEED_CORPORA if (row := speed(options.corpora / name, FILES))]
    show(
        f"Speed, {machine('cpu')}",
        list(timed[0]),
        [[f"{cell:,.1f}" if isinstance(cell, float) else cell for cell in row.values()] for row in timed],
    )
    print(write("chords", settings={"splits": options.splits}, rows=[*rows, *timed], device="cpu"))


if __name__ == "__main__":
    main()
