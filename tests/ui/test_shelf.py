from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from music_reformer.errors import UserError
from music_reformer.ui.shelf import Shelf, safe_stem


def test_what_is_put_is_found_under_its_key_and_its_own_name(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    key = shelf.put(b"one", stem="My song")
    assert shelf.path(key).read_bytes() == b"one"
    assert shelf.path(key).name == "My song.mid"


def test_same_name_twice_is_two_files(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    first, second = shelf.put(b"one", stem="song"), shelf.put(b"two", stem="song")
    assert first != second
    assert (shelf.path(first).read_bytes(), shelf.path(second).read_bytes()) == (b"one", b"two")


@pytest.mark.parametrize(
    "key", ["", "..", "../secret", "A" * 22, "/etc/passwd", "A" * 21 + "/", "x" * 10_000, "\0" * 22]
)
def test_unknown_and_hostile_keys_are_refused_in_a_sentence(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "theirs.mid").write_bytes(b"theirs")
    with pytest.raises(UserError, match="open the file again"):
        Shelf(tmp_path / "shelf").path(key)


def test_old_files_go_and_files_in_use_stay(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, max_age=100.0)
    old, used = shelf.put(b"old", stem="old"), shelf.put(b"used", stem="used")
    long_ago = time.time() - 200
    for key in (old, used):
        os.utime(tmp_path / key, (long_ago, long_ago))
    shelf.path(used)  # using it makes it young again
    shelf.put(b"new", stem="new")
    assert shelf.path(used).read_bytes() == b"used"
    with pytest.raises(UserError):
        shelf.path(old)
    assert not (tmp_path / old).exists()


def test_the_longest_unused_make_room(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, max_bytes=250)
    keys = [shelf.put(bytes(100), stem=str(number)) for number in range(2)]
    for age, key in zip((50, 90), keys, strict=True):
        os.utime(tmp_path / key, (time.time() - age, time.time() - age))
    third = shelf.put(bytes(100), stem="third")
    assert {shelf.path(key).stem for key in (keys[0], third)} == {"0", "third"}
    with pytest.raises(UserError):
        shelf.path(keys[1])


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("song.mid", "song"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\song.MID", "song"),
        ("Ünïcode * ü.mid", "Ünïcode ü"),
        ('a"b\r\nSet-Cookie: x.mid', "a b Set-Cookie x"),
        (".mid", "mid"),
        ("", "piece"),
        ("x" * 500 + ".mid", "x" * 80),
    ],
)
def test_names_are_fit_for_files_and_headers(sent: str, kept: str) -> None:
    assert safe_stem(sent) == kept
