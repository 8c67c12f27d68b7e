"""Weights on disk: one folder with `model.safetensors`, `config.json` and `tokenizer.json`.

Loading is strict: no tensor may be missing or superfluous. A folder or checkpoint may be untrusted: its settings are
checked, and compared with the shapes in its header, before any tensor is allocated. Only this module imports
safetensors.
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode

from music_reformer.config import ModelConfig, require
from music_reformer.errors import UserError
from music_reformer.files import naming, read_json, replacing, write_json
from music_reformer.model.low_rank import merged
from music_reformer.model.reformer import ReformerLM

PRETRAINED = "pretrained"
TENSORS = "model.safetensors"
FORMAT = 1

Anything = TypeVar("Anything")

# Special tokens that precede the values in the vocabulary of a corpus of integers.
NUM_SPECIAL = 3
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RuntimeError, IndexError, EOFError, RecursionError)


@dataclass
class LoadedWeights:
    """A loaded model and what was saved with it.

    Attributes:
        model: in `eval()`.
        tokenizer_settings: settings for `MusicTokenizer.from_json`.
        info: further saved information (data, steps, losses).
        fingerprint: hex sha256 of the tensors' file.
        can_infill: whether the model has learnt to compose bars with both sides in view (`augment.infill`).
        knows_names: whether it has learnt what instruments named in front of a bar mean (`augment.named`).
    """

    model: ReformerLM
    tokenizer_settings: dict[str, Any]
    info: dict[str, Any]
    fingerprint: str
    can_infill: bool = False
    knows_names: bool = False


def save_weights(
    folder: str | Path,
    model: ReformerLM,
    tokenizer_json: dict[str, Any],
    extra: dict[str, Any],
    *,
    can_infill: bool = False,
    knows_names: bool = False,
    tensors: dict[str, torch.Tensor] | None = None,
) -> None:
    """Write a model for `load_weights`; each file is written completely or not at all.

    Args:
        folder: made if absent.
        model: the model; low-rank updates are added to their matrices.
        tokenizer_json: settings of its tokenizer.
        extra: further information, returned as `LoadedWeights.info`; JSON values.
        can_infill, knows_names: as in `LoadedWeights`.
        tensors: the model's tensors by name, if `model` itself does not hold all of them (sharded training).

    Raises:
        UserError: a file cannot be written.
    """
    folder = Path(folder)
    tensors = merged(model.state_dict() if tensors is None else tensors)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path = folder / TENSORS
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary)
        except SafetensorError as error:
            raise UserError(f"{path} cannot be written ({str(error).splitlines()[0]})") from error
    write_json(folder / "tokenizer.json", tokenizer_json)
    abilities = {"can_infill": can_infill, "knows_names": knows_names}
    write_json(folder / "config.json", {"format": FORMAT, **abilities, "model": asdict(model.config), "info": extra})


def load_weights(path: str | Path) -> LoadedWeights:
    """Read weights.

    Args:
        path: a folder of weights, the folder of a run (then its `weights/` is read), a training checkpoint (.ckpt), or
            "pretrained" (the weights that come with the package).

    Raises:
        UserError: there is nothing at `path`, or it is damaged or not a model of Music Reformer.
    """
    path = _resolved(path)
    return _load_folder(path) if path.is_dir() else _load_checkpoint(path)


def fingerprint_of(path: str | Path) -> str:
    """The fingerprint of weights, without building the model.

    Args:
        path: as in `load_weights`.

    Raises:
        UserError: there are no weights.
    """
    path = _resolved(path)
    if path.is_dir():
        _check_files(path)
        path = path / TENSORS
    return _sha256(path)


def weights_folder(path: str | Path) -> Path:
    """The folder that contains weights or a checkpoint; `path` as in `load_weights`. Raises `UserError` if missing."""
    path = _resolved(path)
    return path if path.is_dir() else path.parent


def _resolved(path: str | Path) -> Path:
    """The folder of weights, or the checkpoint, that a path refers to."""
    if str(path) == PRETRAINED:
        path = Path(__file__).parent.parent / "pretrained"
    path = Path(path)
    require(path.exists(), f"no checkpoint at {path}; name a folder of weights, a .ckpt file, or 'pretrained'")
    if path.is_dir() and not (path / TENSORS).is_file() and (path / "weights" / TENSORS).is_file():
        path = path / "weights"
    return path


def _check_files(folder: Path) -> None:
    for name in (TENSORS, "config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder} holds no weights of Music Reformer: {name} is missing; name a folder of weights, or a run "
                "that has exported some"
            )


def _sha256(path: Path) -> str:
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_folder(folder: Path) -> LoadedWeights:
    _check_files(folder)
    content = read_json(folder / "config.json")
    tokenizer_settings = read_json(folder / "tokenizer.json")
    info = content.get("info", {})
    require(
        content.get("format") == FORMAT,
        f"{folder / 'config.json'} is not in format {FORMAT}, the only one that is read",
    )
    require(isinstance(info, dict), f"{folder / 'config.json'} is damaged: info is not a JSON object")
    config = _model_config(content.get("model"), folder)
    _check_vocabulary(config, tokenizer_settings, folder)
    path = folder / TENSORS
    try:
        with naming(path), safe_open(path, framework="pt") as opened:
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118 - not a dict
        _check_shapes(config, _learnt(shapes), folder)
        tensors = _learnt(load_file(path))
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read ({error}); it is damaged or from another program") from error
    return LoadedWeights(
        model=_build(config, tensors, folder),
        tokenizer_settings=tokenizer_settings,
        info=info,
        fingerprint=_sha256(path),
        can_infill=_ability(content, "can_infill", info.get("infill"), folder),
        knows_names=_ability(content, "knows_names", info.get("named"), folder),
    )


def _ability(content: dict[str, Any], name: str, probability: Any, folder: Path) -> bool:
    """Whether `config.json` claims an ability; older weights state only the probability it was trained with."""
    able = content.get(name, isinstance(probability, int | float) and probability > 0)
    require(isinstance(able, bool), f"{folder / 'config.json'} is damaged: {name} must be true or false")
    return bool(able)


def _load_checkpoint(path: Path) -> LoadedWeights:
    not_ours = f"{path} is not a checkpoint of Music Reformer, or it is damaged"
    try:
        # Only uncompressed entries, so that a few bytes cannot unpack to gigabytes.
        with naming(path), zipfile.ZipFile(path) as archive:
            require(all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist()), not_ours)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        hyper = checkpoint["hyper_parameters"]
        config, tokenizer_settings = _model_config(hyper["model"], path), hyper["tokenizer"]
        tensors = _model_tensors(checkpoint["state_dict"])
        augment = hyper.get("train", {}).get("augment", {})
        info = {"step": checkpoint.get("global_step"), "train": hyper.get("train", {})}
        can_infill, knows_names = (float(augment.get(name, 0)) > 0 for name in ("infill", "named"))
    except UserError:
        raise
    except (zipfile.BadZipFile, pickle.UnpicklingError, *UNREADABLE) as error:
        raise UserError(not_ours) from error
    _check_vocabulary(config, tokenizer_settings, path)
    _check_shapes(config, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, path)
    return LoadedWeights(
        model=_build(config, tensors, path),
        tokenizer_settings=tokenizer_settings,
        info=info,
        fingerprint=_sha256(path),
        can_infill=can_infill,
        knows_names=knows_names,
    )


def _learnt(tensors: Mapping[str, Anything]) -> dict[str, Anything]:
    """Leave out the hash rotations that older files hold; now they are made from a seed."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(".rotations_RHDK")}


def _model_tensors(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The model's part of the state of a training run."""
    prefix = "model."
    tensors = _learnt({name.removeprefix(prefix): x for name, x in state.items() if name.startswith(prefix)})
    # A tensor that is not contiguous can be larger than the bytes that it is stored in.
    if not all(tensor.is_contiguous() for tensor in tensors.values()):
        raise ValueError("a tensor is not contiguous")
    return merged(tensors)


def _model_config(settings: Any, path: Path) -> ModelConfig:
    """Check the settings of an untrusted model."""
    require(isinstance(settings, dict), f"the settings of the model in {path} are not a JSON object")
    if isinstance(settings.get("num_buckets"), int):  # Older weights have one number for all rounds.
        settings = settings | {"num_buckets": [settings["num_buckets"]]}
    unknown = sorted(str(name)[:40] for name in set(settings) - {field.name for field in fields(ModelConfig)})
    require(
        not unknown,
        f"the model in {path} has settings that this version does not know: {', '.join(unknown[:8])}",
    )
    try:
        config = ModelConfig(**settings)
        require(config.vocab_size >= 1, f"model.vocab_size ({config.vocab_size}) must be at least 1")
    except UserError as error:
        raise UserError(f"the settings of the model in {path} are not valid: {error}") from error
    return config


def _check_vocabulary(config: ModelConfig, tokenizer: Any, path: Path) -> None:
    """Refuse weights whose tokenizer has another number of tokens than their model."""
    require(isinstance(tokenizer, dict), f"the tokenizer in {path} is damaged: it is not a JSON object")
    names = tokenizer.get("tokens", tokenizer.get("integers"))
    require(isinstance(names, list), f"the tokenizer in {path} is damaged: it has no list of tokens")
    size = len(names) + (0 if "tokens" in tokenizer else NUM_SPECIAL)
    require(
        size == config.vocab_size,
        f"{path} is damaged: its model has {config.vocab_size:,} tokens and its tokenizer {size:,}",
    )


def _check_shapes(config: ModelConfig, shapes: dict[str, tuple[int, ...]], path: Path) -> None:
    """Refuse tensors that are not those of the model, judging by shapes alone."""
    # A layer has several tensors. Checked first, because building a model of many layers is slow even without memory.
    enough = len(shapes) > config.num_layers
    require(enough, f"the tensors in {path} are not those of the model that its settings describe: there are too few")
    # Takes no memory, however large the settings say that the model is.
    with torch.device("meta"), _WithoutValues():
        expected = {name: tuple(tensor.shape) for name, tensor in ReformerLM(config).state_dict().items()}
    differing = sorted(name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name))
    require(
        not differing,
        f"the tensors in {path} are not those of the model that its settings describe; "
        f"{len(differing)} differ, such as {differing[0][:80] if differing else ''}",
    )


class _WithoutValues(TorchFunctionMode):
    """Skips initialisation: to draw values for tensors on "meta", torch would load its compiler, 150 MB."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        is_drawing = getattr(function, "__module__", None) == "torch.nn.init"
        return kwargs["tensor"] if is_drawing else function(*args, **kwargs)


def _build(config: ModelConfig, tensors: dict[str, torch.Tensor], path: Path) -> ReformerLM:
    require(
        all(tensor.is_floating_point() for tensor in tensors.values()),
        f"the tensors in {path} are not those of a model: some are not floating-point numbers",
    )
    model = ReformerLM(config)
    model.load_state_dict(tensors, strict=True)
    return model.eval()
