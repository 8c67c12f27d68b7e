"""Token names are parsed once, and by one module."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import music_reformer
from music_reformer.config import TokenizerConfig
from music_reformer.data.integer_tokenizer import IntegerTokenizer
from music_reformer.errors import UserError
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import BOS, DRUMS, EOS, PAD, Vocabulary, ticks

PACKAGE = Path(music_reformer.__file__).parent
SETTINGS = {
    "REMI": TokenizerConfig(),
    "everything": TokenizerConfig(use_sustain_pedals=True, use_pitch_bends=True, use_chords=True, use_rests=True),
    "no programs": TokenizerConfig(use_programs=False, use_sustain_pedals=True),
    "TSD": TokenizerConfig(encoding="TSD"),
    "MIDILike": TokenizerConfig(encoding="MIDILike"),
    "Performance": TokenizerConfig(encoding="Performance"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_token_has_the_kind_and_the_value_of_its_name(name: str) -> None:
    tokenizer = MusicTokenizer(SETTINGS[name])
    vocabulary = tokenizer.vocabulary
    assert vocabulary is tokenizer.vocabulary, "it is parsed once"
    assert len(vocabulary) == tokenizer.vocab_size == len(vocabulary.ids)
    assert vocabulary.kinds[:3] == ["PAD", "BOS", "EOS"]
    assert [tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id] == [PAD, BOS, EOS]
    for token, text in enumerate(tokenizer.tokens):
        kind, value = vocabulary.kinds[token], vocabulary.values[token]
        assert vocabulary.ids[kind, value] == token
        assert token in vocabulary.ids_of[kind]
        if isinstance(value, tuple):
            value = ("/" if kind == "TimeSig" else ".").join(map(str, value))
        assert text.removesuffix("_None") == (kind if value is None else f"{kind}_{value}")


def test_the_properties_of_each_encoding() -> None:
    remi, tsd, midi_like, performance = (
        MusicTokenizer(TokenizerConfig(encoding=name)).vocabulary for name in ("REMI", "TSD", "MIDILike", "Performance")
    )
    assert [v.has_bars for v in (remi, tsd, midi_like, performance)] == [True, False, False, False]
    assert [v.notes_are_pairs for v in (remi, tsd, midi_like, performance)] == [False, False, True, True]
    assert [v.is_performance for v in (remi, tsd, midi_like, performance)] == [False, False, False, True]
    assert remi.ids["Program", DRUMS] in remi.ids_of["Program"]
    assert not MusicTokenizer(TokenizerConfig(use_programs=False)).vocabulary.has_programs


def test_is_kind_marks_the_tokens_of_given_kinds() -> None:
    vocabulary = MusicTokenizer(TokenizerConfig()).vocabulary
    table = vocabulary.is_kind("Bar", "Tempo", "Chord")
    assert sorted(np.flatnonzero(table)) == sorted(vocabulary.ids_of["Bar"] + vocabulary.ids_of["Tempo"])


def test_time_shifts_are_converted_to_ticks() -> None:
    assert ticks((1, 2, 8), 24) == 24 + 6
    assert ticks(7, 24) == 7
    lengths, tokens = MusicTokenizer(TokenizerConfig(encoding="TSD")).vocabulary.shifts(8)
    assert lengths == sorted(lengths)
    assert len(tokens) == len(lengths) == len(set(tokens))


def test_a_corpus_of_integers_has_a_vocabulary_too() -> None:
    vocabulary = IntegerTokenizer(["Rest_0", "Pitch_60", "Pitch_61"]).vocabulary
    assert vocabulary.ids_of["Pitch"] == [4, 5]
    assert not vocabulary.has_bars
    with pytest.raises(UserError, match=r"'Pitch_high' is not the name of a token"):
        _ = IntegerTokenizer(["Pitch_high"]).vocabulary


def test_no_other_module_parses_token_names() -> None:
    taking_apart = re.compile(r"""(partition|split|startswith|fullmatch|match)\(r?["'(]*[A-Za-z|?:()]*_""")
    found = [path.name for path in sorted(PACKAGE.rglob("*.py")) if taking_apart.search(path.read_text())]
    assert found == ["vocabulary.py"]


def test_the_vocabulary_checks_names() -> None:
    with pytest.raises(UserError, match="TimeSig_4"):
        Vocabulary(["PAD", "BOS", "EOS", "TimeSig_4"])
