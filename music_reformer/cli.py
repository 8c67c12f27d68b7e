"""The command line: `music-reformer prepare|train|finetune|evaluate|generate|app key=value ...`.

Hydra composes the YAML under `conf/` and the dataclasses of `config.py` check it. A mistake of the user costs one
sentence on stderr and exit code 2.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from music_reformer import config as settings
from music_reformer.batch.settings import GenerateConfig
from music_reformer.errors import UserError
from music_reformer.training.processes import leave

USAGE = """music-reformer: compose long music with a Reformer

    music-reformer prepare  corpus=folder corpus.path=PATH output=datasets/NAME   MIDI files to a token store
    music-reformer prepare  corpus=maestro                                        the same, downloaded first
    music-reformer train    data=datasets/NAME model=tiny trainer.max_steps=200   a token store to weights
    music-reformer finetune files=FOLDER output=runs/mine                         the shipped weights on one's own files
    music-reformer evaluate checkpoint=runs/train/weights data=datasets/NAME      likelihood, music and copies: a report
    music-reformer generate prompts=FOLDER output=out variations=2 length=16bars  a folder of prompts to MIDI files
    music-reformer app      checkpoint=runs/mine/weights                          the page, at http://127.0.0.1:7860

Settings are key=value (nested: trainer.max_steps=200; a group: model=small; a list: [1,2]; nothing: null).
    music-reformer VERB --help    the settings of a verb and the groups to choose from
    music-reformer VERB ... --show    print the settings that a command would use, and do nothing
"""


@dataclass(frozen=True)
class Verb:
    """What a verb is checked by, and what it calls: `module:function(config)`."""

    schema: type
    module: str
    function: str


VERBS = {
    "prepare": Verb(settings.PrepareConfig, "music_reformer.data.prepare.command", "prepare"),
    "train": Verb(settings.TrainConfig, "music_reformer.training.run", "train"),
    "finetune": Verb(settings.FinetuneConfig, "music_reformer.training.finetune", "finetune"),
    "evaluate": Verb(settings.EvaluateConfig, "music_reformer.evaluation.evaluate", "evaluate"),
    "generate": Verb(GenerateConfig, "music_reformer.batch.generate", "generate"),
    "app": Verb(settings.AppConfig, "music_reformer.ui.command", "app"),
}


# Settings that are a file, folder or address.
PATH_KEYS = frozenset(
    {
        *("data", "output", "checkpoint", "prompts", "generated", "initial", "downloads", "files", "folder"),
        *("corpus.path", "corpus.manifest", "corpus.url"),
    }
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0 if arguments else 2
    name, *rest = arguments
    try:
        if name not in VERBS:
            raise UserError(f"unknown verb {name!r}; it is one of {', '.join(VERBS)}")
        if "-h" in rest or "--help" in rest:
            sys.stdout.write(verb_help(name))
            return 0
        config = compose_config(name, [argument for argument in rest if argument != "--show"], show="--show" in rest)
        if "--show" in rest:
            sys.stdout.write(config)
            return 0
        verb = VERBS[name]
        result = getattr(importlib.import_module(verb.module), verb.function)(config)
        return result if isinstance(result, int) else 0
    except UserError as error:
        sys.stderr.write(f"music-reformer: {error}\n")
        return int(getattr(error, "exit_code", 2))
    except OSError as error:
        if error.filename is None:
            raise
        sys.stderr.write(f"music-reformer: {error.filename}: {error.strerror}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("music-reformer: stopped\n")
        return 130


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

    schema = VERBS[name].schema
    ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    overrides = [_plain(name, override) for override in overrides]
    try:
        with initialize_config_dir(str(conf_folder().resolve()), version_base="1.3"):
            composed = compose(name, overrides=overrides)
        merged = OmegaConf.merge(OmegaConf.structured(schema), composed)
        if show:
            return OmegaConf.to_yaml(merged)
        missing = sorted(OmegaConf.missing_keys(merged))
        if missing:
            raise UserError(f"{name} needs {' and '.join(missing)}: add {' '.join(f'{key}=...' for key in missing)}")
        return OmegaConf.to_object(merged)
    except UserError:  # of a dataclass that checks itself
        raise
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(_sentence(name, error)) from error


def verb_help(name: str) -> str:
    """The groups and all settings of a verb with their defaults."""
    groups = sorted(folder.name for folder in conf_folder().iterdir() if folder.is_dir())
    body = compose_config(name, [], show=True)
    lines = [f"music-reformer {name} key=value ...\n"]
    nested = {field.name for field in fields(VERBS[name].schema)}
    for group in groups:
        choices = _choices(group)
        if choices and (group in nested or (group == "experiment" and name == "train")):
            lines.append(f"    {group}={'|'.join(choices)}")
    return "\n".join([*lines, "\nSettings and their defaults (??? must be given):\n", body])


def _plain(name: str, override: str) -> str:
    """An override in Hydra's grammar: paths are quoted, so that any name of a file can be typed.

    Raises:
        UserError: it is not key=value, or not a choice of its group.
    """
    if not re.match(r"[A-Za-z_][\w./]*=", override):
        raise UserError(f"{override!r} is not understood: settings are key=value; see music-reformer {name} --help")
    key, _, value = override.partition("=")
    if (conf_folder() / key).is_dir() and value not in ("null", *_choices(key)):
        raise UserError(f"{key} has no choice {value!r}; it is one of {', '.join(_choices(key))}")
    if key in PATH_KEYS and value not in ("null", "???") and not value.startswith(("'", '"')):
        return f"{key}={_quoted(os.path.expanduser(value))}"
    return override


def _quoted(text: str) -> str:
    """`text` in single quotes; Hydra reads a backslash as an escape only before a quote."""
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), text)
    return f"'{escaped}'"


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_folder() / group).glob("*.yaml"))


def _sentence(name: str, error: Exception) -> str:
    """One sentence out of the messages of several lines of Hydra and OmegaConf."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    text = str(cause).splitlines()[0].rstrip(".") if str(cause) else type(cause).__name__
    key = getattr(cause, "full_key", None)
    override = getattr(error, "override", None)
    if override is not None:
        text = f"{override!r} cannot be read ({text}); quote a value that has signs of its own: key='\"a=b\"'"
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
