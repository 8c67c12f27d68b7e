"""Only shapes and text of an untrusted drawing are kept."""

from __future__ import annotations

import re

import pytest

from music_reformer.midi.engraved_svg import CLASSES, SHAPES, plain_svg


def drawn(inside: str, definitions: str = "") -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg"><defs>{definitions}</defs>'
        f'<svg class="definition-scale" viewBox="0 0 100 50">{inside}</svg></svg>'
    )


def inner(text: str) -> str:
    return re.sub(r"^<svg[^>]*?/?>|</svg>$", "", text)


def test_elements_that_draw_nothing_are_left_out() -> None:
    """A drawing with everything that runs, loads or styles."""
    drawn = """<svg xmlns="http://www.w3.org/2000/svg" onload="a()"><style>*{fill:url(//x.example)}</style>
    <script>a()</script><svg class="definition-scale" viewBox="0 0 100 50"><a href="javascript:a()"><path d="M0 0"/></a>
    <image href="//x.example"/><foreignObject><b>x</b></foreignObject><animate attributeName="href"/>
    <g onclick="a()" class="note evil" id="note-0.0.1"><path d="M0 0" style="x" onclick="a()" fill="url(//x.example)"/>
    <use href="//x.example#E0A4-x"/><use href="#E0A4-x" x="1"/></g><g class="placeholder"><path d="M1 1"/></g>
    <text>a<tspan font-family="Leipzig" onclick="b">b</tspan></text></svg></svg>"""
    plain = plain_svg(drawn, {})
    assert plain.text == (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 50">'
        '<g class="note" data-note="0.0.1"><path d="M0 0" /><use href="#glyph-E0A4" x="1" /></g>'
        '<text>a<tspan class="music-font">b</tspan></text></svg>'
    )


@pytest.mark.parametrize("tag", sorted(SHAPES))
def test_shapes_keep_their_geometry(tag: str) -> None:
    found = plain_svg(
        drawn(f'<{tag} x="-1.5" d="M0 0l1,2z" fill="none" transform="translate(1 2)" id="a" class="b"/>'), {}
    )
    assert inner(found.text) == f'<{tag} x="-1.5" d="M0 0l1,2z" fill="none" transform="translate(1 2)" />'


@pytest.mark.parametrize("value", ["url(#a)", "1;2", "<x", "&quot;", "javascript:x", "#000"])
def test_attributes_with_unexpected_characters_are_left_out(value: str) -> None:
    escaped = value.replace("<", "&lt;")
    found = plain_svg(drawn(f'<rect x="{escaped}" fill="{escaped}"/>'), {})
    assert inner(found.text) == "<rect />"


def test_bar_numbers_are_listed_in_order() -> None:
    found = plain_svg(drawn('<g class="measure" id="bar-7"><g class="measure" id="bar-8"/></g><g id="bar-x"/>'), {})
    assert found.bars == [7, 8]
    assert (found.width, found.height) == (100, 50)


def test_groups_without_a_known_class_are_unwrapped() -> None:
    found = plain_svg(drawn('<g class="system"><g class="stem"><rect/></g></g>'), {})
    assert inner(found.text) == "<rect />"
    assert "stem" not in CLASSES


def test_outlines_are_collected_by_name_and_checked() -> None:
    glyphs: dict[str, str] = {}
    outlines = {"E0A4-abc": "M1 2", "E0A5-abc": "url(#x)", "other": "M0 0"}
    definitions = "".join(f'<g id="{name}"><path d="{outline}"/></g>' for name, outline in outlines.items())
    plain_svg(drawn("", definitions), glyphs)
    assert glyphs == {"E0A4": "M1 2"}


def test_escaped_text_stays_escaped() -> None:
    found = plain_svg(drawn("<text>&lt;script&gt;a &amp; b</text>"), {})
    assert inner(found.text) == "<text>&lt;script&gt;a &amp; b</text>"
