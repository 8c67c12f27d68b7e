"""Weights on disk: one folder with `model.safetensors`, `config.json` and `tokenizer.json`.

Strict on the way in: every tensor must be there, and none more. The only importer of safetensors.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from music_reformer.config import ModelConfig
from music_reformer.errors import UserError
from music_reformer.model.low_rank import merged
from music_reformer.model.reformer import ReformerLM

PRETRAINED = "pretrained"
FORMAT = 1


@dataclass
class LoadedWeights:
    """A model as it was saved.

    Attributes:
        model: in `eval()`.
        tokenizer_settings: what `MusicTokenizer.from_json` takes.
        info: anything that was saved along (data, steps, losses).
        fingerprint: hex sha256 of the tensors' file.
    """

    model: ReformerLM
    tokenizer_settings: dict[str, Any]
    info: dict[str, Any]
    fingerprint: str

    @property
    def infill(self) -> float:
        """Part of the training pieces that had a hole to fill (`augment.infill`); 0: it has not learnt that."""
        return self._part_of_training("infill")

    @property
    def named(self) -> float:
        """Part of the other training pieces in which instruments were named (`augment.named`); 0: not learnt."""
        return self._part_of_training("named")

    def _part_of_training(self, change: str) -> float:
        train = self.info.get("train") or {}
        return float(self.info.get(change, (train.get("augment") or {}).get(change, 0.0)))


def save_weights(
    folder: str | Path,
    model: ReformerLM,
    tokenizer_json: dict[str, Any],
    extra: dict[str, Any],
    *,
    tensors: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write a model so that `load_weights` reads it; each file is written under another name first, then renamed.

    Low-rank changes are added to the matrices that they belong to. `tensors` are the model's, by name, where it has not
    got them all itself.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = merged(model.state_dict() if tensors is None else tensors)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    temporary = folder / "model.safetensors.tmp"
    save_file(tensors, temporary)
    temporary.chmod(0o644)  # safetensors makes it readable for its owner only
    temporary.replace(folder / "model.safetensors")
    _write_json(folder / "tokenizer.json", tokenizer_json)
    _write_json(folder / "config.json", {"format": FORMAT, "model": asdict(model.config), "info": extra})


def load_weights(path: str | Path) -> LoadedWeights:
    """Read a folder of weights, a training checkpoint (.ckpt), or "pretrained" (the weights of the package).

    Raises:
        UserError: nothing is there, or it is not a model of ours.
    """
    if str(path) == PRETRAINED:
        path = Path(__file__).parent.parent / "pretrained"
    path = Path(path)
    if not path.exists():
        raise UserError(f"no checkpoint at {path}; name a folder of weights, a .ckpt file, or 'pretrained'")
    return _load_folder(path) if path.is_dir() else _load_checkpoint(path)


def _load_folder(folder: Path) -> LoadedWeights:
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no weights of Music Reformer: {name} is missing")
    try:
        config = json.loads((folder / "config.json").read_text())
        tokenizer_settings = json.loads((folder / "tokenizer.json").read_text())
        tensors = load_file(folder / "model.safetensors")
        settings = config["model"]
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"the weights in {folder} cannot be read ({error}); they are damaged or of another program"
        ) from error
    model = _build(settings, tensors, folder)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return LoadedWeights(model, tokenizer_settings, config.get("info", {}), digest)


def _load_checkpoint(path: Path) -> LoadedWeights:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        hyper = checkpoint["hyper_parameters"]
        settings, tokenizer_settings = hyper["model"], hyper["tokenizer"]
        state = checkpoint["state_dict"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a checkpoint of Music Reformer, or it is damaged") from error
    prefix = "model."
    tensors = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    model = _build(settings, merged(tensors), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    info = {"step": checkpoint.get("global_step"), "train": hyper.get("train", {})}
    return LoadedWeights(model, tokenizer_settings, info, digest)


def _build(settings: dict[str, Any], tensors: dict[str, torch.Tensor], path: Path) -> ReformerLM:
    known = {field.name for field in fields(ModelConfig)}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise UserError(f"the model in {path} has settings that this version does not know: {', '.join(unknown)}")
    model = ReformerLM(ModelConfig(**settings))
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise UserError(f"the tensors in {path} are not those of the model that its settings describe") from error
    return model.eval()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(path)
