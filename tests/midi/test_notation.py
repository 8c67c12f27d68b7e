from __future__ import annotations

import re

import pytest
import symusic

from helpers.midi_bytes import event, midi, scale
from music_reformer.errors import UserError
from music_reformer.midi.examples import EXAMPLES
from music_reformer.midi.notation import music_xml


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_piece_is_written_in_bars_for_every_part(name: str) -> None:
    example = EXAMPLES[name]
    score = example.score()
    text = music_xml(score.dumps_midi(), name="it", title="A title").decode()
    assert "<movement-title>A title</movement-title>" in text
    _, *parts = text.split('<part id="')
    bars = round(score.end() / score.ticks_per_quarter / example.beats_per_bar + 0.49)
    assert [part.count("<measure ") for part in parts] == [bars] * len(example.parts)
    for part in parts:
        assert re.findall(r"<beats>(\d+)</beats>", part) == [str(example.beats_per_bar)]
    # A note that is tied over or split is one of the piece's: beginnings count.
    begun = text.count("<pitch>") + text.count("<unpitched>") - text.count('<tie type="stop"')
    assert begun == pytest.approx(score.note_num(), abs=score.note_num() * 0.05)


def test_a_piece_without_key_is_spelt_in_one() -> None:
    score = symusic.Score(480)
    score.tracks.append(symusic.Track("", 0, False))
    for place, pitch in enumerate([63, 65, 67, 68, 70, 72, 74, 75, 70, 67, 63, 68, 72, 75, 70, 74, 75]):
        score.tracks[0].notes.append(symusic.Note(place * 480, 480, pitch, 80))
    text = music_xml(score.dumps_midi(), name="it", title="In E flat").decode()
    assert "<fifths>-3</fifths>" in text
    assert "<alter>1</alter>" not in text


def test_faults_of_a_file_are_put_right_before_it_is_written() -> None:
    """A note that never ends; symusic by itself drops it."""
    stuck = midi(event(0, 0x90, 48, 80) + scale())
    assert symusic.Score.from_midi(stuck).note_num() == 8
    text = music_xml(stuck, name="it", title="").decode()
    assert "<octave>3</octave>" in text


def test_it_ends_what_takes_too_long() -> None:
    with pytest.raises(UserError, match=r"it took more than 0\.001 seconds to be written"):
        music_xml(EXAMPLES["waltz"].score().dumps_midi(), name="it", title="", seconds=0.001)
