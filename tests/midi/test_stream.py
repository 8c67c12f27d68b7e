"""Decoding token by token gives what decoding a whole stream gives."""

from __future__ import annotations

import pytest

from helpers.streams import ENCODINGS, SETTINGS, as_set, busy_score, notes_of, random_walk
from music_reformer.config import TokenizerConfig
from music_reformer.midi.parts_grammar import grammar_for
from music_reformer.midi.tokenizer import MusicTokenizer


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("config", SETTINGS)
def test_random_streams_decode_to_the_reported_notes(config: TokenizerConfig, seed: int) -> None:
    tokenizer = MusicTokenizer(config)
    state = grammar_for(tokenizer).start([tokenizer.bos_id])
    ids, notes = random_walk(state, 3000, seed)
    assert len(notes) > 20
    assert as_set(notes) == notes_of(tokenizer.decode([tokenizer.bos_id, *ids]))
    assert all(note.end_tick > note.start_tick for note in notes)


@pytest.mark.parametrize("encoding", ENCODINGS[:3])
def test_pedals_and_bends_decode_alike(encoding: str) -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding, use_sustain_pedals=True, use_pitch_bends=True))
    state = grammar_for(tokenizer).start()
    ids, _ = random_walk(state, 4000, 5)
    tracks = {(-1 if track.is_drum else track.program): track for track in tokenizer.decode(ids).tracks}
    bends = sorted((p, bend.time, bend.value) for p, track in tracks.items() for bend in track.pitch_bends)
    assert sorted((bend.program, bend.tick, bend.value) for bend in state.bends) == bends
    pedals = sorted((p, pedal.time, pedal.time + pedal.duration) for p, t in tracks.items() for pedal in t.pedals)
    assert sorted((press.program, press.start_tick, press.end_tick) for press in state.presses) == pedals
    assert len(bends) > 20
    assert len(pedals) > 20


def test_seconds_follow_the_tempo() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding="TSD"))
    score = busy_score()
    state = grammar_for(tokenizer).start(tokenizer.encode(score))
    decoded = tokenizer.decode(tokenizer.encode(score))
    tempos = [(tempo.time, tempo.qpm) for tempo in decoded.tempos]
    assert len(tempos) == 2
    (_, first), (change, second) = tempos
    beats = (change / decoded.ticks_per_quarter, (state.tick - change) / decoded.ticks_per_quarter)
    assert state.seconds == pytest.approx(beats[0] * 60 / first + beats[1] * 60 / second, rel=1e-4)


def test_bars_are_counted_alike_with_and_without_bar_tokens() -> None:
    bars = set()
    for encoding in ("REMI", "TSD", "MIDILike"):
        tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
        state = grammar_for(tokenizer).start()
        seen = {}
        for token in map(int, tokenizer.encode(busy_score())):
            state.advance(token)
            seen[state.tick] = state.bar
        bars.add(seen[max(tick for tick in seen if tick <= 60 * tokenizer.ticks_per_beat)])
    # 2 bars of 4/4, 2 of 6/8, then beat 60 is the 16th bar of 3/4 after beat 14
    assert bars == {2 + 2 + 16}
