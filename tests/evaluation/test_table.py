"""The figures printed to a terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from music_reformer.evaluation.table import print_figures


def shown(figures: dict[str, Any]) -> str:
    stream = io.StringIO()
    print_figures(figures, Console(file=stream, width=120))
    return stream.getvalue()


def test_the_likelihood_table_with_and_without_notes() -> None:
    value = {"value": 1.25, "low": 1.0, "high": 1.5}
    figures: dict[str, Any] = {
        "split": "test",
        "pieces": 2,
        "pieces_too_long": 1,
        "targets": 1000,
        "notes": 250,
        "rounds": 4,
        "nats_per_token": value,
        "nats_per_token_without_end": value,
        "bits_per_note": value,
        "ngram": {"order": 5, "nats_per_token": value},
        "by_corpus": {
            name: {"pieces": 1, "targets": 500, "nats_per_token": value, "nats_per_note": per_note}
            for name, per_note in (("hymns", {**value, "value": 7.5}), ("numbers", None))
        },
        "by_type": {"Pitch": {"targets": 250, "nats_per_token": 2.0, "share": 0.5}},
        "by_position": [{"from": 1, "to": 1, "targets": 2, "nats_per_token": 3.0}],
        "by_context": [{"context": 256, "pieces": 2, "nats_per_token": value}, {"context": 0, "nats_per_token": value}],
    }
    text = shown(figures)
    assert "2 pieces of the test split, 1,000 tokens, 250 notes; 4 hash rounds" in text
    assert "1 more pieces are longer than the model's positions and were skipped" in text
    assert "1.2500" in text
    assert "1.0000 to 1.5000" in text
    assert "interpolated 5-gram" in text
    assert "50.0%" in text
    assert "whole piece" in text
    assert "hymns" in text
    assert "7.5000" in text
    text = shown({**figures, "by_corpus": {}, "notes": 0, "ngram": None, "by_context": [], "pieces_too_long": 0})
    assert "1,000 tokens, 4 hash rounds" in text
    assert "gram" not in text
    assert "hymns" not in text
    assert "whole piece" not in text


def test_empty_figures_print_nothing() -> None:
    assert shown({"split": "test"}) == ""
