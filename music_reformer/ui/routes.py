"""Routes for plain HTTP: the page and its assets, finished files, the soundfont, and uploads.

The operations, which go through Gradio's queue, are in `endpoints.py`.
"""

from __future__ import annotations

import base64
import functools
import importlib.util
import json
import re
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from music_reformer.config import require, to_plain
from music_reformer.errors import UserError
from music_reformer.midi.engraved_svg import MUSIC_FONT
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.instruments import instrument_name
from music_reformer.midi.roll import roll_data
from music_reformer.midi.score import UPLOAD_BYTES
from music_reformer.ui import order as limits
from music_reformer.ui.export import PartFields
from music_reformer.ui.operations import Operations
from music_reformer.ui.uploads import Uploads

MEDIA_TYPES = {".mid": "audio/midi", ".zip": "application/zip", ".musicxml": "application/vnd.recordare.musicxml+xml"}

WHOLE_NUMBER = re.compile(r"-?\d{1,9}")
MAX_PARTS = 4  # parts made at a time: these do not go through the queue
BUSY = "Too many visitors are downloading parts of their pieces just now; try again in a moment."

ASSETS = Path(__file__).parent / "assets"


def add_files(server: FastAPI, operations: Operations) -> None:
    """Routes for what the browser only reads: the page, its assets, the soundfont, finished files."""
    soundfont = soundfont_path()
    # Made only once, because the examples are written and drawn for it.
    about = json.dumps(_setup(operations, has_sound=soundfont is not None))

    @server.api_route("/", methods=["GET", "HEAD"])
    def index() -> Response:
        return FileResponse(ASSETS / "index.html")

    @server.get("/setup")
    def setup() -> Response:
        return Response(about, media_type="application/json")

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

    _add_parts(server, operations)

    @server.get("/soundfont")
    def soundfont_file() -> Response:
        if soundfont is None:
            return JSONResponse(
                {"error": "pretty_midi, which carries the soundfont, is not installed."}, status_code=404
            )
        return FileResponse(
            soundfont, media_type="application/octet-stream", headers={"Cache-Control": "max-age=86400"}
        )

    @server.get("/music-font")
    def music_font_file() -> Response:
        headers = {"Cache-Control": "max-age=86400"}
        return Response(music_font(), media_type="font/woff2", headers=headers)

    server.mount("/page", StaticFiles(directory=ASSETS), name="page")


def _add_parts(server: FastAPI, operations: Operations) -> None:
    """Add a route for parts of a piece: browsers fetch what is dragged out of the page by its address alone."""
    free = threading.BoundedSemaphore(MAX_PARTS)

    @server.get("/part/{key}")
    def part(key: str, first_bar: str = "0", end_bar: str = "-1", tracks: str = "", notes: str = "") -> Response:
        if not free.acquire(blocking=False):
            return JSONResponse({"error": BUSY}, status_code=503)
        try:
            fields = PartFields(
                piece=key,
                first_bar=_number(first_bar),
                end_bar=_number(end_bar),
                tracks=[_number(text) for text in tracks.split(",") if text],
                notes=[[_number(text) for text in note.split(".")] for note in notes.split(",") if note],
            )
            data, name = operations.part(fields)
        except UserError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        finally:
            free.release()
        headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(name)}"}
        return Response(data, media_type=MEDIA_TYPES[".mid"], headers=headers)


def _number(text: str) -> int:
    """Parse a whole number in an address. Raises `UserError` for anything else."""
    require(WHOLE_NUMBER.fullmatch(text) is not None, f"Bars, tracks and notes must be numbers, not {text!r:.40}.")
    return int(text)


def add_uploading(server: FastAPI, uploads: Uploads) -> None:
    """Replace Gradio's route for uploads, which names files by their content, so that visitors could share them."""

    @server.post("/gradio_api/upload")
    async def upload(request: Request) -> Response:
        """Keep one file until it is opened; returns a list with the path for opening it."""
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


def soundfont_path() -> Path | None:
    """The General MIDI soundfont inside the installed pretty_midi, used in place (GPL-2: not ours to copy), or None."""
    spec = importlib.util.find_spec("pretty_midi")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    path = folder / "TimGM6mb.sf2" if folder else None
    return path if path is not None and path.is_file() else None


@functools.cache
def music_font() -> bytes:
    """The font of the notes in tempo marks, from the installed Verovio (SIL Open Font License)."""
    spec = importlib.util.find_spec("verovio")
    assert spec is not None
    assert spec.origin is not None
    style = (Path(spec.origin).parent / "data" / f"{MUSIC_FONT}.css").read_text()
    encoded = re.search(r"base64,([A-Za-z0-9+/=]+)", style)
    assert encoded is not None
    return base64.b64decode(encoded[1])


def _setup(operations: Operations, *, has_sound: bool) -> dict[str, Any]:
    """The data that the page needs before anything is opened."""
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
            "variations": limits.MAX_ORDERED_VARIATIONS,
            "instruments": limits.MAX_INSTRUMENTS,
            "bars": limits.MAX_BARS,
            "seconds": limits.MAX_SECONDS,
            "tempo": [limits.MIN_TEMPO, limits.MAX_TEMPO],
        },
        "keys": limits.KEYS,
        "metres": limits.METRES,
        "instruments": [instrument_name(program, drum=False) for program in range(128)],
        "has_sound": has_sound,
        "can_infill": operations.generator.can_infill,
        "can_end": operations.generator.can_end,
        "can_be_steered": operations.generator.can_be_steered,
        "kept_days": round(operations.shelf.max_age / 86_400),
    }
