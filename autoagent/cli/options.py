"""Options that several commands share, as one object per command instead of a dozen parameters."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from autoagent.cli import complete, console
from autoagent.cli.names import named as named
from autoagent.cli.parts import Parts
from autoagent.config import LARGEST_SEED, Conduct, Limits, Safety, Sampling, Settings
from autoagent.configfile import add_permission_rule
from autoagent.errors import UsageError
from autoagent.home import expanded
from autoagent.memory import LazyMemory
from autoagent.security import Approve, Rules, Sandbox, refuse
from autoagent.settings import Config, with_flags
from autoagent.tools import Tool, plugin_tools, tools_from_file

if TYPE_CHECKING:
    from autoagent.agent import Agent
    from autoagent.loop import Edit, Steer

Options = TypeVar("Options")
Command = Callable[[typer.Context, Options], None]
Option = typer.Option

# Panels of --help.
MODEL: dict[str, Any] = {"rich_help_panel": "Model"}
BUDGET: dict[str, Any] = {"rich_help_panel": "Budget"}
SAMPLING: dict[str, Any] = {"rich_help_panel": "Sampling"}
TOOLS: dict[str, Any] = {"rich_help_panel": "Tools and permissions"}


class PlanMode(StrEnum):
    """What is done about a plan before acting."""

    AUTO = "auto"
    ASK = "ask"
    OFF = "off"


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


@dataclass(frozen=True)
class Contact:
    """How a run reaches its user; by default it cannot."""

    approve: Approve = refuse
    ask_user: Callable[[str], str] | None = None
    edit_plan: Edit | None = None
    steer: Steer | None = None


@dataclass(frozen=True, kw_only=True)
class AgentOptions:
    """What an agent is made with, for ``run`` and ``chat``. None: the configuration decides."""

    workspace: Annotated[
        Path,
        Option("--workspace", "-w", metavar="DIR", parser=named, help="Folder the agent may read and write."),
    ] = Path(".")
    model: Annotated[
        str | None,
        Option(
            "--model",
            "-m",
            metavar="MODEL",
            autocompletion=complete.versions,
            help="Version name, model folder, hub id or openai:NAME.",
        ),
    ] = None
    base_url: Annotated[
        str | None, Option(metavar="URL", help="Address of the server of an openai: model.", **MODEL)
    ] = None
    window: Annotated[int | None, Option(min=256, help="Tokens the model can see at once.", **MODEL)] = None
    device: Annotated[
        str | None, Option(metavar="DEVICE", help="Where a local model runs: cpu, cuda, mps.", **MODEL)
    ] = None
    dtype: Annotated[str | None, Option(metavar="DTYPE", help="Number format of its weights.", **MODEL)] = (
        None
    )
    trust_remote_code: Annotated[
        bool, Option("--trust-remote-code", help="Run Python code that comes with a model.", **MODEL)
    ] = False
    max_steps: Annotated[int | None, Option(min=1, help="Model calls after the plan.", **BUDGET)] = None
    max_tokens: Annotated[
        int | None, Option(min=1, help="Tokens of the whole run, plan included.", **BUDGET)
    ] = None
    timeout: Annotated[float | None, Option(help="Time for the whole run, in seconds.", **BUDGET)] = None
    retries: Annotated[
        int | None, Option(min=0, help="Times a refuted check is told to the agent, which goes on.", **BUDGET)
    ] = None
    temperature: Annotated[
        float | None, Option(min=0, max=100, help="0 is greedy; 1 samples as the model would.", **SAMPLING)
    ] = None
    top_k: Annotated[int | None, Option(min=0, help="Keep the k likeliest tokens.", **SAMPLING)] = None
    top_p: Annotated[
        float | None, Option(help="Keep the likeliest tokens up to this probability.", **SAMPLING)
    ] = None
    min_p: Annotated[
        float | None, Option(help="Drop tokens below this share of the likeliest's.", **SAMPLING)
    ] = None
    repetition_penalty: Annotated[
        float | None, Option(help="Above 1, what occurred before gets less likely.", **SAMPLING)
    ] = None
    seed: Annotated[
        int | None, Option(min=0, max=LARGEST_SEED, help="Seed of everything that draws.", **SAMPLING)
    ] = None
    plan: Annotated[
        PlanMode | None, Option("--plan", help="Plan and go on, let me edit the plan first, or none.")
    ] = None
    dry_run: Annotated[bool, Option("--dry-run", help="Change nothing; show what would be done.")] = False
    recall: Annotated[
        int | None, Option(min=0, max=20, help="Memories put before the agent at the goal.")
    ] = None
    tools: Annotated[
        list[Path],
        Option("--tools", metavar="FILE.py", help="Python file with your own tools. Repeatable.", **TOOLS),
    ] = field(default_factory=list)
    allow: Annotated[
        list[str], Option(metavar="RULE", help='No need to ask: "run_shell(git *)". Repeatable.', **TOOLS)
    ] = field(default_factory=list)
    ask: Annotated[list[str], Option(metavar="RULE", help="Ask me first. Repeatable.", **TOOLS)] = field(
        default_factory=list
    )
    deny: Annotated[list[str], Option(metavar="RULE", help="Never. Repeatable.", **TOOLS)] = field(
        default_factory=list
    )
    allow_host: Annotated[
        list[str], Option(metavar="HOST", help="Host the web tools may reach. Repeatable.", **TOOLS)
    ] = field(default_factory=list)
    program_host: Annotated[
        list[str],
        Option(metavar="HOST", help="Host that programs in the sandbox may reach. Repeatable.", **TOOLS),
    ] = field(default_factory=list)
    unsafe_no_sandbox: Annotated[
        bool,
        Option("--unsafe-no-sandbox", help="Run programs with your own rights.", **TOOLS),
    ] = False
    yes: Annotated[bool, Option("--yes", help="Say yes to every request for permission.", **TOOLS)] = False
    no_memory: Annotated[bool, Option("--no-memory", help="Do without long-term memory.")] = False

    def agent(self, parts: Parts, contact: Contact, about: Mapping[str, Any] | None = None) -> Agent:
        """Build the agent: flags win over the environment, the project's settings and the user's.

        Args:
            parts: What commands are built from.
            contact: How runs reach the user.
            about: What is kept with each run.

        Raises:
            UsageError: something that was asked for cannot be had.
        """
        from autoagent.agent import Agent  # and all that it wires

        config = self.config(parts)
        rules = config.permissions
        if config.sandbox == "off":
            text = (
                "autoagent: warning: no sandbox: programs reach all that you can (files, network, processes)"
            )
            console.err().print(text, style="yellow", soft_wrap=True)
        sandbox = Sandbox.chosen(config.sandbox, config.program_hosts)
        if config.program_hosts and sandbox.blocked:
            text = f"autoagent: warning: {sandbox.blocked}"
            console.err().print(console.clean(text), style="yellow", soft_wrap=True)
        missing = not os.path.exists(expanded(self.workspace))  # mistyped, perhaps; False of any odd name
        agent = Agent(
            tools=all_tools(parts, config),
            model=parts.followed(config),
            workspace=self.workspace,
            home=parts.home,
            limits=Limits(**chosen(config, Limits)),
            sampling=Sampling(**chosen(config, Sampling)),
            conduct=Conduct(**chosen(config, Conduct)),
            safety=Safety(**chosen(config, Safety)),
            prompts=parts.prompts,
            approve=contact.approve,
            rules=Rules(rules.allow, rules.ask, rules.deny),
            remember=lambda rule: add_permission_rule(parts.home, rule),
            sandbox=sandbox,
            hosts=config.hosts,
            protected=[*map(Path, config.tools), parts.prompts],
            memory=opened_lazily(parts.home, config) if config.memory else False,
            services=parts.services,
            ask_user=contact.ask_user,
            edit_plan=contact.edit_plan,
            steer=contact.steer,
            about={"model": config.model, **(about or {})},
        )
        if missing:
            text = f"autoagent: note: made the folder {expanded(self.workspace).resolve()}"
            console.err().print(console.clean(text), style="yellow", soft_wrap=True)
        return agent

    def config(self, parts: Parts) -> Config:
        """All settings, flags included.

        Raises:
            UsageError: a setting or a flag is not what it has to be.
        """
        if self.model is not None and not self.model.strip():
            raise UsageError("the model's name is empty: give a version, a model folder or a hub id")
        if self.timeout is not None and not self.timeout > 0:  # nor is "nan"
            raise UsageError(f"--timeout {self.timeout:g} is no time at all: give seconds above 0")
        model = self.model or parts.settings.model
        if self.base_url is not None and not model.startswith("openai:"):
            raise UsageError(f"--base-url is for a model on a server, not for {model}: --model openai:NAME")
        flags = {name: getattr(self, name) for name in _PLAIN}
        rules = {kind: getattr(self, kind) for kind in ("allow", "ask", "deny") if getattr(self, kind)}
        files = [*parts.settings.tools, *(str(Path(file).absolute()) for file in self.tools)]
        said = {
            "plan": self.plan and self.plan.value,
            "dry_run": self.dry_run or None,
            "trust_remote_code": self.trust_remote_code or None,
            "tools": list(dict.fromkeys(files)),
            "hosts": [*parts.settings.hosts, *self.allow_host],
            "program_hosts": [*parts.settings.program_hosts, *self.program_host],
            "sandbox": "off" if self.unsafe_no_sandbox else None,
            "memory": False if self.no_memory else None,
            "permissions": rules or None,
        }
        return with_flags(parts.settings, flags | said)


_PLAIN = (  # flags that are settings of the same name
    "model", "base_url", "window", "device", "dtype", "max_steps", "max_tokens", "timeout", "retries",
    "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "recall",
)  # fmt: skip


def chosen(config: Config, group: type[Settings]) -> dict[str, Any]:
    """The settings of one group, by name."""
    return {name: getattr(config, name) for name in group.model_fields}


def opened_lazily(home: Path, config: Config) -> LazyMemory:
    """The long-term memory that the settings name; nothing is opened before it is needed."""
    return LazyMemory(home, url=config.memory_url, embedder=config.memory_embedder)


def custom_tools(parts: Parts, files: Sequence[Path]) -> list[Tool]:
    """The user's own tools: those of the configuration, then those of ``--tools``."""
    wanted = dict.fromkeys(Path(file).absolute() for file in [*parts.config["tools"], *files])
    return [tool for file in wanted for tool in tools_from_file(file)]


def all_tools(parts: Parts, config: Config) -> list[Tool]:
    """The tools of installed packages, then the user's own; a package whose tools fail is told of."""
    found, notes = plugin_tools()
    for note in notes:
        console.err().print(console.clean(f"autoagent: note: {note}"), style="yellow", soft_wrap=True)
    return [*found, *custom_tools(parts, [Path(file) for file in config.tools])]
