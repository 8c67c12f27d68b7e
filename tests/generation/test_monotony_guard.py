"""The monotony guard: parts leave bars that they have played too often; ostinatos are allowed."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.composing import run, stand_in
from helpers.stand_in_model import full_score
from music_reformer.config import SamplingConfig, TokenizerConfig
from music_reformer.generation.monotony_guard import FEWEST, HORIZON, MonotonyGuard
from music_reformer.generation.request import Request
from music_reformer.midi.tokenizer import MusicTokenizer

VOCABULARY = MusicTokenizer(TokenizerConfig(encoding="Parts")).vocabulary
METRE = (4, 4)
PROGRAMS = (73, 33)  # in the order of the stream


def tokens_of(bar: dict[int, tuple[int, ...]]) -> list[int]:
    """A bar in which some programs play pitches, one at each quarter."""
    tokens = []
    for program in PROGRAMS:
        for beat, pitch in enumerate(bar.get(program, ())):
            tokens += [("Position", 24 * beat)] if beat else [("Program", program)]
            tokens += [("Velocity", 63), ("Duration", 24)] if not beat else []
            tokens += [("Pitch", pitch)]
    return [VOCABULARY.ids[token] for token in tokens]


def stream(bars: list[dict[int, tuple[int, ...]]]) -> list[int]:
    """The bars, and the line of the next one."""
    line = VOCABULARY.ids["Bar", METRE]
    return [token for bar in bars for token in (*tokens_of(bar), line)]


def tune(random: np.random.Generator) -> dict[int, tuple[int, ...]]:
    """A tune of few different bars, so that they recur; sometimes a part is silent."""
    choice = {73: [(72, 74), (72, 76), (79,), ()], 33: [(40, 43), (40,)]}
    return {program: bars[random.integers(len(bars))] for program, bars in choice.items()}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("heard", [0, 6, 24])
def test_stale_bars_equal_those_counted_naively(seed: int, heard: int) -> None:
    """The oracle counts lists of bars anew before every token."""
    random = np.random.default_rng(seed)
    prompt, new = ([tune(random) for _ in range(count)] for count in (heard, 30))
    guard = MonotonyGuard(VOCABULARY, stream(prompt), metre=METRE)

    def most(program: int) -> int:
        bars = [bar[program] for bar in prompt]
        windows = [bars[max(0, end - HORIZON) : end] for end in range(1, len(bars) + 1)]
        counts = [window.count(window[-1]) for window in windows if window[-1]]
        again = max(counts, default=1) - 1
        return max(FEWEST, 1 + int(np.ceil(again * 15 / max(1, min(15, len(bars) - 1)))))

    found, expected = [], []
    played = list(prompt)
    for bar in new:
        program, now = 0, ()
        for token in tokens_of(bar):
            kind, value = VOCABULARY.kinds[token], VOCABULARY.values[token]
            if kind == "Pitch":
                last = [each[program] for each in played[-15:]]
                stale = {each for each in last if each and last.count(each) >= most(program)}
                expected.append({each[len(now)] for each in stale if len(each) > len(now) and each[: len(now)] == now})
                found.append({VOCABULARY.values[each] for each in guard.repeating()})
                now = (*now, value)
            program, now = (value, ()) if kind == "Program" else (program, now)
            guard.take(token)
        played.append(bar)
        guard.take(VOCABULARY.ids["Bar", METRE])
    assert found == expected
    assert any(expected) or heard > 0  # a prompt may be as monotonous


def test_an_ostinato_of_the_piece_may_continue() -> None:
    bar = {33: (40, 43)}
    guard = MonotonyGuard(VOCABULARY, stream([bar] * 8), metre=METRE)
    for token in stream([bar] * 30):
        assert guard.repeating() == []
        guard.take(token)


def test_drums_may_repeat_themselves() -> None:
    ids = VOCABULARY.ids
    beat = [ids["Program", -1], ids["Velocity", 63], ids["Duration", 3], ids["PitchDrum", 36], ids["Bar", METRE]]
    guard = MonotonyGuard(VOCABULARY, stream([{73: (72,)}]), metre=METRE)
    for token in beat * 20:
        assert guard.repeating() == []
        guard.take(token)


def test_a_copy_is_independent() -> None:
    guard = MonotonyGuard(VOCABULARY, stream([{73: (72, 74)}]), metre=METRE)
    other = guard.copy()
    for token in [*stream([{73: (72, 74)}] * 3), *tokens_of({73: (72,)})[:-1]]:
        other.take(token)
    assert other.repeating() == [VOCABULARY.ids["Pitch", 72]]
    for token in tokens_of({73: (72,)})[:-1]:
        guard.take(token)
    assert guard.repeating() == []


def test_the_guard_can_be_switched_off() -> None:
    for most_repeats, guarded in ((0, False), (2, True)):
        generator = stand_in("Parts")
        session = generator.start(
            full_score(), Request(length="2bars", sampling=SamplingConfig(most_repeats=most_repeats))
        )
        assert (session._variations[0].monotony_guard is not None) == guarded
        run(generator, session)
