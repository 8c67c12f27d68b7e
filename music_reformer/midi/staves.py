"""What stands on which staff of a written score: parts, hands, names, lyrics, keys by section and tempo marks.

Knows nothing of music21: `notation.py` turns this into MusicXML.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import symusic

from music_reformer.midi.instruments import instrument_name
from music_reformer.midi.key import Key
from music_reformer.midi.text import shown
from music_reformer.midi.tonality import keys_of
from music_reformer.midi.voices import Voice, drum_voice, voices
from music_reformer.midi.written import UNIT, Grid, WrittenBar, WrittenNote, one_at_a_time

KEYBOARDS = frozenset({*range(9), *range(16, 24), 46})  # and the harp
# Voices on a staff: of a score, and of a piece that somebody played.
MOST_VOICES, MOST_PLAYED_VOICES = 4, 2
MAX_NAME = 24
PLAIN_NAMES = {0: "Piano", 1: "Piano", 3: "Piano", 52: "Voice"}
# A part gets two staves if this share of its notes is below, and this share above, what one staff holds well.
TWO_STAVES, LOW, HIGH = 0.1, 55, 59
# Where hands rest, how far they wander from there, and how fast; a hand's reach in semitones.
HANDS, WANDER, FOLLOW, REACH = (50.0, 71.0), 12.0, 0.2, 14
# Fewest bars of a new key signature or tempo; smallest change of tempo that is marked, as a share.
KEY_BARS, TEMPO_BARS, TEMPO_CHANGE = 16, 4, 0.1

Played = list[tuple[int, int, int]]  # (onset, end, pitch) in ticks


@dataclass(frozen=True)
class Syllable:
    """A syllable of lyrics, and whether its word begins before it or continues after it."""

    text: str
    from_before: bool = False
    goes_on: bool = False


@dataclass
class WrittenPart:
    """A part of the score: one staff, or two from the top, with their voices; syllables by onset.

    If the tracks of a keyboard's hands have different names, they are two parts, the right hand first.
    """

    name: str
    program: int
    is_drum: bool
    staves: list[list[Voice]]
    syllables: dict[int, Syllable] = field(default_factory=dict)
    is_right_hand: bool = False
    is_left_hand: bool = False
    tracks: list[int] = field(default_factory=list)  # of the score, by index

    def notes(self) -> Iterator[tuple[int, int, int]]:
        """(onset, end, pitch) in units of all notes as they are written."""
        for voice in itertools.chain(*self.staves):
            for chord in voice.chords:
                yield from ((chord.onset, chord.end, pitch) for pitch in chord.pitches)


def written_parts(score: symusic.Score, bars: Sequence[WrittenBar]) -> list[WrittenPart]:
    """The parts of a score: one for each track, but two tracks of one keyboard are one part if they share a name."""
    grid = Grid(score, bars)
    indices = [index for index, track in enumerate(score.tracks) if len(track.notes)]
    tracks = [score.tracks[index] for index in indices]
    parts: list[WrittenPart] = []
    number = 0
    while number < len(tracks):
        track, begin = tracks[number], number
        staves = _staves(track, score.ticks_per_quarter)
        is_pair = len(staves) == 1 and _are_hands(tracks[number : number + 2], tracks)
        if is_pair and track.name == tracks[number + 1].name:
            staves.append(_played(tracks[number + 1]))
            number += 1
        is_left = not is_pair and bool(parts) and parts[-1].is_right_hand
        if is_left:
            staves = [_played(track)]
        is_drum = bool(track.is_drum)
        written = [_voices(staff, grid, is_drum) for staff in staves]
        is_right = is_pair and len(staves) == 1
        number += 1
        of_tracks = indices[begin:number]
        parts.append(
            WrittenPart(
                _name(track),
                track.program,
                is_drum,
                written,
                is_right_hand=is_right,
                is_left_hand=is_left,
                tracks=of_tracks,
            )
        )
    _number_names(parts)
    _add_lyrics(parts, score, grid)
    return parts


def _played(track: symusic.core.TrackTick) -> Played:
    columns = track.notes.numpy()
    onset, duration = columns["time"].astype(np.int64), columns["duration"].astype(np.int64)
    return list(zip(onset.tolist(), (onset + duration).tolist(), columns["pitch"].tolist(), strict=True))


def _are_hands(pair: Sequence[symusic.core.TrackTick], tracks: Sequence[symusic.core.TrackTick]) -> bool:
    """Whether two tracks are the right and the left hand of one keyboard player: they have one name, or no other track
    has their program."""
    if len(pair) < 2 or any(track.is_drum or track.program not in KEYBOARDS for track in pair):
        return False
    right, left = pair
    alike = sum(track.program == right.program and not track.is_drum for track in tracks)
    if left.program != right.program or (left.name != right.name and alike > 2):
        return False
    return bool(right.notes.numpy()["pitch"].mean() > left.notes.numpy()["pitch"].mean())


def _staves(track: symusic.core.TrackTick, ticks_per_quarter: int) -> list[Played]:
    played = _played(track)
    pitches = np.array([pitch for *_, pitch in played])
    if track.is_drum or track.program not in KEYBOARDS:
        return [played]
    if min(np.mean(pitches < LOW), np.mean(pitches > HIGH)) < TWO_STAVES:
        return [played]
    return [hand for hand in hands(played, ticks_per_quarter // 16) if hand] or [played]


def _voices(played: Played, grid: Grid, is_drum: bool) -> list[Voice]:
    notes = grid.notes(played, lengths=not is_drum)
    if is_drum:
        return [drum_voice(notes, grid.bars)]
    return voices(simplified(notes), MOST_VOICES if grid.is_exact else MOST_PLAYED_VOICES)


def hands(played: Sequence[tuple[int, int, int]], together: int) -> tuple[list[tuple[int, int, int]], ...]:
    """Notes of a keyboard, (onset, end, pitch) in ticks, divided between the right hand and the left.

    Each hand moves as little as it can. `together`: ticks within which notes count as one chord.
    """
    right: list[tuple[int, int, int]] = []
    left: list[tuple[int, int, int]] = []
    low, high = HANDS
    ordered = sorted(played)
    begin = 0
    while begin < len(ordered):
        end = begin
        while end < len(ordered) and ordered[end][0] - ordered[begin][0] <= together:
            end += 1
        struck = sorted(ordered[begin:end], key=lambda note: note[2])
        pitches = [pitch for *_, pitch in struck]

        def cost(split: int, pitches: list[int] = pitches, low: float = low, high: float = high) -> float:
            below, above = pitches[:split], pitches[split:]
            stretch = sum(max(0, part[-1] - part[0] - REACH) for part in (below, above) if part)
            return sum(abs(p - low) for p in below) + sum(abs(p - high) for p in above) + 4 * stretch

        split = min(range(len(struck) + 1), key=cost)
        left += struck[:split]
        right += struck[split:]
        low, high = (
            max(rest - WANDER, min(rest + WANDER, at + FOLLOW * (sum(part) / len(part) - at))) if part else at
            for rest, at, part in zip(HANDS, (low, high), (pitches[:split], pitches[split:]), strict=True)
        )
        begin = end
    return right, left


def simplified(notes: Sequence[WrittenNote]) -> list[WrittenNote]:
    """Notes with their loose ends as they would be written: at an onset if one is near, and equal within a chord."""
    onsets = sorted({note.onset for note in notes})
    longest: dict[int, int] = {}
    ended = []
    for note in notes:
        end = _near_onset(note, onsets) if note.is_loose else note.end
        ended.append(replace(note, end=end))
        longest[note.onset] = max(longest.get(note.onset, 0), end)
    return one_at_a_time(
        replace(note, end=longest[note.onset])
        if note.is_loose and 2 * (note.end - note.onset) >= longest[note.onset] - note.onset
        else note
        for note in ended
    )


def _near_onset(note: WrittenNote, onsets: Sequence[int]) -> int:
    """The end of a note; or an onset, if the note ends just before or just after it."""
    place = bisect_right(onsets, note.end)
    near = [onset for onset in onsets[max(0, place - 1) : place + 1] if onset > note.onset]
    slack = min(UNIT, max(UNIT // 4, (note.end - note.onset) * 35 // 100))
    closest = min(near, key=lambda onset: abs(onset - note.end), default=note.end)
    return closest if abs(closest - note.end) <= slack else note.end


def _name(track: symusic.core.TrackTick) -> str:
    name = shown(track.name).rstrip(" :")
    if 0 < len(name) <= MAX_NAME:
        return name
    return (not track.is_drum and PLAIN_NAMES.get(track.program)) or instrument_name(track.program, drum=track.is_drum)


def _number_names(parts: Sequence[WrittenPart]) -> None:
    """Number parts that have the same name."""
    names = [part.name for part in parts]
    seen: dict[str, int] = {}
    for part, name in zip(parts, names, strict=True):
        if names.count(name) > 1:
            seen[name] = seen.get(name, 0) + 1
            part.name = f"{name} {seen[name]}"


def _add_lyrics(parts: Sequence[WrittenPart], score: symusic.Score, grid: Grid) -> None:
    """Give each track of lyrics to the part on whose onsets most syllables fall: its own track's, if that has notes."""
    by_part = [sorted({onset for onset, *_ in part.notes()}) for part in parts]
    for track in score.tracks:
        sung = [(round(grid.place(event.time)), event.text) for event in track.lyrics]
        if not sung:
            continue
        own = _name(track) if len(track.notes) else None
        shares = [
            sum(_nearest(onsets, place) is not None for place, _ in sung) + (len(sung) if part.name == own else 0)
            for part, onsets in zip(parts, by_part, strict=True)
        ]
        best = max(range(len(parts)), key=lambda number: shares[number])
        onsets = by_part[best]
        for (place, _), syllable in zip(sung, _syllables([text for _, text in sung]), strict=True):
            onset = _nearest(onsets, place)
            if onset is not None and syllable.text:
                parts[best].syllables.setdefault(onset, syllable)


def _nearest(onsets: Sequence[int], place: int) -> int | None:
    """The onset, of a sorted sequence, to which a place was rounded."""
    after = bisect_right(onsets, place)
    near = [onset for onset in onsets[max(0, after - 1) : after + 1] if abs(onset - place) <= UNIT // 4]
    return min(near, key=lambda onset: abs(onset - place), default=None)


def _syllables(texts: Sequence[str]) -> list[Syllable]:
    """Syllables of a track. A word ends at a space or, if no text has spaces, wherever there is no hyphen."""
    spaced = any(text != text.strip(" ") for text in texts)
    found: list[Syllable] = []
    goes_on = False
    for number, text in enumerate(texts):
        following = texts[number + 1] if number + 1 < len(texts) else " "
        word = shown(text.strip("/\\\r\n "))
        before = goes_on and not text.startswith((" ", "/", "\\"))
        goes_on = word.endswith("-") or (
            spaced and not text.endswith((" ", "\n", "\r")) and not following.startswith((" ", "/", "\\"))
        )
        found.append(Syllable(word.rstrip("-"), before, goes_on and number + 1 < len(texts)))
    return found


def key_sections(score: symusic.Score, bars: Sequence[WrittenBar]) -> list[tuple[int, Key]]:
    """Key signatures, (index of the bar, key), the first at bar 0: the file's, or estimated if it has none.

    Programs write C major if nobody chose a key, so C major is trusted only if another key follows.
    """
    ticks = [bar.tick for bar in bars]
    named = [
        (event.time, Key(event.key, bool(event.tonality))) for event in score.key_signatures if -7 <= event.key <= 7
    ]
    is_found = not any(key.sharps for _, key in named)
    signatures = keys_of(score) if is_found else sorted(named, key=lambda event: event[0])
    placed: dict[int, Key] = {}
    for tick, key in signatures:
        placed[max(0, bisect_right(ticks, tick + 1) - 1)] = key
    ends = [*placed, len(bars)][1:]
    sections: list[tuple[int, Key]] = []
    for (bar, key), end in zip(placed.items(), ends, strict=True):
        if is_found and end - bar < KEY_BARS and len(placed) > 1:
            continue
        if not sections or sections[-1][1].sharps != key.sharps:
            sections.append((bar if sections else 0, key))
    return sections or [(0, next(iter(placed.values()), Key(0, False)))]


def tempo_marks(score: symusic.Score, bars: Sequence[WrittenBar]) -> list[tuple[int, float]]:
    """(index of the bar, quarters a minute): one at the start, and one wherever a clearly different tempo lasts.

    If the tempo keeps changing, as in a recording, its mean is written.
    """
    ticks = [bar.tick for bar in bars]
    changes: dict[int, tuple[int, float]] = {}
    for event in sorted(score.tempos, key=lambda event: event.time):
        changes[max(0, bisect_right(ticks, event.time) - 1)] = event.time, event.qpm
    if 0 not in changes:
        changes = {0: (0, 120.0), **changes}
    marks: list[tuple[int, float]] = []
    for (bar, (_, qpm)), end in zip(changes.items(), [*list(changes)[1:], len(bars)], strict=True):
        if end - bar < min(TEMPO_BARS, len(bars)):
            continue
        if not marks or abs(qpm / marks[-1][1] - 1) >= TEMPO_CHANGE:
            marks.append((bar, qpm))
    if marks and (marks[0][0] == 0 or len(changes) == 1):
        return marks
    until = marks[0][0] if marks else len(bars)
    lengths = np.diff([*[bar for bar in changes if bar < until], until])
    tempos = [qpm for bar, (_, qpm) in changes.items() if bar < until]
    return [(0, float(lengths.sum() / (lengths / np.array(tempos)).sum())), *marks]


def hidden_metres(bars: Sequence[WrittenBar]) -> dict[int, tuple[int, int]]:
    """The metre shown for each bar, by index, where it differs from the bar's own.

    In MIDI only a metre of its own can make a bar short: a pickup, or a bar that a repeat cuts in two. One or two such
    bars before a bar in the metre of the piece are short bars, not new metres.
    """
    found: dict[int, tuple[int, int]] = {}
    if len(bars) > 1 and _is_part_of(bars[0], bars[1]):
        found[0] = _metre(bars[1])
    current = found.get(0, _metre(bars[0]))
    number = 1
    while number < len(bars):
        short = 0
        while number + short < len(bars) and _metre(bars[number + short]) != current and short < 3:
            short += 1
        back = number + short
        if 0 < short < 3 and back < len(bars) and all(_is_part_of(bar, bars[back]) for bar in bars[number:back]):
            found.update(dict.fromkeys(range(number, back), current))
            number = back
        else:
            current = _metre(bars[number])
            number += 1
    return found


def _is_part_of(bar: WrittenBar, whole: WrittenBar) -> bool:
    """Whether a bar can be a short bar in the metre of another, and `sheet.py` will read it back unchanged."""
    units = (unit for unit in (whole.unit, 8, 16, 32) if bar.whole * unit % (4 * UNIT) == 0)
    return bar.length < whole.whole and bar.unit == next(units, 0)


def _metre(bar: WrittenBar) -> tuple[int, int]:
    return bar.beats, bar.unit
