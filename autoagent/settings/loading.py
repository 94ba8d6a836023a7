"""What was set: defaults, then files, a profile and the environment on top, each named."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from autoagent.errors import ConfigError
from autoagent.home import FILE, FOLDER, PROFILES, expanded, user_folder
from autoagent.settings.fields import Config, check

PREFIX = "AUTOAGENT_"
# What the openai client's own users have set; ours win.
_FALLBACKS = {"api_key": "OPENAI_API_KEY", "base_url": "OPENAI_BASE_URL"}
_FOLDERS = ("prompts", "memory_embedder")
_SEPARATORS = {  # of lists in the environment
    "tools": os.pathsep, "hosts": ",", "program_hosts": ",",
    "untrusted": ",", "secret_names": ",", "secret_files": ",", "secret_patterns": "\n",
}  # fmt: skip


@dataclass(frozen=True)
class Loaded:
    """The settings, and where each that is not a default comes from.

    Attributes:
        sources: By dotted name (``max_steps``, ``permissions.deny``): a file, a variable or a flag.
        files: The files that were looked for, weakest first, by what they are: user, project, profile.
    """

    config: Config
    sources: Mapping[str, str]
    files: Mapping[str, Path]


def load_settings(home: Path, profile: str | None = None) -> Loaded:
    """All settings: defaults, then the user's file, the project's, the profile's and the environment on top.

    The user's file is ``config.toml`` in the user configuration folder (``~/.config/autoagent`` on Linux),
    the project's is ``home/config.toml``. A profile is ``profiles/NAME.toml`` beside either. Relative paths
    are taken from the project folder, from the folder of the user's file, from that of the profile, and, in
    the environment, from the current folder. A list replaces the weaker one, but permissions add up.

    Args:
        home: The project's home.
        profile: Name of a profile (``--profile``); by default the one that the settings name, or none.

    Raises:
        ConfigError: a file cannot be read, or sets an unknown key or an impossible value.
    """
    files = {"user": user_folder() / FILE, "project": home / FILE}
    layers = [
        (str(files["user"]), _from_file(files["user"], files["user"].parent)),
        (str(files["project"]), _from_file(files["project"], home.parent if home.name == FOLDER else home)),
    ]
    environment = _from_environment(os.environ)
    named = [(name, values["profile"]) for name, values in layers if "profile" in values]
    named += [(f"{PREFIX}PROFILE", environment["profile"])] if "profile" in environment else []
    named += [("--profile", profile)] if profile is not None else []
    if named:
        files["profile"] = find_profile(home, str(named[-1][1]), asked_by=named[-1][0])
        layers.append((str(files["profile"]), _from_profile(files["profile"])))
    layers.append(("environment", environment))
    config, sources = _merged(layers)
    if named:
        sources["profile"] = named[-1][0]
        config = config.model_copy(update={"profile": str(named[-1][1])})
    return Loaded(*_with_fallbacks(config, sources), files)


def with_flags(config: Config, flags: Mapping[str, Any]) -> Config:
    """The settings with what was said on the command line on top; None is what was not said.

    Permissions add up, everything else replaces.

    Raises:
        ConfigError: a value is impossible.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    config, _ = _merged([("settings", config.model_dump()), ("command line", given)])
    return config


def load_config(home: Path) -> dict[str, Any]:
    """All settings by name; see :func:`load_settings`."""
    return load_settings(home).config.model_dump()


def profiles(home: Path) -> dict[str, Path]:
    """The files of all profiles by name; the project's win over the user's."""
    found: dict[str, Path] = {}
    for folder in (user_folder() / PROFILES, home / PROFILES):
        found |= {file.stem: file for file in folder.glob("*.toml") if file.is_file()}
    return dict(sorted(found.items()))


def find_profile(home: Path, name: str, *, asked_by: str) -> Path:
    """The file of a profile.

    Raises:
        ConfigError: there is none of that name.
    """
    found = profiles(home)
    if name not in found:
        there = (
            f"those there are: {', '.join(found)}" if found else f"make {home / PROFILES / f'{name}.toml'}"
        )
        raise ConfigError(f"{asked_by}: there is no profile {name!r}: {there}")
    return found[name]


def _merged(layers: list[tuple[str, dict[str, Any]]]) -> tuple[Config, dict[str, str]]:
    settings: dict[str, Any] = {}
    rules: dict[str, tuple[str, ...]] = {}
    sources: dict[str, str] = {}
    for source, values in layers:
        known = check(source, values)
        for key in values:
            if key != "permissions":
                settings[key] = getattr(known, key)
                sources[key] = f"{PREFIX}{key.upper()}" if source == "environment" else source
        for key in known.permissions.model_fields_set:
            rules[key] = tuple(dict.fromkeys([*rules.get(key, ()), *getattr(known.permissions, key)]))
            name = f"permissions.{key}"
            sources[name] = f"{sources[name]}, {source}" if name in sources else source
    return Config.model_validate({**settings, "permissions": rules}), sources


def _with_fallbacks(config: Config, sources: dict[str, str]) -> tuple[Config, dict[str, str]]:
    found = {key: os.environ.get(name, "") for key, name in _FALLBACKS.items() if key not in sources}
    found = {key: text for key, text in found.items() if text}
    check("environment OPENAI_*", found)
    return config.model_copy(update=found), sources | {key: _FALLBACKS[key] for key in found}


def read_toml(file: Path) -> str:
    """The text of a settings file, valid TOML; empty where there is none.

    Raises:
        ConfigError: it cannot be read as that.
    """
    try:
        text = file.read_text(encoding="utf-8")
        tomllib.loads(text)
        return text
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text: save it as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{file} is not valid TOML: its values are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {' '.join(str(error).split())}") from None


def _from_file(file: Path, base: Path) -> dict[str, Any]:
    """What a file sets; its relative paths are taken from the folder ``base``."""
    values = tomllib.loads(read_toml(file))
    tools = values.get("tools")
    if isinstance(tools, list) and all(isinstance(tool, str) for tool in tools):
        values["tools"] = [str(base / expanded(tool)) for tool in tools]
    for key in _FOLDERS:
        if isinstance(values.get(key), str) and values[key]:
            values[key] = str(base / expanded(values[key]))
    model = values.get("model")
    if isinstance(model, str) and model.startswith(("./", "../", "~")):  # others may be names or hub ids
        values["model"] = str(base / expanded(model))
    suite = values.get("gate_suite")
    if isinstance(suite, str) and suite.endswith(".toml"):  # others are names
        values["gate_suite"] = str(base / expanded(suite))
    return values


def _from_profile(file: Path) -> dict[str, Any]:
    values = _from_file(file, file.parent)
    if "profile" in values:
        raise ConfigError(f"{file}: a profile cannot name another one: remove the line profile = …")
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """``AUTOAGENT_MAX_STEPS=5`` sets ``max_steps``; a name close to a setting's is an error."""
    values: dict[str, Any] = {}
    for name, text in environment.items():
        key = name.removeprefix(PREFIX).lower()
        if not name.startswith(PREFIX) or key == "home" or not text:
            continue
        if key == "permissions":
            raise ConfigError(f"environment: {name} cannot be set here: write [permissions] in {FILE}")
        if key in Config.model_fields:
            separator = _SEPARATORS.get(key)
            values[key] = [part for part in text.split(separator) if part] if separator else text
        elif close := get_close_matches(key, Config.model_fields, n=1, cutoff=0.8):
            meant = PREFIX + close[0].upper()
            raise ConfigError(f"environment: unknown setting {name}: did you mean {meant}?")
    return values
