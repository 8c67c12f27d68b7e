"""The page's operations on the real generator, with a tiny untrained model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import symusic

from music_reformer.config import ModelConfig, TokenizerConfig
from music_reformer.generation.generator import Generator
from music_reformer.midi.key import Key
from music_reformer.midi.tokenizer import MusicTokenizer
from music_reformer.model.decoder import Decoder
from music_reformer.model.reformer import ReformerLM
from music_reformer.ui.export import ExportFields
from music_reformer.ui.operations import Operations
from music_reformer.ui.order import Order
from music_reformer.ui.shelf import Shelf


@pytest.fixture(scope="module")
def generator() -> Generator:
    tokenizer = MusicTokenizer(TokenizerConfig())
    shape = {"width": 16, "num_layers": 2, "num_heads": 1, "head_width": 16, "feed_forward_width": 16}
    config = ModelConfig(vocab_size=tokenizer.vocab_size, window=16, num_buckets=[8], **shape)
    return Generator(Decoder(ReformerLM(config)), tokenizer)


@pytest.mark.parametrize("from_nothing", [False, True])
def test_streamed_notes_are_the_written_notes(generator: Generator, tmp_path: Path, *, from_nothing: bool) -> None:
    operations = Operations(generator=generator, shelf=Shelf(tmp_path))
    piece = "" if from_nothing else operations.open_example("waltz")["key"]
    order = Order.read({"piece": piece, "length": "2s", "variations": 2, "seed": 1, "sampling": {"temperature": 1.2}})
    start, *progress, done = operations.compose(order)
    assert progress[-1]["finished"] == [True, True]
    for number, variation in enumerate(done["variations"]):
        streamed = sorted((note[3], note[4]) for report in progress for note in report["notes"] if note[0] == number)
        rolled = sorted(
            (pitch, round(begin, 3))
            for track in json.loads(variation["roll"])["tracks"]
            for pitch, begin, _, _, is_new in track["notes"]
            if is_new
        )
        assert [pitch for pitch, _ in streamed] == [pitch for pitch, _ in rolled]
        for (_, heard), (_, written) in zip(streamed, rolled, strict=True):
            assert heard == pytest.approx(written, abs=0.01)
        assert all(begin >= start["cut"] - 0.01 for _, begin in rolled)
        written_file = symusic.Score.from_midi(operations.shelf.path(variation["key"]).read_bytes())
        kept = 0 if from_nothing else json.loads(operations.open_example("waltz")["roll"])
        expected = 0 if from_nothing else sum(len(track["notes"]) for track in kept["tracks"])
        assert written_file.note_num() == expected + len(rolled)


@pytest.mark.parametrize("instruments", [[], [73]])
def test_bars_composed_anew_replace_nothing_else(generator: Generator, tmp_path: Path, instruments: list[int]) -> None:
    operations = Operations(generator=generator, shelf=Shelf(tmp_path))
    piece = operations.open_example("evening")
    before = symusic.Score.from_midi(operations.shelf.path(piece["key"]).read_bytes())
    order = Order.read({"piece": piece["key"], "cut_bar": 4, "until_bar": 8, "seed": 1, "instruments": instruments})
    start, *_, done = operations.compose(order)
    bars = json.loads(piece["roll"])["bars"]
    assert (start["cut"], start["end"]) == (pytest.approx(bars[4]), pytest.approx(bars[8]))
    assert start["missing"] == instruments
    (variation,) = done["variations"]
    new = [note for track in json.loads(variation["roll"])["tracks"] for note in track["notes"]]
    assert all(is_new and bars[4] - 0.01 <= begin < bars[8] for _, begin, _, _, is_new in new)
    after = symusic.Score.from_midi(operations.shelf.path(variation["key"]).read_bytes())
    cut, until = start["cut_tick"], start["until_tick"]

    def kept(score: symusic.Score) -> list[tuple[int, int, int]]:
        return sorted(
            (note.time, note.duration, note.pitch)
            for track in score.tracks
            for note in track.notes
            if not cut <= note.time < until or (instruments and track.program not in instruments)
        )

    assert kept(after) == kept(before)
    assert after.note_num() == len(kept(before)) + len(new)
    wanted = ExportFields(piece=variation["key"], kind="new", since=cut, until=until, programs=list(instruments))
    exported = operations.export(wanted)
    assert symusic.Score.from_midi(operations.shelf.path(exported["key"]).read_bytes()).note_num() == len(new)


def test_a_piece_from_nothing_has_the_requested_key_metre_and_tempo(generator: Generator, tmp_path: Path) -> None:
    operations = Operations(generator=generator, shelf=Shelf(tmp_path))
    order = {"length": "32bars", "seed": 2, "key": "Eb major", "metre": "3/4", "tempo": 80, "instruments": [0, 40]}
    start, *_, done = operations.compose(Order.read(order))
    assert start["end"] == pytest.approx(32 * 3 * 60 / 80, rel=0.01)
    score = symusic.Score(operations.shelf.path(done["variations"][0]["key"]))
    assert (score.time_signatures[0].numerator, score.tempos[0].qpm) == (3, pytest.approx(80, abs=0.01))
    pitches = [note.pitch for track in score.tracks if not track.is_drum for note in track.notes]
    foreign = [pitch for pitch in pitches if pitch % 12 not in Key.parse("Eb major").pitch_classes]
    # Of pitches at random five in twelve would be foreign.
    assert len(pitches) > 50
    assert len(foreign) < 0.15 * len(pitches)
    assert {track.program for track in score.tracks if len(track.notes)} == {0, 40}
