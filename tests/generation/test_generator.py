"""The generate loop: what is promised about prompts, lengths, seeds, ends and files."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import symusic
import torch

from helpers.stand_in_model import StandIn, full_score
from music_reformer.config import ModelConfig, TokenizerConfig
from music_reformer.errors import UserError
from music_reformer.generation import session as loop
from music_reformer.generation import variation
from music_reformer.generation.generator import Generator, NewNote, Session
from music_reformer.generation.request import Request
from music_reformer.midi.score import bar_starts, read_score, seconds_at
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.decoder import Decoder
from music_reformer.model.reformer import ReformerLM

ENCODINGS = ("REMI", "TSD", "MIDILike", "Performance")


def stand_in(encoding: str = "REMI", **settings: float) -> Generator:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    return Generator(StandIn(tokenizer, **settings), tokenizer)


def small_reformer(encoding: str = "REMI", **settings: object) -> Generator:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    shape = {"width": 32, "num_layers": 4, "num_heads": 2, "head_width": 16, "feed_forward_width": 64}
    config = ModelConfig(vocab_size=tokenizer.vocab_size, window=16, num_buckets=8, **shape, **settings)
    model = ReformerLM(config)
    with torch.no_grad():
        model.token_embedding.weight.mul_(20)  # opinions, so that a wrong cache would be seen
    return Generator(Decoder(model, compile_step=True), tokenizer)  # as `Generator.load` does


def run(session: Session) -> list[NewNote]:
    return [note for progress in session for note in progress.notes]


def track_key(index: int, track: symusic.core.TrackTick) -> tuple[int, str, int, bool]:
    return index, track.name, track.program, track.is_drum


def events_before(score: symusic.Score, cut: int) -> dict[str, list]:
    """Every event before the cut (tempo, metre and key in force at it too), as plain values."""
    found: dict[str, list] = {
        "ticks": [score.ticks_per_quarter],
        "tempos": [(e.time, e.mspq) for e in score.tempos if e.time <= cut],
        "metres": [(e.time, e.numerator, e.denominator) for e in score.time_signatures if e.time <= cut],
        "keys": [(e.time, e.key, e.tonality) for e in score.key_signatures if e.time <= cut],
        "markers": [(e.time, e.text) for e in score.markers if e.time < cut],
    }
    for index, track in enumerate(score.tracks):
        key = f"{index} {track.name} {track.program} {track.is_drum}"
        found[f"notes {key}"] = sorted((n.time, n.duration, n.pitch, n.velocity) for n in track.notes if n.time < cut)
        found[f"controls {key}"] = [(e.time, e.number, e.value) for e in track.controls if e.time < cut]
        found[f"bends {key}"] = [(e.time, e.value) for e in track.pitch_bends if e.time < cut]
        found[f"lyrics {key}"] = [(e.time, e.text) for e in track.lyrics if e.time < cut]
    return found


def new_notes(score: symusic.Score, cut: int) -> list[tuple[int, int, int, int, int]]:
    """(program, start, end, pitch, velocity) of what begins at or behind the cut."""
    return sorted(
        (-1 if track.is_drum else track.program, n.time, n.time + n.duration, n.pitch, n.velocity)
        for track in score.tracks
        for n in track.notes
        if n.time >= cut
    )


@pytest.mark.parametrize("cut_bar", [None, 5, 1, 0])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_prompt_comes_back_event_for_event(encoding: str, cut_bar: int | None) -> None:
    score = full_score()
    untouched = events_before(score, 1 << 30)
    session = stand_in(encoding).start(score, Request(length="4bars", variations=2, cut_bar=cut_bar))
    run(session)
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
def test_what_was_told_is_what_is_written(encoding: str) -> None:
    session = stand_in(encoding).start(full_score(), Request(length="4bars", variations=3, seed=4))
    told = defaultdict(list)
    for note in run(session):
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


@pytest.mark.parametrize("metre", [(4, 4), (3, 4), (6, 8), (7, 8)])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bars_are_bars_of_the_metre_at_the_cut(encoding: str, metre: tuple[int, int]) -> None:
    """7/8 has no token: the bars are the upload's all the same."""
    score = full_score(metre=metre, ticks=480)
    session = stand_in(encoding).start(score, Request(length="3bars", variations=6))
    run(session)
    bar = 480 * 4 * metre[0] // metre[1]
    cut = session.prompt.cut_tick
    assert cut == 8 * bar
    starts = [start for result in session.scores for _, start, _, _, _ in new_notes(result, cut)]
    assert cut <= min(starts)
    assert cut + 2 * bar <= max(starts) < cut + 3 * bar


def test_a_piece_in_one_four_is_read_in_four_four() -> None:
    """As beat trackers write "metre not known" (most of POP909); what is written keeps the upload's own."""
    generator = stand_in()
    score = full_score(metre=(1, 4), bars=24, ticks=480)
    session = generator.start(score, Request(length="2bars", variations=4))
    told = run(session)
    assert session.prompt.cut_tick == 6 * 4 * 480
    names = [generator.tokenizer.tokens[token] for token in generator.decoder.prompts[0]]
    assert {name for name in names if name.startswith("TimeSig")} == {"TimeSig_4/4"}
    assert max(note.start_s for note in told) < session.prompt.cut_seconds + 8 * 60 / 77
    assert [(m.numerator, m.denominator) for m in session.scores[0].time_signatures] == [(1, 4)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_seconds_are_seconds_of_the_upload(encoding: str) -> None:
    score = full_score()
    session = stand_in(encoding).start(score, Request(length="7.5s", variations=4))
    told = run(session)
    cut = float(seconds_at(score, session.prompt.cut_tick))
    assert session.prompt.cut_seconds == pytest.approx(cut)
    grid = 60 / 77 / session.prompt.state.vocabulary.ticks_per_beat
    assert cut <= min(note.start_s for note in told)
    assert cut + 5 < max(note.start_s for note in told) < cut + 7.5 + grid
    assert all(note.end_s > note.start_s for note in told)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_finished_variations_compose_no_more(encoding: str) -> None:
    generator = stand_in(encoding)
    session = generator.start(full_score(), Request(length="2bars", variations=6, seed=3))
    finished = [False] * 6
    for progress in session:
        assert not any(finished[note.variation] for note in progress.notes)
        assert all(now or not before for now, before in zip(progress.finished, finished, strict=True))
        finished = progress.finished
    assert finished == [True] * 6
    assert progress.done == [1.0] * 6
    sizes = [len(step) for step in generator.decoder.steps]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 6
    assert sizes[-1] < 6, "none left early; choose another seed"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_end_is_never_on_the_prompt(encoding: str) -> None:
    generator = stand_in(encoding)
    eos = generator.tokenizer.eos_id
    generator.decoder.table[:, :, eos] += 100  # longs for the end
    session = generator.start(full_score(), Request(length="2bars"))
    run(session)
    (prompt,) = generator.decoder.prompts
    assert prompt[0] == generator.tokenizer.bos_id
    assert prompt.count(generator.tokenizer.bos_id) == 1
    assert eos not in prompt
    assert not any(eos in step for step in generator.decoder.steps)
    assert len(new_notes(session.scores[0], session.prompt.cut_tick)) > 3


def test_the_prompt_ends_on_the_bar_line() -> None:
    generator = stand_in("REMI")
    session = generator.start(full_score(), Request(length="1bars"))
    run(session)
    names = [generator.tokenizer.tokens[token] for token in generator.decoder.prompts[0]]
    assert names[-2:] == ["Bar_None", "TimeSig_3/4"]
    assert names.count("Bar_None") == 9


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_same_seed_same_bytes(encoding: str) -> None:
    generator, score = stand_in(encoding), full_score()

    def files(seed: int, variations: int) -> list[bytes]:
        session = generator.start(score, Request(length="3s", variations=variations, seed=seed))
        run(session)
        return [result.dumps_midi() for result in session.scores]

    three = files(5, 3)
    assert files(5, 3) == three
    assert files(5, 1) == three[:1]
    assert files(5, 5)[:3] == three
    assert len({*three, *files(6, 3)}) == 6


def test_a_real_model_gives_the_same_music_whatever_the_number_of_variations() -> None:
    generator, score = small_reformer(), full_score()

    def files(variations: int) -> list[bytes]:
        session = generator.start(score, Request(length="4bars", variations=variations, seed=2))
        run(session)
        return [result.dumps_midi() for result in session.scores]

    assert files(4)[:2] == files(2) == files(2)


@pytest.mark.parametrize(("encoding", "length"), zip(ENCODINGS, ("2bars", "8bars", "8bars", "2bars"), strict=True))
def test_cached_steps_are_the_plain_model(encoding: str, length: str) -> None:
    """What the loop samples from, step by step, against one parallel pass over all that came out."""
    generator = small_reformer(encoding)
    session = generator.start(full_score(bars=3), Request(length=length, variations=3, seed=0))
    ids, logits = list(session.prompt.ids), []
    inner = session._sampler.choose

    def choose(logits_V: np.ndarray, allowed_V: np.ndarray, variation: int) -> int:
        token = inner(logits_V, allowed_V, variation)
        if variation == 2:
            assert allowed_V[token]
            logits.append(torch.from_numpy(logits_V))
            ids.append(token)
        return token

    session._sampler.choose = choose
    run(session)
    assert len(logits) > 10
    with torch.inference_mode():
        plain = generator.decoder.model(torch.tensor([ids[:-1]]))[0, -len(logits) :]
    torch.testing.assert_close(torch.stack(logits), plain, atol=2e-3, rtol=0)


def test_stopping_keeps_complete_notes() -> None:
    for encoding in ENCODINGS:
        session = stand_in(encoding).start(full_score(), Request(length="4000bars", variations=2))
        notes = []
        for progress in session:
            notes += progress.notes
            if len(notes) > 20:
                session.stop()
        assert progress.finished == [True, True]
        assert max(progress.done) < 0.5
        for number, score in enumerate(session.scores):
            written = new_notes(score, session.prompt.cut_tick)
            assert all(end > start for _, start, end, _, _ in written)
            assert 0 < len(written) <= sum(note.variation == number for note in notes)
            symusic.Score.from_midi(score.dumps_midi())


def test_stopping_from_another_thread() -> None:
    stop = threading.Event()
    session = stand_in().start(None, Request(length="9000bars"), stop=stop)
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    run(session)
    assert time.monotonic() - began < 3


def test_a_session_that_was_left_still_has_its_notes() -> None:
    session = stand_in().start(full_score(), Request(length="4000bars"))
    for progress in session:
        if progress.notes:
            break
    assert new_notes(session.scores[0], session.prompt.cut_tick)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_from_nothing(encoding: str) -> None:
    session = stand_in(encoding).start(None, Request(length="3bars", variations=2, seed=1))
    told = run(session)
    assert {note.program for note in told} == {0}
    for score in session.scores:
        assert [tempo.qpm for tempo in score.tempos] == [120]
        starts = [start for _, start, _, _, _ in new_notes(score, 0)]
        assert max(starts) < 3 * 4 * score.ticks_per_quarter


def test_from_nothing_with_the_instruments_asked_for() -> None:
    session = stand_in().start(None, Request(length="20bars", programs=[40, -1]))
    told = run(session)
    assert {-1 if note.drum else note.program for note in told} == {40, -1}
    assert [(track.program, track.is_drum) for track in session.scores[0].tracks] == [(40, False), (0, True)]


@pytest.mark.parametrize("encoding", ENCODINGS[:3])
def test_only_the_instruments_of_the_prompt_play(encoding: str) -> None:
    session = stand_in(encoding).start(full_score(), Request(length="20bars"))
    assert {-1 if note.drum else note.program for note in run(session)} == {0, 33, -1}
    session = stand_in(encoding).start(full_score(), Request(length="20bars", programs=[71]))
    assert {note.program for note in run(session)} == {71}
    tracks = session.scores[0].tracks
    assert [(track.program, len(track.notes) > 0) for track in tracks][4:] == [(71, True)]


@pytest.mark.parametrize("programs", [None, {0, 40, -1}])
def test_every_note_is_told_with_the_track_that_it_is_written_to(programs: set[int] | None) -> None:
    score = full_score()  # two hands of one piano, bass, drums; a violin is added
    session = stand_in().start(score, Request(length="8bars", variations=2, seed=5, programs=programs))
    told: dict[int, set[tuple[int, int, int]]] = defaultdict(set)
    for note in run(session):
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
        assert (programs is None) or (4 in {track for track, _, _ in written})
        assert session.scores[number].tracks[1].name == "Left hand"


def test_notes_go_to_the_hand_in_whose_register_they_lie() -> None:
    score = full_score()
    session = stand_in().start(score, Request(length="30bars"))
    run(session)
    cut = session.prompt.cut_tick
    right, left, _, _ = session.scores[0].tracks
    assert len(session.scores[0].tracks) == 4
    assert all(note.pitch > 60 for note in right.notes if note.time >= cut)
    assert all(note.pitch < 66 for note in left.notes if note.time >= cut)
    assert all(any(note.time >= cut for note in track.notes) for track in (right, left))


def test_keys_held_across_the_cut_are_not_struck() -> None:
    for encoding in ENCODINGS:
        for seed in range(2):
            session = stand_in(encoding).start(full_score(), Request(length="7bars", seed=seed))
            run(session)
            (left,) = [track for track in session.scores[0].tracks if track.name == "Left hand"]
            (held,) = [note for note in left.notes if note.time < session.prompt.cut_tick < note.end]
            assert not [n for n in left.notes if n.pitch == held.pitch and held.time < n.time < held.end]


def test_no_key_sounds_twice_in_one_track() -> None:
    session = stand_in(time_bias=-2).start(full_score(), Request(length="3bars", variations=2))
    run(session)
    for score in session.scores:
        for track in score.tracks:
            ends: dict[int, int] = {}
            for note in sorted(track.notes, key=lambda note: note.time):
                assert note.time >= ends.get(note.pitch, 0)
                ends[note.pitch] = note.time + note.duration


def test_pedal_and_bend_do_not_hang_over_the_continuation() -> None:
    session = stand_in().start(full_score(), Request(length="1bars"))
    run(session)
    cut = session.prompt.cut_tick
    _, left, bass, _ = session.scores[0].tracks
    assert (left.controls[-1].time, left.controls[-1].number, left.controls[-1].value) == (cut, 64, 0)
    assert (bass.pitch_bends[-1].time, bass.pitch_bends[-1].value) == (cut, 0)


@pytest.mark.parametrize("encoding", ["REMI", "TSD", "MIDILike"])
def test_pedals_and_bends_of_the_model_are_written(encoding: str) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding, use_sustain_pedals=True, use_pitch_bends=True))
    generator = Generator(StandIn(tokenizer), tokenizer)
    session = generator.start(full_score(), Request(length="16bars", variations=4, programs=[0, 33]))
    run(session)
    cut = session.prompt.cut_tick
    tracks = [track for score in session.scores for track in score.tracks]
    assert any(bend.time > cut for track in tracks for bend in track.pitch_bends)
    for track in tracks:
        values = [control.value for control in track.controls if control.number == 64 and control.time >= cut]
        assert values.count(127) <= values.count(0)
        assert values[-1:] in ([0], [])


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_stuck_model_comes_to_an_end(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variation, "MAX_TOKENS_PER_BAR", 100)
    generator = stand_in(encoding, time_bias=-1000.0)
    session = generator.start(None, Request(length="3bars"))
    run(session)
    assert len(generator.decoder.steps) < 3 * 100 + 1000
    assert new_notes(session.scores[0], 0)


def test_a_long_prompt_is_read_from_a_bar_line_on() -> None:
    score = full_score(bars=60)
    for encoding in ENCODINGS:
        whole = stand_in(encoding).start(score, Request(length="1bars"))
        assert whole.dropped_bars == 0
        generator = stand_in(encoding, max_length=1600)
        session = generator.start(score, Request(length="2bars"))
        told = run(session)
        assert 5 < session.dropped_bars < 60
        (prompt,) = generator.decoder.prompts
        assert 300 < len(prompt) <= 800
        cut = session.prompt.cut_tick
        assert cut == bar_starts(score)[60]
        before = events_before(score, cut)
        after = events_before(session.scores[0], cut)
        assert {key: after[key] for key in before} == before
        assert min(note.start_s for note in told) >= session.prompt.cut_seconds
        # What it read is the end of what it would have read.
        names = generator.tokenizer.tokens
        pitches, all_pitches = (
            [names[token] for token in ids if names[token].startswith(("Pitch", "NoteOn", "DrumOn"))]
            for ids in (prompt, whole.prompt.ids)
        )
        assert all_pitches[-len(pitches) :] == pitches


def test_a_model_that_is_full_ends_quietly() -> None:
    generator = stand_in(max_length=600)
    session = generator.start(full_score(), Request(length="4000bars", variations=2))
    run(session)
    assert len(generator.decoder.prompts[0]) + len(generator.decoder.steps) == 600
    assert new_notes(session.scores[1], session.prompt.cut_tick)


def test_a_real_model_that_is_full_ends_quietly() -> None:
    generator = small_reformer(axial_shape=[16, 32])
    session = generator.start(full_score(bars=4), Request(length="4000bars"))
    run(session)
    assert session.scores[0].end() > session.prompt.cut_tick


def test_progress_comes_twice_a_second() -> None:
    generator = stand_in()
    inner = generator.decoder.step
    generator.decoder.step = lambda *args: (time.sleep(0.01), inner(*args))[1]
    seen = [
        (time.monotonic(), progress)
        for progress in generator.start(full_score(), Request(length="12bars", variations=2))
    ]
    assert len(seen) >= 4
    assert max(b[0] - a[0] for a, b in pairwise(seen[1:])) < 1.0  # 0.2 s where nothing else runs
    done = [progress.done[0] for _, progress in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0.0, 1.0)
    middle = seen[len(seen) // 2][1]
    assert middle.tokens_per_second > 10
    assert middle.seconds_left is not None


def test_two_sessions_of_one_generator_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, score = small_reformer(), full_score(bars=3)

    def session(seed: int, rounds: int) -> Session:
        return generator.start(score, Request(length="4bars", seed=seed, rounds=rounds, variations=2))

    alone = [session(1, 1), session(2, 4)]
    for one in alone:
        run(one)
    # Turn and turn about, a token each.
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_YIELDS", 0.0)
    together = [session(1, 1), session(2, 4)]
    turns = [iter(one) for one in together]
    while turns:
        turns = [turn for turn in turns if next(turn, None) is not None]
    for one, other in zip(alone, together, strict=True):
        assert [score.dumps_midi() for score in one.scores] == [score.dumps_midi() for score in other.scores]


def test_real_uploads(corpora: Path) -> None:
    files = [sorted(corpora.glob("pop909/**/*.mid"))[450], sorted(corpora.glob("asap/**/*.mid"))[500]]
    for encoding in ENCODINGS:
        generator = stand_in(encoding)
        for path in files:
            score = read_score(path)
            cut_bar = len(bar_starts(score)) // 3
            session = generator.start(score, Request(length="4bars", cut_bar=min(cut_bar, 30)))
            told = run(session)
            assert told
            cut = session.prompt.cut_tick
            before, after = events_before(score, cut), events_before(session.scores[0], cut)
            assert {key: after[key] for key in before} == before
            assert min(note.start_s for note in told) >= session.prompt.cut_seconds - 1e-9


def test_the_loop_costs_little() -> None:
    generator = stand_in()
    session = generator.start(full_score(), Request(length="9000bars", variations=4))
    began, steps = time.process_time(), generator.decoder.steps
    for _ in session:
        if len(steps) >= 600:
            session.stop()
    per_step = (time.process_time() - began) / len(steps)
    assert per_step < 2e-3, f"{per_step * 1e3:.2f} ms a step"  # 0.3 ms on a quiet machine


def test_requests_that_make_no_sense() -> None:
    generator = stand_in()
    with pytest.raises(UserError, match=r"cut \(bar 99\).*has 10 bars"):
        generator.start(full_score(bars=5), Request(cut_bar=99))
    with pytest.raises(UserError, match="rounds"):
        run(small_reformer().start(None, Request(length="1bars", rounds=99)))
