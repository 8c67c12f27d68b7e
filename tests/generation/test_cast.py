"""Parts by track: playing, resting, locked and new parts, single locked notes, and wishes for single parts."""

from __future__ import annotations

from collections import Counter

import pytest
import symusic

from helpers.composing import run, stand_in
from helpers.stand_in_model import full_score, quartet
from music_reformer.errors import UserError
from music_reformer.generation.cast import Cast, Roles, with_new_tracks
from music_reformer.generation.recall import read_bars
from music_reformer.generation.request import PartRequest, Request, Wishes
from music_reformer.generation.session import Session
from music_reformer.midi.score import MAX_LIMITS, bar_starts
from music_reformer.midi.smf import read_file
from music_reformer.midi.splice import Writer

VIOLIN_1, VIOLIN_2, VIOLA_1, VIOLA_2 = (40, 1), (40, 2), (41, 1), (41, 2)


def rests(track: int) -> PartRequest:
    return PartRequest(track=track, role="rest")


def locks(track: int) -> PartRequest:
    return PartRequest(track=track, role="lock")


def compose(score: symusic.Score, **order: object) -> tuple[Session, bytes]:
    """The session, and its file."""
    composer = stand_in("Parts")
    session = composer.start(score, Request(seed=3, **order))
    run(composer, session)
    prompt, original = session.prompt, score.dumps_midi()
    writer = Writer(
        original,
        symusic.Score.from_midi(original),
        prompt.cut_tick,
        until=prompt.until_tick,
        missing=prompt.missing,
        missing_tracks=prompt.missing_tracks,
        locked=prompt.locked,
    )
    written, lossy = writer.write(session.scores[0])
    assert not lossy
    return session, written


def notes_of(track: symusic.core.TrackTick, begin: int = 0, end: int = 1 << 30) -> Counter:
    return Counter((n.time, n.duration, n.pitch, n.velocity) for n in track.notes if begin <= n.time < end)


def events_of_track(data: bytes, number: int) -> list:
    """Every event of a chunk but its end."""
    events = read_file(data, "the file", MAX_LIMITS.file).tracks[number].events()
    return [event for event in events if event.data[:2] != b"\xff\x2f"]


@pytest.mark.parametrize("resting", [{0}, {1}, {1, 2}, {0, 1, 3}])
def test_a_track_rests_and_its_neighbour_of_the_same_instrument_plays(resting: set[int]) -> None:
    session, written = compose(quartet(), length="8bars", parts=[rests(track) for track in resting])
    result, cut = symusic.Score.from_midi(written), session.prompt.cut_tick
    for index, track in enumerate(result.tracks):
        assert bool(notes_of(track, cut)) == (index not in resting)


def test_a_new_track_plays_beside_those_of_its_instrument() -> None:
    score = quartet()
    session, written = compose(score, length="6bars", parts=[PartRequest(program=40), PartRequest(program=-1)])
    result, cut = symusic.Score.from_midi(written), session.prompt.cut_tick
    assert [track.program for track in result.tracks] == [40, 40, 41, 41, 40, 0]
    assert result.tracks[5].is_drum
    bars = [tick for tick in bar_starts(result) if tick >= cut]
    for track in result.tracks[4:]:
        assert not notes_of(track, 0, cut)
        assert notes_of(track, cut, bars[1])  # from the first new bar on
    for before, after in zip(score.tracks, result.tracks, strict=False):
        assert notes_of(before) == notes_of(after, 0, cut)


@pytest.mark.parametrize("until", [None, 5])
def test_parts_of_new_tracks_are_numbered_behind_those_of_the_piece(until: int | None) -> None:
    request = Request(until_bar=until, parts=[PartRequest(program=41), PartRequest(program=41), PartRequest(program=0)])
    roles = Roles(with_new_tracks(quartet(), request), request)
    assert roles.part_of == {
        **dict(enumerate([VIOLIN_1, VIOLIN_2, VIOLA_1, VIOLA_2])),
        **{4: (41, 3), 5: (41, 4), 6: (0, 1)},
    }
    assert roles.new == {4, 5, 6}


@pytest.mark.parametrize("locked", [{0}, {1, 2}, {0, 1, 3}])
def test_a_locked_track_stays_byte_for_byte_in_recomposed_bars(locked: set[int]) -> None:
    score = quartet()
    session, written = compose(score, cut_bar=2, until_bar=5, parts=[locks(track) for track in locked])
    assert session.prompt.missing_tracks == set(range(4)) - locked
    original = score.dumps_midi()
    for number in range(4):
        same = events_of_track(original, number) == events_of_track(written, number)
        assert same == (number in locked)


def test_a_track_rests_in_recomposed_bars_and_another_stays() -> None:
    score = quartet()
    lines = bar_starts(score)
    _, written = compose(score, cut_bar=2, until_bar=5, parts=[rests(1), locks(2)])
    result = symusic.Score.from_midi(written)
    assert not notes_of(result.tracks[1], lines[2], lines[5])
    assert notes_of(result.tracks[1]) < notes_of(score.tracks[1])
    assert notes_of(result.tracks[2]) == notes_of(score.tracks[2])
    assert notes_of(result.tracks[0], lines[2], lines[5]) != notes_of(score.tracks[0], lines[2], lines[5])


def test_a_new_track_accompanies_locked_tracks() -> None:
    score = quartet()
    lines = bar_starts(score)
    parts = [*(locks(track) for track in range(4)), PartRequest(program=40)]
    session, written = compose(score, cut_bar=1, until_bar=6, parts=parts)
    result, original = symusic.Score.from_midi(written), score.dumps_midi()
    assert session.prompt.cast.parts == {(40, 3)}
    for number in range(4):
        assert events_of_track(original, number) == events_of_track(written, number)
    new = notes_of(result.tracks[4])
    assert new
    assert new == notes_of(result.tracks[4], lines[1], lines[6])


def locked_of(score: symusic.Score, first: int, until: int, every: int) -> list[list[int]]:
    lines = bar_starts(score)
    return [
        [index, note.time, note.pitch]
        for index, track in enumerate(score.tracks)
        for note in list(track.notes)[::every]
        if lines[first] <= note.time < lines[until]
    ]


@pytest.mark.parametrize("every", [1, 2, 5])
@pytest.mark.parametrize("tracks", [[], [1], [0, 3]])
def test_locked_notes_stay_event_for_event_and_nothing_lies_upon_them(every: int, tracks: list[int]) -> None:
    score = symusic.Score.from_midi((quartet() if tracks else full_score()).dumps_midi())
    locked = locked_of(score, 2, 5, every)
    session, written = compose(score, cut_bar=2, until_bar=5, tracks=tracks, locked=locked)
    result = symusic.Score.from_midi(written)
    for index, tick, pitch in locked:
        (was,) = [n for n in score.tracks[index].notes if (n.time, n.pitch) == (tick, pitch)]
        same_key = [n for n in result.tracks[index].notes if n.pitch == pitch]
        (there,) = [n for n in same_key if n.time == tick]
        assert (there.duration, there.velocity) == (was.duration, was.velocity)
        assert all(n.end <= tick or n.time >= there.end for n in same_key if n.time != tick)
    if every > 1:
        lines = bar_starts(score)
        new = sum(len(notes_of(track, lines[2], lines[5])) for track in result.tracks)
        assert new > len(session.prompt.locked)


def test_the_model_writes_every_locked_note() -> None:
    """The model reads the locked notes in the recomposed bars, so that its own notes take them into account."""
    score = quartet()
    composer = stand_in("Parts")
    session = composer.start(score, Request(seed=3, cut_bar=2, until_bar=5, locked=locked_of(score, 2, 5, 2)))
    given = session.prompt.given
    run(composer, session)
    vocabulary = composer.tokenizer.vocabulary
    steps = [token for (token,) in composer.decoder.steps]
    written = read_bars(vocabulary, [vocabulary.ids["Bar", (3, 4)], *steps], {0, 1, 2})
    assert sum(len(notes) for bar in given for notes in bar.parts.values()) > 5
    for number, bar in enumerate(given):
        for part, notes in bar.parts.items():
            there = {(note.position, note.pitch) for note in written[number].parts[part]}
            assert {(note.position, note.pitch) for note in notes} <= there


def test_wishes_of_a_part_are_on_top_of_those_of_all() -> None:
    request = Request(density=1, parts=[PartRequest(track=1, density=2), PartRequest(track=3, dynamics=-1)])
    session = stand_in("Parts").start(quartet(), request)
    cast = session.prompt.cast
    assert cast.is_wished
    assert [cast.wishes_of(part) for part in (VIOLIN_1, VIOLIN_2, VIOLA_2)] == [
        Wishes(density=1),
        Wishes(density=3),
        Wishes(density=1, dynamics=-1),
    ]
    steering = session._variations[0].steering
    plain = stand_in("Parts").start(quartet(), Request())._variations[0].steering
    assert steering is not None
    assert plain is not None
    ratio = {part: level.density / plain._wanted[part].density for part, level in steering._wanted.items()}
    assert ratio == pytest.approx({VIOLIN_1: 2**0.5, VIOLIN_2: 2**1.5, VIOLA_1: 2**0.5, VIOLA_2: 2**0.5})
    assert steering._wanted[VIOLA_2].velocity == plain._wanted[VIOLA_2].velocity - 10


def test_may_play_follows_programs_and_parts() -> None:
    assert Cast().may_play(VIOLIN_2)
    assert not Cast(programs=frozenset({0})).may_play(VIOLIN_2)
    assert not Cast(frozenset({40}), frozenset({VIOLIN_1})).may_play(VIOLIN_2)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"parts": [rests(9)]}, "track 9 has no notes"),
        ({"parts": [PartRequest(program=0), rests(4)]}, "track 4 has no notes"),
        ({"parts": [rests(track) for track in range(4)]}, "let at least one play"),
        ({"cut_bar": 2, "until_bar": 5, "parts": [locks(track) for track in range(4)]}, "let at least one play"),
        ({"cut_bar": 2, "until_bar": 5, "locked": [[0, 7, 60]]}, "no note of pitch 60 at tick 7 of track 0"),
        ({"cut_bar": 2, "until_bar": 5, "locked": [[9, 7, 60]]}, "of track 9"),
    ],
)
def test_impossible_requests_for_parts_are_refused(order: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        stand_in("Parts").start(quartet(), Request(**order))


@pytest.mark.parametrize("order", [{"parts": [rests(0)]}, {"until_bar": 4, "locked": [[0, 0, 60]]}])
def test_parts_are_refused_for_weights_without_tracks(order: dict) -> None:
    with pytest.raises(UserError, match="not tracks; leave parts and locked out"):
        stand_in("REMI").start(quartet(), Request(**order))
