"""The chord recogniser: Viterbi against all paths, made-up progressions, and invariances."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import symusic

from music_reformer.midi.beats import beats_of
from music_reformer.midi.chords import INTERVALS, NO_CHORD, QUALITIES, parse, recognise
from music_reformer.midi.harmony import MAX_BEATS, best_path, fitted

QUARTER = 480


def score_of(*parts: Sequence[tuple[float, float, int]], metre: tuple[int, int] = (4, 4)) -> symusic.Score:
    """A score of parts of (onset, length, pitch), in quarters."""
    score = symusic.Score(QUARTER)
    score.time_signatures = [symusic.TimeSignature(0, *metre)]
    for part in parts:
        track = symusic.Track()
        for onset, length, pitch in part:
            track.notes.append(symusic.Note(round(onset * QUARTER), round(length * QUARTER), pitch, 80))
        score.tracks.append(track)
    return score


def voiced(names: str, *, length: float = 4, arpeggio: bool = False) -> symusic.Score:
    """A bass and three or four voices above it, a chord every `length` quarters."""
    notes, low = [], []
    for index, name in enumerate(names.split()):
        chord = parse(name)
        start = index * length
        low.append((start, length, 36 + chord.bass))
        above = [60 + (chord.root + step) % 12 for step in INTERVALS[chord.quality]]
        if arpeggio:
            order = [*sorted(above), *sorted(above)[-2:0:-1]]
            each = 0.5
            steps = itertools.islice(itertools.cycle(order), round(length / each))
            notes += [(start + number * each, each, pitch) for number, pitch in enumerate(steps)]
        else:
            notes += [(start, length, pitch) for pitch in above]
    return score_of(notes, low)


def heard(score: symusic.Score, *, each: float = 4) -> str:
    """Names of the recognised chords; checks that they change where they do in `voiced`."""
    found = recognise(score)
    assert all(tick % round(each * QUARTER) == 0 for tick, _ in found), found
    return " ".join(str(chord) for _, chord in found)


@pytest.mark.parametrize(
    "names",
    [
        "C Am F G C",
        "Am F C G Am E Am",
        "C G/B Am C/G F C/E Dm G C",
        "Cmaj7 Am7 Dm7 G7 Cmaj7",
        "Em7 A7 Dmaj7 Bm7 E7 Amaj7",
        "Dm Dm7/C Bb A7 Dm",
        "Gsus4 G C Dm7 Gsus4 G C",
        "C C#dim7 Dm G7 C",
        "Am Bm7b5 E7 Am",
        "C Caug F Fm C",
    ],
)
def test_made_progressions_are_heard(names: str) -> None:
    assert heard(voiced(names)) == names


@pytest.mark.parametrize(
    "names",
    ["C Am F G C", "C G/B Am C/G F C/E Dm G C", "Em7 A7 Dmaj7 Bm7 E7 Amaj7", "C C#dim7 Dm G7 C", "Am Bm7b5 E7 Am"],
)
def test_arpeggios_are_heard_as_chords(names: str) -> None:
    assert heard(voiced(names, arpeggio=True)) == names


def test_chords_by_half_bar_and_in_other_metres() -> None:
    assert heard(voiced("C F G C Am Dm G C", length=2), each=2) == "C F G C Am Dm G C"
    waltz = voiced("C F G7 C", length=3)
    waltz.time_signatures[0].numerator = 3
    assert heard(waltz, each=3) == "C F G7 C"
    jig = voiced("C F G7 C", length=3)
    jig.time_signatures = [symusic.TimeSignature(0, 6, 8)]
    assert heard(jig, each=3) == "C F G7 C"


def test_power_chords_have_no_third() -> None:
    riff = [(float(beat), 1.0, pitch) for beat in range(16) for root in [(40, 45, 47, 40)[beat // 4]]
            for pitch in (root, root + 7, root + 12)]  # fmt: skip
    assert heard(score_of(riff)) == "E5 A5 B5 E5"


def test_silence_and_drums_are_no_chord() -> None:
    score = voiced("C F")
    for note in score.tracks[0].notes:
        note.time += 16 * QUARTER
    score.tracks[1].notes = [
        symusic.Note(note.time + 16 * QUARTER, note.duration, note.pitch, 80) for note in score.tracks[1].notes
    ]
    assert heard(score) == "N C F"
    for track in score.tracks:
        track.is_drum = True
    assert recognise(score) == [(0, NO_CHORD)]
    assert recognise(symusic.Score(QUARTER)) == [(0, NO_CHORD)]


def random_piece(seed: int) -> symusic.Score:
    random = np.random.default_rng(seed)
    parts = [
        [
            (float(random.integers(0, 128)) / 2, float(random.integers(1, 9)) / 2, int(pitch))
            for pitch in random.integers(low, low + 24, 60)
        ]
        for low in (36, 48, 60)
    ]
    return score_of(*parts)


@pytest.mark.parametrize("seed", range(3))
def test_transposing_a_piece_transposes_its_chords(seed: int) -> None:
    piece = random_piece(seed)
    found = recognise(piece)
    assert len(found) > 8
    for semitones in range(-6, 6):
        assert recognise(piece.shift_pitch(semitones)) == [(tick, chord.transposed(semitones)) for tick, chord in found]


def test_order_and_number_of_tracks_do_not_matter() -> None:
    piece = random_piece(7)
    found = recognise(piece)
    for order in itertools.permutations(piece.tracks):
        other = piece.copy()
        other.tracks = list(order)
        assert recognise(other) == found
    joined = piece.copy()
    for track in piece.tracks[1:]:
        joined.tracks[0].notes.extend(track.notes)
    joined.tracks = joined.tracks[:1]
    assert recognise(joined) == found


def test_changes_are_in_order_and_differ_from_their_predecessors() -> None:
    found = recognise(random_piece(11))
    assert found[0][0] == 0
    for (tick, chord), (later, other) in itertools.pairwise(found):
        assert tick < later
        assert chord != other
    for _, chord in found:
        assert chord.quality in QUALITIES
        assert 0 <= chord.root < 12
        assert 0 <= chord.bass < 12


@pytest.mark.parametrize("seed", range(20))
def test_the_best_path_is_the_best_of_all_paths(seed: int) -> None:
    random = np.random.default_rng(seed)
    num_beats, num_states = int(random.integers(1, 6)), int(random.integers(1, 5))
    scores, moves = random.normal(size=(num_beats, num_states)), random.normal(size=(3, num_states, num_states))
    kind = random.integers(0, 3, num_beats)

    def total(path: Sequence[int]) -> float:
        moved = (moves[kind[beat], path[beat], path[beat - 1]] for beat in range(1, num_beats))
        return sum(scores[beat, state] for beat, state in enumerate(path)) + sum(moved)

    best = max(itertools.product(range(num_states), repeat=num_beats), key=total)
    assert best_path(scores, kind, moves).tolist() == list(best)


def test_moves_are_laid_out_as_documented() -> None:
    weights = fitted()
    size = len(weights.quality)
    moves = weights.moves
    assert moves.shape == (3, 12 * size + 1, 12 * size + 1)
    g7, c, maj = 7 * size + QUALITIES.index("7"), 0, QUALITIES.index("maj")
    assert moves[1, c + maj, g7] == np.float32(weights.change[5, QUALITIES.index("7"), maj])
    assert moves[2, g7, g7] == np.float32(weights.stay[2])
    assert moves[0, -1, g7] == np.float32(weights.leave)
    assert moves[0, g7, -1] == np.float32(weights.enter)


def test_long_notes_cost_no_more_than_short_ones() -> None:
    """An upload of long notes must not fill memory with the beats of each."""
    long = [(index / 8, 4000.0, 30 + index % 60) for index in range(2000)]
    begin = time.process_time()
    assert recognise(score_of(long))
    assert time.process_time() - begin < 20


def test_agrees_with_labels_of_pop_songs(corpora: Path) -> None:
    """Songs of the validation split; the whole of it and of the test split is in docs/benchmarks.md."""
    from benchmarks.chords import agreement, songs

    labelled = list(itertools.islice(songs(corpora, "validation"), 8))
    sums = [agreement(recognise(song.score), song) for _, song in labelled]
    time_ = sum(song["time"] for song in sums)
    assert sum(song["root"] for song in sums) / time_ > 0.85
    assert sum(song["root and third"] for song in sums) / time_ > 0.78


def test_a_score_of_millions_of_beats_has_no_chords_and_costs_little() -> None:
    score = symusic.Score(480)
    score.time_signatures.append(symusic.TimeSignature(0, 64, 128))
    track = symusic.Track("", 0, False)
    track.notes.extend([symusic.Note(0, 480, pitch, 80) for pitch in (60, 64, 67)])
    track.notes.append(symusic.Note(10_000 * 480, 480, 60, 80))
    score.tracks.append(track)
    tracemalloc.start()
    chords = recognise(score)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(beats_of(score)) > 10 * MAX_BEATS
    assert chords == [(0, NO_CHORD)]
    assert peak < 200e6
