"""The report on a corpus: one self-contained HTML file, the same bytes for the same store."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from string import Template
from typing import Any

from music_reformer.config import SPLITS, PrepareConfig
from music_reformer.data.corpora.corpus_manifest import CorpusManifest
from music_reformer.data.prepare.charts import Bar, histogram, ranking, short
from music_reformer.data.prepare.counts import BPM_BOUNDS, SECOND_BOUNDS, TOKEN_BOUNDS, CorpusCounts
from music_reformer.data.prepare.statistics import DRUM_PROGRAM, KEY_NAMES
from music_reformer.midi.instruments import instrument_name

MOST_INSTRUMENTS = 14
MOST_METRES = 6
MOST_GROUPS = 25
MOST_OF_GROUP = 6
KINDS_OF_REASONS = {
    "unreadable": "damaged, cut short, or not a MIDI file",
    "no notes": "empty, or without notes",
    "few notes": "fewer notes than quality.min_notes",
    "one pitch": "fewer pitches than quality.min_pitches",
    "drums only": "no instruments but drums",
    "absurd tempo": "a mean tempo below quality.min_bpm or above quality.max_bpm",
    "no tokens": "no note that the tokenizer has a token for",
    "too costly": "took too long or too much memory, or killed the process that read it",
    "not listed": "not in the publisher's table of splits",
    "duplicate": "the same notes as an earlier file",
    "near-duplicate": "nearly the same notes as a piece in another split or corpus",
}


def report_page(
    counts: CorpusCounts, groups: Sequence[dict[str, Any]], manifest: CorpusManifest, config: PrepareConfig
) -> str:
    """The report as HTML.

    Args:
        counts: of the pieces and the skipped files.
        groups: of near-duplicates, the lines of `near_duplicates.jsonl`.
        manifest: source, licence and citation are shown.
        config: of the preparation.
    """
    template = Template((Path(__file__).parent / "corpus_report.html").read_text(encoding="utf-8"))
    return template.substitute(
        name=html.escape(manifest.name or config.corpus.name),
        about=_about(manifest),
        tiles=_tiles(counts),
        splits=_splits(counts),
        corpora=_corpora(counts),
        skipped=_skipped(counts),
        charts=_charts(counts),
        groups=_groups(groups, config),
        tokenizer=html.escape(config.tokenizer.encoding),
    )


def _about(manifest: CorpusManifest) -> str:
    parts = []
    if manifest.source:
        source = html.escape(manifest.source)
        parts.append(f'<p><a href="{source}">{source}</a></p>')
    if manifest.licence:
        parts.append(f"<p>Licence: {html.escape(manifest.licence)}</p>")
    if manifest.citation:
        parts.append(f"<p>Cite: {html.escape(manifest.citation)}</p>")
    return "".join(parts) or "<p>A folder of MIDI files; no manifest states its source or licence.</p>"


def _tiles(counts: CorpusCounts) -> str:
    tiles = (
        ("pieces", f"{counts.num_pieces:,}"),
        ("hours of music", f"{counts.milliseconds.total() / 3.6e6:,.1f}"),
        ("notes", short(counts.notes.total())),
        ("tokens", short(counts.num_tokens)),
        ("longest piece, tokens", f"{counts.longest:,}"),
        ("files left out", f"{counts.num_skipped:,}"),
    )
    return "".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in tiles)


def _splits(counts: CorpusCounts) -> str:
    rows = []
    for split in SPLITS:
        pieces, tokens = counts.pieces[split], counts.tokens[split]
        rows.append(
            f'<tr><th scope="row">{split}</th><td class="number">{pieces:,}</td>'
            f'<td class="number">{pieces / max(counts.num_pieces, 1):.1%}</td>'
            f'<td class="number">{tokens:,}</td><td class="number">{counts.milliseconds[split] / 3.6e6:,.1f}</td></tr>'
        )
    head = '<tr><th scope="col">split</th>' + "".join(
        f'<th scope="col" class="number">{name}</th>' for name in ("pieces", "share", "tokens", "hours")
    )
    return f"<table>{head}</tr>{''.join(rows)}</table>"


def _corpora(counts: CorpusCounts) -> str:
    """A section with a table of the corpora, if there are several."""
    if len(counts.corpora) < 2:
        return ""
    names = ("pieces", "notes", "tokens", *SPLITS)
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in (*names, "left out"))
    rows = []
    for corpus, found in sorted(counts.corpora.items()):
        left_out = sum(found[kind] for kind in KINDS_OF_REASONS)
        values = "".join(f'<td class="number">{value:,}</td>' for value in (*(found[name] for name in names), left_out))
        rows.append(f'<tr><th scope="row">{html.escape(corpus)}</th>{values}</tr>')
    return (
        f'<section><h2>Corpora</h2><table><tr><th scope="col">corpus</th>{head}</tr>{"".join(rows)}</table></section>'
    )


def _skipped(counts: CorpusCounts) -> str:
    if not counts.num_skipped:
        return "<p>None: every file is used.</p>"
    bars = [Bar(number, kind, KINDS_OF_REASONS[kind]) for kind, number in _most(counts.skipped)]
    notes = "".join(
        f"<dt>{kind}</dt><dd>{html.escape(KINDS_OF_REASONS[kind])}</dd>" for kind, _ in _most(counts.skipped)
    )
    return f"{ranking(bars)}<dl>{notes}</dl><p><code>skipped.jsonl</code> lists each file with its reason.</p>"


def _charts(counts: CorpusCounts) -> str:
    pitches = [
        Bar(int(number), f"C{pitch // 12 - 1}" if pitch % 12 == 0 else "", f"{_pitch_name(pitch)}: {number:,} notes")
        for pitch, number in list(enumerate(counts.pitches))[12:120]
    ]
    programs = [
        Bar(number, _program_name(program), f"in {number:,} pieces")
        for program, number in _most(counts.programs, MOST_INSTRUMENTS)
    ]
    keys = [
        Bar(
            counts.keys[key],
            name.removesuffix(" major").removesuffix(" minor"),
            f"{name}: {counts.keys[key]:,} pieces",
        )
        for key, name in enumerate(KEY_NAMES)
    ]
    metres = [Bar(number, metre, f"{number:,} pieces") for metre, number in _most(counts.metres, MOST_METRES)]
    figures = (
        ("Length", _binned(counts.lengths, TOKEN_BOUNDS, short, "tokens per piece", every=1)),
        ("Duration", _binned(counts.durations, SECOND_BOUNDS, _clock, "minutes:seconds of a piece", every=2)),
        ("Pitch", histogram(pitches, across="MIDI pitch, drums left out")),
        ("Tempo", _binned(counts.tempos, BPM_BOUNDS, str, "quarter notes a minute, mean of a piece", every=5)),
        ("Major keys", histogram(keys[:12], across="estimated from pitch classes")),
        ("Minor keys", histogram(keys[12:], across="estimated from pitch classes")),
        ("Instruments", ranking(programs)),
        ("Metre", ranking(metres)),
    )
    return "".join(f"<figure><figcaption>{title}</figcaption>{body}</figure>" for title, body in figures)


def _binned(counts: Counter[int], bounds: Sequence[int], name: Callable[[int], str], across: str, *, every: int) -> str:
    """A histogram from the first non-empty bin to the last."""
    used = [place for place, bound in enumerate(bounds) if counts[bound]]
    shown = range(max(0, used[0] - 1), min(len(bounds), used[-1] + 2)) if used else range(0)
    bars = []
    for place in shown:
        upper = f"to {name(bounds[place + 1])}" if place + 1 < len(bounds) else "and more"
        label = name(bounds[place]) if place % every == 0 or len(shown) < 12 else ""
        bars.append(
            Bar(counts[bounds[place]], label, f"{name(bounds[place])} {upper}: {counts[bounds[place]]:,} pieces")
        )
    return histogram(bars, across=across, ranges=True)


def _groups(groups: Sequence[dict[str, Any]], config: PrepareConfig) -> str:
    if config.near_duplicates == "off":
        return "<p>Not looked for (<code>near_duplicates=off</code>).</p>"
    if not groups:
        return "<p>None found.</p>"
    dropped = sum(not piece["used"] for group in groups for piece in group["pieces"])
    across = sum(len({piece["split"] for piece in group["pieces"]}) > 1 for group in groups)
    policy = (
        f"pieces left out, so that no group is in two splits (test and validation pieces stay): {dropped:,}"
        if config.near_duplicates == "drop"
        else "all are used (<code>near_duplicates=report</code>)"
    )
    rows = []
    for group in sorted(groups, key=lambda group: -len(group["pieces"]))[:MOST_GROUPS]:
        pieces = group["pieces"]
        cells = "<br>".join(
            f"<span{'' if piece['used'] else ' class=gone'}>{html.escape(_printable(piece['source']))}</span> "
            f"<small>{piece['split']}, {piece['similarity']:.0%}</small>"
            for piece in pieces[:MOST_OF_GROUP]
        )
        more = f"<br><small>and {len(pieces) - MOST_OF_GROUP:,} more</small>" if len(pieces) > MOST_OF_GROUP else ""
        rows.append(f'<tr><td class="number">{len(pieces):,}</td><td>{cells}{more}</td></tr>')
    shown = f" The {MOST_GROUPS} largest:" if len(groups) > MOST_GROUPS else ""
    number = "1 group of pieces shares" if len(groups) == 1 else f"{len(groups):,} groups of pieces share"
    return (
        f"<p>{number} at least {config.near_duplicate_similarity:.0%} of their melodic 6-grams, whatever the key and "
        f"tempo; {across:,} across splits; {policy}. All groups are in <code>near_duplicates.jsonl</code>.{shown}</p>"
        f"<table class=groups>{''.join(rows)}</table>"
    )


def _most(counts: Counter[Any], number: int | None = None) -> list[tuple[Any, int]]:
    """The most frequent first; ties in the order of their keys, independent of the order of counting."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:number]


def _printable(text: str) -> str:
    """The text with bytes that are not valid text (in file names) replaced."""
    return text.encode("utf-8", "replace").decode()


def _program_name(program: int) -> str:
    return "Drums" if program == DRUM_PROGRAM else instrument_name(program, drum=False)


def _pitch_name(pitch: int) -> str:
    return f"{KEY_NAMES[pitch % 12].split()[0]}{pitch // 12 - 1}"


def _clock(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02d}"
