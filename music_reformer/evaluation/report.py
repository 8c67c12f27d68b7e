"""The report of `evaluate`: one self-contained HTML file with figures, plots, and sentences on how to read them."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from music_reformer.evaluation import report_plots as plots
from music_reformer.evaluation.musical import STATISTICS
from music_reformer.files import write_atomically

_STYLE = """
:root { color-scheme: light dark; --page: #fbfaf7; --card: #ffffff; --ink: #23211d; --soft: #6d685e; --faint: #b9b3a6;
  --line: #e6e1d6; --first: #c2541a; --second: #2a6f97; --third: #8d8779; }
@media (prefers-color-scheme: dark) { :root { --page: #171614; --card: #201f1c; --ink: #ece8df; --soft: #a59f92;
  --faint: #6b665c; --line: #34322d; --first: #f08a4b; --second: #6fb3da; --third: #9a9486; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 48px 0 4px; }
h3 { font-size: 15px; margin: 0 0 2px; }
p { margin: 0 0 12px; max-width: 78ch; }
.soft, figcaption { color: var(--soft); font-size: 13.5px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 14px; margin: 24px 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; }
.tile b { display: block; font-size: 31px; line-height: 1.2; font-weight: 640; font-variant-numeric: tabular-nums; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 14px; margin: 14px 0; }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 10px; margin: 14px 0; }
figure { margin: 0; }
figure svg { width: 100%; height: auto; display: block; }
svg text { font-family: system-ui, "Segoe UI", sans-serif !important; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th { text-align: right; font-weight: 600; color: var(--soft); padding: 6px 10px; border-bottom: 1px solid var(--line); }
td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, .left { text-align: left; }
.bar { display: inline-block; width: 90px; height: 8px; border-radius: 4px; background: var(--line); overflow: hidden;
  vertical-align: middle; margin-right: 8px; }
.bar i { display: block; height: 100%; background: var(--first); } .bar i.human { background: var(--third); }
.key span { margin-right: 18px; } .key i { display: inline-block; width: 22px; height: 3px; border-radius: 2px;
  vertical-align: middle; margin-right: 7px; }
@media (max-width: 520px) { .pair { grid-template-columns: 1fr; } main { padding: 24px 14px; } }
"""
_KEY = (
    '<p class="key soft"><span><i style="background:var(--first)"></i>generated</span>'
    '<span><i style="background:var(--second)"></i>held out</span>'
    '<span><i style="background:var(--third)"></i>training</span></p>'
)


def write_report(figures: dict[str, Any], path: Path) -> None:
    """Write the report of `evaluate`'s figures."""
    write_atomically(path, report(figures).encode())


def report(figures: dict[str, Any]) -> str:
    """The report as HTML."""
    parts = [_head(figures)]
    if "nats_per_token" in figures:
        parts.append(_likelihood(figures))
    if "generated" in figures:
        parts += [_musical(figures["generated"], figures["split"]), _originality(figures["generated"]["originality"])]
    title = f"Evaluation: {escape(Path(figures['data']).name)}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n'
        f"<body><main>\n{''.join(parts)}</main></body></html>\n"
    )


def _head(figures: dict[str, Any]) -> str:
    data, split = escape(Path(figures["data"]).name), escape(figures["split"])
    lines = [f"<h1>Evaluation on {data}</h1>"]
    if "checkpoint" in figures:
        lines.append(
            f'<p class="soft">{escape(figures["checkpoint"])}, {figures["parameters"]:,} parameters, '
            f"{figures['rounds']} hash rounds, weights {figures['weights'][:12]}. The {split} split: "
            f"{figures['pieces']:,} whole pieces, {figures['targets']:,} tokens"
            + (f", {figures['notes']:,} notes, {figures['seconds'] / 3600:.1f} hours" if figures["notes"] else "")
            + ".</p>"
        )
        if figures["pieces_too_long"]:
            lines.append(
                f"<p>{figures['pieces_too_long']:,} more pieces are longer than the model's positions and are left "
                "out.</p>"
            )
    else:
        lines.append(f'<p class="soft">{escape(figures["generated"]["folder"])} against the {split} split.</p>')
    tiles = [
        _tile(label, figures[key])
        for key, label in (
            ("nats_per_token", "nats per token"),
            ("nats_per_token_without_end", "nats per token, ends not counted"),
            ("bits_per_note", "bits per note"),
            ("bits_per_second", "bits per second"),
        )
        # Where there are notes, bits per note and per second say more than leaving the ends out.
        if key in figures and (key != "nats_per_token_without_end" or "bits_per_note" not in figures)
    ]
    if "generated" in figures:
        tiles.append(_copies_tile(figures["generated"]["originality"]["all_notes"]))
    return "".join([*lines, '<div class="tiles">', *tiles, "</div>\n"])


def _tile(label: str, value: dict[str, float]) -> str:
    return (
        f'<div class="card tile"><span class="soft">{label}</span><b>{value["value"]:.3f}</b>'
        f'<span class="soft">{value["low"]:.3f} to {value["high"]:.3f}</span></div>'
    )


def _copies_tile(found: dict[str, Any]) -> str:
    own = found["generated"]
    return (
        f'<div class="card tile"><span class="soft">longest copied passage</span><b>{own["largest"]} notes</b>'
        f'<span class="soft">held-out pieces: {found["held_out"]["largest"]}; beyond them: {own["beyond"]} of '
        f"{own['pieces']}</span></div>"
    )


def _likelihood(figures: dict[str, Any]) -> str:
    cards = [
        _card(
            "By position",
            plots.position_plot(figures["by_position"]),
            "Mean loss of the tokens 1, 2 to 3, 4 to 7 ... of a piece. Where the loss falls late in a piece, the model "
            "makes use of the piece itself.",
        )
    ]
    if figures["by_context"]:
        cards.append(
            _card(
                "By length of context",
                plots.context_plot(figures["by_context"]),
                f"The same tokens of {figures['by_context'][0]['pieces']} pieces, scored as if the model saw at "
                "most so many tokens back (in spans half a context apart). The distance to the dashed line is what "
                "longer context gains.",
            )
        )
    cards.append(
        _card(
            "By kind of token",
            plots.type_plot(figures["by_type"]),
            "Mean loss of each kind of token, and its share of all nats.",
        )
    )
    cards.append(
        _card("By piece", plots.piece_plot(figures["by_piece"]), "Each point is a whole piece; the JSON names them.")
    )
    ngram = ""
    if figures["ngram"] is not None:
        row = figures["ngram"]["nats_per_token"]
        ngram = (
            f"<p>Baseline, an interpolated {figures['ngram']['order']}-gram model fitted on the training split: "
            f"{row['value']:.3f} nats per token ({row['low']:.3f} to {row['high']:.3f}).</p>"
        )
    return (
        "<h2>Likelihood</h2><p>Exact: every piece is scored whole, from its first token to its end. Intervals are "
        "95 % bootstrap intervals over pieces.</p>"
        + ngram
        + _by_corpus(figures["by_corpus"])
        + f'<div class="pair">{"".join(cards)}</div>\n'
    )


def _by_corpus(found: dict[str, dict[str, Any]]) -> str:
    if not found:
        return ""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{row['pieces']:,}</td><td>{row['targets']:,}</td>"
        f"{_interval(row['nats_per_token'])}{_interval(row['nats_per_note'])}</tr>"
        for name, row in found.items()
    )
    return (
        '<div class="card scroll"><table><thead><tr><th>corpus</th><th>pieces</th><th>tokens</th>'
        f"<th>nats per token</th><th>nats per note</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _interval(value: dict[str, float] | None) -> str:
    if value is None:
        return "<td></td>"
    return f'<td>{value["value"]:.3f} <span class="soft">{value["low"]:.3f} to {value["high"]:.3f}</span></td>'


def _musical(found: dict[str, Any], split: str) -> str:
    groups = found["groups"]
    rows = []
    for name, overlap in found["overlap"].items():
        title, unit = STATISTICS[name]
        values = "".join(_mean_cell(groups[group]["statistics"][name]) for group in plots.GROUP_COLOURS)
        rows.append(
            f'<tr><td>{title} <span class="soft">{unit}</span></td>{values}'
            f"<td>{_bar(overlap['generated'], '')}</td><td>{_bar(overlap['training'], 'human')}</td></tr>"
        )
    small = "".join(
        f'<figure class="card" role="img" aria-label="{STATISTICS[name][0]}">{plots.statistic_plot(name, groups)}'
        "</figure>"
        for name in found["overlap"]
    )
    refused = "".join(f"<li>{escape(sentence)}</li>" for sentence in found["refused"])
    return (
        f"<h2>The music</h2><p>{groups['generated']['pieces']:,} generated pieces, {groups['held_out']['pieces']:,} of "
        f"the {escape(split)} split and {groups['training']['pieces']:,} of the training set; "
        f"{found['excerpt_seconds']:.0f} seconds of each"
        + (f", from {found['begin_seconds']:.0f} seconds on" if found["begin_seconds"] > 1 else "")
        + ". Overlap is the area under the minimum of both densities: 1 if a statistic cannot distinguish generated "
        "from held-out pieces. The ceiling is the overlap of training and held-out pieces, both written by people.</p>"
        + (f'<p class="soft">Left out:</p><ul class="soft">{refused}</ul>' if refused else "")
        + '<div class="card scroll"><table><thead><tr><th>mean over pieces</th><th>generated</th><th>held out</th>'
        "<th>training</th><th>overlap</th><th>ceiling</th></tr></thead><tbody>"
        + "".join(rows)
        + f'</tbody></table></div>{_KEY}<div class="small">{small}</div>'
        + _card(
            "Self-similarity",
            plots.lag_plot(groups),
            "Similarity of the harmony of two seconds by their distance, averaged over pieces. Human music repeats "
            "itself: its line stays high and has bumps where phrases return.",
        )
    )


def _mean_cell(value: dict[str, float]) -> str:
    half = (value["high"] - value["low"]) / 2
    return f'<td>{value["mean"]:.3f} <span class="soft">± {half:.3f}</span></td>'


def _bar(value: float, kind: str) -> str:
    return f'<span class="bar"><i class="{kind}" style="width:{100 * value:.0f}%"></i></span>{value:.2f}'


def _originality(found: dict[str, Any]) -> str:
    cards = [
        _card(title, plots.copy_plot(found[line]), text)
        for line, title, text in (
            ("all_notes", "Copied passages", "All notes: a copy has all of its notes, and no other between them."),
            ("top_line", "Copied melodies", "The top line alone: the highest of the notes that begin together."),
        )
    ]
    rows = "".join(_copy_row(entry) for entry in found["all_notes"]["longest"])
    return (
        f"<h2>Originality</h2><p>The longest passage of each piece that occurs, in any key, in the training set "
        f"({found['training_pieces']:,} pieces, {found['training_notes']:,} notes): the same intervals at the same "
        "distances in time. Held-out pieces serve for comparison: people wrote them without copying the training set, "
        f"and they still share passages with it.</p>{_KEY}"
        f'<div class="pair">{"".join(cards)}</div>'
        '<div class="card scroll"><table><thead><tr><th>generated, the longest copies first</th><th>notes</th>'
        '<th>at second</th><th class="left">occurs in</th><th>at second</th></tr></thead><tbody>'
        f"{rows}</tbody></table></div>\n"
    )


def _copy_row(entry: dict[str, Any]) -> str:
    where = (
        f'<td>{entry["from_second"]:.1f}</td><td class="left">{escape(entry["source"])}</td>'
        f"<td>{entry['source_second']:.1f}</td>"
        if "source" in entry
        else "<td></td><td></td><td></td>"
    )
    return f"<tr><td>{escape(entry['file'])}</td><td>{entry['notes']}</td>{where}</tr>"


def _card(title: str, svg: str, caption: str) -> str:
    return (
        f'<figure class="card" role="img" aria-label="{escape(title)}"><h3>{escape(title)}</h3>'
        f"<figcaption>{escape(caption)}</figcaption>{svg}</figure>"
    )
