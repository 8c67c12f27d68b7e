from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from music_reformer.errors import UserError
from music_reformer.ui.shelf import MAX_NAME, Shelf, piece_name, safe_stem, variation_name


def test_files_are_found_by_key_with_their_own_name(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    key = shelf.put(b"one", stem="My song")
    assert shelf.path(key).read_bytes() == b"one"
    assert shelf.path(key).name == "My song.mid"


def test_files_of_the_same_name_are_kept_apart(tmp_path: Path) -> None:
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
    shelf.sweep()
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


def test_the_limit_is_kept_without_a_sweep_for_every_file(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, max_bytes=100_000)
    sweeps = 0
    sweep = shelf.sweep

    def counted(*, room_for: int = 0) -> None:
        nonlocal sweeps
        sweeps += 1
        sweep(room_for=room_for)

    shelf.sweep = counted  # type: ignore[method-assign]
    for number in range(500):
        shelf.put(bytes(1000), stem=str(number))
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.mid")) <= 100_000
    assert sweeps < 120


def test_files_and_keys_of_another_process_are_shared(tmp_path: Path) -> None:
    mine, theirs = Shelf(tmp_path, max_bytes=1000), Shelf(tmp_path, max_bytes=1000)
    old = theirs.put(bytes(800), stem="theirs")
    os.utime(tmp_path / old, (time.time() - 50, time.time() - 50))
    assert mine.path(old).read_bytes() == bytes(800)
    os.utime(tmp_path / old, (time.time() - 50, time.time() - 50))
    new = mine.put(bytes(600), stem="mine")
    assert theirs.path(new).stem == "mine"
    with pytest.raises(UserError):
        mine.path(old)


def test_foreign_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "My songs").mkdir()
    (tmp_path / "My songs" / "one.mid").write_bytes(bytes(5000))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "two.mid").write_bytes(bytes(5000))
    shelf = Shelf(tmp_path / "shelf", max_bytes=100, max_age=1.0)
    for name in ("My songs", "outside"):
        (shelf.folder / name).symlink_to(tmp_path / name)
    (shelf.folder / ("A" * 22)).symlink_to(tmp_path / "outside")
    (shelf.folder / "notes.txt").write_bytes(bytes(500))
    for path in (tmp_path / "My songs", tmp_path / "outside", shelf.folder / "notes.txt"):
        os.utime(path, (0, 0))
    shelf.put(bytes(90), stem="mine")
    shelf.sweep(room_for=90)
    assert (tmp_path / "My songs" / "one.mid").exists()
    assert (tmp_path / "outside" / "two.mid").exists()
    assert (shelf.folder / "notes.txt").exists()


@pytest.mark.parametrize("key", [5, None, True, [], {}, b"A" * 22])
def test_a_key_that_is_not_text_is_refused_in_a_sentence(tmp_path: Path, key: object) -> None:
    with pytest.raises(UserError, match="open the file again"):
        Shelf(tmp_path).path(key)


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
        ("\U00020000" * 90 + ".mid", "\U00020000" * 50),
    ],
)
def test_names_are_fit_for_files_and_headers(sent: str, kept: str) -> None:
    assert safe_stem(sent) == kept


@pytest.mark.parametrize("piece", ["Evening walk", "a" * 300, "a - bars 1-2 - seed 1 - 1"])
def test_the_name_of_a_variation_says_piece_bars_and_seed(piece: str) -> None:
    name = variation_name(piece, first=17, last=24, seed=2**31 - 1, number=8)
    assert name.endswith(" - bars 17-24 - seed 2147483647 - 8")
    assert len(name) <= MAX_NAME
    assert piece.startswith(piece_name(name))
    assert variation_name("a", first=3, last=3, seed=1, number=1) == "a - bar 3 - seed 1 - 1"
    assert piece_name("a - seed 5 - 1") == "a", "of an earlier version"
