"""Exports of a piece, compared with its notes."""

from __future__ import annotations

import io
import zipfile

import pytest
import symusic

from helpers.scores import two_pianos_and_drums
from music_reformer.errors import UserError
from music_reformer.ui.export import ExportFields, PartFields, export, part_of

SCORE = two_pianos_and_drums()  # two bars of four quarters: Primo, Secondo, Kit
DATA = SCORE.dumps_midi()
BAR = 4 * 480


def notes(data: bytes) -> dict[str, list[tuple[int, int]]]:
    score = symusic.Score.from_midi(data)
    assert score.ticks_per_quarter == 480
    return {track.name: [(note.time, note.pitch) for note in track.notes] for track in score.tracks}


def of_track(index: int, first: int, end: int) -> list[tuple[int, int]]:
    """(tick from `first` on, pitch) of the notes of a track between two ticks."""
    found = [(note.time - first, note.pitch) for note in SCORE.tracks[index].notes if first <= note.time < end]
    assert found
    return found


def test_new_notes_begin_the_file() -> None:
    data, name, suffix = export(DATA, kind="new", name="it", since=BAR, until=BAR + 960)
    assert (name, suffix) == ("it - new", ".mid")
    assert notes(data) == {track.name: of_track(i, BAR, BAR + 960) for i, track in enumerate(SCORE.tracks)}


@pytest.mark.parametrize(
    ("chosen", "tracks"),
    [({"programs": [-1]}, [2]), ({"programs": [0]}, [0, 1]), ({"tracks": [1]}, [1]), ({}, [0, 1, 2])],
)
def test_new_notes_are_those_of_the_players_that_were_composed(chosen: dict[str, list[int]], tracks: list[int]) -> None:
    data, *_ = export(DATA, kind="new", name="it", since=BAR, **chosen)  # type: ignore[arg-type]
    assert list(notes(data)) == [SCORE.tracks[index].name for index in tracks]


def test_each_track_is_a_file_that_can_be_opened() -> None:
    data, name, suffix = export(DATA, kind="tracks", name="it", since=0)
    assert (name, suffix) == ("it - tracks", ".zip")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["01 Primo.mid", "02 Secondo.mid", "03 Kit.mid"]
        for index, entry in enumerate(archive.namelist()):
            assert list(notes(archive.read(entry)).values()) == [of_track(index, 0, 2 * BAR)]


def test_exporting_no_new_notes_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"^it has no new notes yet\.$"):
        export(DATA, kind="new", name="it", since=2 * BAR)
    with pytest.raises(UserError, match=r"^The kind of export \('pdf'\) must be one of new, tracks, musicxml\.$"):
        export(DATA, kind="pdf", name="it", since=0)
    with pytest.raises(UserError, match=r"^kind \('pdf'\) must be one of new, tracks, musicxml$"):
        ExportFields(kind="pdf")


@pytest.mark.parametrize(
    ("fields", "name", "tracks", "ticks"),
    [
        ({}, "it - part.mid", [0, 1, 2], (0, 2 * BAR)),
        ({"first_bar": 1}, "it - bar 2.mid", [0, 1, 2], (BAR, 2 * BAR)),
        ({"end_bar": 1, "tracks": [2, 0]}, "it - Primo, Kit, bar 1.mid", [0, 2], (0, BAR)),
        ({"first_bar": 1, "end_bar": 99}, "it - bar 2.mid", [0, 1, 2], (BAR, 2 * BAR)),
        ({"first_bar": 0, "end_bar": 2}, "it - bars 1-2.mid", [0, 1, 2], (0, 2 * BAR)),
    ],
)
def test_the_name_of_an_exported_part_describes_it(
    fields: dict[str, object], name: str, tracks: list[int], ticks: tuple[int, int]
) -> None:
    data, found = part_of(DATA, PartFields(**fields), name="it")  # type: ignore[arg-type]
    assert found == name
    assert notes(data) == {SCORE.tracks[index].name: of_track(index, *ticks) for index in tracks}


def test_a_part_without_notes_is_refused() -> None:
    with pytest.raises(UserError, match=r"^There are no notes in this part of it\.$"):
        part_of(DATA, PartFields(first_bar=7), name="it")
