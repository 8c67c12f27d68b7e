"""Recomposing bars: the music around them, and other parts in them, stay event for event."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import symusic

from helpers.composing import run, stand_in
from helpers.rich_midi import events_of, rich_file
from helpers.stand_in_model import StandIn, full_score, quartet
from music_reformer.config import TokenizerConfig
from music_reformer.errors import UserError
from music_reformer.generation.generator import Generator
from music_reformer.generation.request import Request
from music_reformer.generation.session import Session
from music_reformer.midi.parts import tracks_of_parts
from music_reformer.midi.parts_reader import reader_for
from music_reformer.midi.played import as_written
from music_reformer.midi.score import MAX_LIMITS, bar_starts
from music_reformer.midi.smf import read_file
from music_reformer.midi.splice import Writer
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import BOS, DRUMS, PAD

TOKENIZER = MusicTokenizer(TokenizerConfig())
PIANO, BASS = 0, 33


def generator(tokenizer: MusicTokenizer = TOKENIZER, **settings: float) -> Generator:
    return Generator(StandIn(tokenizer, **settings), tokenizer)


def compose(score: symusic.Score, **order: object) -> Session:
    composer = generator()
    session = composer.start(score, Request(seed=3, **order))
    run(composer, session)
    return session


def notes(score: symusic.Score) -> Counter:
    return Counter(
        (DRUMS if track.is_drum else track.program, note.time, note.duration, note.pitch, note.velocity)
        for track in score.tracks
        for note in track.notes
    )


def programs(score: symusic.Score) -> list[int]:
    return [DRUMS if track.is_drum else track.program for track in score.tracks]


@pytest.mark.parametrize("ticks", [384, 480, 96])
@pytest.mark.parametrize(("first", "until"), [(0, 2), (3, 5), (2, 7)])
@pytest.mark.parametrize("chosen", [None, {PIANO}, {DRUMS}])
def test_only_the_notes_of_the_hole_change(first: int, until: int, chosen: set[int] | None, ticks: int) -> None:
    score = full_score(ticks=ticks)
    lines = bar_starts(score)
    cut, end = lines[first], lines[until]
    session = compose(score, cut_bar=first, until_bar=until, programs=sorted(chosen or ()), variations=2)

    def taken(key: tuple[int, ...]) -> bool:
        return cut <= key[1] < end and (chosen is None or key[0] in chosen)

    stays = Counter({key: count for key, count in notes(score).items() if not taken(key)})
    results = [notes(result) for result in session.scores]
    assert results[0] != results[1]
    for result in results:
        new = result - stays
        assert not stays - result
        assert new
        assert all(taken(key) for key in new)
        allowed = chosen or set(programs(score))
        assert {key[0] for key in new} <= allowed


def test_no_key_is_struck_twice_or_rings_into_the_next_stroke() -> None:
    score = full_score()
    for result in compose(score, cut_bar=2, until_bar=5, variations=4).scores:
        for track in result.tracks:
            by_pitch: dict[int, list[symusic.Note]] = {}
            for note in sorted(track.notes, key=lambda note: note.time):
                by_pitch.setdefault(note.pitch, []).append(note)
            lines = bar_starts(score)
            for line in by_pitch.values():
                for one, following in pairwise(line):
                    if lines[2] <= one.time < lines[5]:
                        assert one.end <= following.time


def test_the_model_reads_both_sides_and_not_the_hole() -> None:
    score = full_score()
    loop = generator()
    session = loop.start(score, Request(cut_bar=3, until_bar=5, seed=1))
    ids = session.prompt.ids
    second = ids.index(BOS, 1)
    assert ids.count(PAD) == 2
    assert [TOKENIZER.tokens[i] for i in ids[-2:]] == ["Bar_None", "TimeSig_3/4"]
    lines = bar_starts(score)
    decoded = TOKENIZER.decode(ids[second:] + ids[:second])  # before, then after, as they sound
    ratio = score.ticks_per_quarter / decoded.ticks_per_quarter
    starts = [round(note.time * ratio) - (lines[1] - lines[0]) for track in decoded.tracks for note in track.notes]
    assert not any(lines[3] <= start < lines[5] for start in starts)
    assert any(start >= lines[5] for start in starts)
    assert any(start < lines[3] for start in starts)


def test_a_long_piece_is_read_around_the_hole() -> None:
    score = full_score(bars=60)
    loop = generator(max_length=1500)
    session = loop.start(score, Request(cut_bar=30, until_bar=32, seed=1))
    assert len(session.prompt.ids) <= 750
    assert 0 < session.dropped_bars < 58
    assert session.prompt.ids.count(PAD) == 2
    assert session.prompt.cut_tick == bar_starts(score)[30]
    run(loop, session)
    assert notes(session.scores[0]) != notes(score)


@pytest.mark.parametrize(("max_length", "most"), [(1 << 20, 1), (1500, 2)])
def test_a_piece_is_encoded_once_and_an_excerpt_of_a_long_one_by_itself(
    max_length: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    encode = MusicTokenizer.encode
    monkeypatch.setattr(MusicTokenizer, "encode", lambda self, *given: (encoded.append(given), encode(self, *given))[1])
    generator(max_length=max_length).start(full_score(bars=60), Request(cut_bar=30, until_bar=32))
    assert len(encoded) == most


def test_a_last_bar_with_only_a_held_note_is_not_dropped() -> None:
    score = full_score()
    lines = bar_starts(score)
    for track in score.tracks:
        track.notes = type(track.notes)([note for note in track.notes if note.time < lines[-2]])
    last = max(score.tracks[0].notes, key=lambda note: note.time)
    last.duration = lines[-1] - last.time
    assert len(bar_starts(score)) == len(lines)
    assert generator().start(score, Request(cut_bar=2, until_bar=4)).dropped_bars == 0


@pytest.mark.parametrize("chosen", [None, {PIANO}])
@pytest.mark.parametrize("midi_format", [0, 1])
def test_spliced_into_the_file_all_other_events_stay(midi_format: int, chosen: set[int] | None) -> None:
    original = rich_file(midi_format=midi_format)
    score = symusic.Score.from_midi(original)
    session = compose(score, cut_bar=3, until_bar=5, programs=sorted(chosen or ()))
    prompt = session.prompt
    writer = Writer(original, score, prompt.cut_tick, until=prompt.until_tick, missing=prompt.missing)
    written, lossy = writer.write(session.scores[0])
    assert not lossy
    assert notes(symusic.Score.from_midi(written)) == notes(symusic.Score.from_midi(session.scores[0].dumps_midi()))

    def others(data: bytes) -> Counter:
        return Counter(
            event for event in events_of(data) if "note_o" not in event[1] and "end_of_track" not in event[1]
        )

    assert not others(original) - others(written)


@pytest.mark.parametrize("tracks", [[1], [0], [3], [0, 3], [0, 1]])
def test_one_of_several_tracks_of_an_instrument_is_recomposed(tracks: list[int]) -> None:
    composer = stand_in("Parts")
    score = quartet()
    lines = bar_starts(score)
    session = composer.start(score, Request(seed=3, cut_bar=2, until_bar=5, tracks=tracks))
    prompt = session.prompt
    assert prompt.missing == {score.tracks[index].program for index in tracks}
    # What the model reads of the hole has the other tracks of the instrument in it.
    reader = reader_for(composer.tokenizer.vocabulary)
    behind = np.array(prompt.ids[1 : prompt.ids.index(BOS, 1)])
    first_bars = behind[: reader.bars(behind)[3]]
    of_track = {track: part for part, track in tracks_of_parts(score).items()}
    assert set(reader.parts(first_bars)) == {of_track[index] for index in range(4) if index not in tracks}
    run(composer, session)
    original = score.dumps_midi()
    writer = Writer(original, symusic.Score.from_midi(original), prompt.cut_tick, until=prompt.until_tick,
                    missing=prompt.missing, missing_tracks=prompt.missing_tracks)  # fmt: skip
    written, lossy = writer.write(session.scores[0])
    assert not lossy
    result = symusic.Score.from_midi(written)

    def events(of: symusic.Score, index: int, *, in_hole: bool) -> list[tuple[int, int, int, int]]:
        track = next(track for track in of.tracks if track.name == f"part {index}")
        found = [(note.time, note.duration, note.pitch, note.velocity) for note in track.notes]
        return sorted(note for note in found if (lines[2] <= note[0] < lines[5]) == in_hole)

    for index in range(4):
        assert events(result, index, in_hole=False) == events(score, index, in_hole=False)
        assert (events(result, index, in_hole=True) == events(score, index, in_hole=True)) == (index not in tracks)
    before, after = (read_file(data, "the file", MAX_LIMITS.file).tracks for data in (original, written))
    for index, chunk, other in zip(range(4), before, after, strict=True):
        kept, found = ([event for event in each.events() if event.data[:2] != b"\xff\x2f"] for each in (chunk, other))
        assert (kept == found) == (index not in tracks)


def test_wishes_are_relative_to_the_playing_parts_on_both_sides_of_the_hole() -> None:
    composer = stand_in("Parts")
    reader = reader_for(composer.tokenizer.vocabulary)
    score = full_score(bars=60)
    whole = composer.tokenizer.encode(as_written(score))
    lines = [*reader.bars(whole).tolist(), len(whole)]
    for first, until in ((30, 32), (2, 5), (0, 3), (50, 59)):
        around = composer.start(score, Request(cut_bar=first, until_bar=until)).prompt.around_ids
        behind, before = (
            whole[lines[until] : lines[until + 16 : until + 17][0] if until + 16 < 60 else None],
            whole[lines[max(0, first - 16)] : lines[first] + 1],
        )
        assert around == [*behind.tolist(), *before.tolist()]
    request = Request(cut_bar=2, until_bar=5, tracks=[1], density=1)
    steering = composer.start(quartet(), request)._variations[0].steering
    assert steering is not None
    assert set(steering._wanted) == {(40, 2)}


@pytest.mark.parametrize("max_length", [1 << 20, 1500])
def test_requested_chords_are_read_with_the_parts_that_stay(max_length: int) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding="Parts", use_chords=True))
    composer, vocabulary = generator(tokenizer, max_length=max_length), tokenizer.vocabulary
    kinds, values, reader = vocabulary.kinds, vocabulary.values, reader_for(vocabulary)

    def roots(**asked: str) -> list[list[int]]:
        """The roots of the chords of each bar that the model reads before it composes."""
        request = Request(cut_bar=30, until_bar=33, programs=[PIANO], **asked)
        ids = np.array(composer.start(full_score(bars=60), request).prompt.ids)
        bars = np.split(ids, reader.bars(ids))[1:]
        return [[values[token] for token in bar.tolist() if kinds[token] == "ChordRoot"] for bar in bars]

    as_it_is, asked = roots(), roots(chords="F# Bb | ? | Eb")
    changed = [(new, old) for new, old in zip(asked, as_it_is, strict=True) if new != old]
    assert [new for new, _ in changed] == [[6, 10], [3]]


def test_naming_all_tracks_is_the_same_as_naming_none() -> None:
    composer = stand_in("Parts")
    prompts = [
        composer.start(quartet(), Request(cut_bar=2, until_bar=5, tracks=tracks)).prompt
        for tracks in ([], [0, 1, 2, 3])
    ]
    assert prompts[0].ids == prompts[1].ids
    assert not prompts[1].missing_tracks


def test_tracks_that_are_not_there_and_models_without_tracks_are_refused() -> None:
    with pytest.raises(UserError, match="track 7 has no notes"):
        stand_in("Parts").start(quartet(), Request(cut_bar=2, until_bar=5, tracks=[7]))
    with pytest.raises(UserError, match="not tracks"):
        generator().start(quartet(), Request(cut_bar=2, until_bar=5, tracks=[1]))


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"cut_bar": 5, "until_bar": 5}, r"until_bar \(5\) must be above cut_bar \(5\)"),
        ({"cut_bar": 5, "until_bar": 99}, "bars to recompose"),
        ({"cut_bar": -1, "until_bar": 3}, "cut_bar"),
    ],
)
def test_invalid_holes_are_refused(order: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        generator().start(full_score(), Request(**order))


def test_bars_in_which_nothing_plays_any_more_are_refused() -> None:
    score = symusic.Score(480)
    score.tracks.append(symusic.Track("", 0, False))
    score.tracks[0].notes.append(symusic.Note(0, 480 * 4 * 6, 60, 80))
    with pytest.raises(UserError, match="no note begins"):
        generator().start(score, Request(cut_bar=3, until_bar=5))
    with pytest.raises(UserError, match=r"no note begins|bars to recompose"):
        generator().start(symusic.Score(480), Request(cut_bar=0, until_bar=1))


def test_missing_instruments_are_named_unless_all_are_missing() -> None:
    for chosen, names in (({PIANO}, ["PAD", "Program_0"]), (None, []), (set(programs(full_score())), [])):
        prompt = generator().start(full_score(), Request(cut_bar=3, until_bar=5, programs=sorted(chosen or ()))).prompt
        told = [TOKENIZER.tokens[i] for i in prompt.ids[:-2]]
        before = [TOKENIZER.tokens[i] for i in prompt.past_ids[1:-2]]
        assert told[len(told) - len(before) - len(names) :] == before + names


def test_a_change_of_metre_in_the_hole_is_refused() -> None:
    score = full_score()
    score.time_signatures.append(symusic.TimeSignature(bar_starts(score)[4], 4, 4))
    with pytest.raises(UserError, match="metre changes"):
        generator().start(score, Request(cut_bar=3, until_bar=6))


def test_encodings_without_bars_say_so() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding="TSD"))
    with pytest.raises(UserError, match="REMI"):
        generator(tokenizer).start(full_score(), Request(cut_bar=1, until_bar=2))
