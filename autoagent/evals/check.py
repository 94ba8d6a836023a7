"""From what a task expects to a check that can be run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from autoagent import events
from autoagent.errors import AutoagentError, ConfigError, InvalidCall, ToolError, UsageError
from autoagent.evals.task import Expected
from autoagent.evals.words import cut
from autoagent.events import Event
from autoagent.goal import Check, command, expect
from autoagent.memory import Memory
from autoagent.memory.runs import source_of
from autoagent.tools import Toolbox
from autoagent.trajectory import Ending, ToolCall, Verdict
from autoagent.workspace import Workspace

Part = Literal["ending", "asks", "calls", "order", "arguments", "answer", "files", "memory", "command"]

_MADE = re.compile(r"\s*[\w.-]+/")  # a program of the workspace, as a command begins with it


@dataclass(repr=False)
class TaskCheck:
    """A ``goal.Check`` that also sees how the run went: hand it every event with ``watch``.

    Attributes:
        tools: Those there were; they tell that an argument left out is the same as its default.
        done: The calls that succeeded, in order.
        missed: The parts of ``expected`` that did not hold.
        fault: Why the check itself could not be carried out; the run is then neither right nor wrong.
    """

    expected: Expected
    memory: Memory
    tools: Toolbox = field(default_factory=Toolbox)
    ending: Ending | None = None
    done: list[ToolCall] = field(default_factory=list)
    missed: tuple[Part, ...] = ()
    fault: str = ""

    def watch(self, event: Event) -> None:
        """Note which tools succeeded and how the run ended. ``Ended`` comes before the check is run."""
        if isinstance(event, events.Observed) and event.observation.ok:
            self.done.append(event.observation.call)
        elif isinstance(event, events.Ended):
            self.ending = event.ending

    def __call__(self, workspace: Workspace, answer: str) -> Verdict:
        try:
            found = list(self._shortcomings(workspace, answer))
        except Exception as problem:  # of the suite's making, so it must not count against the model
            ours = isinstance(problem, AutoagentError)
            self.fault = str(problem) if ours else f"{type(problem).__name__}: {problem}"
            return Verdict(reason=f"the check itself failed: {self.fault}")
        self.missed = tuple(dict.fromkeys(part for part, _ in found))
        if found:
            reason = "; ".join(reason for _, reason in found)
            return Verdict(status="refuted", score=0.0, reason=reason, by="check")
        return Verdict(status="verified", score=1.0, by="check")

    def __repr__(self) -> str:
        """What is expected, for the record."""
        given = self.expected.model_fields_set - {"reference"}  # which is not checked
        named = [name for name in Expected.model_fields if name in given]
        return ", ".join(f"{name}={getattr(self.expected, name)!r}" for name in named)

    def _shortcomings(self, workspace: Workspace, answer: str) -> Iterator[tuple[Part, str]]:
        declined = self.ending == "declined"
        if self.expected.declines and not declined:
            yield "ending", f"it should have declined, and ended with {self.ending}"
        if declined and not self.expected.declines:
            yield "ending", f"it declined a goal that can be reached: {answer!r}"
        elif self.expected.answer is not None:
            if not answer:
                yield "answer", "there was no answer"
            elif reason := _verdict(expect(self.expected.answer), workspace, answer).reason:
                yield "answer", reason
        yield from self._missing_calls()
        for name, content in self.expected.files.items():
            if reason := _file_reason(workspace, name, content):
                yield "files", reason
        if self.expected.remembers is not None and not self._remembers(workspace, self.expected.remembers):
            yield "memory", f"{self.expected.remembers!r} is not in memory"
        if self.expected.command is not None and (
            reason := _command_reason(workspace, self.expected.command, answer)
        ):
            yield "command", f"{self.expected.command}: {reason}"

    def _missing_calls(self) -> Iterator[tuple[Part, str]]:
        wanted, names = self.expected.calls, [call.name for call in self.done]
        if self.expected.asks and "ask_user" not in names:
            yield "asks", "it did not ask the user"
        if absent := [name for name in wanted if name not in names]:
            yield "calls", f"it did not call {', '.join(absent)} with success"
        elif self.expected.order and not _in_order(wanted, names):
            made = [name for name in names if name in wanted]
            yield "order", f"it called {', then '.join(made)}, not {', then '.join(wanted)}"
        for name, arguments in self.expected.arguments.items():
            given = [call.arguments for call in self.done if call.name == name]
            if not given:
                yield "calls", f"it did not call {name} with success"
            elif self._plain(name, arguments) not in [self._plain(name, each) for each in given]:
                yield "arguments", f"it called {name} with {_short(given[-1])}, not {_short(arguments)}"

    def _plain(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """Arguments as they are compared: read and completed as the tool does it, where it is known."""
        if tool in self.tools:
            try:
                return _plain(self.tools[tool].validate(arguments))
            except InvalidCall as misfit:
                raise ConfigError(f"expected.arguments: {misfit}") from None
        return _plain(arguments)

    def _remembers(self, workspace: Workspace, text: str) -> bool:
        fits = expect(text)
        words = " ".join(re.findall(r"\w+", text))
        found = self.memory.recall(words, max(1, self.memory.count()))
        said = (
            each.text for each in found if not each.source.startswith(source_of(""))
        )  # notes on runs are ours
        return any(_verdict(fits, workspace, text).status == "verified" for text in said)


def _verdict(check: Check, workspace: Workspace, answer: str) -> Verdict:
    outcome = check(workspace, answer)
    assert isinstance(outcome, Verdict)  # those of autoagent.goal always give one
    return outcome


def _command_reason(workspace: Workspace, line: str, answer: str) -> str:
    """What a check command found wrong; empty when nothing is.

    Raises:
        UsageError: it cannot be run, and its program is not one that the run was to make.
    """
    try:
        verdict = _verdict(command(line), workspace, answer)
    except UsageError as problem:
        if _MADE.match(line):
            return str(problem)
        raise
    return "" if verdict.status == "verified" else verdict.reason or "it failed"


def _file_reason(workspace: Workspace, name: str, content: str | None) -> str:
    """What is wrong with a file; empty when nothing is.

    Raises:
        ToolError: no workspace can have a file of this name.
    """
    Workspace(Path("/workspace")).path(name)  # only the name: what is wrong in the real one, the run has made
    try:
        path = workspace.path(name)
        if content is None:
            return f"{name} is still there" if path.exists() else ""
        if not path.is_file():
            return f"{name} is not there"
        found = path.read_text(encoding="utf-8", errors="replace")
    except (ToolError, OSError) as problem:
        return f"{name} cannot be read: {problem.strerror if isinstance(problem, OSError) else problem}"
    if found.rstrip() == content.rstrip():
        return ""
    return f"{name} holds {_short(found)}, not {_short(content)}"


def _in_order(wanted: Sequence[str], names: Sequence[str]) -> bool:
    """Whether the wanted calls were made one after the other, others between them or not."""
    rest = iter(names)
    return all(name in rest for name in wanted)


def _plain(value: Any) -> Any:
    """A value as it is compared: texts without case and with single spaces, numbers alike, nulls left out."""
    if isinstance(value, str):
        return " ".join(value.casefold().split())
    if isinstance(value, bool):
        return ("bool", value)  # or True would be 1
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items() if each is not None}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _short(value: object) -> str:
    """A value in one line, for a reason."""
    text = value.rstrip() if isinstance(value, str) else repr(value)
    return repr(cut(text)) if isinstance(value, str) else cut(text)
