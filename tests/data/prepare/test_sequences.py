"""Corpora of integers: reading, conversion to a store, training and evaluation."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from music_reformer.cli import main
from music_reformer.config import CorpusConfig, ModelConfig, PrepareConfig, TokenizerConfig
from music_reformer.data.prepare.command import prepare
from music_reformer.data.prepare.sequences import NOTHING, read_sequences
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import save_weights

SPLITS: dict[str, list[list[int]]] = {
    "train": [[5, 0, 7], [1], [2, 2, 2, 2]],
    "valid": [[3, 4]],
    "test": [[9, 8, 7, 6, 5]],
}


def prepared(path: Path, output: Path, **corpus: Any) -> TokenStore:
    settings = CorpusConfig(**{"name": "made up", "kind": "tokens", "path": str(path), **corpus})
    return prepare(PrepareConfig(output=str(output), corpus=settings), progress=False)


def values(store: TokenStore, split: str) -> list[list[int]]:
    """What a split holds, without BOS and EOS, as values."""
    found = []
    for piece in store.split(split):
        tokens = store.tokens(piece).tolist()
        assert (tokens[0], tokens[-1]) == (store.tokenizer.bos_id, store.tokenizer.eos_id)
        found.append([token - 3 for token in tokens[1:-1]])
    return found


def objects(sequences: list[Any]) -> np.ndarray:
    array = np.empty(len(sequences), dtype=object)
    array[:] = [np.array(sequence) for sequence in sequences]
    return array


def padded(sequences: list[list[int]], fill: float) -> np.ndarray:
    array = np.full((len(sequences), max(map(len, sequences)) + 2), fill)
    for row, sequence in zip(array, sequences, strict=True):
        row[: len(sequence)] = sequence
    return array


def test_every_file_format_gives_the_same_sequences(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(SPLITS))
    np.savez(tmp_path / "b.npz", **{name: objects(sequences) for name, sequences in SPLITS.items()})
    np.savez_compressed(tmp_path / "c.npz", **{name: padded(found, np.nan) for name, found in SPLITS.items()})
    np.savez(tmp_path / "d.npz", **{name: padded(found, -5).astype(int) for name, found in SPLITS.items()})
    for name, padding in (("a.json", None), ("b.npz", None), ("c.npz", None), ("d.npz", -5)):
        store = prepared(tmp_path / name, tmp_path / f"store-{name}", padding=padding)
        assert values(store, "train") == SPLITS["train"]
        assert values(store, "validation") == SPLITS["valid"]
        assert values(store, "test") == SPLITS["test"]
        assert store.tokenizer.vocab_size == 3 + 10
        assert store.tokenizer.tokens[3 + 7] == "Value_7"


def test_files_without_splits_are_split_by_their_content(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sequences = [random.integers(0, 50, 20).tolist() for _ in range(400)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(sequence) + "\n" for sequence in sequences))
    lines = [" ".join(map(str, sequence)) for sequence in reversed(sequences)]
    (tmp_path / "b.txt").write_text("\n\n".join(lines) + "\n")
    first = prepared(tmp_path / "a.jsonl", tmp_path / "first", validation_fraction=0.2, test_fraction=0.1)
    second = prepared(tmp_path / "b.txt", tmp_path / "second", validation_fraction=0.2, test_fraction=0.1)
    for split, share in (("train", 0.7), ("validation", 0.2), ("test", 0.1)):
        assert sorted(values(first, split)) == sorted(values(second, split))
        assert len(first.split(split)) == pytest.approx(400 * share, rel=0.4)
    assert sum(len(first.split(split)) for split in ("train", "validation", "test")) == 400


def test_chorales_are_pitches_in_raster_order(tmp_path: Path) -> None:
    chorale = [[74, 70, 65, 58], [74, 70, -1, 58], [-1, -1, -1, -1], [75, 69, 65, 57]]
    (tmp_path / "a.json").write_text(json.dumps({"train": [chorale], "valid": [chorale[:1] + [[-1] * 4] * 9]}))
    ragged = objects([np.where(np.array(chorale) < 0, np.nan, chorale)])
    np.savez(tmp_path / "b.npz", train=ragged, valid=objects([chorale[:1]]))
    for name in ("a.json", "b.npz"):
        store = prepared(tmp_path / name, tmp_path / f"store-{name}", kind="chorales", padding=-1)
        names = [store.tokenizer.tokens[token] for token in store.tokens(store.split("train")[0])[1:-1]]
        assert names == ["Rest_0" if pitch < 0 else f"Pitch_{pitch}" for frame in chorale for pitch in frame]
        assert len(values(store, "validation")[0]) == 4  # padding at the end is no rest
        # Training may transpose it as it does music.
        assert "Pitch_60" in store.tokenizer.tokens


def test_a_pickle_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "evil",))

    array = np.empty(1, dtype=object)
    array[0] = Evil()
    header = tmp_path / "x.npy"
    with header.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": (1,)})
        stream.write(pickle.dumps(array))
    with zipfile.ZipFile(tmp_path / "evil.npz", "w") as archive:
        archive.write(header, "train.npy")
    with pytest.raises(UserError, match="which is not an array"):
        read_sequences(tmp_path / "evil.npz")
    assert not (tmp_path / "evil").exists()


def test_padding_inside_a_sequence_is_read_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([[[1, 2], [None, 3], [4, -1], [-1, None]]]))
    (found,) = read_sequences(tmp_path / "a.json", padding=-1)["all"]
    assert found.tolist() == [[1, 2], [NOTHING, 3], [4, NOTHING]]


@pytest.mark.parametrize(
    ("name", "content", "corpus", "text"),
    [
        ("a.json", "[[1, 2.5]]", {}, "numbers that are not whole"),
        ("a.json", "[[1, -2]]", {}, "only corpus.padding may be negative"),
        ("a.json", "[[1, null, 2]]", {}, "has padding before its end"),
        ("a.json", '[["a"]]', {}, "sequence 0 is not a list of integers"),
        ("a.json", "[[[1, 2], [3]]]", {}, "sequence 0 is not a list of integers"),
        ("a.json", "[[[[1]]]]", {}, "has 3 dimensions"),
        ("a.json", "[]", {}, "holds no sequences"),
        ("a.json", "[1", {}, "is damaged"),
        ("a.json", '{"dev": [[1]]}', {}, "has the unknown key 'dev'"),
        ("a.json", "[[70000]]", {}, "holds the value 70000"),
        ("a.json", "[[1, 2, 3, 4]]", {"kind": "chorales"}, "is not a chorale"),
        ("a.json", "[[[1, 2, 3, 128]]]", {"kind": "chorales"}, "is not a chorale"),
        ("a.npz", "no zip", {}, "is damaged"),
        ("a.txt", "1 2 x", {}, "is damaged"),
        ("a.csv", "1", {}, "must end in .json"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, name: str, content: str, corpus: dict[str, Any], text: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=text) as caught:
        prepared(tmp_path / name, tmp_path / "store", **corpus)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_existing_output_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(SPLITS))
    (tmp_path / "store").mkdir()
    prepared(tmp_path / "a.json", tmp_path / "store")
    before = {path: path.read_bytes() for path in (tmp_path / "store").iterdir()}
    with pytest.raises(UserError, match="exists already"):
        prepared(tmp_path / "a.json", tmp_path / "store")
    assert {path: path.read_bytes() for path in (tmp_path / "store").iterdir()} == before
    with pytest.raises(UserError, match="cannot be read"):
        prepared(tmp_path / "nowhere.json", tmp_path / "other")


def music_weights(folder: Path) -> Path:
    tokenizer = MusicTokenizer(TokenizerConfig())
    shape = {"width": 16, "num_layers": 1, "num_heads": 1, "head_width": 16, "feed_forward_width": 16}
    model = ReformerLM(ModelConfig(vocab_size=tokenizer.vocab_size, window=4, num_buckets=[4], **shape))
    save_weights(folder / "music", model, tokenizer.to_json(), {})
    return folder / "music"


def test_training_learns_it_and_evaluation_tells_nats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By typed commands, on a language of two words in which each letter but the first is determined by the last."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    words = {0: [0, 1, 2, 3], 1: [4, 5, 6, 7]}
    sequences = [[x for word in random.integers(0, 2, 12) for x in words[int(word)]] for _ in range(120)]
    Path("words.jsonl").write_text("".join(json.dumps(sequence) + "\n" for sequence in sequences))
    assert main(["prepare", "corpus=tokens", "corpus.path=words.jsonl", "output=store"]) == 0
    tiny = [
        *("model.width=32", "model.num_layers=2", "model.num_heads=2", "model.head_width=16"),
        *("model.feed_forward_width=64", "model.window=16", "model.num_buckets=[4]", "model.axial_shape=[16,16]"),
        *("trainer.max_steps=40", "trainer.row_tokens=256", "trainer.accelerator=cpu", "optimizer.learning_rate=1e-2"),
        *("optimizer.warmup_steps=10", "trainer.validate_every=40"),
    ]
    assert main(["train", "data=store", "output=run", *tiny]) == 0
    assert main(["evaluate", "checkpoint=run/weights", "data=store", "output=report"]) == 0
    figures = json.loads(Path("report/figures.json").read_text())
    # A coin for each word, and nothing for the three letters that follow: ln 2 / 4 is 0.173 nats a token.
    assert 0.15 < figures["nats_per_token_without_end"]["value"] < 0.3
    assert set(figures["by_type"]) == {"Value", "EOS"}
    assert "bits_per_note" not in figures
    assert "nats per token, ends not counted" in Path("report/report.html").read_text()
    capsys.readouterr()
    assert main(["generate", "checkpoint=run/weights", "output=out"]) == 2
    assert "tokenizer" in capsys.readouterr().err
    assert main(["generate", "data=store", "output=out", f"checkpoint={music_weights(tmp_path)}"]) == 2
    assert "holds integers, not music" in capsys.readouterr().err
    assert not Path("out").exists()
    Path("midi").mkdir()
    assert main(["evaluate", "checkpoint=null", "generated=midi", "data=store", "output=none"]) == 2
    assert "holds integers, not music" in capsys.readouterr().err
