"""A score out to MusicXML and back, compared in notes, parts, metres and keys."""

from __future__ import annotations

import symusic

from music_reformer.midi.notation import music_xml
from music_reformer.midi.score import bar_starts, metres, read_score, with_likely_metre
from music_reformer.midi.staves import WrittenPart, key_sections, written_parts
from music_reformer.midi.written import UNIT, written_bars

TICKS = 480  # to a quarter, in what is read back


def differences(midi: bytes, name: str) -> list[str]:
    """The differences between a piece and the same piece written and read again; empty if all is well.

    The piece is compared as rounded for writing: parts (names, programs, drums, order), their notes (onset, end and
    pitch; for drums, onset and key), bar lines and metres, and key signatures.
    """
    score = with_likely_metre(read_score(midi, name=name))
    bars = written_bars(score)
    back = read_score(music_xml(midi, name=name, title="A title"), name=name)
    tracks = [track for track in back.tracks if len(track.notes)]
    found = []
    for part in written_parts(score, bars):
        own = [tracks.pop(0) for _ in part.staves if tracks]
        found += _of_part(part, own)
    if tracks:
        found.append(f"{len(tracks)} more parts")
    ticks = [_ticks(bar.start) for bar in bars]
    lines = bar_starts(back)[:-1]
    if lines != ticks[: len(lines)]:  # bars of rest at the end are not in MIDI
        found.append("bar lines")
    read = metres(back)
    for tick, bar in zip(lines, bars, strict=False):
        *_, (_, beats, unit) = [metre for metre in read if metre[0] <= tick]
        # A bar that was cut short comes back as a bar of a shorter metre: MIDI knows no other way.
        if bar.length == bar.whole and (beats, unit) != (bar.beats, bar.unit):
            found.append(f"metre {beats}/{unit} instead of {bar.beats}/{bar.unit} at {tick}")
            break
    keys = [(key.time, key.key, bool(key.tonality)) for key in back.key_signatures]
    wanted = [(ticks[bar], key.sharps, key.is_minor) for bar, key in key_sections(score, bars)]
    if keys != wanted:
        found.append(f"keys {keys} instead of {wanted}")
    return found


def _ticks(units: int) -> int:
    return round(units * TICKS / UNIT)


def _of_part(part: WrittenPart, tracks: list[symusic.core.TrackTick]) -> list[str]:
    found = []
    if {track.name for track in tracks} != {part.name}:
        found.append(f"the name of {part.name}: {[track.name for track in tracks]}")
    if any(track.is_drum != part.is_drum for track in tracks):
        found.append(f"{part.name} is drums")
    if not part.is_drum and any(track.program != part.program for track in tracks):
        found.append(f"the program of {part.name}: {[track.program for track in tracks]}")
    wanted = sorted((_ticks(onset), pitch, _ticks(end)) for onset, end, pitch in part.notes())
    read = sorted((note.time, note.pitch, note.end) for track in tracks for note in track.notes)
    if part.is_drum:
        wanted, read = [note[:2] for note in wanted], [note[:2] for note in read]
    if wanted != read:
        lost, new = sorted(set(wanted) - set(read)), sorted(set(read) - set(wanted))
        found.append(f"notes of {part.name}: {len(lost)} of {len(wanted)} lost {lost[:3]}, {len(new)} new {new[:3]}")
    return found
