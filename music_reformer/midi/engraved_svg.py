"""The SVG of a system as the page inserts it into its own document: rewritten, with nothing but what is drawn.

Names and lyrics come from a stranger's file. So nothing of an SVG is passed on as it is: elements and attributes that
are not listed here are left out, the characters of values are checked, and text stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

# Prefixes of the ids of measures and notes, and suffixes of notes that are tied to the note before, or across the bar
# line.
MEASURE, NOTE, TIED, TIED_OVER = "bar-", "note-", "t", "o"
NAMESPACE = "{http://www.w3.org/2000/svg}"
SHAPES = frozenset({"path", "rect", "ellipse", "polygon", "polyline", "line", "text", "tspan"})
NUMBERS = frozenset(
    {"x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "rx", "ry", "r", "width", "height", "d", "points", "transform"}
    | {"stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "stroke-opacity", "font-size"}
)
WORDS = frozenset({"fill", "stroke", "stroke-linecap", "stroke-linejoin", "font-style", "font-weight", "text-anchor"})
# Groups that the page tells apart; all others are only brackets around what they hold.
CLASSES = frozenset({"measure", "staff", "layer", "note", "label", "labelAbbr", "tempo", "verse", "mNum", "dir"})
HIDDEN = "placeholder"  # what Verovio draws for its editors
NUMBER_LIKE = re.compile(r"[\w\s.,()+-]*")
WORD_LIKE = re.compile(r"[a-zA-Z-]*")
GLYPH = re.compile(r"#?([0-9A-F]{4,5})-\w+")
BAR_ID, NOTE_ID = re.compile(rf"{MEASURE}(\d+)"), re.compile(rf"{NOTE}(\d+\.\d+\.\d+[{TIED}{TIED_OVER}]?)")
MUSIC_FONT = "Leipzig"

# Outlines by the name of the glyph, each the "d" of a path whose y axis points up.
Glyphs = dict[str, str]


@dataclass(frozen=True)
class PlainSvg:
    """A system: its text, its size in tenths of Verovio's units, and its bars, counted from 0."""

    text: str
    width: float
    height: float
    bars: list[int]


def plain_svg(drawn: str, glyphs: Glyphs) -> PlainSvg:
    """A page drawn by Verovio, reduced to its shapes; `glyphs` receives the outlines that they use."""
    root = ElementTree.fromstring(drawn)
    for definition in root.iterfind(f"{NAMESPACE}defs/{NAMESPACE}g"):
        name = GLYPH.fullmatch(definition.get("id", ""))
        outline = definition.find(f"{NAMESPACE}path")
        if name and outline is not None and NUMBER_LIKE.fullmatch(outline.get("d", "")):
            glyphs[name[1]] = outline.get("d", "")
    inner = next(each for each in root.iter(f"{NAMESPACE}svg") if "definition-scale" in each.get("class", ""))
    width, height = (float(number) for number in inner.get("viewBox", "").split()[2:])
    plain = ElementTree.Element("svg", {"xmlns": NAMESPACE[1:-1], "viewBox": f"0 0 {width:g} {height:g}"})
    for child in inner:
        plain.extend(_kept(child))
    bars = [int(each.get("data-bar", "")) for each in plain.iter("g") if each.get("data-bar")]
    return PlainSvg(ElementTree.tostring(plain, encoding="unicode"), width, height, bars)


def _kept(element: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """An element as it is kept: itself, what it holds, or nothing."""
    tag = element.tag.removeprefix(NAMESPACE)
    if tag == "g":
        if HIDDEN in element.get("class", "").split():
            return
        made = ElementTree.Element("g", _group(element))
        made.extend(each for child in element for each in _kept(child))
        if made.attrib:
            yield made
        else:
            yield from made
    elif tag == "use":
        if (name := GLYPH.fullmatch(element.get("href", ""))) is not None:
            yield ElementTree.Element("use", {"href": f"#glyph-{name[1]}", **_drawing(element)})
    elif tag in SHAPES:
        made = ElementTree.Element(tag, _drawing(element))
        if element.get("font-family") == MUSIC_FONT:
            made.set("class", "music-font")
        made.text = element.text if (element.text or "").strip() else None
        made.extend(each for child in element for each in _kept(child))
        yield made


def _group(element: ElementTree.Element) -> dict[str, str]:
    """The attributes of a group that are kept: its class, bar, note and transformation."""
    kept = _drawing(element)
    classes = [each for each in element.get("class", "").split() if each in CLASSES]
    if classes:
        kept["class"] = classes[0]
    for name, pattern in (("data-bar", BAR_ID), ("data-note", NOTE_ID)):
        if found := pattern.fullmatch(element.get("id", "")):
            kept[name] = found[1]
    return kept


def _drawing(element: ElementTree.Element) -> dict[str, str]:
    return {
        name: value
        for name, value in element.attrib.items()
        if (name in NUMBERS and NUMBER_LIKE.fullmatch(value)) or (name in WORDS and WORD_LIKE.fullmatch(value))
    }
