"""A web server on this machine, and small archives laid out as the publishers' are."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from helpers.scores import random_score
from music_reformer.data.corpora.corpus_manifest import manifest_path


@dataclass
class Site:
    """The content of the server, and its faults.

    Attributes:
        url: address of its root.
        files: content by path.
        etags: ETag by path; without one, the server sends none.
        asked: Range headers of the requests; None for requests without one.
        cut: break off the first answers after so many bytes each; later answers are complete.
        statuses: status codes of the first answers; later answers are successful.
        ranges: whether the server supports Range.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    asked: list[str | None] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True


@contextmanager
def serve() -> Iterator[Site]:
    """A server that answers until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.asked.append(self.headers.get("Range"))
            content = site.files.get(self.path)
            if site.statuses:
                self.send_error(site.statuses.pop(0))
            elif content is None:
                self.send_error(404)
            else:
                self.answer(content, site.etags.get(self.path))

        def answer(self, content: bytes, etag: str | None) -> None:
            begin, same = 0, self.headers.get("If-Range") in (None, etag)
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if asked and site.ranges and same:
                begin = int(asked[1])
                if begin >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            if etag:
                self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            self.wfile.write(content[begin:][: site.cut.pop(0)] if site.cut else content[begin:])
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(url=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def midi(seed: int) -> bytes:
    """A small piece."""
    return random_score(seed, num_notes=40, drums=False).dumps_midi()


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tar_of(files: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    """A tar.gz file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


MAESTRO_SPLITS = ("train", "train", "validation", "test")


def maestro() -> bytes:
    """As maestro-v3.0.0-midi.zip: a folder per year, and the tables beside them."""
    root = "maestro-v3.0.0"
    rows = ["canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration"]
    files = {f"{root}/LICENSE": b"CC BY-NC-SA 4.0", f"{root}/README": b"hello", f"{root}/maestro-v3.0.0.json": b"{}"}
    for number, split in enumerate(MAESTRO_SPLITS):
        year = 2004 + 2 * (number % 2)
        name = f"{year}/MIDI-Unprocessed_XP_{number:02d}_R1_{year}_wav--1"
        rows.append(f'Franz Liszt,"Étude No. {number}, ""La campanella""",{split},{year},{name}.midi,{name}.wav,60.5')
        files[f"{root}/{name}.midi"] = midi(number)
    files[f"{root}/maestro-v3.0.0.csv"] = "\n".join([*rows, ""]).encode()
    return zip_of(files)


def lakh() -> bytes:
    """As lmd_full.tar.gz: a folder for each first digit, files named by the md5 of their content, some damaged."""
    contents = [midi(seed) for seed in range(6)] + [b"MThd, but no more", b""]
    names = [hashlib.md5(content).hexdigest() for content in contents]
    return tar_of({f"lmd_full/{name[0]}/{name}.mid": content for name, content in zip(names, contents, strict=True)})


def lakh_matched() -> bytes:
    """As lmd_matched.tar.gz: a folder for each song, by the letters of its Million Song Dataset name."""
    tracks = ("TRAAAGR128F425B14B", "TRABBXU128F92FEF48")
    files = {}
    for number, track in enumerate(tracks):
        for content in (midi(2 * number), midi(2 * number + 1)):
            files[f"lmd_matched/{'/'.join(track[2:5])}/{track}/{hashlib.md5(content).hexdigest()}.mid"] = content
    return tar_of(files)


def pop909() -> bytes:
    """As GitHub packs POP909-Dataset: a folder a song, with other versions of it below, and annotations."""
    root = "POP909-Dataset-master"
    files = {f"{root}/README.md": b"hello", f"{root}/POP909/index.xlsx": b"x"}
    for number in range(1, 5):
        song = f"{root}/POP909/{number:03d}"
        files[f"{song}/{number:03d}.mid"] = midi(number)
        files[f"{song}/beat_midi.txt"] = b"0.0 1.0"
        files[f"{song}/versions/{number:03d}-v1.mid"] = midi(100 + number)
    return zip_of(files)


GIANT_NAMES = ("Abel, Frederic, Lola Polka, SLNJF0uiqRw", "Satie, Erik, Gymnopédies, S-Xm7s9eGxU")


def giantmidi() -> bytes:
    """As midis_v1.2.zip: all files in one folder, named by composer, title and recording."""
    return zip_of({f"midis/{name}.mid": midi(400 + number) for number, name in enumerate(GIANT_NAMES)})


def asap() -> bytes:
    """As GitHub packs asap-dataset: composer, piece, then a score and performances of it."""
    root = "asap-dataset-master"
    files = {f"{root}/metadata.csv": b"composer,title\n", f"{root}/asap_annotations.json": b"{}"}
    for number, piece in enumerate(("Bach/Fugue/bwv_846", "Bach/Prelude/bwv_846", "Liszt/Sonata")):
        files[f"{root}/{piece}/midi_score.mid"] = midi(200 + number)
        files[f"{root}/{piece}/xml_score.musicxml"] = b"<x/>"
        for player in ("Shi05M", "Lee01M"):
            files[f"{root}/{piece}/{player}.mid"] = midi(300 + 10 * number + len(files) % 7)
    return zip_of(files)


def manifest_for(name: str, site: Site, content: bytes, folder: Path, *, sha256: str | None = "right") -> Path:
    """The manifest that ships, with the address, size and checksum of a small archive instead of the publisher's."""
    values = yaml.safe_load(manifest_path(name).read_text())
    suffix = Path(values["archive"]["url"]).name
    site.files[f"/{suffix}"] = content
    values["archive"]["url"] = f"{site.url}/{suffix}"
    values["archive"]["num_bytes"] = len(content) if values["archive"]["num_bytes"] else None
    if sha256 == "right":
        sha256 = hashlib.sha256(content).hexdigest() if values["archive"]["sha256"] else None
    values["archive"]["sha256"] = sha256
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


class Counting:
    """A progress bar that records its counts."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int | None, int]] = []

    def start(self, what: str, total: int | None, done: int = 0) -> None:
        self.started.append((what, total, done))

    def advance(self, amount: int) -> None:
        what, total, done = self.started[-1]
        self.started[-1] = what, total, done + amount
