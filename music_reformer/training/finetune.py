"""`music-reformer finetune`: trains existing weights further on a folder of MIDI files.

The output folder holds a run like any other (`run_folder.py`), `data` (a token store of the files), and `finetune.json`
with the held-out loss before and after.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from music_reformer.config import (
    AugmentConfig,
    CorpusConfig,
    FinetuneConfig,
    OptimizerConfig,
    PrepareConfig,
    TrainConfig,
    TrainerConfig,
    require,
    to_plain,
)
from music_reformer.data.prepare.command import prepare
from music_reformer.data.store import Piece, TokenStore
from music_reformer.evaluation.likelihood import mean_nats, piece_losses
from music_reformer.files import write_atomically
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import LoadedWeights, load_weights
from music_reformer.training.run import train


def finetune(config: FinetuneConfig) -> Path:
    """Prepare, score, train, score again; returns the folder of the new weights. Resumes an interrupted run.

    Raises:
        UserError: the files or the weights cannot be used, or another run is in the output folder.
    """
    files = Path(config.files)
    require(files.exists(), f"files ({files}) is not there; name a folder of MIDI files")
    require(files.is_dir(), f"files ({files}) is one file; name the folder that holds your MIDI files")
    if config.threads:
        torch.set_num_threads(config.threads)
    loaded = load_weights(config.checkpoint)
    store = _prepare(config, loaded)
    held_out = [p for p in store.split("validation") if p.length <= loaded.model.config.max_length]
    require(
        bool(held_out) and bool(store.split("train")),
        f"none of the {len(store.pieces)} files that can be used fell into "
        f"{'the held-out part' if store.split('train') else 'training'}; give more files, or another held_out "
        f"({config.held_out:g} now) and another output",
    )
    _say(f"Scoring {len(held_out)} held-out pieces with {config.checkpoint} ...")
    before = _loss(loaded.model, store, held_out)
    _say(f"Before: {before:.4f} nats per token.")
    output = Path(config.output)
    weights = train(_train_config(config, loaded, store))
    after = _loss(load_weights(weights).model, store, held_out)
    report = {
        "settings": to_plain(config),
        "initial": loaded.fingerprint,
        "held_out_pieces": [piece.source for piece in held_out],
        "train_pieces": len(store.split("train")),
        "nats_per_token_before": before,
        "nats_per_token_after": after,
    }
    write_atomically(output / "finetune.json", (json.dumps(report, indent=1) + "\n").encode())
    _say(f"Held-out pieces ({len(held_out)}): {before:.4f} nats per token before, {after:.4f} after.")
    if after >= before:
        _say("The loss has not fallen: keep the weights that you had, or give more files or fewer steps.")
    else:
        _say(f"To use the new weights: music-reformer generate checkpoint={weights} prompts=... output=...")
    return weights


def _prepare(config: FinetuneConfig, loaded: LoadedWeights) -> TokenStore:
    """The files as a token store, with the tokenizer of the weights."""
    return prepare(
        PrepareConfig(
            output=str(Path(config.output) / "data"),
            corpus=CorpusConfig(path=config.files, validation_fraction=config.held_out, test_fraction=0.0),
            tokenizer=MusicTokenizer.from_json(loaded.tokenizer_settings).config,
        )
    )


def _train_config(config: FinetuneConfig, loaded: LoadedWeights, store: TokenStore) -> TrainConfig:
    # Rows are limited by the model's positions and by the amount of music.
    longest = sum(piece.length for piece in store.split("train"))
    return TrainConfig(
        data=str(store.path),
        output=config.output,
        seed=config.seed,
        initial=config.checkpoint,
        trainable=config.trainable,
        last_layers=config.last_layers,
        lora_rank=config.lora_rank,
        model=loaded.model.config,
        optimizer=OptimizerConfig(
            # Muon makes all singular values of an update equal, which does not suit LoRA's thin matrices.
            kind="adamw" if config.trainable == "lora" else "muon",
            learning_rate=config.learning_rate or RATES[config.trainable],
            weight_decay=0.0,
            warmup_steps=max(1, min(20, config.steps // 10)),
            final_fraction=0.0,
        ),
        # Keeps learnt abilities (holes, names), while most pieces are read unchanged.
        augment=AugmentConfig(
            transpose=config.transpose,
            infill=HOLE_SHARE if loaded.can_infill else 0.0,
            named=NAMED_SHARE if loaded.knows_names else 0.0,
            position_offset=True,
        ),
        trainer=TrainerConfig(
            max_steps=config.steps,
            row_tokens=min(config.row_tokens, longest, loaded.model.config.max_length),
            rows_per_batch=1,
            accelerator="auto",
            validate_every=max(1, config.steps // 8),
            validation_rows=16,
            checkpoint_every=max(1, config.steps // 8),
            threads=config.threads,
        ),
    )


# Share of pieces with a hole, and share of the others with names: enough to keep the weights' abilities.
HOLE_SHARE, NAMED_SHARE = 0.3, 0.3
# Peak learning rates: a fraction of those for training from random weights; LoRA's matrices start at zero.
RATES = {"all": 2e-4, "last": 4e-4, "lora": 2e-3}


def _loss(model: ReformerLM, store: TokenStore, pieces: list[Piece]) -> float:
    """Mean negative log-likelihood of whole pieces, nats per token."""
    return mean_nats(piece_losses(model.eval(), store, pieces))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
