"""Training on several corpora: their validation losses, and their shares of the training."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from helpers import training_runs as runs
from helpers.small_store import write_store
from music_reformer.config import TrainMixtureConfig
from music_reformer.evaluation.likelihood import piece_losses
from music_reformer.model.weights import load_weights
from music_reformer.training.metrics import MetricsFile
from music_reformer.training.run import train


def rows_by_corpus(run: Path) -> list[dict[str, str]]:
    with (run / "validation.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_loss_of_each_corpus_is_that_of_its_pieces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = write_store(tmp_path / "store", num_pieces=24, num_validation=8, corpora=("hymns", "rags", "rags"))
    config = runs.small_config(store.path, tmp_path / "run", max_steps=4, row_tokens=512, rows_per_batch=1)
    config.mixture = TrainMixtureConfig(power=0.0, weights={"rags": 3.0})
    config.trainer.validate_every = 2
    weights = train(config)
    rows = rows_by_corpus(tmp_path / "run")
    assert [(row["step"], row["corpus"]) for row in rows] == [
        (step, name) for step in "24" for name in ("hymns", "rags")
    ]
    assert "Shares of the training tokens: rags 75.0%, hymns 25.0%" in capsys.readouterr().err

    validation = MetricsFile(tmp_path / "run" / "metrics.csv").rows()
    by_step = {int(row["step"]): row["validation_loss"] for row in validation if row["validation_loss"]}  # type: ignore[arg-type]
    best = min(by_step, key=lambda step: by_step[step])  # type: ignore[arg-type, return-value]
    model = load_weights(weights).model.eval()
    losses = list(piece_losses(model, store, store.split("validation")[:]))
    per_token = {}
    for row in rows:
        if int(row["step"]) == best:
            of_corpus = [loss for loss in losses if loss.piece.corpus == row["corpus"]]
            nats, targets = (
                sum(f(loss) for loss in of_corpus) for f in (lambda x: x.nats.sum(), lambda x: len(x.nats))
            )
            per_token[row["corpus"]] = nats / targets
            assert int(row["targets"]) == targets
            assert float(row["nats_per_token"]) == pytest.approx(nats / targets, rel=2e-3)
            notes = sum(loss.piece.num_notes for loss in of_corpus)
            assert float(row["nats_per_note"]) == pytest.approx(nats / notes, rel=2e-3)
    assert by_step[best] == pytest.approx(0.25 * per_token["hymns"] + 0.75 * per_token["rags"], rel=2e-3)


@pytest.mark.slow
def test_a_resumed_run_writes_the_same_losses(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", num_pieces=16, num_validation=4, corpora=("hymns", "rags"))
    whole = runs.small_config(store.path, tmp_path / "whole", max_steps=8)
    assert runs.run_in_process(whole) == 0
    killed = runs.small_config(store.path, tmp_path / "killed", max_steps=8)
    assert runs.run_in_process(killed, runs.kill_after_row, 5) != 0
    assert runs.run_in_process(killed) == 0
    assert rows_by_corpus(tmp_path / "killed") == rows_by_corpus(tmp_path / "whole")
    assert len(rows_by_corpus(tmp_path / "whole")) == 4


def test_a_store_of_one_corpus_has_no_validation_csv(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", num_pieces=8)
    train(runs.small_config(store.path, tmp_path / "run", max_steps=4))
    assert not (tmp_path / "run" / "validation.csv").exists()
