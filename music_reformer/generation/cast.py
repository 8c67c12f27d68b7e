"""Cast: which parts play the new bars, and how each should differ from what it has played.

A request names tracks of the file; the model knows parts (`midi/parts.py`): a program, and a number among the tracks of
that program. This module translates tracks to parts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import symusic

from music_reformer.config import require
from music_reformer.generation.request import Request, Wishes
from music_reformer.midi.cut import new_track
from music_reformer.midi.parts import MAX_PARTS, tracks_of_parts
from music_reformer.midi.parts_reader import Part
from music_reformer.midi.vocabulary import program_of


@dataclass(frozen=True)
class Cast:
    """Who plays, and how.

    Attributes:
        programs: instruments that may play, -1 for drums; None: all.
        parts: parts of these instruments that may play; empty: all.
        newcomers: those among them that belong to new tracks, without notes in the piece.
        wishes: how all parts should differ from what they have played.
        by_part: further wishes for single parts.
        tracks: index of each part's track in the piece with its new tracks.
    """

    programs: frozenset[int] | None = None
    parts: frozenset[Part] = frozenset()
    newcomers: frozenset[Part] = frozenset()
    wishes: Wishes = field(default_factory=Wishes)
    by_part: Mapping[Part, Wishes] = field(default_factory=dict)
    tracks: Mapping[Part, int] = field(default_factory=dict)

    def may_play(self, part: Part) -> bool:
        """Whether a part may play."""
        return (self.programs is None or part[0] in self.programs) and (not self.parts or part in self.parts)

    def wishes_of(self, part: Part) -> Wishes:
        """The wishes for a part: those for all parts plus its own."""
        return self.wishes + self.by_part.get(part, Wishes())

    @property
    def unheard(self) -> frozenset[Part]:
        """Playing parts without notes in the piece: those of new tracks, and of instruments that it lacks."""
        heard = {program for program, _ in self.tracks}
        return self.newcomers | {(program, 1) for program in self.programs or () if program not in heard}

    @property
    def is_wished(self) -> bool:
        """Whether any part has a wish."""
        return self.wishes != Wishes() or bool(self.by_part)


@dataclass(frozen=True)
class Recast:
    """Which parts are recomposed in a hole, and whether others keep their notes there.

    Attributes:
        cast: the parts that play the new notes.
        tracks: indices of the tracks whose notes are removed, or that are new; empty: `cast.programs` decides.
        parts: the parts of these tracks.
        stays: whether any part keeps its notes.
    """

    cast: Cast
    tracks: frozenset[int] = frozenset()
    parts: frozenset[Part] = frozenset()
    stays: bool = False


def with_new_tracks(score: symusic.Score, request: Request) -> symusic.Score:
    """The piece with the empty tracks that a request adds appended; the same object if it adds none."""
    programs = [part.program for part in request.parts if part.program is not None]
    if not programs:
        return score
    grown = score.copy()
    for program in programs:
        grown.tracks.append(new_track(program))
    return grown


class Roles:
    """The settings of a request for single parts, resolved to tracks and parts of a piece.

    Args:
        score: the piece, with the new tracks.
        request: what to compose.

    Attributes:
        part_of: for each track that has notes or is new, by index, its part.
        new, resting, locked: indices of tracks that are new, that rest, or that keep their notes.
        wishes: wishes for single parts.

    Raises:
        UserError: the request names a track that has no notes, or adds too many tracks of one program.
    """

    def __init__(self, score: symusic.Score, request: Request) -> None:
        self.part_of = {track: part for part, track in tracks_of_parts(score).items()}
        named = [part.track for part in request.parts if part.track is not None]
        first_new = len(score.tracks) - (len(request.parts) - len(named))
        for track in (*request.tracks, *named):
            is_there = track in self.part_of and track < first_new
            require(is_there, f"track {track} has no notes in this piece; choose tracks that have some")
        self.new = frozenset(range(first_new, len(score.tracks)))
        for track in sorted(self.new):
            program = program_of(score.tracks[track])
            number = 1 + sum(other == program for other, _ in self.part_of.values())
            require(number <= MAX_PARTS, f"the piece has {MAX_PARTS} tracks of program {program}; add another program")
            self.part_of[track] = program, number
        new = iter(sorted(self.new))
        index = [next(new) if part.track is None else part.track for part in request.parts]
        roles = list(zip(index, request.parts, strict=True))
        self.resting, self.locked = (
            frozenset(track for track, part in roles if part.role == role) for role in ("rest", "lock")
        )
        self.wishes = {self.part_of[track]: part.wishes for track, part in roles if part.wishes != Wishes()}

    def of(self, tracks: Collection[int]) -> frozenset[Part]:
        """The parts of the given tracks."""
        return frozenset(self.part_of[track] for track in tracks)

    def unheard(self, programs: Collection[int]) -> frozenset[Part]:
        """The first part of each instrument that the piece lacks."""
        heard = {program for program, _ in self.part_of.values()}
        return frozenset((program, 1) for program in programs if program not in heard)


def cast_behind_cut(score: symusic.Score, request: Request, programs: Collection[int]) -> Cast:
    """The cast after the cut.

    Args:
        score: the piece, with the new tracks.
        request: what to compose.
        programs: instruments that may play, -1 for drums.

    Raises:
        UserError: the request names tracks without notes, or every part rests.
    """
    roles = Roles(score, request)
    if not roles.new and not roles.resting:
        return _cast(roles, request, programs)
    named = {track for track, part in roles.part_of.items() if part[0] in programs}
    playing = roles.of((named | roles.new) - roles.resting) | roles.unheard(programs)
    return _cast_of_parts(roles, request, playing)


def cast_in_hole(score: symusic.Score, request: Request) -> Recast:
    """The cast of a hole: the tracks or instruments that the request names, or all, without those resting or locked.

    Args:
        score: the piece, with the new tracks.
        request: what to compose.

    Raises:
        UserError: the request names tracks that have no notes, or no part plays.
    """
    roles = Roles(score, request)
    tracks, programs = set(roles.part_of) - roles.new, set(request.programs)
    named = set(request.tracks) or tracks
    if programs:
        named = {each for each in tracks if roles.part_of[each][0] in programs}
    taken = (named - roles.locked) | roles.resting | roles.new
    stays = bool(tracks - taken)
    is_by_track = roles.new or roles.resting or roles.locked or (request.tracks and stays)
    if not is_by_track:
        playing = frozenset(programs) or frozenset(program for program, _ in roles.part_of.values())
        return Recast(_cast(roles, request, playing), stays=stays)
    cast = _cast_of_parts(roles, request, roles.of(taken - roles.resting) | roles.unheard(programs))
    return Recast(cast, frozenset(taken), roles.of(taken) | cast.parts, stays)


def _cast_of_parts(roles: Roles, request: Request, playing: frozenset[Part]) -> Cast:
    require(bool(playing), "every part rests or is locked; let at least one play")
    return _cast(roles, request, {program for program, _ in playing}, playing)


def _cast(roles: Roles, request: Request, programs: Collection[int], parts: Collection[Part] = ()) -> Cast:
    return Cast(
        programs=frozenset(programs),
        parts=frozenset(parts),
        newcomers=roles.of(roles.new),
        wishes=request.wishes,
        by_part=roles.wishes,
        tracks={part: track for track, part in roles.part_of.items()},
    )
