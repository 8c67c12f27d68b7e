"""The server as a program sees it, through Gradio's own client."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest
import symusic
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from helpers.page_calls import CLIENT
from helpers.stand_in_generator import StandInGenerator
from music_reformer.midi.examples import EXAMPLES, Example
from music_reformer.ui.operations import Operations
from music_reformer.ui.routes import ASSETS, soundfont_path

REPOSITORY = Path(__file__).parent.parent.parent


def test_the_example_in_the_docstring(address: str, midi_file: Path, tmp_path: Path) -> None:
    client = Client(address, verbose=False, download_files=str(tmp_path))
    piece = client.predict(handle_file(midi_file), api_name="/open")
    assert piece["name"] == "my song"
    order = {"piece": piece["key"], "length": "2bars", "variations": 2, "seed": 1, "style": "calm"}
    *_, done = client.submit(order, api_name="/compose")
    assert done["event"] == "done"
    for variation in done["variations"]:
        score = symusic.Score.from_midi(CLIENT.get(f"{address}file/{variation['key']}").content)
        assert score.note_num() == symusic.Score(midi_file).note_num() + 16


# Prints what is imported while the first visitor's calls are answered: meanwhile, nobody else is.
FIRST_CALLS = """
import sys
from helpers.page_calls import CLIENT, call, upload
from helpers.stand_in_generator import StandInGenerator
from music_reformer.midi.examples import EXAMPLES
from music_reformer.ui.page import build_page, close_page, launch_page

page = build_page(generator=StandInGenerator(seconds=0.1))
address = launch_page(page, host="127.0.0.1", port=None, open_browser=False, block=False)
path = upload(address, EXAMPLES["waltz"].score().dumps_midi())
CLIENT.get(f"{address}waiting")
before = set(sys.modules)
piece = call(address, "open", {"path": path})
call(address, "example", "waltz")
call(address, "compose", {"piece": piece["key"], "length": "1bars"})
print(sorted(set(sys.modules) - before))
close_page(page)
"""


def test_the_first_visitors_calls_import_nothing() -> None:
    paths = os.pathsep.join([str(REPOSITORY / "tests"), str(REPOSITORY)])
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-c", FIRST_CALLS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def example_of_the_docs() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "api.md").read_text(), re.DOTALL)
    return code


def test_the_example_of_the_docs(
    address: str, midi_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    midi_file.rename(tmp_path / "song.mid")
    code = example_of_the_docs().replace("http://127.0.0.1:7860", address.rstrip("/"))
    exec(code, {})
    assert capsys.readouterr().out.splitlines()[-1] == "done"
    assert [path.name for path in sorted(tmp_path.glob("*seed 1*.mid"))] == [
        "song - bars 17-32 - seed 1 - 1.mid",
        "song - bars 17-32 - seed 1 - 2.mid",
    ]
    with pytest.raises(AppError, match="style"):
        exec(code.replace('"calm"', '"loud"'), {})


def test_at_once_limits_simultaneous_compositions(address: str, served: Operations) -> None:
    served.generator.seconds = 100
    clients = [Client(address, verbose=False) for _ in range(3)]
    jobs = [client.submit({"length": "2bars", "seed": 1}, api_name="/compose") for client in clients]
    deadline = time.monotonic() + 200
    while served.num_running < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    assert served.num_running == 2  # and the third waits
    served.generator.seconds = 0.2
    for job in jobs:
        assert job.result(timeout=200)["event"] == "done"


def test_a_bad_file_is_refused_in_a_sentence(address: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.mid"
    path.write_bytes(b"no music")
    with pytest.raises(Exception, match=r"bad\.mid is neither a MIDI file nor sheet music"):
        Client(address, verbose=False).predict(handle_file(path), api_name="/open")


def test_an_upload_above_the_limit_is_refused_before_it_is_read(address: str) -> None:
    answer = CLIENT.post(f"{address}gradio_api/upload", files={"files": ("big.mid", bytes(6_000_000))})
    assert answer.status_code == 413


def test_an_upload_leaves_nothing_behind_once_it_is_opened(address: str, midi_file: Path) -> None:
    uploads = Path(os.environ["GRADIO_TEMP_DIR"])
    piece = Client(address, verbose=False).predict(handle_file(midi_file), api_name="/open")
    assert list(uploads.rglob("*.mid")) == []
    assert CLIENT.get(f"{address}file/{piece['key']}").content == midi_file.read_bytes()


def test_an_order_that_makes_no_sense_is_refused_in_a_sentence(address: str) -> None:
    client = Client(address, verbose=False)
    for order, sentence in [({"volume": 11}, "'volume' is not one of"), ({"length": "much"}, "length"), ("x", "JSON")]:
        with pytest.raises(Exception, match=sentence):
            client.submit(order, api_name="/compose").result()


def test_files_of_the_server_itself_cannot_be_opened(address: str) -> None:
    file = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    event = CLIENT.post(f"{address}gradio_api/call/open", json={"data": [file]}).json()["event_id"]
    answer = CLIENT.get(f"{address}gradio_api/call/open/{event}", timeout=30).text
    assert "event: error" in answer
    assert "root:" not in answer


@pytest.mark.parametrize(
    "path", ["file/nonsense", "file/..%2f..%2fetc%2fpasswd", "page/../page.py", "page/%2e%2e/page.py"]
)
def test_unknown_paths_are_refused(address: str, path: str) -> None:
    assert CLIENT.get(address + path).status_code in (400, 404)


def test_the_soundfont_is_lent_from_where_it_is_installed(address: str) -> None:
    font = soundfont_path()
    assert font is not None
    assert CLIENT.get(f"{address}soundfont").content[:4] == b"RIFF"
    assert not list(ASSETS.rglob("*.sf2")), "GPL: it must not be copied into the repository"


def test_the_examples_are_composed_once_for_all_visitors(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def compose(self: Example) -> None:
        raise AssertionError(f"{self.title} is composed again")

    monkeypatch.setattr(Example, "score", compose)
    examples = CLIENT.get(f"{address}setup").json()["examples"]
    assert [example["key"] for example in examples] == list(EXAMPLES)
    assert all(example["roll"]["tracks"] for example in examples)


def test_the_page_asks_for_nothing_from_elsewhere(address: str) -> None:
    with urllib.request.urlopen(address) as answer:
        policy, text = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert "default-src 'self'" in policy
    for page in (text, *(path.read_text() for path in ASSETS.glob("*.*s"))):
        assert not re.findall(r"""(?:src|href|url|from|import)\W{1,3}https?://""", page)
    assert json.loads(CLIENT.get(f"{address}setup").text)["has_sound"] is True


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(scheme: int) -> None:
    """WCAG AA: 4.5 to 1 for text, 3 to 1 for the notes' colours on the roll."""
    block = re.findall(r":root \{(.*?)\n *\}", (ASSETS / "style.css").read_text(), re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))

    def contrast(front: str, back: str) -> float:
        light, dark = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for front, back in [
        ("ink", "panel"),
        ("muted", "panel"),
        ("muted", "paper"),
        ("on-new", "new"),
        ("error", "error-paper"),
    ]:
        assert contrast(front, back) >= 4.5, f"{front} on {back}: {contrast(front, back):.2f}"
    for front in ("new", "accent", *(f"track-{number}" for number in range(8))):
        assert contrast(front, "row-black") >= 3, f"{front}: {contrast(front, 'row-black'):.2f}"
    assert contrast("field", "panel") >= 3


@pytest.fixture
def app() -> ModuleType:
    spec = importlib.util.spec_from_file_location("app", REPOSITORY / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("checkpoint", ["no/such/weights", str(REPOSITORY / "README.md"), str(REPOSITORY / "tests")])
def test_app_with_invalid_weights_ends_in_one_sentence(
    app: ModuleType, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["--checkpoint", checkpoint, "--no-browser"]) == 2
    written = capsys.readouterr().err
    assert written.startswith("app.py: ")
    assert len(written.strip().splitlines()) == 1


def test_app_is_thin() -> None:
    assert len((REPOSITORY / "app.py").read_text().splitlines()) < 60


def test_app_on_a_port_that_is_taken_ends_in_one_sentence(
    app: ModuleType,
    address: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("music_reformer.generation.generator.Generator.load", lambda *_, **__: StandInGenerator())
    port = address.rstrip("/").rsplit(":", 1)[1]
    assert app.main(["--port", port, "--no-browser", "--folder", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"app.py: the page cannot be served on 127.0.0.1, port {port}; " + (
        "choose another port or host\n"
    )
