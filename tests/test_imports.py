"""Imports go one way, and each third-party library has one home (DESIGN: "The parts")."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "music_reformer"

# What each part may import of the package; a part may always import itself.
MAY_IMPORT = {
    "errors": set(),
    "exit": set(),
    "ray_cluster": {"cores", "errors"},
    "config": {"errors"},
    "model": {"config", "errors", "files"},
    "midi": {"config", "errors", "files"},
    "data": {"children", "config", "cores", "errors", "files", "midi", "model", "ray_cluster"},
    "training": {"config", "errors", "files", "midi", "model", "data", "evaluation"},
    "generation": {"config", "errors", "midi", "model", "data"},
    "batch": {
        "children",
        "config",
        "cores",
        "errors",
        "files",
        "midi",
        "model",
        "data",
        "evaluation",
        "generation",
        "ray_cluster",
    },
    "children": set(),
    "cores": set(),
    "files": {"errors"},
    "evaluation": {"config", "errors", "files", "midi", "model", "data"},
    "ui": {"config", "cores", "errors", "files", "midi", "model", "evaluation", "generation"},
    "cli": {"config", "errors", "exit", "data", "training", "generation", "evaluation", "batch"},
    "sweep": {"cli", "config", "errors", "training"},
    "__main__": {"cli"},
}

HOMES = {
    "miditok": "midi/tokenizer.py",
    "pytorch_lightning": "training/",
    "gradio": "ui/lean_gradio.py",
    "hydra": ("cli.py", "sweep.py"),
    "omegaconf": ("cli.py", "sweep.py"),
    "music21": ("midi/notation.py", "midi/notation_elements.py", "midi/sheet.py"),
    "mido": "midi/sheet.py",
    "verovio": "midi/engraving.py",
    "safetensors": "model/weights.py",
    "matplotlib": ("training/plots.py", "evaluation/report_plots.py"),
    "pebble": ("data/prepare/encoders.py", "midi/", "batch/workers.py"),
    "triton": "model/kernels/triton_kernels.py",
    "numba": "model/kernels/numba_kernels.py",
    "llvmlite": "model/kernels/numba_kernels.py",
    "ray": ("ray_cluster.py", "data/prepare/on_ray.py"),
    "pyarrow": "data/prepare/on_ray.py",
    "datasketch": "data/prepare/near_duplicates.py",
    "httpx": "data/corpora/download.py",
    "platformdirs": "ui/folders.py",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def dotted(path: Path) -> str:
    """`music_reformer.model.reformer` of a file; a package is its `__init__.py`."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph() -> dict[str, set[str]]:
    """Which modules of the package each of them imports: at its top, in a function, or for type checking alone."""
    names = {dotted(path) for path in modules()}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                found = (inside & names) or {node.module or ""}
            else:
                continue
            graph[dotted(path)] |= found & names
    return graph


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":
        return
    assert part in MAY_IMPORT, f"say in this test what {part} may import"
    for name in imported(path):
        if name.startswith("music_reformer."):
            target = name.split(".")[1]
            assert target == part or target in MAY_IMPORT[part], f"{path} imports {name}"


def test_no_module_imports_itself_through_others() -> None:
    graph = import_graph()
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("library", HOMES)
def test_each_library_has_one_home(library: str) -> None:
    homes = HOMES[library]
    for path in modules():
        if any(name.split(".")[0] == library for name in imported(path)):
            assert str(path.relative_to(PACKAGE)).startswith(homes), f"{path} imports {library}"


def test_the_model_needs_torch_only() -> None:
    standard = {"__future__", "collections", "contextlib", "copy", "dataclasses", "hashlib", "json", "math", "pathlib"}
    standard |= {"functools", "importlib", "itertools", "pickle", "sys", "threading", "typing", "warnings", "zipfile"}
    at_home = {"weights.py": {"safetensors"}, "triton_kernels.py": {"triton"}}
    at_home |= {
        "cache.py": {"numpy"},
        "numba_step.py": {"numpy"},
        "numba_kernels.py": {"numba", "llvmlite", "numpy"},
    }
    for path in sorted((PACKAGE / "model").rglob("*.py")):
        for name in imported(path):
            top = name.split(".")[0]
            allowed = standard | {"torch", "music_reformer"} | at_home.get(path.name, set())
            assert top in allowed, f"{path.name} imports {name}"
