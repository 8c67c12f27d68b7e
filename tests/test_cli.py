from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import symusic
import yaml

from helpers.commands import REQUIRED
from helpers.small_store import write_store
from music_reformer.cli import VERBS, compose_config, main, setting_types
from music_reformer.errors import UserError

# A model small enough to train in a second.
TINY = [
    *("model.width=16", "model.num_layers=2", "model.num_heads=2", "model.head_width=8"),
    *("model.feed_forward_width=32", "model.window=4", "model.num_buckets=[4]", "model.axial_shape=[256,128]"),
    *("trainer.max_steps=2", "trainer.row_tokens=256", "trainer.log_every=1", "trainer.accelerator=cpu"),
]


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: paths are relative to where a command is typed."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The single line that a failing command prints to stderr; checks exit code 2 and an empty stdout."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("music-reformer: ")
    assert shown.err.count("\n") == 1
    return shown.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compose"], ["unknown verb 'compose'", "prepare, train, finetune, evaluate, passages, average"]),
        (["train"], ["train needs data", "data=..."]),
        (["prepare"], ["corpus.path"]),
        (["prepare", "corpus.path=x"], ["prepare needs output", "output=..."]),
        (["prepare", "corpus.path=x", "output=y", "engine=spark"], ["engine ('spark')", "local, ray"]),
        (["evaluate", "data=x"], ["evaluate needs checkpoint"]),
        (["train", "data=x", "trainer.max_step=3"], ["unknown setting trainer.max_step;", "mean trainer.max_steps?"]),
        (["train", "data=x", "colour=red"], ["unknown setting colour"]),
        (["train", "data=x", "trainer.max_steps=many"], ["trainer.max_steps", "many"]),
        (["train", "data=x", "trainer.max_steps=1.5"], ["trainer.max_steps", "1.5"]),
        (["train", "data=x", "seed=null"], ["seed"]),
        (["train", "data=x", "model.attention=local"], ["model.attention"]),
        (["train", "data=x", "model=huge"], ["model (huge) must be one of", "small", "tiny"]),
        (["train", "data=x", "trainer=3"], ["trainer (3) must be one of"]),
        (["train", "data=x", "+extra=1"], ["'+extra=1' is not understood"]),
        (["train", "data=x", "~model"], ["'~model' is not understood"]),
        (["train", "data"], ["'data' is not understood", "key=value"]),
        (["train", "data=x", "model.width=[1"], ["model.width"]),
        (["train", "data=x", "model.window=1"], ["model.window (1) must be 2 to 65,536"]),
        (["train", "data=no/such/store"], ["no/such/store", "prepare"]),
        (["evaluate", "checkpoint=no/such", "data=no/such"], ["no/such"]),
        (["generate", "checkpoint=no/such", "output=out"], ["no/such"]),
        (["generate", "output=out", "seeds=5"], ["seeds (5) must be a list: seeds=[5]"]),
        (["generate", "output=out", "prompts="], ["prompts is empty"]),
        (["generate", "output="], ["output is empty"]),
        (["generate", "output=out", "cut_bar=4", "until_bar=2"], ["until_bar (2) must be above cut_bar (4)"]),
        (
            ["prepare", "corpus.path=x", "output=y", "corpus.metre_aliases=1/4"],
            ["metre_aliases (1/4)", "mapping"],
        ),
        (["train", "data=x", "trainer.curriculum={0: many}"], ["trainer.curriculum", "many"]),
        (["finetune", "files=no/such", "output=out"], ["files (no/such)"]),
        (["learning-rate", "data=no/such"], ["no/such", "prepare"]),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str], in_empty_folder: Path
) -> None:
    shown = failure(capsys, *arguments)
    assert all(word in shown for word in words), shown
    assert not [path for path in in_empty_folder.rglob("*") if path.is_file()], "a mistake must leave nothing behind"


@pytest.mark.parametrize("path", ["a=b", "my music/x", "a,b", "O'Brien", "100%", "[1]", "{x}", "back\\slash", "(1)+#"])
def test_any_path_can_be_typed(path: str) -> None:
    assert compose_config("train", [f"data={path}"]).data == path


def test_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert compose_config("train", ["data=~/store"]).data == "/somewhere/store"


def test_typed_values_arrive() -> None:
    config = compose_config(
        "train", ["data=datasets/pop909", "model=tiny", "trainer.max_steps=200", "trainer.max_hours=0.5", "seed=7"]
    )
    assert (config.data, config.trainer.max_steps, config.trainer.max_hours) == ("datasets/pop909", 200, 0.5)
    assert (config.model.width, config.seed) == (128, 7)
    mixed = compose_config("train", ["data=x", "mixture.power=0.25", "mixture.weights={groove-midi: 2}"])
    assert (mixed.mixture.power, mixed.mixture.weights) == (0.25, {"groove-midi": 2.0})
    generate = compose_config("generate", ["output=out", "length=16bars", "variations=2", "sampling.top_p=0.9"])
    assert (generate.length, generate.variations, generate.sampling.top_p) == ("16bars", 2, 0.9)


def leaves(settings: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted key and value of every setting that `--show` prints; a mapping with keys of the user's is one setting."""
    for key, value in settings.items():
        if isinstance(value, dict) and prefix + key in GROUPS:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


GROUPS = {
    *("corpus", "corpus.mixture", "tokenizer", "quality"),
    *("mixture", "model", "optimizer", "augment", "trainer", "sampling", "request"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_setting_can_be_set_to_its_default(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    body = capsys.readouterr().out.partition("must be given):\n")[2]
    shown = yaml.safe_load(body)
    settings = dict(leaves(shown))
    assert len(settings) == len(setting_types(VERBS[verb].schema))
    overrides = [
        f"{key}={yaml.safe_dump(value, default_flow_style=True, width=999).splitlines()[0]}"
        for key, value in settings.items()
        if value != "???"
    ]
    assert yaml.safe_load(compose_config(verb, overrides, show=True)) == shown


@pytest.mark.parametrize("verb", VERBS)
def test_every_boolean_setting_can_be_inverted(verb: str) -> None:
    """`false` and `true` mean different things to Hydra, Python and a shell."""
    schema = VERBS[verb].schema
    before = dict(leaves(yaml.safe_load(compose_config(verb, [], show=True))))
    switches = [key for key, kind in setting_types(schema).items() if kind is bool]
    assert ("tokenizer.use_programs" in switches) == (verb == "prepare")
    turned = [f"{key}={str(not before[key]).lower()}" for key in switches]
    after = dict(leaves(yaml.safe_load(compose_config(verb, turned, show=True))))
    assert after == before | {key: not before[key] for key in switches}


def test_mappings_are_typed_as_yaml() -> None:
    def corpus(value: str) -> dict[str, str]:
        config = compose_config("prepare", ["corpus.path=in", "output=out", f"corpus.metre_aliases={value}"])
        return config.corpus.metre_aliases

    for typed in ("{'1/4': '4/4'}", "{1/4: 4/4}", "{1/4:4/4}", '{"1/4":"4/4"}'):
        assert corpus(typed) == {"1/4": "4/4"}
    assert corpus("{}") == {}
    config = compose_config("train", ["data=in", "trainer.curriculum={0:64,30:128}"])
    assert config.trainer.curriculum == {0: 64, 30: 128}
    named = compose_config("prepare", ["corpus.path=in", "output=out", "corpus.program_by_track={'Voice: 1': 52}"])
    assert named.corpus.program_by_track == {"Voice: 1": 52}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("verb", VERBS)
def test_a_signal_ends_every_verb_with_its_exit_code(
    verb: str, number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = []

    def work(*_: object, **__: object) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        finally:
            closed.append(True)

    monkeypatch.setattr(importlib.import_module(VERBS[verb].module), VERBS[verb].function, work)
    before = signal.getsignal(number)
    assert main([verb, *REQUIRED[verb]]) == code
    assert closed
    assert capsys.readouterr().err == "music-reformer: stopped\n"
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["sweep", "data=in", "seed=range(9)", "--show"]])
def test_a_closed_pipe_ends_a_command_silently(arguments: list[str], unbuffered: str) -> None:
    """For a short output, which fails on flushing, and for one longer than the buffer."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "music_reformer", *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_broken_pipe_inside_a_command_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe", "the pipe of a worker")

    monkeypatch.setattr(importlib.import_module(VERBS["train"].module), "train", work)
    assert main(["train", *REQUIRED["train"]]) == 2
    assert capsys.readouterr().err == "music-reformer: the pipe of a worker: Broken pipe\n"


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"music-reformer {verb}" in shown for verb in VERBS)
    for verb in VERBS:
        assert main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "model=base|small|tiny" in shown
    assert "learning_rate: 0.002" in shown
    assert main([]) == 2


def test_show_prints_the_settings_and_does_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", "--show", "data=x", "seed=77", f"output={tmp_path / 'run'}"]) == 0
    assert "seed: 77" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_train_then_evaluate(in_empty_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_store(in_empty_folder / "store", num_pieces=8)
    assert main(["train", "data=store", "output=run", *TINY]) == 0
    for checkpoint in ("run/weights", "run/checkpoints/last.ckpt"):
        assert main(["evaluate", f"checkpoint={checkpoint}", "data=store", "output=figures.json"]) == 0
        assert json.loads(Path("figures.json").read_text())["pieces"] == 4
    assert "nats per token" in capsys.readouterr().out
    assert "seed (1 before, 2 now)" in failure(capsys, "train", "data=store", "output=run", *TINY, "seed=2")


@pytest.mark.slow
def test_the_four_verbs_as_typed(tmp_path: Path, corpora: Path) -> None:
    """Real files, the installed entry point, another working directory."""
    songs = tmp_path / "songs"
    songs.mkdir()
    for source in sorted((corpora / "pop909").rglob("*.mid"))[:12]:
        (songs / source.name).write_bytes(source.read_bytes())
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "one.mid").write_bytes(next(iter(sorted(songs.iterdir()))).read_bytes())

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "music_reformer", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "OMP_NUM_THREADS": "1"}
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    run("prepare", "corpus=folder", "corpus.path=songs", "corpus.validation_fraction=0.3", "output=store", "workers=1")
    run("train", "data=store", "output=run", *TINY)
    assert "bits per note" in run("evaluate", "checkpoint=run/weights", "data=store", "max_pieces=1")
    run("generate", "checkpoint=run/weights", "prompts=prompts", "output=out", "variations=2", "length=1bars", "seed=1")
    made = sorted((tmp_path / "out").glob("*.mid"))
    assert len(made) == 2
    for path in made:
        assert symusic.Score(path).end() > 0


def test_a_collection_of_corpora_can_be_typed() -> None:
    members = "corpus.members={rags: {folder: my rags, align: 0.5}, hymns: {folder: hymns}}"
    config = compose_config("prepare", ["output=out", "corpus.path=in", members, "corpus.without=[hymns]"])
    assert {name: member.folder for name, member in config.corpus.members.items()} == {
        "rags": "my rags",
        "hymns": "hymns",
    }
    assert config.corpus.members["rags"].align == 0.5
    with pytest.raises(UserError, match=r"corpus\.without \('waltzes'\) must name one of rags, hymns"):
        compose_config("prepare", ["output=out", "corpus.path=in", members, "corpus.without=[waltzes]"])


def test_the_open_corpora_bring_their_encoding_and_keep_drums() -> None:
    config = compose_config("prepare", ["output=out", "corpus=open", "corpus.path=in"])
    assert config.tokenizer.encoding == "Parts"
    assert config.quality.drums_only
    assert config.corpus.mixture.power == 0.5
    other = compose_config("prepare", ["output=out", "corpus=open", "corpus.path=in", "tokenizer=remi"])
    assert other.tokenizer.encoding == "REMI"
