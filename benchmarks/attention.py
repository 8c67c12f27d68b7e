"""One attention layer, forward and backward: ours, the public Reformers, full attention.

With its projections, or with `--alone` the attention by itself: queries and values are given. All have 8 heads of 64,
buckets of about 64 tokens, and let a query see 128 keys a round at the most. The floor is the time of the bare matrix
products: projections, scores, weighted sums and their gradients, nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from benchmarks.harness import (
    in_child,
    machine,
    megabytes,
    of_device,
    peak_memory,
    save_plot,
    seconds_in_turn,
    show,
    use_threads,
    write,
)

WIDTH, HEADS, HEAD_WIDTH, WINDOW = 512, 8, 64, 64
LSH = ("ours", "reformer-pytorch", "hugging face")
# As in a model, whose layers follow one another: the next one is launched while a GPU still computes.
STEPS_A_TURN_ON_GPU = 8
# Full attention takes minutes past this on a CPU.
LONGEST_FULL_ON_CPU = 32_768


def step_of(name: str, *, length: int, rounds: int, alone: bool, device: str, bfloat16: bool) -> Callable[[], object]:
    """Forward and backward of one layer on random input [1, L, 512].

    Alone, its input is what the projections would give, [1, L, 1024], or [1, L, 1536] for full attention.
    """
    import torch

    torch.manual_seed(0)
    layer = _LAYERS[name](length, rounds, device)
    width = WIDTH
    if alone:
        width = (3 if name == "full" else 2) * WIDTH
        _take_projections_out(name, layer, device)
    layer.to(device)
    # Alone, it is of the type that projections would give.
    dtype = torch.bfloat16 if alone and bfloat16 else torch.float32
    x = torch.randn(1, length, width, device=device, dtype=dtype, requires_grad=True)
    out_gradient = torch.randn(1, length, WIDTH, device=device)
    inputs = [x, *layer.parameters()]

    def step() -> None:
        nonlocal out_gradient
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bfloat16):
            out = layer(x)
        out_gradient = out_gradient.to(out.dtype)  # In the first step.
        torch.autograd.grad(out, inputs, out_gradient, allow_unused=True)

    return step


def _take_projections_out(name: str, layer: Any, device: str) -> None:
    """What a projection would give is a part of the input, or all of it."""
    import torch

    class Part(torch.nn.Module):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.chunk(2, dim=-1)[self.number]

    class Copy(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

    layer.to_out = torch.nn.Identity()
    if name == "ours":
        # On a CPU its gradient takes the place of what is projected: the input has to outlive that.
        layer.attention.to_query_value = Copy() if device == "cpu" else torch.nn.Identity()
        layer.attention.to_out = torch.nn.Identity()
    elif name == "reformer-pytorch":
        layer.toqk, layer.tov = Part(0), Part(1)
    elif name == "hugging face":
        layer.attention.query_key, layer.attention.value = Part(0), Part(1)
    elif name == "full":
        layer.to_query_key_value = torch.nn.Identity()
    else:
        layer.to_query_value = torch.nn.Identity()


def _ours(length: int, rounds: int, device: str) -> Any:
    import torch

    from music_reformer.model.attention.documents import Documents
    from music_reformer.model.attention.lsh import LSHAttention

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = LSHAttention(
                width=WIDTH,
                num_heads=HEADS,
                head_width=HEAD_WIDTH,
                window=WINDOW,
                num_buckets=[length // WINDOW],
                num_rounds=rounds,
                max_rounds=rounds,
                successor_values=True,
            )
            # Made once for a batch, for all layers.
            self.documents = Documents.plain(torch.zeros(1, length, dtype=torch.int64, device=device))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, self.documents)[0]

    return Layer()


def _reformer_pytorch(length: int, rounds: int, device: str) -> Any:
    from reformer_pytorch import LSHSelfAttention

    return LSHSelfAttention(WIDTH, heads=HEADS, bucket_size=WINDOW, n_hashes=rounds, causal=True)


def _hugging_face(length: int, rounds: int, device: str) -> Any:
    import torch
    from transformers import ReformerConfig
    from transformers.models.reformer.modeling_reformer import LSHSelfAttention

    from music_reformer.model.attention.hashing import bucket_factors

    config = ReformerConfig(
        hidden_size=WIDTH,
        num_attention_heads=HEADS,
        attention_head_size=HEAD_WIDTH,
        attn_layers=["lsh"],
        lsh_attn_chunk_length=WINDOW,
        lsh_num_chunks_before=1,
        lsh_num_chunks_after=0,
        lsh_attention_probs_dropout_prob=0.0,
        num_hashes=rounds,
        num_buckets=bucket_factors(length // WINDOW),  # as ours; by itself it does so, too
        is_decoder=True,
    )

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = LSHSelfAttention(config)
            self.to_out = torch.nn.Linear(WIDTH, WIDTH, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.to_out(self.attention(x).hidden_states)

    return Layer()


def _full(length: int, rounds: int, device: str) -> Any:
    import torch

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.to_query_key_value = torch.nn.Linear(WIDTH, 3 * WIDTH, bias=False)
            self.to_out = torch.nn.Linear(WIDTH, WIDTH, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            shape = (1, length, 3, HEADS, HEAD_WIDTH)
            query, key, value = self.to_query_key_value(x).view(shape).permute(2, 0, 3, 1, 4)
            out = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            return self.to_out(out.transpose(1, 2).reshape(1, length, WIDTH))

    return Layer()


def _floor(length: int, rounds: int, device: str) -> Any:
    """The products alone, as batched products of many blocks of the paper's size, which is how they run fastest."""
    import torch

    blocks = length * HEADS * rounds // WINDOW
    # On a CPU 64 that stay in the cache, over and over: no memory traffic but that of the products. A GPU takes all at
    # once: hundreds of small products would measure how fast they can be launched.
    at_once = 64 if device == "cpu" else blocks

    class Products(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            scores = torch.bmm(query, key.transpose(1, 2))
            ctx.save_for_backward(query, key, value)
            return torch.bmm(scores, value)

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, ...]:
            query, key, value = ctx.saved_tensors
            scores = torch.bmm(query, key.transpose(1, 2))
            d_value = torch.bmm(scores.transpose(1, 2), grads[0])
            d_scores = torch.bmm(grads[0], value.transpose(1, 2))
            return torch.bmm(d_scores, key), torch.bmm(d_scores.transpose(1, 2), query), d_value

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.to_query_value = torch.nn.Linear(WIDTH, 2 * WIDTH, bias=False)
            self.to_out = torch.nn.Linear(WIDTH, WIDTH, bias=False)
            self.block = torch.nn.Parameter(torch.randn(at_once, WINDOW, HEAD_WIDTH))
            self.keys = torch.nn.Parameter(torch.randn(at_once, 2 * WINDOW, HEAD_WIDTH))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            projected = self.to_query_value(x)
            block, keys = self.block.to(projected.dtype), self.keys.to(projected.dtype)
            total = torch.stack([Products.apply(block, keys, keys).sum() for _ in range(blocks // at_once)]).sum()
            return self.to_out(projected[..., :WIDTH]) + 0.0 * total

    return Layer()


_LAYERS = {
    "ours": _ours,
    "reformer-pytorch": _reformer_pytorch,
    "hugging face": _hugging_face,
    "full": _full,
    "floor": _floor,
}


def measure_peak(*, name: str, length: int, rounds: int, threads: int, **common: Any) -> int:
    """In a child process: peak bytes of a step."""
    use_threads(threads)
    step_of(name, length=1024, rounds=rounds, **common)()  # Loads all that is loaded once.
    return peak_memory(step_of(name, length=length, rounds=rounds, **common), common["device"])


def measure_seconds(*, names: list[str], threads: int, repeats: int, **common: Any) -> dict[str, float]:
    """In a child process: seconds of a step of each layer, taking turns."""
    use_threads(threads)
    steps = {name: step_of(name, **common) for name in names}
    device = common["device"]
    return seconds_in_turn(
        steps, repeats=repeats, device=device, steps_a_turn=1 if device == "cpu" else STEPS_A_TURN_ON_GPU
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 4096, 8192, 16384, 32768, 65536])
    parser.add_argument("--rounds", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--alone", action="store_true", help="without the projections")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    print(machine(options.device))
    rows: list[dict[str, Any]] = []
    for length in options.lengths:
        for rounds in options.rounds:
            names = [*LSH, "floor"]
            # It does not depend on the rounds.
            if rounds == options.rounds[0] and (options.device == "cuda" or length <= LONGEST_FULL_ON_CPU):
                names.append("full")
            common = {
                "length": length,
                "rounds": rounds,
                "alone": options.alone,
                "device": options.device,
                "bfloat16": options.bfloat16,
                "threads": options.threads,
            }
            seconds = in_child("benchmarks.attention:measure_seconds", names=names, repeats=options.repeats, **common)
            for name in names:
                row: dict[str, Any] = {"layer": name, "length": length, "rounds": None if name == "full" else rounds}
                if seconds is not None:
                    row["seconds"] = seconds[name]
                    row["peak_bytes"] = in_child("benchmarks.attention:measure_peak", name=name, **common)
                rows.append(row)
            _show_lines(rows, length, rounds)
    kind = "".join(["-alone" * options.alone, "-bfloat16" * options.bfloat16, of_device(options.device)])
    path = write("attention", kind=kind, settings=vars(options), rows=rows, device=options.device)
    plot = save_plot(f"attention{kind}", lambda axes: _draw(axes, rows, options), panels=2)
    print(f"\n{path}\n{plot}")


def _find(rows: list[dict[str, Any]], layer: str, length: int, rounds: int | None) -> dict[str, Any]:
    """The row of this measurement; an empty one where it was not made."""
    wanted = (layer, length, rounds)
    return next((row for row in rows if (row["layer"], row["length"], row["rounds"]) == wanted), {})


def _show_lines(rows: list[dict[str, Any]], length: int, rounds: int) -> None:
    ours = _find(rows, "ours", length, rounds)
    lines = []
    for name in (*LSH, "full", "floor"):
        row = _find(rows, name, length, None if name == "full" else rounds)
        if not (row.get("peak_bytes") and ours.get("peak_bytes")):
            lines.append([name, "-", "-", "-", "-"])
            continue
        speed = f"{row['seconds'] / ours['seconds']:.2f}"
        memory = "-" if name == "floor" else f"{row['peak_bytes'] / ours['peak_bytes']:.2f}"
        size = "-" if name == "floor" else megabytes(row["peak_bytes"])
        lines.append([name, f"{row['seconds'] * 1e3:,.0f}", speed, size, memory])
    header = ["layer", "ms", "x ours", "peak memory", "x ours"]
    show(f"{length:,} tokens, {rounds} round{'s' if rounds > 1 else ''}", header, lines)


def _draw(axes: Any, rows: list[dict[str, Any]], options: argparse.Namespace) -> None:
    rounds = 2 if 2 in options.rounds else options.rounds[0]
    what = "attention without projections" if options.alone else "one layer"
    for axis, key, label in ((axes[0], "seconds", "seconds"), (axes[1], "peak_bytes", "peak memory, bytes")):
        for name in (*LSH, "full", "floor"):
            if name == "floor" and key != "seconds":
                continue
            wanted = None if name == "full" else rounds
            points = [(r["length"], r[key]) for r in rows if (r["layer"], r["rounds"]) == (name, wanted) and r.get(key)]
            style = {"linestyle": ":", "color": "grey"} if name == "floor" else {"marker": "o"}
            title = "bare matrix products" if name == "floor" else name
            axis.plot(*zip(*points, strict=True), label=title, **style)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel("tokens")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_title(f"{what}, forward and backward, {rounds} rounds", fontsize=10)
    axes[0].legend()


if __name__ == "__main__":
    main()
