"""Files that break the standard are read as players read them, and symusic gets only unambiguous bytes."""

from __future__ import annotations

import gzip
import io
import random
import struct
from pathlib import Path, PurePath

import mido
import numpy as np
import pytest
import symusic

from helpers.midi_bytes import END, SCALE, chunk, event, meta, midi, note, scale
from helpers.scores import random_score
from music_reformer.errors import UserError
from music_reformer.midi import smf
from music_reformer.midi.score import read_score
from music_reformer.midi.sheet import is_music_name
from music_reformer.midi.smf import FileLimits, normalised, quantity, read_file, without_suffix

Rows = list[tuple[int, int, int]]
PLAIN = [(80 + 480 * index, 400, pitch) for index, pitch in enumerate(SCALE)]
LIMITS = FileLimits(1_000_000)


def notes(score: symusic.Score, track: int = 0) -> Rows:
    return [(each.time, each.duration, each.pitch) for each in score.tracks[track].notes]


def read(data: bytes) -> tuple[symusic.Score, str]:
    """The score, and the notices about it."""
    said: list[str] = []
    return read_score(data, name="song.mid", tell=said.append), "".join(said)


@pytest.mark.parametrize(
    "odd",
    [
        event(0, 0xF7, 6, 0x43, 0x12, 0x40, 0, 0x7F, 0xF7),  # a packet that holds bytes like those of events
        event(0, 0xF7, 3, 0x90, 0x3C, 0x50),  # an escape
        event(0, 0xF0, 3, 0x43, 0x12, 0) + event(10, 0xF7, 3, 0x43, 0x12, 0xF7),  # a message in two packets
        event(0, 0xF0, 5, 0x7E, 0x7F, 9, 1, 0xF7),
        event(0, 0xF8),  # a clock tick, which has no place in a file
        event(0, 0xF2, 1, 2),
        meta(0, 0x7F, bytes(range(200))),
        meta(0, 0x60, b"unheard of"),
    ],
    ids=lambda odd: odd.hex()[:12],
)
def test_system_messages_are_passed_over_by_their_length(odd: bytes) -> None:
    delayed = 10 if b"\x0a\xf7" in odd else 0
    score, said = read(midi(note(60) + odd + note(62), scale(channel=1)))
    assert notes(score) == [(80, 400, 60), (560 + delayed, 400, 62)]
    assert notes(score, 1) == PLAIN
    assert said == ""


@pytest.mark.parametrize("between", [event(0, 0xF0, 2, 1, 0xF7), meta(0, 1, b"hello")])
def test_running_status_goes_on_after_other_messages(between: bytes) -> None:
    body = event(0, 0x90, 60, 80) + event(100, 60, 0) + between + event(20, 62, 80) + event(100, 62, 0)
    assert notes(read(midi(body))[0]) == [(0, 100, 60), (120, 100, 62)]


@pytest.mark.parametrize("more", [b"\0", b"\0\0", b"new words"])
def test_a_long_header_is_read(more: bytes) -> None:
    header = b"MThd" + struct.pack(">IHHH", 6 + len(more), 1, 1, 480) + more
    assert notes(read(header + chunk(scale() + END))[0]) == PLAIN


def test_data_bytes_above_127_are_clipped_and_said() -> None:
    score, said = read(midi(event(0, 0xB0, 7, 200) + event(0, 0x90, 60, 255) + event(90, 0x80, 60, 0) + scale()))
    first = score.tracks[0].notes[0]
    assert (first.pitch, first.velocity, first.duration) == (60, 127, 90)
    assert score.tracks[0].controls[0].value == 127
    assert len(score.tracks[0].notes) == 9
    assert "data bytes above 127" in said


@pytest.mark.parametrize("num_tracks", [0, 1, 3, 40_000])
def test_tracks_that_are_there_are_read_whatever_the_header_counts(num_tracks: int) -> None:
    score, said = read(midi(scale(), scale(channel=1), num_tracks=num_tracks))
    assert [notes(score, 0), notes(score, 1)] == [PLAIN, PLAIN]
    assert f"holds 2 tracks, not {num_tracks}" in said


@pytest.mark.parametrize("stray", [b"\0", b"\xff\xff\xff", b"pad", b"MThM", bytes(100)])
def test_stray_bytes_between_tracks_are_passed_over_and_said(stray: bytes) -> None:
    score, said = read(midi(scale(), scale(channel=1), between=stray))
    assert [notes(score, 0), notes(score, 1)] == [PLAIN, PLAIN]
    assert "stray bytes" in said


def test_chunks_of_other_kinds_are_passed_over() -> None:
    data = midi(scale(), scale(channel=1), between=chunk(b"\0\x90\x3c\x40", b"XFIH"))
    score, said = read(data)
    assert [notes(score, 0), notes(score, 1)] == [PLAIN, PLAIN]
    assert said == ""


@pytest.mark.parametrize("content", [b"\0\0\0", b"", b"\7", b"\7\xa1"])
def test_invalid_tempos_are_ignored(content: bytes) -> None:
    score, _ = read(midi(meta(0, 0x51, content) + scale() + meta(0, 0x51, b"\x06\x1a\x80")))
    assert [(tempo.time, round(tempo.qpm)) for tempo in score.tempos] == [(8 * 480, 150)]
    assert notes(score) == PLAIN


@pytest.mark.parametrize("midi_format", [0, 1])
def test_drum_hits_of_no_length_are_heard(midi_format: int) -> None:
    score, _ = read(midi(b"".join(note(36, channel=9, length=0) for _ in range(4)), midi_format=midi_format))
    assert notes(score) == [(80 * hit, 1, 36) for hit in range(1, 5)]


def test_several_independent_patterns_are_refused_and_a_single_one_is_read() -> None:
    with pytest.raises(UserError, match=r"song\.mid holds 2 independent patterns"):
        read(midi(scale(), scale(), midi_format=2))
    assert notes(read(midi(scale(), midi_format=2))[0]) == PLAIN


def test_notes_that_never_end_are_ended() -> None:
    held = event(0, 0x90, 40, 80) + scale()
    score, said = read(midi(held))
    assert notes(score)[0] == (0, 8 * 480, 40)
    assert sorted(notes(score)[1:]) == PLAIN
    assert "without an end" in said


def test_striking_a_key_again_ends_its_unended_note() -> None:
    strikes = b"".join(event(240, 0x90, pitch, 80) for pitch in (60, 62, 60, 62)) + meta(240, 1, b"the end")
    assert sorted(notes(read(midi(strikes))[0])) == [
        (240, 480, 60),
        (480, 480, 62),
        (720, 480, 60),
        (960, 240, 62),
    ]


@pytest.mark.parametrize("number", [120, 123])
def test_all_notes_off_ends_hanging_notes(number: int) -> None:
    body = event(0, 0x90, 40, 80) + event(100, 0xB0, number, 0) + scale()
    assert notes(read(midi(body))[0])[0] == (0, 100, 40)


def test_note_offs_without_a_sounding_note_are_ignored() -> None:
    body = event(0, 0x80, 60, 0) + event(0, 0x80, 60, 0) + event(0, 0x90, 60, 80) + event(50, 0x80, 60, 0)
    score, said = read(midi(body))
    assert notes(score) == [(0, 50, 60)]
    assert said == ""


def test_programs_set_by_other_tracks_count() -> None:
    conductor = event(0, 0xC0, 40) + event(0, 0xC1, 70) + event(4 * 480, 0xC0, 56)
    score, _ = read(midi(conductor, scale(), event(0, 0xC1, 71) + scale(channel=1)))
    assert [(track.program, len(track.notes)) for track in score.tracks] == [(40, 4), (56, 4), (71, 8)]


def test_tracks_of_one_channel_keep_the_programs_they_set() -> None:
    bodies = [event(0, 0xC0, program) + scale() for program in range(40, 60)]
    score, _ = read(midi(*bodies))
    assert [track.program for track in score.tracks] == list(range(40, 60))


def test_channels_of_two_ports_are_two() -> None:
    lower, upper = (meta(0, 0x21, bytes((port,))) for port in (0, 1))
    score, _ = read(midi(lower + event(0, 0xC3, 40), upper + event(0, 0xC3, 56), upper + scale(channel=3)))
    assert [track.program for track in score.tracks] == [56]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Flöte".encode(), "Flöte"),
        ("Flöte été".encode("cp1252"), "Flöte été"),
        ("“Cello”".encode("cp1252"), "“Cello”"),
        ("Violão São".encode("cp1252"), "Violão São"),
        ("ピアノ".encode("shift-jis"), "ピアノ"),
        ("主旋律".encode("shift-jis"), "主旋律"),
        ("ギター1".encode("shift-jis"), "ギター1"),
        (b"odd \x81\x8d", "odd \x81\x8d"),
    ],
)
def test_names_are_decoded(text: bytes, meant: str) -> None:
    score, _ = read(midi(meta(0, 3, text) + scale()))
    assert score.tracks[0].name == meant


@pytest.mark.parametrize("wrapped", ["gzip", "riff", "riff with a list before", "both"])
def test_wrapped_files_are_read(wrapped: str) -> None:
    data = midi(scale())
    if wrapped != "gzip":
        before = b"LIST" + struct.pack("<I", 5) + b"INFO!\0" if "list" in wrapped else b""
        data = b"RIFF" + struct.pack("<I", 0) + b"RMID" + before + b"data" + struct.pack("<I", len(data)) + data
    if wrapped in ("gzip", "both"):
        data = gzip.compress(data)
    assert notes(read(data)[0]) == PLAIN


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (gzip.compress(midi(scale()))[:-12], "cut short"),
        (b"\x1f\x8b" + bytes(100), "cannot be unpacked"),
        (gzip.compress(bytes(30_000_000)), "unpacks to more than the 20 MB"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(300), "RIFF file without MIDI"),
        (b"RIFF\x24\0\0\0RMIDLIST\xff\xff\xff\xff", "RIFF file without MIDI"),
        (gzip.compress(b"hello, this is a text"), "not a MIDI file"),
        (midi(scale(), division=0xE728), "SMPTE"),
        (midi(scale(), midi_format=7), "no MIDI format 7"),
        (midi(scale())[:-9], "cut short"),
        (midi(b"\0\x3c\x50"), "begins without a status"),
        (midi(b"\xff\xff\xff\xff\x7f\x90\x3c\x50"), "longer than four bytes"),
        (midi(b"\0\xff\x01\x8f\xff\xff\x7fabc"), "an event is cut short"),
        (midi(b"\0\x90\x3c")[:-4] + b"", "cut short"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unreadable_files_are_refused_in_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        read(data)
    assert str(caught.value).startswith("song.mid ")


@pytest.mark.parametrize("number", [0, 127, 128, 16383, 16384, 0x0FFFFFFF])
def test_variable_length_quantities_are_read(number: int) -> None:
    assert smf.read_track(quantity(number) + b"\xff\x01\0").ticks.tolist() == [number]


def test_running_status_is_written_out() -> None:
    track = smf.read_track(bytes([0, 0x90, 60, 80, 10, 62, 81, 5, 60, 0, 0, 0xFF, 0x2F, 0]))
    events = list(track.events())
    assert [each.data.hex() for each in events] == ["903c50", "903e51", "903c00"]
    assert [each.tick for each in events] == [0, 10, 15]
    again = smf.read_track(smf.write_track(events)[8:])
    assert list(again.events()) == events


@pytest.mark.parametrize("seed", range(20))
def test_stretches_of_events_are_read_like_single_events(seed: int) -> None:
    dice = random.Random(seed)
    body = b"".join(
        quantity(dice.choice((0, 1, 127, 128, 20_000, 3_000_000)))
        + dice.choice(
            (
                bytes((0x90 | dice.randrange(16), dice.randrange(128), dice.randrange(128))),
                bytes((0xE0, dice.randrange(128), dice.randrange(128))),
                bytes((0xC0 | dice.randrange(16), dice.randrange(128))),
                bytes((0xD3, dice.randrange(128), 5, dice.randrange(128))),  # pressure, and more of it
                b"\x95\x40\x40\x00\x41\x41\x81\x00\x42\x42",
                b"\xff\x01\x02hi",
                b"\xf0\x03\x01\x02\xf7",
                b"\x90\x40\xff",
            )
        )
        for _ in range(400)
    )
    columns = []
    for by_event in (False, True):
        scan = smf._Scan(body, 10**6, by_event=by_event)
        scan.run()
        track = scan.track()
        columns.append(track)
        assert track.has_clipped
    fast, slow = columns
    for name in ("ticks", "statuses", "first", "second"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name), err_msg=name)
    assert (fast.long, fast.end_tick, fast.is_plain) == (slow.long, slow.end_tick, slow.is_plain)


def test_plain_files_are_passed_to_symusic_unchanged() -> None:
    data = random_score().dumps_midi()
    file = read_file(data, "song.mid", LIMITS)
    assert file.is_plain
    assert normalised(file) is data


@pytest.mark.parametrize("seed", range(5))
def test_normalised_bytes_hold_the_same_music(seed: int) -> None:
    data = random_score(seed).dumps_midi()
    file = read_file(data, "song.mid", LIMITS)
    file.is_plain = False
    written = normalised(file)
    assert [notes(symusic.Score.from_midi(written), track) for track in range(3)] == [
        notes(symusic.Score.from_midi(data), track) for track in range(3)
    ]
    assert read_file(written, "song.mid", LIMITS).is_plain


def test_events_are_those_that_mido_reads() -> None:
    data = random_score(3).dumps_midi()
    for track, events in zip(
        mido.MidiFile(file=io.BytesIO(data)).tracks, read_file(data, "", LIMITS).tracks, strict=True
    ):
        tick, found = 0, []
        for each in track:
            tick += each.time
            if each.type != "end_of_track":
                found.append((tick, bytes(each.bytes())))
        assert [(each.tick, each.data) for each in events.events()] == found


def test_more_tracks_or_events_than_the_limits_are_refused() -> None:
    data = midi(*[note(60)] * 5)
    with pytest.raises(UserError, match="more tracks than the 4"):
        read_file(data, "song.mid", FileLimits(10**6, max_tracks=4))
    with pytest.raises(UserError, match="more events than the"):
        read_file(data, "song.mid", FileLimits(10**6, max_events=9))
    assert len(read_file(data, "song.mid", FileLimits(10**6, max_tracks=5, max_events=10)).tracks) == 5


@pytest.mark.parametrize(
    "name",
    [
        "a.mid",
        "a.MID",
        "a.midi",
        "a.kar",
        "a.rmi",
        "a.smf",
        "a.mid.gz",
        "A.Kar.GZ",
        "b.c.midi",
        "a.mxl",
        "a.MusicXML",
        "a.abc",
    ],
)
def test_endings_of_files_of_music(name: str) -> None:
    assert is_music_name(name)
    assert str(without_suffix(PurePath("in") / name)).lower() in (str(Path("in/a")), str(Path("in/b.c")))


@pytest.mark.parametrize("name", ["a.gz", "mid", "a.mid.zip", "a.txt", "a.mid.bak", "a.wav"])
def test_endings_of_other_files(name: str) -> None:
    assert not is_music_name(name)
