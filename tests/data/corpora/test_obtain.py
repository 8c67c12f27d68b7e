"""Corpora from a server to a store, each in the layout of its publisher; and refused downloads."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from helpers import archives
from helpers.archives import Site, manifest_for, serve
from music_reformer.cli import main
from music_reformer.config import CorpusConfig
from music_reformer.data.corpora import download as download_module
from music_reformer.data.corpora.corpus_manifest import read_manifest
from music_reformer.data.corpora.obtain import obtain
from music_reformer.data.corpora.splits import find_files
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.files import locked

pytestmark = pytest.mark.timeout(1200)  # worker processes start slowly on a busy machine


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(download_module, "WAIT", 0.001)
    with serve() as site:
        yield site


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: where `datasets/` lands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fetch(name: str, manifest: Path, *, url: str | None = None) -> str:
    """Obtain a corpus; returns the output as one line."""
    shown = io.StringIO()
    config = CorpusConfig(name=name, path=None, manifest=str(manifest), url=url)
    obtain(config, read_manifest(config.manifest), Path("downloads"), Console(file=shown, width=1000))
    return " ".join(shown.getvalue().split())


def as_published(name: str, store: TokenStore) -> None:
    """Check what can only be known from the layout of a corpus."""
    pieces = {piece.composition: piece.split for piece in store.pieces}
    if name == "maestro":
        titles = [f'Franz Liszt / Étude No. {number}, "La campanella"' for number in range(4)]
        assert pieces == dict(zip(titles, archives.MAESTRO_SPLITS, strict=True))
    elif name == "lakh":
        assert store.info["skipped"] == {"no notes": 1, "unreadable": 1}
    elif name == "lakh_matched":
        assert list(pieces) == ["A/A/A/TRAAAGR128F425B14B", "A/B/B/TRABBXU128F92FEF48"]
    elif name == "pop909":
        assert list(pieces) == ["001", "002", "003", "004"]
    else:
        assert list(pieces) == ["Bach/Fugue/bwv_846", "Bach/Prelude/bwv_846", "Liszt/Sonata"]


LAYOUTS = {
    "maestro": (archives.maestro, 4),
    "lakh": (archives.lakh, 6),
    "lakh_matched": (archives.lakh_matched, 4),
    "pop909": (archives.pop909, 4),
    "asap": (archives.asap, 6),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_one_command_downloads_and_prepares(
    name: str, site: Site, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, num_pieces = LAYOUTS[name]
    content = make()
    manifest = manifest_for(name, site, content, here)
    assert main(["prepare", f"corpus={name}", f"corpus.manifest={manifest}", "workers=1"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    values = yaml.safe_load(manifest.read_text())
    # What one must know comes before the download.
    for text in (values["licence"], values["citation"], values["archive"]["url"]):
        assert " ".join(text.split()) in shown
    assert values["archive"]["sha256"] or "the publisher gives no checksum" in shown
    store = TokenStore.open(here / "datasets" / name)
    assert len(store.pieces) == num_pieces
    as_published(name, store)
    folder = here / "datasets" / "downloads" / name
    archive = folder / Path(values["archive"]["url"]).name
    assert archive.read_bytes() == content
    assert not list(folder.glob("*.part*"))


def test_an_existing_archive_is_not_downloaded_again(site: Site, here: Path) -> None:
    manifest = manifest_for("maestro", site, archives.maestro(), here)
    assert "licence: CC BY-NC-SA 4.0" in fetch("maestro", manifest)
    assert fetch("maestro", manifest) == "maestro: already unpacked in downloads/maestro/files"
    folder = here / "downloads" / "maestro"
    table = folder / "files" / "maestro-v3.0.0" / "maestro-v3.0.0.csv"
    (folder / "files.json").unlink()  # as if it had been stopped while unpacking
    table.unlink()
    assert "is already downloaded; its sha256 is correct" in fetch("maestro", manifest)
    assert table.is_file()
    assert len(site.asked) == 1
    other = archives.zip_of({"maestro-v3.0.0/a.mid": b"x"})
    with pytest.raises(UserError, match=r"was unpacked from another archive .*; remove downloads/maestro"):
        fetch("maestro", manifest_for("maestro", site, other, here))


def test_a_corpus_given_by_path_is_not_downloaded(site: Site, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "001.mid").write_bytes(archives.midi(1))
    manifest = manifest_for("pop909", site, archives.pop909(), here)
    command = ["prepare", "corpus=pop909", f"corpus.manifest={manifest}", "corpus.path=mine", "workers=1"]
    assert main([*command, "output=out"]) == 0
    assert main(command) == 2
    assert "prepare needs output" in capsys.readouterr().err
    assert site.asked == []


def test_a_mirror_may_be_given(site: Site, here: Path) -> None:
    content = archives.lakh()
    manifest = manifest_for("lakh", site, content, here)
    site.files = {"/elsewhere/copy.tgz": content}
    fetch("lakh", manifest, url=f"{site.url}/elsewhere/copy.tgz")
    assert (here / "downloads" / "lakh" / "copy.tgz").is_file()


def test_a_corpus_downloaded_by_hand_is_explained_and_read_from_a_folder_or_mirror(
    site: Site, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "corpus=giantmidi"]) == 2
    shown = capsys.readouterr().err
    assert re.search(
        r"take midis_v1\.2\.zip \(193 MB\) from https://github\.com/\S+, .*corpus\.path=\.\.\.$", shown.strip()
    )
    assert shown.count("\n") == 1
    assert not list(here.iterdir())
    site.files["/midis_v1.2.zip"] = archives.giantmidi()
    assert main(["prepare", "corpus=giantmidi", f"corpus.url={site.url}/midis_v1.2.zip", "workers=1"]) == 0
    store = TokenStore.open(here / "datasets" / "giantmidi")
    assert [piece.composition for piece in store.pieces] == list(archives.GIANT_NAMES)
    config = CorpusConfig(path=str(here / "datasets" / "downloads" / "giantmidi" / "files"), manifest="giantmidi")
    assert [file.composition for file in sorted(find_files(config, read_manifest("giantmidi")))] == [
        *archives.GIANT_NAMES
    ]


def test_an_archive_with_another_checksum_is_refused(site: Site, here: Path) -> None:
    content = archives.maestro()
    manifest = manifest_for("maestro", site, content, here, sha256="0" * 64)
    with pytest.raises(UserError, match=f"sha256 {hashlib.sha256(content).hexdigest()}, not {'0' * 64}"):
        fetch("maestro", manifest)
    site.files["/maestro-v3.0.0-midi.zip"] = content + b"more"
    with pytest.raises(UserError, match=f"has {len(content) + 4:,} bytes instead of the {len(content):,}"):
        fetch("maestro", manifest)
    assert [path.name for path in (here / "downloads").rglob("*") if path.is_file()] == [".lock"]


def test_later_downloads_without_a_checksum_must_match_the_first(site: Site, here: Path) -> None:
    content = archives.pop909()
    manifest = manifest_for("pop909", site, content, here)
    seen = hashlib.sha256(content).hexdigest()
    assert f"the publisher gives no checksum; {seen} is recorded in" in fetch("pop909", manifest)
    folder = here / "downloads" / "pop909"
    (archive,) = folder.glob("*.zip")
    assert (folder / f"{archive.name}.sha256").read_text() == f"{seen}  {archive.name}\n"
    (folder / "files.json").unlink()  # as if it had been stopped while unpacking
    archive.write_bytes(content[:-1] + b"x")
    with pytest.raises(UserError, match=f"instead of {seen}; remove it"):
        fetch("pop909", manifest)
    archive.unlink()
    site.files["/master.zip"] = archives.zip_of({"POP909-Dataset-master/POP909/001/001.mid": archives.midi(9)})
    with pytest.raises(UserError, match=f"not {seen} of the first download"):
        fetch("pop909", manifest)
    site.files["/master.zip"] = content
    fetch("pop909", manifest)


def test_a_failed_download_is_one_sentence(site: Site, here: Path) -> None:
    manifest = manifest_for("lakh", site, archives.lakh(), here)
    site.files = {}
    with pytest.raises(UserError, match=r"answers 404 Not Found; give another address with corpus\.url="):
        fetch("lakh", manifest)
    with pytest.raises(UserError, match="is not an http or https address"):
        fetch("lakh", manifest, url="ftp://somewhere/lakh.tar.gz")
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch("lakh", manifest, url="http://127.0.0.1:9/lakh.tar.gz")
    bare = here / "bare.yaml"
    bare.write_text("name: bare\n")
    with pytest.raises(UserError, match="corpus bare has nothing to download; give a folder"):
        fetch("bare", bare)
    content = archives.tar_of({"another/a.mid": archives.midi(1)})
    with pytest.raises(UserError, match="does not have exactly one folder lmd_full; give the folder"):
        fetch("lakh", manifest_for("lakh", site, content, here))


def test_two_downloads_at_once_are_refused(site: Site, here: Path) -> None:
    folder = here / "downloads" / "lakh"
    folder.mkdir(parents=True)
    manifest = manifest_for("lakh", site, archives.lakh(), here)
    with locked(folder, "free"), pytest.raises(UserError, match="another run is downloading to downloads/lakh"):
        fetch("lakh", manifest)


def test_an_occupied_output_is_reported_before_the_download(
    site: Site, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "out").mkdir()
    (here / "out" / "thesis.txt").write_text("years of work")
    manifest = manifest_for("maestro", site, archives.maestro(), here)
    assert main(["prepare", "corpus=maestro", f"corpus.manifest={manifest}", "output=out"]) == 2
    assert "holds files that are not a token store" in capsys.readouterr().err
    assert site.asked == []
