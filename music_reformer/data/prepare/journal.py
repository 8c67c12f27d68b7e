"""The results of an unfinished preparation, on disk, so that a run killed at any moment can resume.

A SQLite database has a row per file of the corpus and a row per result; tokens are appended to a file beside it. Tokens
are written before their row, so a row whose tokens are missing is recognised and dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from music_reformer.data.corpora.splits import CorpusFile
from music_reformer.files import locked

PAGE = 1000  # rows read at a time
TABLES = """
create table if not exists files (source blob primary key, composition blob, split text, reason text) without rowid;
create table if not exists results (
    source blob primary key, reason text, kind text, again integer, begin integer, length integer, notes_sha256 text,
    details text, signature blob, pitches blob
);
"""
# The first file of each set of files with the same notes.
ORIGINALS = """
create temp table originals as
select notes_sha256, min(source) as original from results join files using (source)
where files.reason is null and results.reason is null group by notes_sha256;
create index temp.by_notes on originals (notes_sha256);
"""
OUTCOMES = """
select source, composition, split, coalesce(files.reason, results.reason), results.kind, begin, length, details,
    signature, pitches, original
from files left join results using (source) left join originals using (notes_sha256) order by source
"""


@dataclass(frozen=True)
class FileOutcome:
    """What became of one file.

    Attributes:
        file: the file.
        reason: why it cannot be used; None if it can.
        kind: the reason in a word or two.
        original: the first file with the same notes, mostly itself; None if it cannot be used.
        begin, length: position of its tokens.
        details: what `store.Piece` and the report need.
        signature: MinHash of its notes (`near_duplicates.signature`); None if it has too few.
        pitches: number of notes of each MIDI pitch, int64 [128].
    """

    file: CorpusFile
    reason: str | None
    kind: str
    original: str | None
    begin: int
    length: int
    details: dict[str, Any]
    signature: bytes | None
    pitches: NDArray[np.int64]


class ResultJournal:
    """The results in the folder of an unfinished run. Holds a lock on the folder until it is closed.

    Args:
        folder: must exist.

    Raises:
        UserError: another run is writing there.
    """

    def __init__(self, folder: Path) -> None:
        self._closing = contextlib.ExitStack()
        self._closing.enter_context(
            locked(folder, f"another run is writing to {folder.parent}; wait for it or stop it")
        )
        self._database = sqlite3.connect(folder / "journal.sqlite", isolation_level=None)
        self._closing.callback(self._database.close)
        # Exclusive, because SQLite's shared memory does not work on network disks; the lock keeps others out anyway.
        for setting in ("locking_mode=exclusive", "journal_mode=wal", "synchronous=normal", "cache_size=-65536"):
            self._database.execute(f"pragma {setting}")
        self._database.executescript(TABLES)
        self._tokens_path = folder / "tokens.bin"
        self._tokens = self._closing.enter_context(open(self._tokens_path, "ab"))  # noqa: SIM115
        # Failures that may lie with the machine are retried. After a power cut, the tokens of a row may be missing.
        available = self._tokens_path.stat().st_size // 2
        self._database.execute("delete from results where again or begin + length > ?", (available,))
        (self._num_tokens,) = self._database.execute("select coalesce(max(begin + length), 0) from results").fetchone()
        self._tokens.truncate(2 * self._num_tokens)

    def set_files(self, files: Iterable[CorpusFile]) -> None:
        """Replace the list of the files of the corpus."""
        with self._transaction():
            self._database.execute("delete from files")
            self._database.executemany(
                "insert or replace into files values (?, ?, ?, ?)",
                ((os.fsencode(file.source), os.fsencode(file.composition), file.split, file.reason) for file in files),
            )

    def count(self) -> tuple[int, int]:
        """(number of files of the corpus, number of those that are done)."""
        return self._database.execute(
            "select count(*), sum(results.source is not null or files.reason is not null) "
            "from files left join results using (source)"
        ).fetchone()

    def waiting(self) -> Iterator[str]:
        """The files that are not done, in order. Results may be added during the iteration."""
        last = b""
        while True:
            page = self._database.execute(
                "select source from files left join results using (source) "
                "where source > ? and results.source is null and files.reason is null order by source limit ?",
                (last, PAGE),
            ).fetchall()
            for (source,) in page:
                yield os.fsdecode(source)
            if not page:
                return
            last = page[-1][0]

    def add(self, source: str, result: dict[str, Any]) -> None:
        """Store one result (see `encoders.Encoders.results`)."""
        result = dict(result)
        tokens = result.pop("tokens", b"")
        begin = self._num_tokens
        if tokens:
            self._tokens.write(tokens)
            self._tokens.flush()
            self._num_tokens += len(tokens) // 2
        columns = [result.pop(name, None) for name in ("reason", "kind", "again", "length", "notes_sha256")]
        reason, kind, again, length, notes_sha256 = columns
        signature, pitches = result.pop("signature", None), result.pop("pitches", None)
        details = json.dumps(result, sort_keys=True)
        self._database.execute(
            "insert or replace into results values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                os.fsencode(source),
                reason,
                kind,
                bool(again),
                begin,
                length or 0,
                notes_sha256,
                details,
                signature,
                pitches,
            ),
        )

    def outcomes(self) -> Iterator[FileOutcome]:
        """What became of every file, in the order of the files."""
        self._database.executescript("drop table if exists temp.originals;" + ORIGINALS)
        for row in self._database.execute(OUTCOMES):
            source, composition, split, reason, kind, begin, length, details, signature, pitches, original = row
            yield FileOutcome(
                file=CorpusFile(source=os.fsdecode(source), composition=os.fsdecode(composition), split=split),
                reason=reason,
                kind=kind or "not listed",
                original=None if original is None or reason is not None else os.fsdecode(original),
                begin=begin or 0,
                length=length or 0,
                details=json.loads(details) if details else {},
                signature=signature,
                pitches=np.frombuffer(pitches or bytes(512), dtype=np.uint32).astype(np.int64),
            )

    def tokens(self, outcome: FileOutcome) -> NDArray[np.uint16]:
        """The tokens of one file, uint16 [length]."""
        return np.fromfile(self._tokens_path, dtype=np.uint16, count=outcome.length, offset=2 * outcome.begin)

    def close(self) -> None:
        """Close the files and release the lock."""
        self._closing.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("begin")
        try:
            yield
        except BaseException:
            self._database.execute("rollback")
            raise
        self._database.execute("commit")
