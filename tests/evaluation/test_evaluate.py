"""`music-reformer evaluate`: generated music against a store, the report, and resuming."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import symusic

from helpers.example_store import example, write_example_store
from music_reformer.config import EvaluateConfig, ModelConfig
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.evaluation import evaluate as verb
from music_reformer.evaluation.evaluate import evaluate
from music_reformer.evaluation.groups import excerpt_seconds, human_excerpts, read_generated
from music_reformer.evaluation.ngram import ngram_nats
from music_reformer.evaluation.originality import symbols
from music_reformer.midi.examples import EXAMPLES
from music_reformer.model.reformer import ReformerLM
from music_reformer.model.weights import save_weights


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return write_example_store(tmp_path_factory.mktemp("evaluate") / "store")


@pytest.fixture(scope="module")
def generated(store: TokenStore) -> Path:
    """A copy of a training piece in another key after a prompt of other music, two pieces of noise, no MIDI."""
    folder = store.path.parent / "generated"
    folder.mkdir()
    copied = example(next(iter(EXAMPLES)), 1)
    bar = 4 * copied.ticks_per_quarter
    for track in copied.tracks:
        track.shift_time(4 * bar, inplace=True)
    prompt = example(list(EXAMPLES)[-1], 0)
    prompt_track = prompt.tracks[0]
    prompt_track.notes.filter(lambda note: note.end < 3 * bar, inplace=True)
    copied.tracks.append(prompt_track)
    copied.dump_midi(folder / "copied.mid")
    for seed in range(2):
        random = np.random.default_rng(seed)
        noise = symusic.Score(480)
        track = symusic.Track("", 0, False)
        for step in range(120):
            track.notes.append(symusic.Note(step * 120, 120, int(random.integers(30, 90)), 80))
        noise.tracks.append(track)
        noise.dump_midi(folder / f"noise{seed}.mid")
    (folder / "broken.mid").write_bytes(b"MThd and then nonsense")
    cut = float(copied.to("Second").tracks[0].notes[0].time)
    lines = [{"file": "copied.mid", "new_from_second": cut}, {"prompt": "x.mid", "error": "no music"}]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"file": "cut o')
    return folder


@pytest.fixture(scope="module")
def weights(store: TokenStore) -> Path:
    shape = {"width": 16, "num_layers": 2, "num_heads": 2, "head_width": 8, "feed_forward_width": 32}
    vocabulary = store.tokenizer.vocab_size
    model = ReformerLM(ModelConfig(vocab_size=vocabulary, window=4, num_buckets=[4], axial_shape=[64, 64], **shape))
    folder = store.path.parent / "weights"
    save_weights(folder, model.eval(), store.tokenizer.to_json(), {})
    return folder


@pytest.fixture
def config(store: TokenStore, weights: Path, generated: Path, tmp_path: Path) -> EvaluateConfig:
    return EvaluateConfig(
        checkpoint=str(weights),
        data=str(store.path),
        generated=str(generated),
        contexts=[8, 64],
        output=str(tmp_path / "report"),
        device="cpu",
    )


def test_evaluate_writes_a_report_and_json(
    config: EvaluateConfig, store: TokenStore, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = evaluate(replace(config, ngram=3, ngram_keys=5))
    output = Path(str(config.output))
    assert sorted(path.name for path in output.iterdir()) == ["figures.json", "report.html"]
    assert json.loads((output / "figures.json").read_text(), parse_constant=lambda name: pytest.fail(name)) == figures
    html = (output / "report.html").read_text()
    assert f"{figures['nats_per_token']['value']:.3f}" in html
    assert html.count("<svg") == 4 + len(figures["generated"]["overlap"]) + 1 + 2
    assert not re.findall(r'(?:src|href)="(?!#)', html), "nothing may be loaded from outside"
    assert "url(http" not in html
    shown = capsys.readouterr().out
    assert "bits per note" in shown
    assert "Scale consistency" in shown
    assert figures["ngram"]["order"] == 3
    # The training pieces are the examples in three keys; in five keys each, all of them are counted more than once.
    training = [
        np.array([1, *store.tokenizer.encode(example(name, semitones + shift)), 2])
        for name in list(EXAMPLES)[:-1]
        for semitones in (-2, 0, 3)
        for shift in range(-2, 3)
    ]
    scored = [store.tokens(piece) for piece in store.split("validation")]
    size, weight = store.tokenizer.vocab_size, figures["ngram"]["weight"]
    nats = ngram_nats(training, scored, order=3, vocab_size=size, weight=weight)
    assert figures["ngram"]["nats_per_token"]["value"] == pytest.approx(np.concatenate(nats).mean(), rel=1e-3)
    assert "an interpolated 3-gram" in html
    rows = figures["by_context"]
    assert [row["context"] for row in rows] == [8, 64, 0]
    assert rows[-1]["nats_per_token"] == figures["nats_per_token"]  # all three pieces were scored so


def test_a_copy_is_found_and_a_prompt_is_not_judged(config: EvaluateConfig, store: TokenStore) -> None:
    found = evaluate(replace(config, checkpoint=None))["generated"]
    assert [sentence.split(" ")[0].rsplit("/")[-1] for sentence in found["refused"]] == ["broken.mid"]
    first = found["originality"]["all_notes"]["longest"][0]
    assert first["file"] == "copied.mid"
    assert first["source"].startswith(next(iter(EXAMPLES)))
    # All of the excerpt; had the prompt been judged with it, it would not be.
    piece = next(piece for piece in read_generated(str(config.generated))[0] if piece.name == "copied.mid")
    excerpt = piece.notes.between(piece.begin_s, piece.begin_s + found["excerpt_seconds"])
    assert first["notes"] == len(symbols(excerpt, steps_per_beat=8)) + 1
    assert found["originality"]["all_notes"]["generated"]["beyond"] == 1
    # The noise is what it is.
    assert max(found["groups"]["generated"]["values"]["pitch_class_entropy"]) > 3.4
    assert found["overlap"]["scale_consistency"]["generated"] < 1


@pytest.mark.parametrize(("rounds", "num_waiting"), [(0, 2), (1, 3)], ids=["the same", "other rounds"])
def test_a_stopped_evaluation_resumes(
    config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch, rounds: int, num_waiting: int
) -> None:
    config = replace(config, generated=None, context_pieces=0)
    expected = evaluate(replace(config, output=None, rounds=rounds))
    score = verb.piece_losses

    def dying(*arguments: Any, **settings: Any) -> Any:
        yield next(score(*arguments, **settings))
        raise KeyboardInterrupt

    waiting = []

    def watched(model: Any, store: Any, pieces: Any, **settings: Any) -> Any:
        waiting.append(len(pieces))
        yield from score(model, store, pieces, **settings)

    monkeypatch.setattr(verb, "piece_losses", dying)
    with pytest.raises(KeyboardInterrupt):
        evaluate(config)
    assert [path.name for path in Path(str(config.output)).iterdir()] == ["partial"]
    monkeypatch.setattr(verb, "piece_losses", watched)
    figures = evaluate(replace(config, rounds=rounds))
    assert waiting == [num_waiting]
    assert figures["nats_per_token"]["value"] == pytest.approx(expected["nats_per_token"]["value"], rel=1e-5)
    assert len(figures["by_piece"]) == 3


def test_human_excerpts_are_at_most_as_long_as_requested(store: TokenStore) -> None:
    for excerpt in human_excerpts(store, "train", num_pieces=100, begin_s=1e6, seconds=5.0):
        assert len(excerpt.notes)
        assert excerpt.notes.last_s - excerpt.notes.first_s <= 5.0 + 1e-6
    assert len(list(human_excerpts(store, "train", num_pieces=2, begin_s=0, seconds=5.0))) == 2


def test_excerpts_are_no_longer_than_most_generated_pieces(generated: Path) -> None:
    pieces, _ = read_generated(generated)
    lengths = sorted(piece.seconds for piece in pieces)
    assert excerpt_seconds(pieces, 1000.0) == lengths[0]
    assert excerpt_seconds(pieces, 3.0) == 3.0
    cut_short = replace(pieces[0], notes=pieces[0].notes.between(0, pieces[0].begin_s + 1))
    assert cut_short.seconds <= 1
    assert excerpt_seconds([*pieces, *pieces, cut_short], 1000.0) == lengths[0]


def test_mistakes_leave_nothing_behind(config: EvaluateConfig, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "file").write_text("in the way")
    for change, text in (
        ({"generated": str(tmp_path / "nowhere")}, "is not a folder"),
        ({"generated": str(empty)}, "holds no MIDI file that can be used"),
        ({"output": str(tmp_path / "file")}, "is a file"),
        ({"split": "test"}, "the test split of .* is empty"),
        ({"split": "train"}, "is where copies are searched for"),
        ({"split": "test", "checkpoint": None}, "the test split of .* is empty"),
    ):
        with pytest.raises(UserError, match=text):
            evaluate(replace(config, **change))
        assert not (tmp_path / "report").exists()
    for change, text in (
        ({"checkpoint": None, "generated": None}, "nothing to do"),
        ({"contexts": [7]}, r"contexts \(7\) must be even"),
        ({"human_pieces": 1}, "human_pieces"),
        ({"ngram": -1}, "ngram"),
        ({"ngram_keys": 2}, r"ngram_keys \(2\) must be odd"),
        ({"excerpt_seconds": 0.0}, "excerpt_seconds"),
    ):
        with pytest.raises(UserError, match=text):
            replace(config, **change)


def test_a_selection_of_pieces_covers_all_corpora(tmp_path: Path) -> None:
    from helpers.small_store import write_store
    from music_reformer.evaluation.evaluate import _some

    corpora = ("a", "b", "b", "b", "b", "c")
    pieces = write_store(tmp_path, num_pieces=30, num_validation=24, corpora=corpora).split("validation")[:]
    assert _some(pieces, 0) == pieces
    few = _some(pieces, 6)
    assert [piece.corpus for piece in few] == ["a", "b", "b", "c", "a", "c"]
    assert few == [pieces[i] for i in (0, 1, 2, 5, 6, 11)]
    alone = [piece for piece in pieces if piece.corpus == "b"]
    assert _some(alone, 3) == alone[:3]
