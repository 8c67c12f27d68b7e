"""Compile the kernels of `triton_kernels.py` for a GPU, without having one: python compile_kernels.py 90.

The argument is its compute capability times ten. Prints a line for each kernel: its name, for which attention, and the
bytes that each thread keeps in memory because its registers do not hold them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from music_reformer.model.kernels import triton_kernels

# As in the shipped model: heads of 64, windows of 64.
COMMON = {"WIDTH": 64, "PADDED": 64, "WINDOW": 64, "FIRST": False}
SHARED = {**COMMON, "NEAREST": 1, "SHARED": True, "SUCCESSOR": 1}
LOCAL = {**COMMON, "NEAREST": 0, "SHARED": False, "SUCCESSOR": 0}
ROWS = ("query", "key", "value", "grad", "out", "d_query", "d_key", "d_value", "rows", "to")
FLOATS = ("joined", "lse", "delta", "sum_query", "sum_key", "sum_value", "rotations", "cosine", "sine")
ALIGNED = ("*i64", "*bf16", "*fp32", "*i32", "i32")
HALF = {"BLOCK": 64, "REACH": 1, "PRECISION": "tf32"}


def compiled(kernel: triton.JITFunction, *, dtype: str, num_warps: int, target: GPUTarget, **constants: object) -> str:
    """The kernel in PTX."""
    names = kernel.arg_names
    constants = {name: value for name, value in constants.items() if name in names}
    types = dict.fromkeys(names, "i32") | dict.fromkeys(constants, "constexpr") | {"scale": "fp32"}
    types |= {name: f"*{dtype}" for name in names if name in ROWS}
    types |= {name: "*i32" for name in names if name == "segments"}
    types |= {name: "*i64" for name in names if name in ("orders", "buckets")}
    types |= {name: "*fp32" for name in names if name in FLOATS}
    source = ASTSource(
        kernel,
        {name: types[name] for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        # What a launch finds out by itself: pointers and strides are multiples of 16.
        attrs={(number,): [["tt.divisibility", 16]] for number, name in enumerate(names) if types[name] in ALIGNED},
    )
    return triton.compile(source, target=target, options={"num_warps": num_warps}).asm["ptx"]


def spilled(ptx: str, capability: int) -> int:
    """Bytes that each thread spills, as NVIDIA's assembler, which comes with Triton, says."""
    from triton.backends.nvidia.compiler import get_ptxas

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx)
        name = f"sm_{capability}a" if capability >= 90 else f"sm_{capability}"
        command = [get_ptxas(capability).path, "-v", f"--gpu-name={name}", str(path), "-o", f"{path}.cubin"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.search(r"(\d+) bytes spill stores", said)
    assert found is not None, said
    return int(found[1])


def main() -> None:
    capability = int(sys.argv[1])
    target = GPUTarget("cuda", capability, 32)
    for kernel in (triton_kernels.forward_round, triton_kernels.backward_queries, triton_kernels.backward_keys):
        for name, flags in (("shared", SHARED), ("local", LOCAL)):
            ptx = compiled(kernel, dtype="bf16", num_warps=4, target=target, **HALF, **flags, LAST=True)
            sys.stdout.write(f"{kernel.__name__} {name} {spilled(ptx, capability)}\n")
    rotate = compiled(
        triton_kernels.rotate_rows, dtype="bf16", num_warps=4, target=target, PAIRS=32, PADDED=32, BLOCK=32, sign=1
    )
    # Of 64 buckets.
    hash_sizes = {"WIDTH": 64, "PADDED": 64, "BLOCK": 64, "COLUMNS": 32, "FIRST_HALF": 32, "SECOND_HALF": 0}
    hashes = compiled(triton_kernels.hash_rows, dtype="bf16", num_warps=4, target=target, **hash_sizes)
    for name, ptx in (("rotate_rows local", rotate), ("hash_rows shared", hashes)):
        sys.stdout.write(f"{name} {spilled(ptx, capability)}\n")


if __name__ == "__main__":
    main()
