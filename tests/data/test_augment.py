from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import symusic
from numpy.typing import NDArray

from helpers.scores import random_score
from music_reformer.config import AugmentConfig, TokenizerConfig
from music_reformer.data.augment import Augmenter
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import DRUMS, program_of

ENCODINGS = ["REMI", "TSD", "MIDILike", "Performance", "Parts"]


def make_score(*, low: int = 40, high: int = 90) -> symusic.Score:
    """Two instruments and drums, 16 bars, one tempo change."""
    score = symusic.Score(480)
    random = np.random.default_rng(5)
    for program, is_drum in ((0, False), (40, False), (0, True)):
        track = symusic.Track("", program, is_drum)
        pitches = random.integers(35, 60, 64) if is_drum else random.integers(low, high + 1, 64)
        for beat, pitch in enumerate(pitches.tolist()):
            track.notes.append(symusic.Note(beat * 480, 240, pitch, 64))
        score.tracks.append(track)
    score.tempos.append(symusic.Tempo(0, 100.0))
    score.tempos.append(symusic.Tempo(480 * 32, 140.0))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    return score


def notes(tokenizer: MusicTokenizer, tokens: NDArray[np.uint16]) -> list[tuple[int, int, int, int, int]]:
    """(start, program or -1 for drums, pitch, end, velocity), sorted."""
    score = tokenizer.decode(tokens)
    return sorted(
        (note.start, program_of(track), note.pitch, note.end, note.velocity)
        for track in score.tracks
        for note in track.notes
    )


def time_units(tokenizer: MusicTokenizer, tokens: NDArray[np.uint16]) -> list[int]:
    """Length of each time shift in units of 10 ms, 0 for other tokens."""
    names = [tokenizer.tokens[token] for token in tokens]
    return [int(name.split("_")[1]) if name.startswith("TimeShift_") else 0 for name in names]


def whole(tokenizer: MusicTokenizer, score: symusic.Score) -> NDArray[np.uint16]:
    return np.array([tokenizer.bos_id, *tokenizer.encode(score), tokenizer.eos_id], dtype=np.uint16)


@pytest.fixture(scope="module", params=ENCODINGS)
def tokenizer(request: pytest.FixtureRequest) -> MusicTokenizer:
    return MusicTokenizer(TokenizerConfig(encoding=request.param))


def augmenter(tokenizer: MusicTokenizer, **changes: float) -> Augmenter:
    settings = {"transpose": 0, "tempo": 0.0, "programs": 0.0, **changes}
    return Augmenter(tokenizer.vocabulary, AugmentConfig(**settings))  # type: ignore[arg-type]


def test_transposition_shifts_every_melodic_note_and_no_drum(tokenizer: MusicTokenizer) -> None:
    tokens = whole(tokenizer, make_score())
    before = notes(tokenizer, tokens)
    change = augmenter(tokenizer, transpose=6)
    shifts = set()
    for seed in range(40):
        changed = change(tokens, np.random.default_rng(seed))
        after = notes(tokenizer, changed)
        shift = max(new[2] for new in after) - max(old[2] for old in before)
        shifts.add(shift)
        if tokenizer.config.encoding == "Performance":  # It has no programs, and so no drums.
            expected = [(s, p, pitch + shift, e, v) for s, p, pitch, e, v in before]
        else:
            expected = [(s, p, pitch if p == DRUMS else pitch + shift, e, v) for s, p, pitch, e, v in before]
        assert sorted(expected) == after
        assert len(changed) == len(tokens)
    assert min(shifts) >= -6
    assert max(shifts) <= 6
    assert len(shifts) > 8


def test_transposition_never_leaves_the_range(tokenizer: MusicTokenizer) -> None:
    pitches = [int(name.split("_")[1]) for name in tokenizer.tokens if name.startswith(("Pitch_", "NoteOn_"))]
    tokens = whole(tokenizer, make_score(low=min(pitches) + 1, high=max(pitches) - 2))
    before = sorted({note[2] for note in notes(tokenizer, tokens) if note[1] != DRUMS})
    change = augmenter(tokenizer, transpose=12)
    seen = set()
    for seed in range(20):
        after = notes(tokenizer, change(tokens, np.random.default_rng(seed)))
        seen.add(max(note[2] for note in after) - before[-1])
        assert len(after) == len(notes(tokenizer, tokens))
    if tokenizer.config.encoding != "Performance":  # There the drums are among the pitches.
        assert seen == {-1, 0, 1, 2}


def test_tempo_of_encodings_with_tempo_tokens() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig())
    tokens = whole(tokenizer, make_score())
    change = augmenter(tokenizer, tempo=0.2)
    is_tempo = np.array([name.startswith("Tempo_") for name in tokenizer.tokens])
    faster = change.change_tempo(tokens, 1.2)
    assert np.array_equal(faster[~is_tempo[tokens]], tokens[~is_tempo[tokens]])
    values = [float(tokenizer.tokens[i].split("_")[1]) for i in faster[is_tempo[tokens]]]
    assert values == pytest.approx([120, 168], abs=4)  # The nearest of 32 tempos.
    assert change.keeps_length


def test_tempo_of_the_performance_encoding_stretches_time_without_drift() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding="Performance"))
    score = make_score()
    score.tempos = type(score.tempos)([symusic.Tempo(0, 31.0)])  # Beats of 1.9 s: gaps of more than one token.
    tokens = whole(tokenizer, score)
    change = augmenter(tokenizer, tempo=0.2)
    assert not change.keeps_length
    for factor in (0.83, 1.0, 1.17):
        changed = change.change_tempo(tokens, factor)
        units, old = time_units(tokenizer, changed), time_units(tokenizer, tokens)
        events = [(time, token) for time, token, unit in zip(np.cumsum(units), changed, units, strict=True) if not unit]
        before = [(time, token) for time, token, unit in zip(np.cumsum(old), tokens, old, strict=True) if not unit]
        assert [token for _, token in events] == [token for _, token in before]
        for (new_time, _), (old_time, _) in zip(events, before, strict=True):
            assert abs(new_time - old_time / factor) <= 0.5  # Half a unit at most, at the end as at the start.
        # As the tokenizer writes it: only the last shift of a gap is shorter than the longest.
        assert all(unit in (0, 100) for unit, after in pairwise(units) if after)
    assert np.array_equal(change.change_tempo(tokens, 1.0), tokens)


def test_programs_change_and_drums_stay(tokenizer: MusicTokenizer) -> None:
    if tokenizer.config.encoding == "Performance":
        pytest.skip("has no programs")
    tokens = whole(tokenizer, make_score())
    change = augmenter(tokenizer, programs=1.0)
    before = notes(tokenizer, tokens)
    kept = set()
    for seed in range(20):
        after = notes(tokenizer, change(tokens, np.random.default_rng(seed)))
        assert [n for n in after if n[1] == DRUMS] == [n for n in before if n[1] == DRUMS]
        assert len({n[1] for n in after}) == 3  # Different instruments stay different.
        kept.add(frozenset({n[1] for n in after} & {0, 40}))
        assert sorted((s, pitch, e, v) for s, _, pitch, e, v in after) == sorted(
            (s, pitch, e, v) for s, _, pitch, e, v in before
        )
    assert kept == {frozenset(), frozenset({0}), frozenset({40})}  # One of them or both are replaced.


@pytest.mark.parametrize("encoding", ["REMI", "TSD"])
def test_with_one_program_no_pitch_sounds_twice_at_once(encoding: str) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    tokens = whole(tokenizer, make_score())
    change = augmenter(tokenizer, one_program=1.0)
    before = notes(tokenizer, tokens)
    for seed in range(10):
        changed = change(tokens, np.random.default_rng(seed))
        after = notes(tokenizer, changed)
        assert [n for n in after if n[1] == DRUMS] == [n for n in before if n[1] == DRUMS]
        melodic = [n for n in after if n[1] != DRUMS]
        assert len({n[1] for n in melodic}) == 1
        expected = sorted({(s, pitch, e, v) for s, program, pitch, e, v in before if program != DRUMS})
        assert sorted((s, pitch, e, v) for s, _, pitch, e, v in melodic) == expected
        # What the tokenizer itself would write for these notes.
        assert np.array_equal(whole(tokenizer, tokenizer.decode(changed)), changed)


def test_equal_draws_give_equal_pieces_and_the_argument_is_unchanged(tokenizer: MusicTokenizer) -> None:
    tokens = whole(tokenizer, make_score())
    copy = tokens.copy()
    tokens.setflags(write=False)  # As a view of the store is.
    change = augmenter(tokenizer, transpose=6, tempo=0.1, programs=0.5)
    results = [change(tokens, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    assert np.array_equal(tokens, copy)
    assert results[0].dtype == np.uint16


def test_without_augmentation_tokens_are_unchanged(tokenizer: MusicTokenizer) -> None:
    tokens = whole(tokenizer, make_score())
    assert np.array_equal(augmenter(tokenizer)(tokens, np.random.default_rng(0)), tokens)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(UserError, match=r"augment.tempo \(1.5\) must be at least 0 and below 1"):
        Augmenter([], AugmentConfig(tempo=1.5))
    with pytest.raises(UserError, match="add up to at most 1"):
        Augmenter([], AugmentConfig(programs=0.6, one_program=0.6))


def test_holes_are_cut_with_the_given_probability_and_hide_nothing_else() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig())
    tokens = whole(tokenizer, make_score())
    augment = Augmenter(tokenizer.vocabulary, AugmentConfig(transpose=0, tempo=0.0, infill=0.5))
    assert not augment.keeps_length
    with_hole = 0
    for seed in range(200):
        changed = augment(tokens, np.random.default_rng(seed))
        np.testing.assert_array_equal(changed, augment(tokens, np.random.default_rng(seed)))
        seconds = np.flatnonzero(changed == tokenizer.bos_id)
        assert changed[0] == tokenizer.bos_id
        assert changed[-1] == tokenizer.eos_id
        if len(seconds) == 1:
            np.testing.assert_array_equal(changed, tokens)
        else:
            with_hole += 1
            assert (changed[: seconds[1]] == tokenizer.pad_id).sum() >= 1
            assert (changed[seconds[1] :] == tokenizer.pad_id).sum() <= 1
            pitches = [int(i) for i in changed if tokenizer.tokens[i].startswith("Pitch")]
            assert sorted(pitches) == sorted(int(i) for i in tokens if tokenizer.tokens[i].startswith("Pitch"))
    assert 70 < with_hole < 130


def test_instruments_are_named_with_the_given_probability_and_notes_stay() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig())
    tokens = whole(tokenizer, make_score())
    before = Counter(notes(tokenizer, tokens))
    augment = Augmenter(tokenizer.vocabulary, AugmentConfig(transpose=0, tempo=0.0, infill=0.2, named=0.5))
    assert not augment.keeps_length
    kinds: Counter[str] = Counter()
    bars = Counter()
    for seed in range(300):
        changed = augment(tokens, np.random.default_rng(seed))
        np.testing.assert_array_equal(changed, augment(tokens, np.random.default_rng(seed)))
        if (changed == tokenizer.bos_id).sum() == 2:
            kinds["hole"] += 1
            continue
        assert not Counter(notes(tokenizer, changed)) - before
        names = np.flatnonzero(changed == tokenizer.pad_id)
        kinds["named" if len(names) else "other"] += 1
        bars.update(sum(tokenizer.tokens[i] == "Bar_None" for i in changed[:at]) for at in names)
    assert 35 < kinds["hole"] < 85
    assert 60 < kinds["named"] < 150
    assert bars[0] > 30
    assert len(bars) > 3


def test_the_other_draws_do_not_depend_on_holes_and_names() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig())
    tokens = whole(tokenizer, make_score())
    plain = Augmenter(tokenizer.vocabulary, AugmentConfig(programs=1.0))
    for change in ({"infill": 1.0}, {"named": 1.0}):
        other = Augmenter(tokenizer.vocabulary, AugmentConfig(programs=1.0, **change))
        changed_by_it = 0
        for seed in range(8):
            without, changed = (augment(tokens, np.random.default_rng(seed)) for augment in (plain, other))
            assert set(changed.tolist()) <= {*without.tolist(), tokenizer.pad_id}
            changed_by_it += tokenizer.pad_id in changed
        assert changed_by_it >= 3


@pytest.mark.parametrize("change", ["infill", "named"])
def test_holes_and_names_are_refused_without_bars(tokenizer: MusicTokenizer, change: str) -> None:
    if tokenizer.config.encoding not in ("REMI", "Parts"):
        with pytest.raises(UserError, match=change):
            Augmenter(tokenizer.vocabulary, AugmentConfig(**{change: 0.1}))


@pytest.mark.parametrize("seed", range(12))
def test_other_programs_leave_each_part_what_it_plays(seed: int) -> None:
    """In the Parts encoding, where a bar has its parts in the order of their programs."""
    tokenizer = MusicTokenizer(TokenizerConfig(encoding="Parts"))
    tokens = whole(tokenizer, random_score(seed, programs=(0, 0, 40, 73)))
    settings = {"programs": 0.5, "one_program": 0.5} if seed else {"one_program": 1.0}
    changed = augmenter(tokenizer, **settings)(tokens, np.random.default_rng(seed))
    assert not np.array_equal(changed, tokens)

    def played(ids: NDArray[np.uint16]) -> list[list[tuple[int, ...]]]:
        return sorted([(n.time, n.duration, n.pitch) for n in track.notes] for track in tokenizer.decode(ids).tracks)

    assert played(changed) == played(tokens)
    # As it would be encoded: the grammar takes it, and the order within bars is that of the new programs.
    assert np.array_equal(changed[1:-1], tokenizer.encode(tokenizer.decode(changed)))


def test_chords_are_transposed_and_left_out() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding="Parts", use_chords=True))
    plain = MusicTokenizer(TokenizerConfig(encoding="Parts"))
    score = random_score(2, programs=(0, 40))
    tokens = whole(tokenizer, score)
    bare = augmenter(tokenizer, without_chords=1.0)(tokens, np.random.default_rng(0))
    assert np.array_equal(bare, whole(plain, score))
    change = augmenter(tokenizer, transpose=6, without_chords=0.0)
    for seed in range(12):
        changed = change(tokens, np.random.default_rng(seed))
        shift = {(new[2] - old[2]) for old, new in zip(notes(tokenizer, tokens), notes(tokenizer, changed), strict=True)
                 if old[1] != DRUMS}  # fmt: skip
        (semitones,) = shift
        for kind in ("ChordRoot", "ChordBass"):
            before, after = (
                [tokenizer.vocabulary.values[i] for i in ids if tokenizer.vocabulary.kinds[i] == kind]
                for ids in (tokens, changed)
            )
            assert after == [(root + semitones) % 12 for root in before]
            assert before
