"""A MIDI file with one of everything, and the events of a file as plain values."""

from __future__ import annotations

import io

import mido

BAR = 4 * 480


def message(kind: str, time: int = 0, **values: object) -> mido.Message:
    return mido.Message(kind, time=time, **values)


def meta(kind: str, time: int = 0, **values: object) -> mido.MetaMessage:
    return mido.MetaMessage(kind, time=time, **values)


def rich_file(*, midi_format: int = 1) -> bytes:
    """Four bars with one of everything that a MIDI file may hold, in two tracks (or all in one)."""
    conductor = [
        meta("track_name", name="Song"),
        meta("text", text="for Clara"),
        meta("copyright", text="(c) me"),
        meta("set_tempo", tempo=500_000),
        meta("time_signature", numerator=4, denominator=4),
        meta("key_signature", key="D"),
        meta("marker", text="A"),
        meta("cue_marker", text="curtain"),
        meta("set_tempo", tempo=400_000, time=2 * BAR),
        meta("set_tempo", tempo=600_000, time=6 * BAR),
    ]
    lead = [
        meta("track_name", name="Lead"),
        meta("instrument_name", name="Fiddle"),
        message("sysex", data=[0x7E, 0x7F, 9, 1]),
        message("control_change", channel=3, control=0, value=1),
        message("program_change", channel=3, program=40),
        message("control_change", channel=3, control=7, value=90),
    ]
    for bar in range(6):
        if bar == 2:  # the same track goes on as a trumpet
            lead.append(message("program_change", channel=3, program=56))
        lead += [
            meta("lyrics", text=f"la{bar}"),
            message("note_on", channel=3, note=60 + bar, velocity=80),
            message("aftertouch", channel=3, value=50, time=100),
            message("pitchwheel", channel=3, pitch=700),
            message("note_on", channel=9, note=36, velocity=99, time=900),
            message("note_on", channel=9, note=36, velocity=0, time=100),
            message("pitchwheel", channel=3, pitch=0, time=BAR - 1100),
        ]
        if bar:  # the note before sounded across the bar line
            lead.insert(-6, message("note_off", channel=3, note=59 + bar, velocity=33, time=200))
            lead[-5].time = 0
    lead.append(message("note_off", channel=3, note=65, velocity=33, time=200))
    return save(midi_format, conductor, lead)


def save(midi_format: int, *tracks: list) -> bytes:
    file = mido.MidiFile(type=midi_format, ticks_per_beat=480)
    if midi_format == 0:
        tracks = (mido.merge_tracks([mido.MidiTrack(track) for track in tracks]),)
    file.tracks.extend(mido.MidiTrack(track) for track in tracks)
    written = io.BytesIO()
    file.save(file=written)
    return written.getvalue()


def events_of(data: bytes, *, first: int | None = None) -> list[tuple[int, str]]:
    """(tick, event) of the first tracks (None: all), in order, without the ends of tracks."""
    found = []
    for track in mido.MidiFile(file=io.BytesIO(data)).tracks[:first]:
        tick = 0
        for event in track:
            tick += event.time
            if event.type == "note_on" and event.velocity == 0:
                event = message("note_off", note=event.note, channel=event.channel, velocity=64)
            if event.type != "end_of_track":
                found.append((tick, str(event.copy(time=0))))
    return found
