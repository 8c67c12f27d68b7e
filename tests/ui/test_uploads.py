"""Only uploaded files can be opened and are then removed; no other file of this machine is touched."""

from __future__ import annotations

import base64
import http.server
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from helpers.page_calls import CLIENT, call, outcome, refusal, upload
from music_reformer.midi.examples import EXAMPLES
from music_reformer.ui.uploads import Uploads

SONG = EXAMPLES["waltz"].score().dumps_midi()
MARK = {"meta": {"_type": "gradio.FileData"}}
WITH_AND_WITHOUT_MARK = pytest.mark.parametrize("mark", [{}, MARK, {"meta": []}], ids=["bare", "marked", "odd mark"])


@pytest.fixture
def treasure(tmp_path: Path) -> Path:
    """A readable MIDI file in somebody's folder, and that folder's neighbour."""
    (tmp_path / "home" / "music").mkdir(parents=True)
    (tmp_path / "home" / "letters").mkdir()
    (tmp_path / "home" / "letters" / "old.txt").write_text("Dear Clara")
    os.utime(tmp_path / "home" / "letters", (0, 0))
    path = tmp_path / "home" / "music" / "mine.mid"
    path.write_bytes(SONG)
    return path


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """The address of another server, and the requests that it received."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(SONG)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/song.mid", asked
    server.shutdown()


@WITH_AND_WITHOUT_MARK
def test_files_outside_the_uploads_folder_are_neither_opened_nor_removed(
    address: str, treasure: Path, mark: dict
) -> None:
    sentence = refusal(address, "open", [{"path": str(treasure), **mark}])
    assert "send the file again" in sentence
    assert str(treasure) not in sentence
    assert treasure.read_bytes() == SONG
    assert (treasure.parent.parent / "letters" / "old.txt").exists()


@WITH_AND_WITHOUT_MARK
@pytest.mark.parametrize("shape", ["{up}/../{treasure}", "{up}/x/../../..{treasure}", "uploads/../../{treasure}"])
def test_paths_out_of_the_uploads_folder_open_nothing(
    address: str, uploads_folder: Path, treasure: Path, mark: dict, shape: str
) -> None:
    path = shape.format(up=uploads_folder, treasure=treasure)
    assert "send the file again" in refusal(address, "open", [{"path": path, **mark}])
    assert treasure.read_bytes() == SONG


@WITH_AND_WITHOUT_MARK
@pytest.mark.parametrize("place", ["", "{hash}/", "{hash}/deeper/"])
def test_files_put_into_the_uploads_folder_by_others_are_not_opened(
    address: str, uploads_folder: Path, mark: dict, place: str
) -> None:
    path = uploads_folder / f"{place.format(hash='a' * 64)}put-there.mid"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(SONG)
    for name in (str(path), str(path.relative_to(uploads_folder.parent))):
        assert "send the file again" in refusal(address, "open", [{"path": name, **mark}])
    assert path.read_bytes() == SONG


@WITH_AND_WITHOUT_MARK
def test_a_link_is_not_followed(address: str, uploads_folder: Path, treasure: Path, mark: dict) -> None:
    linked_file = uploads_folder / ("b" * 64) / "song.mid"
    linked_file.parent.mkdir(exist_ok=True)
    linked_file.unlink(missing_ok=True)
    linked_file.symlink_to(treasure)
    linked_folder = uploads_folder / ("c" * 64)
    linked_folder.unlink(missing_ok=True)
    linked_folder.symlink_to(treasure.parent)
    for path in (linked_file, linked_folder / "mine.mid"):
        refusal(address, "open", [{"path": str(path), **mark}])
        assert treasure.read_bytes() == SONG


def test_an_upload_whose_file_became_a_link_is_not_followed(address: str, uploads_folder: Path, treasure: Path) -> None:
    sent = upload(address, SONG)
    (file,) = (path for path in uploads_folder.rglob(Path(sent).name) if path.parent.name == Path(sent).parent.name)
    file.unlink()
    file.symlink_to(treasure)
    assert "send the file again" in refusal(address, "open", [{"path": sent, **MARK}])
    assert treasure.read_bytes() == SONG


@WITH_AND_WITHOUT_MARK
def test_no_address_is_fetched(address: str, elsewhere: tuple[str, list[str]], mark: dict) -> None:
    there, asked = elsewhere
    for file in ({"path": there}, {"path": "song.mid", "url": there}, {"path": "", "url": there}, {"url": there}):
        refusal(address, "open", [{**file, **mark}])
        for endpoint, data in [
            ("compose", [{"piece": {**file, **mark}}]),
            ("compose", [{**file, **mark}]),
            ("example", [{**file, **mark}]),
            ("piece", [{**file, **mark}]),
            ("export", [{**file, **mark}, "tracks", 0]),
        ]:
            refusal(address, endpoint, data)
    assert asked == []


@WITH_AND_WITHOUT_MARK
def test_a_file_inside_the_request_is_not_read(address: str, uploads_folder: Path, mark: dict) -> None:
    data = "data:audio/midi;base64," + base64.b64encode(SONG[:300]).decode()
    before = set(uploads_folder.rglob("*"))
    for file in ({"path": data}, {"path": "x.mid", "url": data}):
        refusal(address, "open", [{**file, **mark}])
    assert set(uploads_folder.rglob("*")) == before


@pytest.mark.parametrize(
    "file", [None, 5, 0.5, True, "", "/etc/passwd", [], ["uploads"], {}, {"path": None}, {"path": 5}, {"path": ["x"]}]
)
def test_invalid_files_are_refused_in_a_sentence(address: str, file: Any) -> None:
    sentence = refusal(address, "open", [file])
    assert "/upload" in sentence or "send the file again" in sentence


def test_only_the_file_itself_is_removed_when_it_is_opened(address: str, uploads_folder: Path) -> None:
    mine, other = upload(address, SONG), upload(address, SONG)
    neighbour = uploads_folder / "neighbour"
    neighbour.mkdir(exist_ok=True)
    (neighbour / "file.txt").write_text("here")
    os.utime(neighbour, (0, 0))
    assert call(address, "open", {"path": mine, "orig_name": "My waltz.mid"})["name"] == "My waltz"
    assert (neighbour / "file.txt").read_text() == "here"
    assert "send the file again" in refusal(address, "open", [{"path": mine}])
    assert call(address, "open", {"path": other, **MARK})["name"] == "song"


@pytest.mark.parametrize("name", ["../../evil.mid", "/etc/cron.d/evil", "..", "", "\0", "a\r\nb.mid", "x" * 5000])
def test_the_name_of_an_upload_does_not_affect_its_place(tmp_path: Path, name: str) -> None:
    uploads = Uploads(tmp_path / "uploads")
    with uploads.taken({"path": uploads.keep(SONG, name=name)}) as path:
        assert path.parent.parent == tmp_path / "uploads"
        assert path.read_bytes() == SONG
    assert list(uploads.folder.iterdir()) == []


UNUSED = [
    "gradio_api/file=/etc/passwd",
    "gradio_api/file/etc/passwd",
    "file=/etc/passwd",
    "gradio_api/proxy=http://127.0.0.1:1/",
    "gradio_api/upload_progress?upload_id=1",
    "gradio_api/stream/a/b/c/playlist.m3u8",
    "gradio_api/custom_component/a/server/component/x",
    "gradio_api/openapi.json",
    "gradio_api/deep_link",
    "gradio_api/runs",
    "gradio_api/vibe-code",
    "gradio_api/app_id",
    "gradio_api/token",
    "monitoring",
    "theme.css",
    "static/img/logo.svg",
    "assets/index.js",
    "svelte/svelte.js",
    "manifest.json",
    "openapi.json",
    "docs",
]


@pytest.mark.parametrize("path", UNUSED)
def test_routes_of_gradio_that_the_page_has_no_use_for_do_not_exist(address: str, path: str) -> None:
    assert CLIENT.get(address + path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/component_server",
        "gradio_api/process_recording",
        "gradio_api/vibe-edit",
        "gradio_api/stream/x",
        "gradio_api/call/v2/open",
        "gradio_api/run/open",
        "gradio_api/api/compose",
        "login",
    ],
)
def test_other_post_routes_of_gradio_are_404(address: str, path: str) -> None:
    assert CLIENT.post(address + path, json={"data": []}).status_code == 404


def test_an_upload_cannot_be_read_by_others(address: str, uploads_folder: Path) -> None:
    sent = upload(address, SONG)
    for place in (sent, str(uploads_folder.parent / sent)):
        for path in (f"gradio_api/file={place}", f"file/{place}", f"page/{place}", place.lstrip("/")):
            assert CLIENT.get(address + path).status_code in (400, 404)


def test_files_are_opened_with_and_without_gradios_mark(address: str) -> None:
    for mark in ({}, MARK):
        kind, (piece,) = outcome(address, "open", [{"path": upload(address, SONG, name="w.mid"), **mark}])
        assert (kind, piece["name"]) == ("complete", "w")


def test_the_same_song_opened_by_twenty_at_once_is_opened_by_all(address: str, uploads_folder: Path) -> None:
    before = set(uploads_folder.rglob("*.mid"))
    everyone = threading.Barrier(20)

    def visit(number: int) -> str:
        everyone.wait(timeout=60)
        sent = upload(address, SONG)
        return call(address, "open", {"path": sent, "orig_name": f"{number}.mid", **MARK})["key"]

    with ThreadPoolExecutor(20) as visitors:
        keys = set(visitors.map(visit, range(20)))
    assert len(keys) == 20
    for key in keys:
        assert CLIENT.get(f"{address}file/{key}").content == SONG
    assert set(uploads_folder.rglob("*.mid")) == before
