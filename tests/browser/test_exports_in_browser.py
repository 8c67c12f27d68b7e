"""Exports of a piece: MIDI, notation and sound."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import mido
import numpy as np
import pytest
import symusic

from helpers.visitor import BAR_SECONDS, WALTZ, download, export, kept, midi, notes_of, order, phase, until, upload


def test_every_export_contains_the_piece(visit: Callable[..., Any]) -> None:
    text = mido.MidiFile(file=io.BytesIO(WALTZ.dumps_midi()))
    text.tracks[0].insert(0, mido.MetaMessage("text", text="for Clara"))
    written = io.BytesIO()
    text.save(file=written)
    tab = visit()
    upload(tab, midi("clara.mid", written.getvalue()))
    order(tab, bars=2)
    phase(tab, "done")
    name, whole = export(tab, "whole")
    assert name == "clara - bars 17-18 - seed 5 - 1.mid"
    assert b"for Clara" in whole
    assert set(notes_of(WALTZ)) < set(notes_of(symusic.Score.from_midi(whole)))
    name, new = export(tab, "new")
    assert name == "clara - bars 17-18 - seed 5 - 1 - new.mid"
    score = symusic.Score.from_midi(new)
    assert (score.note_num(), score.tracks[0].notes[0].time) == (16, 0)
    assert score.tempos[0].qpm == pytest.approx(132, abs=0.01)
    kept(tab, 1)
    name, again = export(tab, "new")
    assert (name, again) == ("clara - bars 17-18 - seed 5 - 1 - new.mid", new), "what was kept is exported alone, too"
    assert export(tab, "whole") == ("clara - bars 17-18 - seed 5 - 1.mid", whole)
    tab.click("#undo")
    until(tab, "!document.querySelector('#redo').disabled")
    name, packed = export(tab, "tracks")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == ["01 Right hand.mid", "02 Left hand.mid"]
        tracks = [symusic.Score.from_midi(archive.read(each)) for each in archive.namelist()]
    assert sum(track.note_num() for track in tracks) == symusic.Score.from_midi(whole).note_num()
    name, notes = export(tab, "musicxml")
    assert name.endswith(".musicxml")
    assert notes.count(b"<measure ") == 2 * 18, "both hands are equally long"
    assert b"<beats>3</beats>" in notes


# An Ogg file as the browser decodes it: its length, and the loudness of each bar of the waltz.
DECODE = """async (bytes) => {
  const sound = await new OfflineAudioContext(2, 1, 44100).decodeAudioData(new Uint8Array(bytes).buffer);
  const [left, right] = [sound.getChannelData(0), sound.getChannelData(1)];
  const length = 3 * 60 / 132 * 44100;
  const bars = Array.from({ length: 16 }, (_, bar) => {
    let sum = 0;
    const [from, to] = [Math.round(bar * length), Math.round((bar + 1) * length)];
    for (let place = from; place < to; place++) sum += left[place] ** 2 + right[place] ** 2;
    return Math.sqrt(sum / 2 / (to - from));
  });
  return { seconds: sound.duration, bars };
}"""


def test_a_wav_is_the_audible_mix(visit: Callable[..., Any]) -> None:
    tab = visit()
    tab.click("#examples button >> nth=1")
    phase(tab, "ready")
    name, data = export(tab, "wav")
    assert name == "Small waltz.wav"
    assert data[:4] + data[8:12] == b"RIFFWAVE"
    sound = np.frombuffer(data[44:], dtype="<i2").reshape(-1, 2) / 32768
    assert len(sound) / 44100 == pytest.approx(WALTZ.to("Second").end() + 2.5, abs=0.1)
    bars = [sound[round(bar * BAR_SECONDS * 44100) :][: round(BAR_SECONDS * 44100)] for bar in range(16)]
    assert all(np.sqrt(np.mean(bar**2)) > 0.01 for bar in bars)
    assert np.abs(sound).max() < 1
    name, packed = export(tab, "stems")
    assert name == "Small waltz - stems.zip"
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["01 Right hand.wav", "02 Left hand.wav"]
        stems = [
            np.frombuffer(archive.read(each)[44:], dtype="<i2").reshape(-1, 2) / 32768 for each in archive.namelist()
        ]
    assert min(np.sqrt(np.mean(stem**2)) for stem in stems) > 0.003
    assert np.abs(sum(stems) - sound).max() < 0.002, "laid side by side, stems are the piece"
    name, ogg = export(tab, "ogg")
    assert name == "Small waltz.ogg"
    assert len(ogg) < len(data) / 5
    decoded = tab.evaluate(DECODE, list(ogg))
    loudness = [float(np.sqrt(np.mean(bar**2))) for bar in bars]
    assert decoded["seconds"] == pytest.approx(len(sound) / 44100, abs=0.01)
    assert decoded["bars"] == pytest.approx(loudness, rel=0.05)
    for track in ("Right hand", "Left hand"):
        tab.click(f"[aria-label='Mute {track}']")
    silence = np.frombuffer(export(tab, "wav")[1][44:], dtype="<i2")
    assert np.abs(silence).max() < 10


def expressive() -> bytes:
    """A second each of: a short note, the same note held by the pedal, an A, an A bent up by a tone, a drum."""
    second = 960
    track: list[Any] = [mido.MetaMessage("set_tempo", tempo=500_000), mido.Message("program_change", program=0)]

    def note(pitch: int, *, at: int, length: int = 96, channel: int = 0) -> list[tuple[int, Any]]:
        on = mido.Message("note_on", note=pitch, velocity=100, channel=channel)
        return [(at, on), (at + length, mido.Message("note_off", note=pitch, channel=channel))]

    events = [
        *note(60, at=0),
        (2 * second, mido.Message("control_change", control=64, value=127)),
        *note(60, at=2 * second),
        (4 * second - 10, mido.Message("control_change", control=64, value=0)),
        *note(69, at=4 * second, length=second),
        (6 * second - 5, mido.Message("pitchwheel", pitch=8191)),
        *note(69, at=6 * second, length=second),
        *note(38, at=8 * second, channel=9),
    ]
    now = 0
    for tick, event in sorted(events, key=lambda pair: pair[0]):
        track.append(event.copy(time=tick - now))
        now = tick
    file = mido.MidiFile(ticks_per_beat=480)
    file.tracks.append(mido.MidiTrack(track))
    written = io.BytesIO()
    file.save(file=written)
    return written.getvalue()


def test_drums_pedal_and_pitch_bend_are_honoured(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab, midi("expressive.mid", expressive()))
    sound = np.frombuffer(export(tab, "wav")[1][44:], dtype="<i2").reshape(-1, 2).mean(axis=1) / 32768

    def stretch(begin: float, end: float) -> Any:
        return sound[round(begin * 44100) : round(end * 44100)]

    def strength(begin: float, end: float) -> float:
        return float(np.sqrt(np.mean(stretch(begin, end) ** 2)))

    def pitch(begin: float) -> float:
        spectrum = np.abs(np.fft.rfft(stretch(begin, begin + 0.8) * np.hanning(round(0.8 * 44100))))
        return float(np.argmax(spectrum[: round(1000 * 0.8)]) / 0.8)

    assert strength(2.6, 3.2) > 4 * strength(0.6, 1.2), "the pedal holds the note"
    assert pitch(4.05) == pytest.approx(440, rel=0.01)
    assert pitch(6.05) == pytest.approx(440 * 2 ** (2 / 12), rel=0.01)
    drum = np.abs(np.fft.rfft(stretch(8.0, 8.2)))
    tone = np.abs(np.fft.rfft(stretch(4.1, 4.3)))
    # A snare drum is noise: its sound is spread over all frequencies, that of a note is not.
    assert np.sum(drum[1000:]) / np.sum(drum) > 3 * np.sum(tone[1000:]) / np.sum(tone)


def test_a_variation_is_dragged_out_as_its_file(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    order(tab, variations=2, seed=5)
    phase(tab, "done")
    name, dragged = dragged_out(tab, ".card:nth-child(2)")
    assert name == "my song - bars 17-20 - seed 5 - 2.mid"
    assert notes_of(dragged) == notes_of(download(tab, 2)[1])


# What is dragged out of an element, as Chromium hands it to other programs.
CARRIED = """(selector) => {
  const dataTransfer = new DataTransfer();
  const element = document.querySelector(selector);
  if (!element.draggable) return null;
  element.dispatchEvent(new DragEvent('dragstart', { dataTransfer, bubbles: true, cancelable: true }));
  return dataTransfer.getData('DownloadURL');
}"""


def dragged_out(tab: Any, selector: str) -> tuple[str, symusic.Score]:
    kind, name, address = tab.evaluate(CARRIED, selector).split(":", 2)
    assert kind == "audio/midi"
    return name, symusic.Score.from_midi(tab.request.get(address).body())


def test_tracks_and_marked_bars_are_dragged_out(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    hands = []
    for track in range(2):
        hand = WALTZ.copy()
        hand.tracks = hand.tracks[track : track + 1]
        hands.append(notes_of(hand))
    name, score = dragged_out(tab, "#tracks li:nth-child(2) .track-name")
    assert (name, notes_of(score)) == ("my song - Left hand.mid", hands[1])
    tab.focus("#roll")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("b")
    tab.keyboard.press("b")
    tab.click("[aria-label='Only Right hand in the marked bars']")
    name, score = dragged_out(tab, "#anew-out")
    assert name == "my song - Right hand, bars 2-3.mid"
    bar = 3 * 480
    assert notes_of(score) == [(time - bar, *rest) for time, *rest in hands[0] if bar <= time < 3 * bar]
    assert export(tab, "part")[0] == name


def test_notes_that_were_selected_by_hand_are_dragged_out(visit: Callable[..., Any]) -> None:
    tab = visit()
    upload(tab)
    tab.keyboard.press("e")
    tab.wait_for_selector("#edit-tools:not([hidden])")
    assert tab.get_attribute("#edit-out", "href") is None, "nothing is selected"
    for _ in range(12):
        tab.keyboard.press(".")
    for _ in range(8):
        tab.keyboard.press(">")
    first, *_, last = chosen = sorted(notes_of(WALTZ))[11:20]
    bar = 3 * 480
    name, score = dragged_out(tab, "#edit-out")
    assert name == f"my song - 9 notes, bars {first[0] // bar + 1}-{last[0] // bar + 1}.mid"
    begin = first[0] // bar * bar
    assert notes_of(score) == [(time - begin, *rest) for time, *rest in chosen]
    tab.focus("#edit-out")
    with tab.expect_download() as download_info:
        tab.keyboard.press("Enter")
    assert download_info.value.suggested_filename == name
