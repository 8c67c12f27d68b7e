"""The runner writes files, with figures on their new music."""

from __future__ import annotations

import json
import math
from pathlib import Path

import mido
import numpy as np
import pytest
import symusic

from helpers.batches import config, contents
from helpers.midi_bytes import event, midi, scale
from helpers.playing import played
from helpers.small_store import write_store
from helpers.stand_in_model import full_score
from music_reformer.batch.generate import FailedPromptsError, generate
from music_reformer.data.store import VERSION, TokenStore
from music_reformer.evaluation.copies import TrainingSet
from music_reformer.evaluation.musical import pitch_range
from music_reformer.evaluation.notes import Notes
from music_reformer.generation.generator import Generator
from music_reformer.generation.session import Session
from music_reformer.midi.score import metres, read_score


def test_text_of_the_prompt_survives(weights: Path, tmp_path: Path) -> None:
    full_score(bars=2).dump_midi(tmp_path / "a.mid")
    file = mido.MidiFile(tmp_path / "a.mid")
    file.tracks[0].insert(0, mido.MetaMessage("text", text="for Clara"))
    file.save(tmp_path / "a.mid")
    (written,) = generate(config(weights, tmp_path / "a.mid", tmp_path / "out", variations=1), progress=False)
    assert any(message.type == "text" and message.text == "for Clara" for message in mido.MidiFile(written).tracks[0])
    assert json.loads((tmp_path / "out" / "manifest.jsonl").read_text())["lossy"] is False


def test_the_model_hears_a_note_that_never_ends_only_to_the_cut(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.mid").write_bytes(midi(event(0, 0x90, 40, 80) + scale() + scale() + scale()))
    heard = []
    start = Generator.start
    monkeypatch.setattr(Generator, "start", lambda *args: heard.append(start(*args)) or heard[-1])
    settings = config(weights, tmp_path / "a.mid", tmp_path / "out", variations=1, cut_bar=1, length="1bars")
    (written,) = generate(settings, progress=False)
    for score in (heard[0].prompt.score, read_score(written)):
        assert next(note.end for note in score.tracks[0].notes if note.pitch == 40 and note.time == 0) == 4 * 480


def test_the_manifest_judges_what_was_composed(weights: Path, prompts: Path, tmp_path: Path) -> None:
    # The training set is the prompt itself: a search through the whole file would find all of it.
    score = full_score(bars=8)
    store = write_store(tmp_path / "store", num_pieces=1, num_validation=0)
    tokens = np.array([1, *store.tokenizer.encode(score), 2], dtype=np.uint16)
    (tmp_path / "store" / "tokens.bin").write_bytes(tokens.tobytes())
    piece = json.loads((tmp_path / "store" / "index.jsonl").read_text())
    (tmp_path / "store" / "index.jsonl").write_text(json.dumps({**piece, "length": len(tokens)}) + "\n")
    (tmp_path / "store" / "store.json").write_text(json.dumps({"version": VERSION, "num_tokens": len(tokens)}))
    score.dump_midi(prompts / "b.mid")
    out = tmp_path / "out"
    data = str(tmp_path / "store")
    paths = generate(config(weights, prompts / "b.mid", out, data=data, length="4bars"), progress=False)
    for path, line in zip(paths, (out / "manifest.jsonl").read_text().splitlines(), strict=True):
        entry = json.loads(line, parse_constant=lambda name: pytest.fail(name))
        notes = Notes.of(symusic.Score(path))
        new = notes.between(entry["new_from_second"], math.inf)
        assert entry["new_notes"] == len(new) > 0
        assert entry["statistics"]["pitch_range"] == pitch_range(new)
        assert entry["compose_seconds"] > 0
        assert 1 <= entry["originality"]["all_notes"]["notes"] < 20
        whole = TrainingSet.of(TokenStore.open(data)).copies(notes)["all_notes"]
        assert whole["notes"] > 20  # which the prompt is, and which is no news
        assert whole["source"] == "0.mid"


@pytest.mark.parametrize(("rows", "workers"), [(3, 1), (5, 1), (64, 2)])
def test_files_do_not_depend_on_rows_and_workers(
    weights: Path, prompts: Path, tmp_path: Path, rows: int, workers: int
) -> None:
    """Rounding depends on the rows, so files may differ in principle, with a probability of about 1e-5 here."""
    (prompts / "aa.mid").write_bytes(b"MThd and then nonsense")
    one, together = tmp_path / "one", tmp_path / "together"
    for out, settings in ((one, {}), (together, {"rows": rows, "workers": workers})):
        with pytest.raises(FailedPromptsError, match="1 of 4 prompts"):
            generate(config(weights, prompts, out, seeds=[1, 2], length="3bars", **settings), progress=False)
    ours, theirs = contents(together), contents(one)
    manifests = [found.pop("manifest.jsonl") for found in (ours, theirs)]
    assert ours == theirs
    assert len(ours) == 12
    files = [sorted(json.loads(line).get("file", "") for line in text.splitlines()) for text in manifests]
    assert files[0] == files[1]
    generate_again = config(weights, prompts / "b.mid", together, rows=rows, seeds=[1, 2], length="3bars")
    before = (together / "b_seed1_1.mid").stat().st_mtime_ns
    generate(generate_again, progress=False)
    assert (together / "b_seed1_1.mid").stat().st_mtime_ns == before


def test_bugs_are_not_reported_as_bad_prompts(
    weights: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Session, logits_BV: np.ndarray, lengths: list[int]) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr(Session, "take_turn", broken)
    with pytest.raises(RuntimeError, match="defect"):
        generate(config(weights, prompts, tmp_path / "out"), progress=False)


@pytest.mark.parametrize("rows", [pytest.param(0, marks=pytest.mark.slow), 8])
def test_each_prompt_is_studied_once_for_all_its_seeds(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, rows: int
) -> None:
    for name in ("a.mid", "b.mid"):
        full_score(bars=40).dump_midi(tmp_path / name)
    studied = []
    study = Generator.study
    monkeypatch.setattr(Generator, "study", lambda *args: studied.append(study(*args)) or studied[-1])
    common = {"variations": 1, "seeds": [1, 2], "length": "2bars", "rows": rows}
    taught = generate(config(weights, tmp_path, tmp_path / "out" / "taught", study=4, **common), progress=False)
    assert len(studied) == 2
    assert all(each.lesson.changes for each in studied)
    plain = generate(config(weights, tmp_path / "a.mid", tmp_path / "out" / "plain", **common), progress=False)
    assert taught[0].read_bytes() != plain[0].read_bytes()
    assert taught[0].read_bytes() == taught[2].read_bytes()  # the same piece, studied twice


def test_best_of_writes_the_closest(weights: Path, tmp_path: Path) -> None:
    full_score(bars=12).dump_midi(tmp_path / "a.mid")
    common = {"length": "2bars", "seed": 3}
    best = generate(
        config(weights, tmp_path / "a.mid", tmp_path / "best", variations=2, best_of=3, **common), progress=False
    )
    everything = generate(config(weights, tmp_path / "a.mid", tmp_path / "all", variations=6, **common), progress=False)
    assert [path.name for path in best] == ["a_1.mid", "a_2.mid"]
    assert {path.read_bytes() for path in best} < {path.read_bytes() for path in everything}


@pytest.mark.parametrize("finds", [True, False])
def test_a_played_prompt_gets_the_bars_of_its_music_unless_find_beats_is_off(
    weights: Path, tmp_path: Path, finds: bool
) -> None:
    played("waltz")[0].dump_midi(tmp_path / "take.mid")
    settings = config(weights, tmp_path / "take.mid", tmp_path / "out", variations=1, find_beats=finds, cut_bar=4)
    (written,) = generate(settings, progress=False)
    score = read_score(written)
    assert metres(score) == [(0, 3 if finds else 4, 4)]
    assert (len(score.tempos) > 4) is finds
