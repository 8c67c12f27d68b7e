"""The vocabulary of a corpus of integers: PAD, BOS, EOS, then a token for each value.

It has what a token store, training and evaluation need of a tokenizer; there is no music to encode or decode.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from music_reformer.config import require
from music_reformer.errors import UserError
from music_reformer.midi.score import write_atomically
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import BOS, EOS, PAD, SPECIAL, Vocabulary

# Ids are 16 bits in a store.
MAX_VALUES = 2**16 - len(SPECIAL)


class IntegerTokenizer:
    """Names of the values, in their order: value i is token i + 3.

    Args:
        names: such as "Value_7"; what stands before the _ is the type of token in evaluation, and "Pitch_60" is
            transposed in training as in music.

    Raises:
        UserError: there are more values than ids.

    Attributes:
        tokens: name of each id.
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
        """Number of ids."""
        return len(self.tokens)

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the vocabulary; stores and checkpoints are compared by it."""
        return hashlib.sha256(json.dumps(["integers", self.tokens]).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """All that `from_json` needs."""
        return {"integers": self.tokens[len(SPECIAL) :], "fingerprint": self.fingerprint}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> IntegerTokenizer:
        """The tokenizer that wrote `content`.

        Raises:
            UserError: it was none of this kind.
        """
        require("integers" in content, "these are the settings of a tokenizer of music, not of a corpus of integers")
        return cls([str(name) for name in content["integers"]])

    def save(self, path: str | Path) -> None:
        """Write as JSON, under another name first."""
        write_atomically(Path(path), (json.dumps(self.to_json(), indent=1) + "\n").encode())


Tokenizer = MusicTokenizer | IntegerTokenizer


def tokenizer_from_json(content: dict[str, Any]) -> Tokenizer:
    """The tokenizer, of music or of integers, that wrote `content`.

    Raises:
        UserError: none did.
    """
    return IntegerTokenizer.from_json(content) if "integers" in content else MusicTokenizer.from_json(content)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read what `save` of either kind wrote.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"the tokenizer {path} cannot be read ({error})") from error
    require(isinstance(content, dict), f"the tokenizer {path} is damaged: it is not a JSON object")
    return tokenizer_from_json(content)
