"""Callbacks after each optimizer step, with a fake trainer that only counts: stop, validate, log, save."""

from __future__ import annotations

import csv
import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from helpers import training_runs as runs
from helpers.small_store import write_store
from music_reformer.config import TokenizerConfig, TrainConfig
from music_reformer.errors import Stopped, UserError
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import load_weights
from music_reformer.training.after_step import AfterStep
from music_reformer.training.average import WeightAverage
from music_reformer.training.callbacks import CorpusLoss, Journal, Saver, Stopper, Validator
from music_reformer.training.metrics import BY_CORPUS, MetricsFile
from music_reformer.training.module import LanguageModule
from music_reformer.training.progress_line import ProgressLine


class Said(ProgressLine):
    """Records messages."""

    def __init__(self) -> None:
        super().__init__(max_steps=12, shown=False)
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class CountingTrainer(SimpleNamespace):
    """The part of Lightning's trainer that callbacks use; its checkpoints hold only the step."""

    def __init__(self) -> None:
        super().__init__(
            global_step=0, max_steps=12, should_stop=False, is_global_zero=True, logger=None, accumulate_grad_batches=2
        )

    def save_checkpoint(self, path: Path) -> None:
        torch.save({"global_step": self.global_step}, path)


@pytest.fixture
def trainer() -> Any:
    return CountingTrainer()


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    store = write_store(tmp_path_factory.mktemp("callbacks") / "store", num_pieces=6)
    config = runs.small_config(store.path, Path("run"), patience=2)
    config.model.vocab_size = store.tokenizer.vocab_size
    return config


@pytest.fixture
def module(config: TrainConfig) -> LanguageModule:
    settings = MusicTokenizer(TokenizerConfig()).to_json()
    return LanguageModule(model=ReformerLM(config.model), config=config, tokenizer_settings=settings)


def step_of(module: LanguageModule, total: float = 30.0, *, stop: bool = False) -> None:
    module.last_step = SimpleNamespace(  # type: ignore[assignment]
        total=total, num_targets=10, gradient_norm=1.5, stop=stop
    )


def test_with_accumulation_a_step_ends_with_its_last_batch(trainer: Any, module: LanguageModule) -> None:
    steps = []

    class Note(AfterStep):
        def after_step(self, trainer: Any, module: LanguageModule, step: int) -> None:
            steps.append(step)

    for number in range(4):
        trainer.global_step = (number + 1) // 2
        Note().on_train_batch_end(trainer, module, None, {"number": torch.tensor(number)}, number)
    assert steps == [1, 2]


@pytest.fixture
def stopper(trainer: Any, module: LanguageModule, said: Said) -> Iterator[Stopper]:
    stopper = Stopper(max_hours=None, progress=said)
    stopper.on_train_start(trainer, module)
    yield stopper
    stopper.teardown(trainer, module, "fit")


def test_a_signal_stops_the_run_after_its_step_and_a_second_one_at_once(
    stopper: Stopper, trainer: Any, module: LanguageModule, said: Said
) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert stopper.signal is signal.SIGTERM
    assert not trainer.should_stop
    stopper.on_before_optimizer_step(trainer, module, None)  # type: ignore[arg-type]
    assert module.wants_to_stop
    step_of(module, stop=module.wants_to_stop)
    stopper.after_step(trainer, module, 5)
    assert trainer.should_stop
    assert said.lines == ["Stopping after step 5 (SIGTERM)."]
    with pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGINT)


def test_signal_handlers_are_restored(trainer: Any, module: LanguageModule, said: Said) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stopper = Stopper(max_hours=None, progress=said)
    stopper.on_train_start(trainer, module)
    assert signal.getsignal(signal.SIGTERM) != before
    stopper.teardown(trainer, module, "fit")
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_clock_stops_a_run_too(trainer: Any, module: LanguageModule, said: Said) -> None:
    for hours, stops in ((1.0, False), (0.0, True)):
        stopper = Stopper(max_hours=hours, progress=said)
        stopper.on_before_optimizer_step(trainer, module, None)  # type: ignore[arg-type]
        assert module.wants_to_stop == stops
        assert stopper.received == ("trainer.max_hours" if stops else None)


def test_the_loss_of_a_corpus_is_told_by_token_and_by_note() -> None:
    assert (CorpusLoss("hymns", 60.0, 30, 10).per_token, CorpusLoss("hymns", 60.0, 30, 10).per_note) == (2, 6)
    assert CorpusLoss("integers", 60.0, 30, 0).per_note is None


class Losses(SimpleNamespace):
    """A validator with a given loss."""

    def __init__(self, loss: float | None = None, by_corpus: tuple[CorpusLoss, ...] = ()) -> None:
        super().__init__(loss=loss, by_corpus=list(by_corpus), batches=object())


def journal_of(folder: Path, validator: Any, said: Said, every: int = 4) -> Journal:
    return Journal(
        file=MetricsFile(folder / "metrics.csv"),
        by_corpus=MetricsFile(folder / "validation.csv", columns=BY_CORPUS),
        every=every,
        validator=validator,
        progress=said,
    )


def test_a_row_has_the_mean_loss_since_the_row_before(
    tmp_path: Path, trainer: Any, module: LanguageModule, said: Said
) -> None:
    journal = journal_of(tmp_path, Losses(), said)
    journal.on_train_start(trainer, module)
    for step, total in enumerate((10.0, 20.0, 30.0, 40.0, 5.0), start=1):
        step_of(module, total)
        journal.after_step(trainer, module, step)
    journal.validator.loss = 0.25  # a validation has a row, too
    step_of(module, 15.0)
    journal.after_step(trainer, module, 6)
    rows = journal.file.rows()
    assert [(row["step"], row["train_loss"], row["validation_loss"]) for row in rows] == [
        (4, 2.5, None),
        (6, 1.0, 0.25),
    ]
    assert [row["targets"] for row in rows] == [40, 60]


def test_a_resumed_journal_continues_its_sums(tmp_path: Path, trainer: Any, module: LanguageModule, said: Said) -> None:
    first = journal_of(tmp_path, Losses(), said)
    first.on_train_start(trainer, module)
    step_of(module, 10.0)
    first.after_step(trainer, module, 1)
    again = journal_of(tmp_path, Losses(), said, every=2)
    again.load_state_dict(first.state_dict())
    step_of(module, 20.0)
    again.after_step(trainer, module, 2)
    (row,) = again.file.rows()
    assert (row["train_loss"], row["targets"]) == (1.5, 20)


def test_each_corpus_has_a_row_of_its_validation(
    tmp_path: Path, trainer: Any, module: LanguageModule, said: Said
) -> None:
    losses = (CorpusLoss("hymns", 60.0, 30, 10), CorpusLoss("rags", 90.0, 30, 20))
    journal = journal_of(tmp_path, Losses(2.5, losses), said)
    step_of(module)
    journal.after_step(trainer, module, 1)
    with (tmp_path / "validation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["corpus"], float(row["nats_per_token"]), float(row["nats_per_note"])) for row in rows] == [
        ("hymns", 2, 6), ("rags", 3, 4.5),
    ]  # fmt: skip
    assert said.lines[-1] == "  hymns 2.000  rags 3.000"


def test_a_loss_that_is_not_finite_ends_the_run_in_a_sentence(
    tmp_path: Path, trainer: Any, module: LanguageModule, said: Said
) -> None:
    step_of(module, math.nan)
    with pytest.raises(UserError, match=r"^the loss is not a finite number at step 3; lower optimizer.learning_rate"):
        journal_of(tmp_path, Losses(), said).after_step(trainer, module, 3)


def saver_of(folder: Path, validator: Any, said: Said, average: WeightAverage | None = None) -> Saver:
    (folder / "checkpoints").mkdir(exist_ok=True)
    return Saver(
        folder=folder,
        every=3,
        validator=validator,
        average=average or WeightAverage(0.0),
        info={"data": "here"},
        progress=said,
    )


def saved_step(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["global_step"])


def test_checkpoints_are_saved_when_due_at_the_best_and_at_the_end(
    tmp_path: Path, trainer: Any, module: LanguageModule, said: Said
) -> None:
    saver = saver_of(tmp_path, Losses(), said)
    last, best = tmp_path / "checkpoints" / "last.ckpt", tmp_path / "checkpoints" / "best.ckpt"
    found = []
    for step in range(1, 13):
        trainer.global_step = step
        saver.validator.loss = {4: 2.0, 8: 3.0}.get(step)
        saver.after_step(trainer, module, step)
        found.append(saved_step(last) if last.exists() else 0)
    assert found == [0, 0, 3, 4, 4, 6, 6, 6, 9, 9, 9, 12]
    assert saved_step(best) == 4
    assert said.lines == [f"Step 12 is saved in {last}."]
    assert load_weights(tmp_path / "weights").info["step"] == 4


def test_too_many_validations_without_improvement_end_the_run(
    tmp_path: Path, trainer: Any, module: LanguageModule, said: Said
) -> None:
    saver = saver_of(tmp_path, Losses(), said)
    for step, loss in enumerate((2.0, 2.5, 1.9, 2.1, 2.2), start=1):
        assert not trainer.should_stop
        trainer.global_step, saver.validator.loss = step, loss
        saver.after_step(trainer, module, step)
    assert trainer.should_stop
    assert said.lines[0] == "Stopping after step 5: the last 2 validations found nothing better than 1.9000."
    again = saver_of(tmp_path, Losses(), said)
    again.load_state_dict(saver.state_dict())
    assert (again.best_loss, again.num_worse) == (1.9, 2)


def test_the_average_is_exported_and_the_run_goes_on_with_its_own_weights(
    tmp_path: Path, trainer: Any, module: LanguageModule, said: Said
) -> None:
    average = WeightAverage(0.5)
    average.on_train_start(trainer, module)
    weight = module.model.token_embedding.weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight.add_(1.0)
    saver_of(tmp_path, Losses(2.0), said, average).after_step(trainer, module, 1)
    exported = load_weights(tmp_path / "weights").model.state_dict()["token_embedding.weight"]
    torch.testing.assert_close(exported, before)
    torch.testing.assert_close(weight.detach(), before + 1)


def test_without_a_validation_split_the_last_weights_are_exported(
    tmp_path: Path, trainer: Any, module: LanguageModule, said: Said
) -> None:
    validator = Losses()
    validator.batches = None
    trainer.global_step = 3
    saver_of(tmp_path, validator, said).after_step(trainer, module, 3)
    assert load_weights(tmp_path / "weights").info["step"] == 3


def test_steps_between_validations_have_no_loss(trainer: Any, module: LanguageModule, said: Said) -> None:
    validator = Validator(every=4, average=WeightAverage(0.0), progress=said)
    validator.loss = 1.0
    validator.batches = object()  # type: ignore[assignment]
    validator.after_step(trainer, module, 3)
    assert (validator.loss, validator.by_corpus) == (None, [])
