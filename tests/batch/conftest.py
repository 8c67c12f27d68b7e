from __future__ import annotations

from pathlib import Path

import pytest

from helpers.stand_in_model import full_score
from music_reformer.config import ModelConfig, TokenizerConfig
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import save_weights


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = MusicTokenizer(TokenizerConfig())
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        width=16,
        num_layers=2,
        num_heads=1,
        head_width=16,
        feed_forward_width=16,
        window=8,
        num_buckets=4,
    )
    folder = tmp_path_factory.mktemp("weights")
    save_weights(folder, ReformerLM(config), tokenizer.to_json(), {})
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    folder = tmp_path / "prompts"
    (folder / "deep").mkdir(parents=True)
    full_score(bars=2).dump_midi(folder / "b.mid")
    full_score(bars=3).dump_midi(folder / "a.MID")
    full_score(bars=3, metre=(4, 4)).dump_midi(folder / "deep" / "a.midi")
    (folder / "notes.txt").write_text("no music")
    return folder
