"""One name, one idea: no two modules of the package, and no two public classes, share a name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "music_reformer"

# Names of modules that stand in several folders, with the reason.
SHARED_MODULE_NAMES = {
    "__init__.py": "every package has one",
    "command.py": "what a verb of the command line calls, in the package of its subject",
}


def shared(names: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: places for name, places in sorted(names.items()) if len(places) > 1}


def test_no_two_modules_share_a_name() -> None:
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        places[path.name].append(str(path.relative_to(PACKAGE)))
    assert shared(places).keys() - SHARED_MODULE_NAMES.keys() == set()


def test_no_two_public_classes_share_a_name() -> None:
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    assert shared(places) == {}


def test_only_attention_has_windows() -> None:
    """Rows of training tokens, spans of a piece and excerpts have names of their own."""
    for folder in ("data", "evaluation", "batch"):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            assert "window" not in path.read_text(), path  # "Windows" is something else
