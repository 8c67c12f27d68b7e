"""Jobs: one prompt and one seed each, and the files of its variations."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from music_reformer.errors import UserError
from music_reformer.midi.sheet import MUSIC_SUFFIXES, is_music_name
from music_reformer.midi.smf import without_suffix


@dataclass(frozen=True)
class Job:
    """One prompt, one seed, and the files to write. Without a prompt, a piece is composed from nothing."""

    prompt: Path | None
    seed: int
    outputs: list[Path]

    @property
    def name(self) -> str:
        """The job's name in messages."""
        return self.prompt.name if self.prompt is not None else "a new piece"

    def sha256(self) -> str | None:
        """Checksum of the prompt; None without one.

        Raises:
            UserError: it cannot be read.
        """
        if self.prompt is None:
            return None
        try:
            return hashlib.sha256(self.prompt.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(f"{self.prompt} cannot be read ({error.strerror})") from error


def find_jobs(prompts: str | None, output: Path, *, variations: int, seed: int, seeds: Sequence[int]) -> list[Job]:
    """Find the prompts and name the outputs, which mirror the folders of the prompts.

    Args:
        prompts: a file, a folder that is searched recursively, or None to compose from nothing.
        output: folder of the outputs.
        variations: files for each prompt and seed.
        seed: the only seed if `seeds` is empty; names of files then do not contain it.
        seeds: several seeds.

    Raises:
        UserError: there is no such path, or no MIDI file in it.
    """
    jobs = []
    for prompt, stem in _stems(prompts, output):
        for number in seeds or [seed]:
            name = f"{stem.name}_seed{number}" if seeds else stem.name
            outputs = [stem.with_name(f"{name}_{variation + 1}.mid") for variation in range(variations)]
            jobs.append(Job(prompt, number, outputs))
    return jobs


def _stems(prompts: str | None, output: Path) -> list[tuple[Path | None, Path]]:
    """Every prompt, and the path of its outputs without numbers and suffixes."""
    if prompts is None:
        return [(None, output / "piece")]
    root = Path(prompts)
    if not root.exists():
        raise UserError(f"prompts ({root}) does not exist; name a music file or a folder of them")
    if root.is_file():
        return [(root, output / without_suffix(root).name)]
    # The output may lie inside the folder of prompts; files written there are not prompts.
    inside = output.resolve()
    if inside == root.resolve():
        raise UserError(f"output ({output}) must not be the folder of the prompts; choose another one")
    inputs = sorted(path for path in root.rglob("*") if path.is_file() and inside not in path.resolve().parents)
    files = [path for path in inputs if is_music_name(path.name)]
    if not files:
        raise UserError(f"there is no music file ({', '.join(MUSIC_SUFFIXES)}) in {root}; choose another folder")
    if len(files) < len(inputs):
        logging.getLogger(__name__).warning(
            "skipped %d of the files in %s: by their names, they are not music files",
            len(inputs) - len(files),
            root,
        )
    stems: list[tuple[Path | None, Path]] = []
    taken = set()
    for path in files:
        stem = Path(without_suffix(path.relative_to(root)))
        if stem in taken:  # song.mid and song.midi side by side
            stem = path.relative_to(root)
        taken.add(stem)
        stems.append((path, output / stem))
    return stems
