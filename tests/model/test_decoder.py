"""Cached decoding gives the numbers of the parallel pass, with any rows side by side and on any device."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from helpers.small_models import build, tokens
from helpers.small_models import decoder as build_decoder
from music_reformer.errors import UserError
from music_reformer.model import decoder as decoder_module
from music_reformer.model.decoder import Decoder

KINDS = [["lsh"], ["local"], ["full"], ["local", "lsh"]]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("attention", KINDS)
def test_decoding_step_by_step_is_the_parallel_pass(attention: list[str], compiled: bool) -> None:
    decoder = build_decoder(compiled=compiled, attention=attention)
    x = tokens(2, 2060)
    with torch.inference_mode():
        parallel = decoder.model(x)
        logits, state = decoder.prefill(x[:, :40])
        torch.testing.assert_close(logits, parallel[:, 39], atol=1e-4, rtol=0)
        for i in range(40, 2060):
            logits = decoder.step(x[:, i], state)
            torch.testing.assert_close(logits, parallel[:, i], atol=1e-4, rtol=0)


@pytest.mark.parametrize("compiled", [False, True])
def test_decode_state_can_be_expanded_and_narrowed(compiled: bool) -> None:
    decoder = build_decoder(compiled=compiled, attention=["local", "lsh", "full"], num_layers=3)
    x = tokens(1, 90)
    tails = tokens(3, 30)
    with torch.inference_mode():
        expected = decoder.model(torch.cat([x.expand(3, -1), tails], dim=1))[:, 90:]
        _, state = decoder.prefill(x)
        state = state.expand(3)
        for i in range(10):
            torch.testing.assert_close(decoder.step(tails[:, i], state), expected[:, i], atol=1e-4, rtol=0)
        rows = [2, 0]
        copy = state.select(rows)
        state.keep(rows)
        for i in range(10, 30):
            for either in (state, copy):
                torch.testing.assert_close(decoder.step(tails[rows, i], either), expected[rows, i], atol=1e-4, rtol=0)


@pytest.mark.parametrize("compiled", [False, True])
def test_rows_at_different_positions_decode_together(compiled: bool) -> None:
    """Two prompts of different lengths join, take steps together, separate and continue, as if each were alone."""
    decoder = build_decoder(compiled=compiled, attention=["local", "lsh", "full"], num_layers=3)
    prompts, tails = [tokens(1, 5), tokens(2, 70)], tokens(3, 30)
    with torch.inference_mode():
        rows = [torch.cat([row, tail]) for row, tail in zip([*prompts[0], *prompts[1]], tails, strict=True)]
        expected = [decoder.model(row.unsqueeze(0))[0] for row in rows]
        _, state = decoder.prefill(prompts[0])
        state.admit(decoder.prefill(prompts[1])[1])
        assert state.lengths == [5, 70, 70]
        for i in range(20):
            logits = decoder.step(tails[:, i], state)
            for row, start in enumerate((5, 70, 70)):
                torch.testing.assert_close(logits[row], expected[row][start + i], atol=1e-4, rtol=0)
        first = state.select([0])
        state.keep([1])
        state.admit(first)  # Into a slot that was left.
        for i in range(20, 30):
            logits = decoder.step(tails[[1, 0], i], state)
            torch.testing.assert_close(logits[0], expected[1][70 + i], atol=1e-4, rtol=0)
            torch.testing.assert_close(logits[1], expected[0][5 + i], atol=1e-4, rtol=0)


def test_a_sequence_longer_than_the_positions_is_refused() -> None:
    decoder = build_decoder(axial_shape=[4, 8])
    with pytest.raises(UserError, match="longer than this model's 32 positions"):
        decoder.prefill(tokens(1, 33))
    _, state = decoder.prefill(tokens(1, 32))
    with pytest.raises(UserError, match="longer than this model's 32 positions"):
        decoder.step(tokens(1), state)


@pytest.mark.parametrize("compiled", [False, True])
def test_rounds_of_a_prompt_hold_for_its_steps_and_change_nothing_else(compiled: bool) -> None:
    decoder = build_decoder(compiled=compiled, num_rounds=2, max_rounds=4)
    x = tokens(1, 80)
    with torch.inference_mode():
        two = decoder.model(x)
        decoder.model.num_rounds = 4
        four = decoder.model(x)
        decoder.model.num_rounds = 2
    logits, state = decoder.prefill(x[:, :60], num_rounds=4)
    torch.testing.assert_close(logits, four[:, 59], atol=1e-4, rtol=0)
    assert decoder.model.num_rounds == 2
    for i in range(60, 80):
        torch.testing.assert_close(decoder.step(x[:, i], state), four[:, i], atol=1e-4, rtol=0)
    torch.testing.assert_close(decoder.prefill(x)[0], two[:, -1], atol=1e-4, rtol=0)
    with pytest.raises(UserError, match=r"rounds \(5\) must be 1 to 4"):
        decoder.prefill(x, num_rounds=5)


def test_the_first_step_waits_until_steps_are_compiled() -> None:
    model = build()
    plain, compiled = Decoder(model), Decoder(model, compile_step=True)
    preparing = threading.Thread(target=compiled.prepare)
    preparing.start()
    x = tokens(1, 20)
    (_, state), (_, same) = plain.prefill(x), compiled.prefill(x)
    torch.testing.assert_close(compiled.step(x[:, 0], same), plain.step(x[:, 0], state), atol=1e-4, rtol=0)
    assert compiled.steps_are_compiled
    preparing.join()


def test_steps_are_compiled_where_they_run_on_the_cpu() -> None:
    assert Decoder.on_device(build(), "cpu").steps_are_compiled
    assert Decoder.on_device(build(), "cpu", rows=64).steps_are_compiled


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_takes_the_steps_of_many_rows() -> None:
    few, many = (Decoder.on_device(build(), "auto", rows=rows) for rows in (4, 16))
    assert (few.device.type, few.steps_are_compiled) == ("cuda", True)
    assert (many.device.type, many.steps_are_compiled) == ("cuda", False)


def test_a_missing_device_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"device \('nonsense'\) cannot be used here .*; try cpu"):
        Decoder.on_device(build(), "nonsense")


def test_only_float32_models_use_the_compiled_step() -> None:
    assert not Decoder(build().double(), compile_step=True).steps_are_compiled


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_reads_the_prompt_and_the_cpu_takes_the_steps() -> None:
    plain = Decoder(build(attention=["local", "lsh", "full"], num_layers=3).cuda())
    compiled = Decoder(plain.model, compile_step=True)
    prompt = tokens(1, 60)
    logits, state = plain.prefill(prompt)
    same_logits, same = compiled.prefill(prompt)
    assert torch.equal(same_logits, logits)
    assert (state.device.type, same.device.type) == ("cuda", "cpu")
    for x in tokens(20, 1):
        expected = plain.step(x, state).cpu()
        torch.testing.assert_close(compiled.step(x, same), expected, atol=1e-4, rtol=1e-4)


def test_a_state_continues_on_another_device() -> None:
    decoder = build_decoder(attention=["local", "lsh", "full"], num_layers=3)
    _, state = decoder.prefill(tokens(2, 20))
    x, moved = tokens(2), state.to(torch.device("cpu"))
    with torch.inference_mode():
        copy = moved.select([0, 1])
    assert torch.equal(decoder.step(x, copy), decoder.step(x, state))


def test_a_long_wait_is_explained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Compiling the decoding step takes ten seconds at the first use only."""
    monkeypatch.setattr(decoder_module, "SLOW_SECONDS", 0.05)
    for wait, text in ((0.0, ""), (0.3, "compiling ...\n")):
        with decoder_module._said_if_slow("compiling ..."):
            time.sleep(wait)
        time.sleep(0.1)
        assert capsys.readouterr().err == text
