"""How well default settings do what a composer requests: chords, key, density, polyphony, register and dynamics.

Each piece of `usable_prompts.csv` is continued for eight bars, once for each wish: two steps up or down (a factor of
two in the number of notes, 1 note at once, 8 semitones, a velocity of 20). The table says what share of the parts moved
in the requested direction, compared with the 16 bars before the cut, and what share did so without a request. For other
requests, the figure is

- chords: the share of time for which the recogniser finds the same root and third, both with chords that the piece has
  had and with I vi IV V in its key;
- key: whether the new bars are found to be in it; beside it the eight bars before the cut and the piece's own key;
- another metre: the share of its bar lines on which more notes begin than, on average, on the lines that the old metre
  would have had there;
- returning bars: the share of their notes that occur at the same place in the new ones;
- an ending: whether the last bar has none of four faults (`music_reformer.evaluation.endings`);
- bars composed anew, the eight before the cut with the piece around them: as for new bars.

    python -m benchmarks.control
    python -m benchmarks.control --asks density dynamics --pieces 1

On two cores all of it takes half an hour. What the model does without rules: `benchmarks.directions`.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from benchmarks.harness import use_threads
from benchmarks.obedience import Obedience
from benchmarks.usable import composed_scores, cut_pieces

BARS, HEARD_BARS = 8, 16
STEPS = 2
FEWEST_NOTES = 8  # of a part in the bars before the cut
APART = 5  # semitones between the mean pitches of two parts that lie above one another
FEWEST_BARS = 4  # of a section that the piece itself repeats
WISHES = ("density", "polyphony", "register", "dynamics")
KINDS = (*WISHES, "parts", "metre", "key", "chords", "ending", "form", "hole")
# Requests for a key: name, semitones upward from the piece's tonic (downward from a minor key to major), and whether
# major becomes minor, or minor major.
MODULATIONS = (
    ("key a fifth up", 7, False),
    ("key a fifth down", -7, False),
    ("key a tone up", 2, False),
    ("relative key", -3, True),
    ("parallel key", 0, True),
)


def obedience(
    *, checkpoint: str, corpora: str, genre: str, pieces: int, threads: int, asks: Collection[str]
) -> dict[str, Any]:
    """In a child process: for each wish, what share of it each piece, or each of its parts, obeyed."""
    from music_reformer.generation.generator import Generator
    from music_reformer.midi.score import bar_starts
    from music_reformer.midi.tonality import keys_of

    use_threads(threads)
    generator = Generator.load(checkpoint, "cpu")
    found: dict[str, list[float]] = defaultdict(list)
    for _, piece, cut in cut_pieces(corpora, genre, pieces):
        before = _parts(piece, max(0, cut - HEARD_BARS), cut)
        unasked = _composed(generator, piece, cut)
        plain = _parts(unasked, cut, cut + BARS)
        for wish in asks:
            for sign in (1, -1) if wish in WISHES else ():
                name = f"{wish} {'more' if sign > 0 else 'less'}"
                asked = _parts(_composed(generator, piece, cut, **{wish: sign * STEPS}), cut, cut + BARS)
                found[name] += _on_side(wish, sign, before, asked)
                found[f"{name}, not asked"] += _on_side(wish, sign, before, plain)
        home = next((key for tick, key in reversed(keys_of(piece)) if tick < bar_starts(piece)[cut]), None)
        if home is not None:
            for kind, ask in (("key", _ask_for_key), ("chords", _ask_for_chords), ("ending", _ask_for_ending)):
                if kind in asks:
                    ask(generator, piece, cut, unasked, home, found)
        if "hole" in asks and cut > BARS:
            _ask_in_hole(generator, piece, cut, home, found)
        if "parts" in asks:
            _ask_for_parts(generator, piece, cut, before, unasked, found)
        if "metre" in asks:
            _ask_for_metre(generator, piece, cut, unasked, found)
        if "form" in asks:
            _ask_for_bars_again(generator, piece, cut, unasked, found)
    return {"obeyed": found}


def _composed(generator: Any, piece: Any, cut: int, **wishes: Any) -> Any:
    from music_reformer.generation.request import Request

    length = {} if "until_bar" in wishes else {"length": f"{BARS}bars"}
    return composed_scores(generator, piece, Request(cut_bar=cut, **length, **wishes))[0]


def _parts(score: Any, first: int, until: int) -> dict[int, dict[str, float]]:
    """What each track plays in some bars: notes, how many at once, pitch, velocity."""
    from music_reformer.midi.score import bar_starts

    lines = bar_starts(score)
    low, high = lines[first], lines[min(until, len(lines) - 1)]
    parts = {}
    for number, track in enumerate(score.tracks):
        notes = [note for note in track.notes if low <= note.time < high]
        if notes:
            parts[number] = {
                "density": len(notes) / (high - low),
                "polyphony": len(notes) / len({note.time for note in notes}),
                "register": float(np.mean([note.pitch for note in notes])),
                "dynamics": float(np.mean([note.velocity for note in notes])),
                "drums": track.is_drum,
                "notes": len(notes),
            }
    return parts


def _on_side(wish: str, sign: int, before: dict[int, Any], after: dict[int, Any]) -> list[float]:
    """For each part that has shown what it does, whether it lies on the side; one that fell silent does not."""
    shares = []
    for number, was in before.items():
        cannot = wish == "polyphony" and sign < 0 and was[wish] < 1.05
        if was["notes"] < FEWEST_NOTES or cannot or (wish == "register" and was["drums"]):
            continue
        shares.append(float(number in after and sign * (after[number][wish] - was[wish]) > 0))
    return shares


def _ask_for_parts(
    generator: Any, piece: Any, cut: int, before: dict[int, Any], unasked: Any, found: dict[str, list[float]]
) -> None:
    """One part is to differ, one to rest, a new one to play; and who lies higher or lower than whom is to stay so."""
    from music_reformer.generation.request import PartRequest
    from music_reformer.midi.score import count_bars

    plain = _parts(unasked, cut, cut + BARS)
    heard = {number: was for number, was in before.items() if was["notes"] >= FEWEST_NOTES and not was["drums"]}
    for one, other in itertools.combinations(heard, 2):
        apart = heard[one]["register"] - heard[other]["register"]
        if abs(apart) >= APART and one in plain and other in plain:
            now = plain[one]["register"] - plain[other]["register"]
            found["parts keep their order"].append(float(apart * now > 0))
    if not heard:
        return
    chosen = max(heard, key=lambda number: heard[number]["notes"])
    for wish in WISHES:
        asked = _composed(generator, piece, cut, parts=[PartRequest(track=chosen, **{wish: STEPS})])
        name, its_own = f"one part: {wish} more", {chosen: heard[chosen]}
        found[name] += _on_side(wish, 1, its_own, _parts(asked, cut, cut + BARS))
        found[f"{name}, not asked"] += _on_side(wish, 1, its_own, plain)
    if len(before) > 1:
        resting = _composed(generator, piece, cut, parts=[PartRequest(track=chosen, role="rest")])
        found["one part rests"].append(float(chosen not in _parts(resting, cut, cut + BARS)))
        found["one part rests, not asked"].append(float(chosen not in plain))
    program = piece.tracks[chosen].program
    grown = _composed(generator, piece, cut, parts=[PartRequest(program=program)])
    bars = range(cut, min(cut + BARS, count_bars(grown)))
    played = [len(piece.tracks) in _parts(grown, bar, bar + 1) for bar in bars]
    found["new track: bars in which it plays"].append(float(np.mean(played)))


def _ask_for_metre(generator: Any, piece: Any, cut: int, unasked: Any, found: dict[str, list[float]]) -> None:
    """A metre of three for those of two and four, and one of four for the others; and one of seven."""
    from music_reformer.midi.score import bar_starts, metres

    line = bar_starts(piece)[cut]
    beats, unit = [metre[1:] for metre in metres(piece) if metre[0] <= line][-1]
    for name, asked in (("metre", "3/4" if beats % 3 else "4/4"), ("metre of seven", "7/8")):
        if (beats, unit) != tuple(map(int, asked.split("/"))):
            old, new = (4 * piece.ticks_per_quarter * top // bottom for top, bottom in (
                (beats, unit), tuple(map(int, asked.split("/")))))  # fmt: skip
            found[name] += _accented(_composed(generator, piece, cut, metre=asked), line, old, new)
            found[f"{name}, not asked"] += _accented(unasked, line, old, new)


def _accented(score: Any, cut: int, old: int, new: int) -> list[float]:
    """For each bar line of a metre after a cut, that the old one does not share, whether it is accented.

    It is where more notes begin on it than, in the mean, on the lines of the old metre that the new one does not share.
    """
    ticks = np.concatenate([track.notes.numpy()["time"] for track in score.tracks]) - cut
    whole = BARS * min(old, new)

    def begun(length: int, other: int) -> list[int]:
        lines = [line for line in range(length, whole, length) if line % other]
        return [int(np.count_nonzero(abs(ticks - line) < score.ticks_per_quarter / 8)) for line in lines]

    before = np.mean(begun(old, new) or [0])
    return [float(notes > before) for notes in begun(new, old)]


def _ask_for_bars_again(generator: Any, piece: Any, cut: int, unasked: Any, found: dict[str, list[float]]) -> None:
    """The first bars of the piece, as they were and varied; beside them the section that it repeats most alike."""
    from music_reformer.midi.form import sections_of

    bars = min(BARS, cut)
    sections = [section for section in sections_of(piece) if section.num_bars >= FEWEST_BARS]
    repeats = [
        _shared(piece, one.first_bar, piece, other.first_bar, min(one.num_bars, other.num_bars))
        for one, other in itertools.combinations(sections, 2)
        if one.letter == other.letter
    ]
    found["bars again, the pieces' own"] += [float(np.nanmax(repeats))] if repeats else []
    by_itself = _shared(piece, 0, unasked, cut, bars)
    for name, form in (("bars again", f"1-{bars}"), ("bars again, varied", f"1-{bars}'")):
        found[name].append(_shared(piece, 0, _composed(generator, piece, cut, form=form), cut, bars))
        found[f"{name}, not asked"].append(by_itself)
    new = _composed(generator, piece, cut, form=f"new {BARS}")
    found["something new"].append(1 - _shared(piece, 0, new, cut, bars))
    found["something new, not asked"].append(1 - by_itself)


def _shared(one: Any, first: int, other: Any, first_there: int, bars: int) -> float:
    """Share of the notes of some bars that stand in other ones at the same place."""
    from music_reformer.evaluation.checks import Bars, contents_by_bar

    wanted = contents_by_bar(Bars.of(one, first, bars))
    there = contents_by_bar(Bars.of(other, first_there, bars))
    total = sum(map(len, wanted))
    again = sum(len(notes & played) for notes, played in zip(wanted, there, strict=True))
    return again / total if total else float("nan")


def _ends(piece: Any) -> float:
    """1 if the last bar of a piece sounds like an end in its last key."""
    from music_reformer.evaluation.endings import ending_faults
    from music_reformer.midi.score import bar_starts
    from music_reformer.midi.tonality import keys_of

    last = max(note.time for track in piece.tracks if not track.is_drum for note in track.notes)
    last_bar = sum(line <= last for line in bar_starts(piece)) - 1
    return float(not ending_faults(piece, last_bar, keys_of(piece)[-1][1]))


def _ask_for_ending(
    generator: Any, piece: Any, cut: int, unasked: Any, home: Any, found: dict[str, list[float]]
) -> None:
    from music_reformer.evaluation.endings import ending_faults
    from music_reformer.midi.score import with_likely_metre

    ended = _composed(generator, piece, cut, ending=True)
    for name, score in (("ending", ended), ("ending, not asked", unasked)):
        found[name].append(float(not ending_faults(with_likely_metre(score), cut + BARS - 1, home)))
    found["ending, the pieces' own"].append(_ends(piece))


def _ask_for_key(generator: Any, piece: Any, cut: int, unasked: Any, home: Any, found: dict[str, list[float]]) -> None:
    for name, asked in _modulations(home):
        _note_key(name, _composed(generator, piece, cut, key=str(asked)), cut, asked, found)
        _note_key(name, unasked, cut, asked, found, ending=", not asked")
    _note_key("key, the pieces' own", piece, max(0, cut - BARS), home, found)


def _modulations(home: Any) -> Iterator[tuple[str, Any]]:
    """The requests for a key: name, key."""
    from music_reformer.midi.key import Key

    for name, semitones, changes_mode in MODULATIONS:
        steps = -semitones if changes_mode and home.is_minor else semitones
        yield name, Key.of((home.tonic + steps) % 12, is_minor=home.is_minor != changes_mode)


def _note_key(
    name: str, score: Any, first: int, asked: Any, found: dict[str, list[float]], *, ending: str = ""
) -> None:
    """Whether the eight bars from `first` on are in the asked key, and whether in one of its signature."""
    key = _key_of_bars(score, first)
    found[f"{name}{ending}"].append(float(key == asked))
    found[f"{name}: its signature{ending}"].append(float(key is not None and key.sharps == asked.sharps))


def _key_of_bars(score: Any, first: int) -> Any:
    from music_reformer.midi.cut import score_from
    from music_reformer.midi.score import bar_starts
    from music_reformer.midi.tonality import keys_of

    lines = bar_starts(score)
    until = lines[min(first + BARS, len(lines) - 1)]
    return next((key for _, key in keys_of(score_from(score.clip(0, until, True), lines[first]))), None)


def _ask_in_hole(generator: Any, piece: Any, cut: int, home: Any, found: dict[str, list[float]]) -> None:
    """The eight bars before the cut are composed anew, with the music on both sides of them in view."""
    first = cut - BARS
    before = _parts(piece, max(0, first - HEARD_BARS), first)
    unasked = _composed(generator, piece, first, until_bar=cut)
    plain = _parts(unasked, first, cut)
    for wish, sign in itertools.product(WISHES, (1, -1)):
        name = f"composed anew: {wish} {'more' if sign > 0 else 'less'}"
        asked = _composed(generator, piece, first, until_bar=cut, **{wish: sign * STEPS})
        found[name] += _on_side(wish, sign, before, _parts(asked, first, cut))
        found[f"{name}, not asked"] += _on_side(wish, sign, before, plain)
    for name, key in _modulations(home) if home is not None else ():
        title = f"composed anew: {name}"
        _note_key(title, _composed(generator, piece, first, until_bar=cut, key=str(key)), first, key, found)
        _note_key(title, unasked, first, key, found, ending=", not asked")


def _ask_for_chords(
    generator: Any, piece: Any, cut: int, unasked: Any, home: Any, found: dict[str, list[float]]
) -> None:
    from music_reformer.midi.chords import NOTE_NAMES
    from music_reformer.midi.lead_sheet import LeadSheet, lead_sheet_of
    from music_reformer.midi.score import clean_upload

    degrees = ((0, "m"), (8, ""), (5, "m"), (7, "")) if home.is_minor else ((0, ""), (9, "m"), (5, ""), (7, ""))
    typed = " | ".join(f"{NOTE_NAMES[(home.tonic + step) % 12]}{suffix}" for step, suffix in degrees)
    own = lead_sheet_of(clean_upload(piece), max(0, cut - BARS), cut)
    for name, sheet in (("I vi IV V", LeadSheet.parse(f"|: {typed} :|")), ("the piece's chords", own)):
        found[name].append(_agreement(_composed(generator, piece, cut, chords=str(sheet)), cut, sheet))
        found[f"{name}, not asked"].append(_agreement(unasked, cut, sheet))


def _agreement(score: Any, cut: int, sheet: Any) -> float:
    """Share of the beats of the new bars for which root and third of the asked chord are recognised."""
    from music_reformer.midi.chords import INTERVALS, QUALITIES
    from music_reformer.midi.harmony import harmony_of
    from music_reformer.midi.lead_sheet import places
    from music_reformer.midi.score import bar_starts

    def third(quality: str) -> int | None:
        return next((step for step in INTERVALS[quality] if step in (3, 4)), None)

    lines, harmony = bar_starts(score), harmony_of(score)
    agreed = []
    for bar in range(cut, min(cut + BARS, len(lines) - 1)):
        chords = sheet.of_bar(bar - cut)
        inside = np.flatnonzero((harmony.beats.tick[:-1] >= lines[bar]) & (harmony.beats.tick[:-1] < lines[bar + 1]))
        begins = places(len(chords), max(1, len(inside)), len(inside))
        for number, beat in enumerate(inside):
            asked = [chord for begin, chord in zip(begins, chords, strict=True) if begin <= number]
            if asked and asked[-1].quality != "N":
                quality = QUALITIES[int(harmony.quality[beat])]
                agreed.append(int(harmony.root[beat]) == asked[-1].root and third(quality) == third(asked[-1].quality))
    return float(np.mean(agreed)) if agreed else float("nan")


def main() -> None:
    found = Obedience("control", __doc__, pieces=4, kinds=KINDS)
    lines = [
        [wish, str(len(shares)), found.percent(wish), found.percent(f"{wish}, not asked")]
        for wish, shares in list(found.shares.items())
        if not wish.endswith("not asked")
    ]
    found.report(["wish", "cases", "obeyed", "when not asked"], lines)


if __name__ == "__main__":
    main()
