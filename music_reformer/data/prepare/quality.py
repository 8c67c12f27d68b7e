"""Which scores are good enough to learn from."""

from __future__ import annotations

import numpy as np
import symusic

from music_reformer.config import QualityConfig
from music_reformer.midi.score import last_tick, seconds_at


def mean_bpm(score: symusic.Score) -> float:
    """Mean tempo of a piece in quarter notes per minute."""
    end = last_tick(score)
    return 60 * end / score.ticks_per_quarter / max(float(seconds_at(score, end)), 1e-9)


def fault_of(score: symusic.Score, config: QualityConfig) -> tuple[str, str] | None:
    """Why a clean score is rejected, as (kind, rest of a sentence about it); None if it is accepted.

    Args:
        score: result of `clean_score`.
        config: the bounds.
    """
    num_notes = score.note_num()
    if num_notes == 0:
        return "no notes", "has no notes"
    if not config.drums_only and all(track.is_drum for track in score.tracks):
        return "drums only", "has no instruments but drums"
    if num_notes < config.min_notes:
        return "few notes", f"has {num_notes} notes, fewer than {config.min_notes} (quality.min_notes)"
    pitches = np.unique(np.concatenate([track.notes.numpy()["pitch"] for track in score.tracks]))
    if len(pitches) < config.min_pitches:
        return "one pitch", f"has {len(pitches)} pitches, fewer than {config.min_pitches} (quality.min_pitches)"
    bpm = mean_bpm(score)
    if not config.min_bpm <= bpm <= config.max_bpm:
        return (
            "absurd tempo",
            f"has a mean of {bpm:.1f} bpm, not {config.min_bpm:g} to {config.max_bpm:g} (quality.min_bpm, max_bpm)",
        )
    return None
