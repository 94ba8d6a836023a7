"""Goals, and the checks that decide whether one was reached."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from autoagent.errors import UsageError
from autoagent.trajectory import Verdict
from autoagent.workspace import Workspace

_KEPT = 8192  # bytes of what a check command prints

Check = Callable[[Workspace, str], "bool | float | Verdict"]


@dataclass(frozen=True)
class Goal:
    """What is wanted, in the user's words, and how to tell that it was reached."""

    text: str
    check: Check | None = None
    any_ending: bool = False  # the check also decides runs that declined or gave up, as in suites

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise UsageError('the goal is empty: say what you want, for example --goal "What is 17 * 23?"')
        try:
            self.text.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError("the goal is not valid UTF-8 text") from None


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

    Case and runs of white space do not count. A number is whole with its sign, decimals and thousands: 4
    occurs in "4 files." and "= 4", not in 42, 4.5, -4, 4,000 or 1,004.

    Raises:
        UsageError: the text is blank, or the regular expression is none.
    """
    if not text.strip():
        raise UsageError("an expected answer is empty: say what the answer must contain")
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        try:
            pattern = re.compile(text[1:-1])
        except re.error as error:
            raise UsageError(f"{text} is not a regular expression: {error}") from None
    else:
        pattern = _whole_words(text)

    def check(workspace: Workspace, answer: str) -> Verdict:
        hit = bool(pattern.search(answer))
        reason = "" if hit else f"the answer {answer!r} does not match {text!r}"
        return Verdict(status="verified" if hit else "refuted", score=float(hit), reason=reason, by="check")

    return check


def _whole_words(text: str) -> re.Pattern[str]:
    words = r"\s+".join(re.escape(word) for word in text.split())
    begin, end = r"(?<![\w.])", r"(?!\w|\.\d|(?<=\d),\d{3}(?!\d))"
    if re.match(r"\s*\d", text):
        begin += r"(?<!(?<!\w)[-−])"  # no sign before it, though "2-4" is a range
    if re.match(r"\s*\d{3}(?!\d)", text):
        begin += r"(?<!\d,)"  # not the end of 1,004
    return re.compile(begin + words + end, re.IGNORECASE)


def command(line: str, *, timeout: float = 60.0) -> Check:
    """A check by a shell command run in the workspace: exit status 0 verifies; ``$ANSWER`` holds the answer.

    Args:
        line: The command, as typed in a shell. It is the user's own, so it runs with the user's rights.
        timeout: Longest time it may take, in seconds; after that it is refuted.

    Raises:
        UsageError: (when run) the command does not exist.
    """

    def check(workspace: Workspace, answer: str) -> Verdict:
        try:
            process = _start(line, workspace, answer)
        except (OSError, ValueError) as problem:  # a NUL character or megabytes cannot be handed to a program
            reason = f"the answer cannot be handed to the check: {problem}"
            return Verdict(status="refuted", score=0.0, reason=reason, by="check")
        output = _finish(process, timeout)
        if output is None:
            reason = f"the check took over {timeout:g} s"
            return Verdict(status="refuted", score=0.0, reason=reason, by="check")
        if process.returncode in (126, 127):
            last = output.strip().splitlines()[-1:] or [line]
            raise UsageError(f"the check command cannot run: {last[0]}")
        if process.returncode == 0:
            return Verdict(status="verified", score=1.0, by="check")
        tail = " / ".join(output.strip().splitlines()[-2:])
        reason = f"exit status {process.returncode}" + (f": {tail}" if tail else "")
        return Verdict(status="refuted", score=0.0, reason=reason, by="check")

    return check


def _start(line: str, workspace: Workspace, answer: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", line],
        cwd=workspace.root,
        env={**os.environ, "ANSWER": answer},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so that it can be ended with its children
    )


def _finish(process: subprocess.Popen[bytes], timeout: float) -> str | None:
    """The end of what it prints, once it has ended; None when that took longer than ``timeout`` seconds.

    What it leaves running is ended as well, also when Ctrl-C strikes. Not covered: a child that began a
    session of its own.
    """
    assert process.stdout is not None
    deadline = time.monotonic() + timeout
    tail, more = b"", True
    try:
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            while process.poll() is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                if not more:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(left)
                elif ready.select(min(left, 0.05)):
                    chunk = os.read(process.stdout.fileno(), 65536)
                    tail, more = (tail + chunk)[-_KEPT:], bool(chunk)
            if more and ready.select(0):
                tail = (tail + os.read(process.stdout.fileno(), 2**20))[-_KEPT:]  # a full pipe
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
    return tail.decode("utf-8", "replace")


def name_of(check: Check | None) -> str:
    """The check's name, for the record."""
    return "" if check is None else str(getattr(check, "__qualname__", repr(check)))
