"""The Parts encoding: what tokens preserve of a score, on made-up scores and on all available real files."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import symusic

from helpers.scores import random_score, two_pianos_and_drums
from music_reformer.config import TokenizerConfig
from music_reformer.errors import UserError
from music_reformer.midi.parts import (
    DURATIONS,
    GRID,
    LONGEST,
    MAX_BAR,
    MAX_DURATION,
    METRES,
    TEMPOS,
    part_numbers,
    part_order,
)
from music_reformer.midi.parts_grammar import grammar_for
from music_reformer.midi.score import bar_starts, clean_score, metres, read_score
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.midi.vocabulary import program_of

TOKENIZER = MusicTokenizer(TokenizerConfig(encoding="Parts"))
VOCABULARY = TOKENIZER.vocabulary
ROUNDING = 1e-6


def names(score: symusic.Score) -> list[str]:
    return [TOKENIZER.tokens[token] for token in TOKENIZER.encode(score)]


def coarseness(quarters: np.ndarray) -> np.ndarray:
    """Distance between neighbouring durations that have tokens, around each of these, in quarters."""
    steps = np.array(DURATIONS)
    rest = (np.round(quarters * GRID) - 1) % LONGEST + 1
    above = np.searchsorted(steps, rest).clip(1, len(steps) - 1)
    return np.maximum(steps[above] - steps[above - 1], 1) / GRID


def tracks_in_order(score: symusic.Score) -> list[symusic.core.TrackTick]:
    """The tracks with notes, in the order of their parts."""
    programs = [program_of(track) for track in score.tracks]
    order = [part_order(program, number) for program, number in zip(programs, part_numbers(programs), strict=True)]
    return [score.tracks[i] for i in np.argsort(order, kind="stable") if len(score.tracks[i].notes)]


def matched(track: symusic.core.TrackTick, ticks_per_quarter: int) -> list[tuple[int, int, float, float, int]]:
    """(position, pitch, onset and duration in quarters, velocity); of equal notes the longest, of these the loudest."""
    kept: dict[tuple[int, int], tuple[int, int, float, float]] = {}
    for note in track.notes:
        onset, duration = note.time / ticks_per_quarter, note.duration / ticks_per_quarter
        key = int(np.floor(onset * GRID + 0.5)), note.pitch
        steps = max(1, int(np.floor(duration * GRID + 0.5)))
        kept[key] = max(kept.get(key, (0, 0, 0.0, 0.0)), (steps, note.velocity, onset, duration))
    return sorted((*key, onset, duration, velocity) for key, (_, velocity, onset, duration) in kept.items())


def assert_same_music(before: symusic.Score, after: symusic.Score) -> Counter[str]:
    """Every part on a track of its own; onsets and durations within half a step; metres and bars; tempos.

    Returns:
        Numbers of parts and notes, and of notes whose onset and duration are exact.
    """
    found: Counter[str] = Counter()
    old, new = tracks_in_order(before), list(after.tracks)
    assert [program_of(track) for track in old] == [program_of(track) for track in new]
    for old_track, new_track in zip(old, new, strict=True):
        then = np.array(matched(old_track, before.ticks_per_quarter))
        now = np.array([(n.time, n.pitch, n.time / GRID, n.duration / GRID, n.velocity) for n in new_track.notes])
        now = now[np.lexsort((now[:, 1], now[:, 0]))]
        assert np.array_equal(then[:, :2], now[:, :2])
        assert np.abs(then[:, 2] - now[:, 2]).max() <= 0.5 / GRID + ROUNDING
        asked = np.clip(then[:, 3], 1 / GRID, MAX_DURATION / GRID)
        # Rounding to the grid, and from there to a duration that has a token.
        assert (np.abs(asked - now[:, 3]) <= coarseness(asked) / 2 + 0.5 / GRID + ROUNDING).all()
        short = asked < 2
        assert (np.abs(asked - now[:, 3])[short] <= 0.5 / GRID + ROUNDING).all()
        assert np.abs(then[:, 4] - now[:, 4]).max() <= 3
        exact = (np.abs(then[:, 2:4] - now[:, 2:4]) < ROUNDING).sum(axis=0).tolist()
        found += Counter(parts=1, notes=len(then), exact_onsets=exact[0], exact_durations=exact[1])
    last = max(note.time for track in new for note in track.notes)
    lines = np.array(bar_starts(before)) * GRID / before.ticks_per_quarter
    kept = np.array(bar_starts(after))
    # Up to the bar in which the last note begins: what is held beyond it has no bar lines of its own.
    lines, heard = lines[lines <= last + 0.5], kept[kept <= last]
    if (np.diff(lines) > MAX_BAR).any():  # written as several bars
        heard = heard[np.abs(heard[:, None] - lines).min(axis=1) <= 0.5]
    assert abs(len(lines) - len(heard)) <= 1  # a last note may be rounded into a bar of its own
    both = min(len(lines), len(heard))
    assert (np.abs(lines[:both] - heard[:both]) <= 0.5).all()
    assert kept[-1] > last
    assert_same_states(before, after, last)
    return found


def assert_same_states(before: symusic.Score, after: symusic.Score, last: int) -> None:
    """The metre in force is the same in each bar, and the tempo at each quarter within 1 %."""
    old = [(tick * GRID / before.ticks_per_quarter, *metre) for tick, *metre in metres(before)]
    new = [(float(tick), *metre) for tick, *metre in metres(after)]
    for line in (line for line in bar_starts(after) if line <= last):
        then = [metre for tick, *metre in old if tick <= line + 0.5][-1]
        now = [metre for tick, *metre in new if tick <= line][-1]
        assert then == now or tuple(then) not in METRES
    marks = np.arange(0, last + 1, GRID)
    assert np.abs(np.log(tempo_at(before, marks) / tempo_at(after, marks))).max() <= np.log(TEMPOS[1] / TEMPOS[0])


def tempo_at(score: symusic.Score, marks: np.ndarray) -> np.ndarray:
    """Quarters a minute in force at each position, within the range that has tokens."""
    at: dict[int, float] = {0: 120.0}
    for tempo in sorted(score.tempos, key=lambda tempo: tempo.time):
        at[int(np.floor(tempo.time * GRID / score.ticks_per_quarter + 0.5))] = tempo.qpm
    times = np.array(list(at))
    return np.clip(np.array(list(at.values()))[np.searchsorted(times, marks, side="right") - 1], TEMPOS[0], TEMPOS[-1])


@pytest.mark.parametrize("tpq", [96, 480, 1024])
@pytest.mark.parametrize("seed", range(4))
def test_made_scores_survive(seed: int, tpq: int) -> None:
    score = random_score(seed, programs=(0, 0, 40, 40, 40, 73), tpq=tpq)
    ids = TOKENIZER.encode(score)
    again = TOKENIZER.decode(ids)
    assert_same_music(score, again)
    assert np.array_equal(TOKENIZER.encode(again), ids)


def test_two_hands_in_unison_stay_two_parts() -> None:
    score = two_pianos_and_drums(in_unison=True)
    again = TOKENIZER.decode(TOKENIZER.encode(score))
    assert [len(track.notes) for track in again.tracks] == [8, 8, 8]
    assert_same_music(score, again)


def test_a_bar_is_written_part_by_part() -> None:
    score = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, 120))
    score.time_signatures.append(symusic.TimeSignature(0, 3, 4))
    violin = symusic.Track("", 40, False)
    violin.notes.extend([symusic.Note(0, 480, 76, 63), symusic.Note(480, 160, 74, 63), symusic.Note(640, 160, 76, 71)])
    cello = symusic.Track("", 42, False)
    cello.notes.extend([symusic.Note(480, 960, 48, 63), symusic.Note(480, 960, 55, 63)])
    score.tracks.extend([violin, cello])
    assert names(score) == [
        "Bar_3/4", "Tempo_120.8",
        "Program_42", "Position_24", "Velocity_63", "Duration_48", "Pitch_48", "Pitch_55",
        "Program_40", "Velocity_63", "Duration_24", "Pitch_76", "Position_24", "Duration_8", "Pitch_74",
        "Position_32", "Velocity_71", "Pitch_76",
    ]  # fmt: skip


def test_a_bar_that_is_cut_short_keeps_its_length() -> None:
    score = symusic.Score(480)
    score.time_signatures.extend([symusic.TimeSignature(0, 4, 4), symusic.TimeSignature(480, 4, 4)])
    track = symusic.Track("", 0, False)
    track.notes.extend([symusic.Note(0, 480, 60, 63), symusic.Note(480, 480, 62, 63)])
    score.tracks.append(track)
    assert names(score)[:3] == ["Bar_4/4", "Cut", "Position_24"]
    assert bar_starts(TOKENIZER.decode(TOKENIZER.encode(score))) == [0, 24, 120]


@pytest.mark.parametrize("metre", [(3, 64), (33, 4), (5, 3), (130, 4), (1, 1)])
def test_metres_without_a_token_keep_their_bars(metre: tuple[int, int]) -> None:
    score = symusic.Score(480)
    score.time_signatures.append(symusic.TimeSignature(0, *metre))
    track = symusic.Track("", 0, False)
    bar = 480 * 4 * metre[0] / metre[1]
    track.notes.extend([symusic.Note(round(number * bar), 40, 60, 63) for number in range(6)])
    score.tracks.append(track)
    again = TOKENIZER.decode(TOKENIZER.encode(score))
    lines = np.array(bar_starts(score)) * GRID / 480
    assert all(np.abs(line - np.array(bar_starts(again))).min() <= 0.5 for line in lines[:-1])
    assert [note.time for note in again.tracks[0].notes] == [int(np.floor(line + 0.5)) for line in lines[:6]]


@pytest.mark.parametrize("quarters", [1 / 48, 1.5, 31, 33, 64, 65.5, 500, 4000])
def test_long_notes_are_not_cut(quarters: float) -> None:
    score = symusic.Score(480)
    track = symusic.Track("", 0, False)
    track.notes.append(symusic.Note(0, round(quarters * 480), 60, 63))
    score.tracks.append(track)
    again = TOKENIZER.decode(TOKENIZER.encode(score))
    assert again.tracks[0].notes[0].duration / GRID == pytest.approx(min(max(quarters, 1 / GRID), 512), abs=0.5)


def test_chords_stand_in_front_of_the_notes_of_their_bar() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding="Parts", use_chords=True))
    score = symusic.Score(480)
    track = symusic.Track("", 0, False)
    chords = [(60, 64, 67), (57, 60, 64), (53, 57, 60), (55, 59, 62)]  # C, Am, F, G: two in a bar, then one in each
    for begin, length, pitches in zip((0, 2, 4, 8), (2, 2, 4, 4), chords, strict=True):
        for beat in range(begin, begin + length):
            track.notes.extend([symusic.Note(beat * 480, 480, pitch, 80) for pitch in (pitches[0] - 12, *pitches)])
    score.tracks.append(track)
    ids = tokenizer.encode(score)
    written = [tokenizer.tokens[token] for token in ids]
    assert written[:7] == [
        "Bar_4/4", "Tempo_120.8", "ChordRoot_0", "ChordQuality_0", "Position_48", "ChordRoot_9", "ChordQuality_1",
    ]  # fmt: skip
    bars = [place for place, token in enumerate(written) if token.startswith("Bar")]
    assert written[bars[1] : bars[1] + 3] == ["Bar_4/4", "ChordRoot_5", "ChordQuality_0"]
    assert written[bars[2] : bars[2] + 3] == ["Bar_4/4", "ChordRoot_7", "ChordQuality_0"]
    state = grammar_for(tokenizer).start()
    for token in ids:
        assert state.allowed()[token]
        state.advance(int(token))
    plain = TOKENIZER.encode(score)
    assert tokenizer.decode(ids).note_num() == TOKENIZER.decode(plain).note_num() == 48
    assert "NoChord" in tokenizer.tokens


def test_drums_have_no_chords() -> None:
    tokenizer = MusicTokenizer(TokenizerConfig(encoding="Parts", use_chords=True))
    score = two_pianos_and_drums()
    score.tracks = score.tracks[2:]
    assert np.array_equal(tokenizer.encode(score), TOKENIZER.encode(score))


def _assert_file_survives(path: Path) -> Counter[str]:
    """What is preserved of a file (`assert_same_music`); a damaged one is refused, and one without notes is empty."""
    try:
        score = clean_score(read_score(path))
    except UserError:
        return Counter(refused=1)
    ids = TOKENIZER.encode(score)
    if not len(ids):
        return Counter(empty=1)
    again = TOKENIZER.decode(ids)
    found = assert_same_music(score, again)
    assert np.array_equal(TOKENIZER.encode(again), ids)
    state = grammar_for(TOKENIZER).start()
    for token in ids[:2000]:
        assert state.allowed()[token], (path.name, TOKENIZER.tokens[token])
        state.advance(int(token))
    return found + Counter(files=1)


def _survivors(files: list[Path]) -> Counter[str]:
    found: Counter[str] = Counter()
    faults = []
    for path in files:
        try:
            found += _assert_file_survives(path)
        except AssertionError as error:
            faults.append(f"{path}: {error!r}")
    assert not faults, f"{len(faults)} of {len(files)} files: " + "\n".join(faults[:20])
    return found


def test_real_files_survive(corpora: Path) -> None:
    files = random.Random(1).sample(sorted(corpora.rglob("*.mid")), 60)
    assert _survivors(files)["files"] == 60


def test_irregular_files_survive(corpora: Path) -> None:
    """The irregular files beside the corpora that contain music."""
    assert _survivors(sorted((corpora.parent / "cases").rglob("*.mid")))["files"] >= 5


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_real_file_survives(corpora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Says of each corpus how many files there are, and how many notes are exact; all are within half a step.

    Two songs are refused for tempos of more than 10,000 beats a minute.
    """
    by_corpus: dict[str, list[Path]] = {}
    for path in sorted(corpora.rglob("*.mid")):
        first, second, *_ = path.relative_to(corpora).parts
        by_corpus.setdefault(second if first == "open" else first, []).append(path)
    for corpus, files in by_corpus.items():
        found = _survivors(files)
        kinds = ("files", "refused", "empty", "parts", "notes", "exact_onsets", "exact_durations")
        with capsys.disabled():
            sys.stdout.write(f"\n{corpus}: " + ", ".join(f"{found[kind]:,} {kind}" for kind in kinds))
        assert found["files"] == len(files) - (2 if corpus == "openscore-lieder" else 0)
