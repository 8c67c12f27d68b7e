from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import symusic

from helpers.playing import played
from helpers.scores import two_pianos_and_drums
from music_reformer.errors import UserError
from music_reformer.generation.request import Request
from music_reformer.ui.operations import MAX_LESSONS, Operations
from music_reformer.ui.order import MAX_ORDERED_VARIATIONS, STYLES, Order, StudyFields


def compose(operations: Operations, **order: Any) -> list[dict[str, Any]]:
    return list(operations.compose(Order.read({"length": "2bars", "seed": 3, **order})))


def test_an_opened_file_is_kept_byte_for_byte(operations: Operations, midi_file: Path) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)
    assert piece["name"] == "my song"
    assert operations.shelf.path(piece["key"]).read_bytes() == midi_file.read_bytes()
    assert len(json.loads(piece["roll"])["tracks"]) == 2
    assert json.loads(piece["roll"])["cut"] is None
    outline = json.loads(piece["outline"])
    assert len(outline["chords"]) == len(json.loads(piece["roll"])["bars"]) - 1 == 16
    assert sum(num_bars for _, num_bars, _ in outline["sections"]) == 16


def test_played_music_gets_bars_and_its_own_file_stays(operations: Operations, tmp_path: Path) -> None:
    path = tmp_path / "take.mid"
    path.write_bytes(played("evening")[0].dumps_midi())
    piece = operations.open_file(path, name="take.mid")
    own = operations.open_kept(piece["own_bars"])
    assert operations.shelf.path(piece["own_bars"]).read_bytes() == path.read_bytes()
    assert operations.shelf.path(piece["key"]).read_bytes() != path.read_bytes()
    roll, own_roll = json.loads(piece["roll"]), json.loads(own["roll"])
    assert [len(track["notes"]) for track in roll["tracks"]] == [len(track["notes"]) for track in own_roll["tracks"]]
    assert len(roll["tempos"]) > len(own_roll["tempos"]) == 1
    assert "own_bars" not in own


@pytest.mark.parametrize(
    "content", [b"", b"MThd", b"not a MIDI file at all", b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0"]
)
def test_a_bad_file_is_one_sentence_without_our_paths_and_leaves_nothing(
    operations: Operations, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "upload-4711.mid"
    path.write_bytes(content)
    with pytest.raises(UserError) as refusal:
        operations.open_file(path, name="bad.mid")
    assert "\n" not in str(refusal.value)
    assert str(tmp_path) not in str(refusal.value)
    assert list(operations.shelf.folder.iterdir()) == []


def test_reports_come_in_order_and_their_notes_are_those_of_the_files(operations: Operations, midi_file: Path) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)
    start, *progress, done = compose(operations, piece=piece["key"], variations=3)
    assert (start["event"], done["event"]) == ("start", "done")
    assert {report["event"] for report in progress} == {"progress"}
    assert progress[-1]["finished"] == [True] * 3
    shares = [report["done"] for report in progress]
    assert shares == sorted(shares)
    assert start["cut"] == pytest.approx(16 * 3 * 60 / 132, abs=1e-3)
    assert len(done["variations"]) == 3
    for number, variation in enumerate(done["variations"]):
        streamed = sorted(note[3:6] for report in progress for note in report["notes"] if note[0] == number)
        filed = sorted(
            [pitch, round(begin, 3), round(end, 3)]
            for track in json.loads(variation["roll"])["tracks"]
            for pitch, begin, end, _, is_new in track["notes"]
            if is_new
        )
        assert len(streamed) == len(filed) == 16
        for heard, written in zip(streamed, filed, strict=True):
            assert heard == pytest.approx(written, abs=2e-3)
        # The prompt is still in front of it.
        score = symusic.Score(operations.shelf.path(variation["key"]))
        assert score.note_num() == symusic.Score(midi_file).note_num() + 16


@pytest.mark.parametrize("in_unison", [False, True])
def test_streamed_notes_name_their_track_of_the_finished_roll(
    operations: Operations, tmp_path: Path, *, in_unison: bool
) -> None:
    """Two tracks of one program, a drum track, and an instrument that is added."""
    path = tmp_path / "band.mid"
    path.write_bytes(two_pianos_and_drums(in_unison=in_unison).dumps_midi())
    piece = operations.open_file(path, name="band.mid")
    _, *progress, done = compose(operations, piece=piece["key"], variations=2, instruments=[0, 40, -1])
    for number, variation in enumerate(done["variations"]):
        rows = [note for report in progress for note in report["notes"] if note[0] == number]
        streamed = sorted((note[7], note[3], note[6]) for note in rows)
        tracks = json.loads(variation["roll"])["tracks"]
        assert [track["program"] for track in tracks] == [0, 0, 0, 40]
        assert [track["drum"] for track in tracks] == [False, False, True, False]
        filed = sorted((track["index"], pitch, loud) for track in tracks for pitch, _, _, loud, _ in track["notes"])
        assert streamed == filed
        kept = json.loads(operations.open_kept(variation["key"])["roll"])["tracks"]
        again = sorted(
            (place, pitch, loud)
            for place, track in enumerate(kept)
            for pitch, begin, _, loud, _ in track["notes"]
            if begin > 4.0 - 1e-3
        )
        assert again == filed


def test_variations_tell_the_chords_of_their_new_bars(operations: Operations, midi_file: Path) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)
    for cut in ({}, {"cut_bar": 4, "until_bar": 7}):
        variation = compose(operations, piece=piece["key"], **cut)[-1]["variations"][0]
        told = json.loads(variation["outline"])
        whole = json.loads(operations.open_kept(variation["key"])["outline"])
        first, until = (4, 7) if cut else (16, 18)
        assert told == {"first_bar": first, "chords": whole["chords"][first:until], "sections": []}
        assert len(told["chords"]) == until - first


@pytest.mark.parametrize("name", ["waltz", "ground"])
def test_an_example_has_the_outline_of_the_same_file(operations: Operations, name: str) -> None:
    example = operations.open_example(name)
    assert operations.open_kept(example["key"])["outline"] == example["outline"]


def test_files_of_different_orders_have_different_keys_and_names(operations: Operations, midi_file: Path) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)
    results = [compose(operations, piece=piece["key"], variations=2)[-1]["variations"] for _ in range(2)]
    assert len({variation["key"] for result in results for variation in result}) == 4
    assert [variation["name"] for variation in results[0]] == [
        f"my song - bars 17-18 - seed 3 - {number}" for number in (1, 2)
    ]


def test_composing_from_nothing_needs_no_piece(operations: Operations) -> None:
    start, *_, done = compose(operations)
    assert start["cut"] == 0
    assert done["variations"][0]["name"].startswith("New piece")


def test_from_nothing_takes_key_metre_tempo_and_instruments(operations: Operations) -> None:
    *_, done = compose(operations, key="Eb major", metre="6/8", tempo=72, instruments=[48, -1])
    score = symusic.Score(operations.shelf.path(done["variations"][0]["key"]))
    assert [(metre.numerator, metre.denominator) for metre in score.time_signatures] == [(6, 8)]
    assert [round(tempo.qpm) for tempo in score.tempos] == [72]
    assert [key.key for key in score.key_signatures] == [-3]
    assert {(track.program, track.is_drum) for track in score.tracks if len(track.notes)} == {(48, False), (0, True)}


def test_a_kept_variation_is_a_piece_like_any_other(operations: Operations, midi_file: Path) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)
    first = compose(operations, piece=piece["key"])[-1]["variations"][0]
    kept = operations.open_kept(first["key"])
    assert len(json.loads(kept["roll"])["bars"]) == len(json.loads(piece["roll"])["bars"]) + 2
    second = compose(operations, piece=kept["key"], seed=4)[-1]["variations"][0]
    assert second["name"] == "my song - bars 19-20 - seed 4 - 1"
    notes = symusic.Score(operations.shelf.path(second["key"])).note_num()
    assert notes == symusic.Score(midi_file).note_num() + 32


def test_the_queue_knows_how_long_it_takes(operations: Operations) -> None:
    assert operations.waiting() == {"seconds_left": 0, "typical": None}
    operations.generator.seconds = 1.0
    reports = operations.compose(Order(request=Request(length="4bars", seed=1)))
    for report in reports:
        if report["event"] == "progress" and 0.3 < report["done"][0] < 0.7:
            assert 0 < operations.waiting()["seconds_left"] < 10
    assert operations.waiting()["seconds_left"] == 0
    assert operations.waiting()["typical"] >= 1.0


def test_with_two_compositions_the_wait_is_until_the_first_ends(operations: Operations) -> None:
    operations.at_once, operations.generator.seconds = 2, 0.5
    compose(operations)
    assert 0.2 < operations.waiting()["typical"] < 2
    operations.generator.seconds = 60.0
    long = operations.compose(Order(request=Request(length="4bars", seed=1)))
    next(report for report in long if report.get("seconds_left"))
    assert operations.waiting()["seconds_left"] > 20
    operations.generator.seconds = 4.0
    short = operations.compose(Order(request=Request(length="4bars", seed=2)))
    next(report for report in short if report.get("seconds_left"))
    assert 0 < operations.waiting()["seconds_left"] < 15
    assert operations.num_running == 2
    short.close()
    assert operations.waiting()["seconds_left"] > 20
    long.close()
    assert operations.waiting()["seconds_left"] == 0


def test_stop_keeps_the_composed_notes(operations: Operations) -> None:
    operations.generator.seconds = 60.0
    reports = operations.compose(Order(request=Request(length="16bars", seed=1)))
    ticket = next(reports)["ticket"]
    threading.Timer(1.5, operations.stop, [ticket]).start()
    *_, done = reports
    notes = [note for track in json.loads(done["variations"][0]["roll"])["tracks"] for note in track["notes"]]
    assert 1 <= len(notes) < 16 * 8
    assert operations.stop(ticket) is False


def test_the_composition_of_a_visitor_who_leaves_ends(operations: Operations) -> None:
    operations.generator.seconds = 60.0
    reports = operations.compose(Order(request=Request(length="16bars", seed=1)))
    next(reports)
    next(reports)
    assert operations.num_running == 1
    reports.close()
    assert operations.num_running == 0


def test_a_guessed_ticket_stops_no_composition(operations: Operations) -> None:
    operations.generator.seconds = 60.0
    reports = operations.compose(Order(request=Request(length="16bars", seed=1)))
    next(reports)
    assert operations.stop("") is False
    assert operations.stop("A" * 22) is False
    assert operations.num_running == 1
    reports.close()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"length": "many"}, "length"),
        ({"length": "100000bars"}, "at most|from 1 to"),
        ({"length": "9999s"}, "at most"),
        ({"variations": 0}, "variations"),
        ({"variations": MAX_ORDERED_VARIATIONS + 1}, "variations"),
        ({"variations": 1.5}, "variations"),
        ({"seed": -2}, "seed"),
        ({"seed": 2**40}, "seed"),
        ({"style": "loud"}, "style"),
        ({"piece": "../../etc"}, "open the file again"),
        ({"cut_bar": -2}, "cut"),
        ({"until_bar": -2}, "until_bar"),
        ({"cut_bar": 4, "until_bar": 900}, "at most 256"),
        ({"instruments": [128]}, "instrument"),
        ({"instruments": "piano"}, "instruments"),
        ({"instruments": list(range(16))}, "0 to 15 entries"),
        ({"key": "H major"}, "key"),
        ({"metre": "7/3"}, "metre"),
        ({"tempo": 9000}, "tempo"),
        ({"tempo": "fast"}, "tempo"),
        ({"volume": 11}, "'volume' is not one of"),
        ({"sampling": {"temperature": -1}}, "temperature"),
        ({"sampling": {"top_p": 0}}, "top_p"),
        ({"sampling": {"warmth": 1}}, "sampling"),
        ({"sampling": {"temperature": "hot"}}, "sampling"),
        ({"sampling": {"top_k": 2.5}}, r"sampling.top_k \(2.5\) must be a whole number"),
        ({"sampling": {"repetition_window": "x"}}, "repetition_window .* must be a number"),
        ({"sampling": {"top_p": float("nan")}}, "top_p"),
        ({"sampling": {"temperature": True}}, "must be a number"),
        ({"sampling": []}, "must be a mapping"),
        ({"piece": 5}, r"piece \(5\) must be text"),
        ({"style": ["calm"]}, "style .* must be text"),
        ({"variations": True}, "variations .* must be a whole number"),
        ({"tempo": float("inf")}, "tempo"),
        ({"tempo": True}, "tempo"),
        ({"length": 16}, r"length \(16\) must be text"),
        ({"key": 5}, "key"),
        ({"metre": ["4/4"]}, "metre"),
        ({"instruments": [True]}, "instruments"),
        ({"instruments": [[1]]}, "instruments"),
        ({"instruments": {}}, "instruments"),
    ],
)
def test_a_wrong_order_is_refused_in_a_sentence(operations: Operations, wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        compose(operations, **wrong)
    assert operations.num_running == 0


def test_a_style_is_a_set_of_numbers_that_visitors_may_change(operations: Operations) -> None:
    compose(operations, style="calm")
    compose(operations, style="calm", sampling={"temperature": 0.5})
    plain, changed = (request.sampling for request in operations.generator.requests)
    assert plain == STYLES["calm"]
    assert (changed.temperature, changed.top_p) == (0.5, STYLES["calm"].top_p)


def test_without_a_seed_one_is_drawn_and_reported(operations: Operations) -> None:
    seeds = {compose(operations, seed=-1, length="1bars")[0]["seed"] for _ in range(5)}
    assert len(seeds) > 1
    assert seeds == {request.seed for request in operations.generator.requests}


def studied(operations: Operations, piece: str, **bars: int) -> list[dict[str, Any]]:
    return list(operations.study(StudyFields(piece=piece, **bars)))


def test_lessons_are_used_only_for_the_bars_studied(operations: Operations, midi_file: Path) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)["key"]
    assert compose(operations, piece=piece)[0]["studied"] is False
    *steps, last = studied(operations, piece, cut_bar=8)
    assert [report["event"] for report in steps] == ["study"] * 10
    assert steps[-1]["done"] == 1
    assert last == {"event": "studied", "steps": 10, "likelier": 0.1}
    assert compose(operations, piece=piece, cut_bar=8)[0]["studied"] is True
    assert compose(operations, piece=piece, cut_bar=8, study=False)[0]["studied"] is False
    assert compose(operations, piece=piece, cut_bar=9)[0]["studied"] is False
    assert compose(operations, piece=piece, cut_bar=8, until_bar=10)[0]["studied"] is False


def test_a_piece_is_studied_once_and_few_lessons_are_kept(operations: Operations, midi_file: Path) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)["key"]
    operations.generator.study_seconds = 0.0
    assert len(studied(operations, piece, cut_bar=1)) == 11
    assert len(studied(operations, piece, cut_bar=1)) == 1
    for bar in range(2, 2 + MAX_LESSONS):
        studied(operations, piece, cut_bar=bar)
    assert len(studied(operations, piece, cut_bar=1)) == 11


def test_studying_waits_while_something_is_composed(operations: Operations, midi_file: Path) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)["key"]
    running = operations.compose(Order.read({"piece": piece, "length": "2bars"}))
    next(running)
    study = operations.study(StudyFields(piece=piece))
    assert [next(study)["done"] for _ in range(4)] == [0.1] * 4
    running.close()
    assert next(study)["done"] == 0.2
    study.close()


def test_a_missing_piece_cannot_be_studied(operations: Operations) -> None:
    with pytest.raises(UserError, match=r"not kept any more|no longer"):
        studied(operations, "0" * 32)


def test_the_waiting_time_is_unknown_until_composing_has_started(operations: Operations, midi_file: Path) -> None:
    piece = operations.open_file(midi_file, name=midi_file.name)["key"]
    running = operations.compose(Order.read({"piece": piece, "length": "2bars"}))
    next(running)
    assert operations.waiting() == {"seconds_left": None, "typical": None}
    running.close()
    assert operations.waiting()["seconds_left"] == 0
