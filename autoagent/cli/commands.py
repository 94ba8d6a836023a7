"""The commands by name, each imported when it is typed; `autoagent --help` and Tab wait for none of them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from autoagent.errors import UsageError

HELP = ["-h", "--help"]


@dataclass(frozen=True)
class Place:
    """Where a command is: a function, or the ``app`` of a group. The summary is its help's first line."""

    module: str
    name: str
    summary: str


COMMANDS = {
    "run": Place("run", "run", "Work on a goal until it is reached, declined, or out of budget."),
    "chat": Place(
        "chat", "chat", "Give goals one after the other, at a prompt; /help there says what else there is."
    ),
    "init": Place("init", "init", "Make a folder a project, with a config.toml to fill in."),
    "doctor": Place("doctor", "doctor", "See whether everything works, and what to do where it does not."),
    "config": Place("config", "app", "See and change the settings."),
    "prompts": Place("prompts", "app", "See what is said to the model, and put it in your own words."),
    "tools": Place("tools", "app", "See the tools and call one by hand."),
    "memory": Place("memory", "app", "Add to, search and forget long-term memory."),
    "runs": Place("runs", "app", "See, compare, undo, export and rate recorded runs."),
    "backup": Place(
        "backup", "backup", "Write everything a project keeps into one archive, also while runs go on."
    ),
    "restore": Place("restore", "restore", "Bring a project back from an archive of `autoagent backup`."),
    "models": Place("models", "app", "See model versions, choose one, go back."),
    "eval": Place("evals", "evaluate", "Measure a model on a suite of goals, each in a fresh workspace."),
    "practice": Place(
        "practice",
        "practice",
        "Try failed runs in other ways, in copies of their workspaces, and keep what is verified.",
    ),
    "evolve": Place("evolve", "evolve", "Practise, learn and measure, round after round, unattended."),
    "finetune": Place(
        "finetune",
        "finetune",
        "Learn from the verified runs, and use what was learned if it is measurably better.",
    ),
}


class Commands(TyperGroup):
    """The group of all commands: it lists them by their summaries, and loads the one that is typed."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=place.summary) for name, place in COMMANDS.items()}

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options, those that typer adds for completion included."""
        return _without_types(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that ``args`` begin with, and what follows it."""
        if args and any(letter.isspace() for letter in args[0]):
            raise UsageError(f'no command was given: a goal goes after run: autoagent run "{args[0]}"')
        name, command, rest = super().resolve_command(ctx, args)
        rest = _completed(rest) if name == "run" else rest
        return name, load(name, whole=False) if name in COMMANDS else command, rest


def _completed(args: list[str]) -> list[str]:
    """``--resume`` may stand without a run, which typer does not know: its value is empty then.

    >>> _completed(["--resume", "-q"])
    ['--resume=', '-q']
    """
    followed = [*args[1:], "-"]
    return [
        "--resume=" if each == "--resume" and after.startswith("-") else each
        for each, after in zip(args, followed, strict=False)
    ]


class PartlyLoaded(TyperGroup):
    """A group in which one command, which needs much more than others, is imported only when it is typed."""

    heavy: tuple[str, Place]  # its name
    after: str  # the command it follows in the help

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        name, place = self.heavy
        stub = {name: TyperCommand(name, help=place.summary)}
        there = [*self.commands.items()]
        at = [each for each, _ in there].index(self.after) + 1
        self.commands = {**dict(there[:at]), **stub, **dict(there[at:])}

    def complete(self) -> None:
        """Import what is missing."""
        name, place = self.heavy
        self.commands[name] = _made(name, place)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that ``args`` begin with, and what follows it."""
        if args and args[0] == self.heavy[0]:
            self.complete()
        return super().resolve_command(ctx, args)


def load(name: str, *, whole: bool = True) -> Any:
    """Import a command and make it what typer runs; ``whole``: with all commands of a group."""
    command = _made(name, COMMANDS[name])
    if whole and isinstance(command, PartlyLoaded):
        command.complete()
    return command


def _made(name: str, place: Place) -> Any:
    found = getattr(importlib.import_module(f"autoagent.cli.{place.module}"), place.name)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        for each in [group, *group.commands.values()]:
            _flags_have_no_value(each)
        return group
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    command = typer.main.get_command(alone)
    _flags_have_no_value(command)
    return command


def _flags_have_no_value(command: Any) -> None:
    """Typer's help writes ``<bool>`` after ``--quiet``, as if a word had to follow."""
    _without_types(command.get_params(typer.Context(command, help_option_names=HELP)))


def _without_types(params: list[Any]) -> list[Any]:
    for each in params:
        if getattr(each, "is_flag", False) and each.metavar is None:
            each.metavar = ""
    return params
