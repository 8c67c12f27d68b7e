"""One verb for both kinds of corpus: the kind decides which code prepares it, and where the store goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.scores import random_score
from music_reformer.config import CorpusConfig, PrepareConfig
from music_reformer.data.integer_tokenizer import IntegerTokenizer
from music_reformer.data.prepare import command
from music_reformer.errors import UserError
from music_reformer.midi.score import write_score
from music_reformer.midi.tokenizer import MusicTokenizer


def test_the_kind_of_the_corpus_selects_the_tokenizer(tmp_path: Path) -> None:
    write_score(random_score(0, num_notes=40), tmp_path / "midi" / "a.mid")
    (tmp_path / "numbers.json").write_text(json.dumps([[1, 2, 3]]))
    music = command.prepare(
        PrepareConfig(output=str(tmp_path / "music"), corpus=CorpusConfig(path=str(tmp_path / "midi")), workers=1),
        progress=False,
    )
    integers = command.prepare(
        PrepareConfig(
            output=str(tmp_path / "integers"),
            corpus=CorpusConfig(kind="tokens", path=str(tmp_path / "numbers.json")),
        ),
        progress=False,
    )
    assert isinstance(music.tokenizer, MusicTokenizer)
    assert isinstance(integers.tokenizer, IntegerTokenizer)
    assert [store.tokens(store.pieces[0]).tolist()[0] for store in (music, integers)] == [1, 1]


def test_the_output_has_a_default_for_downloads_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(command, "prepare_midi", lambda config, output, *, progress: asked.append(output))
    command.prepare(PrepareConfig(corpus=CorpusConfig(name="maestro", path=None)))
    command.prepare(PrepareConfig(output="here", corpus=CorpusConfig(name="maestro", path=None)))
    assert asked == [Path("datasets/maestro"), Path("here")]
    for corpus in (CorpusConfig(path=str(tmp_path)), CorpusConfig(kind="tokens", path=str(tmp_path / "a.json"))):
        with pytest.raises(UserError, match="prepare needs output"):
            command.prepare(PrepareConfig(corpus=corpus))
