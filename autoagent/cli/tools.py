"""``autoagent tools``: see the tools an agent has, and call one by hand."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.exits import Exit
from autoagent.cli.options import custom_tools, named
from autoagent.cli.parts import Parts, parts_of
from autoagent.errors import AutoagentError, Denied, InvalidCall, ToolError, UsageError
from autoagent.memory import LazyMemory
from autoagent.security import Policy, Request
from autoagent.tools import Context, Tool, Toolbox, builtin_tools
from autoagent.workspace import Workspace

app = typer.Typer(help="See the tools and call one by hand.", no_args_is_help=True)

Files = Annotated[
    list[Path] | None,
    typer.Option("--tools", metavar="FILE.py", help="Python file with your own tools."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a tool.")]


@app.command("list")
def list_tools(
    ctx: typer.Context,
    tools: Files = None,
    goal: Annotated[
        str | None, typer.Option("--goal", "-g", help="Only the tools shown for this goal, best first.")
    ] = None,
) -> None:
    """List the tools; with --goal, those that the model would see, in that order."""
    parts = parts_of(ctx)
    box = _toolbox(parts, tools)
    if goal is not None:
        box = box.shown_for(goal, at_most=parts.config["shown_tools"])
    screen = console.out()
    width = max(len(tool.name) for tool in box)
    for tool in box:
        line = Text(tool.name.ljust(width + 2), style="bold cyan")
        line.append(console.clean(tool.description), style="not bold default")
        line.append(f"  {', '.join(tool.effects)}", style="not bold default dim")
        screen.print(line, soft_wrap=True)


@app.command()
def show(ctx: typer.Context, name: Name, tools: Files = None) -> None:
    """Show one tool: what it does, its arguments, its effects, its JSON schema."""
    tool = _tool(_toolbox(parts_of(ctx), tools), name)
    screen = console.out()
    screen.print(Text(tool.name, style="bold cyan"))
    screen.print(console.clean(tool.description), soft_wrap=True)
    effects = ", ".join(tool.effects) or "none"
    screen.print(Text("\neffects    ", style="dim").append(effects, style="not dim"))
    for number, (argument, schema) in enumerate(tool.parameters["properties"].items()):
        line = Text("arguments  " if number == 0 else " " * 11, style="dim")
        line.append(_argument(argument, schema, tool), style="not dim")
        screen.print(line, soft_wrap=True)
    screen.print()
    print(json.dumps(tool.schema, ensure_ascii=False, indent=2))


def _argument(name: str, schema: dict[str, Any], tool: Tool) -> str:
    kinds = [schema, *schema.get("anyOf", [])]
    text = f"{name}: {' or '.join(kind['type'] for kind in kinds if 'type' in kind) or 'any'}"
    if name not in tool.parameters.get("required", []):
        text += f", by default {json.dumps(schema.get('default'), ensure_ascii=False)}"
    return console.clean(text + (f" – {schema['description']}" if schema.get("description") else ""))


@app.command()
def call(
    ctx: typer.Context,
    name: Name,
    arguments: Annotated[str, typer.Argument(metavar="JSON", help='Like {"path": "notes.txt"}.')] = "{}",
    workspace: Annotated[
        Path, typer.Option("--workspace", "-w", metavar="DIR", parser=named, help="Its folder.")
    ] = Path("."),
    tools: Files = None,
    yes: Annotated[bool, typer.Option("--yes", help="Say yes to requests for permission.")] = False,
) -> None:
    """Call a tool by hand, under the same policy as an agent's."""
    parts = parts_of(ctx)
    tool = _tool(_toolbox(parts, tools), name)
    given = _arguments(arguments)
    policy = Policy(approve=console.approver(console.err(), yes=yes))
    memory = LazyMemory(parts.home)
    try:
        ready = tool.validate(given)
        wanted = policy.asks(tool.effects)
        if wanted:
            policy.permit(Request(tool=tool.name, arguments=ready, effects=wanted))
        place = Workspace.at(workspace, protected=[parts.home])
        result = tool.carry_out(ready, Context(workspace=place, memory=memory, services=parts.services))
    except InvalidCall as problem:
        raise UsageError(str(problem)) from None
    except Denied as problem:
        raise _failed(f"{problem}: --yes grants it", Exit.DENIED) from None
    except ToolError as problem:
        raise _failed(str(problem), Exit.ERROR) from None
    except AutoagentError:
        raise
    except Exception as fault:
        raise _failed(_raised(tool, fault), Exit.ERROR) from fault
    finally:
        memory.close()
    print(result)


def _raised(tool: Tool, fault: Exception) -> str:
    """A tool's fault in one line, with the place in its own code."""
    last = traceback.extract_tb(fault.__traceback__)[-1]
    what = f"{type(fault).__name__}: {fault}".replace("\n", " ")
    return f"autoagent: error: tool {tool.name} raised {what} ({last.filename}, line {last.lineno})"


def _failed(message: str, code: Exit) -> typer.Exit:
    console.err().print(console.clean(message), soft_wrap=True)
    return typer.Exit(code)


def _toolbox(parts: Parts, files: list[Path] | None) -> Toolbox:
    return Toolbox([*custom_tools(parts, files or []), *builtin_tools()])


def _tool(box: Toolbox, name: str) -> Tool:
    try:
        return box[name]
    except InvalidCall as problem:
        raise UsageError(str(problem)) from None


def _arguments(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f'the arguments are not JSON ({error}): write them like \'{{"path": "notes.txt"}}\''
        ) from None
    if not isinstance(given, dict):
        raise UsageError('the arguments must be a JSON object, like {"path": "notes.txt"}')
    return given
