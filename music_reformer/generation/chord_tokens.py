"""The chord tokens at the beginning of each bar of a stream in the Parts encoding: reading and transposing them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from music_reformer.midi.vocabulary import Vocabulary

CHORD_KINDS = ("ChordRoot", "NoChord", "ChordQuality", "ChordBass")


def chords_of_bars(vocabulary: Vocabulary, ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the chord tokens of one bar after another, with the `Position` tokens of chords that begin inside the bar.

    Args:
        vocabulary: of the tokenizer.
        ids: a stream; tokens before its first bar line and directions are skipped.
    """
    chords: list[int] | None = None
    at: list[int] = []  # the Position token of the next chord, if it has one
    before_notes, in_directions, last = False, False, ""
    for token in ids:
        kind = vocabulary.kinds[token]
        if kind in ("Directions", "Music"):
            in_directions = kind == "Directions"
        elif in_directions:
            continue
        elif kind == "Bar":
            if chords is not None:
                yield tuple(chords)
            chords, at, before_notes = [], [], True
        elif kind == "Program":
            before_notes = False
        elif chords is not None and before_notes:
            if kind in CHORD_KINDS:
                chords += [*at, token]
                at = []
            else:
                at = [token] if kind == "Position" and last != "Cut" else []
        last = kind
    if chords is not None:
        yield tuple(chords)


def transposed_chords(vocabulary: Vocabulary, chords: Sequence[int], semitones: int) -> tuple[int, ...]:
    """The chord tokens of a bar, moved up by `semitones`."""

    def moved(token: int) -> int:
        kind, value = vocabulary.kinds[token], vocabulary.values[token]
        return vocabulary.ids[kind, (value + semitones) % 12] if kind in ("ChordRoot", "ChordBass") else token

    return tuple(map(moved, chords))
