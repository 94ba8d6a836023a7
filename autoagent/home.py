"""Where a project keeps its records, versions and settings, and what the settings files say."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import Field, ValidationError

from autoagent.config import LARGEST_SEED, Limits
from autoagent.errors import ConfigError, StoreError, UsageError

FOLDER = ".autoagent"
FILE = "config.toml"
PREFIX = "AUTOAGENT_"


class Config(Limits):
    """Everything ``config.toml`` and ``AUTOAGENT_*`` may set: the limits of a run, and what it runs with."""

    model: str = Field(default="current", min_length=1, description="Version, folder, hub id or openai:NAME.")
    tools: tuple[str, ...] = Field(default=(), description="Python files of your own tools.")
    memory: bool = Field(default=True, description="Use long-term memory.")
    seed: int = Field(
        default=0, ge=0, le=LARGEST_SEED, description="Seed of sampling and of everything else that draws."
    )
    check_timeout: float = Field(default=60.0, gt=0, description="Longest time of a --check, in seconds.")


def expanded(path: Path | str) -> Path:
    """The path with a leading ``~`` or ``~user`` written out.

    Raises:
        UsageError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{path}: there is no such user: write the folder's whole name") from None


def project_home(start: Path | None = None) -> Path:
    """The folder for records, versions and settings; it may not exist yet (see :func:`ensure_home`).

    ``AUTOAGENT_HOME`` if set; else the nearest ``.autoagent`` folder from ``start`` (default: the current
    folder) upwards; else ``start/.autoagent``. The search ends before the user's home folder, so that one
    stray ``~/.autoagent`` does not swallow every project below it.
    """
    if chosen := os.environ.get("AUTOAGENT_HOME"):
        return expanded(chosen).absolute()
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if str(folder) == os.path.expanduser("~") and folder != here:
            break
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    return here / FOLDER


def ensure_home(home: Path) -> Path:
    """Create ``home`` and, inside it, the ``.gitignore`` that keeps it out of version control.

    A folder that was there before and has another name (``AUTOAGENT_HOME=.``) gets no ``.gitignore``: it may
    hold the user's own files.

    Raises:
        StoreError: the folder cannot be created or written.
    """
    ours = home.name == FOLDER or not home.exists()
    try:
        home.mkdir(parents=True, exist_ok=True)
        ignore = home / ".gitignore"
        if ours and not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        advice = "choose another place with AUTOAGENT_HOME"
        raise StoreError(f"{home} cannot be written ({reason}): {advice}") from None
    return home


def load_config(home: Path) -> dict[str, Any]:
    """All settings, by name: defaults, then the user's file, the project's file and the environment on top.

    The user's file is ``config.toml`` in the user configuration folder (``~/.config/autoagent`` on Linux),
    the project's is ``home/config.toml``. Relative tool files are taken from the project folder (or from the
    folder of the user's file), those of ``AUTOAGENT_TOOLS`` (separated by ``:``) from the current folder.

    Raises:
        ConfigError: a file cannot be read, or sets an unknown key or an impossible value.
    """
    settings: dict[str, Any] = {}
    for source, values in _layers(home):
        known = _checked(source, values)
        settings |= {key: getattr(known, key) for key in values}
    return Config.model_validate(settings).model_dump()


def _layers(home: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every source of settings with what it sets, the weakest first."""
    user = platformdirs.user_config_path("autoagent") / FILE
    yield str(user), _from_file(user, tools_from=user.parent)
    project = home / FILE
    yield str(project), _from_file(project, tools_from=home.parent if home.name == FOLDER else home)
    yield "environment", _from_environment(os.environ)


def _from_file(file: Path, *, tools_from: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text: save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from None
    tools = values.get("tools")
    if isinstance(tools, list) and all(isinstance(tool, str) for tool in tools):
        values["tools"] = [str(tools_from / expanded(tool)) for tool in tools]
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """``AUTOAGENT_MAX_STEPS=5`` sets ``max_steps``; a name close to a setting's is an error."""
    values: dict[str, Any] = {}
    for name, text in environment.items():
        key = name.removeprefix(PREFIX).lower()
        if not name.startswith(PREFIX) or key == "home" or not text:
            continue
        if key in Config.model_fields:
            values[key] = [part for part in text.split(os.pathsep) if part] if key == "tools" else text
        elif close := get_close_matches(key, Config.model_fields, n=1, cutoff=0.8):
            meant = PREFIX + close[0].upper()
            raise ConfigError(f"environment: unknown setting {name}: did you mean {meant}?")
    return values


def _checked(source: str, values: dict[str, Any]) -> Config:
    for key in values:
        if key not in Config.model_fields:
            close = get_close_matches(key, Config.model_fields, n=1, cutoff=0.0)
            raise ConfigError(f'{source}: unknown setting "{key}": did you mean "{close[0]}"?')
    try:
        return Config.model_validate(values)
    except ValidationError as failure:
        first = failure.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{source}: {key} = {first['input']!r}: {first['msg'].lower()}") from None
