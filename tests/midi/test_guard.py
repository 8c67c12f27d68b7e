"""The worst files of five megabytes are read or refused within limits on time, memory and output."""

from __future__ import annotations

import gzip
import json
import resource
import time
from dataclasses import replace
from typing import Any

import pytest

from helpers.busy import work_forever
from helpers.midi_bytes import SCALE, event, meta, midi, scale
from helpers.scores import random_score
from helpers.worst_files import WORST
from music_reformer.errors import UserError
from music_reformer.midi import guard
from music_reformer.midi.guard import open_guarded, read_score_guarded
from music_reformer.midi.limited import run_limited
from music_reformer.midi.outline import outline_json
from music_reformer.midi.roll import MAX_BEATS, roll_data
from music_reformer.midi.score import UPLOAD_BYTES, UPLOAD_LIMITS, read_score, with_likely_metre

MOST_SECONDS = 10.0  # on a processor of its own; other programs may make it longer
MOST_ANSWER = 8_000_000  # bytes of JSON
MOST_OUTLINE = 200_000


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("name", WORST)
def test_the_worst_files_cost_little(name: str) -> None:
    data = WORST[name]()
    assert len(data) <= UPLOAD_BYTES
    before = cpu_seconds()
    try:
        # The memory limit is the guard's own: one gigabyte.
        opened = open_guarded(data, name="worst.mid", seconds=120, cpu_seconds=60)
    except UserError as refusal:
        sentence = str(refusal)
        assert sentence.startswith("worst.mid ")
        assert len(sentence) < 200
        # A reason that lies in the file, not that the process was killed.
        assert "took more than" not in sentence
        assert "could not be read" not in sentence
    else:
        assert len(opened.roll) < MOST_ANSWER
        assert len(opened.outline) < MOST_OUTLINE
        assert len(opened.plain) < 4 * UPLOAD_BYTES
        assert_every_list_is_bounded(json.loads(opened.roll))
    assert cpu_seconds() - before < MOST_SECONDS


def assert_every_list_is_bounded(roll: dict[str, Any]) -> None:
    most = UPLOAD_LIMITS
    assert sum(len(track["notes"]) for track in roll["tracks"]) <= most.max_notes
    assert len(roll["tracks"]) <= most.max_instruments
    assert len(roll["tempos"]) <= most.max_changes
    assert len(roll["metres"]) <= most.max_changes + 1
    assert len(roll["bars"]) <= most.max_bars + 1
    assert len(roll["beats"]) <= MAX_BEATS + most.max_bars
    assert all(len(track["name"]) <= 80 for track in roll["tracks"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"max_notes": 7}, "8 notes, more than the 7"),
        ({"max_instruments": 0}, "1 instruments, more than the 0"),
        ({"max_changes": 1}, "2 changes of tempo or metre, more than the 1"),
        ({"max_controls": 1}, "2 controllers and pitch bends, more than the 1"),
        ({"max_bars": 1}, "more than 1 bars"),
    ],
)
def test_each_limit_on_events_is_enforced_in_the_guarded_process(changes: dict[str, int], sentence: str) -> None:
    body = meta(0, 0x51, b"\7\xa1\x20") + meta(9, 0x51, b"\7\xa1\x21") + event(0, 0xB0, 7, 9) + event(0, 0xE0, 0, 9)
    with pytest.raises(UserError, match=sentence):
        open_guarded(midi(body + scale()), limits=replace(UPLOAD_LIMITS, **changes))


def test_the_roll_and_the_outline_are_those_of_the_score() -> None:
    data = random_score(5).dumps_midi()
    opened = open_guarded(data, name="song.mid")
    score = with_likely_metre(read_score(data))
    assert json.loads(opened.roll) == json.loads(json.dumps(roll_data(score)))
    assert opened.outline == outline_json(score)
    assert (opened.midi, opened.plain, opened.notices) == (data, data, [])


def test_the_unwrapped_file_is_kept() -> None:
    odd = midi(event(0, 0xF7, 3, 1, 2, 3) + scale() + event(0, 0x90, 30, 90))
    opened = open_guarded(gzip.compress(odd), name="song.mid.gz")
    assert opened.midi == odd
    assert opened.plain != odd
    assert opened.notices == ["notes without an end were ended"]
    assert [note[0] for note in json.loads(opened.roll)["tracks"][0]["notes"]] == [*SCALE, 30]


def test_this_process_parses_only_files_rewritten_by_the_guarded_process(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = midi(event(0, 0xF7, 3, 1, 2, 3) + scale())

    def refuse(*_: object) -> None:
        raise AssertionError("an upload was read outside of its own process")

    monkeypatch.setattr(guard, "read_file", refuse)
    parsed: list[bytes] = []
    parse = guard.parse
    monkeypatch.setattr(guard, "parse", lambda data, *rest: parsed.append(data) or parse(data, *rest))
    opened = open_guarded(odd)
    assert read_score_guarded(odd).note_num() == 8
    assert parsed == [opened.plain]
    assert odd not in parsed


def test_a_file_that_was_just_opened_is_not_read_again() -> None:
    data = random_score(6).dumps_midi()
    open_guarded(data)
    before = cpu_seconds()
    began = time.monotonic()
    read_score_guarded(data)
    assert cpu_seconds() == before
    assert time.monotonic() - began < 5


def test_reading_beyond_the_processor_limit_is_ended() -> None:
    with pytest.raises(UserError, match=r"slow\.mid took more than 1 seconds to be read"):
        run_limited(work_forever, [], b"", name="slow.mid", doing="read", seconds=120, cpu_seconds=1, megabytes=1000)
