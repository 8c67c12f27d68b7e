"""Composing in tests: generators with stand-in models, and results as plain values."""

from __future__ import annotations

import symusic
import torch

from helpers.stand_in_model import StandIn
from music_reformer.config import ModelConfig, TokenizerConfig
from music_reformer.generation.generator import Generator
from music_reformer.generation.session import Session
from music_reformer.generation.variation import NewNote
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.decoder import Decoder
from music_reformer.model.reformer import ReformerLM

ENCODINGS = ("REMI", "TSD", "MIDILike", "Performance", "Parts")


def stand_in(encoding: str = "REMI", **settings: float) -> Generator:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    return Generator(StandIn(tokenizer, **settings), tokenizer)


def small_reformer(encoding: str = "REMI", **settings: object) -> Generator:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding=encoding))
    shape = {"width": 32, "num_layers": 4, "num_heads": 2, "head_width": 16, "feed_forward_width": 64}
    config = ModelConfig(vocab_size=tokenizer.vocab_size, window=16, num_buckets=[8], **shape, **settings)
    model = ReformerLM(config)
    with torch.no_grad():
        model.token_embedding.weight.mul_(20)  # opinions, so that a wrong cache would be seen
    return Generator(Decoder(model, compile_step=True), tokenizer)  # as `Generator.load` does


def run(generator: Generator, session: Session) -> list[NewNote]:
    return [note for progress in generator.compose(session) for note in progress.notes]


def events_before(score: symusic.Score, cut: int) -> dict[str, list]:
    """Every event before the cut, and tempo, metre and key in force there, as plain values."""
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
    """(program, start, end, pitch, velocity) of the notes that begin at or after the cut."""
    return sorted(
        (-1 if track.is_drum else track.program, n.time, n.time + n.duration, n.pitch, n.velocity)
        for track in score.tracks
        for n in track.notes
        if n.time >= cut
    )
