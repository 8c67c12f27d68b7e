"""Reading sheet music: what MIDI can express is kept, and unreadable files are refused with advice."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import symusic

from helpers.sheets import ABC, HEAD, compressed, note, song
from music_reformer.batch.generate import generate
from music_reformer.batch.settings import GenerateConfig
from music_reformer.errors import UserError
from music_reformer.midi.guard import open_guarded
from music_reformer.midi.score import read_score
from music_reformer.midi.sheet import as_midi

QUARTER = 480


@pytest.fixture(scope="module")
def score() -> symusic.Score:
    return read_score(song().encode(), name="song.musicxml")


def notes(score: symusic.Score, name: str) -> list[list[tuple[float, float, int, int]]]:
    """(onset, length, pitch, velocity) of the tracks of a name that hold notes; times in quarters."""
    return [
        [(n.time / QUARTER, n.duration / QUARTER, n.pitch, n.velocity) for n in track.notes]
        for track in score.tracks
        if track.name == name and len(track.notes)
    ]


def test_the_pickup_is_a_short_bar_and_repeats_are_written_out(score: symusic.Score) -> None:
    assert [(x.time, x.numerator, x.denominator) for x in score.time_signatures] == [(0, 1, 4), (QUARTER, 3, 4)]
    ((*voice,),) = notes(score, "Voice")
    assert [onset for onset, *_ in voice] == [0, 1, 3, 4, 6, 7, 9, 10, 12]


def test_dynamics_ties_and_lyrics(score: symusic.Score) -> None:
    ((*voice,),) = notes(score, "Voice")
    assert voice[-1] == (12, 4, 74, 92)  # a quarter tied to a whole bar
    assert {velocity for _, _, _, velocity in voice[:3]} == {50}  # piano
    assert {velocity for _, _, _, velocity in voice[3:5]} == {92}  # forte
    assert [text.text for track in score.tracks for text in track.lyrics] == ["O ", "sum", "mer ", "sum", "mer "]


def test_tempos_in_words_and_numbers_and_the_key(score: symusic.Score) -> None:
    assert [(x.time / QUARTER, round(x.qpm)) for x in score.tempos] == [(0, 108), (13, 80)]
    assert [(x.key, x.tonality) for x in score.key_signatures] == [(1, 0)]


def test_hands_are_tracks_and_drums_are_drums(score: symusic.Score) -> None:
    upper, lower = notes(score, "Piano")
    assert {pitch for _, _, pitch, _ in upper} == {67, 71}
    assert {pitch for _, _, pitch, _ in lower} == {43}
    ((*hits,),) = notes(score, "Drums")
    assert {pitch for _, _, pitch, _ in hits} == {38}
    assert [track.is_drum for track in score.tracks if track.name == "Drums"] == [True]
    assert {track.program for track in score.tracks if track.name == "Voice" and len(track.notes)} == {53}


def test_the_title_and_composer_are_in_the_file() -> None:
    midi, notices = as_midi(song().encode(), "song.musicxml")
    assert b"Our Song" in midi
    assert b"Nobody" in midi
    assert notices == []


@pytest.mark.parametrize("named", [True, False])
def test_a_compressed_score_is_the_same(named: bool) -> None:
    assert as_midi(compressed(song(), named=named), "song.mxl") == as_midi(song().encode(), "song.musicxml")


def test_text_encodings_are_read_alike() -> None:
    plain, _ = as_midi(song().encode(), "song.xml")
    other = song().replace("UTF-8", "UTF-16").encode("utf-16")
    assert as_midi(other, "song.xml")[0] == plain
    assert as_midi(b"\xef\xbb\xbf" + song().encode(), "song.xml")[0] == plain


def test_abc_is_read() -> None:
    midi, _ = as_midi(ABC.encode(), "reel.abc")
    score = read_score(midi)
    assert round(score.tempos[0].qpm) == 100
    assert [(x.numerator, x.denominator) for x in score.time_signatures][:2] == [(1, 4), (4, 4)]
    assert score.tracks[0].notes[0].pitch == 69
    assert b"Our Reel" in midi


def test_the_first_of_several_tunes_is_opened_with_a_notice() -> None:
    two = ABC + "\n" + ABC.replace("X:1", "X:2").replace("A2", "B2")
    midi, notices = as_midi(two.encode(), "reels.abc")
    assert notices == ["the first of its 2 tunes is opened"]
    assert read_score(midi).tracks[0].notes[0].pitch == 69


def archive_with(name: str) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, "x")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (archive_with("song.mscx"), "is a MuseScore file; open it in MuseScore, export it as MusicXML or MIDI"),
        (b'<?xml version="1.0"?>\n<museScore version="3.02"/>', "is a MuseScore file; .* export it as MusicXML"),
        (archive_with("Content/score.gpif"), "is a Guitar Pro file; open it in Guitar Pro or MuseScore, export it"),
        (b"\x18FICHIER GUITAR PRO v5.00", "is a Guitar Pro file"),
        (b"%PDF-1.7", "is a PDF, a picture of music"),
        (archive_with("photo.jpg"), "is a zip archive without a score"),
        (b"PK\x03\x04 and nothing", "is damaged and cannot be unpacked"),
        (song().encode()[:900], "is damaged and cannot be read as MusicXML"),
        (b'<?xml version="1.0"?><html/>', "cannot be read as MusicXML|holds no notes"),
    ],
)
def test_unreadable_formats_are_refused_with_advice(data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_score(data, name="it")


def test_entities_that_grow_without_end_are_refused() -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    head = f'<?xml version="1.0"?><!DOCTYPE score [<!ENTITY a0 "aaaaaaaaaa">{entities}]>'
    bomb = f"{head}<score-partwise>&a9;</score-partwise>"
    with pytest.raises(UserError, match=r"cannot be read|could not be read"):
        as_midi(bomb.encode(), "it")


def test_an_archive_that_grows_without_end_is_refused() -> None:
    with pytest.raises(UserError, match="more than 50 MB unpacked"):
        as_midi(compressed(" " * 60_000_000), "it")


def test_midi_is_left_alone(score: symusic.Score) -> None:
    midi = score.dumps_midi()
    assert as_midi(midi, "song.mid") == (midi, [])


def test_musicxml_is_opened_as_midi_in_the_guarded_process() -> None:
    opened = open_guarded(song().encode(), name="song.musicxml")
    assert opened.midi.startswith(b"MThd")
    assert len(read_score(opened.plain).tracks) >= 4


def test_generate_continues_a_score(tmp_path: Path) -> None:
    (tmp_path / "song.musicxml").write_text(song())
    (written,) = generate(
        GenerateConfig(prompts=str(tmp_path / "song.musicxml"), output=str(tmp_path / "out"), length="1bars"),
        progress=False,
    )
    assert written.name == "song_1.mid"
    assert {track.name for track in read_score(written).tracks} >= {"Voice", "Piano", "Drums"}


def as_score(body: str) -> symusic.Score:
    """One part of two instruments of a drum kit, in bars of 4/4 with two divisions of a quarter."""
    part = (
        '<score-part id="P1"><part-name>Kit</part-name>'
        + "".join(
            f'<score-instrument id="I{key}"><instrument-name>x</instrument-name></score-instrument>' for key in (37, 43)
        )
        + "".join(
            f'<midi-instrument id="I{key}"><midi-channel>10</midi-channel><midi-program>1</midi-program>'
            f"<midi-unpitched>{key}</midi-unpitched></midi-instrument>"
            for key in (37, 43)
        )
        + "</score-part>"
    )
    attributes = (
        "<attributes><divisions>2</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
    )
    bars = body.replace('<measure number="1">', f'<measure number="1">{attributes}')
    return read_score(f'{HEAD}<part-list>{part}</part-list><part id="P1">{bars}</part></score-partwise>'.encode())


def test_each_drum_of_a_kit_keeps_its_key() -> None:
    hit = (
        "<note>{}<unpitched><display-step>F</display-step><display-octave>4</display-octave></unpitched>"
        '<duration>2</duration><instrument id="I{}"/><voice>1</voice></note>'
    )
    bar = hit.format("", 37) + hit.format("<chord/>", 43) + hit.format("", 43) + 2 * hit.format("", 37)
    score = as_score(f'<measure number="1">{bar}</measure>')
    track = next(track for track in score.tracks if len(track.notes))
    assert track.is_drum
    assert sorted((note.time // QUARTER, note.pitch) for note in track.notes) == [
        (0, 36), (0, 42), (1, 42), (2, 36), (3, 36),
    ]  # fmt: skip


def test_ties_hold_across_voices_and_parts_of_chords() -> None:
    """E is tied from a chord of voice 1 to voice 2 of the next bar; G, in the same chord, is not."""
    tie = '<tie type="{}"/>'
    first = note("E", 4, 8).replace("<voice>", tie.format("start") + "<voice>") + note("G", 4, 8, before="<chord/>")
    other = "<backup><duration>8</duration></backup>" + note("E", 4, 8).replace(
        "<voice>1", tie.format("stop") + "<voice>2"
    )
    score = as_score(f'<measure number="1">{first}</measure><measure number="2">{note("C", 5, 8)}{other}</measure>')
    track = next(track for track in score.tracks if len(track.notes))
    assert sorted((each.time // QUARTER, each.duration // QUARTER, each.pitch) for each in track.notes) == [
        (0, 4, 67), (0, 8, 64), (4, 4, 72),
    ]  # fmt: skip
