"""The tokenizer of integers can be saved and loaded, and is distinguished from one of music."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from music_reformer.config import TokenizerConfig
from music_reformer.data.integer_tokenizer import MAX_VALUES, IntegerTokenizer, load_tokenizer, tokenizer_from_json
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer


def test_values_follow_the_special_tokens() -> None:
    tokenizer = IntegerTokenizer(["Value_0", "Value_1"])
    assert tokenizer.tokens == ["PAD", "BOS", "EOS", "Value_0", "Value_1"]
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.vocab_size) == (0, 1, 2, 5)
    assert tokenizer.vocabulary.ids["Value", 1] == 4


def test_both_kinds_are_loaded_as_they_were_saved(tmp_path: Path) -> None:
    for tokenizer in (IntegerTokenizer(["Value_0"]), MusicTokenizer(TokenizerConfig())):
        tokenizer.save(tmp_path / "tokenizer.json")
        loaded = load_tokenizer(tmp_path / "tokenizer.json")
        assert type(loaded) is type(tokenizer)
        assert (loaded.tokens, loaded.fingerprint) == (tokenizer.tokens, tokenizer.fingerprint)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"values from 0 to {MAX_VALUES - 1}, not {MAX_VALUES}; renumber them"):
        IntegerTokenizer(["Value_0"] * (MAX_VALUES + 1))
    with pytest.raises(UserError, match="music tokenizer, not of one for integers"):
        IntegerTokenizer.from_json(MusicTokenizer(TokenizerConfig()).to_json())
    with pytest.raises(UserError, match="cannot be read"):
        load_tokenizer(tmp_path / "nowhere.json")
    (tmp_path / "list.json").write_text(json.dumps([1]))
    with pytest.raises(UserError, match="does not hold a JSON object"):
        load_tokenizer(tmp_path / "list.json")
    with pytest.raises(UserError, match="not the settings of a Music Reformer tokenizer"):
        tokenizer_from_json({"settings": 5})


@pytest.mark.parametrize("names", [5, None, "Value_0", {"a": 1}, [5], ["Value_0", None]], ids=repr)
def test_invalid_lists_of_names_are_refused(names: object) -> None:
    with pytest.raises(UserError, match="integers must be a list of names"):
        tokenizer_from_json({"integers": names, "fingerprint": "x"})
