"""New notes are shown from the start on the track of the roll that they are written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import symusic

from helpers.scores import two_pianos_and_drums
from helpers.visitor import download, drawn, kept, midi, order, phase, upload

# Composes with the page's own modules. Gives the new notes, each as [place of its track, pitch, start in ms, velocity],
# as they were streamed, as the finished roll has them, and as the kept file has them; and the names of the tracks.
COMPOSE = """async ([key, instruments]) => {
  const { openKept, setup } = await import('/page/api.js');
  const { Composition } = await import('/page/composition.js');
  const { EMPTY, scoreOf } = await import('/page/score.js');
  const opened = key ? scoreOf((await openKept(key)).roll) : EMPTY;
  const composition = new Composition({
    version: { score: opened }, cutBar: 2, untilBar: null, instruments: (await setup()).instruments,
    order: { piece: key, length: '4bars', variations: 2, seed: 5, instruments },
    onStart: () => {}, onProgress: () => {},
    onGrowth: (run) => { streamed = run.variations.map(({ score }) => told(score)); },
  });
  const start = key ? 4000 : 0;
  const told = ({ notes, tracks }) => ({
    names: tracks.map(({ name }) => name),
    notes: notes.map(({ track, pitch, start, velocity }) => [track, pitch, Math.round(start * 1000), velocity])
      .filter(([, , at]) => at >= start).sort(),
  });
  let streamed = null;
  const { variations } = await composition.compose();
  const files = await Promise.all(variations.map(async (each) => told(scoreOf((await openKept(each.key)).roll))));
  return { streamed, finished: variations.map(({ score }) => told(score)), files };
}"""


def test_streamed_notes_lie_where_the_finished_roll_and_the_file_have_them(visit: Callable[..., Any]) -> None:
    """Two tracks of one program, drums, and an instrument that the piece does not have."""
    tab = visit()
    key = tab.evaluate(
        """async (bytes) => {
             const { openFile } = await import('/page/api.js');
             return (await openFile(new File([new Uint8Array(bytes)], 'band.mid'))).key;
           }""",
        list(two_pianos_and_drums(in_unison=True).dumps_midi()),
    )
    pictures = tab.evaluate(COMPOSE, [key, [0, 40, -1]])
    for streamed, finished, file in zip(*pictures.values(), strict=True):
        assert streamed["notes"] == finished["notes"] == file["notes"]
        assert streamed["names"] == finished["names"] == file["names"] == ["Primo", "Secondo", "Kit", "Violin"]
        assert {track for track, *_ in streamed["notes"]} == {0, 1, 2, 3}


def test_tracks_of_a_piece_from_nothing_are_in_the_order_of_the_file(visit: Callable[..., Any]) -> None:
    """Even if the instrument that plays first is that of the last track."""
    pictures = visit().evaluate(COMPOSE, ["", [0, 42]])
    for streamed, finished, file in zip(*pictures.values(), strict=True):
        assert streamed == finished == file
        assert streamed["names"] == ["Acoustic Grand Piano", "Cello"]


COLOURS = """() => Object.fromEntries([...document.querySelectorAll('#tracks li')].map((row) => (
  [row.querySelector('.track-name').firstChild.data, row.style.getPropertyValue('--colour')]
)))"""


def test_tracks_without_names_are_told_apart_and_all_keep_their_colours(visit: Callable[..., Any]) -> None:
    score = two_pianos_and_drums()
    for track in score.tracks:
        track.name = ""
    tab = visit()
    upload(tab, midi("band.mid", score.dumps_midi()))
    before = tab.evaluate(COLOURS)
    assert list(before) == ["Acoustic Grand Piano 1", "Acoustic Grand Piano 2", "Drums"]
    tab.select_option("#add-instrument", label="Violin")
    order(tab, bars=2)
    phase(tab, "done")
    composed = tab.evaluate(COLOURS)
    assert len(composed) == 4
    assert composed.items() > before.items()
    kept(tab, 1)
    assert tab.evaluate(COLOURS) == composed


def test_rows_of_tracks_are_those_of_the_downloaded_file(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab, midi("band.mid", two_pianos_and_drums().dumps_midi()))
    order(tab, bars=4)
    phase(tab, "done")
    drawn(tab)
    rows = tab.locator("#tracks .track-name").all_inner_texts()
    _, file = download(tab, 1)
    assert [row.split("\n")[0] for row in rows] == [track.name for track in file.tracks] == ["Primo", "Secondo", "Kit"]
    kept(tab, 1)
    assert tab.locator("#tracks .track-name").all_inner_texts() == rows
    assert isinstance(file, symusic.core.ScoreTick)
