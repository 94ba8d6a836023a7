"""Programs: a shell command, a piece of Python. Both run in the sandbox."""

from __future__ import annotations

import copy
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterable

from autoagent.errors import ToolError
from autoagent.security import Outcome, Sandbox, SandboxLimits
from autoagent.tools.base import Context, Tool, tool

_TO_TELL = 0.5  # seconds before the run's end at which a program is stopped, so that what it wrote is kept
_LONGEST = 100_000  # bytes of a command; the system takes a little more in one argument


@tool(effects=("execute",), hints="terminal bash command line program git make pytest", needs="sandbox")
def run_shell(command: str, *, ctx: Context) -> str:
    """Run a shell command."""
    return _run([shutil.which("bash", path="/usr/bin:/bin") or "/bin/sh", "-c"], command, ctx)


@tool(effects=("execute",), hints="script program code execute", needs="sandbox")
def run_python(code: str, *, ctx: Context) -> str:
    """Run Python code and show what it prints."""
    return _run([sys.executable, "-c"], code, ctx)


def _run(interpreter: list[str], text: str, ctx: Context) -> str:
    if ctx.sandbox is None:
        raise ToolError("Programs cannot be run here: this run has no sandbox.")
    if not text.strip():
        raise ToolError("There is nothing to run.")
    if "\0" in text:
        raise ToolError("a program's text cannot contain a NUL character")
    if len(os.fsencode(text.encode("utf-8", "replace"))) > _LONGEST:
        raise ToolError("the text is too long to run at once; write it to a file and run that")
    left = ctx.left() - _TO_TELL
    outcome = ctx.sandbox.run([*interpreter, text], ctx.workspace, seconds=max(round(left, 1), 0.1))
    if outcome.reached:
        ctx.from_outside(", ".join(outcome.reached))
    return _told(outcome, ctx.sandbox.limits, rushed=left < ctx.sandbox.limits.seconds)


def _told(outcome: Outcome, limits: SandboxLimits, *, rushed: bool) -> str:
    """What the model is told: the output, and how it ended where that was not well.

    Args:
        rushed: Whether the run had less time left than a program may take.

    Raises:
        ToolError: it failed or was stopped; the message holds the output, too.
    """
    refused = [f"Connection refused by the sandbox: {why}." for why in outcome.refused]
    output = "\n".join([outcome.output.rstrip("\n"), *refused]).lstrip("\n" if refused else "")
    if outcome.stopped:
        why = "; the run's time is nearly up" if rushed and "longer than" in outcome.stopped else ""
        raise ToolError(f"{output}\nStopped: {outcome.stopped}{why}.".lstrip("\n"))
    if outcome.code:
        how = f"signal {-outcome.code}" if outcome.code < 0 else f"exit code {outcome.code}"
        limit = _limit_met(outcome, limits)
        raise ToolError(f"{output}\nEnded with {how}.{limit and f' {limit}'}".lstrip("\n"))
    return output or "It ran without output."


def _limit_met(outcome: Outcome, limits: SandboxLimits) -> str:
    """The limit that a program seems to have met, which only says so in its own words; "" for none."""
    said = outcome.output[-2000:]
    too_large = outcome.code == 128 + getattr(signal, "SIGXFSZ", 25)
    if too_large or re.search("File too large|File size limit exceeded", said):
        return f"A file written here may have at most {limits.file_size / 2**20:.4g} MiB."
    if re.search("MemoryError|[Cc]annot allocate memory|std::bad_alloc|out of memory", said):
        return f"Programs here may use at most {limits.memory / 2**20:.4g} MiB of memory."
    if "No space left on device" in said:
        return (
            f"/tmp here is in memory, at most {limits.memory / 2**20:.4g} MiB; files go into the workspace."
        )
    if re.search("fork: retry|can't start new thread|Resource temporarily unavailable", said):
        return f"There may be at most {limits.processes} processes and threads here."
    return ""


TOOLS = [run_shell, run_python]
CONFINED = tuple(each.name for each in TOOLS)  # they run nothing outside the sandbox


def reaching(tools: Iterable[Tool], sandbox: Sandbox | None) -> list[Tool]:
    """The tools as they are in a sandbox: where programs reach hosts, ours that run any use the network."""
    if sandbox is None or not sandbox.hosts:
        return [*tools]
    return [_networked(each) if each in TOOLS else each for each in tools]


def _networked(tool: Tool) -> Tool:
    found = copy.copy(tool)
    found.effects = (*tool.effects, "network")
    return found
