"""Requests are checked on construction."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from music_reformer.batch.settings import GenerateConfig
from music_reformer.cli import compose_config
from music_reformer.config import SamplingConfig
from music_reformer.errors import UserError
from music_reformer.generation.request import Length, PartRequest, Request, Wishes
from music_reformer.midi.key import Key
from music_reformer.midi.lead_sheet import LeadSheet


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("16bars", Length(bars=16)),
        ("1 bar", Length(bars=1)),
        ("30s", Length(seconds=30.0)),
        (" 2.5 seconds ", Length(seconds=2.5)),
    ],
)
def test_lengths_are_bars_or_seconds(text: str, length: Length) -> None:
    assert Length.parse(text) == length
    assert Request(length=text).parsed_length() == length


@pytest.mark.parametrize(
    "text", ["", "16", "bars", "0bars", "-3bars", "1.5bars", "0s", "1e9s", "99999bars", "4 beats", "9" * 400 + "s"]
)
def test_invalid_lengths_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="length") as refusal:
        Request(length=text)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 16}, "length"),
        ({"variations": 0}, "variations"),
        ({"variations": 65}, "variations"),
        ({"variations": 2.0}, "variations"),
        ({"variations": True}, "variations"),
        ({"seed": "1"}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"cut_bar": -1}, "cut_bar"),
        ({"cut_bar": 1.5}, "cut_bar"),
        ({"until_bar": 0}, "until_bar"),
        ({"cut_bar": 4, "until_bar": 2}, r"until_bar \(2\) must be above cut_bar \(4\)"),
        ({"cut_bar": 4, "until_bar": 4}, r"until_bar \(4\) must be above cut_bar \(4\)"),
        ({"programs": {0}}, "programs"),
        ({"programs": [128]}, "programs"),
        ({"programs": [-2]}, "programs"),
        ({"programs": ["piano"]}, "programs"),
        ({"tracks": [-1], "until_bar": 4}, "tracks"),
        ({"tracks": [1]}, r"tracks \(\[1\]\)"),
        ({"tracks": [1], "until_bar": 4, "programs": [0]}, r"tracks \(\[1\]\)"),
        ({"key": "H major"}, "key"),
        ({"key": 5}, "key"),
        ({"metre": "7"}, "metre"),
        ({"metre": 4}, "metre"),
        ({"metre": "7/8", "until_bar": 4}, "recomposed bars"),
        ({"sampling": {"temperature": 1.0}}, "sampling"),
        ({"chords": "Am | H7"}, "'H7' is not a known chord"),
        ({"chords": 5}, "chords"),
        ({"form": "verse"}, "'verse' is not a section"),
        ({"form": 5}, "form"),
        ({"density": 5}, "density"),
        ({"register": 0.5}, "register"),
        ({"parts": [{"track": 1}]}, "parts"),
        ({"parts": [PartRequest(track=1), PartRequest(track=1, density=1)]}, "track 1 is named twice"),
        ({"parts": [PartRequest(track=1, role="lock")]}, "give until_bar"),
        ({"parts": [PartRequest(track=1, role="lock")], "tracks": [1], "until_bar": 4}, "recomposed and locked"),
        ({"locked": [[0, 480, 60]]}, "give until_bar"),
        ({"locked": [[0, 480]], "until_bar": 4}, "three numbers"),
        ({"locked": [0, 480, 60], "until_bar": 4}, "locked"),
        ({"rounds": -1}, "rounds"),
        ({"rounds": 1000}, "rounds"),
    ],
)
@pytest.mark.parametrize("schema", [Request, GenerateConfig])
def test_a_field_of_the_wrong_type_or_out_of_range_is_refused(schema: type, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        schema(**settings)


def test_the_command_line_takes_every_field_of_a_request_without_a_prefix() -> None:
    typed = {
        "length": "30s",
        "tracks": "[]",
        "metre": "null",
        "variations": "3",
        "seed": "7",
        "cut_bar": "4",
        "until_bar": "8",
        "programs": "[33,-1]",
        "parts": "[{track: 1, role: lock}, {track: 2, density: -1}, {program: 40}]",
        "locked": "[[0, 480, 60]]",
        "key": "'A minor'",
        "chords": "F#m7 | D7 G/B | %",
        "form": "A | new 8 | 5-12'",
        "density": "1",
        "polyphony": "-2",
        "register": "3",
        "dynamics": "-4",
        "sampling.temperature": "0.5",
        "best_of": "2",
        "ending": "true",
        "study": "8",
        "rounds": "4",
    }
    assert {name.partition(".")[0] for name in typed} == {each.name for each in fields(Request)}
    config = compose_config("generate", ["output=out", *(f"{name}={value}" for name, value in typed.items())])
    assert Request.of(config) == Request(
        length="30s",
        variations=3,
        seed=7,
        cut_bar=4,
        until_bar=8,
        programs=[-1, 33],
        parts=[PartRequest(track=1, role="lock"), PartRequest(track=2, density=-1), PartRequest(program=40)],
        locked=[[0, 480, 60]],
        key="A minor",
        chords="F#m7 | D7 G/B | %",
        form="A | new 8 | 5-12'",
        density=1,
        polyphony=-2,
        register=3,
        dynamics=-4,
        sampling=SamplingConfig(temperature=0.5),
        best_of=2,
        ending=True,
        study=8,
        rounds=4,
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give exactly one of them"),
        ({"track": 1, "program": 40}, "give exactly one of them"),
        ({"track": 1, "role": "sing"}, "play, rest, lock"),
        ({"track": -1}, "track"),
        ({"program": 128}, "program"),
        ({"track": 1, "density": 5}, "density"),
        ({"program": 40, "role": "rest"}, "give its program only"),
        ({"program": 40, "register": 1}, "give its program only"),
    ],
)
def test_invalid_parts_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PartRequest(**settings)


def test_wishes_add_up_within_their_range() -> None:
    assert Wishes(density=3, register=-2) + Wishes(density=3, dynamics=1) == Wishes(4, 0, -2, 1)
    assert Request(parts=[PartRequest(track=0, density=1)]).asks_for_change
    assert not Request(parts=[PartRequest(track=0, role="rest")]).asks_for_change


def test_a_batch_asks_for_the_same_with_other_seeds() -> None:
    config = GenerateConfig(output="out", length="8bars", cut_bar=2, seed=1, seeds=[5, 6])
    one = config.request(seed=5, has_prompt=True)
    assert type(one) is Request
    assert asdict(one) == {**asdict(Request.of(config)), "seed": 5}
    assert config.request(seed=5, has_prompt=False).cut_bar is None


def test_programs_are_sorted_without_duplicates_and_keys_are_parsed() -> None:
    request = Request(programs=[40, -1, 40], key="A minor")
    assert request.programs == [-1, 40]
    assert request.parsed_key() == Key.parse("A minor")
    assert Request().parsed_key() is None


def test_a_request_parses_its_chords_and_wishes() -> None:
    request = Request(chords="Am | D7", density=2, dynamics=-1)
    assert request.parsed_chords() == LeadSheet.parse("Am | D7")
    assert request.wishes == Wishes(density=2, dynamics=-1)
    assert Request(chords="piece").chords == "piece"  # which only a piece can tell
    assert Request().parsed_chords() is None
    assert Request().wishes == Wishes()
