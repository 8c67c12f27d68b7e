"""The `Parts` encoding: bars that are complete in themselves, and in each bar one part after another.

    Bar_4/4  Tempo_120.8  Program_40 Velocity_63 Duration_24 Pitch_76 Position_24 Pitch_74 ...  Program_0 ...  Bar_4/4

A track is a part: `Program_40`, and for further tracks of that program `Part_2`, `Part_3` ... So two violins, two hands
or four choir staves stay apart. The parts of a bar stand in a fixed order, the highest program first, drums last, and
each at most once. Within a part, time moves by `Position`, 24 to a quarter from the bar line; `Velocity` and `Duration`
hold until they change, and each `Pitch` is a complete note. Both are stated again in each bar of a part, so that bars
and parts can be moved and removed without affecting the others.

A bar line names the metre. If the bar is shorter, because a new metre begins early, `Cut` and the position where it
ends follow. Then come directions (`Directions` ... `Music`), tempos and chords, if there are any.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.midi.chords import NO_CHORD, QUALITIES, Chord
from music_reformer.midi.score import bar_starts, metres
from music_reformer.midi.vocabulary import DRUMS, SPECIAL, program_of

GRID = 24  # positions in a quarter
MAX_BAR = 32 * GRID
MAX_PARTS = 32  # of one program; further tracks share the last number
# Durations in positions, coarser as they get longer; a longer one is written as several that add up.
DURATIONS = [
    *range(1, 2 * GRID + 1),
    *range(2 * GRID + 3, 4 * GRID + 1, 3),
    *range(4 * GRID + 6, 8 * GRID + 1, 6),
    *range(8 * GRID + 12, 16 * GRID + 1, 12),
    *range(16 * GRID + 24, 32 * GRID + 1, 24),
]
LONGEST = DURATIONS[-1]
MAX_DURATION = 16 * LONGEST  # 512 quarters: a damaged file may hold keys down for hours
VELOCITIES = [4 * level - 1 for level in range(1, 33)]
# Steps of 2 %, less than listeners notice.
TEMPOS = [round(float(tempo), 1) for tempo in np.geomspace(20, 300, 138)]
METRES = [(beats, unit) for unit in (1, 2, 4, 8, 16, 32) for beats in range(1, 33) if 4 * beats <= 32 * unit]
NUM_LEVELS = {"Density": 16, "Register": 32, "Polyphony": 16}
NUM_SECTIONS = 16  # letters of sections
MAX_COUNT = 32  # of the bars that a direction counts

TOKENS = [
    "Cut",
    "Hole",
    "Directions",
    "Music",
    *(f"Bar_{beats}/{unit}" for beats, unit in METRES),
    *(f"Position_{position}" for position in range(MAX_BAR)),
    *(f"Tempo_{tempo}" for tempo in TEMPOS),
    "NoChord",  # the last quality, "N"
    *(f"ChordRoot_{root}" for root in range(12)),
    *(f"ChordQuality_{quality}" for quality in range(len(QUALITIES) - 1)),
    *(f"ChordBass_{bass}" for bass in range(12)),
    *(f"Program_{program}" for program in range(DRUMS, 128)),
    *(f"Part_{number}" for number in range(2, MAX_PARTS + 1)),
    *(f"Velocity_{velocity}" for velocity in VELOCITIES),
    *(f"Duration_{duration}" for duration in DURATIONS),
    *(f"Pitch_{pitch}" for pitch in range(128)),
    *(f"PitchDrum_{pitch}" for pitch in range(128)),
    *(f"Key_{key}" for key in range(24)),
    *(f"Section_{letter}" for letter in range(NUM_SECTIONS)),
    *(f"SectionBars_{bars}" for bars in range(1, MAX_COUNT + 1)),
    *(f"EndsIn_{bars}" for bars in range(1, MAX_COUNT + 1)),
    *(f"{kind}_{level}" for kind, count in NUM_LEVELS.items() for level in range(count)),
]
_ID = {token: len(SPECIAL) + i for i, token in enumerate(TOKENS)}
_DURATIONS, _TEMPOS = np.array(DURATIONS), np.log(TEMPOS)
# Index of the nearest duration for each length up to the longest; of two equally near, the shorter.
_NEAREST_DURATION = np.abs(np.arange(LONGEST + 1)[:, None] - _DURATIONS).argmin(axis=1)
_FIRST = {kind: _ID[token] for kind, token in (
    ("Position", "Position_0"), ("Program", f"Program_{DRUMS}"), ("Part", "Part_2"), ("Velocity", "Velocity_3"),
    ("Duration", "Duration_1"), ("Pitch", "Pitch_0"), ("PitchDrum", "PitchDrum_0"), ("Tempo", f"Tempo_{TEMPOS[0]}"),
)}  # fmt: skip
_LENGTHS = sorted({(4 * GRID * beats // unit, -unit, beats) for beats, unit in METRES})


@dataclass(frozen=True, slots=True)
class GridBar:
    """A bar on the grid: where it begins, how long it is, and the metre whose token it gets."""

    start: int
    length: int
    metre: tuple[int, int]

    @property
    def tokens(self) -> list[int]:
        """The bar line, and where the bar ends if that is before its metre says so."""
        line = [_ID[f"Bar_{self.metre[0]}/{self.metre[1]}"]]
        whole = bar_length(self.metre)
        return line if self.length == whole else [*line, _ID["Cut"], _FIRST["Position"] + self.length]


def bar_length(metre: tuple[int, int]) -> int:
    """Positions of a whole bar of a metre that has a token."""
    return 4 * GRID * metre[0] // metre[1]


def part_order(program: int, number: int = 1) -> int:
    """The place of a part in its bar: parts stand in rising order of this."""
    return (128 if program == DRUMS else 127 - program) * (MAX_PARTS + 1) + number


def part_numbers(programs: Sequence[int]) -> list[int]:
    """The number of each track among those of its program, counted from 1, by the programs of all tracks in order."""
    seen: Counter[int] = Counter()
    numbers = []
    for program in programs:
        seen[program] += 1
        numbers.append(min(seen[program], MAX_PARTS))
    return numbers


def tracks_of_parts(score: symusic.Score) -> dict[tuple[int, int], int]:
    """Index of the track of each (program or -1 for drums, number of the part), among those that hold notes.

    These are the tracks that `clean_score` keeps, so that the numbers are those of the tokens.
    """
    playing = [
        index
        for index, track in enumerate(score.tracks)
        if any(note.duration > 0 and note.velocity > 0 for note in track.notes)
    ]
    programs = [program_of(score.tracks[index]) for index in playing]
    return dict(zip(zip(programs, part_numbers(programs), strict=True), playing, strict=True))


def on_grid(ticks: NDArray[np.int64], ticks_per_quarter: int) -> NDArray[np.int64]:
    """Ticks in positions of the grid, rounded; halves upwards, so that equal distances stay equal."""
    return (2 * ticks * GRID + ticks_per_quarter) // (2 * ticks_per_quarter)


def grid_bars(score: symusic.Score) -> list[GridBar]:
    """The bars of a score on the grid, to the end of the last note, and one more: a late note may be rounded into it.

    No bar has length 0.
    """
    ticks = np.array(bar_starts(score), dtype=np.int64)
    lines = on_grid(ticks, score.ticks_per_quarter)
    changes = metres(score)
    which = np.searchsorted([tick for tick, _, _ in changes], ticks[:-1], side="right") - 1
    bars: list[GridBar] = []
    for start, end, change in zip(lines[:-1].tolist(), lines[1:].tolist(), which.tolist(), strict=True):
        metre = changes[change][1:]
        for begin in range(start, end, MAX_BAR):  # a bar longer than any real metre is written as several
            length = min(end - begin, MAX_BAR)
            bars.append(GridBar(begin, length, _metre_for(metre, length)))
    metre = bars[-1].metre
    return [*bars, GridBar(int(lines[-1]), bar_length(metre), metre)]


def _metre_for(metre: tuple[int, int], length: int) -> tuple[int, int]:
    """The metre itself, or where it has no token the shortest that holds a bar of this length."""
    if f"Bar_{metre[0]}/{metre[1]}" in _ID and bar_length(metre) >= length:
        return metre
    _, unit, beats = next(each for each in _LENGTHS if each[0] >= length)
    return beats, -unit


def encode(score: symusic.Score, chords: Sequence[tuple[int, Chord]] = ()) -> NDArray[np.uint16]:
    """Token ids of a score in ticks, without BOS and EOS, uint16 [L]; bars after the last beginning of a note are
    left out.

    Notes of one part with the same position and pitch become one note: the longest, or of several as long the
    loudest.

    Args:
        score: the score.
        chords: (tick, chord) of every change, written before the notes of its bar; none: no bar has chords.
    """
    bars = grid_bars(score)
    starts = np.array([bar.start for bar in bars], dtype=np.int64)
    notes = _notes(score, starts)
    if not len(notes["bar"]):
        return np.zeros(0, dtype=np.uint16)
    tokens, ends = _note_tokens(notes)
    heads = _tempo_tokens(score, bars)
    last_bar = int(notes["bar"][-1])
    for number, tokens_of_bar in enumerate(_chord_tokens(chords, bars[: last_bar + 1], score.ticks_per_quarter)):
        heads.setdefault(number, []).extend(tokens_of_bar)
    # Notes are sorted by bar: the tokens of bar b end where its last note does.
    upto = np.concatenate([[0], ends])[np.searchsorted(notes["bar"], np.arange(last_bar + 1), side="right")]
    written: list[NDArray[np.uint16]] = []
    begin = 0
    for number, end in enumerate(upto.tolist()):
        written.append(np.array([*bars[number].tokens, *heads.get(number, [])], dtype=np.uint16))
        written.append(tokens[begin:end])
        begin = end
    return np.concatenate(written)


def _notes(score: symusic.Score, starts: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Columns of all notes in the order of the stream: bar, order of the part, position, pitch, velocity and so on."""
    programs = [program_of(track) for track in score.tracks]
    rows: list[NDArray[np.int64]] = []
    for track, program, number in zip(score.tracks, programs, part_numbers(programs), strict=True):
        columns = track.notes.numpy()
        if not len(columns["time"]):
            continue
        begin = on_grid(columns["time"].astype(np.int64), score.ticks_per_quarter)
        length = on_grid(columns["duration"].astype(np.int64), score.ticks_per_quarter).clip(1, MAX_DURATION)
        same = np.full(len(begin), 1)
        rows.append(np.stack([
            same * part_order(program, number), begin, columns["pitch"], -length, columns["velocity"],
            same * program, same * number,
        ]))  # fmt: skip
    if not rows:
        return {"bar": np.zeros(0, dtype=np.int64)}
    order, begin, pitch, length, velocity, program, number = np.concatenate(rows, axis=1).astype(np.int64)
    bar = np.searchsorted(starts, begin, side="right") - 1
    names = ("bar", "order", "begin", "pitch", "length", "velocity", "program", "number")
    table = np.stack([bar, order, begin, pitch, length, velocity, program, number])
    # The longest of equal notes comes first (of several as long, the loudest), and the others are dropped.
    table = table[:, np.lexsort((-velocity, length, pitch, begin, order))]
    table = table[:, np.concatenate([[True], (np.diff(table[1:4]) != 0).any(axis=0)])]
    table = table[:, np.lexsort((table[3], table[2], table[1], table[0]))]
    notes = dict(zip(names, table, strict=True))
    notes["position"] = notes.pop("begin") - starts[notes["bar"]]
    notes["length"] = -notes["length"]
    return notes


def _note_tokens(notes: dict[str, NDArray[np.int64]]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """The tokens of all notes, and the index after each note's last token."""
    first = np.concatenate([[True], (np.diff(notes["bar"]) != 0) | (np.diff(notes["order"]) != 0)])
    whole, rest = np.divmod(notes["length"] - 1, LONGEST)
    step = _NEAREST_DURATION[rest + 1]
    length = whole * LONGEST + _DURATIONS[step]
    level = ((notes["velocity"] + 3) // 4 - 1).clip(0, len(VELOCITIES) - 1)

    def changes(column: NDArray[np.int64]) -> NDArray[np.bool_]:
        return first | np.concatenate([[True], np.diff(column) != 0])

    drum = notes["program"] == DRUMS
    new_length = changes(length)
    columns = [
        (_FIRST["Program"] + notes["program"] - DRUMS, first),
        (_FIRST["Part"] + notes["number"] - 2, first & (notes["number"] > 1)),
        (_FIRST["Position"] + notes["position"], np.where(first, notes["position"] > 0, changes(notes["position"]))),
        (_FIRST["Velocity"] + level, changes(level)),
        (_FIRST["Duration"] + step, new_length),
        (np.where(drum, _FIRST["PitchDrum"], _FIRST["Pitch"]) + notes["pitch"], np.full(len(first), True)),
    ]
    written = np.stack([keep for _, keep in columns], axis=1)
    tokens = np.stack([ids for ids, _ in columns], axis=1)[written].astype(np.uint16)
    ends = np.cumsum(written.sum(axis=1))
    longer = np.where(new_length, whole, 0)
    if longer.any():  # the last duration token, in front of the pitch, is what remains
        places = np.repeat(ends - 2, longer)
        tokens = np.insert(tokens, places, _FIRST["Duration"] + len(DURATIONS) - 1)
        ends = ends + np.cumsum(longer)
    return tokens, ends


def _tempo_tokens(score: symusic.Score, bars: Sequence[GridBar]) -> dict[int, list[int]]:
    """Tempo tokens of each bar with a new tempo; the first bar states the one in force."""
    starts = [bar.start for bar in bars]
    found: dict[tuple[int, int], int] = {(0, 0): nearest_tempo(120.0)}
    for tempo in sorted(score.tempos, key=lambda tempo: tempo.time):
        begin = int(on_grid(np.array([max(0, tempo.time)], dtype=np.int64), score.ticks_per_quarter)[0])
        bar = bisect_right(starts, begin) - 1
        if begin - starts[bar] < bars[bar].length:  # else it is after the end
            found[bar, begin - starts[bar]] = nearest_tempo(tempo.qpm)
    tokens: dict[int, list[int]] = {}
    last = -1
    for (bar, position), tempo in sorted(found.items()):
        if tempo != last:
            tokens.setdefault(bar, []).extend([_FIRST["Position"] + position] if position else [])
            tokens[bar].append(_FIRST["Tempo"] + tempo)
            last = tempo
    return tokens


def _chord_tokens(
    chords: Sequence[tuple[int, Chord]], bars: Sequence[GridBar], ticks_per_quarter: int
) -> list[list[int]]:
    """Tokens of the chords of each bar: the one in force at its beginning, and every change in it."""
    if all(chord == NO_CHORD for _, chord in chords):
        return []
    begins = on_grid(np.array([tick for tick, _ in chords], dtype=np.int64), ticks_per_quarter).tolist()
    written = []
    for bar in bars:
        first = max(0, bisect_right(begins, bar.start) - 1)
        tokens = _chord(chords[first][1])
        for i in range(first + 1, bisect_left(begins, bar.start + bar.length)):
            tokens += [_FIRST["Position"] + begins[i] - bar.start, *_chord(chords[i][1])]
        written.append(tokens)
    return written


def _chord(chord: Chord) -> list[int]:
    if chord == NO_CHORD:
        return [_ID["NoChord"]]
    quality = QUALITIES.index(chord.quality)
    tokens = [_ID[f"ChordRoot_{chord.root}"], _ID[f"ChordQuality_{quality}"]]
    return tokens if chord.bass == chord.root else [*tokens, _ID[f"ChordBass_{chord.bass}"]]


def nearest_tempo(quarters_a_minute: float) -> int:
    """Index of the nearest tempo, by ratio."""
    return int(np.abs(_TEMPOS - np.log(max(quarters_a_minute, 1.0))).argmin())
