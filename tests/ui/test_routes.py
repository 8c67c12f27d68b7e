"""Parts of a piece by address, as browsers fetch what is dragged out of the page."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import gradio as gr
import httpx
import pytest
import symusic

from music_reformer.midi.examples import EXAMPLES
from music_reformer.ui import routes
from music_reformer.ui.operations import Operations

BAR = 3 * 480  # ticks of the waltz


@pytest.fixture(scope="module")
def key(server: gr.Server) -> str:
    return str(server.state.operations.open_example("waltz")["key"])


def notes(score: symusic.Score, tracks: list[int], first: int, end: int) -> list[tuple[int, int, int]]:
    """The oracle: the notes from bar `first` to before bar `end` of a score of 480 ticks, moved to the beginning."""
    return sorted(
        (note.time - first * BAR, note.duration, note.pitch)
        for index in tracks
        for note in score.tracks[index].notes
        if first * BAR <= note.time < end * BAR
    )


@pytest.mark.parametrize(
    ("query", "tracks", "first", "end", "name"),
    [
        ("", [0, 1], 0, 99, "part"),
        ("tracks=1", [1], 0, 99, "Left hand"),
        ("first_bar=2&end_bar=6", [0, 1], 2, 6, "bars 3-6"),
        ("first_bar=2&end_bar=3&tracks=0", [0], 2, 3, "Right hand, bar 3"),
    ],
)
def test_an_exported_part_has_only_its_notes_and_begins_with_them(
    address: str, key: str, query: str, tracks: list[int], first: int, end: int, name: str
) -> None:
    answer = httpx.get(f"{address}part/{key}?{query}", timeout=60)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith(quote(f"Small waltz - {name}.mid"))
    part = symusic.Score.from_midi(answer.content).resample(480)
    whole = EXAMPLES["waltz"].score().resample(480)
    assert notes(part, list(range(len(part.tracks))), 0, 99) == notes(whole, tracks, first, end)
    assert (part.tempos[0].time, round(part.tempos[0].qpm)) == (0, 132)
    assert (part.time_signatures[0].numerator, part.time_signatures[0].denominator) == (3, 4)


@pytest.mark.parametrize(
    "query",
    [
        "tracks=7",
        "first_bar=500",
        "first_bar=-3",
        "first_bar=x",
        "end_bar=1e9",
        "tracks=a,b",
        "first_bar=4&end_bar=2",
        "notes=0.480",
        "notes=0.480.60.1",
        "notes=0.480.x",
        "notes=0.-1.60",
        "notes=0.1.60",
        f"notes={','.join(['0.480.60'] * 801)}",
    ],
)
def test_a_missing_part_gets_a_sentence(address: str, key: str, query: str) -> None:
    answer = httpx.get(f"{address}part/{key}?{query}", timeout=60)
    assert answer.status_code == 404
    assert 15 < len(answer.json()["error"]) < 200


def test_single_notes_are_a_part_that_begins_with_their_bar(address: str, key: str) -> None:
    whole = EXAMPLES["waltz"].score()
    bar = 3 * whole.ticks_per_quarter
    chosen = [
        (index, note)
        for index in (0, 1)
        for note in whole.tracks[index].notes
        if note.time in range(4 * bar + 1, 6 * bar + 1)
    ]
    query = ",".join(f"{index}.{note.time}.{note.pitch}" for index, note in chosen)
    answer = httpx.get(f"{address}part/{key}?notes={query}", timeout=60)
    assert answer.headers["content-disposition"].endswith(quote(f"Small waltz - {len(chosen)} notes, bars 5-7.mid"))
    part = symusic.Score.from_midi(answer.content)
    found = [
        (note.time + 4 * bar, note.duration, note.pitch, note.velocity) for track in part.tracks for note in track.notes
    ]
    assert sorted(found) == sorted((note.time, note.duration, note.pitch, note.velocity) for _, note in chosen)
    assert [track.name for track in part.tracks] == ["Right hand", "Left hand"]


def test_only_a_few_parts_are_made_at_a_time(
    address: str, key: str, served: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "part", lambda fields: time.sleep(1.5) or (b"", "it.mid"))
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(routes.MAX_PARTS + 3) as pool:
        answers = list(pool.map(client.get, [f"{address}part/{key}"] * (routes.MAX_PARTS + 3)))
    codes = [answer.status_code for answer in answers]
    assert sorted(set(codes)) == [200, 503]
    assert codes.count(200) >= routes.MAX_PARTS
