"""The web server: our own page in front, Gradio's server mode (queue, streaming, client API) behind it.

The browser loads `assets/index.html` and calls `endpoints.py` through Gradio's queue, exactly as a program would:

    from gradio_client import Client, handle_file
    client = Client("http://127.0.0.1:7860")
    piece = client.predict(handle_file("song.mid"), api_name="/open")
    order = {"piece": piece["key"], "length": "16bars", "variations": 2, "seed": 1, "style": "calm"}
    done = client.submit(order, api_name="/compose").result()
    for variation in done["variations"]:
        ...  # GET http://127.0.0.1:7860/file/<variation["key"]> is the MIDI file

`OrderFields` in `order.py` lists the fields of an order; `docs/api.md` documents the whole API. Every request passes
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

# Compositions at a time. Each occupies a core during steps, and blocks the others in Python between steps.
MOST_AT_ONCE = 4
# Sessions whose state Gradio keeps; a visitor has a new session for every call.
MAX_SESSIONS = 500
# Seconds for compositions to end, and for their visitors to be told, when the page closes.
CLOSING = 1.5


class PageServer(gr.Server):
    """Gradio's server behind our gate."""

    def build_middleware_stack(self) -> ASGIApp:
        """The whole application, with the gate outside everything that Gradio adds."""
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
        folder: where visitors' pieces are kept beyond the end of the program; None: in a temporary folder, removed when
            the program ends.
        at_once: number of compositions at a time; other visitors wait in the queue and are told their place. None: one
            per core, up to `MOST_AT_ONCE`.
        max_bytes: limit for all kept pieces; the longest unused are removed first.
        patience: seconds for which an order without a listener is kept.
        passages: index of the training music, in which variations are looked up; None: they are not.
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

    Answers requests to IP addresses, localhost, this machine's name (if others can reach it), and `allowed_hosts`.

    Args:
        page: from `build_page`.
        host: address to listen on.
        port: None: the first free port from 7860.
        open_browser: whether to open the page in a browser.
        block: print the address and serve until interrupted; False: return at once.
        allowed_hosts: further host names to answer to.
        when_served: called as soon as the page can be visited.

    Returns:
        The address of the page.

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
            _frontend=False,  # Gradio would request its own page, and give up on a machine too busy to answer in 3 s
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
    """Print where the page is, what it keeps, and who can use it."""
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
    """End all compositions, stop serving, and leave only visitors' pieces behind."""
    page.state.operations.stop_all()
    # In a thread, because it waits for open streams for as long as they last.
    closing = threading.Thread(target=page.get_blocks().close, kwargs={"verbose": False}, name="close", daemon=True)
    closing.start()
    closing.join(CLOSING)
    page.state.temporary.remove()


def _wait_for_a_signal() -> None:
    """Block until Ctrl+C or SIGTERM."""
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    while not ended.wait(0.5):  # without a limit, Windows would not hear Ctrl+C
        pass
    for number, handler in before.items():
        signal.signal(number, handler)
