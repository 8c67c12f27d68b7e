"""The web server: our own page in front, Gradio's server mode (queue, streaming, client API) behind it.

The browser loads `assets/index.html` and calls the endpoints below through Gradio's queue, exactly as a program would:

    from gradio_client import Client, handle_file
    client = Client("http://127.0.0.1:7860")
    piece = client.predict(handle_file("song.mid"), api_name="/open")
    order = {"piece": piece["key"], "length": "16bars", "variations": 2, "seed": 1, "style": "calm"}
    done = client.submit(order, api_name="/compose").result()
    for variation in done["variations"]:
        ...  # GET http://127.0.0.1:7860/file/<variation["key"]> is the MIDI file

`OrderFields` in `order.py` lists all that an order may say; `docs/api.md` has the whole of it. Every request passes
`gate.py` first.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

# Read when a page is built; without it the server reports to gradio.app.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# It makes a table of so many of the last calls after each call.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "10")

import gradio as gr
from fastapi import Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from music_reformer.config import to_plain
from music_reformer.cores import num_cores
from music_reformer.errors import UserError
from music_reformer.generation.generator import Generator
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.instruments import instrument_name
from music_reformer.midi.roll import roll_data
from music_reformer.midi.score import UPLOAD_BYTES
from music_reformer.ui import order as limits
from music_reformer.ui.calls import Endpoint
from music_reformer.ui.export import ExportFields
from music_reformer.ui.folders import TemporaryFolder
from music_reformer.ui.gate import Gate
from music_reformer.ui.hosts import Hosts
from music_reformer.ui.operations import Operations
from music_reformer.ui.order import Order
from music_reformer.ui.shelf import MAX_AGE, MAX_BYTES, Shelf
from music_reformer.ui.turns import Turns
from music_reformer.ui.uploads import Uploads

# A step holds a core, and what Python does between steps holds up the others.
MOST_AT_ONCE = 4
# Of which Gradio keeps what they last sent; a visitor has a new one for every call.
MAX_SESSIONS = 500
FAILED = "Something went wrong on the server; its log says what. Please try again."
MEDIA_TYPES = {".mid": "audio/midi", ".zip": "application/zip", ".musicxml": "application/vnd.recordare.musicxml+xml"}

ASSETS = Path(__file__).parent / "assets"


class PageServer(gr.Server):
    """Gradio's server behind our gate."""

    def build_middleware_stack(self) -> ASGIApp:
        """The whole application; the gate is outside of all that Gradio adds."""
        operations = [(options["api_name"], function, options["queue"]) for function, options in self._deferred_apis]
        endpoints = [Endpoint.of(name, function) for name, function, _ in operations]
        direct = [name for name, _, queued in operations if not queued]
        return Gate(
            super().build_middleware_stack(),
            endpoints=endpoints,
            direct=direct,
            turns=Turns(self.get_blocks()._queue),
            hosts=self.state.hosts,
        )


def soundfont_path() -> Path | None:
    """The General MIDI soundfont inside the installed pretty_midi, used in place (GPL-2: not ours to copy), or None."""
    spec = importlib.util.find_spec("pretty_midi")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    path = folder / "TimGM6mb.sf2" if folder else None
    return path if path is not None and path.is_file() else None


def build_page(
    *, generator: Generator, folder: Path | None = None, at_once: int | None = None, max_bytes: int = MAX_BYTES
) -> gr.Server:
    """The page as a Gradio server, ready for `launch_page`.

    Args:
        generator: composes for every visitor.
        folder: where visitors' pieces are kept, for the next start, too; None: in a temporary folder, removed when the
            program ends.
        at_once: visitors that are composed for at the same time; others wait in the queue and are told their place.
            None: one for each core, up to `MOST_AT_ONCE`.
        max_bytes: of all pieces that are kept; the longest unused go first.
    """
    temporary = TemporaryFolder()
    uploads = Uploads(temporary.path / "uploads")
    os.environ["GRADIO_TEMP_DIR"] = str(uploads.folder)
    at_once = at_once or min(MOST_AT_ONCE, num_cores())
    shelf = Shelf((folder or temporary.path) / "shelf", max_bytes=max_bytes)
    operations = Operations(generator=generator, shelf=shelf, at_once=at_once)
    server = PageServer(title="Music Reformer", docs_url=None, redoc_url=None)
    server.state.operations, server.state.uploads, server.state.temporary = operations, uploads, temporary
    _add_files(server, operations)
    _add_uploading(server, uploads)
    _add_operations(server, operations, uploads)
    return server


def launch_page(
    page: gr.Server,
    *,
    host: str,
    port: int | None,
    open_browser: bool,
    block: bool = True,
    allowed_hosts: Collection[str] = (),
) -> str:
    """Serve `page` on `host`:`port` (None: the first free port from 7860).

    With `block`, says where and serves until interrupted; else returns the address at once. Requests are answered that
    ask for an IP address, for localhost, for this machine's name where others can reach it, or for `allowed_hosts`.

    Raises:
        UserError: the port is taken, or the address is not one of this machine.
    """
    page.state.hosts = Hosts(host, allowed_hosts)
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            max_file_size=UPLOAD_BYTES,
            state_session_capacity=MAX_SESSIONS,
            share=False,
            ssr_mode=False,
            run_history=False,
            mcp_server=False,
            quiet=True,
            _frontend=False,  # it would ask itself for its page, and give up where a busy machine takes three seconds
        )
    except OSError as error:
        where = f"{host}, port {port}" if port else host
        raise UserError(f"the page cannot be served on {where}; choose another --port or --host") from error
    if block:
        _say_where(page, address)
        _wait_for_a_signal()
        close_page(page)
    return address


def _say_where(page: gr.Server, address: str) -> None:
    """Tell whoever started the page where it is, what it keeps, and who can use it."""
    shelf, hosts = page.state.operations.shelf, page.state.hosts
    kept = f"{shelf.max_bytes / 1e9:g} GB at most, {shelf.max_age / 86_400:g} days after their last use"
    lines = [
        f"Music Reformer is at {address} (Ctrl+C ends it)",
        f"Visitors' pieces are kept in {shelf.folder} ({kept})",
        hosts.meaning,
    ]
    sys.stdout.write("".join(f"{line}\n" for line in lines if line))
    sys.stdout.flush()


def close_page(page: gr.Server) -> None:
    """End what is being composed, stop serving, and leave nothing but visitors' pieces behind."""
    page.state.operations.stop_all()
    page.get_blocks().close(verbose=False)
    page.state.temporary.remove()


def _wait_for_a_signal() -> None:
    """Until Ctrl+C or SIGTERM."""
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    while not ended.wait(0.5):  # without a limit, Windows would not hear Ctrl+C
        pass
    for number, handler in before.items():
        signal.signal(number, handler)


def _add_files(server: gr.Server, operations: Operations) -> None:
    """Routes for what the browser only reads: the page, its assets, the soundfont, finished files."""
    soundfont = soundfont_path()

    @server.api_route("/", methods=["GET", "HEAD"])
    def index() -> Response:
        return FileResponse(ASSETS / "index.html")

    @server.get("/setup")
    def setup() -> Response:
        return JSONResponse(_setup(operations, has_sound=soundfont is not None))

    @server.get("/waiting")
    def waiting() -> Response:
        return JSONResponse(operations.waiting())

    @server.get("/file/{key}")
    def file(key: str) -> Response:
        try:
            path = operations.shelf.path(key)
        except UserError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], filename=path.name)

    @server.get("/soundfont")
    def soundfont_file() -> Response:
        if soundfont is None:
            return JSONResponse(
                {"error": "pretty_midi, which carries the soundfont, is not installed."}, status_code=404
            )
        return FileResponse(
            soundfont, media_type="application/octet-stream", headers={"Cache-Control": "max-age=86400"}
        )

    server.mount("/page", StaticFiles(directory=ASSETS), name="page")


def _add_uploading(server: gr.Server, uploads: Uploads) -> None:
    """Gradio's route for uploads, in our own form: Gradio's names files by their content, for all visitors alike."""

    @server.post("/gradio_api/upload")
    async def upload(request: Request) -> Response:
        """Keep one file until it is opened; returns a list of the path to open it by."""
        try:
            async with request.form(max_files=1, max_fields=1) as form:
                files = [value for value in form.values() if isinstance(value, UploadFile)]
                data, name = (await files[0].read(), str(files[0].filename)) if files else (b"", "")
        except HTTPException as error:
            return JSONResponse({"error": f"The form cannot be read ({error.detail})"}, status_code=400)
        if not files:
            return JSONResponse({"error": "Send one MIDI file as multipart/form-data."}, status_code=400)
        if len(data) > UPLOAD_BYTES:
            return JSONResponse({"error": f"A file may have {UPLOAD_BYTES:,} bytes at most."}, status_code=413)
        return JSONResponse([await run_in_threadpool(uploads.keep, data, name=name)])


def _add_operations(server: gr.Server, operations: Operations, uploads: Uploads) -> None:
    """The Gradio endpoints, which programs may call too."""

    @server.api(name="open", concurrency_id="open", concurrency_limit=2)
    @_tell_the_visitor
    def open_file(file: gr.FileData) -> dict:
        """Check a MIDI file and keep it; returns its key, name and piano roll."""
        sent: Any = file  # what the gate let through, whatever it is
        with uploads.taken(sent) as path:
            original = sent.get("orig_name")
            name = original if isinstance(original, str) else path.name
            return _with_roll_as_text(operations.open_file(path, name=name))

    @server.api(name="example", concurrency_id="example", concurrency_limit=2)
    @_tell_the_visitor
    def open_example(name: str) -> dict:
        """One of the example pieces, as if it had been opened."""
        return _with_roll_as_text(operations.open_example(name))

    @server.api(name="piece", concurrency_id="piece", concurrency_limit=2)
    @_tell_the_visitor
    def open_kept(key: str) -> dict:
        """A file that the server keeps (a variation, say), as /open would return it."""
        return _with_roll_as_text(operations.open_kept(key))

    @server.api(name="compose", concurrency_id="compose", concurrency_limit=operations.at_once)
    def compose(order: dict) -> Iterator[dict]:
        """Continue a piece (see `Order`); streams "start", "progress" ... and "done" reports."""
        with _telling_the_visitor():
            for report in operations.compose(Order.read(order)):
                if report["event"] == "done":
                    variations = [_with_roll_as_text(each) for each in report["variations"]]
                    yield {**report, "variations": variations}
                else:
                    yield report

    @server.api(name="export", concurrency_id="export", concurrency_limit=1)
    @_tell_the_visitor
    def export(piece: str, kind: str, since: int, until: int = -1, programs: list | None = None) -> dict:
        """A piece as "new" notes, "tracks" (zip) or "musicxml"; returns the file's key and name.

        New are those from tick `since` to before `until` (-1: to the end), of these programs (none: all).
        """
        wanted = [] if programs is None else programs
        return operations.export(ExportFields(piece=piece, kind=kind, since=since, until=until, programs=wanted))

    @server.api(name="stop", concurrency_id="stop", queue=False)
    @_tell_the_visitor
    def stop(ticket: str) -> bool:
        """End a composition early, by the ticket from its "start" report; its "done" report follows."""
        return operations.stop(ticket)


def _with_roll_as_text(piece: dict[str, Any]) -> dict[str, Any]:
    """The piece with its piano roll as JSON text: Gradio looks into every number of an answer, and meanwhile the server
    answers nobody.
    """
    return {**piece, "roll": json.dumps(piece["roll"], separators=(",", ":"))}


@contextmanager
def _telling_the_visitor() -> Iterator[None]:
    """Send the sentence of a `UserError` to the visitor; what else goes wrong stays in the server's log."""
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


def _setup(operations: Operations, *, has_sound: bool) -> dict[str, Any]:
    """What the page needs to know before anything is opened."""
    return {
        "examples": [
            {
                "key": key,
                "title": example.title,
                "character": example.character,
                "roll": roll_data(example.score()),
            }
            for key, example in EXAMPLES.items()
        ],
        "styles": {name: to_plain(config) for name, config in limits.STYLES.items()},
        "limits": {
            "bytes": UPLOAD_BYTES,
            "variations": limits.MAX_VARIATIONS,
            "instruments": limits.MAX_INSTRUMENTS,
            "bars": limits.MAX_BARS,
            "seconds": limits.MAX_SECONDS,
            "tempo": [limits.MIN_TEMPO, limits.MAX_TEMPO],
            "days": round(MAX_AGE / 86_400),
        },
        "keys": limits.KEYS,
        "metres": limits.METRES,
        "instruments": [instrument_name(program, drum=False) for program in range(128)],
        "has_sound": has_sound,
        "can_infill": operations.generator.can_infill,
        "kept_days": round(operations.shelf.max_age / 86_400),
    }
