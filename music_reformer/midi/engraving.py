"""Engraves a piece: its bars as systems of SVG, from our own MusicXML, by Verovio.

A long piece is engraved in stretches: each call engraves as many bars from a given one on as can be done quickly, and
returns the bar at which the next stretch begins. A system left incomplete at the end of a stretch is left to the next
one, so that lines break as if the whole piece were engraved at once.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any
from xml.etree import ElementTree

from music_reformer.errors import UserError
from music_reformer.midi.engraved_svg import MEASURE, NOTE, TIED, TIED_OVER, Glyphs, plain_svg
from music_reformer.midi.limited import run_limited
from music_reformer.midi.notation import MARGIN, PAGE, WrittenPiece, staff_height, written_piece, xml_of

# A stretch ends before it has more notes, or more bars of parts, than this. The first is short: somebody waits for it.
FIRST_NOTES, MOST_NOTES, MOST_BARS = 400, 1200, 400
MAX_ANSWER = 20_000_000  # bytes
# In staff spaces. What is narrower than `ROOM_FOR_NAMES` has abbreviated names only.
NARROWEST, WIDEST, ROOM_FOR_NAMES = 30, 400, 90
UNITS = 18  # of Verovio to a staff space
OPTIONS = {
    "breaks": "auto",
    # A page takes one system at least, and this one has room for no more; then it is cut to the system.
    "pageHeight": 100,
    "adjustPageHeight": True,
    "pageMarginTop": 0,
    "pageMarginBottom": 0,
    "pageMarginLeft": 0,
    "pageMarginRight": 0,
    "header": "none",
    "footer": "none",
    "svgViewBox": True,
    "svgRemoveXlink": True,
    "scale": 100,
    "xmlIdSeed": 1,  # the same piece gives the same answer
}


def engraved(
    midi: bytes,
    *,
    name: str,
    bar: int = 0,
    width: int = 120,
    seconds: float = 300,
    cpu_seconds: int = 60,
    megabytes: int = 3000,
) -> str:
    """A stretch of a piece, engraved in a process of its own, as JSON text.

    It is an object of `first` and `next` (bars counted from 0, `next` null at the end), `bars` (of the piece), `parts`
    (from the top: name, program, -1 for drums, tracks of the file by index, and number of staves), `print_width` (in
    staff spaces, of an A4 page), `glyphs` (outlines that systems use, by name) and `systems`: objects of `first`,
    `bars`, `width` and `height` (in staff spaces) and `svg`. In an `svg`, elements with `data-bar` are measures, and
    those with `data-note` are notes: "part.bar.number", with a "t" after it where the note is tied to one before in
    its bar, an "o" where it is tied over the bar line.

    Args:
        midi: the piece; it is not trusted.
        name: what messages call it.
        bar: first bar of the stretch, counted from 0.
        width: width of a system, in staff spaces.
        seconds, cpu_seconds, megabytes: limits on time and memory.

    Raises:
        UserError: there is no such bar, there are too many notes, or engraving exceeded a limit.
    """
    return run_limited(
        engrave,
        [name, str(bar), str(width)],
        midi,
        name=name,
        doing="engraved",
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        megabytes=megabytes,
    ).decode()


def engrave(data: bytes, name: str, bar: str, width: str) -> bytes:
    """What `engraved` returns, made in this process: for pieces that we made ourselves."""
    piece = written_piece(data, name)
    first, spaces = int(bar), int(width)
    if first >= len(piece.bars):
        raise UserError(f"{name} has {len(piece.bars):,} bars; ask for one of them, counted from 0")
    span = _stretch(piece, first)
    glyphs: Glyphs = {}
    systems = list(_systems(_marked_xml(piece, span, spaces), spaces, glyphs))
    if span.stop < len(piece.bars) and len(systems) > 1:
        del systems[-1]
    end = systems[-1]["first"] + systems[-1]["bars"]
    num_staves = sum(len(part.staves) for part in piece.parts)
    answer = json.dumps(
        {
            "first": first,
            "next": end if end < len(piece.bars) else None,
            "bars": len(piece.bars),
            "parts": [
                {
                    "name": part.name,
                    "program": -1 if part.is_drum else part.program,
                    "tracks": part.tracks,
                    "staves": len(part.staves),
                }
                for part in piece.parts
            ],
            "print_width": round((PAGE[0] - 2 * MARGIN) / (staff_height(num_staves) / 4)),
            "glyphs": glyphs,
            "systems": systems,
        }
    ).encode()
    if len(answer) > MAX_ANSWER:
        raise UserError(f"{name} has too many notes in bars {first + 1} to {end} to be engraved")
    return answer


def _stretch(piece: WrittenPiece, first: int) -> range:
    """As many bars from `first` on as are engraved at a time; one at least."""
    starts = [bar.start for bar in piece.bars]
    counts = [0] * len(starts)
    for part in piece.parts:
        for onset, _, _ in part.notes():
            counts[bisect_right(starts, onset) - 1] += 1
    most = MOST_NOTES if first else FIRST_NOTES
    fitting = sum(total <= most for total in accumulate(counts[first:]))
    return range(first, first + max(1, min(fitting, MOST_BARS // len(piece.parts))))


def _marked_xml(piece: WrittenPiece, span: range, width: int) -> ElementTree.Element:
    """MusicXML of some bars, in which measures and notes have ids that Verovio keeps."""
    _, root = xml_of(piece, span, title="")
    for number, part in enumerate(root.iter("part")):
        for bar, measure in zip(span, part.iter("measure"), strict=True):
            measure.set("id", f"{MEASURE}{bar}")
            for place, (begins_bar, note) in enumerate(_notes(measure)):
                is_tied = any(tie.get("type") == "stop" for tie in note.iter("tie"))
                tied = "" if not is_tied else TIED_OVER if begins_bar else TIED
                note.set("id", f"{NOTE}{number}.{bar}.{place}{tied}")
    frame = piece.frame
    if span.start > 0 and frame.metres[span.start] == frame.metres[span.start - 1]:
        for time in (time for part in root.iter("part") for time in part.iterfind("measure[1]/attributes/time")):
            time.set("print-object", "no")
    if span.start > 0 or width < ROOM_FOR_NAMES:
        for listed in root.iter("score-part"):
            whole, short = listed.find("part-name"), listed.find("part-abbreviation")
            if whole is not None and short is not None:
                whole.text = short.text
    return root


def _notes(measure: ElementTree.Element) -> Iterator[tuple[bool, ElementTree.Element]]:
    """The notes of a measure, and whether each begins with it."""
    position = onset = 0
    for element in measure:
        length = int(element.findtext("duration", "0"))
        if element.tag == "note":
            if element.find("chord") is None:
                onset = position
                position += length
            if element.find("rest") is None:
                yield onset == 0, element
        elif element.tag in ("backup", "forward"):
            position += length if element.tag == "forward" else -length


def _systems(root: ElementTree.Element, width: int, glyphs: Glyphs) -> Iterator[dict[str, Any]]:
    """The systems of a piece of MusicXML; `glyphs` receives what they use."""
    import verovio

    verovio.enableLog(verovio.LOG_OFF)
    toolkit = verovio.toolkit()
    toolkit.setOptions({**OPTIONS, "pageWidth": width * UNITS})
    toolkit.loadData(ElementTree.tostring(root, encoding="unicode"))
    for page in range(1, toolkit.getPageCount() + 1):
        drawn = plain_svg(toolkit.renderToSVG(page), glyphs)
        if drawn.bars:
            yield {
                "first": drawn.bars[0],
                "bars": len(drawn.bars),
                "width": round(drawn.width / (10 * UNITS), 2),
                "height": round(drawn.height / (10 * UNITS), 2),
                "svg": drawn.text,
            }
