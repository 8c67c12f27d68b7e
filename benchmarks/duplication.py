"""The paper's Table 2 (Reformer, arXiv 2001.04451, section 5): the duplication task, 0 w 0 w, of length 1,024.

One layer of width 256 with 4 heads. In the paper a query sees its own chunk of 32 and the one before: here it sees the
last 64 of its bucket, one of 16. Models trained with full attention and with 4, 2 and 1 rounds are evaluated with full
attention and with 8, 4, 2 and 1 rounds; `full` shares queries and keys, too. The attention is the paper's: keys bring
their own values.

Accuracy is that of the symbols of the second half, all of which can be known.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

from benchmarks.harness import in_children, machine, save_plot, show, use_threads, write

LENGTH, SYMBOLS = 1024, 127
WINDOW, NUM_BUCKETS = 64, 16
TRAINED: list[str | int] = ["full", 4, 2, 1]
EVALUATED: list[str | int] = ["full", 8, 4, 2, 1]
# Accuracies of the paper in per cent, by training, then by evaluation.
PAPER = {
    "full": [100, 94.8, 92.5, 76.9, 52.5],
    4: [0.8, 100, 99.9, 99.4, 91.9],
    2: [0.8, 100, 99.9, 98.1, 86.8],
    1: [0.8, 99.9, 99.6, 94.8, 77.9],
}
EVALUATION_BATCHES = 8
LEARNING_RATE, WARMUP_STEPS = 3e-3, 50
# Once the loss, in nats, has fallen below the first figure, the rate falls to zero within COOLING_STEPS. With one round
# the second figure counts, because the loss hovers above the first as long as the rate is high.
FALLEN, FALLEN_IN_ONE_ROUND, COOLING_STEPS = 0.05, 1.0, 400
# Of the matrices, from then on. A score is |q| cos(q, k): where |q| grows without end, what belongs together need not
# come near. Before, it would keep some of the heads from learning anything.
WEIGHT_DECAY = 2.0
VALUE_STD = 0.06


def build() -> Any:
    """The model; 8 rotations are stored. With larger values and outputs it learns in two thirds of the steps."""
    import torch

    from music_reformer.config import ModelConfig
    from music_reformer.model.attention.lsh import LSHAttention
    from music_reformer.model.reformer import ReformerLM

    model = ReformerLM(
        ModelConfig(
            vocab_size=SYMBOLS + 1,
            width=256,
            num_layers=1,
            num_heads=4,
            head_width=64,
            feed_forward_width=512,
            attention=["lsh"],
            window=WINDOW,
            num_buckets=[NUM_BUCKETS],
            num_rounds=4,
            max_rounds=8,
            successor_values=False,
            axial_shape=[LENGTH, 1],  # in effect a plain table of positions
            recompute=False,
        )
    )
    for layer in model.modules():
        if isinstance(layer, LSHAttention):
            _, value = layer.to_query_value.weight.chunk(2)
            torch.nn.init.normal_(value, std=VALUE_STD)
            torch.nn.init.normal_(layer.to_out.weight, std=VALUE_STD)
    return model


def use_attention(model: Any, kind: str | int) -> None:
    """Full attention is one round with one bucket in effect: all rotations equal, all in the window."""
    from music_reformer.model.attention.lsh import LSHAttention

    for layer in model.modules():
        if isinstance(layer, LSHAttention):
            if kind == "full":
                layer.num_rounds, layer.window = 1, LENGTH
                layer.buckets = _one_bucket  # type: ignore[method-assign]
            else:
                layer.num_rounds, layer.window = int(kind), WINDOW
                layer.__dict__.pop("buckets", None)


def _one_bucket(query_BLHD: Any) -> Any:
    import torch

    return torch.zeros((1, *query_BLHD.shape[:3]), dtype=torch.int16, device=query_BLHD.device)


def batch_of(size: int, generator: Any) -> tuple[Any, Any]:
    """Inputs and targets; targets of the first half are left out."""
    import torch

    word = torch.randint(1, SYMBOLS + 1, (size, LENGTH // 2 - 1), generator=generator)
    zero = torch.zeros(size, 1, dtype=torch.int64)
    sequence = torch.cat([zero, word, zero, word], dim=1)
    targets = torch.full_like(sequence, -100)
    targets[:, LENGTH // 2 : -1] = sequence[:, LENGTH // 2 + 1 :]
    return sequence, targets


def train_and_evaluate(*, trained: str | int, seed: int, steps: int, batch: int, threads: int) -> dict[str, Any]:
    """In a child process: accuracy by evaluation, in per cent, and the loss curve.

    The rate stays where it is until the loss falls (it does so suddenly, once the heads have found where the first
    word stands), or until no more than `COOLING_STEPS` are left, and then goes to zero, with weight decay.
    """
    import torch

    from music_reformer.config import OptimizerConfig
    from music_reformer.training.optimizer import build_optimizer

    use_threads(threads)
    torch.manual_seed(seed)
    model = build()
    use_attention(model, trained)
    optimizer = build_optimizer(model, OptimizerConfig(learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY))
    full = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    generator = torch.Generator().manual_seed(seed)
    fallen = FALLEN_IN_ONE_ROUND if trained == 1 else FALLEN
    losses, fallen_at, begin = [], None, time.perf_counter()
    for step in range(steps):
        factor = min(1.0, (step + 1) / WARMUP_STEPS)
        if fallen_at is not None:
            factor *= 1 - (step - fallen_at) / COOLING_STEPS
        for group, (rate, decay) in zip(optimizer.param_groups, full, strict=True):
            group["lr"], group["weight_decay"] = rate * factor, 0.0 if fallen_at is None else decay
        x, targets = batch_of(batch, generator)
        model.train()
        model.redraw_rotations(seed * 1_000_003 + step)
        total, count = model.loss(x, targets)
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
        losses.append(total.item() / int(count))
        if fallen_at is None and (losses[-1] < fallen or step == steps - COOLING_STEPS):
            fallen_at = step
        if (step + 1) % 50 == 0:
            rate = (step + 1) / (time.perf_counter() - begin)
            sys.stderr.write(
                f"trained with {trained}, seed {seed}: step {step + 1} of at most {steps}, loss {losses[-1]:.4f}, "
                f"{1 / rate:.2f} s a step, at most {(steps - step - 1) / rate / 60:.0f} min left\n"
            )
        if fallen_at is not None and step + 1 == fallen_at + COOLING_STEPS:
            break
    model.eval()
    accuracy = {}
    for kind in EVALUATED:
        use_attention(model, kind)
        held_out = torch.Generator().manual_seed(10_000)
        right = known = 0
        with torch.inference_mode():
            for _ in range(EVALUATION_BATCHES):
                x, targets = batch_of(batch, held_out)
                counted = targets >= 0
                right += int((model(x).argmax(-1) == targets)[counted].sum())
                known += int(counted.sum())
        accuracy[str(kind)] = 100 * right / known
    return {"accuracy": accuracy, "losses": losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trained", nargs="+", default=[str(kind) for kind in TRAINED])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=2000, help="at most")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0, help="of each training")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    options = parser.parse_args()
    print(machine("cpu"))
    trainings: list[str | int] = [name if name == "full" else int(name) for name in options.trained]
    common = {"steps": options.steps, "batch": options.batch, "threads": options.threads}
    tasks: list[dict[str, Any]] = [
        {"trained": trained, "seed": seed, **common} for trained in trainings for seed in options.seeds
    ]
    rows = in_children("duplication", "benchmarks.duplication:train_and_evaluate", tasks, workers=options.workers)
    lines = []
    for trained in [trained for trained in TRAINED if trained in trainings]:
        runs = [row for row in rows if row["trained"] == trained]
        cells = []
        for evaluated, paper in zip(EVALUATED, PAPER[trained], strict=True):
            values = [run["accuracy"][str(evaluated)] for run in runs]
            middle = f"{statistics.median(values):.1f}" if values else "-"
            cells.append(f"{middle} ({paper})")
        taken = statistics.median(len(run["losses"]) for run in runs) if runs else "-"
        lines.append([trained, taken, *cells])
    show(
        f"accuracy in per cent, median of {len(options.seeds)} seeds (the paper's, after 150,000 steps)",
        ["trained with", "steps", *(f"evaluated {evaluated}" for evaluated in EVALUATED)],
        lines,
    )
    path = write("duplication", settings=vars(options), rows=rows, device="cpu")
    plot = save_plot("duplication", lambda axes: _draw(axes, rows))
    print(f"\n{path}\n{plot}")


def _draw(axes: Any, rows: list[dict[str, Any]]) -> None:
    colours = {str(kind): f"C{number}" for number, kind in enumerate(TRAINED)}
    for row in rows:
        label = f"trained with {row['trained']}" if row["seed"] == rows[0]["seed"] else None
        axes[0].plot(row["losses"], color=colours[str(row["trained"])], linewidth=0.8, label=label)
    axes[0].set_yscale("log")
    axes[0].set_xlabel("step")
    axes[0].set_ylabel("loss, nats per symbol")
    axes[0].set_title("duplication, length 1,024", fontsize=10)
    axes[0].grid(alpha=0.3)
    axes[0].legend()


if __name__ == "__main__":
    main()
