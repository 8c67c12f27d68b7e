"""The polyphony guard: an instrument begins a limited number of notes at once, or as many as in the prompt."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import symusic

from helpers.composing import run, stand_in
from music_reformer.config import ModelConfig, SamplingConfig, TokenizerConfig
from music_reformer.errors import UserError
from music_reformer.generation.generator import Generator
from music_reformer.generation.polyphony_guard import PolyphonyGuard
from music_reformer.generation.request import Request
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.decoder import Decoder
from music_reformer.model.reformer import ReformerLM


@pytest.fixture(scope="module")
def tokenizer() -> MusicTokenizer:
    return MusicTokenizer(TokenizerConfig())


def chord(*, notes: int, program: int = 0) -> symusic.Score:
    """One bar with a chord on its first beat."""
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, qpm=120))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    track = symusic.Track("chord", program, False)
    track.notes.extend([symusic.Note(0, 480, 40 + pitch, 80) for pitch in range(notes)])
    score.tracks = [track]
    return score


def guard_after(tokenizer: MusicTokenizer, score: symusic.Score, *, prompt: int = 0) -> PolyphonyGuard:
    ids = [int(token) for token in tokenizer.encode(score)]
    guard = PolyphonyGuard(tokenizer.vocabulary, ids if prompt else [], most=3)
    if not prompt:
        for token in ids:
            guard.take(token)
    return guard


def test_an_instrument_at_its_limit_cannot_be_named_again_at_the_position(tokenizer: MusicTokenizer) -> None:
    ids = tokenizer.vocabulary.ids
    assert guard_after(tokenizer, chord(notes=2)).excessive() == []
    full = guard_after(tokenizer, chord(notes=3))
    assert full.excessive() == [ids["Program", 0]]
    other = full.copy()
    other.take(ids["Position", 4])
    assert other.excessive() == []
    assert full.excessive() == [ids["Program", 0]]


def test_larger_chords_of_the_prompt_are_allowed(tokenizer: MusicTokenizer) -> None:
    ids = tokenizer.vocabulary.ids
    guard = guard_after(tokenizer, chord(notes=5, program=48), prompt=1)
    for program, most in ((48, 5), (0, 3)):
        guard.take(ids["Bar", None])
        for _ in range(most):
            assert guard.excessive() == []
            guard.take(ids["Program", program])
            guard.take(ids["Pitch", 60])
        assert guard.excessive() == [ids["Program", program]]


@pytest.mark.parametrize("encoding", ["REMI", "TSD", "MIDILike", "Performance"])
@pytest.mark.parametrize("use_programs", [True, False])
def test_composed_chords_do_not_exceed_the_limit(encoding: str, use_programs: bool) -> None:
    """With a model that would stack any number of notes."""
    if encoding == "Performance" and use_programs:
        pytest.skip("Performance has no programs")
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding, use_programs=use_programs))
    shape = {"width": 16, "num_layers": 2, "num_heads": 2, "head_width": 8, "feed_forward_width": 32}
    config = ModelConfig(vocab_size=tokenizer.vocab_size, window=8, num_buckets=[4], axial_shape=[64, 64], **shape)
    generator = Generator(Decoder(ReformerLM(config)), tokenizer)
    vocabulary = tokenizer.vocabulary
    logits_V = np.zeros(tokenizer.vocab_size, np.float32)
    for kind in ("Bar", "Position", "TimeShift", "Rest"):
        logits_V[vocabulary.ids_of.get(kind, [])] = -6.0

    def largest(most: int) -> int:
        sampling = SamplingConfig(most_at_once=most, top_p=1.0, most_repeats=0)
        session = generator.start(chord(notes=1), Request(length="400bars", seed=1, sampling=sampling, programs=[0]))
        for _ in range(2000):  # Where notes are pairs, time must pass for them to end.
            session.take_turn(logits_V[None], [10])
        begun = Counter(note.time for track in session.scores[0].tracks for note in track.notes if note.time > 0)
        return max(begun.values())

    assert largest(0) > 4
    assert largest(2) == 2


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(UserError, match=r"sampling.most_at_once \(-1\) must be 0 to"):
        SamplingConfig(most_at_once=-1)


def test_monophonic_parts_stay_so_and_chordal_ones_may_play_chords() -> None:
    generator = stand_in("Parts")
    score = symusic.Score(480)
    for program, chord in ((73, (72,)), (0, (48, 52, 55)), (40, (60,))):
        track = symusic.Track("", program, False)
        for beat in range(4 if program == 40 else 16):
            track.notes.extend([symusic.Note(480 * beat, 480, pitch, 80) for pitch in chord])
        score.tracks.append(track)
    session = generator.start(score, Request(length="16bars", seed=1))
    together = Counter((note.program, note.start_s) for note in run(generator, session))
    most = {
        program: max(count for (other, _), count in together.items() if other == program) for program in (73, 0, 40)
    }
    assert most[73] == 1
    assert most[0] == 3
    assert most[40] > 1  # four notes do not tell
