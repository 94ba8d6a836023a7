"""The question that asks permission, and what an answer means."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress

from rich.console import Console
from rich.text import Text

from autoagent.cli.console import LONGEST_VALUE, clean, cut
from autoagent.errors import AutoagentError
from autoagent.security import Answer, Approve, Diff, Request, agree, refuse


def approver(console: Console, *, yes: bool, pause: Callable[[], None] = lambda: None) -> Approve:
    """Who answers requests for permission: ``--yes``, the person at the terminal, or nobody, which means no.

    Args:
        console: Where to ask.
        yes: Whether everything was granted beforehand.
        pause: Called before a question, to stop what moves on the screen.
    """
    if yes:
        return agree
    if not (sys.stdin.isatty() and console.is_terminal):
        return refuse

    def ask(request: Request) -> bool | Answer:
        pause()
        console.print(_question(request), soft_wrap=True)
        while True:
            console.print(Text(f"       {_choices(request)} y/N: ", style="bold"), end="", soft_wrap=True)
            answer = understood(_typed(console), request)
            if answer is not None:
                return answer
            letters = ", ".join(letter for letter, scope in _LETTERS.items() if scope in request.scopes)
            console.print(
                Text(f"       {letters} or n; or n and what the model should know, like: n use a copy")
            )

    return ask


_LETTERS = {"y": "once", "r": "run", "a": "always"}  # and what each holds for


def _typed(console: Console) -> str:
    """A line; Ctrl-C where the terminal was closed meanwhile."""
    try:
        return sys.stdin.readline()
    except OSError:
        raise KeyboardInterrupt from None
    finally:
        with suppress(OSError, AutoagentError):
            console.print()


def _question(request: Request) -> Text:
    """The real call, what it would do, and what a longer yes would mean."""
    text = Text("\nMay I? ", style="bold yellow").append_text(_whole_call(request))
    if request.preview:
        text.append_text(_previewed(clean(request.preview), diff=isinstance(request.preview, Diff)))
    effects = " and ".join(map(_in_words, request.effects))
    text.append(f"\n       This would {effects}." if effects else "", style="not bold default")
    text.append(
        f"\n       Asked because {_one_line(request.reason)}." if request.reason else "", style="not bold dim"
    )
    if request.rule:
        text.append(
            f"\n       {_longer(request)}: {_one_line(_lasting(request))}", style="not bold default dim"
        )
    return text


def _longer(request: Request) -> str:
    """The answers that hold for longer than once, of those that are offered."""
    return "r and a mean" if "always" in request.scopes else "r means"


def _lasting(request: Request) -> str:
    """What a longer yes allows. The rule for a long command is that command, which stands above."""
    exact = request.arguments.get("command") == request.preview
    if exact and len(request.rule) > LONGEST_VALUE and request.rule.startswith(f"{request.tool}("):
        return f"{request.tool}, with exactly this command"
    return request.rule


def _one_line(text: str) -> str:
    """Nothing that is asked about may look like a line of ours."""
    return clean(text).replace("\n", " ⏎ ")


def _previewed(preview: str, *, diff: bool) -> Text:
    """A diff in its colours; a command or code as it is. Nothing is cut, however long it is."""
    text = Text()
    for line in preview.split("\n"):
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "default") if diff else "default"
        text.append(f"\n       │ {line}", style=f"not bold {style}")
    return text


def _choices(request: Request) -> str:
    words = {"once": "[y]es once", "run": "[r] yes in this run", "always": "[a]lways"}
    return ", ".join([*(words[scope] for scope in request.scopes if scope in words), "[n]o, or n and why."])


def understood(typed: str, request: Request) -> Answer | None:
    """What was typed as an answer; None when it means nothing. Nothing typed, or the end of input, is a no.

    >>> understood("n use a copy", Request("delete_file", {}, ("write",)))
    Answer(granted=False, scope='once', feedback='use a copy', by='user')
    """
    word, _, rest = typed.strip().partition(" ")
    word = word.lower().rstrip(",.:;")
    if word in ("", "n", "no"):
        return Answer(False, feedback=rest.strip())
    if rest:
        return None  # "yes but …" is not a yes
    scopes = {**_LETTERS, "yes": "once", "run": "run", "always": "always"}
    scope = scopes.get(word)
    return next((Answer(True, each) for each in request.scopes if each == scope), None)


def _whole_call(request: Request) -> Text:
    """Nothing is cut here but what the preview shows in full: people must see what they say yes to."""
    told = Diff.TOLD if request.preview and isinstance(request.preview, Diff) else frozenset()
    given = []
    for key, value in request.arguments.items():
        shown = json.dumps(value, ensure_ascii=False, default=str)
        again = key in told or (isinstance(value, str) and value == request.preview)
        given.append(f"{key}={cut(shown, LONGEST_VALUE) if again else shown}")
    return Text(clean(f"{request.tool}({', '.join(given)})"), style="not bold default")


def _in_words(effect: str) -> str:
    return {
        "read": "read files",
        "write": "change files",
        "execute": "run a program",
        "network": "use the network",
        "train": "train the model",
    }.get(effect, effect)
