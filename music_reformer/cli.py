"""The command line: `music-reformer prepare|train|finetune|evaluate|generate|app ... key=value ...`.

Hydra composes the YAML under `conf/`, and the dataclasses of `config` check it. For a mistake of the user, or a full
disk, a command prints one sentence to stderr and exits with 2. Stopped by a signal, it exits with 130 (SIGINT) or 143
(SIGTERM). If the reader of its output has gone (`| head`), it exits silently with 141, as for SIGPIPE.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import re
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

from music_reformer import config as settings
from music_reformer.batch.settings import GenerateConfig
from music_reformer.config.checked import type_hints, without_none
from music_reformer.errors import Stopped, UserError, sentence_of
from music_reformer.exit import leave

USAGE = """music-reformer: compose long music with a Reformer

    music-reformer prepare  corpus=folder corpus.path=PATH output=datasets/NAME   MIDI files to a token store
    music-reformer prepare  corpus=maestro                                        the same, downloaded first
    music-reformer train    data=datasets/NAME model=tiny trainer.max_steps=200   a token store to weights
    music-reformer finetune files=FOLDER output=runs/mine                         the shipped weights taught your files
    music-reformer evaluate checkpoint=runs/train/weights data=datasets/NAME      likelihood, music and copies: a report
    music-reformer generate prompts=FOLDER output=out variations=2 length=16bars  a folder of prompts to MIDI files
    music-reformer app      checkpoint=runs/mine/weights                          the page, at http://127.0.0.1:7860
    music-reformer passages data=datasets/NAME output=runs/train/weights          an index for detecting copied passages
    music-reformer average  checkpoints=[runs/a,runs/b] output=runs/mean          the mean of several trainings' weights
    music-reformer sweep    data=datasets/NAME optimizer.learning_rate=1e-3,2e-3  several trainings, one after another
    music-reformer learning-rate data=datasets/NAME                               a learning-rate range test

Settings are key=value (nested: trainer.max_steps=200; a group: model=small; a list: [1,2]; nothing: null).
    music-reformer VERB --help    the settings of a verb and the groups to choose from
    music-reformer VERB ... --show    print the settings that the command would use, and exit
"""

CLOSED_PIPE = 141  # the exit code that a shell reports for SIGPIPE


@dataclass(frozen=True)
class Verb:
    """The schema of a verb, and the function that runs it: `module:function(config)`.

    Attributes:
        schema: dataclass of its settings.
        module, function: imported when it runs.
        conf: name of its YAML under `conf/`; None: the verb's name.
        takes_overrides: whether the function takes the settings as typed, and composes them itself.
    """

    schema: type
    module: str
    function: str
    conf: str | None = None
    takes_overrides: bool = False


VERBS = {
    "prepare": Verb(settings.PrepareConfig, "music_reformer.data.prepare.command", "prepare"),
    "train": Verb(settings.TrainConfig, "music_reformer.training.run", "train"),
    "finetune": Verb(settings.FinetuneConfig, "music_reformer.training.finetune", "finetune"),
    "evaluate": Verb(settings.EvaluateConfig, "music_reformer.evaluation.evaluate", "evaluate"),
    "passages": Verb(settings.PassagesConfig, "music_reformer.evaluation.passages", "index_passages"),
    "average": Verb(settings.AverageConfig, "music_reformer.model.averaging", "average"),
    "generate": Verb(GenerateConfig, "music_reformer.batch.generate", "generate"),
    "app": Verb(settings.AppConfig, "music_reformer.ui.command", "app"),
    "sweep": Verb(settings.TrainConfig, "music_reformer.sweep", "sweep", "train", takes_overrides=True),
    "learning-rate": Verb(
        settings.TrainConfig, "music_reformer.training.learning_rate", "suggest_learning_rate", "train"
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _stopping_on_sigterm():
            code = _run(*arguments)
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a broken pipe can still be handled
            return code
    except (KeyboardInterrupt, Stopped) as error:
        sys.stderr.write("music-reformer: stopped\n")
        return 128 + (error.signal if isinstance(error, Stopped) else signal.SIGINT)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _discard_unread_output():
            return CLOSED_PIPE
        sentence = sentence_of(error)
        if sentence is None:
            raise
        sys.stderr.write(f"music-reformer: {sentence}\n")
        return int(getattr(error, "exit_code", 2))


def _run(*arguments: str) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in VERBS:
        raise UserError(f"unknown verb {name!r}; the verbs are {', '.join(VERBS)}")
    verb = VERBS[name]
    if "-h" in rest or "--help" in rest:
        sys.stdout.write(verb_help(name))
        return 0
    show = "--show" in rest
    overrides = [argument for argument in rest if argument != "--show"]
    if show and not verb.takes_overrides:
        sys.stdout.write(compose_config(name, overrides, show=True))
        return 0
    given = overrides if verb.takes_overrides else compose_config(name, overrides)
    function = getattr(importlib.import_module(verb.module), verb.function)
    result = function(given, show=show) if verb.takes_overrides else function(given)
    return result if isinstance(result, int) else 0


def _discard_unread_output() -> bool:
    """Whether the reader of stdout or stderr has gone, as `head` does; further output is then discarded."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    for stream in (1, 2):
        poll.register(stream, 0)
    gone = [stream for stream, state in poll.poll(0) if state & (select.POLLERR | select.POLLHUP)]
    for stream in gone:  # otherwise Python complains when it flushes at exit
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream)
        os.close(nowhere)
    return bool(gone)


@contextlib.contextmanager
def _stopping_on_sigterm() -> Iterator[None]:
    """Make SIGTERM raise `Stopped`, so that the block cleans up as on Ctrl-C. Has no effect outside the main thread."""

    def stop(number: int, frame: object) -> None:
        raise Stopped(number)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run() -> NoReturn:
    """The command `music-reformer`: run what was typed, and end the process with its exit code."""
    leave(main())


def conf_folder() -> Path:
    """The folder of YAML: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def compose_config(name: str, overrides: Sequence[str], *, show: bool = False) -> Any:
    """The dataclass of a verb filled from `conf/<verb>.yaml` and `key=value` overrides.

    Args:
        name: the verb.
        overrides: as typed.
        show: return the YAML instead, with values still missing marked `???`.

    Raises:
        UserError: an unknown key or group, a value of the wrong type, or one that is missing.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    verb, conf = VERBS[name], conf_of(name)
    ConfigStore.instance().store(name=f"{conf}_schema", node=verb.schema)
    hints = setting_types(verb.schema)
    mappings = {}
    plain = []
    for override in overrides:
        key, _, value = override.partition("=")
        if get_origin(hints.get(key)) is dict and "=" in override:
            mappings[key] = _mapping(key, value, hints[key])
        else:
            plain.append(plain_override(name, override))
    try:
        with initialize_config_dir(str(conf_folder().resolve()), version_base="1.3"):
            composed = compose(conf, overrides=plain)
        merged = OmegaConf.merge(OmegaConf.structured(verb.schema), composed)
        for key, mapping in mappings.items():
            OmegaConf.update(merged, key, mapping, merge=False)
        if show:
            return OmegaConf.to_yaml(merged)
        missing = sorted(OmegaConf.missing_keys(merged))
        if missing:
            raise UserError(f"{name} needs {' and '.join(missing)}: add {' '.join(f'{key}=...' for key in missing)}")
        return OmegaConf.to_object(merged)
    except UserError:  # raised by a dataclass that checks itself
        raise
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(_sentence(name, error)) from error


def conf_of(name: str) -> str:
    """Name of the YAML under `conf/` with the defaults of a verb."""
    return VERBS[name].conf or name


def setting_types(schema: type, prefix: str = "") -> dict[str, Any]:
    """Type of each setting by its dotted key, groups left out; X for a setting of type `X | None`."""
    found: dict[str, Any] = {}
    for each in fields(schema):
        kind = without_none(type_hints(schema)[each.name])
        if is_dataclass(kind):
            assert isinstance(kind, type)
            found |= setting_types(kind, f"{prefix}{each.name}.")
        else:
            found[f"{prefix}{each.name}"] = kind
    return found


def literal_keys(schema: type, prefix: str = "") -> set[str]:
    """Dotted keys of settings that are taken literally: files, folders, addresses and free texts."""
    found: set[str] = set()
    for each in fields(schema):
        kind = type_hints(schema)[each.name]
        if is_dataclass(kind):
            assert isinstance(kind, type)
            found |= literal_keys(kind, f"{prefix}{each.name}.")
        elif each.metadata.get("location") or each.metadata.get("free_text"):
            found.add(f"{prefix}{each.name}")
    return found


def _mapping(key: str, value: str, hint: Any) -> dict[Any, Any]:
    """Parse a mapping typed as YAML; Hydra's own grammar does not allow keys such as 1/4.

    Raises:
        UserError: the value is not a mapping, or its keys or values have the wrong type.
    """
    import yaml

    # YAML needs a space after the colon, which {0:2048} lacks; quoted text is left unchanged.
    quoted = r"""('(?:[^']|'')*'|"(?:\\.|[^"\\])*")"""
    spaced = re.sub(rf"{quoted}|:(?=\S)", lambda match: match[1] or ": ", value)
    try:
        content = yaml.load(spaced, Loader=yaml.BaseLoader)
        if not isinstance(content, dict):
            raise UserError(f"{key} ({value}) must be a mapping, such as {{a: 1, b: 2}}")
        of_key, of_value = get_args(hint)
        return {_typed(name, of_key): _typed(entry, of_value) for name, entry in content.items()}
    except UserError:
        raise
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise UserError(f"{key} ({value}) cannot be read ({str(error).splitlines()[0]})") from error


def _typed(text: Any, hint: Any) -> Any:
    """Convert text from YAML to the type of the setting. Raises `ValueError` if it does not fit."""
    from omegaconf import OmegaConf

    if is_dataclass(hint) and isinstance(text, dict):
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(hint), text))
    if get_origin(hint) is list:
        if not isinstance(text, list):
            raise ValueError(f"{text} must be a list")
        return [_typed(entry, get_args(hint)[0]) for entry in text]
    if not isinstance(text, str):
        raise ValueError(f"{text} must be one value")
    return hint(text)


def verb_help(name: str) -> str:
    """The groups and all settings of a verb with their defaults."""
    groups = sorted(folder.name for folder in conf_folder().iterdir() if folder.is_dir())
    body = compose_config(name, [], show=True)
    lines = [f"music-reformer {name} key=value ...\n"]
    nested = {field.name for field in fields(VERBS[name].schema)}
    for group in groups:
        choices = _choices(group)
        if choices and (group in nested or (group == "experiment" and conf_of(name) == "train")):
            lines.append(f"    {group}={'|'.join(choices)}")
    return "\n".join([*lines, "\nSettings and their defaults (??? must be given):\n", body])


def plain_override(name: str, override: str) -> str:
    """An override in Hydra's grammar: paths and free texts are quoted, so that anything can be typed.

    Raises:
        UserError: it is not key=value, or not a choice of its group.
    """
    if not re.match(r"[A-Za-z_][\w./]*=", override):
        raise UserError(f"{override!r} is not understood: settings are key=value; see music-reformer {name} --help")
    key, _, value = override.partition("=")
    if (conf_folder() / key).is_dir() and value not in ("null", *_choices(key)):
        raise UserError(f"{key} ({value}) must be one of {', '.join(_choices(key))}")
    schema = VERBS[name].schema
    if key in literal_keys(schema) and value not in ("null", "???") and not value.startswith(("'", '"')):
        return f"{key}={_quoted(os.path.expanduser(value))}"
    if get_origin(setting_types(schema).get(key)) is list and not value.startswith("["):
        raise UserError(f"{key} ({value}) must be a list: {key}=[{value}]")
    return override


def _quoted(text: str) -> str:
    """`text` in single quotes; Hydra reads a backslash as an escape only before a quote."""
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), text)
    return f"'{escaped}'"


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def _sentence(name: str, error: Exception) -> str:
    """One sentence made from a message of Hydra or OmegaConf, which may have several lines."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    text = str(cause).splitlines()[0].rstrip(".") if str(cause) else type(cause).__name__
    key = getattr(cause, "full_key", None)
    override = getattr(error, "override", None)
    if override is not None:
        text = f"{override!r} cannot be read ({text}); quote a value that contains special characters: key='\"a=b\"'"
    elif " not in " in text and key:
        near = difflib.get_close_matches(key, _keys(VERBS[name].schema), n=1)
        text = f"unknown setting {key}" + (f"; did you mean {near[0]}?" if near else "")
    elif key and key not in text:
        text = f"{key}: {text}"
    return text if text.endswith("?") else f"{text}; see music-reformer {name} --help"


def _keys(schema: Any, prefix: str = "") -> list[str]:
    """All dotted keys of a dataclass."""
    found = []
    for key, value in (schema if isinstance(schema, dict) else settings.to_plain(schema())).items():
        found.append(f"{prefix}{key}")
        if isinstance(value, dict):
            found += _keys(value, f"{prefix}{key}.")
    return found
