"""Groups of pieces to hold against each other: generated, held out, and from the training set.

What differs must be the music, not how much of it was looked at: all groups are cut to excerpts of one length, and
human pieces begin where the generated music typically does (continuations do not begin at a piece's beginning).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from music_reformer.data.corpora.splits import SUFFIXES
from music_reformer.data.piece_index import Piece
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation.notes import Notes
from music_reformer.midi.score import clean_upload, read_score

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Excerpt:
    """Some seconds of a piece.

    Attributes:
        name: of the file, relative to its folder or corpus.
        notes: times count from the beginning of the whole piece.
    """

    name: str
    notes: Notes


@dataclass(frozen=True)
class Generated:
    """A file to be judged.

    Attributes:
        name: relative to the folder.
        notes: of the whole file.
        begin_s: where what was composed begins; before it is the prompt.
    """

    name: str
    notes: Notes
    begin_s: float

    @property
    def seconds(self) -> float:
        """How long the composed part is."""
        return max(0.0, self.notes.last_s - self.begin_s)


def read_generated(folder: str | Path) -> tuple[list[Generated], list[str]]:
    """All MIDI files of a folder with their new parts, and a sentence for each that cannot be used.

    A `manifest.jsonl` of `music-reformer generate` tells where the new part of each file begins; where there is none,
    a file is new from its first note on.

    Raises:
        UserError: no such folder, or not one file in it can be used.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"generated ({root}) is not a folder; name the output of music-reformer generate")
    cuts = _cuts(root / MANIFEST)
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
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
            refused.append(f"{path} has no notes behind its prompt")
    if not found:
        raise UserError(
            f"generated ({root}) holds no MIDI file that can be used" + (f": {refused[0]}" if files else "")
        )
    return found, refused


def excerpt_seconds(generated: list[Generated], limit: float) -> float:
    """The length that four of five generated pieces have, at most `limit`.

    Not that of the shortest: one piece that ended early must not leave a few seconds of all the others.
    """
    return float(min(limit, np.quantile([piece.seconds for piece in generated], 0.2, method="lower")))


def generated_excerpts(generated: list[Generated], seconds: float) -> list[Excerpt]:
    """The first `seconds` of what was composed."""
    return [Excerpt(piece.name, piece.notes.between(piece.begin_s, piece.begin_s + seconds)) for piece in generated]


def human_excerpts(
    store: TokenStore, split: str, *, num_pieces: int, begin_s: float, seconds: float
) -> Iterator[Excerpt]:
    """Excerpts of pieces of a split, as the tokens tell them.

    Args:
        store: of MIDI.
        split: its name.
        num_pieces: drawn from the split, always the same ones; all of it where it has no more.
        begin_s: seconds after the first note; earlier in a piece that would end before the excerpt does.
        seconds: length of the excerpt.
    """
    for piece in sample(store.split(split), num_pieces):
        notes = piece_notes(store, piece)
        begin = max(notes.first_s, min(notes.first_s + begin_s, notes.last_s - seconds))
        yield Excerpt(piece.source, notes.between(begin, begin + seconds))


def piece_notes(store: TokenStore, piece: Piece) -> Notes:
    """The notes that the tokens of a piece tell."""
    return Notes.of(store.music_tokenizer.decode(store.tokens(piece)))


def sample(pieces: Sequence[Piece], num: int) -> list[Piece]:
    """`num` of the pieces (all, if there are no more), always the same, in their order."""
    if len(pieces) <= num:
        return list(pieces)
    chosen = np.random.default_rng(0).choice(len(pieces), size=num, replace=False)
    return [pieces[i] for i in sorted(chosen)]


def _cuts(manifest: Path) -> dict[str, float]:
    """Second at which the new part of each file begins; later lines of a manifest count."""
    if not manifest.is_file():
        return {}
    cuts = {}
    for line in manifest.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # a run was killed in the middle of a line; `generate` wrote the file's line again
            continue
        if isinstance(entry, dict) and "file" in entry:
            cuts[entry["file"]] = float(entry.get("new_from_second", 0.0))
    return cuts
