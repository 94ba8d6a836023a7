"""What is tried out when a suite is read: whatever would go wrong only when a task is run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from autoagent.errors import ConfigError, InvalidCall
from autoagent.evals.task import Expected, FollowUp, Task
from autoagent.evals.words import blamed, cut, did_you_mean
from autoagent.goal import Goal, expect
from autoagent.tools import Tool, Toolbox, builtin_tools
from autoagent.workspace import Workspace

_LONGEST_NAME = 255  # bytes, of a file or folder; what Linux and macOS allow
_TOOL_NAME = re.compile(r"[\w.-]+")


def try_out(task: Task, where: str) -> None:
    """Refuse a task that cannot be run, or cannot be succeeded in, whatever a model does.

    Raises:
        ConfigError: the message begins with ``where``, and names the key.
    """
    for key in ("id", "family"):
        with blamed(where, key):
            _need_text(getattr(task, key))
    with blamed(where, "folder"):
        if "folder" in task.model_fields_set:
            _need_folder(task.folder)
    with blamed(where, "files"):
        _need_names(task.files)
        _need_folders(task.files)
        _need_fit(Path(task.folder), task.files if task.folder else ())
    with blamed(where, "memory"):
        _need_texts(task.memory)
    with blamed(where, "tags"):
        _need_texts(task.tags)
    with blamed(where, "only"):
        known = [each.name for each in builtin_tools()]
        own = [each.name for each in task.tools]
        for name in task.only or ():
            if name in own:
                raise ConfigError(f"{name} is a tool of the task, which is there anyway: leave it out here")
            _need_tool(name, known, "built-in tool")
    with blamed(where, "tools"):
        tools = _toolbox(task)
    with blamed(where, "policy"):
        names = tuple(each.name for each in tools)
        if idle := task.rules.naming_nothing(names):
            raise ConfigError(f"the rule {idle[0]} fits no tool{did_you_mean(idle[0].tool, names)}")
    for number, goal in enumerate(task.goals):
        _try_out_goal(task, goal, tools, f"{where}: follow_ups {number}" if number else where)


def _try_out_goal(task: Task, goal: FollowUp, tools: Toolbox, where: str) -> None:
    with blamed(where, "goal"):
        Goal(goal.goal)
    with blamed(where, "answers"):
        _need_texts(goal.answers)
        if goal.answers:
            _need_user(task, tools)
    with blamed(where, "expected.asks"):
        if goal.expected.asks:
            _need_user(task, tools)
            _need_permission(task, "ask_user", {})
    _try_out_expected(goal.expected, tools, where)
    for name in goal.expected.calls:
        with blamed(where, "expected.calls"):
            _need_permission(task, name, {})
    for name, arguments in goal.expected.arguments.items():
        with blamed(where, "expected.arguments"):
            _need_permission(task, name, arguments)


def _try_out_expected(expected: Expected, tools: Toolbox, where: str) -> None:
    with blamed(where, "expected.files"):
        _need_names(expected.files)
        _need_folders(name for name, content in expected.files.items() if content is not None)
        _need_room(expected.files)
    for key in ("answer", "remembers"):
        if (text := getattr(expected, key)) is not None:
            with blamed(where, f"expected.{key}"):
                _need_text(text)
                expect(text)
    names = [each.name for each in tools]
    with blamed(where, "expected.calls"):
        for name in expected.calls:
            _need_tool(name, names, "tool")
            _need_net(tools[name])
    with blamed(where, "expected.order"):
        if expected.order and len(expected.calls) < 2:
            raise ConfigError("an order needs two calls or more")
    for name, arguments in expected.arguments.items():
        with blamed(where, "expected.arguments"):
            _need_tool(name, names, "tool")
            _need_net(tools[name])
            try:
                tools[name].validate(arguments)
            except InvalidCall as misfit:
                raise ConfigError(f"no such call can succeed: {misfit}") from None
    with blamed(where, "expected.command"):
        if expected.command is not None:
            _need_shell(expected.command)


def _toolbox(task: Task) -> Toolbox:
    """The tools of the task's world, as ``run_task`` puts them together."""
    ours = [each for each in builtin_tools() if task.has_builtin(each.name)]
    for spec in task.tools:
        if not _TOOL_NAME.fullmatch(spec.name):
            raise ConfigError(f"{spec.name!r} is no name for a tool: use letters, digits, _ and -")
        _need_text(spec.description)
        for name in spec.all_arguments:
            _need_text(name)
        _need_texts(choice for each in spec.arguments.values() for choice in each.choices)
    _need_own_names(task)
    return Toolbox([*ours, *(spec.build() for spec in task.tools)])


def _need_own_names(task: Task) -> None:
    """Refuse a name that is taken, by a built-in tool also where that is not there."""
    taken = {each.name for each in builtin_tools()}
    seen: set[str] = set()
    for spec in task.tools:
        if spec.name in taken:
            raise ConfigError(f"{spec.name} is a built-in tool's name: choose another")
        if spec.name in seen:
            raise ConfigError(f"two tools are named {spec.name}: rename one of them")
        seen.add(spec.name)


def _need_tool(name: str, known: list[str], what: str) -> None:
    if name not in known:
        raise ConfigError(f'no {what} is named "{name}"{did_you_mean(name, known)}')


def _need_net(tool: Tool) -> None:
    if tool.needs == "hosts":
        raise ConfigError(f"{tool.name} is never there: a suite runs without the network")


def _need_permission(task: Task, tool: str, arguments: Mapping[str, Any]) -> None:
    """Refuse to expect a call that the task's own policy refuses, whatever or with these arguments."""
    for key, rules in (("deny", task.rules.deny), ("ask", task.rules.ask)):
        for rule in rules:
            if rule.names(tool) and (rule.about is None or (arguments and rule.touches(tool, arguments))):
                nobody = ", and nobody is there to consent" if key == "ask" else ""
                raise ConfigError(f"{tool} cannot succeed: policy.{key} has {rule}{nobody}")


def _need_user(task: Task, tools: Toolbox) -> None:
    if not task.ask:
        raise ConfigError("nobody can be asked: ask is false")
    if "ask_user" not in tools:
        raise ConfigError("nobody can be asked: add ask_user to only")


def _need_texts(texts: Iterable[str]) -> None:
    for text in texts:
        _need_text(text)


def _need_text(text: str) -> None:
    if not text.strip():
        raise ConfigError("a text is empty: write one, or leave it out")


def _need_names(names: Iterable[str]) -> None:
    workspace = Workspace(Path("/workspace"))  # only to resolve names: nothing is read or written
    for name in names:
        if workspace.path(name) == workspace.root:
            raise ConfigError(f"{name!r} names no file")
        if any(len(part.encode()) > _LONGEST_NAME for part in PurePosixPath(name).parts):
            raise ConfigError(f"{cut(name)} is too long for a file's name: use up to {_LONGEST_NAME} bytes")


def _need_folder(folder: str) -> None:
    _need_text(folder)
    if not Path(folder).is_dir():
        raise ConfigError(f"there is no folder {folder}")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise ConfigError(f"{folder} cannot be read")


def _need_fit(folder: Path, names: Iterable[str]) -> None:
    """Refuse a file that would have to be where the folder has a folder, or in what is a file there."""
    for name in names:
        if (folder / name).is_dir() or any((folder / each).is_file() for each in PurePosixPath(name).parents):
            raise ConfigError(f"there is no room for {name}: {folder} has a file and a folder the other way")


def _need_folders(names: Iterable[str]) -> None:
    """Refuse a name that would have to be a file and a folder."""
    paths = {PurePosixPath(name): name for name in names}
    for path, name in paths.items():
        for parent in path.parents:
            if parent in paths:
                raise ConfigError(f"{paths[parent]} cannot be a file and the folder of {name}")


def _need_room(files: Mapping[str, str | None]) -> None:
    """Refuse a file that would have to be in a folder that must not be there."""
    gone = {PurePosixPath(name): name for name, content in files.items() if content is None}
    for name, content in files.items():
        for parent in PurePosixPath(name).parents:
            if content is not None and parent in gone:
                raise ConfigError(f"{gone[parent]} cannot be gone and the folder of {name}")


def _need_shell(line: str) -> None:
    """Have the shell read the command, without running it."""
    _need_text(line)
    try:
        read = subprocess.run(
            ["/bin/sh", "-n", "-c", line], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as problem:
        raise ConfigError(f"the shell cannot read it: {problem}") from None
    if read.returncode:
        said = (read.stderr.strip().splitlines() or [f"exit status {read.returncode}"])[0]
        raise ConfigError(f"the shell cannot read it: {said}")
