"""What all benchmarks share: measuring in a process of its own, and showing what came out.

A measurement is made in a child process, so that no allocator keeps what another left behind. Peak memory is what the
work adds to what was there before: resident memory on the CPU, allocated memory on a GPU.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def composing_parser(description: str | None, *, data: str, pieces: int, what_pieces: str) -> argparse.ArgumentParser:
    """The command line of a benchmark of what weights compose."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=formatter)
    parser.add_argument("--checkpoints", nargs="+", default=["pretrained"])
    parser.add_argument("--data", default=data, help="a token store")
    parser.add_argument("--pieces", type=int, default=pieces, help=what_pieces)
    parser.add_argument("--variations", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0)
    return parser


def for_composing(options: argparse.Namespace) -> dict[str, Any]:
    """The options that every child process gets, whatever the weights."""
    return {
        "data": options.data,
        "num_pieces": options.pieces,
        "variations": options.variations,
        "threads": options.threads,
    }


def in_child(function: str, **arguments: Any) -> Any:
    """Call "module:function" with these arguments in a new process; None if it ran out of memory or failed.

    With device="cuda" all calls share one process: what is allocated there is counted exactly, whatever was before.
    """
    if arguments.get("device") == "cuda":
        try:
            return _gpu_process().submit(_on_gpu, function, arguments).result()
        except BrokenProcessPool:
            _gpu_process.cache_clear()
            return None
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:  # killed, most likely by the kernel for want of memory
        result = None
    process.join()
    return result


def _child(sender: Connection, function: str, arguments: Mapping[str, Any]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sender.send(_call(function, arguments))


def _call(function: str, arguments: Mapping[str, Any]) -> Any:
    module, _, name = function.partition(":")
    try:
        return getattr(importlib.import_module(module), name)(**arguments)
    except Exception as error:
        sys.stderr.write(f"{function} {dict(arguments)}: {type(error).__name__}: {error}\n")
        return None


@functools.cache
def _gpu_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _on_gpu(function: str, arguments: Mapping[str, Any]) -> Any:
    import torch

    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return _call(function, arguments)


def _end_with_parent() -> None:
    """However the parent ends: a killed one does not end its children."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def in_children(name: str, function: str, tasks: Sequence[Mapping[str, Any]], *, workers: int) -> list[dict[str, Any]]:
    """Call a function once for each task, each in a process of its own, `workers` at a time.

    What is done is kept in `results/<name>.partial.json`, and not done again when the same command is given after an
    interruption; the caller ends with `write`, which removes it.

    Returns:
        Task and result together as JSON has them (keys are strings), in the order of the tasks; tasks that failed are
        left out.
    """
    partial = _partial(name)
    done: list[tuple[dict[str, Any], Any]] = []
    if partial.exists():
        done = [(task, result) for task, result in json.loads(partial.read_text()) if task in tasks]
        sys.stderr.write(f"{len(done)} of {len(tasks)} are kept from a run that did not finish ({partial})\n")
    finished = [task for task, _ in done]
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(in_child, function, **task): task for task in tasks if task not in finished}
        for future in as_completed(running):
            if future.result() is not None:
                done.append((dict(running[future]), future.result()))
                _replace(partial, json.dumps(done))
                done = [(task, result) for task, result in json.loads(partial.read_text())]
    results = {json.dumps(task, sort_keys=True): result for task, result in done}
    keys = [json.dumps(task, sort_keys=True) for task in tasks]
    return [{**task, **results[key]} for task, key in zip(tasks, keys, strict=True) if key in results]


def _partial(name: str) -> Path:
    return RESULTS / f"{name}.partial.json"


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def seconds_in_turn(
    steps: Mapping[str, Callable[[], object]], *, repeats: int, device: str, warm_up: int = 1, steps_a_turn: int = 1
) -> dict[str, float]:
    """Median seconds of each step, all taking turns: where a machine is slow for a minute, it is so for all of them.

    With several steps a turn, they follow one another without waiting for the device.

    On one CPU thread they are seconds of that processor's time: on a machine that others use too, the clock on the wall
    measures the others.
    """
    import torch

    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(warm_up + repeats):
        for name, step in steps.items():
            begin = clock()
            for _ in range(steps_a_turn):
                step()
            wait_for(device)
            if number >= warm_up:
                seconds[name].append((clock() - begin) / steps_a_turn)
    return {name: statistics.median(times) for name, times in seconds.items()}


def peak_memory(step: Callable[[], object], device: str) -> int:
    """Bytes that one call needs at its peak, beyond what was there before: its process should do nothing else."""
    gc.collect()
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # Forget the peak so far.
    before = status_of_process("VmRSS")
    step()
    return status_of_process("VmHWM") - before


def peak_allocated(step: Callable[[], object]) -> int:
    """Peak of the memory that torch allocates on the CPU in one call, in bytes.

    Unlike resident memory it knows nothing of what the C library keeps, or leaves between two allocations.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    allocated = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return peak


def peak_of_process(device: str) -> int:
    """The most memory that this process has had, in bytes: resident, or on a GPU allocated there."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    return status_of_process("VmHWM")


def status_of_process(field: str) -> int:
    """A size that the system tells of this process (VmRSS, RssAnon ...), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}: this measurement needs Linux")


def wait_for(device: str) -> None:
    """Until a GPU has done what it was given."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def use_threads(threads: int) -> None:
    """CPU threads of this process; 0: as torch chooses."""
    import torch

    if threads:
        torch.set_num_threads(threads)


def machine(device: str) -> str:
    """In words: what the figures were measured on."""
    import torch

    if device == "cuda":
        where = torch.cuda.get_device_name()
    else:
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        where = f"{os.cpu_count()} cores of {names[0].partition(':')[2].strip()}" if names else platform.processor()
    return f"{where}, torch {torch.__version__}, Python {platform.python_version()}"


def of_device(device: str) -> str:
    """What names the results of a device other than the CPU."""
    return "" if device == "cpu" else f"-{device}"


def write(
    name: str, *, settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], device: str, kind: str = ""
) -> Path:
    """Write `results/<name><kind>.json`: what was measured, when, where, at which commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    content = {
        "benchmark": name,
        "date": date.today().isoformat(),
        "machine": machine(device),
        "commit": commit.stdout.strip(),
        "command": " ".join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]]),
        "settings": dict(settings),
        "rows": list(rows),
    }
    path = RESULTS / f"{name}{kind}.json"
    _replace(path, json.dumps(content, indent=1) + "\n")
    _partial(name + kind).unlink(missing_ok=True)
    return path


def show(title: str, header: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """Print a table in Markdown, so that it can be pasted into docs/experiments.md."""
    cells = [[str(cell) for cell in line] for line in [header, *lines]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    print(f"\n{title}\n")
    for number, line in enumerate(cells):
        print("| " + " | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")
    sys.stdout.flush()


def save_plot(name: str, draw: Callable[[Any], None], *, panels: int = 1) -> Path:
    """Draw `results/<name>.png`; `draw` is given the list of axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * panels, 4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.subplots(1, panels, squeeze=False)[0])
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.png"
    figure.savefig(path)
    return path


def megabytes(count: float) -> str:
    """1,234 MB."""
    return f"{count / 1e6:,.0f} MB"
