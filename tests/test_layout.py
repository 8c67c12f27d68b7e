"""Tests mirror the source: a module with behaviour has a test file of its name, in the same folder of the tests."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "music_reformer"

# Modules without behaviour of their own, and those that only another can be tested through, with the reason.
TESTED_ELSEWHERE = {
    "__main__.py": "one line; tests/test_wheel.py runs it",
    "model/kernels/triton_kernels.py": "launched by triton_attention.py alone, whose tests hold each to its oracle",
    "training/after_step.py": "a base class; tests/training/test_callbacks.py tests it with those that inherit",
    "ui/command.py": "reads its settings into others' calls; tests/ui/test_restart.py and tests/test_wheel.py run it",
    "ui/endpoints.py": "operations under Gradio's names; tests/ui/test_page.py and test_malformed_calls.py call each",
}


def modules() -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}


def has_test(module: str) -> bool:
    path = Path(module)
    return (TESTS / path.parent / f"test_{path.name}").is_file()


def test_every_module_has_a_test_file_of_its_name_or_a_reason() -> None:
    assert {module for module in modules() if not has_test(module)} == TESTED_ELSEWHERE.keys()


def test_test_files_have_names_of_their_own() -> None:
    """Two of one name cannot be imported in one run."""
    names = [path.name for path in TESTS.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
