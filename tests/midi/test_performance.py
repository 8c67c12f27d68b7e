"""The Performance encoding: 388 events, time to 10 ms, and notes that the pedal holds."""

from __future__ import annotations

import numpy as np
import symusic

from helpers.scores import random_score
from music_reformer.config import TokenizerConfig
from music_reformer.midi.score import seconds_at
from music_reformer.midi.tokenizer import MusicTokenizer

# The grid of the default settings: 8 positions a beat, so an onset moves by half of that at the most.


def test_performance_has_the_388_events_and_keeps_time_to_10_ms() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding="Performance"))
    assert tokenizer.vocab_size == 388 + 3
    score = random_score(4, num_notes=150, programs=(0,), drums=False)
    again = tokenizer.decode(tokenizer.encode(score))
    notes = score.tracks[0].notes.numpy()
    expected = sorted(zip(seconds_at(score, notes["time"]), notes["pitch"], strict=True))
    found = again.tracks[0].notes.numpy()
    actual = sorted(zip(seconds_at(again, found["time"]), found["pitch"], strict=True))
    assert len(actual) == len(expected)
    for pitch in set(notes["pitch"].tolist()):
        before = np.array([time for time, p in expected if p == pitch])
        after = np.array([time for time, p in actual if p == pitch])
        np.testing.assert_allclose(after, before, atol=0.0051)


def test_performance_holds_notes_while_the_pedal_is_down() -> None:
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, qpm=120))
    track = symusic.Track("piano", 0, False)
    track.notes.append(symusic.Note(0, 240, 60, 80))
    track.pedals.append(symusic.Pedal(100, 860))
    score.tracks.append(track)
    tokenizer = MusicTokenizer(TokenizerConfig(encoding="Performance"))
    (note,) = tokenizer.decode(tokenizer.encode(score)).tracks[0].notes
    assert note.duration == 100  # until tick 960: one second, in units of 10 ms
