"""A continuation keeps the players of the piece: none stays silent, no bar is empty, pitches stay in range."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import symusic

from helpers.composing import run, stand_in
from helpers.stand_in_model import full_score
from music_reformer.config import SamplingConfig
from music_reformer.generation.ensemble import REST_OF_NEWCOMERS, Ensemble
from music_reformer.generation.request import Request
from music_reformer.generation.variation import NewNote
from music_reformer.midi.key import Key
from music_reformer.midi.parts import part_order
from music_reformer.midi.parts_reader import PartsReader
from music_reformer.midi.playing_ranges import usual_range

BARS = 24


def four_voices() -> symusic.Score:
    """Four tracks of one program and drums, in 4/4, eight bars; the fourth voice plays only in every fourth bar."""
    score = symusic.Score(480)
    for voice, pitch in enumerate((72, 67, 60, 48)):
        track = symusic.Track(f"voice {voice}", 52, False)
        for bar in range(0, 8, 4 if voice == 3 else 1):
            for beat, step in enumerate((0, 2, 4, 5)):
                track.notes.append(symusic.Note((4 * bar + beat) * 480, 480, pitch + step, 80))
        score.tracks.append(track)
    drums = symusic.Track("kit", 0, True)
    drums.notes.extend([symusic.Note(beat * 480, 120, 36, 100) for beat in range(32)])
    score.tracks.append(drums)
    return score


def composed(score: symusic.Score, hold: float, seed: int) -> list[NewNote]:
    # A model that knows nothing and is impatient: most bars have a part or two, and many are empty.
    generator = stand_in("Parts", time_bias=3.0)
    request = Request(length=f"{BARS}bars", seed=seed, sampling=SamplingConfig(hold=hold))
    session = generator.start(score, request)
    for variation in session._variations:
        variation.steering = None  # it would bring the parts back by other means
    return run(generator, session)


def bars_of_tracks(notes: list[NewNote], first_s: float) -> dict[int, set[int]]:
    """The bars in which each track plays; a note held for a quarter of the next bar counts there, too."""
    bars = defaultdict(set)
    for note in notes:
        bars[note.track].update(bars_of(note, first_s))
    return bars


def bars_of(note: NewNote, first_s: float) -> range:
    first, last = (int((time - first_s) // 2 + 1e-6) for time in (note.start_s, note.end_s - 0.5 + 1e-6))
    return range(first, min(BARS, max(first, 0 if note.drum else last) + 1))


@pytest.mark.parametrize("piece", [None, four_voices()])
def test_instruments_that_are_new_begin_at_once_and_stay_in_their_range(piece: symusic.Score | None) -> None:
    generator = stand_in("Parts", time_bias=3.0)
    asked = [-1, 40, 42] if piece is None else [-1, 40, 42, 52]
    session = generator.start(piece, Request(length=f"{BARS}bars", programs=asked, variations=2))
    for variation in session._variations:
        variation.steering = None
    notes = run(generator, session)
    first_s = 0.0 if piece is None else 16.0
    for program in (40, 42):
        for number in range(2):
            theirs = [note for note in notes if note.program == program and note.variation == number and not note.drum]
            bars = sorted({bar for note in theirs for bar in bars_of(note, first_s)})
            assert bars[0] == 0
            assert np.diff([*bars, BARS]).max() <= REST_OF_NEWCOMERS + 1
    low, high = usual_range(42)
    outside = [not low - 6 <= note.pitch <= high + 6 for note in notes if note.program == 42 and not note.drum]
    assert np.mean(outside) < 0.5  # of all pitches, 81 of 128 are


@pytest.mark.parametrize("seed", range(2))
def test_no_player_is_silent_for_longer_than_in_the_piece_and_no_bar_is_empty(seed: int) -> None:
    bars = bars_of_tracks(composed(four_voices(), 1.0, seed), first_s=16.0)
    for track, most in ((0, 1), (1, 1), (2, 1), (3, 4), (4, 1)):
        already = 3 if track == 3 else 0  # bars that it has rested at the cut
        played = np.array([-1 - already, *sorted(bars[track]), BARS])
        assert (np.diff(played) - 1).max() <= most, (track, played)
    assert set.union(*bars.values()) == set(range(BARS))


@pytest.mark.parametrize("seed", range(2))
def test_a_part_that_never_rested_rests_for_one_bar_in_nine_at_most(seed: int) -> None:
    bars = bars_of_tracks(composed(four_voices(), 1.0, seed), first_s=16.0)
    for track in (0, 1, 2, 4):
        rests = np.setdiff1d(np.arange(BARS), sorted(bars[track]))
        assert (np.diff(rests, prepend=-1) > 8).all(), (track, rests)  # of eight bars


def test_a_held_note_is_not_a_rest() -> None:
    generator = stand_in("Parts")
    score = four_voices()
    score.tracks[3].notes = [symusic.Note(16 * 480 * number, 16 * 480, 48, 80) for number in range(2)]
    vocabulary = generator.tokenizer.vocabulary
    prompt = generator.start(score, Request(length="2bars")).prompt
    ensemble = Ensemble(PartsReader(vocabulary), vocabulary, prompt.past_ids, metre=(4, 4))
    last_voice = part_order(52, 4)
    assert last_voice in ensemble._due
    note = (("Program", 52), ("Part", 4), ("Velocity", 79), ("Duration", 384), ("Pitch", 48))
    for kind, value in (*note, *[("Bar", (4, 4))] * 4):
        assert last_voice not in ensemble._due or ensemble._place.bar == 0
        ensemble.take(vocabulary.ids[kind, value])
    assert last_voice in ensemble._due


def test_a_model_that_would_skip_a_due_part_is_led_to_it() -> None:
    """And not to the only other tokens left, notes that it does not want: a cluster at the end of the bar."""
    generator = stand_in("Parts")
    session = generator.start(four_voices(), Request(length="8bars"))
    ids, (variation,) = generator.tokenizer.vocabulary.ids, session._variations
    ensemble = variation.ensemble
    assert ensemble is not None
    for kind, value in (("Program", 52), ("Position", 72), ("Velocity", 79), ("Duration", 24), ("Pitch", 72)):
        variation.take(ids[kind, value])
    ensemble._due = [part_order(-1)]  # the drums
    logits = np.random.default_rng(0).normal(size=len(generator.tokenizer.vocabulary)).astype(np.float32)
    logits[ids["Bar", (4, 4)]] = 12.0
    before = logits.copy()
    ensemble.lead_to_due(logits)
    assert np.where(variation.allowed(session._permitted_V), logits, -np.inf).argmax() == ids["Program", -1]
    assert np.flatnonzero(logits != before).tolist() == [ids["Program", -1]]
    ensemble._due = []
    ensemble.lead_to_due(before)
    assert before[ids["Program", -1]] < 12


def test_without_the_ensemble_players_fall_silent_and_bars_are_empty() -> None:
    bars = bars_of_tracks(composed(four_voices(), 0.0, 0), first_s=16.0)
    assert set.union(*bars.values()) != set(range(BARS))


def test_notes_beyond_the_range_of_a_part_become_rare() -> None:
    def far_off(hold: float) -> float:
        notes = composed(four_voices(), hold, 1)
        ranges = ((72, 77), (67, 72), (60, 65), (48, 53))
        far = [
            not ranges[note.track][0] - 12 <= note.pitch <= ranges[note.track][1] + 12
            for note in notes
            if not note.drum
        ]
        return float(np.mean(far))

    assert far_off(1.0) < 0.7 * far_off(0.0)  # the model draws from 128 pitches alike, and pitches only rise in a chord


def test_pitch_classes_that_the_piece_does_not_use_become_rare() -> None:
    def foreign(hold: float) -> float:
        notes = [note for seed in range(4) for note in composed(four_voices(), hold, seed) if not note.drum]
        return float(np.mean([note.pitch % 12 in (1, 3, 6, 10) for note in notes]))

    assert foreign(1.0) < 0.6 * foreign(0.0)


def test_unrequested_instruments_are_never_due() -> None:
    generator = stand_in("Parts")
    notes = run(generator, generator.start(full_score(), Request(length="12bars", programs=[33])))
    assert {note.program for note in notes} == {33}


def test_a_copy_is_independent() -> None:
    generator = stand_in("Parts")
    prompt = generator.start(four_voices(), Request(length="2bars")).prompt
    vocabulary = generator.tokenizer.vocabulary
    ensemble = Ensemble(PartsReader(vocabulary), vocabulary, prompt.past_ids, metre=(4, 4))
    other = ensemble.copy()
    everything = np.ones(len(vocabulary), dtype=np.bool_)
    before = ensemble.narrowed(everything)
    other.take(vocabulary.ids["Program", -1])
    assert np.array_equal(ensemble.narrowed(everything), before)
    assert not np.array_equal(other.narrowed(everything), before)


def test_positions_at_which_a_part_has_begun_nothing_become_rare() -> None:
    def off_the_beat(hold: float) -> float:
        notes = composed(four_voices(), hold, 3)
        return float(np.mean([abs(note.start_s * 2 - round(note.start_s * 2)) > 1e-3 for note in notes]))

    assert off_the_beat(1.0) < 0.8 * off_the_beat(0.0)


def test_notes_much_longer_than_any_of_the_part_become_rare() -> None:
    """Also of a part that has been silent for a long time, about which the last bars say nothing."""

    def far_too_long(hold: float) -> float:
        piece = four_voices()
        longest = [max(note.duration for note in track.notes) / piece.ticks_per_quarter for track in piece.tracks]
        notes = [note for note in composed(piece, hold, 2) if not note.drum]
        return float(np.mean([(note.end_s - note.start_s) * 2 > 4 * longest[note.track] for note in notes]))

    assert far_too_long(1.0) < 0.3 * far_too_long(0.0)


def test_roots_of_chords_that_the_piece_does_not_use_become_rare() -> None:
    generator = stand_in("Parts")
    vocabulary = generator.tokenizer.vocabulary
    ids = vocabulary.ids
    bar = [ids["Bar", (4, 4)], ids["ChordRoot", 7], ids["ChordQuality", 0], ids["Program", 0], ids["Velocity", 63]]
    bar += [ids["Duration", 24], ids["Pitch", 67]]
    ensemble = Ensemble(PartsReader(vocabulary), vocabulary, [1, *bar * 4, ids["Bar", (4, 4)]], metre=(4, 4))
    logits_V = np.zeros(len(vocabulary), np.float32)
    ensemble.lean(logits_V)
    roots = logits_V[vocabulary.ids_of["ChordRoot"]]
    assert roots[7] == 0
    assert (np.delete(roots, 7) < -1).all()


def test_pitch_classes_of_a_requested_key_become_frequent() -> None:
    """The piece is in C major; with A flat major requested, its pitch classes become as frequent as those of C were."""

    def share(key: str | None) -> float:
        generator = stand_in("Parts")
        session = generator.start(four_voices(), Request(length=f"{BARS}bars", seed=2, key=key))
        notes = [note for note in run(generator, session) if not note.drum]
        return float(np.mean([note.pitch % 12 in (8, 10, 0, 1, 3, 5, 7) for note in notes]))

    assert share("Ab major") > share(None) + 0.2
    generator = stand_in("Parts")
    vocabulary = generator.tokenizer.vocabulary
    prompt = generator.start(four_voices(), Request(length="2bars")).prompt
    key = Key.parse("Ab major")
    ensemble = Ensemble(PartsReader(vocabulary), vocabulary, prompt.past_ids, metre=(4, 4), key=key)
    ensemble.take(vocabulary.ids["ChordRoot", 10])
    logits = np.zeros(len(vocabulary), np.float32)
    ensemble.lean(logits)
    major, minor = vocabulary.ids["ChordQuality", 0], vocabulary.ids["ChordQuality", 1]
    assert logits[major] < logits[minor] == 0  # B flat minor is in A flat major, B flat major is not


def test_an_ensemble_goes_on_where_another_has_come() -> None:
    """Rests go on, and notes held into the bar still sound there; which parts rest for how long is its own."""
    generator = stand_in("Parts")
    vocabulary = generator.tokenizer.vocabulary
    prompt = generator.start(four_voices(), Request(length="1bars")).prompt
    reader = PartsReader(vocabulary)
    line = vocabulary.ids["Bar", (4, 4)]
    before = Ensemble(reader, vocabulary, prompt.past_ids, metre=(4, 4))
    held = [vocabulary.ids[each] for each in (("Program", 52), ("Velocity", 79), ("Duration", 192), ("Pitch", 60))]
    for token in (line, *held, line):
        before.take(token)
    lines = reader.bars(np.array(prompt.past_ids))
    after = Ensemble(
        reader, vocabulary, prompt.past_ids, metre=(4, 4), heard=slice(int(lines[0]), int(lines[1]))
    ).going_on(before)
    assert after._sounds((52, 1))
    assert not after._sounds((52, 2))
    assert after._rests[52, 2] == before._rests[52, 2] > 0
    assert part_order(52, 1) not in after._due
    assert part_order(52, 2) in after._due
