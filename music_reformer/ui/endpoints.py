"""The operations as Gradio endpoints: queued, streamed, and also open to programs (`docs/api.md`)."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from typing import Any

from music_reformer.errors import UserError
from music_reformer.ui.editing import EditFields
from music_reformer.ui.export import EngraveFields, ExportFields
from music_reformer.ui.freed import giving_back
from music_reformer.ui.joining import JoinFields
from music_reformer.ui.lean_gradio import gr
from music_reformer.ui.operations import Operations
from music_reformer.ui.order import Order, StudyFields
from music_reformer.ui.uploads import Uploads

FAILED = "Something went wrong on the server; its log says what. Please try again."


def add_endpoints(server: gr.Server, operations: Operations, uploads: Uploads) -> None:
    """Add the operations to `server` under their names."""

    @server.api(name="open", concurrency_id="open", concurrency_limit=2)
    @_tell_the_visitor
    def open_file(file: gr.FileData) -> dict:
        """Check a MIDI file and keep it; returns its key, name and piano roll."""
        sent: Any = file  # anything that the gate let through, not a FileData
        with uploads.taken(sent) as path:
            original = sent.get("orig_name")
            name = original if isinstance(original, str) else path.name
            return operations.open_file(path, name=name)

    @server.api(name="example", concurrency_id="example", concurrency_limit=2)
    @_tell_the_visitor
    def open_example(name: str) -> dict:
        """Open one of the example pieces, as /open would."""
        return operations.open_example(name)

    @server.api(name="piece", concurrency_id="piece", concurrency_limit=2)
    @_tell_the_visitor
    def open_kept(key: str) -> dict:
        """Open a file that the server keeps, such as a variation, as /open would."""
        return operations.open_kept(key)

    @server.api(name="edit", concurrency_id="edit", concurrency_limit=2)
    @_tell_the_visitor
    def edit(edit: dict) -> dict:
        """Change notes of a piece (see `EditFields`); returns the changed piece, as /piece would."""
        return operations.edit(EditFields.read(edit))

    @server.api(name="join", concurrency_id="join", concurrency_limit=1)
    @_tell_the_visitor
    def join(join: dict) -> dict:
        """Join bars of several variations (see `JoinFields`); returns the piece, as /piece would."""
        return operations.join(JoinFields.read(join))

    @server.api(name="compose", concurrency_id="compose", concurrency_limit=operations.at_once)
    def compose(order: dict) -> Iterator[dict]:
        """Continue a piece (see `Order`); streams "start", "progress" ... and "done" reports."""
        # Closed at once when the visitor has gone: the session stops, and the next in the queue is served.
        with giving_back(), _telling_the_visitor(), closing(operations.compose(Order.read(order))) as reports:
            yield from reports

    @server.api(name="study", concurrency_id="study", concurrency_limit=1)
    def study(piece: str, cut_bar: int = -1, until_bar: int = -1) -> Iterator[dict]:
        """Train on a piece before continuing it; streams "study" reports, and finally "studied"."""
        fields = StudyFields(piece=piece, cut_bar=cut_bar, until_bar=until_bar)
        with giving_back(), _telling_the_visitor(), closing(operations.study(fields)) as reports:
            yield from reports

    @server.api(name="stop", concurrency_id="stop", queue=False)
    @_tell_the_visitor
    def stop(ticket: str) -> bool:
        """End a composition early, by the ticket from its "start" report; its "done" report follows."""
        return operations.stop(ticket)

    _add_forms(server, operations)


def _add_forms(server: gr.Server, operations: Operations) -> None:
    """Add the operations that return a piece in another format."""

    @server.api(name="export", concurrency_id="export", concurrency_limit=1)
    @_tell_the_visitor
    def export(piece: str, kind: str, since: int, until: int = -1, programs: Any = None, tracks: Any = None) -> dict:
        """Export a piece as "new" (its new notes), "tracks" (zip) or "musicxml"; returns the file's key and name.

        New notes begin at tick `since` or later and before `until` (-1: the end), in these programs and tracks (empty:
        all).
        """
        players = {name: value for name, value in (("programs", programs), ("tracks", tracks)) if value is not None}
        return operations.export(ExportFields(piece=piece, kind=kind, since=since, until=until, **players))

    @server.api(name="engrave", concurrency_id="engrave", concurrency_limit=1)
    @_tell_the_visitor
    def engrave(piece: str, bar: int = 0, width: int = 120) -> str:
        """Engrave a piece from `bar` on (counted from 0), in systems `width` staff spaces wide; returns JSON text."""
        return operations.engrave(EngraveFields(piece=piece, bar=bar, width=width))


@contextmanager
def _telling_the_visitor() -> Iterator[None]:
    """Send the sentence of a `UserError` to the visitor; other errors go only to the server's log."""
    try:
        yield
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
    except Exception as error:
        traceback.print_exc()
        raise gr.Error(FAILED, print_exception=False) from error


def _tell_the_visitor(operation: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operation)
    def wrapper(*args: Any) -> Any:
        with _telling_the_visitor():
            return operation(*args)

    return wrapper
