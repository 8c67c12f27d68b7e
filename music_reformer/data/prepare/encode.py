"""One MIDI file to tokens: what a worker process of `encoders.py` does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import symusic

from music_reformer.config import CorpusConfig, PrepareConfig, ReadingConfig
from music_reformer.data.corpora import grooves
from music_reformer.data.corpora.collection import files_behind, member_of
from music_reformer.data.prepare.near_duplicates import signature
from music_reformer.data.prepare.quality import fault_of
from music_reformer.data.prepare.statistics import describe
from music_reformer.errors import UserError
from music_reformer.midi.align import aligned
from music_reformer.midi.rhythm_section import with_rhythm_section
from music_reformer.midi.score import (
    NoNotesError,
    clean_score,
    count_bars,
    last_tick,
    note_columns,
    read_score,
    seconds_at,
)
from music_reformer.midi.tokenizer import MusicTokenizer

# Duplicates are compared on a grid of this many positions per quarter note.
DUPLICATE_GRID = 24

Result = dict[str, Any]


_worker: tuple[PrepareConfig, MusicTokenizer] | None = None


def start_worker(config: PrepareConfig) -> None:
    """Prepare this process to encode files: the tokenizer is built once."""
    global _worker
    _worker = (config, MusicTokenizer(config.tokenizer))


def encode_file(source: str) -> Result:
    """The result of one file (`encoders.Encoders.results`), in a worker."""
    assert _worker is not None
    config, tokenizer = _worker
    _, reading = member_of(config.corpus, source)
    try:
        files = files_behind(config.corpus, source)
        score = clean_score(
            _read(config.corpus, source, files),
            metre_aliases=reading.metre_aliases,
            program_by_track=reading.program_by_track,
        )
        fault = fault_of(score, config.quality)
        if fault is not None:
            kind, lacks = fault
            return {"kind": kind, "reason": f"{source} {lacks}"}
        score = arranged(score, source, reading)
        body = tokenizer.encode(score)
        sha256 = _digest(config.corpus, files)
        # Within the try: a damaged file may break these, too.
        details = describe(score)
        notes = signature(score) if config.near_duplicates != "off" else None
    except NoNotesError as error:
        return {"kind": "no notes", "reason": str(error)}
    except UserError as error:
        return {"kind": "unreadable", "reason": str(error)}
    except MemoryError:
        raise  # reported by `Encoders`
    except Exception as error:  # a damaged file can raise anything; it is logged with the file
        return {"kind": "unreadable", "reason": f"{source}: {type(error).__name__}: {error}"}
    if len(body) == 0:
        return {"kind": "no tokens", "reason": f"{source} has no note that the tokenizer has a token for"}
    tokens = np.concatenate([[tokenizer.bos_id], body, [tokenizer.eos_id]]).astype(np.uint16)
    return {
        "tokens": tokens.tobytes(),
        "length": len(tokens),
        "sha256": sha256,
        "notes_sha256": notes_digest(score),
        "num_notes": score.note_num(),
        "seconds": round(float(seconds_at(score, last_tick(score))), 3),
        "num_bars": count_bars(score),
        "signature": notes,
        **details,
    }


def _read(config: CorpusConfig, source: str, files: Sequence[str]) -> symusic.Score:
    """The score of a source: of its file, or of the grooves that are joined to it."""
    root = Path(config.path or "")
    if list(files) == [source]:
        return read_score(root / source, name=source)
    return grooves.join([(file, read_score(root / file, name=file)) for file in files])


def _digest(config: CorpusConfig, files: Sequence[str]) -> str:
    """Hash of the content of the files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        digest.update((Path(config.path or "") / file).read_bytes())
    return digest.hexdigest()


def arranged(score: symusic.Score, source: str, config: ReadingConfig) -> symusic.Score:
    """The score aligned to its grid and given bass and drums, as often as the corpus settings ask for.

    The draws depend on the name of the source alone.
    """
    if not config.align:
        return score
    random = np.random.default_rng(list(os.fsencode(source)))
    align, accompany = random.random(2)
    if align >= config.align:
        return score
    moved = aligned(score)
    if moved is None or accompany >= config.rhythm_section:
        return moved or score
    return with_rhythm_section(moved, random) or moved


def notes_digest(score: symusic.Score) -> str:
    """Hash of the notes, independent of tracks, instruments, tempo, ticks per quarter and leading silence."""
    time, duration, pitch = note_columns(score.tracks).values()
    tpq = score.ticks_per_quarter
    # In integers: in floating point, a note half-way between two grid points is rounded either way.
    place, length = ((2 * DUPLICATE_GRID * x + tpq) // (2 * tpq) for x in (time - time.min(), duration))
    rows = np.stack([place, pitch, length], axis=1)
    return hashlib.sha256(rows[np.lexsort(rows.T[::-1])].tobytes()).hexdigest()
