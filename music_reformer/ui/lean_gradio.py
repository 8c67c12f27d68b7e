"""Gradio, imported without what this page does not need: `from music_reformer.ui.lean_gradio import gr`.

The page has no tables and no plots. By default, Gradio loads pandas for tables, loads matplotlib in the first visitor's
call, and at every start writes stubs for editors beside its own sources: 60 MB, and half of its import time.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

# Read when a page is built; by default, the server would report to gradio.app.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# Gradio keeps this number of last calls, and makes a table of them after this number of further calls.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "10")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))


class _Unloaded(ModuleType):
    """Stands in for a module until one of its attributes is used."""

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":  # asked of every module by `inspect`
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def _unloaded(name: str) -> Iterator[None]:
    """Within the block, importing a module defers loading it until its first use; other imports load it as usual."""
    if name in sys.modules:
        yield
        return
    stand_in = sys.modules[name] = _Unloaded(name)
    try:
        yield
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]


# Gradio writes no stubs if it finds no sources, as in programs shipped without them.
with _unloaded("pandas"), mock.patch.object(inspect, "getfile", side_effect=OSError("no sources")):
    import gradio as gr
    import gradio.routes
    import gradio.utils

# Gradio would load matplotlib in every call, to set the backend of plots.
gradio.utils.MatplotlibBackendMananger = contextlib.nullcontext  # type: ignore[misc, assignment]


def set_folders(*, uploads: Path, others: Path) -> None:
    """Tell Gradio where to write, before its application is created.

    Args:
        uploads: for visitors' files.
        others: for everything else; made when it is needed.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    # Copied from the environment at import; every application makes a folder in it.
    gradio.routes.DEFAULT_TEMP_DIR = str(others)


__all__ = ["gr", "set_folders"]
