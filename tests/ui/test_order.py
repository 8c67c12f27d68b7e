"""Orders from the network, and the requests made from them."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from music_reformer.errors import UserError
from music_reformer.generation.request import FORM_OF_PIECE, PartRequest, Request
from music_reformer.midi.key import Key
from music_reformer.ui.order import KEYS, STUDY_STEPS, STYLES, Order, OrderFields, StudyFields


def test_a_piece_alone_is_a_complete_order() -> None:
    order = Order.read({"piece": "x", "seed": 4})
    assert order.request == Request(seed=4, sampling=STYLES["balanced"], form=FORM_OF_PIECE)
    assert (order.piece, order.study) == ("x", True)


CONTINUED: dict[str, Any] = {
    "piece": "x",
    "length": "8bars",
    "variations": 2,
    "best_of": 3,
    "seed": 9,
    "cut_bar": 4,
    "instruments": [-1, 0],
    "key": "D minor",
    "metre": "3/4",
    "rounds": 2,
    "chords": "Dm | A7",
    "form": "A",
    "density": 1,
    "polyphony": -1,
    "register": 2,
    "dynamics": -2,
    "ending": True,
}
RECOMPOSED: dict[str, Any] = {"piece": "x", "cut_bar": 4, "until_bar": 8, "tracks": [1]}
LOCKED: dict[str, Any] = {"piece": "x", "cut_bar": 4, "until_bar": 8, "locked": [[1, 60, 0]]}


@pytest.mark.parametrize("sent", [CONTINUED, RECOMPOSED, LOCKED], ids=["continued", "recomposed", "locked"])
def test_each_field_reaches_the_request(sent: dict[str, Any]) -> None:
    request = Order.read(sent).request
    for name, value in sent.items():
        if name != "piece":
            assert getattr(request, {"instruments": "programs"}.get(name, name)) == value, name


def test_parts_are_read_field_by_field_and_no_field_is_forgotten_here() -> None:
    parts = [{"track": 1, "role": "lock"}, {"program": 40}]
    request = Order.read({"piece": "x", "cut_bar": 4, "until_bar": 8, "parts": parts}).request
    assert request.parts == [PartRequest(track=1, role="lock"), PartRequest(program=40)]
    tested = {*CONTINUED, *RECOMPOSED, *LOCKED, "parts", "style", "sampling", "tempo", "study"}
    assert {each.name for each in fields(OrderFields)} == tested


def test_an_order_from_nothing_has_no_cut_and_no_tracks() -> None:
    request = Order.read({"cut_bar": 4, "until_bar": 8, "tracks": [1]}).request
    assert (request.cut_bar, request.until_bar, request.tracks) == (None, None, [])


def test_a_missing_seed_is_drawn() -> None:
    seeds = {Order.read({}).request.seed for _ in range(20)}
    assert len(seeds) > 10


def test_a_style_with_the_visitors_own_numbers_in_it() -> None:
    sampling = Order.read({"style": "calm", "sampling": {"temperature": 1.3}}).request.sampling
    assert sampling.temperature == 1.3
    assert sampling.top_p == STYLES["calm"].top_p


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"volume": 11}, "The setting 'volume' is not one of "),
        (
            {"length": "300bars"},
            "A length of 300bars is more than this page composes at once; ask for at most 256 bars",
        ),
        ({"length": "601s"}, "A length of 601s is more than this page composes at once"),
        ({"cut_bar": 0, "until_bar": 257}, "257 bars are more than this page composes at once; ask for at most 256."),
        ({"sampling": {"heat": 1}}, "sampling has no setting 'heat'; it has temperature, "),
        ({"sampling": {"top_k": 2.5}}, "sampling.top_k (2.5) must be a whole number"),
        ({"sampling": {"repetition_window": "x"}}, "sampling.repetition_window ('x') must be a number"),
        ({"style": ["calm"]}, "style (['calm']) must be text"),
        ({"piece": 5}, "piece (5) must be text"),
        ({"parts": [{"track": 1, "mood": "sad"}]}, "The setting 'mood' is not one of "),
        ({"parts": ["x"]}, "parts ('x') must be a mapping"),
        ("x", "The order must be a JSON object"),
    ],
    ids=repr,
)
def test_invalid_fields_are_refused_in_one_sentence(sent: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}"):
        Order.read(sent)


def test_each_key_is_one_that_can_be_composed_in() -> None:
    assert len({str(Key.parse(key)) for key in KEYS}) == len(KEYS) == 24


def test_the_bars_to_compose_are_not_studied() -> None:
    assert StudyFields(piece="x", cut_bar=3).bars == ("x", 3, None)
    request = StudyFields(piece="x", cut_bar=3, until_bar=5).request()
    assert (request.cut_bar, request.until_bar, request.study) == (3, 5, STUDY_STEPS)
