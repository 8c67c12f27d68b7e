"""Scores to tokens and back. This is the only module that imports miditok.

REMI, TSD and MIDILike come from miditok (arXiv 2310.17202), with all instruments in one stream; `Performance` is in
`performance.py`, `Parts` in `parts.py`. Token ids are stable: PAD 0, BOS 1, EOS 2, then the vocabulary in the order of
miditok or of these modules, which depends on the settings alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import symusic
from numpy.typing import NDArray

from music_reformer.config import TokenizerConfig, require
from music_reformer.errors import UserError
from music_reformer.files import read_json, write_json
from music_reformer.midi import parts, performance
from music_reformer.midi.chords import Chord, recognise
from music_reformer.midi.parts_stream import PartsDecoder
from music_reformer.midi.vocabulary import BOS, EOS, PAD, SPECIAL, Vocabulary

if TYPE_CHECKING:
    import miditok


class MusicTokenizer:
    """Encodes scores and decodes tokens.

    Args:
        config: the settings, which determine the vocabulary.

    Attributes:
        tokens: name of each token id, such as "Pitch_60"; the special ones are "PAD", "BOS" and "EOS".
        ticks_per_beat: ticks per quarter note of decoded scores.
    """

    def __init__(self, config: TokenizerConfig) -> None:
        self.config = config
        self.pad_id, self.bos_id, self.eos_id = PAD, BOS, EOS
        if config.encoding == "Performance":
            self._miditok = None
            self.tokens = SPECIAL + performance.TOKENS
            self.ticks_per_beat = performance.TICKS_PER_BEAT
            return
        if config.encoding == "Parts":
            self._miditok = None
            self.tokens = SPECIAL + parts.TOKENS
            self.ticks_per_beat = parts.GRID
            return
        import miditok  # takes 0.2 s, and the Parts encoding does not need it

        self._miditok = getattr(miditok, config.encoding)(_miditok_config(config))
        by_id = sorted(self._miditok.vocab.items(), key=lambda item: item[1])
        self.tokens = [name.removesuffix("_None") if i < len(SPECIAL) else name for i, (name, _) in enumerate(by_id)]
        assert self.tokens[: len(SPECIAL)] == SPECIAL, "miditok puts special tokens first"
        self.ticks_per_beat = int(self._miditok.time_division)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The token names, parsed."""
        return Vocabulary(
            self.tokens,
            ticks_per_beat=self.ticks_per_beat,
            positions_per_beat=parts.GRID
            if self.config.encoding == "Parts"
            else max(self.config.beat_resolution.values()),
        )

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return len(self.tokens)

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of settings and vocabulary, by which stores and checkpoints are compared."""
        content = json.dumps([asdict(self.config), self.tokens], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def encode(self, score: symusic.Score, chords: Sequence[tuple[int, Chord]] | None = None) -> NDArray[np.uint16]:
        """Tokens of a score in ticks, without BOS and EOS, uint16 [L].

        They do not depend on the order of the tracks (in the Parts encoding: of tracks of different programs). Without
        programs, all instruments but drums become one piano.

        Args:
            score: the score.
            chords: for the Parts encoding, (tick, chord) of every change; None: the chords are recognised.
        """
        if self.config.encoding == "Parts":
            if chords is None:
                chords = recognise(score) if self.config.use_chords else ()
            return parts.encode(score, chords)
        if self._miditok is None:
            return np.array(performance.encode(score), dtype=np.uint16) + len(SPECIAL)
        if self.config.use_programs:
            return np.array(self._miditok.encode(_in_order(score)).ids, dtype=np.uint16)
        sequences = self._miditok.encode(_one_piano(score))
        return np.array(sequences[0].ids if sequences else [], dtype=np.uint16)

    def decode(self, ids: NDArray[np.uint16] | list[int]) -> symusic.Score:
        """The score of some tokens, in ticks. PAD, BOS and EOS are skipped."""
        plain = [int(i) for i in ids if i >= len(SPECIAL)]
        if self.config.encoding == "Parts":
            return PartsDecoder.score(self.vocabulary, plain)
        if self._miditok is None:
            return performance.decode([i - len(SPECIAL) for i in plain])
        import miditok

        sequence = miditok.TokSequence(ids=plain)
        return self._miditok.decode(sequence if self.config.use_programs else [sequence])

    def to_json(self) -> dict[str, Any]:
        """Settings and token names as JSON content, for `from_json`."""
        return {"settings": asdict(self.config), "tokens": self.tokens, "fingerprint": self.fingerprint}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> MusicTokenizer:
        """The tokenizer that wrote `content`.

        Raises:
            UserError: `content` is not a tokenizer's, or the installed miditok gives a different vocabulary.
        """
        try:
            settings = dict(content["settings"])
            # JSON has no integer keys.
            settings["time_signatures"] = {int(key): value for key, value in settings["time_signatures"].items()}
            names = content["tokens"]
            tokenizer = cls(TokenizerConfig(**settings))
        except UserError as error:
            raise UserError(f"these settings of a tokenizer are not valid: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"these are not the settings of a Music Reformer tokenizer ({error})") from error
        require(
            names == tokenizer.tokens,
            "the names of the tokens differ from those that the installed miditok gives for these settings; "
            "install the miditok version that pyproject.toml asks for",
        )
        return tokenizer

    def save(self, path: str | Path) -> None:
        """Write the tokenizer as JSON, atomically."""
        write_json(Path(path), self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> MusicTokenizer:
        """Read a tokenizer that `save` wrote."""
        return cls.from_json(read_json(Path(path)))


def _in_order(score: symusic.Score) -> symusic.Score:
    """A copy with its tracks sorted from the highest program to the lowest, then drums.

    miditok writes notes that begin together track by track. The order is descending because the melody of POP909, which
    becomes a flute, is the first track of its files.
    """
    ordered = score.copy()
    ordered.tracks = sorted(ordered.tracks, key=lambda track: (not track.is_drum, track.program), reverse=True)
    return ordered


def _one_piano(score: symusic.Score) -> symusic.Score:
    """A copy in which one piano plays all tracks but drums."""
    merged = score.copy()
    played = [track for track in _in_order(score).tracks if not track.is_drum]
    piano = symusic.Track("Piano", 0, False)
    for name in ("notes", "controls", "pitch_bends", "pedals"):
        events = [event for track in played for event in getattr(track, name)]
        # Python's sort is stable; symusic's would reorder simultaneous events.
        getattr(piano, name).extend(sorted(events, key=lambda event: event.time))
    merged.tracks = [piano]
    return merged


def _miditok_config(config: TokenizerConfig) -> miditok.TokenizerConfig:
    import miditok

    # miditok warns about settings that it changes; those that matter here are set explicitly below.
    logging.getLogger("miditok").setLevel(logging.ERROR)
    return miditok.TokenizerConfig(
        pitch_range=(config.pitch_low, config.pitch_high + 1),
        beat_res=config.beat_ranges(),
        num_velocities=config.num_velocities,
        special_tokens=SPECIAL,
        use_programs=config.use_programs,
        one_token_stream_for_programs=True,
        use_tempos=config.use_tempos,
        num_tempos=config.num_tempos,
        tempo_range=(config.tempo_low, config.tempo_high),
        use_time_signatures=config.use_time_signatures,
        time_signature_range={denominator: list(values) for denominator, values in config.time_signatures.items()},
        use_sustain_pedals=config.use_sustain_pedals,
        use_pitch_bends=config.use_pitch_bends,
        use_chords=config.use_chords,
        use_rests=config.use_rests,
    )
