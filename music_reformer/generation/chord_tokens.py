"""The chord tokens at the beginning of each bar of a stream in the Parts encoding: reading, writing, and other keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from music_reformer.midi.chords import NO_CHORD, QUALITIES, Chord
from music_reformer.midi.modulation import Modulation
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


def chord_tokens(vocabulary: Vocabulary, chord: Chord) -> list[int]:
    """The tokens that write a chord."""
    ids = vocabulary.ids
    if chord == NO_CHORD:
        return [ids["NoChord", None]]
    tokens = [ids["ChordRoot", chord.root], ids["ChordQuality", QUALITIES.index(chord.quality)]]
    return tokens if chord.bass == chord.root else [*tokens, ids["ChordBass", chord.bass]]


def modulated_chords(vocabulary: Vocabulary, chords: Sequence[int], modulation: Modulation) -> tuple[int, ...]:
    """The chord tokens of a bar in another key."""
    if not modulation.changes_key:
        return tuple(chords)
    kinds, values = vocabulary.kinds, vocabulary.values
    written: list[int] = []
    for place, token in enumerate(chords):
        if kinds[token] == "ChordRoot":
            quality, *rest = chords[place + 1 :]
            root = values[token]
            bass = values[rest[0]] if rest and kinds[rest[0]] == "ChordBass" else root
            written += chord_tokens(vocabulary, modulation.chord(Chord(root, QUALITIES[values[quality]], bass)))
        elif kinds[token] not in ("ChordQuality", "ChordBass"):
            written.append(token)
    return tuple(written)
