"""The web server: our own page in front, Gradio's server mode (queue, streaming, client API) behind it.

The browser loads `assets/index.html` and calls `endpoints.py` through Gradio's queue, exactly as a program would:

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

import signal
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path

import numpy.ma  # noqa: F401 - `np.unique` would load it in the first visitor's call
from starlette.types import ASGIApp

from music_reformer.cores import num_cores
from music_reformer.errors import UserError
from music_reformer.evaluation.passages import KnownPassages
from music_reformer.generation.generator import Generator
from music_reformer.midi.score import UPLOAD_BYTES
from music_reformer.ui.calls import Endpoint
from music_reformer.ui.endpoints import add_endpoints
from music_reformer.ui.folders import TemporaryFolder
from music_reformer.ui.gate import Gate
from music_reformer.ui.hosts import Hosts
from music_reformer.ui.lean_gradio import gr, set_folders
from music_reformer.ui.operations import Operations
from music_reformer.ui.routes import add_files, add_uploading
from music_reformer.ui.shelf import MAX_BYTES, Shelf
from music_reformer.ui.turns import PATIENCE, Turns
from music_reformer.ui.uploads import Uploads

# A step holds a core, and what Python does between steps holds up the others.
MOST_AT_ONCE = 4
# Of which Gradio keeps what they last sent; a visitor has a new one for every call.
MAX_SESSIONS = 500
# Seconds for what is being composed to end, and for its visitors to be told, when the page closes.
CLOSING = 1.5


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
            turns=Turns(self.get_blocks()._queue, patience=self.state.patience),
            hosts=self.state.hosts,
        )


def build_page(
    *,
    generator: Generator,
    folder: Path | None = None,
    at_once: int | None = None,
    max_bytes: int = MAX_BYTES,
    patience: float = PATIENCE,
    passages: KnownPassages | None = None,
) -> gr.Server:
    """The page as a Gradio server, ready for `launch_page`.

    Args:
        generator: composes for every visitor.
        folder: where visitors' pieces are kept, for the next start, too; None: in a temporary folder, removed when the
            program ends.
        at_once: visitors that are composed for at the same time; others wait in the queue and are told their place.
            None: one for each core, up to `MOST_AT_ONCE`.
        max_bytes: of all pieces that are kept; the longest unused go first.
        patience: seconds for which an order is kept that nobody listens to.
        passages: those of the training set, in which variations are looked up.
    """
    temporary = TemporaryFolder()
    uploads = Uploads(temporary.path / "uploads")
    set_folders(uploads=uploads.folder, others=temporary.path / "gradio")
    at_once = at_once or min(MOST_AT_ONCE, num_cores())
    shelf = Shelf((folder or temporary.path) / "shelf", max_bytes=max_bytes)
    operations = Operations(generator=generator, shelf=shelf, at_once=at_once, passages=passages)
    server = PageServer(title="Music Reformer", docs_url=None, redoc_url=None)
    server.state.operations, server.state.uploads, server.state.temporary = operations, uploads, temporary
    server.state.patience = patience
    add_files(server, operations)
    add_uploading(server, uploads)
    add_endpoints(server, operations, uploads)
    return server


def launch_page(
    page: gr.Server,
    *,
    host: str,
    port: int | None,
    open_browser: bool,
    block: bool = True,
    allowed_hosts: Collection[str] = (),
    when_served: Callable[[], object] | None = None,
) -> str:
    """Serve `page` on `host`:`port` (None: the first free port from 7860).

    With `block`, says where and serves until interrupted; else returns the address at once. Requests are answered that
    ask for an IP address, for localhost, for this machine's name where others can reach it, or for `allowed_hosts`.
    `when_served` is called as soon as the page can be visited.

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
        raise UserError(f"the page cannot be served on {where}; choose another port or host") from error
    if when_served is not None:
        when_served()
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
    # In a thread, because it waits for open streams for as long as they last.
    closing = threading.Thread(target=page.get_blocks().close, kwargs={"verbose": False}, name="close", daemon=True)
    closing.start()
    closing.join(CLOSING)
    page.state.temporary.remove()


def _wait_for_a_signal() -> None:
    """Until Ctrl+C or SIGTERM."""
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    while not ended.wait(0.5):  # without a limit, Windows would not hear Ctrl+C
        pass
    for number, handler in before.items():
        signal.signal(number, handler)
