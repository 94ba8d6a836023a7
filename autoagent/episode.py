"""One run from its first event to its last: the loop is watched, judged and written down to the end."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autoagent import events
from autoagent.deadline import TimeUp
from autoagent.errors import AutoagentError, StoreError, UsageError
from autoagent.events import Event
from autoagent.goal import Goal, verify
from autoagent.loop import Loop
from autoagent.store import RunRecord
from autoagent.trajectory import Ending, Trajectory, Verdict
from autoagent.workspace import Workspace

_JUDGED: tuple[Ending, ...] = ("finished", "max_steps", "max_tokens", "timeout")


class About(NamedTuple):
    """Where a run belongs: for the record."""

    suite: str
    tags: Sequence[str]
    parent: str | None


@dataclass
class Episode:
    """A run at work. ``load`` reads it back, ``done`` is told of it at the end, for memory."""

    loop: Loop
    record: RunRecord
    goal: Goal
    workspace: Workspace
    started: events.Started
    load: Callable[[], Trajectory]
    notes: Sequence[str] = ()
    ahead: Sequence[Event] = ()  # what happened before the first step
    missing: int | None = None  # the step whose copy of the workspace the interruption has cost
    before: float = 0.0  # seconds it took until it was interrupted
    done: Callable[[Trajectory], str] | None = None  # returns a note for the user, or ""

    def events(self) -> Iterator[Event]:
        """Everything that happens; whatever that is, how the run ended is written down."""
        began = time.monotonic() - self.before
        loop, record = self.loop, self.record
        error, verdict = "", None
        try:
            yield self.started
            yield from (events.Note(text=note) for note in self.notes)
            yield from self.ahead
            if not self.started.resumed:
                record.snapshot(0)
            elif self.missing is not None:
                record.snapshot(self.missing)
            for attempt in range(loop.limits.retries + 1):
                yield from self._watched()
                if attempt == loop.limits.retries or loop.ending != "finished":
                    break
                verdict = self._judge("finished")
                if verdict.status != "refuted":
                    break
                yield loop.go_on(verdict.reason or "the check does not hold")
                verdict = None
        except KeyboardInterrupt:
            loop.ending, verdict = "interrupted", None
            self._snapshot()
        except TimeUp:  # rung by the tool that delegated to this run
            loop.ending, verdict = "timeout", None
            self._snapshot()
        except GeneratorExit:
            self._snapshot()
            self._ended("interrupted", time.monotonic() - began)
            raise
        except AutoagentError:
            self._ended("error", time.monotonic() - began, loop.hidden(traceback.format_exc()))
            raise
        except (Exception, SystemExit):  # sys.exit() in a tool must not end the program
            loop.ending, error, verdict = "error", loop.hidden(traceback.format_exc()), None
            self._snapshot()
        finally:
            loop.session.close()
        yield from self._concluded(time.monotonic() - began, error, verdict)

    def _snapshot(self) -> None:
        """The step that was cut short may have changed something. Neither a full disk nor a Ctrl-C that
        strikes right then costs the ending; the latter is the ending."""
        with contextlib.suppress(StoreError):
            try:
                self.record.snapshot(len(self.loop.steps))
            except KeyboardInterrupt:
                self.loop.ending = "interrupted"
                self.record.snapshot(len(self.loop.steps))

    def _ended(self, ending: Ending, seconds: float, error: str = "") -> Ending:
        """Write down how it ended and return that; a Ctrl-C that strikes right then is the ending."""
        try:
            self.record.ended(ending, self.loop.answer, seconds, error)
        except KeyboardInterrupt:  # a closed terminal is two blows
            ending = "interrupted"
            self.record.ended(ending, self.loop.answer, seconds, error)
        return ending

    def _watched(self) -> Iterator[Event]:
        for event in self.loop.events():
            if isinstance(event, events.Stepped) and event.step.mutated:
                self.record.snapshot(event.step.index)
            yield event

    def _concluded(self, seconds: float, error: str, verdict: Verdict | None) -> Iterator[Event]:
        """What follows the ending: the check, and the end of the record."""
        loop, record = self.loop, self.record
        ending = self._ended(loop.ending or "error", seconds, error)
        yield events.Ended(ending=ending, answer=loop.answer, error=error)
        try:
            verdict = verdict or self._judge(ending)
        except KeyboardInterrupt:
            verdict = Verdict(reason="the check was interrupted")
            self._ended("interrupted", seconds)
        record.judged(verdict)
        if loop.guard.tainted:
            record.tainted(loop.guard.sources)
        yield events.Judged(verdict=verdict)
        run = self.load()
        note = self.done(run) if self.done else ""
        if note:
            yield events.Note(text=note)
        yield events.Closed(trajectory=run)

    def _judge(self, ending: Ending) -> Verdict:
        """The verdict, without the secrets that a check may print."""
        verdict = self._checked(ending)
        return verdict.model_copy(update={"reason": self.loop.hidden(verdict.reason)})

    def _checked(self, ending: Ending) -> Verdict:
        """Check the outcome after ``finished`` and budget endings, and after others where the goal says so.

        A check that cannot be carried out, or fails itself, leaves it unverified and says why.
        """
        if ending in ("interrupted", "error") or not (self.goal.any_ending or ending in _JUDGED):
            return Verdict(reason=f"the run ended with {ending}")
        if self.loop.conduct.dry_run:
            return Verdict(reason="a dry run changes nothing that could be checked")
        try:
            answer = self.loop.answer or ""
            meant = self.loop.secrets.filled_in(answer) if self.loop.secrets else answer
            return verify(self.goal, self.workspace, meant)
        except UsageError as problem:
            return Verdict(reason=str(problem))
        except (Exception, SystemExit) as problem:  # the user's code: its fault must not lose the run
            return Verdict(reason=f"the check itself failed: {type(problem).__name__}: {problem}")


def without_snapshot(taken: Collection[int], past: Trajectory) -> int | None:
    """The step after which the workspace should have been copied, and was not, if there is one.

    ``taken`` are the steps after which it was.
    """
    changed = [step.index for step in past.steps if step.mutated]
    if not changed:
        return None if taken else 0
    return None if changed[-1] in taken or any(step > changed[-1] for step in taken) else changed[-1]
