"""An installed wheel can do everything that a checkout can."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from music_reformer.cli import VERBS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Folders of the wheel that stand elsewhere in a checkout.
MOVED = PROJECT["tool"]["setuptools"]["package-dir"]
TINY = [
    *("model.width=16", "model.num_layers=2", "model.num_heads=2", "model.head_width=8"),
    *("model.feed_forward_width=32", "model.window=4", "model.num_buckets=[4]", "model.axial_shape=[256,128]"),
    *("trainer.max_steps=2", "trainer.row_tokens=256", "trainer.log_every=1", "trainer.accelerator=cpu"),
]


def test_every_package_is_named() -> None:
    packages = {
        str(path.parent.relative_to(ROOT)).replace(os.sep, ".") for path in (ROOT / "music_reformer").rglob("*.py")
    }
    without_modules = {"music_reformer.pretrained", *MOVED} - {"music_reformer"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages | without_modules


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: setuptools leaves build folders beside what it builds.
    checkout = folder / "checkout"
    names = ["music_reformer", "conf", "datasets/manifests", "pyproject.toml", "README.md", "LICENSE"]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            (checkout / name).write_bytes((ROOT / name).read_bytes())
    build = "from setuptools import build_meta; build_meta.build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=checkout, capture_output=True, check=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_has_all_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        there = set(archive.namelist())
    wanted = set()
    for package, folder in MOVED.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                wanted.add(f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}")
    assert not wanted - there
    assert "music_reformer/pretrained/model.safetensors" in there


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_verb_works_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    site = tmp_path / "venv" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # What the wheel needs is taken from here; the package itself is found first in its own folder.
    needed = [path for path in sys.path if path.endswith("-packages")] or [sysconfig.get_path("purelib")]
    (site / "needed.pth").write_text("".join(f"{path}\n" for path in needed))
    python = tmp_path / "venv" / "bin" / "python"

    def run(*arguments: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONPATH", None)
        result = subprocess.run(
            [python, "-m", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    where = subprocess.run(
        [python, "-c", "import music_reformer; print(music_reformer.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(site))
    for verb in VERBS:
        assert "Settings and their defaults" in run("music_reformer", verb, "--help")
    run("music_reformer.midi.examples", "demo")
    run(
        *("music_reformer", "prepare", "corpus.path=demo", "output=store", "near_duplicates=report"),
        *("corpus.validation_fraction=0.3", "workers=1"),
    )
    run("music_reformer", "train", "data=store", "output=run", *TINY)
    prompt = sorted((tmp_path / "demo").glob("*.mid"))[0]
    run("music_reformer", "generate", "checkpoint=run", f"prompts={prompt}", "output=out", "length=1bars", "cut_bar=1")
    run("music_reformer", "generate", f"prompts={prompt}", "output=shipped", "length=1bars", "cut_bar=1")
    assert len(list((tmp_path / "out").glob("*.mid"))) == len(list((tmp_path / "shipped").glob("*.mid"))) == 1
