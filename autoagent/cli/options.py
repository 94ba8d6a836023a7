"""Options that several commands share, as one object per command instead of a dozen parameters."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from autoagent.agent import Agent
from autoagent.cli.parts import Parts
from autoagent.config import LARGEST_SEED, Limits, Sampling
from autoagent.errors import UsageError
from autoagent.security import Approve
from autoagent.tools import Tool, tools_from_file

Options = TypeVar("Options")
Command = Callable[[typer.Context, Options], None]
Option = typer.Option


def named(name: str | Path) -> Path:
    """A path as it was typed; an empty one (``-w "$UNSET"``) must not mean the current folder."""
    if not str(name):
        raise typer.BadParameter("the name is empty")
    return Path(name)


class OutputFormat(StrEnum):
    """How ``run`` reports."""

    TEXT = "text"
    JSON = "json"
    STREAM_JSON = "stream-json"


class ReportFormat(StrEnum):
    """How ``eval`` and ``finetune`` report."""

    TEXT = "text"
    JSON = "json"


def takes(options: type[Options]) -> Callable[[Command[Options]], Callable[..., None]]:
    """Let a command take all its options as one dataclass, whose fields say what typer is to parse."""

    def decorate(command: Command[Options]) -> Callable[..., None]:
        hints = get_type_hints(options, include_extras=True)
        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        parameters = [context]
        own = inspect.get_annotations(options)
        found = dataclasses.fields(options)  # type: ignore[arg-type]
        # The command's own options come first in its --help, those it shares after them.
        for each in sorted(found, key=lambda one: one.name not in own):
            default = each.default
            if each.default_factory is not dataclasses.MISSING:
                default = each.default_factory()
            elif default is dataclasses.MISSING:
                default = inspect.Parameter.empty
            parameters.append(
                inspect.Parameter(
                    each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[each.name]
                )
            )

        @functools.wraps(command)
        def parsed(ctx: typer.Context, **values: Any) -> None:
            command(ctx, options(**values))

        del parsed.__wrapped__  # or its two parameters would be looked at
        parsed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        parsed.__annotations__ = {each.name: each.annotation for each in parameters}
        return parsed

    return decorate


@dataclass(frozen=True, kw_only=True)
class AgentOptions:
    """What an agent is made with, for ``run`` and ``chat``. None: the configuration decides."""

    workspace: Annotated[
        Path,
        Option("--workspace", "-w", metavar="DIR", parser=named, help="Folder the agent may read and write."),
    ] = Path(".")
    model: Annotated[
        str | None, Option("--model", "-m", metavar="MODEL", help="Version name, model folder or hub id.")
    ] = None
    max_steps: Annotated[int | None, Option(min=1, help="Model calls after the plan.")] = None
    max_tokens: Annotated[int | None, Option(min=1, help="Tokens of the whole run, plan included.")] = None
    timeout: Annotated[float | None, Option(help="Time for the whole run, in seconds.")] = None
    tools: Annotated[
        list[Path], Option("--tools", metavar="FILE.py", help="Python file with your own tools. Repeatable.")
    ] = field(default_factory=list)
    seed: Annotated[int | None, Option(min=0, max=LARGEST_SEED, help="Seed of everything that draws.")] = None
    temperature: Annotated[
        float, Option(min=0, max=100, help="0 is greedy; 1 samples as the model would.")
    ] = 0.0
    yes: Annotated[bool, Option("--yes", help="Say yes to every request for permission.")] = False
    no_memory: Annotated[bool, Option("--no-memory", help="Do without long-term memory.")] = False

    def agent(self, parts: Parts, approve: Approve) -> Agent:
        """Build the agent: flags win over the environment, the project's settings and the user's.

        Raises:
            UsageError: something that was asked for cannot be had.
        """
        config = parts.config
        given = {"max_steps": self.max_steps, "max_tokens": self.max_tokens, "timeout": self.timeout}
        limits = {key: config[key] for key in Limits.model_fields}
        limits |= {key: value for key, value in given.items() if value is not None}
        if not limits["timeout"] > 0:  # nor is "nan"
            raise UsageError(f"--timeout {limits['timeout']:g} is no time at all: give seconds above 0")
        seed = config["seed"] if self.seed is None else self.seed
        return Agent(
            tools=custom_tools(parts, self.tools),
            model=parts.model(config["model"] if self.model is None else self.model),
            workspace=self.workspace,
            home=parts.home,
            limits=Limits(**limits),
            sampling=Sampling(temperature=self.temperature, seed=seed),
            approve=approve,
            memory=config["memory"] and not self.no_memory,
            services=parts.services,
        )


def custom_tools(parts: Parts, files: list[Path]) -> list[Tool]:
    """The user's own tools: those of the configuration, then those of ``--tools``."""
    wanted = dict.fromkeys(Path(file).absolute() for file in [*parts.config["tools"], *files])
    return [tool for file in wanted for tool in tools_from_file(file)]
