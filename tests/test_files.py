"""Files are written completely or not at all, and disk errors name the right file."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from music_reformer import files
from music_reformer.errors import UserError, sentence_of
from music_reformer.files import naming, read_json, replacing, replacing_folder, write_atomically, write_json


def full() -> OSError:
    """Raise the error of a write to a full disk, which names no file."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o777 == 0o644

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise full()

    with pytest.raises(OSError, match="No space left") as raised:
        fail()
    assert raised.value.filename == str(path)
    assert path.read_bytes() == b"one"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_created_completely_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "store"

    def fail() -> None:
        with replacing_folder(folder) as temporary:
            (temporary / "a").write_text("a")
            write_json(temporary / "missing" / "b.json", {})
            (temporary / "no" / "such").write_text("")

    with pytest.raises(FileNotFoundError) as raised:
        fail()
    assert raised.value.filename == str(folder)
    assert not list(tmp_path.iterdir())
    folder.mkdir()
    with replacing_folder(folder) as temporary:
        (temporary / "a").write_text("a")
    assert (folder / "a").read_text() == "a"
    assert list(tmp_path.iterdir()) == [folder]


def test_an_error_names_the_file_meant_and_others_keep_their_names(tmp_path: Path) -> None:
    path = tmp_path / "song.mid"
    for given, named in (
        (None, path),
        (path, path),
        (tmp_path / ".song.mid.x7.tmp", path),
        (path / "part", path),
        (tmp_path / "other.mid", tmp_path / "other.mid"),
        (tmp_path, tmp_path),
    ):
        error = full()
        error.filename = given if given is None else str(given)
        with pytest.raises(OSError, match="No space left") as raised, naming(path):
            raise error
        assert sentence_of(raised.value) == f"{named}: No space left on device"


def test_every_error_of_the_disk_is_a_sentence() -> None:
    assert sentence_of(UserError("that is wrong")) == "that is wrong"
    assert sentence_of(full()) == "No space left on device"
    assert sentence_of(OSError("7 requested and 0 written")) == "7 requested and 0 written"
    assert "database or disk is full" in (sentence_of(sqlite3.OperationalError("database or disk is full")) or "")
    assert sentence_of(ValueError("a defect")) is None


def test_malformed_or_large_json_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    for content in (b"", b"[1]", b"{", b"\xff", b"[" * 100_000, b"1" * 10_000, b"null"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"x\.json"):
            read_json(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path / "nowhere.json")
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 10)
    path.write_text('{"a": "0123456789"}')
    with pytest.raises(UserError, match="has 19 bytes; at most 10 are read"):
        read_json(path)
