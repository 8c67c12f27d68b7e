"""The written score: the piece event for event, and new notes on their tracks."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import symusic

from helpers.composing import ENCODINGS, events_before, new_notes, run, stand_in
from helpers.stand_in_model import StandIn, full_score
from music_reformer.config import TokenizerConfig
from music_reformer.generation.generator import Generator
from music_reformer.generation.request import Request
from music_reformer.midi.score import bar_starts, read_score, seconds_at
from music_reformer.midi.splice import Writer
from music_reformer.midi.tokenizer import MusicTokenizer


@pytest.mark.parametrize("cut_bar", [None, 5, 1, 0])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_prompt_comes_back_event_for_event(encoding: str, cut_bar: int | None) -> None:
    score = full_score()
    untouched = events_before(score, 1 << 30)
    generator = stand_in(encoding)
    session = generator.start(score, Request(length="4bars", variations=2, cut_bar=cut_bar))
    run(generator, session)
    cut = session.prompt.cut_tick
    assert cut == bar_starts(score)[8 if cut_bar is None else cut_bar]
    before = events_before(score, cut)
    assert events_before(score, 1 << 30) == untouched, "the caller's score was altered"
    for result in session.scores:
        after = events_before(result, cut)
        assert {key: after[key] for key in before} == before
        assert all(not values for key, values in after.items() if key not in before)
        assert len(new_notes(result, cut)) > 3
        # and in the file, where same keys that overlap would be taken for one another
        again = symusic.Score.from_midi(result.dumps_midi())
        ours, theirs = ([track for track in one.tracks if len(track.notes)] for one in (result, again))
        for left, right in zip(ours, theirs, strict=True):
            assert sorted((n.time, n.pitch, n.duration, n.velocity) for n in left.notes) == sorted(
                (n.time, n.pitch, n.duration, n.velocity) for n in right.notes
            )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_reported_notes_are_the_written_notes(encoding: str) -> None:
    generator = stand_in(encoding)
    session = generator.start(full_score(), Request(length="4bars", variations=3, seed=4))
    told = defaultdict(list)
    for note in run(generator, session):
        told[note.variation].append(note)
    for number, score in enumerate(session.scores):
        written = new_notes(score, session.prompt.cut_tick)
        starts = seconds_at(score, [start for _, start, _, _, _ in written])
        ends = seconds_at(score, [end for _, _, end, _, _ in written])
        # A note may end earlier in the file, where its key is struck again.
        left = sorted((-1 if n.drum else n.program, n.pitch, n.velocity, n.start_s, n.end_s) for n in told[number])
        right = sorted(
            (program, pitch, velocity, start, end)
            for (program, _, _, pitch, velocity), start, end in zip(written, starts, ends, strict=True)
        )
        assert len(left) >= len(right) > 5
        for program, pitch, velocity, start, end in right:
            assert any(
                (n.pitch, n.velocity) == (pitch, velocity)
                and (encoding == "Performance" or (-1 if n.drum else n.program) == program)
                and n.start_s <= start + 1e-6
                and end <= n.end_s + 1e-6
                for n in told[number]
            )


@pytest.mark.parametrize("programs", [[], [0, 40, -1]])
def test_every_note_is_reported_with_its_track_in_the_file(programs: list[int]) -> None:
    score = full_score()  # two hands of one piano, bass, drums; a violin is added
    generator = stand_in()
    session = generator.start(score, Request(length="8bars", variations=2, seed=5, programs=programs))
    told: dict[int, set[tuple[int, int, int]]] = defaultdict(set)
    for note in run(generator, session):
        told[note.variation].add((note.track, note.pitch, note.velocity))
    for number, result in enumerate(session.scores):
        cut = session.prompt.cut_tick
        written = {
            (index, note.pitch, note.velocity)
            for index, track in enumerate(result.tracks)
            for note in track.notes
            if note.time >= cut
        }
        assert written <= told[number]
        assert len(written) > 0.9 * len(told[number]), "only a key struck twice at once is told and not written"
        assert {0, 1, 3} <= {track for track, _, _ in written}, "both hands and the drums play"
        assert not programs or (4 in {track for track, _, _ in written})
        assert session.scores[number].tracks[1].name == "Left hand"


def test_notes_go_to_the_hand_in_whose_register_they_lie() -> None:
    score = full_score()
    generator = stand_in()
    session = generator.start(score, Request(length="30bars"))
    run(generator, session)
    cut = session.prompt.cut_tick
    right, left, _, _ = session.scores[0].tracks
    assert len(session.scores[0].tracks) == 4
    assert all(note.pitch > 60 for note in right.notes if note.time >= cut)
    assert all(note.pitch < 66 for note in left.notes if note.time >= cut)
    assert all(any(note.time >= cut for note in track.notes) for track in (right, left))


def four_staves(bars: int = 4) -> symusic.Score:
    """Four voices on four piano staves; tenor and alto sing the same keys in every other bar, and cross in the rest."""
    score = symusic.Score(480)
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    score.tempos.append(symusic.Tempo(0, 90))
    for number, name in enumerate(("Soprano", "Alto", "Tenor", "Bass")):
        track = symusic.Track(name, 0, False)
        for beat in range(4 * bars):
            pitch = 72 - 7 * number + (beat * 5 + number) % 4
            if number in (1, 2):
                pitch = 60 + beat % 3 if beat // 4 % 2 else (62 - beat % 4 if number == 1 else 64 + beat % 4)
            track.notes.append(symusic.Note(beat * 480, 480, pitch, 70))
        score.tracks.append(track)
    return score


@pytest.mark.parametrize("hole", [None, (1, 3)])
def test_voices_of_one_instrument_never_exchange_notes(hole: tuple[int, int] | None) -> None:
    """With four parts of one program, notes are on the tracks of their parts, in the file and in reports."""
    original = four_staves().dumps_midi()
    score = read_score(original)
    generator = stand_in("Parts")
    cut_bar, until_bar = hole or (None, None)
    request = Request(length="6bars", cut_bar=cut_bar, until_bar=until_bar, variations=6, seed=2)  # of which all play
    session = generator.start(score, request)
    told = run(generator, session)
    assert {note.track for note in told} == {0, 1, 2, 3}
    prompt = session.prompt
    writer = Writer(original, score, prompt.cut_tick, until=prompt.until_tick, missing=prompt.missing)
    for variation, continued in enumerate(session.scores):
        data, is_lossy = writer.write(continued)
        again = read_score(data)
        assert not is_lossy
        assert [track.name for track in again.tracks] == ["Soprano", "Alto", "Tenor", "Bass"]
        kept = [note for note in told if note.variation == variation]
        for number, track in enumerate(again.tracks):
            old = [(n.time, n.pitch) for n in score.tracks[number].notes]
            gone = [n for n in old if prompt.until_tick and prompt.cut_tick <= n[0] < prompt.until_tick]
            new = [(round(n.start_s * 90 / 60 * 480), n.pitch) for n in kept if n.track == number]
            there = sorted((n.time, n.pitch) for n in track.notes)
            assert there == sorted([*(n for n in old if n not in gone), *new])


def test_no_key_sounds_twice_in_one_track() -> None:
    generator = stand_in(time_bias=-2)
    session = generator.start(full_score(), Request(length="3bars", variations=2))
    run(generator, session)
    for score in session.scores:
        for track in score.tracks:
            ends: dict[int, int] = {}
            for note in sorted(track.notes, key=lambda note: note.time):
                assert note.time >= ends.get(note.pitch, 0)
                ends[note.pitch] = note.time + note.duration


def test_pedal_and_bend_do_not_hang_over_the_continuation() -> None:
    generator = stand_in()
    session = generator.start(full_score(), Request(length="1bars"))
    run(generator, session)
    cut = session.prompt.cut_tick
    _, left, bass, _ = session.scores[0].tracks
    assert (left.controls[-1].time, left.controls[-1].number, left.controls[-1].value) == (cut, 64, 0)
    assert (bass.pitch_bends[-1].time, bass.pitch_bends[-1].value) == (cut, 0)


@pytest.mark.parametrize("encoding", ["REMI", "TSD", "MIDILike"])
def test_pedals_and_bends_of_the_model_are_written(encoding: str) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding, use_sustain_pedals=True, use_pitch_bends=True))
    generator = Generator(StandIn(tokenizer), tokenizer)
    session = generator.start(full_score(), Request(length="16bars", variations=4, programs=[0, 33]))
    run(generator, session)
    cut = session.prompt.cut_tick
    tracks = [track for score in session.scores for track in score.tracks]
    assert any(bend.time > cut for track in tracks for bend in track.pitch_bends)
    for track in tracks:
        values = [control.value for control in track.controls if control.number == 64 and control.time >= cut]
        assert values.count(127) <= values.count(0)
        assert values[-1:] in ([0], [])


def test_real_files_of_pop_and_piano_are_continued(corpora: Path) -> None:
    files = [sorted(corpora.glob("pop909/**/*.mid"))[450], sorted(corpora.glob("asap/**/*.mid"))[500]]
    for encoding in ENCODINGS:
        generator = stand_in(encoding)
        for path in files:
            score = read_score(path)
            cut_bar = len(bar_starts(score)) // 3
            session = generator.start(score, Request(length="4bars", cut_bar=min(cut_bar, 30)))
            told = run(generator, session)
            assert told
            cut = session.prompt.cut_tick
            before, after = events_before(score, cut), events_before(session.scores[0], cut)
            assert {key: after[key] for key in before} == before
            assert min(note.start_s for note in told) >= session.prompt.cut_seconds - 1e-9
