"""From what a task expects to a check that can be run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from autoagent import events
from autoagent.errors import AutoagentError
from autoagent.evals.task import Expected
from autoagent.events import Event
from autoagent.goal import Check, command, expect
from autoagent.memory import Memory
from autoagent.trajectory import Ending, Verdict
from autoagent.workspace import Workspace

Part = Literal["ending", "answer", "files", "memory", "calls", "command"]


@dataclass(repr=False)
class TaskCheck:
    """A ``goal.Check`` that also sees how the run went: hand it every event with ``watch``.

    Attributes:
        missed: The parts of ``expected`` that did not hold.
        fault: Why the check itself could not be carried out; the run is then neither right nor wrong.
    """

    expected: Expected
    memory: Memory
    ending: Ending | None = None
    called: set[str] = field(default_factory=set)
    missed: tuple[Part, ...] = ()
    fault: str = ""

    def watch(self, event: Event) -> None:
        """Note which tools succeeded and how the run ended. ``Ended`` comes before the check is run."""
        if isinstance(event, events.Observed) and event.observation.ok:
            self.called.add(event.observation.call.name)
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
        named = {name: getattr(self.expected, name) for name in self.expected.model_fields_set}
        return ", ".join(f"{name}={value!r}" for name, value in named.items())

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
        for name, content in self.expected.files.items():
            if reason := _file_reason(workspace, name, content):
                yield "files", reason
        if self.expected.remembers is not None and not self._remembers(workspace, self.expected.remembers):
            yield "memory", f"{self.expected.remembers!r} is not in memory"
        if absent := [name for name in self.expected.calls if name not in self.called]:
            yield "calls", f"it did not call {', '.join(absent)} with success"
        if self.expected.command is not None:
            verdict = _verdict(command(self.expected.command), workspace, answer)
            if verdict.status != "verified":
                yield "command", f"{self.expected.command}: {verdict.reason}"

    def _remembers(self, workspace: Workspace, text: str) -> bool:
        fits = expect(text)
        words = " ".join(re.findall(r"\w+", text))
        found = self.memory.recall(words, max(1, self.memory.count()))
        return any(_verdict(fits, workspace, each.text).status == "verified" for each in found)


def _verdict(check: Check, workspace: Workspace, answer: str) -> Verdict:
    outcome = check(workspace, answer)
    assert isinstance(outcome, Verdict)  # those of autoagent.goal always give one
    return outcome


def _file_reason(workspace: Workspace, name: str, content: str | None) -> str:
    """What is wrong with a file; empty when nothing is."""
    path = workspace.path(name)
    if content is None:
        return f"{name} is still there" if path.exists() else ""
    if not path.is_file():
        return f"{name} is not there"
    found = path.read_text(encoding="utf-8", errors="replace")
    if found.rstrip() == content.rstrip():
        return ""
    return f"{name} holds {_short(found)}, not {_short(content)}"


def _short(text: str) -> str:
    """A text in one line, for a reason."""
    text = text.rstrip()
    return repr(text if len(text) <= 60 else text[:59] + "…")
