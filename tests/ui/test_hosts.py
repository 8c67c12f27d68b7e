"""Requests from other sites, or to names that are not this server's, are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from helpers.page_calls import CLIENT, upload
from helpers.stand_in_generator import StandInGenerator
from music_reformer.midi.examples import EXAMPLES
from music_reformer.ui.hosts import Hosts
from music_reformer.ui.page import build_page, launch_page

SONG = EXAMPLES["waltz"].score().dumps_midi()
READ = [
    "",
    "setup",
    "waiting",
    "page/main.js",
    "file/x",
    "config",
    "gradio_api/info",
    "gradio_api/queue/data?session_hash=x",
]
WRITTEN = ["gradio_api/upload", "gradio_api/call/compose", "gradio_api/queue/join", "gradio_api/run/stop"]


def ask(address: str, path: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if path in WRITTEN:
        if path.endswith("upload"):
            return CLIENT.post(address + path, files={"files": ("song.mid", SONG)}, headers=named)
        return CLIENT.post(address + path, json={"data": ["x"]}, headers=named)
    return CLIENT.get(address + path, headers=named)


@pytest.fixture
def public(tmp_path: Path) -> Iterator[str]:
    """A page behind a proxy with another name."""
    server = build_page(generator=StandInGenerator(), folder=tmp_path)
    yield launch_page(
        server, host="127.0.0.1", port=None, open_browser=False, block=False, allowed_hosts=["Music.Example"]
    )
    server.get_blocks().close(verbose=False)


@pytest.mark.parametrize("path", [*READ, *WRITTEN])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.evil.example", ""]
)
def test_requests_under_another_host_name_are_refused(address: str, path: str, host: str) -> None:
    answer = ask(address, path, Host=host)
    assert answer.status_code in (400, 403)
    assert answer.json()["error"]


@pytest.mark.parametrize("path", [*READ, *WRITTEN])
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost:3000", "file://", "http://[x"]
)
def test_requests_from_pages_of_other_sites_are_refused(
    address: str, uploads_folder: Path, path: str, origin: str
) -> None:
    before = set((uploads_folder).rglob("*"))
    answer = ask(address, path, Origin=origin)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert set((uploads_folder).rglob("*")) == before


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_embedded_requests_of_other_sites_get_nothing(address: str, path: str, site: str) -> None:
    assert ask(address, path, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status_code == 403


def test_pages_of_other_sites_may_link_to_the_page(address: str) -> None:
    assert ask(address, "", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status_code == 200
    assert ask(address, "waiting", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status_code == 403


def test_preflight_requests_of_other_sites_are_refused(address: str) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = CLIENT.options(f"{address}gradio_api/upload", headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_the_page_itself_is_answered_under_each_of_its_names(address: str) -> None:
    port = address.rstrip("/").rsplit(":", 1)[1]
    for host in (
        f"127.0.0.1:{port}",
        f"localhost:{port}",
        f"LOCALHOST:{port}",
        "localhost:9000",
        "[::1]",
        "192.168.1.5",
    ):
        own = {"Host": host, "Origin": f"http://{host.lower()}", "Sec_Fetch_Site": "same-origin"}
        assert ask(address, "waiting", **own).status_code == 200
        assert ask(address, "gradio_api/upload", **own).status_code == 200


def test_names_can_be_allowed(public: str) -> None:
    behind_proxy = {"Host": "music.example", "Origin": "https://music.example"}
    assert ask(public, "gradio_api/upload", **behind_proxy).status_code == 200
    own_host = {"Host": "127.0.0.1:80", "Origin": "https://music.example"}
    assert ask(public, "gradio_api/upload", **own_host).status_code == 200
    assert ask(public, "waiting", Host="other.example").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        *READ,
        "page/no-such-file.js",
        "no/such/place",
        "gradio_api/file=/etc/passwd",
        "gradio_api/heartbeat",
        "soundfont",
    ],
)
def test_every_answer_carries_the_policies(address: str, path: str) -> None:
    for answer in (CLIENT.get(address + path), CLIENT.post(address + path), CLIENT.options(address + path)):
        assert answer.headers["X-Content-Type-Options"] == "nosniff", (answer.request.method, answer.status_code)
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert len(answer.headers.get_list("Content-Security-Policy")) == 1


def test_answers_to_calls_carry_the_security_headers(address: str) -> None:
    answers = [
        CLIENT.post(f"{address}gradio_api/upload", files={"files": ("song.mid", SONG)}),
        CLIENT.post(f"{address}gradio_api/call/example", json={"data": ["waltz"]}),
        CLIENT.post(f"{address}gradio_api/call/example", content=b"{"),
        CLIENT.post(f"{address}gradio_api/upload", content=bytes(6_000_000)),
        CLIENT.get(f"{address}page/main.js", headers={"Host": "evil.example"}),
    ]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
    assert upload(address, SONG)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.7.7", "::"])
def test_a_page_reachable_by_others_is_announced_in_one_sentence(host: str) -> None:
    meaning = Hosts(host, ["Music.Example"]).meaning
    assert meaning.startswith("Anyone who can reach ")
    assert "music.example" in meaning
    assert "allowed_hosts=[NAME]" in meaning, "of music-reformer app"
    assert "--allow-host NAME" in meaning, "of app.py"
    assert meaning.count(".\n") == 0
    assert meaning.endswith(".")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_a_local_page_needs_no_announcement(host: str) -> None:
    assert Hosts(host).meaning == ""


def test_the_machines_own_name_is_known_where_others_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Studio.lan")
    for name in ("studio.lan", "studio.local", "studio.local."):
        assert Hosts("0.0.0.0").refusal({"host": f"{name}:7860"}, is_navigation=True) == ""
        assert Hosts("127.0.0.1").refusal({"host": f"{name}:7860"}, is_navigation=True) != ""
