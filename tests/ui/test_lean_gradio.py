"""What the process that serves the page loads and writes, and that Gradio does without the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# All that `music-reformer app` loads, until it is ready to compose.
SERVED = """
import os
import signal
import sys

from music_reformer.config import AppConfig
from music_reformer.generation.generator import Generator
from music_reformer.ui.command import app

def prepare(self, prepare=Generator.prepare):
    prepare(self)
    os.kill(os.getpid(), signal.SIGTERM)

Generator.prepare = prepare
app(AppConfig(folder=sys.argv[1], open_browser=False))
print(*sys.modules)
"""
# Each takes 10 to 150 MB, or a second.
NOT_NEEDED = [
    "matplotlib",
    "miditok",
    "music21",
    "pandas",
    "pytorch_lightning",
    "scipy.linalg",
    "sklearn",
    "sympy",
    "torch._dynamo",
    "triton",
    "verovio",
]
# An application, created but not served.
CREATED = """
from music_reformer.ui.folders import TemporaryFolder
from music_reformer.ui.lean_gradio import gr, set_folders
import gradio.routes

folder = TemporaryFolder()
set_folders(uploads=folder.path / "uploads", others=folder.path / "gradio")
with gr.Blocks() as blocks:
    pass
gradio.routes.App.create_app(blocks)
print(*(path.relative_to(folder.path) for path in folder.path.rglob("*")))
"""
# Tables, the editor's stubs and matplotlib's backend, as they are after the import.
USED_ALL_THE_SAME = """
from music_reformer.ui.lean_gradio import gr
import inspect
import gradio.utils

assert inspect.getfile(gr.Server)
with gradio.utils.MatplotlibBackendMananger():
    pass
assert gr.Dataframe(headers=["a"]).postprocess([[1]]).data == [[1]]
import pandas

assert pandas.DataFrame({"a": [1]}).shape == (1, 1)
"""


def run(program: str, *arguments: str, temporary: Path | None = None) -> list[str]:
    environment = os.environ if temporary is None else {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_server_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    loaded = run(SERVED, str(tmp_path))
    assert {"gradio", "music_reformer.model.kernels.numba_kernels"} <= set(loaded)
    assert not set(NOT_NEEDED) & set(loaded)


def test_deferred_modules_load_when_used() -> None:
    run(USED_ALL_THE_SAME)


def test_importing_gradio_writes_no_temporary_files(tmp_path: Path) -> None:
    run("from music_reformer.ui.lean_gradio import gr", temporary=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_gradio_writes_only_into_folders_that_end_with_the_page(tmp_path: Path) -> None:
    assert any(path.startswith("gradio") for path in run(CREATED, temporary=tmp_path))
    assert list(tmp_path.iterdir()) == []
