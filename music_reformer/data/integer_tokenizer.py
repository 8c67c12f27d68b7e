"""The tokenizer of a corpus of integers: PAD, BOS, EOS, then a token for each value.

It has the attributes of `MusicTokenizer` that a token store, training and evaluation use, but no `encode` or `decode`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from music_reformer.config import require
from music_reformer.files import read_json, write_json
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import BOS, EOS, PAD, SPECIAL, Vocabulary

# A store has 16 bits per token.
MAX_VALUES = 2**16 - len(SPECIAL)
LONGEST_NAME = 100


class IntegerTokenizer:
    """Maps value i to token i + 3.

    Args:
        names: name of each value, such as "Value_7". The part before the _ is the kind of token in evaluation, and
            tokens named like "Pitch_60" are transposed in training.

    Raises:
        UserError: there are more values than token ids.

    Attributes:
        tokens: name of each token id.
    """

    def __init__(self, names: list[str]) -> None:
        require(
            1 <= len(names) <= MAX_VALUES,
            f"a corpus of integers can have values from 0 to {MAX_VALUES - 1}, not {len(names) - 1}; renumber them",
        )
        self.pad_id, self.bos_id, self.eos_id = PAD, BOS, EOS
        self.tokens = [*SPECIAL, *names]

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The token names, parsed."""
        return Vocabulary(self.tokens)

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return len(self.tokens)

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the vocabulary, by which stores and checkpoints are compared."""
        return hashlib.sha256(json.dumps(["integers", self.tokens]).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The content that `from_json` takes."""
        return {"integers": self.tokens[len(SPECIAL) :], "fingerprint": self.fingerprint}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> IntegerTokenizer:
        """The tokenizer that wrote `content`.

        Raises:
            UserError: `content` belongs to a tokenizer of music.
        """
        require("integers" in content, "these are the settings of a music tokenizer, not of one for integers")
        names = content["integers"]
        require(
            isinstance(names, list) and all(isinstance(name, str) and len(name) <= LONGEST_NAME for name in names),
            "these are not the settings of a tokenizer: integers must be a list of names",
        )
        return cls(names)

    def save(self, path: str | Path) -> None:
        """Write the tokenizer as JSON, atomically."""
        write_json(Path(path), self.to_json())


Tokenizer = MusicTokenizer | IntegerTokenizer


def tokenizer_from_json(content: dict[str, Any]) -> Tokenizer:
    """The tokenizer, of music or of integers, that wrote `content`.

    Raises:
        UserError: no tokenizer wrote it.
    """
    return IntegerTokenizer.from_json(content) if "integers" in content else MusicTokenizer.from_json(content)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read a tokenizer of either kind that `save` wrote.

    Raises:
        UserError: the file cannot be read.
    """
    return tokenizer_from_json(read_json(Path(path)))
