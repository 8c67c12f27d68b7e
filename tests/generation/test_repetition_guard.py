"""The repetition guard: loops are left; other music, and loops of the prompt, are not affected."""

from __future__ import annotations

import pytest

from music_reformer.config import SamplingConfig, TokenizerConfig
from music_reformer.errors import UserError
from music_reformer.generation.repetition_guard import RepetitionGuard
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return MusicTokenizer(TokenizerConfig()).vocabulary


def bar(vocabulary: Vocabulary, *pitches: int, velocity: int = 0) -> list[int]:
    """A bar of REMI tokens with one note per position."""
    (start,) = vocabulary.ids_of["Bar"]
    tokens = [start, vocabulary.ids_of["TimeSig"][0]]
    for place, pitch in enumerate(pitches):
        tokens += [vocabulary.ids_of["Position"][place], vocabulary.ids_of["Program"][0]]
        tokens += [pitch_id(vocabulary, pitch)]
        tokens += [vocabulary.ids_of["Velocity"][velocity], vocabulary.ids_of["Duration"][0]]
    return tokens


def pitch_id(vocabulary: Vocabulary, pitch: int) -> int:
    return next(i for i in vocabulary.ids_of["Pitch"] if int(vocabulary.values[i] or 0) == pitch)


def played(guard: RepetitionGuard, tokens: list[int]) -> list[list[int]]:
    """The tokens that were discouraged before each token."""
    found = []
    for token in tokens:
        found.append(guard.repeating())
        guard.take(token)
    return found


def test_notes_beyond_the_most_repeats_are_discouraged_until_the_music_differs(vocabulary: Vocabulary) -> None:
    guard = RepetitionGuard(vocabulary, [], most=3)
    same = bar(vocabulary, 60, 64, 67)
    for velocity in range(3):
        assert not any(played(guard, bar(vocabulary, 60, 64, 67, velocity=velocity)))
    fourth = played(guard, same)
    assert [tokens for tokens in fourth if tokens] == [[pitch_id(vocabulary, pitch)] for pitch in (60, 64, 67)]
    # The loop goes on regardless; another bar that leaves it is free from there on.
    other = played(guard, bar(vocabulary, 60, 65, 67))
    assert [tokens for tokens in other if tokens] == [[pitch_id(vocabulary, 60)], [pitch_id(vocabulary, 64)]]
    assert not any(played(guard, same))


def test_loops_of_two_and_of_four_bars_are_found(vocabulary: Vocabulary) -> None:
    for loop in ([48, 50], [48, 50, 52, 53]):
        guard = RepetitionGuard(vocabulary, [], most=2)
        heard = [any(played(guard, bar(vocabulary, pitch))) for _ in range(4) for pitch in loop]
        assert not any(heard[: 2 * len(loop)])
        assert any(heard[2 * len(loop) : 3 * len(loop)])


def test_silence_is_a_loop_too(vocabulary: Vocabulary) -> None:
    guard = RepetitionGuard(vocabulary, bar(vocabulary, 60), most=2)
    for _ in range(3):
        played(guard, bar(vocabulary))
    assert guard.repeating() == vocabulary.ids_of["Bar"]


def test_changing_music_is_left_alone(vocabulary: Vocabulary) -> None:
    guard = RepetitionGuard(vocabulary, [], most=2)
    assert not any(token for pitch in range(40, 80) for token in played(guard, bar(vocabulary, pitch, pitch + 1)))


def test_a_loop_as_long_as_that_of_the_prompt_is_allowed(vocabulary: Vocabulary) -> None:
    prompt = [token for pitch in [60] * 6 + [62, 64] for token in bar(vocabulary, pitch)]
    guard = RepetitionGuard(vocabulary, prompt, most=2)
    heard = [any(played(guard, bar(vocabulary, 65))) for _ in range(8)]
    assert heard == [False] * 6 + [True] * 2


def test_a_copy_is_independent(vocabulary: Vocabulary) -> None:
    guard = RepetitionGuard(vocabulary, bar(vocabulary, 60) * 3, most=2)
    other = guard.copy()
    played(guard, bar(vocabulary, 60))
    played(other, bar(vocabulary, 61))
    assert any(played(guard, bar(vocabulary, 60)))
    assert not any(played(other, bar(vocabulary, 61)))


def test_a_negative_number_of_repeats_is_refused() -> None:
    with pytest.raises(UserError, match=r"sampling.most_repeats \(-1\) must be 0 to"):
        SamplingConfig(most_repeats=-1)
