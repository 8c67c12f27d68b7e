"""A score as MusicXML, for notation programs: quantised, in bars and voices, by music21 (`sheet.py` reads)."""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import symusic

from music_reformer.errors import UserError
from music_reformer.midi.limited import run_limited, serve_limited
from music_reformer.midi.score import KEPT_LIMITS, read_score, with_likely_metre

NOTATION_NOTES = 30_000  # about a minute of work


def music_xml(midi: bytes, *, name: str, title: str, seconds: float = 120, megabytes: int = 3000) -> bytes:
    """MIDI bytes as MusicXML bytes, made in a process of its own: large files take music21 long.

    Args:
        name: what messages call the piece.
        title: what stands above the music.
        seconds, megabytes: time and memory that it may take.

    Raises:
        UserError: there are too many notes, or it took more than the limits.
    """
    module = "music_reformer.midi.notation"
    arguments = [name, title]
    return run_limited(module, arguments, midi, name=name, doing="written", seconds=seconds, megabytes=megabytes)


def _convert(data: bytes, name: str, title: str) -> bytes:
    import music21

    played = with_likely_metre(read_score(data, limits=KEPT_LIMITS, name=name))
    # Metre and key in a track of their own: music21 gives them to all parts only then.
    played.tracks.insert(0, symusic.Track("", 0, False))
    score = music21.converter.parseData(played.dumps_midi(), format="midi")
    if sum(1 for _ in score.recurse().notes) > NOTATION_NOTES:
        raise UserError(f"{name} has more than {NOTATION_NOTES:,} notes; export a part of it as notes instead")
    score.metadata = music21.metadata.Metadata(title=title, composer="")
    _sign_key(score)
    _fill_up(score)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "score.musicxml"
        score.write("musicxml", path)
        return path.read_bytes()


def _sign_key(score: Any) -> None:
    """Where the file names no key, find one, so that notes are spelt as a musician would."""
    if score.recurse().getElementsByClass("KeySignature").first() is not None:
        return
    try:
        key = score.analyze("key")
    except Exception:  # music21 gives up on pieces of drums alone, in many ways
        return
    for part in score.parts:
        first = part.recurse().getElementsByClass("Measure").first()
        (first if first is not None else part).insert(0, key.__class__(key.tonic, key.mode))
    for note in score.recurse().notes:
        for pitch in note.pitches:
            if pitch.accidental is not None and key.sharps < 0 and pitch.accidental.name == "sharp":
                pitch.getEnharmonic(inPlace=True)


def _fill_up(score: Any) -> None:
    """Bars of rest behind parts that end early: in notation all parts have the same bars."""
    import music21

    bars = [list(part.getElementsByClass("Measure")) for part in score.parts]
    longest = max(bars, key=len, default=[])
    for part, own in zip(score.parts, bars, strict=True):
        for bar in longest[len(own) :]:
            rest = music21.stream.Measure(number=bar.number)
            rest.append(music21.note.Rest(quarterLength=bar.barDuration.quarterLength))
            part.append(rest)


if __name__ == "__main__":
    sys.exit(serve_limited(_convert))
