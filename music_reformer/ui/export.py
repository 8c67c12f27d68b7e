"""The formats in which a piece can be downloaded besides the MIDI file itself."""

from __future__ import annotations

import io
import zipfile
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass

import symusic

from music_reformer.config import Checked, require
from music_reformer.config.checked import bounded, one_of
from music_reformer.generation.request import MAX_TRACK
from music_reformer.midi.cut import keep_before, score_from
from music_reformer.midi.engraving import NARROWEST, WIDEST
from music_reformer.midi.guard import read_score_guarded
from music_reformer.midi.instruments import instrument_name
from music_reformer.midi.notation import NOTATION_BARS, music_xml
from music_reformer.midi.score import KEPT_LIMITS, bar_starts
from music_reformer.midi.text import shown
from music_reformer.midi.vocabulary import is_selected
from music_reformer.ui.order import MAX_BAR
from music_reformer.ui.shelf import piece_name, safe_name

KINDS = ("new", "tracks", "musicxml")
MAX_TICK = 2**31 - 1
# Largest number of notes in an address, which then has some 15,000 characters, a quarter of what servers accept.
MAX_PART_NOTES = 800


@dataclass
class ExportFields(Checked):
    """A visitor's order of an export."""

    # Key of the piece.
    piece: str = ""
    kind: str = one_of("new", KINDS)
    # For "new": the ticks between which notes are new (until -1: to the end), and their programs (empty: all).
    since: int = bounded(0, 0, MAX_TICK)
    until: int = bounded(-1, -1, MAX_TICK, hint="-1 means the end")
    programs: list[int] = bounded([], -1, 127, size=(0, 129), hint="-1 means drums")
    # Tracks of the file with these programs that have new notes (empty: all).
    tracks: list[int] = bounded([], 0, MAX_TRACK, size=(0, 256))


@dataclass
class PartFields(Checked):
    """Some bars and tracks of a piece that a visitor downloads as a file of their own."""

    # Key of the piece.
    piece: str = ""
    # The first bar, counted from 0, and the bar after the last; -1: to the end.
    first_bar: int = bounded(0, 0, MAX_BAR)
    end_bar: int = bounded(-1, -1, MAX_BAR, hint="-1 means the end")
    # Tracks of the file; empty: all.
    tracks: list[int] = bounded([], 0, MAX_TRACK, size=(0, 256))
    # Single notes as [track, tick, pitch]; empty: all. The new file begins with the bar of the first note.
    notes: list[list[int]] = bounded([], 0, MAX_TICK, size=(0, MAX_PART_NOTES))

    def check(self) -> None:
        """Raise `UserError` for invalid fields, and for a note that is not three numbers."""
        super().check()
        for note in self.notes:
            require(len(note) == 3, f"A note ({note!r:.40}) must be its track, tick and pitch.")


@dataclass
class EngraveFields(Checked):
    """A visitor's order of engraved bars."""

    # Key of the piece.
    piece: str = ""
    # First bar, counted from 0.
    bar: int = bounded(0, 0, NOTATION_BARS)
    width: int = bounded(120, NARROWEST, WIDEST, hint="in staff spaces")


def export(
    data: bytes,
    *,
    kind: str,
    name: str,
    since: int,
    until: int | None = None,
    programs: Collection[int] = (),
    tracks: Collection[int] = (),
) -> tuple[bytes, str, str]:
    """Convert a MIDI file to another format.

    Args:
        data: the MIDI file; it was checked when it was opened.
        kind: "new": only the new notes, as MIDI; "tracks": a zip with a MIDI file for each track; "musicxml": a score
            for notation programs.
        name: name of the piece.
        since: for "new", tick from which notes are new.
        until: for "new", end of the new notes in ticks; None: the end of the piece.
        programs: for "new", instruments that were composed, -1 for drums; empty: all.
        tracks: indices of the tracks of these instruments that were composed; empty: all.

    Returns:
        Bytes, name without suffix, suffix.

    Raises:
        UserError: there is nothing to export, or it took too long.
    """
    require(kind in KINDS, f"The kind of export ({kind!r}) must be one of {', '.join(KINDS)}.")
    if kind == "musicxml":
        return music_xml(data, name=name, title=piece_name(name)), name, ".musicxml"
    score = read_score_guarded(data, name=name, limits=KEPT_LIMITS)
    if kind == "tracks":
        return _zip_of_tracks(score), f"{name} - tracks", ".zip"
    new = score_from(score if until is None else keep_before(score, until), max(0, since))
    new.tracks = [
        track
        for index, track in enumerate(new.tracks)
        if len(track.notes) and is_selected(track, index, programs=programs, tracks=tracks)
    ]
    require(len(new.tracks) > 0, f"{name} has no new notes yet.")
    return new.dumps_midi(), f"{name} - new", ".mid"


def part_of(data: bytes, fields: PartFields, *, name: str) -> tuple[bytes, str]:
    """Some bars, tracks or notes of a MIDI file as a file of their own, which begins with the first of these bars.

    Returns:
        The MIDI bytes, and a file name that describes the content.

    Raises:
        UserError: this part has no notes.
    """
    score = read_score_guarded(data, name=name, limits=KEPT_LIMITS)
    bars = bar_starts(score)
    num_bars = len(bars) - 1
    first, end = fields.first_bar, num_bars if fields.end_bar < 0 else min(fields.end_bar, num_bars)
    if fields.notes:
        score = _with_notes(score, fields.notes)
        onsets = [note.time for track in score.tracks for note in track.notes] or [0]
        first = max(first, bisect_right(bars, min(onsets)) - 1)
        end = min(end, bisect_right(bars, max(onsets)))
    kept = keep_before(score, bars[end]) if end < num_bars else score
    part = score_from(kept, bars[min(first, num_bars)])
    part.tracks = [
        track for index, track in enumerate(part.tracks) if len(track.notes) and index in (fields.tracks or [index])
    ]
    require(len(part.tracks) > 0, f"There are no notes in this part of {name}.")
    which = [_track_name(track) for track in part.tracks] if fields.tracks else []
    if fields.notes:
        num_notes = part.note_num()
        which.append(f"{num_notes} note{'s' if num_notes > 1 else ''}")
    if first > 0 or fields.end_bar >= 0 or fields.notes:
        which.append(f"bars {first + 1}-{end}" if end - first > 1 else f"bar {first + 1}")
    return part.dumps_midi(), f"{name} - {', '.join(which) or 'part'}.mid"


def _with_notes(score: symusic.Score, notes: Collection[Collection[int]]) -> symusic.Score:
    """A copy with only these notes, given as (track, tick, pitch)."""
    wanted = {tuple(note) for note in notes}
    kept = score.copy()
    for index, track in enumerate(kept.tracks):
        track.notes = type(track.notes)(
            [note for note in track.notes if (index, int(note.time), int(note.pitch)) in wanted]
        )
    return kept


def _track_name(track: symusic.core.TrackTick) -> str:
    named = shown(track.name) or instrument_name(track.program, drum=track.is_drum)
    return safe_name(named) or "track"


def _zip_of_tracks(score: symusic.Score) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        heard = [track for track in score.tracks if len(track.notes)]
        for number, track in enumerate(heard, start=1):
            alone = score.copy()
            alone.tracks = [track]
            archive.writestr(f"{number:02d} {_track_name(track)}.mid", alone.dumps_midi())
    return packed.getvalue()
