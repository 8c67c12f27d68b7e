"""How well weights obey directions: each kind is directed to both sides of what the piece did before the cut.

Pieces of `usable_prompts.csv` are continued for eight bars. For density, register and polyphony, every part is directed
to more, or to less, than it had in its last bars; the table says how often it plays on the requested side, for which
chance is slightly below one half. For parts, all that are named must play, and if one of several is left out of the
directions, it must be silent. `sampling.hold` is off, so that the model alone obeys.

    python -m benchmarks.directions --checkpoint pretrained

On one core this takes some ten minutes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.harness import use_threads
from benchmarks.obedience import Obedience
from benchmarks.usable import cut_pieces
from music_reformer.midi.parts import NUM_LEVELS

BARS = 8
# Levels by which a part is asked to differ: an octave of density, of pitch, and a note and a half at once.
STEPS = {"density": 2, "register": 3, "polyphony": 3}


def obedience(*, checkpoint: str, corpora: str, genre: str, pieces: int, threads: int) -> dict[str, Any]:
    """In a child process: for each kind and direction, whether each part of each piece obeyed."""
    from music_reformer.generation.generator import Generator

    use_threads(threads)
    generator = Generator.load(checkpoint, "cpu")
    found: dict[str, list[bool]] = defaultdict(list)
    for _, piece, cut in cut_pieces(corpora, genre, pieces):
        for kind, step in STEPS.items():
            for sign in (1, -1):
                asked, heard = _continued(generator, piece, cut, _shifted(kind, sign * step))
                for part, level in _levels(asked, kind).items():
                    before, after = level - sign * step, _levels(heard, kind).get(part)
                    found[f"{kind} {'more' if sign > 0 else 'less'}"].append(
                        after is not None and sign * (after - before) > 0
                    )
        _hear_silence(generator, piece, cut, found)
    return {"obeyed": found}


def _continued(generator: Any, piece: Any, cut: int, change: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The directions that were given, and those that describe what came."""
    from music_reformer.generation.request import Request
    from music_reformer.midi.directions import describe
    from music_reformer.midi.parts_reader import PartsReader

    vocabulary = generator.tokenizer.vocabulary
    # Nothing but the directions is to hold the music to the piece.
    request = Request(length=f"{BARS}bars", cut_bar=cut)
    request.sampling.hold = 0.0
    session = generator.start(piece, request)
    prompt = session.prompt
    prompt.reminder.directions = change(prompt.reminder.directions)
    prompt.ids = [*prompt.past_ids, *prompt.reminder.opening()]
    for variation in session._variations:
        variation.reminder = prompt.reminder.copy()
    composed: list[int] = []
    for variation in session._variations:
        inner = variation.take
        variation.take = lambda token, inner=inner: (composed.append(token), inner(token))[1]
    for _ in generator.compose(session):
        pass
    reader = PartsReader(vocabulary)
    line = prompt.past_ids[int(reader.bars(np.array(prompt.past_ids))[-1]) :]
    new = np.array([*line, *composed])
    # The last token is the line of the bar after them, which would count as an empty bar.
    (heard,) = describe(reader.notes(new[: reader.bars(new)[-1]]), [0])
    return prompt.reminder.directions, heard


def _shifted(kind: str, step: int) -> Callable[[Any], Any]:
    """Directions in which each part has another level; parts for which there is none are left to the model."""

    def change(directions: Any) -> Any:
        parts = []
        for each in directions.parts or ():
            level = getattr(each, kind)
            wanted = None if level is None else level + step
            fits = wanted is not None and 0 <= wanted < NUM_LEVELS[kind.capitalize()]
            parts.append(replace(each, **{kind: wanted if fits else None}))
        return replace(directions, parts=tuple(parts))

    return change


def _levels(directions: Any, kind: str) -> dict[Any, int]:
    return {each.part: getattr(each, kind) for each in directions.parts or () if getattr(each, kind) is not None}


def _hear_silence(generator: Any, piece: Any, cut: int, found: dict[str, list[bool]]) -> None:
    """Whether all that are named play, and whether one that is left out, where there are several, is silent."""

    def without_first(directions: Any) -> Any:
        return replace(directions, parts=directions.parts[1:])

    asked, heard = _continued(generator, piece, cut, lambda directions: directions)
    names, plays = {each.part for each in asked.parts or ()}, {each.part for each in heard.parts or ()}
    found["named parts play"] += [part in plays for part in names]
    if len(names) > 1:
        asked, heard = _continued(generator, piece, cut, without_first)
        left_out = names - {each.part for each in asked.parts or ()}
        found["others are silent"].append(not left_out & {each.part for each in heard.parts or ()})


def main() -> None:
    found = Obedience("directions", __doc__, pieces=2)
    lines = [[kind, str(len(shares)), found.percent(kind)] for kind, shares in found.shares.items()]
    found.report(["direction", "parts", "obeyed"], lines)


if __name__ == "__main__":
    main()
