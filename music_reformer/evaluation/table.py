"""Prints the figures of `evaluate` to a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from music_reformer.evaluation.musical import STATISTICS


def print_figures(figures: dict[str, Any], console: Console) -> None:
    """Print the figures of `evaluate`."""
    if "nats_per_token" in figures:
        _print_likelihood(figures, console)
    if "generated" in figures:
        _print_generated(figures["generated"], figures["split"], console)


def _print_likelihood(figures: dict[str, Any], console: Console) -> None:
    notes = f"{figures['notes']:,} notes; " if figures["notes"] else ""
    console.print(
        f"{figures['pieces']:,} pieces of the {figures['split']} split, {figures['targets']:,} tokens, "
        f"{notes}{figures['rounds']} hash rounds"
    )
    if figures["pieces_too_long"]:
        console.print(
            f"{figures['pieces_too_long']:,} more pieces are longer than the model's positions and were skipped"
        )
    table = Table("", "value", "95 % interval over pieces")
    for key in ("nats_per_token", "nats_per_token_without_end", "nats_per_note", "bits_per_note", "bits_per_second"):
        if key in figures:
            row = figures[key]
            table.add_row(key.replace("_", " "), f"{row['value']:.4f}", f"{row['low']:.4f} to {row['high']:.4f}")
    if figures["ngram"] is not None:
        row = figures["ngram"]["nats_per_token"]
        name = f"nats per token of an interpolated {figures['ngram']['order']}-gram"
        table.add_row(name, f"{row['value']:.4f}", f"{row['low']:.4f} to {row['high']:.4f}")
    console.print(table)
    if figures["by_corpus"]:
        table = Table("corpus", "pieces", "tokens", "nats per token", "nats per note")
        for name, row in figures["by_corpus"].items():
            per_note = f"{row['nats_per_note']['value']:.4f}" if row["nats_per_note"] else ""
            per_token = f"{row['nats_per_token']['value']:.4f}"
            table.add_row(name, f"{row['pieces']:,}", f"{row['targets']:,}", per_token, per_note)
        console.print(table)
    table = Table("kind of token", "tokens", "nats per token", "share of all nats")
    for kind, row in figures["by_type"].items():
        table.add_row(kind, f"{row['targets']:,}", f"{row['nats_per_token']:.4f}", f"{row['share']:.1%}")
    console.print(table)
    table = Table("position", "tokens", "nats per token")
    for row in figures["by_position"]:
        table.add_row(f"{row['from']:,} to {row['to']:,}", f"{row['targets']:,}", f"{row['nats_per_token']:.4f}")
    console.print(table)
    if figures["by_context"]:
        table = Table("context", "nats per token", f"95 % interval, {figures['by_context'][0]['pieces']} pieces")
        for row in figures["by_context"]:
            mean = row["nats_per_token"]
            context = f"{row['context']:,} tokens" if row["context"] else "whole piece"
            table.add_row(context, f"{mean['value']:.4f}", f"{mean['low']:.4f} to {mean['high']:.4f}")
        console.print(table)


def _print_generated(found: dict[str, Any], split: str, console: Console) -> None:
    groups = found["groups"]
    console.print(
        f"{groups['generated']['pieces']:,} generated pieces against {groups['held_out']['pieces']:,} of the {split} "
        f"split, {found['excerpt_seconds']:.0f} seconds of each"
    )
    for sentence in found["refused"]:
        console.print(f"skipped: {sentence}", highlight=False, soft_wrap=True)
    table = Table("statistic", "generated", "held out", "training", "overlap", "ceiling")
    for name, (title, _) in STATISTICS.items():
        if name not in found["overlap"]:
            continue
        means = [f"{groups[group]['statistics'][name]['mean']:.3f}" for group in ("generated", "held_out", "training")]
        row = found["overlap"][name]
        table.add_row(title, *means, f"{row['generated']:.2f}", f"{row['training']:.2f}")
    console.print(table)
    table = Table("longest copied n-gram, notes", "median", "largest", "beyond all held-out pieces")
    for line, title in (("all_notes", "all notes"), ("top_line", "top line")):
        found_line = found["originality"][line]
        for group, name in (("generated", "generated"), ("held_out", "held out")):
            row = found_line[group]
            beyond = f"{row['beyond']} of {row['pieces']}" if group == "generated" else ""
            table.add_row(f"{title}, {name}", f"{row['median']:.0f}", f"{row['largest']}", beyond)
    console.print(table)
