"""Programs: a shell command, a piece of Python. Both run in the sandbox."""

from __future__ import annotations

import copy
import os
import shutil
import sys
from collections.abc import Iterable

from autoagent.errors import ToolError
from autoagent.security import Outcome, Sandbox
from autoagent.tools.base import Context, Tool, tool

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
    outcome = ctx.sandbox.run([*interpreter, text], ctx.workspace)
    if outcome.reached:
        ctx.from_outside(", ".join(outcome.reached))
    return _told(outcome)


def _told(outcome: Outcome) -> str:
    """What the model is told: the output, and how it ended where that was not well.

    Raises:
        ToolError: it failed or was stopped; the message holds the output, too.
    """
    refused = [f"Connection refused by the sandbox: {why}." for why in outcome.refused]
    output = "\n".join([outcome.output.rstrip("\n"), *refused]).lstrip("\n" if refused else "")
    if outcome.stopped:
        raise ToolError(f"{output}\nStopped: {outcome.stopped}.".lstrip("\n"))
    if outcome.code:
        how = f"signal {-outcome.code}" if outcome.code < 0 else f"exit code {outcome.code}"
        raise ToolError(f"{output}\nEnded with {how}.".lstrip("\n"))
    return output or "It ran without output."


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
