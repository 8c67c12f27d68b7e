"""A cached decoding step: by length of the context, by number of variations, against Hugging Face's cached Reformer.

The model has 6 layers of width 256, 4 heads of 64, 2 rounds (4.8 million parameters), with random weights. Beside each
step stands the floor: the time to read all weights once (their sum). Last, the shipped weights continue an example, and
their speed is compared with that of the music.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness import (
    in_child,
    machine,
    of_device,
    save_plot,
    seconds_in_turn,
    show,
    use_threads,
    wait_for,
    write,
)

VOCABULARY = 518
STEPS_A_TURN = 10
SHIPPED_VARIATIONS, SHIPPED_BARS = 4, 32


def ours(**changes: Any) -> Any:
    """The model of the shipped weights' size, in eval."""
    import torch

    from music_reformer.config import ModelConfig
    from music_reformer.model.reformer import ReformerLM

    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "width": 256,
        "num_layers": 6,
        "num_heads": 4,
        "head_width": 64,
        "feed_forward_width": 1024,
        "axial_shape": [512, 256],
    }
    return ReformerLM(ModelConfig(**(settings | changes))).eval()


def hugging_face(*, length: int, **changes: Any) -> Any:
    """Their model of the same shape, in eval."""
    import torch
    from transformers import ReformerConfig, ReformerModelWithLMHead

    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "attention_head_size": 64,
        "feed_forward_size": 1024,
        "attn_layers": ["local", "lsh"] * 3,
        "axial_pos_shape": [length // 128, 128],
        "axial_pos_embds_dim": [128, 128],
        "max_position_embeddings": length,
        "lsh_attn_chunk_length": 64,
        "local_attn_chunk_length": 64,
        "num_hashes": 2,
        "num_buckets": 64,
        "lsh_attention_probs_dropout_prob": 0.0,
        "local_attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.0,
        "is_decoder": True,
        "chunk_size_lm_head": 0,
    }
    return ReformerModelWithLMHead(ReformerConfig(**(settings | changes))).eval()


def measure_contexts(*, contexts: list[int], steps: int, device: str, threads: int) -> list[dict[str, float]]:
    """In a child process, for each context: seconds of the prefill, of a step, and of reading the weights."""
    import torch

    use_threads(threads)
    decoder = _decoding(device)
    prefills, turns = [], {}
    with torch.inference_mode():
        decoder.prefill(_prompt(1024, device))  # Loads all that is loaded once.
        for context in contexts:
            begin = time.perf_counter()
            _, state = decoder.prefill(_prompt(context, device))
            wait_for(device)
            prefills.append(time.perf_counter() - begin)
            turns[str(context)] = _steps_of_ours(decoder, state)
        turns["floor"] = _readings(decoder.model)
        seconds = _median_steps(turns, steps, device)
    return [
        {"prefill": prefill, "seconds": seconds[str(context)], "floor": seconds["floor"]}
        for context, prefill in zip(contexts, prefills, strict=True)
    ]


def measure_variations(*, context: int, variations: int, steps: int, device: str, threads: int) -> dict[str, float]:
    """In a child process: seconds of a step of ours, of Hugging Face's, and of reading our weights, taking turns."""
    import torch

    use_threads(threads)
    decoder, theirs = _decoding(device), hugging_face(length=2 * context).to(device)
    prompt = _prompt(context, device)
    with torch.inference_mode():
        _, state = decoder.prefill(prompt)
        return _median_steps(
            {
                "ours": _steps_of_ours(decoder, state.expand(variations)),
                "hugging face": _steps_of_theirs(theirs, prompt.expand(variations, -1).contiguous()),
                "floor": _readings(decoder.model),
            },
            steps,
            device,
        )


def _decoding(device: str) -> Any:
    """Our model as the generator has it, to decode with."""
    from music_reformer.model.decoder import Decoder

    return Decoder(ours().to(device), compile_step=True)


def _prompt(context: int, device: str) -> Any:
    import torch

    return torch.randint(0, VOCABULARY, (1, context), device=device)


def _steps_of_ours(decoder: Any, state: Any) -> Callable[[], None]:
    import torch

    tokens = torch.zeros(len(state.lengths), dtype=torch.int64, device=state.device)

    def steps() -> None:
        for _ in range(STEPS_A_TURN):
            decoder.step(tokens, state)

    return steps


def _steps_of_theirs(model: Any, prompt: Any) -> Callable[[], None]:
    token = prompt[:, :1].contiguous()
    past = model(prompt, use_cache=True).past_buckets_states

    def steps() -> None:
        nonlocal past
        for _ in range(STEPS_A_TURN):
            past = model(token, past_buckets_states=past, use_cache=True).past_buckets_states

    return steps


def _readings(model: Any) -> Callable[[], None]:
    """The floor: all weights read once for each step, from one piece of memory."""
    import numpy as np
    import torch

    weights = [parameter.detach().cpu().numpy().ravel() for parameter in model.parameters()]
    # Memory of numpy: where it is large, Linux gives it pages of 2 MB, which are faster to read.
    memory = torch.from_numpy(np.concatenate(weights)).to(next(model.parameters()).device)

    def steps() -> None:
        for _ in range(STEPS_A_TURN):
            memory.sum()

    return steps


def _median_steps(turns: dict[str, Callable[[], None]], steps: int, device: str) -> dict[str, float]:
    seconds = seconds_in_turn(turns, repeats=max(1, steps // STEPS_A_TURN), device=device)
    return {name: value / STEPS_A_TURN for name, value in seconds.items()}


def measure_shipped(*, variations: int, bars: int, device: str, threads: int) -> dict[str, float]:
    """In a child process: the shipped weights continue an example, grammar and sampling included."""
    from music_reformer.generation.generator import Generator
    from music_reformer.generation.request import Request
    from music_reformer.midi.examples import EXAMPLES

    use_threads(threads)
    generator = Generator.load("pretrained", device)
    score = next(iter(EXAMPLES.values())).score()
    for length in ("1bars", f"{bars}bars"):  # The first loads all that is loaded once.
        session = generator.start(score, Request(length=length, variations=variations, seed=1))
        begin = time.perf_counter()
        for _ in generator.compose(session):
            pass
        seconds = time.perf_counter() - begin
    return {
        "tokens_per_second": session.num_tokens / seconds,
        "seconds": seconds,
        "music_seconds": session.end_seconds - session.prompt.cut_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contexts", type=int, nargs="+", default=[1024, 4096, 16384, 32768, 65536])
    parser.add_argument("--variations", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--peer-context", type=int, default=4096, help="context at which Hugging Face is measured")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    print(machine(options.device))
    common = {"steps": options.steps, "device": options.device, "threads": options.threads}
    found = in_child("benchmarks.decode:measure_contexts", contexts=options.contexts, **common)
    by_context = [
        {"model": "ours", "context": context, "variations": 1, **row}
        for context, row in zip(options.contexts, found, strict=True)
    ]
    show(
        "one variation, by context",
        ["context", "prefill s", "ms a step", "floor ms"],
        [
            [f"{row['context']:,}", f"{row['prefill']:.2f}", _milliseconds(row["seconds"]), _milliseconds(row["floor"])]
            for row in by_context
        ],
    )
    lines, by_variations = [], []
    for variations in options.variations:
        seconds = in_child(
            "benchmarks.decode:measure_variations", context=options.peer_context, variations=variations, **common
        )
        by_variations.append({"context": options.peer_context, "variations": variations, "seconds": seconds})
        mine, theirs, floor = (seconds[name] for name in ("ours", "hugging face", "floor"))
        lines.append(
            [variations, _milliseconds(mine), _milliseconds(theirs), f"{theirs / mine:.1f}", _milliseconds(floor)]
        )
    show(
        f"context {options.peer_context:,}, by variations decoded together",
        ["variations", "ours, ms a step", "Hugging Face", "times ours", "floor ms"],
        lines,
    )
    shipped = in_child(
        "benchmarks.decode:measure_shipped",
        variations=SHIPPED_VARIATIONS,
        bars=SHIPPED_BARS,
        device=options.device,
        threads=options.threads,
    )
    rows = [*by_context, *by_variations, {"model": "shipped", "variations": SHIPPED_VARIATIONS, **shipped}]
    show(
        f"the shipped weights, {SHIPPED_VARIATIONS} variations of {SHIPPED_BARS} bars after an example",
        ["tokens/s", "seconds", "seconds of music, each", "times faster than it plays"],
        [
            [
                f"{shipped['tokens_per_second']:,.0f}",
                f"{shipped['seconds']:.1f}",
                f"{shipped['music_seconds']:.1f}",
                f"{shipped['music_seconds'] / shipped['seconds']:.1f}",
            ]
        ],
    )
    kind = of_device(options.device)
    path = write("decode", kind=kind, settings=vars(options), rows=rows, device=options.device)
    plot = save_plot(f"decode{kind}", lambda axes: _draw(axes, by_context))
    print(f"\n{path}\n{plot}")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"


def _draw(axes: Any, rows: list[dict[str, Any]]) -> None:
    contexts = [row["context"] for row in rows]
    axes[0].plot(contexts, [row["seconds"] * 1e3 for row in rows], marker="o", label="cached step")
    axes[0].plot(contexts, [row["floor"] * 1e3 for row in rows], linestyle=":", color="grey", label="read the weights")
    axes[0].set_xscale("log", base=2)
    axes[0].set_ylim(bottom=0)
    axes[0].set_xlabel("tokens of context")
    axes[0].set_ylabel("milliseconds")
    axes[0].set_title("one decoding step", fontsize=10)
    axes[0].grid(alpha=0.3)
    axes[0].legend()


if __name__ == "__main__":
    main()
