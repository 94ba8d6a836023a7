"""Suites: tasks under a name, made by a generator or written by anyone in a TOML file (docs/suites.md)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autoagent.errors import AutoagentError, ConfigError
from autoagent.evals.task import Expected, Task, ToolSpec
from autoagent.goal import Goal, expect
from autoagent.tools import Toolbox, builtin_tools
from autoagent.workspace import Workspace


@dataclass(frozen=True)
class Suite:
    """Tasks with unique ids, at least one, each of which expects something.

    Raises:
        ConfigError: they are not.
    """

    name: str
    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ConfigError(f"{self.name}: the suite is empty: add a [[task]]")
        seen: dict[str, int] = {}
        for number, task in enumerate(self.tasks, start=1):
            where = f"{self.name}: {_label(number, task.id)}"
            if task.id in seen:
                raise ConfigError(f"{where}: the id is taken by task {seen[task.id]}: give each task its own")
            seen[task.id] = number
            if task.expected == Expected():
                raise ConfigError(f"{where}: nothing is expected: say what must be true in [task.expected]")


def load_suite(file: Path | str) -> Suite:
    """Read a suite from a TOML file. Its name is the file's, and so is the family of a task without one.

    Raises:
        ConfigError: the file cannot be read or says something impossible; it names file, task and key.
    """
    file = Path(file)
    values = _parsed(file)
    _only(values, ("task",), where=str(file))
    entries = values.get("task", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{file}: task: write [[task]] with two brackets, once for each task")
    tasks = tuple(_task(file, number, entry) for number, entry in enumerate(entries, start=1))
    try:
        return Suite(file.stem, tasks)
    except ConfigError as error:
        raise ConfigError(f"{file}{str(error).removeprefix(file.stem)}") from None


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"suite {file} does not exist") from None
    except OSError as error:
        raise ConfigError(f"suite {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"suite {file} is not UTF-8 text: save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"suite {file} is not valid TOML: {error}") from None


def _task(file: Path, number: int, entry: dict[str, Any]) -> Task:
    name = entry.get("id")
    where = f"{file}: {_label(number, name)}"
    _only(entry, Task.model_fields, where=where)
    for key, part in (("expected", Expected), ("tools", ToolSpec)):
        parts = entry.get(key, [])
        for each in parts if isinstance(parts, list) else [parts]:
            if isinstance(each, dict):
                _only(each, part.model_fields, where=f"{where}: {key}")
    try:
        task = Task.model_validate({"family": file.stem, **_without_false(entry)})
    except ValidationError as failure:
        raise ConfigError(f"{where}: {_first_of(failure)}") from None
    _try_out(task, where)
    return task


def _try_out(task: Task, where: str) -> None:
    """Find now what would go wrong only when the task is run.

    Raises:
        ConfigError: the goal is empty, a path leaves the workspace, a pattern or custom tool cannot be used.
    """
    expected = task.expected
    with _blamed(where, "id"):
        _need_text(task.id)
    with _blamed(where, "goal"):
        Goal(task.goal)
    with _blamed(where, "files"):
        _need_names(task.files)
    with _blamed(where, "memory"):
        for text in task.memory:
            _need_text(text)
    with _blamed(where, "tools"):
        tools = Toolbox([*builtin_tools(), *(spec.build() for spec in task.tools)])
    with _blamed(where, "expected.files"):
        _need_names(expected.files)
    for key in ("answer", "remembers"):
        if (text := getattr(expected, key)) is not None:
            with _blamed(where, f"expected.{key}"):
                _need_text(text)
                expect(text)
    with _blamed(where, "expected.calls"):
        for call in expected.calls:
            if call not in tools:
                raise ConfigError(
                    f'no tool is named "{call}"{_did_you_mean(call, [each.name for each in tools])}'
                )


@contextmanager
def _blamed(where: str, key: str) -> Iterator[None]:
    """Say which task and key an error is about."""
    try:
        yield
    except AutoagentError as error:
        raise ConfigError(f"{where}: {key}: {error}") from None


def _need_text(text: str) -> None:
    if not text.strip():
        raise ConfigError("a text is empty: write one, or leave it out")


def _need_names(names: Iterable[str]) -> None:
    workspace = Workspace(Path("/workspace"))  # only to resolve names: nothing is read or written
    for name in names:
        if workspace.path(name) == workspace.root:
            raise ConfigError(f"{name!r} names no file")


def _without_false(entry: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null, so ``false`` stands for a file that must not be there."""
    expected = entry.get("expected")
    if not isinstance(expected, dict) or not isinstance(expected.get("files"), dict):
        return entry
    files = {name: None if content is False else content for name, content in expected["files"].items()}
    return {**entry, "expected": {**expected, "files": files}}


def _only(values: dict[str, Any], known: Iterable[str], *, where: str) -> None:
    for key in values:
        if key not in known:
            hint = _did_you_mean(key, list(known)) or f": the keys here are {', '.join(known)}"
            raise ConfigError(f'{where}: unknown key "{key}"{hint}')


def _did_you_mean(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f': did you mean "{close[0]}"?' if close else ""


def _first_of(failure: ValidationError) -> str:
    first = failure.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if part != "str")
    found = "" if first["type"] == "missing" else f", found {first['input']!r}"
    return f"{key}: {first['msg'][:1].lower()}{first['msg'][1:]}{found}"


def _label(number: int, name: object) -> str:
    return f'task {number} "{name}"' if isinstance(name, str) and name else f"task {number}"
