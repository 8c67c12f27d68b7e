"""Weights on disk: a round trip, and untrusted folders and checkpoints, which are read or refused."""

from __future__ import annotations

import json
import random
import resource
import shutil
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.small_models import save_smallest
from music_reformer.config import TokenizerConfig
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.weights import load_weights

# A broken file is refused within this time, on a machine that may be busy, and with this much more memory.
MOST_SECONDS = 20
MOST_MEGABYTES = 200
WEIRD: list[Any] = [
    *(-1, 0, 1, 3, 7, 10**6, 10**9, 10**15, 2**63, 10**30, 0.5, -0.5, 1e300, float("nan"), float("inf")),
    *(None, True, False, "", "x", "4", [], [0], [1, 1], [10**9, 10**9], [[]], {}, {"a": 1}),
]


@pytest.fixture(scope="module")
def tokenizer() -> MusicTokenizer:
    return MusicTokenizer(TokenizerConfig())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_smallest(tmp_path_factory.mktemp("weights") / "whole", can_infill=True, axial_shape=[16, 16])


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def refused(path: Path) -> str | None:
    """The sentence with which weights are refused, or None if they are read; quickly and with little memory."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        load_weights(path)
        sentence = None
    except UserError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert len(sentence) < 1000
    assert time.monotonic() - begun < MOST_SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEGABYTES * 1024
    return sentence


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value inside JSON."""
    found = [path] if path else []
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(pairs)[:40]:
        found += places(value, (*path, key))
    return found


def with_value(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = json.loads(json.dumps(content))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def test_saved_weights_are_loaded(folder: Path, tokenizer: MusicTokenizer) -> None:
    loaded = load_weights(folder)
    assert (loaded.can_infill, loaded.knows_names) == (True, False)
    assert loaded.info == {"step": 3}
    assert loaded.tokenizer_settings["fingerprint"] == tokenizer.fingerprint
    content = json.loads((folder / "config.json").read_text())
    assert (content["can_infill"], content["knows_names"]) == (True, False)


def test_the_shipped_weights_say_what_they_can_do() -> None:
    loaded = load_weights("pretrained")
    assert loaded.can_infill
    assert loaded.knows_names
    assert "infill" not in loaded.info


def test_abilities_of_older_weights_follow_from_their_probabilities(copy: Path) -> None:
    content = json.loads((copy / "config.json").read_text())
    del content["can_infill"], content["knows_names"]
    (copy / "config.json").write_text(json.dumps(content | {"info": {"infill": 0.0, "named": 0.3}}))
    loaded = load_weights(copy)
    assert (loaded.can_infill, loaded.knows_names) == (False, True)


def test_the_folder_of_a_run_stands_for_its_weights(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "run" / "weights")
    assert load_weights(tmp_path / "run").fingerprint == load_weights(folder).fingerprint
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"model\.safetensors is missing; name a folder of weights, or a run"):
        load_weights(tmp_path / "empty")


def test_settings_of_the_model_may_hold_anything(copy: Path) -> None:
    """Every value of config.json is replaced by every odd value: it is read, or refused in a sentence."""
    content = json.loads((copy / "config.json").read_text())
    num_refused = 0
    chosen = random.Random(0)
    changes = [(path, value) for path in places(content) for value in WEIRD]
    for path, value in chosen.sample(changes, 250):
        (copy / "config.json").write_text(json.dumps(with_value(content, path, value)))
        num_refused += refused(copy) is not None
    assert num_refused > 150


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("axial_shape", [2**26, 2**26], "positions"),
        ("axial_shape", [2**13, 2**13], "are not those of the model"),
        ("width", 32768, "are not those of the model"),
        ("width", 10**9, "model.width"),
        ("num_layers", 512, "are not those of the model"),
        ("num_layers", 10**9, "model.num_layers"),
        ("vocab_size", 65536, "its tokenizer 517"),
        ("vocab_size", "many", "model.vocab_size"),
        ("feed_forward_width", 262_144, "are not those of the model"),
    ],
)
def test_a_large_model_takes_no_memory_before_its_tensors_are_known(
    copy: Path, name: str, value: Any, words: str
) -> None:
    content = json.loads((copy / "config.json").read_text())
    content["model"][name] = value
    (copy / "config.json").write_text(json.dumps(content))
    assert words in (refused(copy) or "")


def test_the_tokenizer_may_hold_anything(copy: Path) -> None:
    content = json.loads((copy / "tokenizer.json").read_text())
    chosen = random.Random(1)
    changes = [(path, value) for path in places(content) if path[0] != "fingerprint" for value in WEIRD]
    num_refused = 0
    for path, value in chosen.sample(changes, 120):
        changed = with_value(content, path, value)
        (copy / "tokenizer.json").write_text(json.dumps(changed))
        try:
            MusicTokenizer.from_json(load_weights(copy).tokenizer_settings)
        except UserError:
            num_refused += 1
    assert num_refused > 80


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_any_flipped_byte_is_read_or_refused(copy: Path, name: str) -> None:
    whole = (copy / name).read_bytes()
    chosen = random.Random(2)
    for _ in range(60):
        content = bytearray(whole)
        content[chosen.randrange(min(len(content), 3000))] = chosen.randrange(256)
        (copy / name).write_bytes(content)
        refused(copy)
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 3):
        (copy / name).write_bytes(whole[:length])
        assert refused(copy) is not None


def change_header(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    def apply(content: bytes) -> bytes:
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        change(header)
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + content[8 + size :]

    return apply


def first(header: dict[str, Any]) -> dict[str, Any]:
    return header[next(name for name in header if name != "__metadata__")]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: struct.pack("<Q", 2**63) + content[8:],
        lambda content: struct.pack("<Q", 10**9) + content[8:],
        change_header(lambda header: first(header).update(shape=[10**15])),
        change_header(lambda header: first(header).update(shape=[2**62, 4])),
        change_header(lambda header: first(header).update(data_offsets=[0, 10**15])),
        change_header(lambda header: first(header).update(dtype="I64")),
        change_header(lambda header: header.update(extra=first(header))),
        change_header(lambda header: header.pop(next(iter(header)))),
    ],
)
def test_a_damaged_header_is_refused(copy: Path, change: Callable[[bytes], bytes]) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))
    assert refused(copy) is not None


@pytest.mark.parametrize("content", ["[" * 100_000, '{"model": ' * 50_000, "[]", "3", "null", '{"a": 1e999}'])
def test_invalid_json_settings_are_refused(copy: Path, content: str) -> None:
    for name in ("config.json", "tokenizer.json"):
        before = (copy / name).read_bytes()
        (copy / name).write_text(content)
        assert refused(copy) is not None
        (copy / name).write_bytes(before)


def checkpoint_of(folder: Path) -> dict[str, Any]:
    loaded = load_weights(folder)
    content = json.loads((folder / "config.json").read_text())
    return {
        "global_step": 7,
        "hyper_parameters": {
            "model": content["model"],
            "tokenizer": loaded.tokenizer_settings,
            "train": {"augment": {"infill": 0.3, "named": 0.0}},
        },
        "state_dict": {f"model.{name}": tensor for name, tensor in loaded.model.state_dict().items()},
    }


def test_malicious_checkpoints_are_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save(checkpoint_of(folder), path)
    loaded = load_weights(path)
    assert (loaded.can_infill, loaded.knows_names) == (True, False)
    # What a file of a few kilobytes must not unpack, expand or multiply to.
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for entry in whole.infolist():
            bomb.writestr(entry.filename, whole.read(entry))
    assert refused(tmp_path / "bomb.ckpt") is not None
    name = "model.token_embedding.weight"
    for tensor in (
        torch.zeros(1).expand(10**6, 10**6),
        torch.zeros(3),
        torch.zeros(517, 16, dtype=torch.int64),
        "x",
        None,
    ):
        changed = checkpoint_of(folder)
        changed["state_dict"][name] = tensor
        torch.save(changed, path)
        assert refused(path) is not None
    changed = checkpoint_of(folder)
    matrix = next(name for name in changed["state_dict"] if name.endswith("to_out.weight"))
    owner = matrix.removesuffix(".weight")
    changed["state_dict"][f"{owner}.parametrizations.weight.original"] = changed["state_dict"].pop(matrix)
    changed["state_dict"][f"{owner}.parametrizations.weight.0.up"] = torch.zeros(10**6, 1)
    changed["state_dict"][f"{owner}.parametrizations.weight.0.down"] = torch.zeros(1, 10**6)
    torch.save(changed, path)
    assert refused(path) is not None
    for hyper in (None, 3, [], {}, {"model": {"width": 10**15}, "tokenizer": {}}, {"model": {}, "tokenizer": []}):
        torch.save(checkpoint_of(folder) | {"hyper_parameters": hyper}, path)
        assert refused(path) is not None


def test_a_checkpoint_with_flipped_bytes_is_read_or_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save(checkpoint_of(folder), path)
    whole = path.read_bytes()
    chosen = random.Random(3)
    for _ in range(40):
        content = bytearray(whole)
        for _ in range(3):
            content[chosen.randrange(len(content))] = chosen.randrange(256)
        path.write_bytes(content)
        refused(path)
    for length in (0, 10, 1000, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert refused(path) is not None
