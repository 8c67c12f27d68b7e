"""Engraved pieces: every note occurs once, stretches join seamlessly, and only shapes and text are returned."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any
from xml.etree import ElementTree

import pytest
import symusic

from helpers.midi_bytes import event, midi, note
from music_reformer.errors import UserError
from music_reformer.midi import engraving
from music_reformer.midi.engraved_svg import NUMBERS, SHAPES, WORDS
from music_reformer.midi.engraving import engrave, engraved
from music_reformer.midi.examples import EXAMPLES

HOSTILE = '<script>alert(1)</script><image href="//x.example/a.png" onload="x()"/>&lt;b&gt; "\' ]]> javascript:'
KNOWN = {*SHAPES, "svg", "g", "use"}


def stretches(data: bytes, width: int = 120) -> list[dict[str, Any]]:
    found = [json.loads(engrave(data, "it", "0", str(width)))]
    while found[-1]["next"] is not None:
        found.append(json.loads(engrave(data, "it", str(found[-1]["next"]), str(width))))
    return found


def systems_of(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [system for answer in answers for system in answer["systems"]]


def notes_of(answers: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """(part, bar) of each note, without those that are tied to one before."""
    marks = [mark for system in systems_of(answers) for mark in re.findall(r'data-note="([^"]*)"', system["svg"])]
    return [tuple(map(int, mark.split(".")[:2])) for mark in marks if mark[-1].isdigit()]  # type: ignore[misc]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_note_stands_in_its_bar_and_part(name: str) -> None:
    example = EXAMPLES[name]
    score = example.score()
    answers = stretches(score.dumps_midi())
    bar = example.beats_per_bar * score.ticks_per_quarter
    expected = Counter((part, note.time // bar) for part, track in enumerate(score.tracks) for note in track.notes)
    assert Counter(notes_of(answers)) == expected
    assert [part["program"] for part in answers[0]["parts"]] == [
        -1 if track.is_drum else track.program for track in score.tracks
    ]


def test_stretches_join_as_if_engraved_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = EXAMPLES["ground"].score().dumps_midi()
    monkeypatch.setattr(engraving, "FIRST_NOTES", 10_000)
    whole = stretches(data, width=40)
    monkeypatch.setattr(engraving, "FIRST_NOTES", 40)
    monkeypatch.setattr(engraving, "MOST_NOTES", 50)
    parts = stretches(data, width=40)
    assert len(whole) == 1
    assert len(parts) > 2

    def lines(answers: list[dict[str, Any]]) -> list[tuple[int, int]]:
        return [(system["first"], system["bars"]) for system in systems_of(answers)]

    assert lines(parts) == lines(whole)
    assert Counter(notes_of(parts)) == Counter(notes_of(whole))


def test_narrow_systems_hold_fewer_bars() -> None:
    data = EXAMPLES["waltz"].score().dumps_midi()
    narrow, wide = (len(systems_of(stretches(data, width))) for width in (40, 200))
    assert narrow > 2 * wide


def test_a_metre_is_engraved_once_and_at_changes() -> None:
    score = symusic.Score(480)
    score.tracks.append(symusic.Track("", 0, False))
    score.time_signatures.extend([symusic.TimeSignature(0, 4, 4), symusic.TimeSignature(4 * 1920, 3, 4)])
    score.tracks[0].notes.extend(symusic.Note(place * 480, 480, 60 + place % 5, 80) for place in range(60))
    four, three = "E084", "E083"
    for bar, expected in ((0, [four, four]), (2, []), (4, [three, four])):
        answer = json.loads(engrave(score.dumps_midi(), "it", str(bar), "40"))
        first_bar = answer["systems"][0]["svg"].split('data-bar="')[1]
        assert re.findall(rf"#glyph-({four}|{three})", first_bar) == expected


def test_hostile_names_and_lyrics_stay_text() -> None:
    text = HOSTILE.encode()
    data = midi(event(0, 0xFF, 0x03, len(text), *text) + event(0, 0xFF, 0x05, len(text), *text) + note(60))
    (system,) = systems_of(stretches(data))
    root = ElementTree.fromstring(system["svg"])
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        assert tag in KNOWN
        assert set(element.attrib) <= {*NUMBERS, *WORDS, "class", "data-bar", "data-note", "href", "viewBox"}
        assert element.get("href", "#glyph-E0A4").startswith("#glyph-")
    assert "alert(1)" in "".join(root.itertext())
    assert "<script" not in system["svg"]
    assert "<image" not in system["svg"]


def test_ties_within_a_bar_and_over_its_line_are_told_apart() -> None:
    score = symusic.Score(480)
    score.tracks.append(symusic.Track("", 0, False))
    score.tracks[0].notes.extend(symusic.Note(*each, 80) for each in ((0, 240, 60), (240, 1000, 62), (1440, 960, 64)))
    marks = [re.findall(r'data-note="0.([^"]*)"', each["svg"]) for each in systems_of(stretches(score.dumps_midi()))]
    (found,) = marks
    assert [mark for mark in found if mark.endswith("o")] == ["1.0o"]
    assert len([mark for mark in found if mark.endswith("t")]) >= 1
    assert len([mark for mark in found if mark[-1].isdigit()]) == 3


def test_engraving_in_the_process_equals_direct_engraving() -> None:
    data = EXAMPLES["waltz"].score().dumps_midi()
    assert engraved(data, name="it", bar=4, width=80) == engrave(data, "it", "4", "80").decode()


def test_a_missing_bar_is_refused_in_a_sentence() -> None:
    data = EXAMPLES["waltz"].score().dumps_midi()
    with pytest.raises(UserError, match=r"^it has \d+ bars; ask for one of them, counted from 0$"):
        engraved(data, name="it", bar=5000)


def test_a_timeout_is_one_sentence() -> None:
    data = EXAMPLES["waltz"].score().dumps_midi()
    with pytest.raises(UserError, match=r"it took more than 0\.01 seconds to be engraved"):
        engraved(data, name="it", seconds=0.01)


def test_bars_that_are_too_full_get_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engraving, "MAX_ANSWER", 1000)
    with pytest.raises(UserError, match="it has too many notes in bars 1 to "):
        engrave(EXAMPLES["waltz"].score().dumps_midi(), "it", "0", "80")
