"""One training step (forward, backward, optimizer) on 1,048,576 tokens: a model of 12 layers, in at most 16 GB.

The gradients of the same step are compared at a length where both fit with those of plain autograd, which keeps all
activations, and with the logits of the whole sequence at once.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks.decode import VOCABULARY, ours
from benchmarks.harness import (
    in_child,
    machine,
    megabytes,
    of_device,
    peak_of_process,
    save_plot,
    show,
    use_threads,
    wait_for,
    write,
)

SHAPE = {"num_layers": 12, "axial_shape": [1024, 1024], "chunk": 16_384}


def check(*, length: int, device: str, threads: int) -> dict[str, float]:
    """In a child process: the loss of both ways, and the largest relative difference of a gradient."""
    import torch

    use_threads(threads)
    tokens = torch.randint(0, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(1)).to(device)
    results = []
    for lean in (True, False):
        model = ours(**SHAPE, recompute=lean).train().to(device)
        model.redraw_rotations(0)
        if lean:
            total, count = model.loss(tokens, tokens)
            loss = total / count
        else:
            loss = torch.nn.functional.cross_entropy(model(tokens)[0], tokens[0])
        loss.backward()
        results.append((loss.item(), [parameter.grad for parameter in model.parameters()]))
    (lean_loss, lean_grads), (plain_loss, plain_grads) = results
    worst = max(
        ((a - b).norm() / b.norm().clamp_min(1e-12)).item() for a, b in zip(lean_grads, plain_grads, strict=True)
    )
    return {"lean_loss": lean_loss, "plain_loss": plain_loss, "worst_gradient": worst}


def run(*, length: int, device: str, threads: int) -> dict[str, float]:
    """In a child process: the step itself."""
    import torch

    use_threads(threads)
    model = ours(**SHAPE).train().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens = torch.randint(0, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(1)).to(device)
    begin = time.perf_counter()
    model.redraw_rotations(0)
    total, count = model.loss(tokens, tokens)
    wait_for(device)
    forward = time.perf_counter() - begin
    (total / count).backward()
    optimizer.step()
    wait_for(device)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "loss": total.item() / int(count),
        "forward_seconds": forward,
        "seconds": time.perf_counter() - begin,
        "peak_bytes": peak_of_process(device),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[65_536, 262_144, 1_048_576])
    parser.add_argument("--check-length", type=int, default=8192)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    print(machine(options.device))
    common = {"device": options.device, "threads": options.threads}
    checked = in_child("benchmarks.million:check", length=options.check_length, **common)
    show(
        f"the same step computed another way, {options.check_length:,} tokens",
        ["loss", "loss of plain autograd", "largest relative difference of a gradient"],
        [[f"{checked['lean_loss']:.6f}", f"{checked['plain_loss']:.6f}", f"{checked['worst_gradient']:.1e}"]],
    )
    rows: list[dict[str, Any]] = []
    for length in options.lengths:
        found = in_child("benchmarks.million:run", length=length, **common)
        rows.append({"length": length, **(found or {})})
    show(
        "one training step, 12 layers; peak memory of the whole process",
        ["tokens", "loss", "seconds", "tokens/s", "peak memory"],
        [
            [
                f"{row['length']:,}",
                f"{row['loss']:.4f}",
                f"{row['seconds']:.0f}",
                f"{row['length'] / row['seconds']:,.0f}",
                megabytes(row["peak_bytes"]),
            ]
            if "seconds" in row
            else [f"{row['length']:,}", "-", "-", "-", "out of memory"]
            for row in rows
        ],
    )
    kind = of_device(options.device)
    path = write("million", kind=kind, settings=vars(options), rows=[{"check": checked}, *rows], device=options.device)
    plot = save_plot(f"million{kind}", lambda axes: _draw(axes, rows))
    print(f"\n{path}\n{plot}")


def _draw(axes: Any, rows: list[dict[str, Any]]) -> None:
    points = [(row["length"], row["peak_bytes"] / 1e9) for row in rows if "seconds" in row]
    axes[0].plot(*zip(*points, strict=True), marker="o")
    axes[0].axhline(16, color="grey", linestyle=":", label="16 GB")
    axes[0].set_xlabel("tokens in one step")
    axes[0].set_ylabel("peak memory, GB")
    axes[0].set_title("a training step of 12 layers", fontsize=10)
    axes[0].grid(alpha=0.3)
    axes[0].legend()


if __name__ == "__main__":
    main()
