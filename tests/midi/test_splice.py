"""Splicing: nothing of the upload is lost, and new notes are on their tracks."""

from __future__ import annotations

import io
import logging
import random

import mido
import pytest
import symusic

from helpers import midi_bytes
from helpers.rich_midi import BAR, events_of, message, meta, rich_file, save
from helpers.stand_in_model import StandIn, full_score
from music_reformer.config import TokenizerConfig
from music_reformer.generation.generator import Generator
from music_reformer.generation.request import Request
from music_reformer.midi.score import read_score
from music_reformer.midi.splice import SpliceError, Splicer, Writer
from music_reformer.midi.tokenizer import MusicTokenizer


def notes_of(score: symusic.Score) -> list[tuple[int, int, int, int, int]]:
    return sorted(
        (-1 if track.is_drum else track.program, note.time, note.pitch, note.duration, note.velocity)
        for track in score.tracks
        for note in track.notes
    )


def continued(score: symusic.Score, cut: int) -> symusic.Score:
    """The score before the cut, with two notes after it in every track and on a new flute."""
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
    kept = [event for event in events_of(written, first=2) if event[0] < cut]  # new tracks come after
    assert kept == before
    for word in ("for Clara", "(c) me", "Fiddle", "sysex", "aftertouch", "curtain", "velocity=33"):
        assert any(word in event for _, event in kept), word
    behind = " ".join(event for tick, event in events_of(written) if tick >= cut)
    assert "text" not in behind
    assert "lyrics" not in behind


@pytest.mark.parametrize("midi_format", [0, 1])
def test_composed_notes_are_read_back_with_their_instruments(midi_format: int) -> None:
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


def test_splicing_a_session_gives_the_notes_that_symusic_writes() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig())
    original = full_score().dumps_midi()
    score = symusic.Score.from_midi(original)
    generator = Generator(StandIn(tokenizer), tokenizer)
    session = generator.start(score, Request(length="4bars", variations=2, seed=3, cut_bar=6))
    for _ in generator.compose(session):
        pass
    splicer = Splicer(original, score, session.prompt.cut_tick)
    for written in session.scores:
        again = symusic.Score.from_midi(splicer.write(written))
        assert notes_of(again) == notes_of(symusic.Score.from_midi(written.dumps_midi()))
        assert len(notes_of(again)) > 40


@pytest.mark.parametrize("body", [b"", b"\0\x90\x3c", b"\0\x3c\x50", b"\0\xff\x01\x7f"])
def test_damaged_files_are_refused(body: bytes) -> None:
    data = b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk" + (len(body) + 1).to_bytes(4, "big") + body
    with pytest.raises(SpliceError):
        Splicer(data, symusic.Score(480), 0)


def band(size: int, *, midi_format: int = 1) -> bytes:
    """A number of instruments on channels of their own, sixteen to a port, including drums."""
    tracks = []
    for number in range(size):
        port, channel = divmod(number, 16)
        track = [meta("midi_port", port=port), message("program_change", channel=channel, program=number)]
        for beat in range(8):
            track.append(message("note_on", channel=channel, note=40 + number, velocity=80 + beat, time=80))
            track.append(message("note_off", channel=channel, note=40 + number, time=400))
        tracks.append([*track, meta("text", text=f"end of {number}")])
    return save(midi_format, *tracks)


@pytest.mark.parametrize("cut", [BAR, 2 * BAR])
def test_twenty_instruments_on_two_ports_go_on_each_on_its_own(cut: int) -> None:
    original = band(20)
    score = read_score(original)
    assert [track.program for track in score.tracks if not track.is_drum] == [
        number for number in range(20) if number != 9
    ]
    expected = continued(score, cut)
    data, lossy = Writer(original, score, cut).write(expected)
    assert not lossy
    again = read_score(data)
    assert notes_of(again) == notes_of(expected)
    kept = events_of(data, first=20)
    for number in (0, 9, 15, 16, 19):
        channel = number % 16
        assert (80, str(message("note_on", channel=channel, note=40 + number, velocity=80))) in kept
    # The flute plays on a channel that nothing else has.
    *old, flute = mido.MidiFile(file=io.BytesIO(data)).tracks
    assert len(old) == 20
    port = next(each.port for each in flute if each.type == "midi_port")
    channels = {each.channel for each in flute if not each.is_meta}
    assert (port, channels) == (1, {4})


def test_a_band_on_all_channels_gets_a_further_port_or_is_written_anew() -> None:
    for midi_format, is_lossy in ((1, False), (0, True)):
        original = band(16, midi_format=midi_format)
        score = read_score(original)
        expected = continued(score, BAR)
        data, lossy = Writer(original, score, BAR).write(expected)
        assert lossy == is_lossy
        if not lossy:
            assert notes_of(read_score(data)) == notes_of(expected)
    with pytest.raises(SpliceError, match="sixteen"):
        Splicer(original, score, BAR).write(expected)


def test_two_players_of_one_instrument_in_unison_stay_apart() -> None:
    violins = [
        [message("program_change", channel=channel, program=40),
         *(message(kind, channel=channel, note=pitch, velocity=80, time=240)
           for pitch in pitches for kind in ("note_on", "note_off"))]
        for channel, pitches in ((0, (60, 62, 64)), (1, (60, 55, 57)))
    ]  # fmt: skip
    original = save(1, *violins)
    score = read_score(original)
    after = score.copy()
    for track, pitch in zip(after.tracks, (70, 50), strict=True):
        track.notes.append(symusic.Note(BAR, 240, pitch, 90))
    written = mido.MidiFile(file=io.BytesIO(Splicer(original, score, BAR).write(after))).tracks
    assert [[each.note for each in track if each.type == "note_on"] for track in written] == [
        [60, 62, 64, 70],
        [60, 55, 57, 50],
    ]


def test_a_drone_ends_at_the_cut() -> None:
    drone = message("note_on", channel=0, note=30, velocity=80)
    melody = [
        message(kind, channel=0, note=60, velocity=80, time=240) for _ in range(16) for kind in ("note_on", "note_off")
    ]
    original = save(1, [drone, *melody])
    score = read_score(original)
    after = continued(score, BAR)
    again = read_score(Splicer(original, score, BAR).write(after))
    (length,) = {note.duration for track in again.tracks for note in track.notes if note.pitch == 30}
    assert length == BAR
    # With a hole the piece goes on, and so does the drone, to the end of the piece.
    filled = read_score(Splicer(original, score, BAR, until=2 * BAR).write(score))
    (length,) = {note.duration for track in filled.tracks for note in track.notes if note.pitch == 30}
    assert length == 16 * 480


def test_drum_hits_of_no_length_survive_around_a_hole() -> None:
    hits = [message(kind, channel=9, note=36, velocity=80, time=240 * (kind == "note_on"))
            for _ in range(32) for kind in ("note_on", "note_off")]  # fmt: skip
    original = save(
        1, hits, [message("note_on", channel=0, note=60, velocity=80), message("note_off", note=60, time=99)]
    )
    score = read_score(original)
    written = Splicer(original, score, BAR, until=2 * BAR, missing=frozenset({0})).write(score)
    assert notes_of(read_score(written)) == notes_of(score)
    assert events_of(written, first=1) == events_of(original, first=1)


def test_a_program_that_changes_right_at_the_cut_is_set_again() -> None:
    original = rich_file()
    score = read_score(original)
    expected = continued(score, 2 * BAR)  # the fiddle becomes a trumpet there
    assert notes_of(read_score(Splicer(original, score, 2 * BAR).write(expected))) == notes_of(expected)


@pytest.mark.parametrize("seed", range(6))
def test_reading_and_splicing_agree_on_odd_files(seed: int) -> None:
    """Packets, escapes, stuck notes, shared programs and ports in one file, at any cut."""
    dice = random.Random(seed)
    bodies = []
    for channel in range(6):
        body = b"" if channel % 3 else midi_bytes.meta(0, 0x21, bytes((channel % 2,)))
        body += midi_bytes.event(0, 0xC0 | dice.randrange(6), dice.randrange(128))
        for _ in range(40):
            pitch = dice.randrange(73, 88)  # `continued` plays below and above
            odd = dice.randrange(6)
            if odd == 0:
                body += midi_bytes.event(5, 0xF7, 4, 0x90, 0x3C, 0x40, 0x00)
            elif odd == 1:
                body += midi_bytes.event(dice.randrange(300), 0x90 | channel, pitch, 80)  # may never end
            else:
                body += midi_bytes.note(pitch, channel=channel, length=dice.randrange(1, 500))
        bodies.append(body)
    original = midi_bytes.midi(*bodies)
    score = read_score(original)
    for cut in (BAR, 4 * BAR, 100 * BAR):
        expected = continued(score, cut)
        again = read_score(Splicer(original, score, cut).write(expected))
        ended = [
            (*row[:3], min(row[3], cut - row[1]) if row[1] < cut else row[3], row[4]) for row in notes_of(expected)
        ]
        found = [(*row[:3], min(row[3], cut - row[1]) if row[1] < cut else row[3], row[4]) for row in notes_of(again)]
        assert found == ended


def test_a_file_that_cannot_be_spliced_is_written_anew_with_a_notice(caplog: pytest.LogCaptureFixture) -> None:
    original = rich_file()
    score = symusic.Score.from_midi(original)
    composed = continued(score, 4 * BAR)
    assert Writer(original, score, 4 * BAR).write(composed) == (
        Splicer(original, score, 4 * BAR).write(composed),
        False,
    )
    of_format_2 = original[:9] + b"\x02" + original[10:]
    for kept, lossy in ((of_format_2, True), (None, False)):
        with caplog.at_level(logging.WARNING):
            data, is_lossy = Writer(kept, score, 4 * BAR, name="song.mid").write(composed)
        assert (notes_of(symusic.Score.from_midi(data)), is_lossy) == (notes_of(composed), lossy)
    (said,) = caplog.messages
    assert said.startswith("song.mid is written as a new file")
