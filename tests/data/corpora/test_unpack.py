"""Unpacking archives: extracted files, and refused archives."""

from __future__ import annotations

import gc
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.archives import Counting, tar_of, zip_of
from music_reformer.data.corpora import unpack as module
from music_reformer.data.corpora.unpack import unpack
from music_reformer.errors import UserError

FILES = {
    "top/a.mid": b"one",
    "top/2004/b.MIDI": b"two",
    "top/table.csv": b"x,y\n",
    "top/LICENSE.md": b"free",
    "top/huge.wav": b"0" * 1000,
    "top/setup.py": b"import os",
}
KINDS: dict[str, Callable[[dict[str, bytes]], bytes]] = {"zip": zip_of, "tar": tar_of}


def put(folder: Path, content: bytes) -> Path:
    path = folder / "archive"
    path.write_bytes(content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_midi_tables_and_licences_are_taken(kind: str, tmp_path: Path) -> None:
    archive = put(tmp_path, KINDS[kind](FILES))
    meter = Counting()
    assert unpack(archive, tmp_path / "out", meter) == 4
    assert names(tmp_path / "out") == ["top/2004/b.MIDI", "top/LICENSE.md", "top/a.mid", "top/table.csv"]
    assert (tmp_path / "out" / "top" / "2004" / "b.MIDI").read_bytes() == b"two"
    ((what, total, done),) = meter.started
    assert (what, total) == ("unpacking", archive.stat().st_size)
    assert 0 < done <= archive.stat().st_size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../evil.mid", "top/../../evil.mid", "/evil.mid", "..\\evil.mid", "C:/evil.mid"])
def test_a_path_out_of_the_folder_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    archive = put(tmp_path, KINDS[kind]({"top/good.mid": b"one", name: b"two"}))
    with pytest.raises(UserError, match=r"names a file outside its folder .*; it was not unpacked"):
        unpack(archive, tmp_path / "out", Counting())
    assert names(tmp_path) == ["archive"]


def linked_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("top/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "../../outside")
        archive.writestr("top/link/a.mid", b"one")
    return out.getvalue()


@pytest.mark.parametrize(
    "make", [linked_zip, lambda: tar_of({"top/link/a.mid": b"one"}, links={"top/link": "../../outside"})]
)
def test_links_in_archives_are_not_created(make: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "in").mkdir()
    unpack(put(tmp_path, make()), tmp_path / "in" / "out", Counting())
    assert not list((tmp_path / "outside").iterdir())
    assert names(tmp_path / "in") == ["out/top/link/a.mid"]
    assert not (tmp_path / "in" / "out" / "top" / "link").is_symlink()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["top/bomb.mid", "top/not even wanted.bin"])
def test_a_bomb_is_refused(kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL", 100_000)
    archive = put(tmp_path, KINDS[kind]({"top/a.mid": b"one", name: bytes(1_000_000)}))
    with pytest.raises(UserError, match=r"would unpack to more than 0\.00 GB, far more than its size"):
        unpack(archive, tmp_path / "out", Counting())
    assert names(tmp_path) == ["archive"]


def test_no_more_than_the_stated_size_is_read_from_a_zip(tmp_path: Path) -> None:
    content = bytearray(zip_of({"a.mid": bytes(100_000)}))
    for signature, place in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = content.index(signature) + place
        content[at : at + 4] = struct.pack("<I", 10)
    with pytest.raises(UserError, match="is damaged and cannot be unpacked"):
        unpack(put(tmp_path, bytes(content)), tmp_path / "out", Counting())
    assert names(tmp_path) == ["archive"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_archive_leaves_nothing(kind: str, tmp_path: Path) -> None:
    content = KINDS[kind]({f"{number}.mid": str(number).encode() * 3000 for number in range(20)})
    middle = len(content) // 2
    for damaged in (content[:middle], content[:middle] + b"\0" * 40 + content[middle + 40 :], b"no archive"):
        with pytest.raises(UserError, match=r"damaged and cannot be unpacked|neither a zip nor a tar file"):
            unpack(put(tmp_path, damaged), tmp_path / "out", Counting())
        assert names(tmp_path) == ["archive"]


def test_an_encrypted_zip_is_named(tmp_path: Path) -> None:
    content = bytearray(zip_of({"a.mid": b"one"}))
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + place] |= 1
    with pytest.raises(UserError, match="is encrypted; unpack it yourself"):
        unpack(put(tmp_path, bytes(content)), tmp_path / "out", Counting())


def many(number: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for place in range(number):
            archive.addfile(tarfile.TarInfo(f"{place}.mid"), io.BytesIO())
    return out.getvalue()


def test_the_members_of_a_tar_are_not_kept_in_memory(tmp_path: Path) -> None:
    kept: list[int] = []

    class Peeking(Counting):
        def advance(self, amount: int) -> None:
            kept.append(sum(type(thing) is tarfile.TarInfo for thing in gc.get_objects()) if not len(kept) % 200 else 0)

    assert unpack(put(tmp_path, many(1000)), tmp_path / "out", Peeking()) == 1000
    assert len(kept) >= 1000
    assert max(kept) < 10
