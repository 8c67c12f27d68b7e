"""Small batches: their settings and their output."""

from __future__ import annotations

from pathlib import Path

from music_reformer.batch.settings import GenerateConfig


def config(weights: Path, prompts: Path | None, output: Path, **settings: object) -> GenerateConfig:
    return GenerateConfig(
        **{
            "checkpoint": str(weights),
            "prompts": str(prompts) if prompts is not None else None,
            "output": str(output),
            "variations": 2,
            "length": "1bars",
            "device": "cpu",
            **settings,
        }
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
