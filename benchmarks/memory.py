"""A training step of the whole model (forward, backward, AdamW) against Hugging Face's of the same size; depth.

Both have 6 layers (local, LSH in turn) of width 256, 4 heads of 64, chunks of 64, 2 rounds, and no dropout; float32, or
with --bfloat16 under autocast.
Depth: peak activation memory of forward and backward from 2 to 32 layers, parameters and their gradients left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from benchmarks.decode import VOCABULARY, hugging_face, ours
from benchmarks.harness import (
    in_child,
    machine,
    megabytes,
    of_device,
    peak_allocated,
    peak_memory,
    save_plot,
    seconds_in_turn,
    show,
    use_threads,
    write,
)

MODELS = ("ours", "hugging face")
DEPTHS = [2, 4, 8, 16, 32]
DEPTH_TOKENS = 16_384


def step_of(
    name: str, length: int, device: str, *, bfloat16: bool, optimize: bool = True, **changes: Any
) -> tuple[Callable[[], object], int]:
    """A training step on random tokens, and the bytes of parameters."""
    import torch

    model = (ours(**changes) if name == "ours" else hugging_face(length=length, **changes)).train().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens = torch.randint(0, VOCABULARY, (1, length), device=device)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bfloat16):
            if name == "ours":
                model.redraw_rotations(0)
                total, count = model.loss(tokens, tokens)
                loss = total / count
            else:
                loss = model(tokens, labels=tokens).loss
        loss.backward()
        if optimize:
            optimizer.step()

    return step, sum(p.numel() * p.element_size() for p in model.parameters())


def measure_peak(*, name: str, length: int, device: str, bfloat16: bool, threads: int) -> int:
    """In a child process: peak bytes of a step."""
    use_threads(threads)
    step_of(name, 1024, device, bfloat16=bfloat16)[0]()
    return peak_memory(step_of(name, length, device, bfloat16=bfloat16)[0], device)


def measure_seconds(*, length: int, repeats: int, device: str, bfloat16: bool, threads: int) -> dict[str, float]:
    """In a child process: seconds of a step of each model, taking turns."""
    use_threads(threads)
    steps = {name: step_of(name, length, device, bfloat16=bfloat16)[0] for name in MODELS}
    return seconds_in_turn(steps, repeats=repeats, device=device)


def measure_depth(*, num_layers: int, device: str, bfloat16: bool, threads: int) -> dict[str, float]:
    """In a child process: peak bytes of forward and backward, less the gradients of the parameters."""
    use_threads(threads)
    step_of("ours", 1024, device, bfloat16=bfloat16)[0]()
    of_depth = {"bfloat16": bfloat16, "optimize": False, "num_layers": num_layers}
    step, parameter_bytes = step_of("ours", DEPTH_TOKENS, device, **of_depth)
    resident = peak_memory(step, device)
    allocated = resident  # On a GPU they are one.
    if device == "cpu":
        again, _ = step_of("ours", DEPTH_TOKENS, device, **of_depth)
        allocated = peak_allocated(again)
    return {
        "activation_bytes": allocated - parameter_bytes,
        "resident_bytes": resident - parameter_bytes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[4096, 16384, 65536])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    print(machine(options.device))
    common = {"device": options.device, "bfloat16": options.bfloat16, "threads": options.threads}
    rows: list[dict[str, Any]] = []
    lines = []
    for length in options.lengths:
        seconds = in_child("benchmarks.memory:measure_seconds", length=length, repeats=options.repeats, **common)
        for name in MODELS:
            row: dict[str, Any] = {"model": name, "length": length}
            if seconds is not None:
                row["seconds"] = seconds[name]
                row["peak_bytes"] = in_child("benchmarks.memory:measure_peak", name=name, length=length, **common)
            rows.append(row)
        mine, theirs = rows[-2:]
        if mine.get("peak_bytes") and theirs.get("peak_bytes"):
            lines.append(
                [
                    f"{length:,}",
                    f"{length / mine['seconds']:,.0f}",
                    f"{length / theirs['seconds']:,.0f}",
                    f"{theirs['seconds'] / mine['seconds']:.2f}",
                    megabytes(mine["peak_bytes"]),
                    megabytes(theirs["peak_bytes"]),
                ]
            )
    header = ["tokens", "ours, tokens/s", "Hugging Face", "times faster", "ours, peak", "Hugging Face, peak"]
    show("a training step", header, lines)
    depths = []
    for num_layers in DEPTHS:
        found = in_child("benchmarks.memory:measure_depth", num_layers=num_layers, **common)
        depths.append({"layers": num_layers, **(found or {})})
    show(
        f"activation memory of forward and backward on {DEPTH_TOKENS:,} tokens",
        ["layers", "allocated", "resident"],
        [[row["layers"], megabytes(row["activation_bytes"]), megabytes(row["resident_bytes"])] for row in depths],
    )
    kind = "-bfloat16" * options.bfloat16 + of_device(options.device)
    path = write("memory", kind=kind, settings=vars(options), rows=[*rows, *depths], device=options.device)
    plot = save_plot(f"memory{kind}", lambda axes: _draw(axes, rows, depths), panels=2)
    print(f"\n{path}\n{plot}")


def _draw(axes: Any, rows: list[dict[str, Any]], depths: list[dict[str, Any]]) -> None:
    for name in MODELS:
        points = [(r["length"], r["length"] / r["seconds"]) for r in rows if r["model"] == name and "seconds" in r]
        axes[0].plot(*zip(*points, strict=True), marker="o", label=name)
    axes[0].set_xscale("log", base=2)
    axes[0].set_xlabel("tokens in a step")
    axes[0].set_ylabel("tokens a second")
    axes[0].set_title("a training step of the whole model", fontsize=10)
    axes[0].legend()
    layers = [row["layers"] for row in depths]
    axes[1].plot(layers, [row["activation_bytes"] / 1e6 for row in depths], marker="o", label="allocated")
    axes[1].plot(layers, [row["resident_bytes"] / 1e6 for row in depths], marker=".", linestyle=":", label="resident")
    axes[1].legend()
    axes[1].set_ylim(bottom=0)
    axes[1].set_xlabel("layers")
    axes[1].set_ylabel("MB")
    axes[1].set_title(f"peak activation memory, {DEPTH_TOKENS:,} tokens", fontsize=10)
    for axis in axes:
        axis.grid(alpha=0.3)


if __name__ == "__main__":
    main()
