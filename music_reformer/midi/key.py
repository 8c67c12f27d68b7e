"""Keys such as "A minor": their key signature and pitch classes."""

from __future__ import annotations

from dataclasses import dataclass

from music_reformer.config import require

# Around the circle of fifths, from seven flats to seven sharps.
MAJORS = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
MINORS = ("Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#")
MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
# Minor with the raised sixth and seventh, which rising melodies and dominants use.
MINOR_SCALE = (0, 2, 3, 5, 7, 8, 9, 10, 11)


@dataclass(frozen=True)
class Key:
    """A key, given by its signature: `sharps` from -7 (seven flats) to 7."""

    sharps: int
    is_minor: bool

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read a key such as "Eb major" or "F# minor". Raises `UserError` for anything else."""
        tonic, _, mode = str(text).partition(" ")
        tonics = {"major": MAJORS, "minor": MINORS}.get(mode, ())
        require(tonic in tonics, f"key ({text!r}) must be a tonic and a mode, such as C major or F# minor")
        return cls(sharps=tonics.index(tonic) - 7, is_minor=mode == "minor")

    @classmethod
    def of(cls, tonic: int, *, is_minor: bool) -> Key:
        """The key on a pitch class, 0 to 11, spelt with the fewest accidentals; with sharps where six are as many."""
        signature = (tonic + (3 if is_minor else 0)) * 7 % 12
        return cls(sharps=signature if signature <= 6 else signature - 12, is_minor=is_minor)

    @classmethod
    def numbered(cls, number: int) -> Key:
        """The key with a `number`."""
        return cls.of(number % 12, is_minor=number >= 12)

    @property
    def number(self) -> int:
        """0 to 23: the major keys from C upward, then the minor keys. Keys that sound alike have one number."""
        return self.tonic + 12 * self.is_minor

    @property
    def tonic(self) -> int:
        """Pitch class of the tonic, 0 to 11 (0 is C)."""
        return (self.sharps * 7 + (9 if self.is_minor else 0)) % 12

    def __str__(self) -> str:
        """As `parse` reads it: "Eb major"."""
        return f"{(MINORS if self.is_minor else MAJORS)[self.sharps + 7]} {'minor' if self.is_minor else 'major'}"

    @property
    def pitch_classes(self) -> frozenset[int]:
        """The pitch classes of the key, 0 to 11."""
        scale = MINOR_SCALE if self.is_minor else MAJOR_SCALE
        return frozenset((self.tonic + step) % 12 for step in scale)
