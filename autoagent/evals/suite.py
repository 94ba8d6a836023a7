"""Suites: tasks under a name, made by a generator or written by anyone in a TOML file (docs/suites.md)."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from autoagent.errors import ConfigError
from autoagent.evals.rows import expanded
from autoagent.evals.task import Argument, Expected, FollowUp, Policy, Task, ToolSpec
from autoagent.evals.trial import try_out
from autoagent.evals.words import first_of, label, only
from autoagent.home import expanded as expanded_home
from autoagent.trajectory import Data

# What the keys that hold tables hold.
_PARTS: dict[type[Data], dict[str, type[Data]]] = {
    Task: {"expected": Expected, "tools": ToolSpec, "follow_ups": FollowUp},
    FollowUp: {"expected": Expected},
}


@dataclass(frozen=True)
class Suite:
    """Tasks with unique ids, at least one, each of which expects something of each of its goals.

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
            where = f"{self.name}: {label(number, task.id)}"
            if task.id in seen:
                raise ConfigError(f"{where}: the id is taken by task {seen[task.id]}: give each task its own")
            seen[task.id] = number
            _need_expectations(task, where)


def load_suite(file: Path | str) -> Suite:
    """Read a suite from a TOML file. Its name is the file's, and so is the family of a task without one.

    Raises:
        ConfigError: the file cannot be read or says something impossible; it names file, task and key.
    """
    file = Path(file)
    values = _parsed(file)
    only(values, ("task",), where=str(file))
    entries = values.get("task", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{file}: task: write [[task]] with two brackets, once for each task")
    if not entries:
        raise ConfigError(f"{file}: the suite is empty: add a [[task]]")
    tasks: dict[str, Task] = {}
    entry_of: dict[str, int] = {}  # where each id stands in the file, for messages
    for number, entry in enumerate(entries, start=1):
        whole = f"{file}: {label(number, entry.get('id'))}"
        only(entry, (*Task.model_fields, "each"), where=whole)
        for each in expanded(entry, whole):
            where = f"{file}: {label(number, each.get('id'))}"
            task = _task(file, each, where)
            if task.id in tasks:
                raise ConfigError(f"{where}: the id is taken by task {entry_of[task.id]}: give each its own")
            tasks[task.id], entry_of[task.id] = task, number
    return Suite(file.stem, tuple(tasks.values()))


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"suite {file} does not exist") from None
    except OSError as error:
        raise ConfigError(f"suite {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"suite {file} is not UTF-8 text: save it as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"suite {file} is not valid TOML: its values are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"suite {file} is not valid TOML: {' '.join(str(error).split())}") from None


def _task(file: Path, entry: dict[str, Any], where: str) -> Task:
    _need_known_keys(entry, where)
    if isinstance(folder := entry.get("folder"), str) and folder.strip():
        entry = {**entry, "folder": str((file.parent / expanded_home(folder)).resolve())}
    try:
        task = Task.model_validate({"family": file.stem, **_without_false(entry)})
    except ValidationError as failure:
        raise ConfigError(f"{where}: {first_of(failure)}") from None
    _need_expectations(task, where)
    try_out(task, where)
    return task


def _need_expectations(task: Task, where: str) -> None:
    for number, goal in enumerate(task.goals):
        if goal.expected == Expected():
            at = f"{where}: follow_ups {number}" if number else where
            raise ConfigError(f"{at}: nothing is expected: say what must be true in its table expected")


def _need_known_keys(entry: Mapping[str, Any], where: str) -> None:
    """Look for misspelt keys in all tables of a task, before their values are looked at."""
    _need_known_parts(Task, entry, where)
    for name in entry["files"] if isinstance(entry.get("files"), dict) else ():
        if name in Task.model_fields:
            raise ConfigError(
                f'{where}: files: "{name}" is a key of [[task]]: write it above [task.files], '
                f'or "./{name}" for a file of that name'
            )
    for tool in _tables(entry.get("tools")):
        arguments = tool.get("arguments")
        for name, each in arguments.items() if isinstance(arguments, dict) else ():
            if isinstance(each, dict):
                only(each, Argument.model_fields, where=f"{where}: tools: arguments.{name}")
    if isinstance(policy := entry.get("policy"), dict):
        only(policy, get_args(Policy), where=f"{where}: policy")


def _need_known_parts(kind: type[Data], entry: Mapping[str, Any], where: str) -> None:
    for key, part in _PARTS.get(kind, {}).items():
        for table in _tables(entry.get(key)):
            _need_above(table, part.model_fields, f"{where}: {key}")
            only(table, part.model_fields, where=f"{where}: {key}")
            _need_known_parts(part, table, f"{where}: {key}")


def _need_above(table: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Refuse a key of the task in one of its tables: what is below a table's head is part of it."""
    for key in table:
        if key not in known and (key in Task.model_fields or key == "each"):
            raise ConfigError(f'{where}: "{key}" is a key of [[task]]: write it above this table')


def _tables(value: object) -> list[dict[str, Any]]:
    """A table or a list of tables; what else there is, is refused later, with its type."""
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


def _without_false(entry: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null, so ``false`` stands for a file that must not be there."""
    changed = dict(entry)
    if isinstance(later := entry.get("follow_ups"), list):
        changed["follow_ups"] = [_without_false(each) if isinstance(each, dict) else each for each in later]
    expected = entry.get("expected")
    if isinstance(expected, dict) and isinstance(expected.get("files"), dict):
        files = {name: None if content is False else content for name, content in expected["files"].items()}
        changed["expected"] = {**expected, "files": files}
    return changed
