"""The report on a corpus: key, tempo and metre, in one self-contained page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from music_reformer.config import CorpusConfig, PrepareConfig
from music_reformer.data.corpora.corpus_manifest import CorpusManifest
from music_reformer.data.corpora.splits import CorpusFile
from music_reformer.data.prepare import midi as prepare
from music_reformer.data.prepare.corpus_report import KINDS_OF_REASONS, report_page
from music_reformer.data.prepare.counts import CorpusCounts
from music_reformer.data.prepare.journal import FileOutcome

EVIL = "<script>alert('x')</script>.mid"


def outcome(number: int, **details: object) -> FileOutcome:
    pitches = np.zeros(128, dtype=np.int64)
    pitches[60] = 10
    return FileOutcome(
        file=CorpusFile(f"{number}.mid", f"{number}", ("train", "train", "test")[number % 3]),
        reason=None,
        kind="",
        original=f"{number}.mid",
        begin=0,
        length=1000 * (number + 1),
        details={
            "num_notes": 10,
            "seconds": 90.0,
            "bpm": 123.0,
            "metre": "3/4",
            "key": 9,
            "programs": [0, 128],
            **details,
        },
        signature=None,
        pitches=pitches,
    )


def test_several_corpora_have_a_table() -> None:
    summary = CorpusCounts()
    for number, corpus in enumerate(["hymns", "rags & more", "rags & more", "hymns"]):
        summary.add(outcome(number), corpus=corpus)
    summary.skip("duplicate", "the same", corpus="hymns")
    page = report_page(summary, [], MANIFEST, CONFIG)
    row = "".join(f'<td class="number">{value}</td>' for value in (2, 20, "5,000", 2, 0, 0, 1))
    assert f'<th scope="row">hymns</th>{row}' in page
    assert "rags &amp; more" in page
    assert "<h2>Corpora</h2>" not in report_page(summary_of([0, 1]), [], MANIFEST, CONFIG)


def summary_of(numbers: list[int]) -> CorpusCounts:
    summary = CorpusCounts()
    for number in numbers:
        summary.add(outcome(number))
    summary.skip("unreadable", "it is damaged")
    summary.skip("unreadable", "it is damaged")
    summary.skip("near-duplicate", "nearly the same notes as it")
    return summary


GROUPS = [
    {
        "pieces": [
            {"source": EVIL, "split": "test", "similarity": 1.0, "used": True},
            {"source": "caf\udce9.mid", "split": "train", "similarity": 0.873, "used": False},
        ]
    }
]
MANIFEST = CorpusManifest(
    name="A & B", source="https://example.org/a", licence="MIT <x>", citation="Somebody: Something."
)
CONFIG = PrepareConfig(corpus=CorpusConfig(path="x"))


class Page(HTMLParser):
    """Parses a page: its elements, their references, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("href", "src", "data", "action")]

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_the_page_says_what_the_corpus_has_and_needs_nothing_else() -> None:
    text = report_page(summary_of([0, 1, 2, 3]), GROUPS, MANIFEST, CONFIG)
    page = Page(text)
    words = " ".join(page.text.split())
    for part in ("A & B", "MIT <x>", "Somebody: Something.", "train 3 75.0%", "test 1 25.0%", "0.1 hours of music"):
        assert part in words, part
    assert "unreadable 2 near-duplicate 1" in words
    assert "120 to 130: 4 pieces" in words
    assert "1:30 to 2:00: 4 pieces" in words
    assert "C4: 40 notes" in words
    assert "A major: 4 pieces" in words
    assert "Acoustic Grand Piano 4" in words
    assert "Drums 4" in words
    assert EVIL in words
    assert "test, 100%" in words
    assert "train, 87%" in words
    assert page.links == ["https://example.org/a"]
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "@import" not in text
    assert "url(" not in text


def test_the_report_does_not_depend_on_the_order_of_pieces() -> None:
    first = report_page(summary_of([0, 1, 2, 3]), GROUPS, MANIFEST, CONFIG)
    assert report_page(summary_of([3, 1, 0, 2]), GROUPS, MANIFEST, CONFIG) == first


def test_a_corpus_without_manifest_or_key_has_a_report() -> None:
    summary = CorpusCounts()
    summary.add(outcome(0, key=None))
    text = Page(report_page(summary, [], CorpusManifest(), CONFIG)).text
    assert "no manifest states its source or licence" in text
    assert "every file is used" in text
    assert "None found" in text


def test_every_reason_that_is_counted_is_explained() -> None:
    """The kinds of reasons are taken from the source code."""
    folder = Path(prepare.__file__).parent
    code = "".join(
        (folder / f"{name}.py").read_text() for name in ("encode", "encoders", "quality", "assemble", "journal")
    )
    given = re.findall(r'"kind": "([^"]+)"|kind or "([^"]+)"|return\s*\(?\s*"([a-z -]+)",\s*f?"', code)
    assert {kind for kinds in given for kind in kinds if kind} == set(KINDS_OF_REASONS)
