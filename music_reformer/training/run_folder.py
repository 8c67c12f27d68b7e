"""The output folder of a run: its settings, loss curves, checkpoints and weights.

run.json                 the settings, and facts about the token store
metrics.csv  loss.png    the loss curves
checkpoints/             last.ckpt (to resume from), previous.ckpt (the one before), best.ckpt (lowest validation loss)
                         and sums.json, for detecting damaged checkpoints (`checkpoints.py`)
weights/                 the best weights so far, for generation
tensorboard/             the loss curves for TensorBoard
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from music_reformer.config import TrainConfig, to_plain
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.files import read_json, take_lock, write_json
from music_reformer.training.checkpoints import Checkpoints

# Settings that a resumed run may change, because they do not affect the curve of the training loss.
FREE_KEYS = frozenset(
    f"trainer.{name}"
    for name in (
        "max_hours",
        "threads",
        "loader_workers",
        "log_every",
        "checkpoint_every",
        "validate_every",
        "validation_rows",
        "patience",
    )
) | {"data", "output", "initial"}


class RunFolder:
    """One run on disk.

    Args:
        path: the folder; need not exist.
        config: settings of the run to start or to resume.
        store: its data.
    """

    def __init__(self, path: Path, *, config: TrainConfig, store: TokenStore) -> None:
        self.path = path
        pieces = store.split("train")
        data = {
            "tokenizer": store.tokenizer.fingerprint,
            "train_pieces": len(pieces),
            "train_tokens": sum(piece.length for piece in pieces),
        }
        self.settings = _as_json(to_plain(config) | {"store": data})

    @property
    def weights(self) -> Path:
        """Folder of the exported weights."""
        return self.path / "weights"

    def find(self, say: Callable[[str], None]) -> tuple[Path | None, int]:
        """The checkpoint to resume from and its step; (None, 0) if there is none.

        Args:
            say: called with a sentence about damaged checkpoints.

        Raises:
            UserError: the folder holds a run with other settings, or its checkpoints are damaged.
        """
        settings, checkpoints = self.path / "run.json", Checkpoints(self.path / "checkpoints")
        if not (settings.exists() and (checkpoints.last.exists() or checkpoints.previous.exists())):
            return None, 0
        # Settings newer than the run had their defaults then.
        before = _filled(read_json(settings), _as_json(to_plain(TrainConfig())))
        before.get("trainer", {}).pop("find_learning_rate", None)  # a verb of its own now
        # Before it cools down, a run with a constant rate does not depend on its end.
        cools_down = None not in (each["optimizer"]["cooldown_steps"] for each in (before, self.settings))
        free = FREE_KEYS | ({"trainer.max_steps", "optimizer.cooldown_steps"} if cools_down else set())
        changed = [
            f"{key} ({old} before, {new} now)"
            for key, old, new in _differences(before, self.settings)
            if key not in free
        ]
        if changed:
            advice = (
                f"to train its weights further, begin a new run with initial={self.weights} output=NEW"
                if any(change.startswith("trainer.max_steps ") for change in changed)
                else "give another output=..., or the same settings to resume it"
            )
            raise UserError(f"{self.path} holds a run with other settings: {', '.join(changed)}; {advice}")
        return checkpoints.find(say) or (None, 0)

    def claim(self) -> IO[str]:
        """Make the folder, and lock it against other training runs while the returned file is open.

        Raises:
            UserError: another run has locked it.
        """
        (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        lock = (self.path / "lock").open("w")
        take_lock(lock, f"another training is writing to {self.path}; wait for it, or give another output=...")
        return lock

    def write_settings(self) -> None:
        """Write the settings of the run to `run.json`."""
        write_json(self.path / "run.json", self.settings)


def _as_json(content: dict[str, Any]) -> dict[str, Any]:
    """The content as it would be read back from JSON: keys are strings, tuples are lists."""
    return dict(json.loads(json.dumps(content)))


def _filled(settings: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """`settings`, completed from `defaults`."""
    filled = dict(settings)
    for key, value in defaults.items():
        if key not in filled:
            filled[key] = value
        elif isinstance(value, dict):
            filled[key] = _filled(filled[key], value)
    return filled


def _differences(before: Any, now: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted key, value before, value now) of all leaves that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for name in [*before, *(name for name in now if name not in before)]:
            found += _differences(before.get(name), now.get(name), f"{key}.{name}".lstrip("."))
        return found
    return [] if before == now else [(key, before, now)]
