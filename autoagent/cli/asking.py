"""What a run asks of the person at the terminal: an answer, a plan to follow."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from autoagent.cli.approval import approver
from autoagent.cli.console import clean
from autoagent.cli.options import Contact
from autoagent.errors import UsageError

_HEADER = "# One sub-goal a line. Save and close to follow this plan; an empty file stops the run.\n"


def contact_at(console: Console, *, yes: bool, pause: Callable[[], None], asks_plan: bool = False) -> Contact:
    """Everything a run may ask, on this console; without a terminal only ``--yes`` is an answer.

    Args:
        console: Where questions are shown.
        yes: Whether every permission was granted beforehand.
        pause: Called before a question, to stop what moves on the screen.
        asks_plan: Whether plans are to be edited.

    Raises:
        UsageError: a plan cannot be edited where nobody is.
    """
    there = sys.stdin.isatty() and console.is_terminal
    if asks_plan and not there:
        raise UsageError("--plan ask needs a terminal to show the plan on: use --plan auto")

    def ask_user(question: str) -> str:
        pause()
        console.print(
            Text("\nQuestion: ", style="bold yellow").append(clean(question), style="not bold default")
        )
        return _line(console, "       > ")

    def edit_plan(plan: tuple[str, ...]) -> Sequence[str]:
        pause()
        choices = "       Enter to follow it, e to edit it, n to stop, or type your own: first; then; …"
        console.print(Text(choices, style="dim"), soft_wrap=True)
        return planned(_line(console, "       > "), plan)

    return Contact(
        approve=approver(console, yes=yes, pause=pause),
        ask_user=ask_user if there else None,
        edit_plan=edit_plan if asks_plan else None,
    )


def planned(typed: str, plan: tuple[str, ...]) -> Sequence[str]:
    """The plan to follow, from what was typed.

    >>> planned("read it; count the lines", ("guess",))
    ['read it', 'count the lines']
    """
    word = typed.strip()
    if word.lower() in ("", "y", "yes"):
        return plan
    if word.lower() in ("n", "no"):
        raise KeyboardInterrupt
    if word.lower() in ("e", "edit"):
        text = _edited(_HEADER + "\n".join(plan) + "\n")
        lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
        if not any(lines):
            raise KeyboardInterrupt
        return [line for line in lines if line]
    return [part.strip() for part in word.split(";") if part.strip()]


def _edited(text: str) -> str:
    """The text as it stands after the user's editor.

    Raises:
        UsageError: the editor cannot be started.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with TemporaryDirectory(prefix="autoagent-plan-") as folder:
        file = Path(folder) / "plan.txt"
        file.write_text(text, encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(file)], check=False)
        except (OSError, ValueError) as problem:
            raise UsageError(f"the editor {editor!r} cannot be started ({problem}): set EDITOR") from None
        return file.read_text(encoding="utf-8", errors="replace")


def _line(console: Console, prompt: str) -> str:
    """What is typed; the end of input is Ctrl-C."""
    console.print(Text(prompt), end="")
    try:
        typed = sys.stdin.readline()
    except OSError:  # the terminal was closed
        typed = ""
    if not typed:
        raise KeyboardInterrupt
    return typed.rstrip("\n")
