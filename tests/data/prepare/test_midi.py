"""Preparation: the same bytes for any number of workers, kills and resumptions; unusable files are listed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import symusic

from helpers.scores import random_score
from music_reformer.config import CorpusConfig, PrepareConfig, QualityConfig, TokenizerConfig
from music_reformer.data.prepare import assemble
from music_reformer.data.prepare import midi as module
from music_reformer.data.prepare.command import prepare
from music_reformer.data.prepare.journal import ResultJournal
from music_reformer.data.store import TokenStore
from music_reformer.errors import UserError
from music_reformer.files import write_atomically
from music_reformer.midi.score import clean_score, read_score, write_score

pytestmark = pytest.mark.timeout(1200)  # worker processes start slowly on a busy machine

NUM_GOOD = 14
# For processes of their own.
IMPORT_CONFIG = (
    "from music_reformer.config import CorpusConfig, MixtureConfig, PrepareConfig, QualityConfig, TokenizerConfig"
)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
STORE_FILES = {
    *("tokens.bin", "index.jsonl", "skipped.jsonl", "near_duplicates.jsonl"),
    *("store.json", "tokenizer.json", "report.html"),
}


@pytest.fixture(scope="module")
def midi_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good files, a copy of one under other ticks, tempo and track order, and files that cannot be used."""
    folder = tmp_path_factory.mktemp("midi")
    for seed in range(NUM_GOOD):
        write_score(random_score(seed, num_notes=60), folder / f"album {seed % 3}" / f"{seed:02d}.mid")
    copy = random_score(0, num_notes=60).resample(960)
    copy.tempos = [symusic.Tempo(0, qpm=77)]
    copy.tracks = list(reversed(copy.tracks))
    write_score(copy, folder / "zz copy.mid")
    write_score(random_score(50, programs=()), folder / "drums.mid")
    write_score(random_score(51, num_notes=1, drums=False), folder / "one note.mid")
    siren = random_score(52, num_notes=20, drums=False)
    for track in siren.tracks:
        track.notes = [symusic.Note(note.time, note.duration, 60, 90) for note in track.notes]
    write_score(siren, folder / "siren.mid")
    hurry = random_score(53, num_notes=40)
    hurry.tempos = [symusic.Tempo(0, qpm=2000)]
    write_score(hurry, folder / "hurry.mid")
    silent = random_score(54)
    silent.tracks = []
    write_score(silent, folder / "silent.mid")
    (folder / "broken.mid").write_bytes((folder / "album 0" / "00.mid").read_bytes()[:-30])
    (folder / "empty.mid").write_bytes(b"")
    (folder / "text.mid").write_text("this is no music")
    (folder / "notes.txt").write_text("not even called MIDI")
    return folder


def config_for(midi: Path, output: Path, **changes: object) -> PrepareConfig:
    return replace(PrepareConfig(output=str(output), corpus=CorpusConfig(path=str(midi)), workers=1), **changes)


@pytest.fixture(scope="module")
def finished(midi_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    return prepare(config_for(midi_folder, tmp_path_factory.mktemp("out") / "store"), progress=False)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_store_holds_what_the_tokenizer_says(midi_folder: Path, finished: TokenStore) -> None:
    assert set(content(finished.path)) == STORE_FILES
    assert [piece.source for piece in finished.pieces] == sorted(
        path.relative_to(midi_folder).as_posix() for path in midi_folder.glob("album*/*.mid")
    )
    tokenizer = finished.tokenizer
    for piece in finished.pieces:
        score = clean_score(read_score(midi_folder / piece.source))
        first, *body, last = finished.tokens(piece).tolist()
        assert (first, last) == (tokenizer.bos_id, tokenizer.eos_id)
        assert np.array_equal(body, tokenizer.encode(score))
        assert piece.num_notes == score.note_num()
        assert piece.seconds == pytest.approx(score.to("Second").end(), abs=2e-3)
    assert finished.pieces[-1].offset + finished.pieces[-1].length == finished.info["num_tokens"]


def test_every_skipped_file_is_told_with_its_reason(finished: TokenStore) -> None:
    lines = (finished.path / "skipped.jsonl").read_text().splitlines()
    skipped = {entry["source"]: (entry["kind"], entry["reason"]) for entry in map(json.loads, lines)}
    assert len(skipped) == finished.info["num_skipped"]
    expected = {
        "broken.mid": ("unreadable", "cut short"),
        "drums.mid": ("drums only", "has no instruments but drums"),
        "empty.mid": ("no notes", "is empty"),
        "hurry.mid": ("absurd tempo", r"has a mean of 2000\.0 bpm, not 10 to 480"),
        "one note.mid": ("few notes", "has 1 notes, fewer than 8"),
        "silent.mid": ("no notes", "holds no notes"),
        "siren.mid": ("one pitch", "has 1 pitches, fewer than 2"),
        "text.mid": ("unreadable", "not a MIDI file"),
        "zz copy.mid": ("duplicate", r"the same notes as album 0/00\.mid"),
    }
    assert list(skipped) == list(expected)
    for source, (kind, reason) in expected.items():
        assert skipped[source][0] == kind
        assert re.search(reason, skipped[source][1])
    assert finished.info["skipped"] == Counter(kind for kind, _ in expected.values())


def test_bounds_of_quality_are_settings(midi_folder: Path, tmp_path: Path) -> None:
    quality = QualityConfig(min_notes=1, min_pitches=1, drums_only=True, max_bpm=3000)
    store = prepare(config_for(midi_folder, tmp_path / "store", quality=quality), progress=False)
    assert len(store.pieces) == NUM_GOOD + 4
    with pytest.raises(UserError, match=r"quality\.min_bpm \(600\) must be at least 0 and below"):
        QualityConfig(min_bpm=600)


def test_a_killed_preparation_resumes_to_the_same_bytes(
    midi_folder: Path, finished: TokenStore, tmp_path: Path
) -> None:
    """A real process is killed after its first results, and then finished with two workers."""
    output = tmp_path / "store"
    config = config_for(midi_folder, output)
    tokens = output / "partial" / "tokens.bin"
    done = 0
    for _ in range(2):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"{IMPORT_CONFIG}\nfrom music_reformer.data.prepare.command import prepare\n"
                f"prepare({config!r}, progress=False)",
            ],
            env=ENVIRONMENT,
        )
        try:
            while process.poll() is None and _size(tokens) <= done:
                time.sleep(0.002)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if (output / "store.json").exists():
            break  # too quick for us this time
        done = _size(tokens)
        assert done > 0
    # What a machine that fails while writing leaves: tokens that no row tells of.
    if not (output / "store.json").exists():
        with open(tokens, "ab") as file:
            file.write(b"\x01\x02\x03")
    prepare(replace(config, workers=2), progress=False)
    assert content(output) == content(finished.path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_workers_end_with_a_killed_parent(midi_folder: Path, tmp_path: Path) -> None:
    code = (
        f"{IMPORT_CONFIG}\nfrom music_reformer.data.prepare.encoders import Encoders\n"
        "from helpers.bad_workers import worker_id\n"
        f"encoders = Encoders({config_for(midi_folder, tmp_path)!r}, workers=2, encode=worker_id)\n"
        "results = encoders.results(map(str, range(100)))\n"
        "print(next(results)[1]['process'], flush=True)\ninput()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    os.kill(worker, 0)
    process.kill()
    process.wait()
    until = time.monotonic() + 60  # a busy machine takes its time
    while _alive(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_finished_store_is_left_alone(
    midi_folder: Path, finished: TokenStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(finished.path)
    monkeypatch.setattr(module, "encode_files", None)  # to be called would be an error
    prepare(config_for(midi_folder, finished.path, workers=2))
    assert "is already prepared; nothing to do" in capsys.readouterr().out
    assert content(finished.path) == before


def test_a_preparation_stopped_at_its_end_resumes_to_the_same_bytes(
    midi_folder: Path, finished: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some files of the store already have their final names, but `store.json`, which marks completion, is missing."""
    config = config_for(midi_folder, tmp_path / "store")

    def fail(path: Path, data: bytes) -> None:
        if path.name == "store.json":
            raise KeyboardInterrupt
        write_atomically(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(assemble, "write_atomically", fail)
        with pytest.raises(KeyboardInterrupt):
            prepare(config, progress=False)
    assert (tmp_path / "store" / "tokens.bin").is_file()
    with pytest.raises(UserError, match="is not finished; run the same"):
        TokenStore.open(tmp_path / "store")
    prepare(config, progress=False)
    assert content(tmp_path / "store") == content(finished.path)


def test_other_settings_are_refused_by_name(midi_folder: Path, finished: TokenStore, tmp_path: Path) -> None:
    before = content(finished.path)
    other = config_for(midi_folder, finished.path, tokenizer=TokenizerConfig(encoding="TSD"))
    with pytest.raises(UserError, match=r"prepared with a different tokenizer\.encoding; choose another output"):
        prepare(other, progress=False)
    assert content(finished.path) == before
    unfinished = tmp_path / "store"
    module._claim(unfinished, unfinished / "partial", module._settings(other))
    with pytest.raises(UserError, match=r"unfinished run with a different tokenizer\.encoding"):
        prepare(config_for(midi_folder, unfinished), progress=False)


def test_two_runs_at_once_are_refused(midi_folder: Path, tmp_path: Path) -> None:
    config = config_for(midi_folder, tmp_path / "store")
    partial = tmp_path / "store" / "partial"
    module._claim(tmp_path / "store", partial, module._settings(config))
    first = ResultJournal(partial)
    with pytest.raises(UserError, match="another run is writing"):
        prepare(config, progress=False)
    first.close()
    assert len(prepare(config, progress=False).pieces) == NUM_GOOD


def test_a_folder_of_something_else_is_refused(midi_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="holds files that are not a token store"):
        prepare(config_for(midi_folder, tmp_path), progress=False)
    with pytest.raises(UserError, match="is a file"):
        prepare(config_for(midi_folder, tmp_path / "thesis.txt"), progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_corpus_that_cannot_be_prepared_leaves_no_output(tmp_path: Path) -> None:
    (tmp_path / "midi").mkdir()
    config = config_for(tmp_path / "midi", tmp_path / "store")
    with pytest.raises(UserError, match="holds no music files"):
        prepare(config, progress=False)
    (tmp_path / "midi" / "bad.mid").write_text("no music")
    with pytest.raises(UserError, match=r"none of the 1 files .* used; most frequent reason: it is not a MIDI file"):
        prepare(config, progress=False)
    assert not (tmp_path / "store").exists()
