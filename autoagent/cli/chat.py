"""``autoagent chat``: goals one after the other, each a run of its own; on a terminal with all comfort."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import typer

from autoagent.cli.chat_commands import COMMANDS, Leave, carry_out, tools_of
from autoagent.cli.chat_talk import ChatOptions, Talk
from autoagent.cli.chat_terminal import Interrupts, mark
from autoagent.cli.options import takes
from autoagent.cli.parts import parts_of


@takes(ChatOptions)
def chat(ctx: typer.Context, options: ChatOptions) -> None:
    """Give goals one after the other, at a prompt; /help there says what else there is."""
    interrupts = Interrupts()
    there = sys.stdin.isatty() and sys.stdout.isatty()
    with interrupts.watched(), closing(Talk(parts_of(ctx), options, interrupts, there)) as talk:
        if there:
            talk.read = _prompt(talk)
            model = talk.gauge.named(talk.gauge.model)
            talk.tell(f"autoagent {version('autoagent')} · model {model} · {_short(talk.place)}")
            talk.tell("Type a goal, or /help.")
        _converse(talk)


def _converse(talk: Talk) -> None:
    """Read and answer until there is no more. What goes wrong is told, and the chat goes on."""
    while True:
        try:
            carry_out(talk, _next_line(talk))
        except Leave:
            return
        except EOFError:
            if talk.interrupts.leaving:
                raise KeyboardInterrupt from None
            print()
            return
        except KeyboardInterrupt:
            if talk.interrupts.leaving or not talk.there:
                raise
        except Exception as problem:
            if talk.interrupts.leaving:  # its screen is gone, and that is why
                raise KeyboardInterrupt from None
            talk.tell_problem(problem)


def _next_line(talk: Talk) -> str:
    """What is typed next; without a terminal there is no prompt."""
    if talk.there:
        print()
        return talk.read(mark()).strip()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


def _prompt(talk: Talk) -> Callable[[str], str]:
    if talk.out.is_dumb_terminal:  # which cannot do what editing takes
        return input
    from autoagent.cli.chat_input import Prompt  # brings prompt_toolkit in

    return Prompt(
        talk.parts.home,
        talk.place,
        commands=[(name, each.about) for name, each in COMMANDS.items() if each.about],
        offers=lambda command: COMMANDS[command].offer(talk),
        tools=lambda: tools_of(talk),
        foot=talk.gauge.line,
    )


def _short(folder: Path) -> str:
    """With ``~`` for the user's own folder."""
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if home in folder.parents else str(folder)
