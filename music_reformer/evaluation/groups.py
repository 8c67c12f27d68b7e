"""The groups of pieces to compare: generated, held out, and from the training set.

Only the music may differ between groups. So all are cut to excerpts of one length, and human excerpts begin where the
generated music typically does (continuations do not begin at the beginning of a piece).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from music_reformer.data.store import Piece, TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation.notes import Notes
from music_reformer.midi.score import clean_upload, read_score
from music_reformer.midi.sheet import is_music_name

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Excerpt:
    """Some seconds of a piece.

    Attributes:
        name: path of the file, relative to its folder or corpus.
        notes: the notes of the excerpt; their times count from the beginning of the whole piece.
    """

    name: str
    notes: Notes


@dataclass(frozen=True)
class Generated:
    """A generated file.

    Attributes:
        name: path relative to the folder.
        notes: of the whole file.
        begin_s: second at which the generated part begins, after the prompt.
    """

    name: str
    notes: Notes
    begin_s: float

    @property
    def seconds(self) -> float:
        """Length of the generated part."""
        return max(0.0, self.notes.last_s - self.begin_s)


def read_generated(folder: str | Path) -> tuple[list[Generated], list[str]]:
    """The MIDI files of a folder, and a message for each file that cannot be used.

    The `manifest.jsonl` of `music-reformer generate` says where the generated part of each file begins. Without it,
    a file counts as generated from its first note on.

    Raises:
        UserError: there is no such folder, or no file in it can be used.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"generated ({root}) is not a folder; name the output of music-reformer generate")
    cuts = _cuts(root / MANIFEST)
    inside = sorted(path for path in root.rglob("*") if path.is_file() and path.name != MANIFEST)
    files = [path for path in inside if is_music_name(path.name)]
    if len(files) < len(inside):
        logging.getLogger(__name__).warning(
            "skipped %d of the files in %s: by their names, they are not music files",
            len(inside) - len(files),
            root,
        )
    found, refused = [], []
    for path in files:
        name = path.relative_to(root).as_posix()
        try:
            notes = Notes.of(clean_upload(read_score(path)))
        except UserError as error:
            refused.append(str(error))
            continue
        piece = Generated(name, notes, max(cuts.get(name, 0.0), 0.0) or notes.first_s)
        if len(notes.between(piece.begin_s, np.inf)):
            found.append(piece)
        else:
            refused.append(f"{path} has no notes after its prompt")
    if not found:
        raise UserError(
            f"generated ({root}) holds no MIDI file that can be used" + (f": {refused[0]}" if files else "")
        )
    return found, refused


def excerpt_seconds(generated: list[Generated], limit: float) -> float:
    """The length that four of five generated pieces reach, at most `limit`.

    The length of the shortest would let one piece that ended early shorten all excerpts.
    """
    return float(min(limit, np.quantile([piece.seconds for piece in generated], 0.2, method="lower")))


def generated_excerpts(generated: list[Generated], seconds: float) -> list[Excerpt]:
    """The first `seconds` of each generated part."""
    return [Excerpt(piece.name, piece.notes.between(piece.begin_s, piece.begin_s + seconds)) for piece in generated]


def human_excerpts(
    store: TokenStore, split: str, *, num_pieces: int, begin_s: float, seconds: float
) -> Iterator[Excerpt]:
    """Excerpts of pieces of a split, decoded from their tokens.

    Args:
        store: a store of music.
        split: name of the split.
        num_pieces: size of the sample, which is always the same; all pieces if the split has no more.
        begin_s: beginning of the excerpt in seconds after the first note; earlier if the piece would end too soon.
        seconds: length of the excerpt.
    """
    for piece in sample(store.split(split), num_pieces):
        notes = piece_notes(store, piece)
        begin = max(notes.first_s, min(notes.first_s + begin_s, notes.last_s - seconds))
        yield Excerpt(piece.source, notes.between(begin, begin + seconds))


def piece_notes(store: TokenStore, piece: Piece) -> Notes:
    """The notes of a piece, decoded from its tokens."""
    return Notes.of(store.music_tokenizer.decode(store.tokens(piece)))


def sample(pieces: Sequence[Piece], num: int) -> list[Piece]:
    """A sample of `num` pieces (all, if there are no more), always the same, in order."""
    if len(pieces) <= num:
        return list(pieces)
    chosen = np.random.default_rng(0).choice(len(pieces), size=num, replace=False)
    return [pieces[i] for i in sorted(chosen)]


def _cuts(manifest: Path) -> dict[str, float]:
    """Second at which the generated part of each file begins. Later lines of the manifest override earlier ones."""
    if not manifest.is_file():
        return {}
    cuts = {}
    for line in manifest.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # a killed run left a partial line; its successor wrote the line of this file again
            continue
        if isinstance(entry, dict) and "file" in entry:
            cuts[entry["file"]] = float(entry.get("new_from_second", 0.0))
    return cuts
