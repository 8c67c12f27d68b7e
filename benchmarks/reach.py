"""How far back does LSH attention see, and how much does that help? By layer and head, for several numbers of buckets.

For held-out pieces of 16,000 to 64,000 tokens, and each choice of buckets by round:

- how far back the oldest key lies that a token sees in some round: median and 90 %, and the share of tokens for which
  it is more than a quarter of the piece away;
- the share of tokens in the largest bucket;
- the share of full attention's mass (a softmax over all earlier tokens) that falls on the keys that are seen;
- nats per token of the second halves;
- nats per token of the last tokens of each piece, when only a number of tokens before them is given;
- milliseconds of a cached decoding step after so many tokens of the longest piece, the choices taking turns.

    python -m benchmarks.reach --buckets 64 64,4096

A choice is one number for each round, and has as many rounds. Give the folder of corpora with --corpora or
MUSIC_REFORMER_CORPORA (default: ../shared/corpora). Where it has no `open/`, the longest songs of its `pop909/` are
taken, and where there is nothing, the examples of the package, repeated. Eight pieces take five minutes of one core for
each choice.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import in_child, in_children, machine, save_plot, seconds_in_turn, show, use_threads, write

SHORTEST, LONGEST = 16_000, 64_000
# Notes of a file that may have this many tokens, so that few files are read in vain.
FEWEST_NOTES, MOST_NOTES = 5_000, 26_000
HELD_OUT_OF = 12
QUERIES = 64  # of each piece, head and layer, for which full attention is computed
SCORED = 2_048  # last tokens of a piece, scored with short contexts
STEPS, VARIATIONS = 101, (1, 4)  # of decoding
CONTEXTS = [512, 2_048, 8_192, 16_384, 65_536]


def pieces_of(corpora: str, count: int, tokenizer: Any, longest: int) -> dict[str, Any]:
    """Tokens of long pieces by name, with BOS and EOS: of groups that no training uses, from each corpus in turn."""
    from music_reformer.midi.score import read_score

    found: dict[str, Any] = {}
    for file in _candidates(Path(corpora)):
        tokens = tokenizer.encode(read_score(file))
        if SHORTEST <= len(tokens) <= LONGEST or "pop909" in file.parts:
            found["/".join(file.parts[-2:])] = _framed(tokens[:longest], tokenizer)
        if len(found) == count:
            break
    if not found:
        from music_reformer.midi.examples import EXAMPLES

        tokens = np.concatenate([tokenizer.encode(example.score()) for example in EXAMPLES.values()])
        found["made of the examples"] = _framed(np.resize(tokens, min(longest, 16_000)), tokenizer)
    return found


def _framed(tokens: Any, tokenizer: Any) -> Any:
    return np.concatenate([[tokenizer.bos_id], tokens, [tokenizer.eos_id]]).astype(np.int64)


def _candidates(corpora: Path) -> list[Path]:
    """Files in the order in which to try them."""
    groups = corpora / "open" / "groups.csv"
    if not groups.is_file():
        songs = sorted((corpora / "pop909").rglob("*.mid"), key=lambda path: path.stat().st_size)
        return [song for song in songs if _is_held_out(song.stem)][::-1]
    by_corpus: dict[str, list[Path]] = {}
    with groups.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if _is_held_out(row["group_id"]) and FEWEST_NOTES <= int(row["notes"]) <= MOST_NOTES:
                by_corpus.setdefault(row["corpus"], []).append(groups.parent / row["corpus"] / row["file"])
    for files in by_corpus.values():
        random.Random(0).shuffle(files)
    return [file for turn in itertools.zip_longest(*by_corpus.values()) for file in turn if file is not None]


def _is_held_out(group: str) -> bool:
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % HELD_OUT_OF == 0


@dataclass
class LayerReach:
    """What one LSH layer sees of one piece.

    Attributes:
        back_HL: for each head and token, how far back the oldest key lies that it sees in some round.
        largest: share of the tokens in the largest bucket, mean over heads, by round.
        caught_H: share of full attention's mass on the keys that are seen, mean over some tokens of the second half.
    """

    back_HL: Any
    largest: list[float]
    caught_H: list[float]


@dataclass
class _Watch:
    """Measures each LSH layer as a piece passes through it."""

    found: list[LayerReach] = field(default_factory=list)

    def __call__(self, layer: Any, arguments: Any, result: Any) -> None:
        import torch

        query_LHD = layer._project(arguments[0])[0, :, 0].float()
        bucket_RLH = result[1][:, 0]
        length, heads = query_LHD.shape[:2]
        sample_Q = torch.randperm(length // 2, generator=torch.Generator().manual_seed(0))[:QUERIES] + length // 2
        back_HL, caught_H = torch.zeros(heads, length, dtype=torch.int64), []
        for head in range(heads):
            seen_QL = torch.zeros(len(sample_Q), length, dtype=torch.bool)
            for bucket_L in bucket_RLH[:, :, head]:
                oldest_L = _look_back(bucket_L, layer.window, sample_Q, seen_QL)
                back_HL[head] = torch.maximum(back_HL[head], torch.arange(length) - oldest_L)
            caught_H.append(_caught(query_LHD[:, head], sample_Q, seen_QL))
        largest = [
            float(np.mean([int(torch.bincount(x_L.long()).max()) / length for x_L in bucket_LH.unbind(1)]))
            for bucket_LH in bucket_RLH
        ]
        self.found.append(LayerReach(back_HL.numpy(), largest, caught_H))


def _look_back(bucket_L: Any, window: int, sample_Q: Any, seen_QL: Any) -> Any:
    """The oldest token that each sees in one round, [L]; what those of the sample see is marked in `seen_QL`."""
    import torch

    bucket_sorted_L, order_L = torch.sort(bucket_L.long(), stable=True)
    place_L = torch.arange(len(order_L))
    begins_L = torch.ones_like(place_L, dtype=torch.bool)
    begins_L[1:] = bucket_sorted_L[1:] != bucket_sorted_L[:-1]
    start_L = torch.where(begins_L, place_L, 0).cummax(0).values
    first_L = torch.maximum(start_L, place_L - window + 1)
    place_of_L = torch.empty_like(order_L)
    place_of_L[order_L] = place_L
    for number, token in enumerate(sample_Q):
        place = place_of_L[token]
        seen_QL[number, order_L[first_L[place] : place]] = True
    return order_L[first_L[place_of_L]]


def _caught(query_LD: Any, sample_Q: Any, seen_QL: Any) -> float:
    """Share of the mass of a softmax over all earlier tokens that falls on the seen ones; mean over the sample."""
    import torch

    from music_reformer.model.attention.lsh import shared_key

    scores_QL = query_LD[sample_Q] @ shared_key(query_LD).T / query_LD.shape[-1] ** 0.5
    later_QL = torch.arange(len(query_LD)) >= sample_Q.unsqueeze(1)
    share_QL = scores_QL.masked_fill(later_QL, -torch.inf).softmax(dim=-1)
    return float((share_QL * seen_QL).sum(dim=1).mean())


def measure(
    *, checkpoint: str, corpora: str, buckets: str, count: int, longest: int, contexts: list[int], threads: int
) -> dict[str, Any]:
    """In a child process: reach and losses of some weights with some buckets."""
    import torch

    from music_reformer.model.attention.lsh import LSHAttention

    use_threads(threads)
    model, tokenizer = _with_buckets(checkpoint, buckets)
    layers = [module for module in model.modules() if isinstance(module, LSHAttention)]
    pieces = []
    for name, tokens in pieces_of(corpora, count, tokenizer, longest).items():
        watch = _Watch()
        handles = [layer.register_forward_hook(watch) for layer in layers]
        with torch.inference_mode():
            tokens_1L = torch.from_numpy(tokens)[None]
            nats_L = model.token_losses(tokens_1L[:, :-1], tokens_1L[:, 1:])[0]
            for handle in handles:
                handle.remove()
            by_context = {str(context): _nats_given(model, tokens_1L, context) for context in contexts}
        length = len(nats_L)
        pieces.append(
            {
                "name": name,
                "tokens": length,
                "nats": float(nats_L[length // 2 :].mean()),
                "by_context": by_context,
                "layers": [_summary(layer) for layer in watch.found],
            }
        )
    return {"pieces": pieces}


def _with_buckets(checkpoint: str, buckets: str) -> tuple[Any, Any]:
    """The model with other buckets, and its tokenizer."""
    from music_reformer.midi.tokenizer import MusicTokenizer
    from music_reformer.model.reformer import ReformerLM
    from music_reformer.model.weights import load_weights

    loaded = load_weights(checkpoint)
    num_buckets = [int(number) for number in buckets.split(",")]
    config = replace(
        loaded.model.config,
        num_buckets=num_buckets,
        num_rounds=len(num_buckets),
        max_rounds=max(len(num_buckets), loaded.model.config.max_rounds),
    )
    model = ReformerLM(config).eval()
    model.load_state_dict(loaded.model.state_dict())
    return model, MusicTokenizer.from_json(loaded.tokenizer_settings)


def measure_steps(
    *, checkpoint: str, corpora: str, buckets: list[str], count: int, longest: int, contexts: list[int], threads: int
) -> list[dict[str, Any]]:
    """In a child process: seconds of a decoding step, by context and number of variations, for each choice of buckets.

    The longest piece is repeated where a context is longer.
    """
    import torch

    from music_reformer.model.decoder import Decoder

    use_threads(threads)
    models = {each: _with_buckets(checkpoint, each) for each in buckets}
    pieces = pieces_of(corpora, count, next(iter(models.values()))[1], longest)
    tokens = max(pieces.values(), key=len)
    decoders = {each: Decoder(model, compile_step=True) for each, (model, _) in models.items()}
    rows = []
    with torch.inference_mode():
        for context in contexts:
            prompt_1L = torch.from_numpy(np.resize(tokens, context + STEPS + 1))[None]
            states = {each: decoder.prefill(prompt_1L[:, :context])[1] for each, decoder in decoders.items()}
            for variations in VARIATIONS:
                steps = {
                    each: _steps(decoder, states[each].expand(variations), prompt_1L[0, context:])
                    for each, decoder in decoders.items()
                }
                seconds = seconds_in_turn(steps, repeats=STEPS - 1, device="cpu")
                rows.append({"context": context, "variations": variations, "seconds": seconds})
    return rows


def _steps(decoder: Any, state: Any, tokens: Any) -> Callable[[], None]:
    """A call for each step: the next token of the piece, in all variations."""
    following = iter(tokens)

    def step() -> None:
        decoder.step(next(following).expand(len(state.lengths)).contiguous(), state)

    return step


def _summary(reach: LayerReach) -> dict[str, Any]:
    """By head; the last figure is of tokens for which it is so in some head."""
    back_HL = reach.back_HL
    far_HL = back_HL > back_HL.shape[1] / 4
    return {
        "median": np.median(back_HL, axis=1).tolist(),
        "tenth": np.quantile(back_HL, 0.9, axis=1).tolist(),
        "far": far_HL.mean(axis=1).tolist(),
        "far_in_some_head": float(far_HL.any(axis=0).mean()),
        "quantiles": np.quantile(back_HL / back_HL.shape[1], np.linspace(0, 1, 51)).tolist(),
        "largest": reach.largest,
        "caught": reach.caught_H,
    }


def _nats_given(model: Any, tokens_1L: Any, context: int) -> float | None:
    """Nats per token of the last tokens, given at most `context` tokens before them; None if fewer than half exist.

    The longest context that a piece has room for is the whole piece.
    """
    import torch

    length = tokens_1L.shape[1] - 1
    first = length - SCORED - context
    if first < -context // 2:
        return None
    begin = max(0, first)
    part = tokens_1L[:, begin:]
    position_1L = torch.arange(begin, length)[None]
    nats_L = model.token_losses(part[:, :-1], part[:, 1:], position_BL=position_1L)[0]
    return float(nats_L[-SCORED:].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", nargs="+", default=["pretrained"])
    parser.add_argument("--buckets", nargs="+", default=["64,64", "64,4096"], help="one number for each round")
    parser.add_argument("--corpora", default=os.environ.get("MUSIC_REFORMER_CORPORA", "../shared/corpora"))
    parser.add_argument("--pieces", type=int, default=8)
    parser.add_argument("--longest", type=int, default=LONGEST, help="pieces are cut to this many tokens")
    parser.add_argument("--contexts", type=int, nargs="*", default=CONTEXTS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="choices at a time")
    options = parser.parse_args()
    print(machine("cpu"))
    common = {
        "corpora": options.corpora,
        "count": options.pieces,
        "longest": options.longest,
        "contexts": options.contexts,
        "threads": options.threads,
    }
    tasks = [
        {"checkpoint": checkpoint, "buckets": buckets, **common}
        for checkpoint in options.checkpoints
        for buckets in options.buckets
    ]
    rows = in_children("reach", "benchmarks.reach:measure", tasks, workers=options.workers)
    _report(rows, options.contexts)
    of_steps = in_child(
        "benchmarks.reach:measure_steps", checkpoint=options.checkpoints[0], buckets=options.buckets, **common
    )
    show(
        "milliseconds of a decoding step",
        ["context", "variations", *options.buckets],
        [
            [
                f"{row['context']:,}",
                row["variations"],
                *(f"{1e3 * row['seconds'][each]:.2f}" for each in options.buckets),
            ]
            for row in of_steps
        ],
    )
    path = write("reach", settings=vars(options), rows=[*rows, *of_steps], device="cpu")
    plot = save_plot("reach", lambda axes: _draw(axes, rows, options.contexts), panels=2)
    print(f"\n{path}\n{plot}")


def _report(rows: Sequence[dict[str, Any]], contexts: Sequence[int]) -> None:
    lines = []
    for row in rows:
        for number in range(len(row["pieces"][0]["layers"])):
            layers = [piece["layers"][number] for piece in row["pieces"]]
            lines.append(
                [
                    _name(row, rows),
                    number + 1,
                    f"{np.mean([np.mean(x['median']) for x in layers]):,.0f}",
                    f"{np.mean([np.mean(x['tenth']) for x in layers]):,.0f}",
                    " ".join(f"{100 * share:.0f}" for share in np.mean([x["far"] for x in layers], axis=0)),
                    f"{100 * np.mean([x['far_in_some_head'] for x in layers]):.0f}",
                    " ".join(f"{100 * share:.0f}" for share in np.mean([x["largest"] for x in layers], axis=0)),
                    " ".join(f"{100 * share:.1f}" for share in np.mean([x["caught"] for x in layers], axis=0)),
                ]
            )
    header = ["buckets", "LSH layer", "reach: median", "90 %", "beyond 1/4, % by head", "in some head"]
    show("how far back the oldest seen key lies", [*header, "largest bucket, % by round", "mass, % by head"], lines)
    show(
        "nats per token of the second halves",
        ["piece", "tokens", *(_name(row, rows) for row in rows)],
        [
            [same[0]["name"], f"{same[0]['tokens']:,}", *(f"{piece['nats']:.3f}" for piece in same)]
            for same in zip(*(row["pieces"] for row in rows), strict=True)
        ]
        + [["all", "", *(f"{np.mean([piece['nats'] for piece in row['pieces']]):.3f}" for row in rows)]],
    )
    show(
        f"nats per token of the last {SCORED:,} tokens, by tokens before them that are given",
        ["tokens", "pieces", *(_name(row, rows) for row in rows)],
        [[f"{context:,}", *_context_figures(rows, context, contexts)] for context in contexts],
    )


def _name(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    several = len({other["checkpoint"] for other in rows}) > 1
    return f"{row['checkpoint']} {row['buckets']}" if several else row["buckets"]


def _context_figures(rows: Sequence[dict[str, Any]], context: int, contexts: Sequence[int]) -> list[str]:
    """Number of pieces, and for each row their mean; a piece that is shorter counts with all that it has."""
    figures = [np.mean(_with_context(row, context, contexts)) for row in rows]
    enough = sum(piece["by_context"][str(context)] is not None for piece in rows[0]["pieces"])
    return [str(enough), *(f"{figure:.3f}" for figure in figures)]


def _with_context(row: dict[str, Any], context: int, contexts: Sequence[int]) -> list[float]:
    """Of each piece the loss with the longest context that it has, up to this one."""
    found = []
    for piece in row["pieces"]:
        given = [piece["by_context"][str(c)] for c in contexts if c <= context]
        found.append([nats for nats in given if nats is not None][-1])
    return found


def _draw(axes: Any, rows: Sequence[dict[str, Any]], contexts: Sequence[int]) -> None:
    for number, row in enumerate(rows):
        for layer in range(len(row["pieces"][0]["layers"])):
            quantiles = np.mean([piece["layers"][layer]["quantiles"] for piece in row["pieces"]], axis=0)
            label = f"{_name(row, rows)}" if layer == 0 else None
            style = ("-", "--", ":", "-.")[layer % 4]
            axes[0].plot(quantiles, 1 - np.linspace(0, 1, len(quantiles)), color=f"C{number}", ls=style, label=label)
        losses = [np.mean(_with_context(row, context, contexts)) for context in contexts]
        axes[1].plot(contexts, losses, marker="o", color=f"C{number}", label=_name(row, rows))
    axes[0].axvline(0.25, color="grey", linewidth=0.8)
    axes[0].set_xlabel("share of the piece that the oldest seen key lies back")
    axes[0].set_ylabel("share of (token, head) that see so far or farther")
    axes[0].set_title("reach; solid, dashed, dotted: 1st, 2nd, 3rd LSH layer", fontsize=10)
    axes[1].set_xscale("log", base=2)
    axes[1].set_xlabel("tokens given before the scored ones")
    axes[1].set_ylabel("nats per token")
    axes[1].set_title(f"last {SCORED:,} tokens of each piece", fontsize=10)
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(title="buckets by round")


if __name__ == "__main__":
    main()
