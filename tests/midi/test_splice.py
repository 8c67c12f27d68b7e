"""The whole export: nothing of the upload is lost, and what was composed is where it belongs."""

from __future__ import annotations

import io

import mido
import pytest
import symusic

from helpers.stand_in_model import StandIn, full_score
from music_reformer.config import TokenizerConfig
from music_reformer.generation.generator import Generator
from music_reformer.generation.request import Request
from music_reformer.midi.splice import SpliceError, Splicer, Writer, quantity, read_track, write_track
from music_reformer.midi.tokenizer import MusicTokenizer

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
    """(tick, event) of the first so many tracks (None: all), in order; the ends of tracks left out."""
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


def notes_of(score: symusic.Score) -> list[tuple[int, int, int, int, int]]:
    return sorted(
        (-1 if track.is_drum else track.program, note.time, note.pitch, note.duration, note.velocity)
        for track in score.tracks
        for note in track.notes
    )


def continued(score: symusic.Score, cut: int) -> symusic.Score:
    """The score before the cut with two notes behind it in every track, and a flute that is new."""
    after = score.copy()
    for number, track in enumerate(after.tracks):
        track.notes.filter(lambda note: note.time < cut, inplace=True)
        track.controls.filter(lambda control: control.time < cut, inplace=True)
        track.pitch_bends.filter(lambda bend: bend.time < cut, inplace=True)
        track.notes.extend([symusic.Note(cut, 240, 50 + number, 70), symusic.Note(cut + 480, 100, 51 + number, 71)])
        track.controls.append(symusic.ControlChange(cut, 64, 0))
    flute = symusic.Track("Flöte", 73, False)
    flute.notes.append(symusic.Note(cut + 7, 33, 88, 99))
    after.tracks.append(flute)
    return after


@pytest.mark.parametrize("midi_format", [0, 1])
def test_every_event_before_the_cut_survives_and_none_behind_it(midi_format: int) -> None:
    original = rich_file(midi_format=midi_format)
    score = symusic.Score.from_midi(original)
    cut = 4 * BAR
    written = Splicer(original, score, cut).write(continued(score, cut))
    before = [event for event in events_of(original) if event[0] < cut]
    kept = [event for event in events_of(written, first=2) if event[0] < cut]  # new tracks come behind
    assert kept == before
    for word in ("for Clara", "(c) me", "Fiddle", "sysex", "aftertouch", "curtain", "velocity=33"):
        assert any(word in event for _, event in kept), word
    behind = " ".join(event for tick, event in events_of(written) if tick >= cut)
    assert "text" not in behind
    assert "lyrics" not in behind


@pytest.mark.parametrize("midi_format", [0, 1])
def test_what_was_composed_is_read_back_with_its_instruments(midi_format: int) -> None:
    original = rich_file(midi_format=midi_format)
    score = symusic.Score.from_midi(original)
    cut = 4 * BAR
    expected = continued(score, cut)
    again = symusic.Score.from_midi(Splicer(original, score, cut).write(expected))
    assert notes_of(again) == notes_of(expected)
    assert [(tempo.time, round(tempo.qpm)) for tempo in again.tempos] == [(0, 120), (2 * BAR, 150)]


def test_a_change_of_tempo_right_at_the_cut_stays() -> None:
    original = rich_file()
    score = symusic.Score.from_midi(original)
    again = symusic.Score.from_midi(Splicer(original, score, 2 * BAR).write(continued(score, 2 * BAR)))
    assert [round(tempo.qpm) for tempo in again.tempos] == [120, 150]


def test_a_real_session_spliced_is_what_symusic_would_have_written() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig())
    original = full_score().dumps_midi()
    score = symusic.Score.from_midi(original)
    session = Generator(StandIn(tokenizer), tokenizer).start(
        score, Request(length="4bars", variations=2, seed=3, cut_bar=6)
    )
    for _ in session:
        pass
    splicer = Splicer(original, score, session.prompt.cut_tick)
    for written in session.scores:
        again = symusic.Score.from_midi(splicer.write(written))
        assert notes_of(again) == notes_of(symusic.Score.from_midi(written.dumps_midi()))
        assert len(notes_of(again)) > 40


def test_running_status_is_written_out() -> None:
    events = list(read_track(bytes([0, 0x90, 60, 80, 10, 62, 81, 5, 60, 0, 0, 0xFF, 0x2F, 0])))
    assert [event.data.hex() for event in events] == ["903c50", "903e51", "903c00", "ff2f00"]
    assert [event.tick for event in events] == [0, 10, 15, 15]
    assert list(read_track(write_track(events[:3], 0)[8:])) == events


@pytest.mark.parametrize("number", [0, 127, 128, 16383, 16384, 0x0FFFFFFF])
def test_variable_lengths(number: int) -> None:
    assert next(read_track(quantity(number) + b"\xff\x2f\0")).tick == number


@pytest.mark.parametrize("body", [b"", b"\0\x90\x3c", b"\0\x3c\x50", b"\0\xf1\0", b"\0\xff\x01\x7f"])
def test_damaged_tracks_are_refused_or_end(body: bytes) -> None:
    data = b"MThd\0\0\0\6\0\2\0\1\1\xe0MTrk" + len(body).to_bytes(4, "big") + body
    with pytest.raises(SpliceError):
        Splicer(data, symusic.Score(480), 0)


def test_sixteen_channels_are_all_there_are() -> None:
    tracks = [
        [message("program_change", channel=channel, program=channel),
         message("note_on", channel=channel, note=60, velocity=80),
         message("note_off", channel=channel, note=60, time=480)]
        for channel in range(16)
    ]  # fmt: skip
    original = save(1, *tracks)
    score = symusic.Score.from_midi(original)
    after = score.copy()
    after.tracks.append(symusic.Track("new", 99, False))
    after.tracks[-1].notes.append(symusic.Note(BAR, 9, 60, 80))
    with pytest.raises(SpliceError, match="sixteen"):
        Splicer(original, score, BAR).write(after)


def test_what_cannot_be_spliced_is_written_anew_and_says_so() -> None:
    original = rich_file()
    score = symusic.Score.from_midi(original)
    composed = continued(score, 4 * BAR)
    assert Writer(original, score, 4 * BAR).write(composed) == (
        Splicer(original, score, 4 * BAR).write(composed),
        False,
    )
    of_format_2 = original[:9] + b"\x02" + original[10:]
    for kept, lossy in ((of_format_2, True), (None, False)):
        data, is_lossy = Writer(kept, score, 4 * BAR).write(composed)
        assert (notes_of(symusic.Score.from_midi(data)), is_lossy) == (notes_of(composed), lossy)
