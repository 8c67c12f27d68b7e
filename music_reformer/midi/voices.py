"""Voices of a staff, and the note values that write them: ties, dots, tuplets and rests.

Works on notes that `written.py` has put on the grid. Times are in its units; a `WrittenSpan` counts from its bar.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from music_reformer.midi.beats import COMPOUND
from music_reformer.midi.written import UNIT, WrittenBar, WrittenNote

DYADIC = UNIT // 32  # every point that needs no tuplet is a multiple of this
# (notes, in the time of) of tuplets
TUPLETS = {3: 2, 5: 4, 7: 4}
PLAIN = tuple(UNIT * 8 >> halvings for halvings in range(9))  # a breve to a 128th
EXPRESSIBLE = frozenset(PLAIN) | {length * 3 // 2 for length in PLAIN if length * 3 // 2 % DYADIC == 0}
SWITCH = 7.0  # semitones that a melody may leap before another voice takes it over


@dataclass
class WrittenChord:
    """Pitches that begin and end together."""

    onset: int
    end: int
    pitches: tuple[int, ...]

    @property
    def height(self) -> float:
        """Mean pitch."""
        return sum(self.pitches) / len(self.pitches)


@dataclass
class Voice:
    """Chords that follow one another."""

    chords: list[WrittenChord] = field(default_factory=list)

    def is_free(self, place: int) -> bool:
        """Whether everything that began before a place has ended there."""
        return not self.chords or self.chords[-1].end <= place


@dataclass(frozen=True)
class WrittenSpan:
    """What stands on paper as one note, chord or rest (no pitches): `start` and `length` in its bar, ties to the pieces
    before and after, the number of a tuplet's notes (0: none), and whether the tuplet starts or stops here."""

    start: int
    length: int
    pitches: tuple[int, ...] = ()
    tied_back: bool = False
    tied_on: bool = False
    tuplet: int = 0
    starts_tuplet: bool = False
    stops_tuplet: bool = False


def voices(notes: Iterable[WrittenNote], most: int) -> list[Voice]:
    """Notes of a staff in at most `most` voices, in which chords do not overlap.

    If more sound at once, the voice nearest in pitch ends its chord early or, if that has just begun, takes it in.
    """
    together: dict[tuple[int, int], list[int]] = {}
    for note in notes:
        together.setdefault((note.onset, note.end), []).append(note.pitch)
    chords = [WrittenChord(onset, end, tuple(sorted(pitches))) for (onset, end), pitches in together.items()]
    found: list[Voice] = []
    for chord in sorted(chords, key=lambda chord: (chord.onset, -chord.pitches[-1])):
        free = [number for number, voice in enumerate(found) if voice.is_free(chord.onset)]
        if not free and len(found) < most:
            found.append(Voice())
            free = [len(found) - 1]
        if free:
            distance = {
                number: abs(found[number].chords[-1].height - chord.height) if found[number].chords else 0.0
                for number in free
            }
            found[min(free, key=lambda number: distance[number] + SWITCH * number)].chords.append(chord)
            continue
        busy = min(found, key=lambda voice: abs(voice.chords[-1].height - chord.height))
        last = busy.chords[-1]
        if last.onset == chord.onset:
            last.pitches = tuple(sorted({*last.pitches, *chord.pitches}))
            last.end = min(last.end, chord.end)
        else:
            last.end = chord.onset
            busy.chords.append(chord)
    return found


def drum_voice(notes: Iterable[WrittenNote], bars: Sequence[WrittenBar]) -> Voice:
    """Drums in one voice: a hit lasts until the next, or to the end of its beat."""
    together: dict[int, set[int]] = {}
    for note in notes:
        together.setdefault(note.onset, set()).add(note.pitch)
    starts = [bar.start for bar in bars]
    onsets = sorted(together)
    chords = []
    for onset, following in zip(onsets, [*onsets[1:], bars[-1].start + bars[-1].length], strict=True):
        bar = bars[bisect_right(starts, onset) - 1]
        beat = _beat(bar)
        end = min(bar.start + ((onset - bar.start) // beat + 1) * beat, bar.start + bar.length)
        chords.append(WrittenChord(onset, min(end, following), tuple(sorted(together[onset]))))
    return Voice(chords)


def in_bars(voice: Voice, bars: Sequence[WrittenBar]) -> dict[int, list[WrittenSpan]]:
    """The spans of a voice by index of the bar: notes tied over bar lines, not yet divided into note values."""
    starts = [bar.start for bar in bars]
    found: dict[int, list[WrittenSpan]] = {}
    for chord in voice.chords:
        index = bisect_right(starts, chord.onset) - 1
        while index < len(bars) and bars[index].start < chord.end:
            bar = bars[index]
            begin, end = max(chord.onset, bar.start), min(chord.end, bar.start + bar.length)
            piece = WrittenSpan(begin - bar.start, end - begin, chord.pitches, begin > chord.onset, end < chord.end)
            found.setdefault(index, []).append(piece)
            index += 1
    return found


def note_values(inside: Sequence[WrittenSpan], bar: WrittenBar) -> list[WrittenSpan]:
    """The pieces of one voice in a bar, with rests between them, each of a length that one note value has."""
    filled, now = [], 0
    for piece in inside:
        if piece.start > now:
            filled.append(WrittenSpan(now, piece.start - now))
        filled.append(piece)
        now = piece.start + piece.length
    if now < bar.length:
        filled.append(WrittenSpan(now, bar.length - now))
    tuplets = _tuplets({piece.start for piece in filled} | {bar.length}, bar)
    found: list[WrittenSpan] = []
    for piece in filled:
        for part in _cut(piece, [edge for start, (length, _) in tuplets.items() for edge in (start, start + length)]):
            cell = next(
                ((s, *tuplet) for s, tuplet in tuplets.items() if s <= part.start < s + tuplet[0]),
                None,
            )
            found += _plain(part, bar) if cell is None else _in_tuplet(part, *cell)
    return _bracketed(found, tuplets)


def _tuplets(edges: set[int], bar: WrittenBar) -> dict[int, tuple[int, int]]:
    """Start of each part of a bar that needs a tuplet: (length, notes of the tuplet)."""
    found: dict[int, tuple[int, int]] = {}
    odd = sorted(edge for edge in edges if edge % DYADIC)
    for edge in odd:
        start = edge // bar.cell * bar.cell
        base = next((base for base in TUPLETS if (edge - start) * base % DYADIC == 0), None)
        if base is not None:
            found[start] = (bar.cell, base)
    for start in sorted(found):  # quarter triplets: three in the time of two quarters
        double = 2 * bar.cell
        inner = [edge - start for edge in edges if start < edge < start + double]
        if (
            start % double == 0
            and start + bar.cell in found
            and start + double <= bar.length
            and all(edge % (double // 3) == 0 for edge in inner)
        ):
            found[start] = (double, 3)
            del found[start + bar.cell]
    return found


def _cut(piece: WrittenSpan, places: Iterable[int]) -> list[WrittenSpan]:
    """A piece, cut and tied at places inside it."""
    inner = sorted({place for place in places if piece.start < place < piece.start + piece.length})
    edges = [piece.start, *inner, piece.start + piece.length]
    sounds = bool(piece.pitches)
    return [
        replace(
            piece,
            start=begin,
            length=end - begin,
            tied_back=piece.tied_back if begin == piece.start else sounds,
            tied_on=piece.tied_on if end == edges[-1] else sounds,
        )
        for begin, end in itertools.pairwise(edges)
    ]


def _beat(bar: WrittenBar) -> int:
    unit = 4 * UNIT // bar.unit
    return 3 * unit if bar.beats in COMPOUND and bar.unit >= 4 else max(unit, bar.cell)


def _levels(bar: WrittenBar) -> list[tuple[int, int]]:
    """Spans whose borders should stay visible, the longest first; a note whose ends are multiples of the second number
    may cross them anyway."""
    beat = _beat(bar)
    compound = beat > bar.cell and bar.beats in COMPOUND
    levels = [(2 * beat, beat)] if bar.beats % 4 == 0 or bar.beats == 12 else []
    if compound:
        levels.append((beat, beat))
        beat //= 3
    while beat > DYADIC:
        levels.append((beat, beat // 2))
        beat //= 2
    return levels


def _plain(piece: WrittenSpan, bar: WrittenBar) -> list[WrittenSpan]:
    """A piece as note values without tuplets, so that beats can be seen."""
    start, end = piece.start, piece.start + piece.length
    if start == 0 and end == bar.length and not piece.pitches:
        return [piece]  # a rest of a whole bar
    for span, fine in _levels(bar):
        first, last = (start // span + 1) * span, (end - 1) // span * span
        if first >= end:
            continue
        step = fine if piece.pitches else span
        base = max((length for length in PLAIN if length <= piece.length), default=piece.length)
        aligned = start % max(base // 2, 1) == 0 or start % span == 0
        if not (aligned and start % step == 0 and end % step == 0 and piece.length in EXPRESSIBLE):
            parts = _cut(piece, [first if start % step else last])
            return [value for part in parts for value in _plain(part, bar)]
    if piece.length not in EXPRESSIBLE and piece.length > min(PLAIN):
        base = max(length for length in PLAIN if length < piece.length)
        return [value for part in _cut(piece, [start + base]) for value in _plain(part, bar)]
    return [piece]


def _in_tuplet(piece: WrittenSpan, start: int, length: int, base: int) -> list[WrittenSpan]:
    """A piece as notes of a tuplet; `start` and `length` of the tuplet, `base` notes in it."""
    place = piece.start - start
    aligned = place % piece.length == 0 and place % DYADIC == 0
    if aligned and piece.length in PLAIN:
        return [piece]
    halvings = next((h for h in range(8) if not any(x * base * 2**h % length for x in (place, piece.length))), None)
    if halvings is None:
        return [piece]
    step = length // (base * 2**halvings)
    at, count = place // step, piece.length // step
    odd = count
    while odd % 2 == 0:
        odd //= 2
    if odd in (1, 3) and count % base:
        return [replace(piece, tuplet=base)]
    largest = 1 << (count - 1).bit_length() - 1
    parts = _cut(piece, [piece.start + step * min(at & -at or largest, largest)])
    return [value for part in parts for value in _in_tuplet(part, start, length, base)]


def _bracketed(pieces: list[WrittenSpan], tuplets: dict[int, tuple[int, int]]) -> list[WrittenSpan]:
    """Pieces with the starts and stops of tuplets; a tuplet is closed at the middle of its cell if possible."""
    closing = {start + part for start, (length, _) in tuplets.items() for part in (length // 2, length)}
    found: list[WrittenSpan] = []
    is_open = False
    for number, piece in enumerate(pieces):
        if not piece.tuplet:
            found.append(piece)
            continue
        end = piece.start + piece.length
        stops = end in closing or number + 1 == len(pieces) or not pieces[number + 1].tuplet
        found.append(replace(piece, starts_tuplet=not is_open, stops_tuplet=stops))
        is_open = not stops
    return found
