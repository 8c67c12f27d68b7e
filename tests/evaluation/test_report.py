"""The report is one self-contained file, in which names are escaped."""

from __future__ import annotations

import re
from typing import Any

from music_reformer.evaluation.report import report


def value(number: float) -> dict[str, float]:
    return {"value": number, "low": number - 0.1, "high": number + 0.1}


def figures(**changes: Any) -> dict[str, Any]:
    by_type = {
        "Pitch": {"targets": 60, "nats_per_token": 2.0, "low": 1.9, "high": 2.1, "share": 0.9},
        "EOS": {"targets": 2, "nats_per_token": 0.1, "low": 0.0, "high": 0.2, "share": 0.002},
    }
    positions = [
        {"from": 2**i, "to": 2 ** (i + 1) - 1, "targets": 2**i, "nats_per_token": 2.0, "low": 1.9, "high": 2.1}
        for i in range(4)
    ]
    return {
        "data": "datasets/<script>",
        "split": "test",
        "checkpoint": "runs/a&b",
        "weights": "0123456789abcdef",
        "parameters": 1234,
        "rounds": 2,
        "pieces": 2,
        "targets": 62,
        "notes": 20,
        "seconds": 30.0,
        "pieces_too_long": 3,
        "nats_per_token": value(1.5),
        "nats_per_token_without_end": value(1.6),
        "bits_per_note": value(5.0),
        "by_corpus": {},
        "by_type": by_type,
        "by_position": positions,
        "by_context": [],
        "by_piece": [
            {"source": "a.mid", "targets": 31, "nats": 40.0},
            {"source": "b.mid", "targets": 31, "nats": 50.0},
        ],
        "ngram": None,
        **changes,
    }


def test_corpora_have_a_table() -> None:
    row = {"pieces": 1, "targets": 31, "notes": 9, "nats_per_token": value(1.25), "nats_per_note": None}
    page = report(figures(by_corpus={"<hymns>": row, "rags": {**row, "nats_per_note": value(7.75)}}))
    assert "<td>&lt;hymns&gt;</td><td>1</td><td>31</td><td>1.250" in page
    assert "<td>7.750" in page
    assert "nats per note" not in report(figures())


def test_the_page_shows_the_figures_and_escapes_names() -> None:
    page = report(figures())
    assert "<b>1.500</b>" in page
    assert "1.400 to 1.600" in page
    assert "3 more pieces are longer" in page
    assert "&lt;script&gt;" in page
    assert "runs/a&amp;b" in page
    assert "<script" not in page
    assert not re.search(r'(src|href)="http|@import|url\(http', page)
    assert "Baseline" not in page


def test_a_baseline_and_contexts_are_shown_if_given() -> None:
    contexts = [{"context": size, "pieces": 2, "nats_per_token": value(1.9)} for size in (256, 0)]
    page = report(figures(ngram={"order": 5, "nats_per_token": value(2.5)}, by_context=contexts))
    assert "interpolated 5-gram" in page
    assert "By length of context" in page
