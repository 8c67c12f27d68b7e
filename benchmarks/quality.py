"""What LSH attention is worth on music: the same parameters, data, steps and seeds, the attention alone changed.

Trains `model=small` with sliding windows only, with LSH in every other layer as here (successor values) and as in the
paper (own values), with LSH in every layer, and with full attention in every other layer. Then scores whole held-out
pieces: by hash rounds, by position in the piece, and with the context cut short.

    python -m benchmarks.quality --data datasets/pop909-voices --steps 600

Runs are resumed and kept under runs/quality; one that is finished is only scored.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from pathlib import Path
from typing import Any

from benchmarks.harness import in_children, machine, save_plot, show, use_threads, write

VARIANTS: dict[str, dict[str, Any]] = {
    "local": {"attention": ["local"]},
    "local, lsh": {"attention": ["local", "lsh"]},
    "local, lsh as in the paper": {"attention": ["local", "lsh"], "successor_values": False},
    "lsh": {"attention": ["lsh"]},
    "local, full": {"attention": ["local", "full"]},
}
ROUNDS = [1, 2, 4, 8]
CONTEXTS = [512, 2048, 8192, 32768]
POSITIONS = [0, 256, 1024, 2048, 4096, 8192, 16384, 65536]


def train_and_score(
    *,
    variant: str,
    seed: int,
    data: str,
    steps: int,
    row_tokens: int,
    num_pieces: int,
    contexts: list[int],
    threads: int,
) -> dict[str, Any]:
    """In a child process."""
    use_threads(threads)
    weights = _train(variant=variant, seed=seed, data=data, steps=steps, row_tokens=row_tokens, threads=threads)
    return _score(weights=weights, data=data, num_pieces=num_pieces, contexts=contexts)


def _train(*, variant: str, seed: int, data: str, steps: int, row_tokens: int, threads: int) -> str:
    """Train, or resume a training; returns the folder of the weights."""
    from music_reformer.config import AugmentConfig, ModelConfig, OptimizerConfig, TrainConfig, TrainerConfig
    from music_reformer.training.run import train

    # The weights exported are the last ones: there is nothing to choose among.
    trainer = TrainerConfig(
        max_steps=steps,
        row_tokens=row_tokens,
        rows_per_batch=1,
        accelerator="auto",
        validate_every=steps,
        validation_rows=8,
        checkpoint_every=50,
        log_every=10,
        threads=threads,
    )
    model = ModelConfig(axial_shape=[512, 256], recompute=False, **VARIANTS[variant])
    folder = Path("runs/quality") / f"{Path(data).name}-{variant.replace(', ', '-').replace(' ', '-')}-{steps}-{seed}"
    weights = train(
        TrainConfig(
            data=data,
            output=str(folder),
            seed=seed,
            model=model,
            optimizer=OptimizerConfig(warmup_steps=min(60, steps // 4)),
            augment=AugmentConfig(position_offset=True),
            trainer=trainer,
        )
    )
    return str(weights)


def _score(*, weights: str, data: str, num_pieces: int, contexts: list[int]) -> dict[str, Any]:
    """Nats per token of held-out pieces, by rounds, by position, by context."""
    import numpy as np

    from music_reformer.data.store import TokenStore
    from music_reformer.evaluation.likelihood import mean_nats, piece_losses, short_context_losses
    from music_reformer.model.weights import load_weights

    store, model = TokenStore.open(data), load_weights(weights).model.to(_device())
    pieces = list(store.split("validation"))[:num_pieces]
    hashes = "lsh" in model.config.attention

    by_rounds = {}
    for rounds in ROUNDS if hashes else [model.num_rounds]:
        model.num_rounds = rounds
        by_rounds[rounds] = mean_nats(piece_losses(model, store, pieces))
    model.num_rounds = model.config.num_rounds
    losses = list(piece_losses(model, store, pieces))
    place = np.concatenate([np.arange(len(loss.nats)) for loss in losses])
    nats = np.concatenate([loss.nats for loss in losses])
    inside = [(place >= begin) & (place < end) for begin, end in itertools.pairwise(POSITIONS)]
    return {
        "nats": float(nats.mean()),
        "by_rounds": by_rounds,
        "by_position": [float(nats[mask].mean()) if mask.any() else None for mask in inside],
        "by_context": {
            context: mean_nats(short_context_losses(model, store, pieces, context=context)) for context in contexts
        },
    }


def _device() -> str:
    """What Lightning chooses, too."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="datasets/pop909-voices", help="a token store")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--row-tokens", type=int, default=8192)
    parser.add_argument("--pieces", type=int, default=16, help="held-out pieces that are scored")
    parser.add_argument("--contexts", type=int, nargs="+", default=CONTEXTS)
    parser.add_argument("--threads", type=int, default=0, help="of each training")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    options = parser.parse_args()
    print(machine(_device()))
    common = {
        "data": options.data,
        "steps": options.steps,
        "row_tokens": options.row_tokens,
        "num_pieces": options.pieces,
        "contexts": options.contexts,
        "threads": options.threads,
    }
    tasks = [{"variant": variant, "seed": seed, **common} for seed in options.seeds for variant in options.variants]
    kind = f"-{Path(options.data).name}"
    done = in_children(f"quality{kind}", "benchmarks.quality:train_and_score", tasks, workers=options.workers)
    _show(options, done)
    path = write("quality", kind=kind, settings=vars(options), rows=done, device=_device())
    plot = save_plot(f"quality{kind}", lambda axes: _draw(axes, done, options.contexts), panels=2)
    print(f"\n{path}\n{plot}")


def _show(options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(row["variant"] for row in rows))

    def middle(name: str, key: str, at: str) -> str:
        values = [row[key][at] for row in rows if row["variant"] == name and at in row[key]]
        return f"{statistics.median(values):.3f}" if values else "-"

    title = f"nats per token of {options.pieces} held-out pieces after {options.steps:,} steps"
    show(
        f"{title}, by rounds",
        ["attention", *map(str, ROUNDS)],
        [[n, *(middle(n, "by_rounds", str(r)) for r in ROUNDS)] for n in names],
    )
    show(
        f"{title}, by context",
        ["attention", *map(str, options.contexts)],
        [[name, *(middle(name, "by_context", str(context)) for context in options.contexts)] for name in names],
    )


def _draw(axes: Any, rows: list[dict[str, Any]], contexts: list[int]) -> None:
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    for row in rows:
        label = row["variant"] if row["seed"] == rows[0]["seed"] else None
        color = f"C{variants.index(row['variant'])}"
        places = [begin for begin, nats in zip(POSITIONS, row["by_position"], strict=False) if nats is not None]
        axes[0].plot(
            places, [nats for nats in row["by_position"] if nats is not None], marker="o", color=color, label=label
        )
        axes[1].plot(
            contexts, [row["by_context"][str(context)] for context in contexts], marker="o", color=color, label=label
        )
    axes[0].set_xscale("symlog", base=2, linthresh=256)
    axes[0].set_xlabel("from this token of the piece on")
    axes[1].set_xscale("log", base=2)
    axes[1].set_xlabel("context cut to, tokens")
    for axis in axes:
        axis.set_ylabel("nats per token")
        axis.grid(alpha=0.3)
    axes[0].legend()


if __name__ == "__main__":
    main()
