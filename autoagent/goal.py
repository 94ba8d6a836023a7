"""Goals, and the checks that decide whether one was reached."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from autoagent.errors import UsageError
from autoagent.trajectory import Verdict
from autoagent.workspace import Workspace

Check = Callable[[Workspace, str], "bool | float | Verdict"]


@dataclass(frozen=True)
class Goal:
    """What is wanted, in the user's words, and how to tell that it was reached."""

    text: str
    check: Check | None = None

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise UsageError('the goal is empty: say what you want, for example --goal "What is 17 * 23?"')


def verify(goal: Goal, workspace: Workspace, answer: str) -> Verdict:
    """Run the goal's check on what the run left behind. A check's own exceptions are for the caller."""
    if goal.check is None:
        return Verdict(reason="no check was given")
    outcome = goal.check(workspace, answer)
    if isinstance(outcome, Verdict):
        return outcome
    score = float(outcome)
    if not 0 <= score <= 1:
        raise ValueError(f"a check returned {outcome!r}; it must return True, False, 0..1 or a Verdict")
    return Verdict(status="verified" if score >= 1 else "refuted", score=score, by="check")


def expect(text: str) -> Check:
    """A check on the answer alone: ``/regex/`` is searched, anything else must occur in it as whole words.

    Case and runs of white space do not count.
    """
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        try:
            pattern = re.compile(text[1:-1])
        except re.error as error:
            raise UsageError(f"--expect {text} is not a regular expression: {error}") from None
    else:
        words = r"\s+".join(re.escape(word) for word in text.split())
        pattern = re.compile(rf"(?<![\w.]){words}(?!\w|\.\d)", re.IGNORECASE)

    def check(workspace: Workspace, answer: str) -> Verdict:
        hit = bool(pattern.search(answer))
        reason = "" if hit else f"the answer {answer!r} does not match {text!r}"
        return Verdict(status="verified" if hit else "refuted", score=float(hit), reason=reason, by="check")

    return check


def command(line: str, *, timeout: float = 60.0) -> Check:
    """A check by a shell command run in the workspace: exit status 0 verifies; ``$ANSWER`` holds the answer.

    Args:
        line: The command, as typed in a shell. It is the user's own, so it runs with the user's rights.
        timeout: Longest time it may take, in seconds; after that it is refuted.

    Raises:
        UsageError: (when run) the command does not exist.
    """

    def check(workspace: Workspace, answer: str) -> Verdict:
        process = subprocess.Popen(
            ["/bin/sh", "-c", line],
            cwd=workspace.root,
            env={**os.environ, "ANSWER": answer},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # so that a check that hangs is ended with its children
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Verdict(
                status="refuted", score=0.0, reason=f"the check took over {timeout:g} s", by="check"
            )
        if process.returncode in (126, 127):
            last = output.strip().splitlines()[-1:] or [line]
            raise UsageError(f"the check command cannot run: {last[0]}")
        if process.returncode == 0:
            return Verdict(status="verified", score=1.0, by="check")
        tail = " / ".join(output.strip().splitlines()[-2:])
        reason = f"exit status {process.returncode}" + (f": {tail}" if tail else "")
        return Verdict(status="refuted", score=0.0, reason=reason, by="check")

    return check
