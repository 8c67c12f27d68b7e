"""Downloads that break off, change, or do not fit."""

from __future__ import annotations

import hashlib
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.archives import Counting, Site, serve
from music_reformer.data.corpora import download as module
from music_reformer.data.corpora.download import download
from music_reformer.errors import UserError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(module, "WAIT", 0.001)
    monkeypatch.setattr(module, "CHUNK", 1 << 16)
    with serve() as site:
        site.files["/a.zip"], site.etags["/a.zip"] = CONTENT, '"1"'
        yield site


def fetch(site: Site, target: Path, *, sha256: str | None = SHA256, num_bytes: int | None = len(CONTENT)) -> Counting:
    meter = Counting()
    download(f"{site.url}/a.zip", target, sha256=sha256, num_bytes=num_bytes, unpacked=1, meter=meter)
    return meter


def test_a_download_resumes_where_the_connection_broke(site: Site, tmp_path: Path) -> None:
    site.cut, site.statuses = [1_000_000, 500_000], [503]
    meter = fetch(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    begins = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in site.asked[2:] if asked]
    assert begins[0] > 0
    assert begins[1] > begins[0]
    assert len(site.asked) == 4
    assert meter.started[-2:] == [("downloading", len(CONTENT), len(CONTENT)), ("checking", len(CONTENT), len(CONTENT))]
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_download_resumes_after_a_run_that_gave_up(site: Site, tmp_path: Path) -> None:
    site.cut = [1_000_000] + [0] * (module.ATTEMPTS - 1)
    with pytest.raises(UserError, match=r"downloaded .* MB have been downloaded, and the same command resumes"):
        fetch(site, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
    here = (tmp_path / "a.zip.part").stat().st_size
    assert here > 0
    fetch(site, tmp_path / "a.zip")
    assert site.asked[-1] == f"bytes={here}-"
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_a_changed_file_is_downloaded_from_the_start(site: Site, tmp_path: Path, ranges: bool) -> None:
    site.cut = [1_000_000] + [0] * (module.ATTEMPTS - 1)
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch(site, tmp_path / "a.zip", sha256=None, num_bytes=None)
    other = CONTENT[::-1]
    site.files["/a.zip"], site.etags["/a.zip"], site.ranges = other, '"2"', ranges
    fetch(site, tmp_path / "a.zip", sha256=None, num_bytes=None)
    assert (tmp_path / "a.zip").read_bytes() == other


def test_without_an_etag_only_a_checksum_allows_resuming(site: Site, tmp_path: Path) -> None:
    del site.etags["/a.zip"]
    site.cut = [1_000_000]
    fetch(site, tmp_path / "known.zip")
    assert site.asked[1] is not None
    site.asked, site.cut = [], [1_000_000]
    fetch(site, tmp_path / "unknown.zip", sha256=None)
    assert site.asked == [None, None]
    assert (tmp_path / "known.zip").read_bytes() == (tmp_path / "unknown.zip").read_bytes() == CONTENT


def test_a_download_stopped_after_its_last_byte_is_only_checked(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    meter = fetch(site, tmp_path / "a.zip")
    assert [what for what, _, _ in meter.started] == ["checking"]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_downloaded_from_the_start(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(CONTENT + b"more")
    fetch(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_wrong_file_does_not_stay(site: Site, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"is not the expected archive .sha256 {SHA256}, not {'1' * 64}"):
        fetch(site, tmp_path / "a.zip", sha256="1" * 64)
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".zip", ".part")]


def test_a_full_disk_is_reported_before_anything_is_written(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, module.SPARE + 2 * len(CONTENT) - 1))
    with pytest.raises(UserError, match=r"needs 0\.1 GB on the disk of .*, which has 0\.1 GB free; make room"):
        fetch(site, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, module.SPARE + 2 * len(CONTENT)))
    fetch(site, tmp_path / "a.zip")
