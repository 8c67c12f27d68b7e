"""CPU time of this checkout against that of another one, an earlier commit say, taking turns in one run.

    git worktree add ../before d5d5638
    python -m benchmarks.versions ../before --corpus FOLDER

CPU time, because other programs on the machine lengthen it much less than the time on the clock. Each piece of work
runs in a process of each checkout, on one thread. `prepare` is the command with one worker, on the first files of a
folder.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import show

HERE = Path(__file__).parent.parent
# Runs `work` once to load all that is loaded once, then whenever a line arrives, and answers with its CPU time.
CHILD = """
import sys, time
from benchmarks.harness import use_threads
use_threads(1)
{setup}
work()
for _ in sys.stdin:
    begin = time.process_time()
    work()
    print(time.process_time() - begin, flush=True)
"""
SETUPS = {
    "attention layer, forward and backward, 8,192 tokens, 2 rounds": """
from benchmarks.attention import step_of
work = step_of('ours', length=8192, rounds=2, alone=False, device='cpu', bfloat16=False)
""",
    "training step of the whole model, 4,096 tokens": """
from benchmarks.memory import step_of
work, _ = step_of('ours', 4096, 'cpu', bfloat16=False)
""",
    "200 decoding steps of four variations after 4,096 tokens": """
import torch
from benchmarks.decode import _decoding, _prompt, _steps_of_ours
torch.inference_mode().__enter__()
decoder = _decoding('cpu')
steps = _steps_of_ours(decoder, decoder.prefill(_prompt(4096, 'cpu'))[1].expand(4))
work = lambda: [steps() for _ in range(20)]
""",
}


def start(checkout: Path, setup: str) -> subprocess.Popen[str]:
    """A process of a checkout that does its work on demand."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD.format(setup=setup)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def measure(checkouts: list[Path], setup: str, turns: int) -> list[list[float]]:
    """CPU seconds of each turn, for each checkout."""
    children = [start(checkout, setup) for checkout in checkouts]
    seconds: list[list[float]] = [[] for _ in children]
    for _ in range(turns):
        for child, found in zip(children, seconds, strict=True):
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write("\n")
            child.stdin.flush()
            found.append(float(child.stdout.readline()))
    for child in children:
        child.communicate()
    return seconds


def measure_prepare(checkouts: list[Path], corpus: Path, files: int, turns: int) -> list[list[float]]:
    """CPU seconds of `music-reformer prepare`, for each checkout."""
    seconds: list[list[float]] = [[] for _ in checkouts]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "files"
        folder.mkdir()
        for number, path in enumerate(sorted(corpus.rglob("*.mid"))[:files]):
            shutil.copy(path, folder / f"{number:04d}.mid")
        for turn in range(turns):
            for number, checkout in enumerate(checkouts):
                command = [sys.executable, "-m", "music_reformer", "prepare", f"corpus.path={folder}", "workers=1"]
                command.append(f"output={Path(temporary) / f'store-{turn}-{number}'}")
                before = cpu_of_children()
                environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
                subprocess.run(command, cwd=checkout, env=environment, capture_output=True, check=True)
                seconds[number].append(cpu_of_children() - before)
    return seconds


def cpu_of_children() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def row(name: str, seconds: list[list[float]]) -> list[str]:
    """Medians, and the median of the ratios of each turn: both sides of a turn saw the same machine."""
    before, now = map(statistics.median, seconds)
    ratio = statistics.median(new / old for old, new in zip(*seconds, strict=True))
    return [name, f"{before:.3f} s", f"{now:.3f} s", f"{ratio:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="another checkout")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--corpus", type=Path, help="folder of MIDI files, for `prepare`")
    parser.add_argument("--files", type=int, default=200, help="of the corpus")
    parser.add_argument("--prepare-turns", type=int, default=3)
    options = parser.parse_args()
    checkouts = [options.before.resolve(), HERE]
    rows = [row(name, measure(checkouts, setup, options.turns)) for name, setup in SETUPS.items()]
    if options.corpus is not None:
        name = f"prepare, {options.files} files, one worker"
        rows.append(row(name, measure_prepare(checkouts, options.corpus, options.files, options.prepare_turns)))
    show("CPU time", ["work", "before", "now", "now / before"], rows)


if __name__ == "__main__":
    main()
