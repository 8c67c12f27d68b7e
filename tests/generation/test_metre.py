"""Another metre at the cut: it is written to the file and holds in every new bar; the music before stays."""

from __future__ import annotations

import numpy as np
import pytest
import symusic

from helpers.composing import events_before, new_notes, run, stand_in
from helpers.rich_midi import rich_file
from helpers.stand_in_model import full_score
from music_reformer.errors import UserError
from music_reformer.generation.request import Request
from music_reformer.midi.parts_reader import reader_for
from music_reformer.midi.score import bar_starts, metres
from music_reformer.midi.splice import Writer

NUM_BARS = 6


@pytest.mark.parametrize("metre", ["7/8", "4/4", "5/8"])
@pytest.mark.parametrize(("cut_bar", "changes"), [(8, ()), (None, ()), (5, (5, 7))])
def test_new_bars_have_the_requested_metre(metre: str, cut_bar: int | None, changes: tuple[int, ...]) -> None:
    score = full_score()  # in 3/4
    for bar in changes:  # at the cut, and after it
        score.time_signatures.append(symusic.TimeSignature(bar_starts(score)[bar], 2, 4))
    composer = stand_in("Parts")
    session = composer.start(score, Request(length=f"{NUM_BARS}bars", cut_bar=cut_bar, metre=metre, seed=2))
    run(composer, session)
    prompt, written = session.prompt, session.scores[0]
    beats, unit = map(int, metre.split("/"))
    length = written.ticks_per_quarter * 4 * beats // unit
    assert metres(written)[-1] == (prompt.cut_tick, beats, unit)
    assert session.end_tick == prompt.cut_tick + NUM_BARS * length
    lines = bar_starts(written)
    first = lines.index(prompt.cut_tick)
    assert set(np.diff(lines[first:])) == {length}
    starts = [start for _, start, *_ in new_notes(written, prompt.cut_tick)]
    assert {(start - prompt.cut_tick) // length for start in starts} == set(range(NUM_BARS))
    kept, was = (events_before(each, prompt.cut_tick) for each in (written, score))
    assert [each for each in kept["metres"] if each[0] < prompt.cut_tick] == [
        each for each in was["metres"] if each[0] < prompt.cut_tick
    ]
    assert {name: found for name, found in kept.items() if name.startswith("notes")} == {
        name: found for name, found in was.items() if name.startswith("notes")
    }


@pytest.mark.parametrize("midi_format", [0, 1])
def test_the_metre_is_written_into_the_file(midi_format: int) -> None:
    original = rich_file(midi_format=midi_format)
    score = symusic.Score.from_midi(original)
    composer = stand_in("Parts")
    session = composer.start(score, Request(length="3bars", cut_bar=3, metre="7/8", seed=2))
    run(composer, session)
    prompt = session.prompt
    data, lossy = Writer(original, score, prompt.cut_tick, metre=(7, 8)).write(session.scores[0])
    written = symusic.Score.from_midi(data)
    assert not lossy
    assert metres(written)[-1] == (prompt.cut_tick, 7, 8)
    assert metres(written)[:-1] == [each for each in metres(score) if each[0] < prompt.cut_tick]
    assert new_notes(written, prompt.cut_tick) == new_notes(session.scores[0], prompt.cut_tick)


def test_a_piece_from_nothing_may_be_in_seven_eight() -> None:
    composer = stand_in("Parts")
    session = composer.start(None, Request(length="4bars", metre="7/8", seed=2))
    run(composer, session)
    assert metres(session.scores[0]) == [(0, 7, 8)]
    assert session.end_tick == 4 * 7 * session.scores[0].ticks_per_quarter // 2


def test_in_a_longer_metre_notes_may_begin_anywhere_in_the_bar() -> None:
    """Positions count by the quarter, so that the fourth beat of 4/4 after a waltz does not count as new."""
    composer = stand_in("Parts")
    score = full_score()
    ensembles = {
        metre: composer.start(score, Request(cut_bar=12, metre=metre))._variations[0].ensemble
        for metre in (None, "4/4")
    }
    reader = reader_for(composer.tokenizer.vocabulary)
    last = reader.notes(composer.tokenizer.encode(score))
    begun = set((last.position[last.bar < 12] % 24).tolist())
    assert ensembles[None] is not None
    assert ensembles["4/4"] is not None
    for lean in ensembles["4/4"]._lean_on_positions.values():
        free = {position % 24 for position in np.flatnonzero(lean[:96] == 0)}
        assert free
        assert free <= begun
        assert (lean[:24] == lean[72:96]).all()
    assert any((lean[72:96] < 0).all() for lean in ensembles[None]._lean_on_positions.values())


@pytest.mark.parametrize(
    ("encoding", "settings", "message"),
    [
        ("Parts", {"metre": "7/9"}, "metre"),
        ("Parts", {"metre": "seven"}, "metre"),
        ("Parts", {"metre": "7/8", "cut_bar": 1, "until_bar": 3}, "recomposed bars"),
        ("REMI", {"metre": "7/8"}, "metre"),
    ],
)
def test_impossible_requests_for_a_metre_are_refused(encoding: str, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        stand_in(encoding).start(full_score(), Request(**settings))
