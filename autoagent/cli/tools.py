"""``autoagent tools``: see the tools an agent has, and call one by hand."""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from autoagent.cli import complete, console
from autoagent.cli.approval import approver
from autoagent.cli.exits import Exit
from autoagent.cli.options import AgentOptions, Contact, all_tools, named, opened_lazily
from autoagent.cli.parts import Parts, parts_of
from autoagent.configfile import add_permission_rule
from autoagent.errors import AutoagentError, Denied, InvalidCall, ToolError, UsageError
from autoagent.security import Policy, Rules, Sandbox, preview
from autoagent.tools import Context, Tool, Toolbox, builtin_tools
from autoagent.tools.execute import CONFINED, reaching
from autoagent.workspace import Workspace

app = typer.Typer(help="See the tools and call one by hand.", no_args_is_help=True)

Files = Annotated[
    list[Path] | None,
    typer.Option("--tools", metavar="FILE.py", help="Python file with your own tools."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a tool.", autocompletion=complete.tools)]


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
    for rule in _rules(parts).naming_nothing(tuple(tool.name for tool in box)):
        console.err().print(f"autoagent: note: the rule {console.clean(str(rule))} is about no tool there is")
    if goal is not None:
        box = AgentOptions(tools=tools or []).agent(parts, Contact()).tools_for(goal)
    screen = console.out()
    width = max(len(tool.name) for tool in box)
    for tool in box:
        line = Text(tool.name.ljust(width + 2), style="bold cyan")
        line.append(console.clean(tool.description), style="not bold default")
        about = [", ".join(tool.effects) or "no effects", _decision(parts, tool)]
        about += [tool.source] if tool.source != "built in" else []
        line.append(f"  {console.clean(' · '.join(about))}", style="not bold default dim")
        screen.print(line, soft_wrap=True)


@app.command()
def show(ctx: typer.Context, name: Name, tools: Files = None) -> None:
    """Show one tool: what it does, its arguments, its effects, whether it may, its JSON schema."""
    parts = parts_of(ctx)
    tool = tool_named(_toolbox(parts, tools), name)
    screen = console.out()
    screen.print(Text(tool.name, style="bold cyan"))
    screen.print(console.clean(tool.description), soft_wrap=True)
    facts = [("effects", ", ".join(tool.effects) or "none"), ("from", tool.source or "this program")]
    lacking = _lacking(parts, tool)
    facts += [
        ("may it", _decision(parts, tool) + (f": {lacking}" if lacking else "")),
        *(("rule", line) for line in _rules_about(parts, tool)),
    ]
    facts += [
        ("arguments" if number == 0 else "", _argument(argument, schema, tool))
        for number, (argument, schema) in enumerate(tool.parameters["properties"].items())
    ]
    screen.print()
    for key, value in facts:
        line = Text(key.ljust(11), style="dim").append(console.clean(value), style="not dim")
        screen.print(line, soft_wrap=True)
    screen.print()
    print(json.dumps(tool.schema, ensure_ascii=False, indent=2))


def _decision(parts: Parts, tool: Tool) -> str:
    """Whether a call of the tool is allowed, asked about or denied, as far as arguments do not matter."""
    if _lacking(parts, tool):
        return "not available"
    decision, _ = _policy(parts, _sandbox(parts)).decide(tool.name, tool.effects, {})
    some = [line for line in _rules_about(parts, tool) if "(" in line]
    return decision + (", some calls otherwise" if some else "")


def _rules_about(parts: Parts, tool: Tool) -> list[str]:
    rules = _rules(parts)
    kinds = (("deny", rules.deny), ("ask", rules.ask), ("allow", rules.allow))
    return [f"{kind} {rule}" for kind, found in kinds for rule in found if rule.names(tool.name)]


def _lacking(parts: Parts, tool: Tool, sandbox: Sandbox | None = None) -> str:
    """What keeps a tool from working here, and the fix."""
    if tool.needs == "hosts" and not parts.settings.hosts:
        return 'no host is allowed: autoagent config set hosts "example.org"'
    return (sandbox or _sandbox(parts)).blocked if tool.needs == "sandbox" else ""


def _rules(parts: Parts, allow: Sequence[str] = ()) -> Rules:
    kept = parts.settings.permissions
    return Rules(allow=(*kept.allow, *allow), ask=kept.ask, deny=kept.deny)


def _sandbox(parts: Parts) -> Sandbox:
    return Sandbox.chosen(parts.settings.sandbox, parts.settings.program_hosts)


def _policy(
    parts: Parts,
    sandbox: Sandbox,
    *,
    yes: bool = False,
    workspace: Path | None = None,
    allow: Sequence[str] = (),
) -> Policy:
    """The policy of an agent, as the settings have it, and more that is allowed."""
    return Policy(
        approve=approver(console.err(), yes=yes),
        rules=_rules(parts, allow),
        remember=lambda rule: add_permission_rule(parts.home, rule),
        workspace=workspace,
        sandboxed=() if sandbox.unsafe else CONFINED,
    )


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
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="RULE", help='No need to ask: "run_shell(git *)". Repeatable.'),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Say yes to requests for permission.")] = False,
    unsafe: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="Run programs without protection, with your rights.")
    ] = False,
) -> None:
    """Call a tool by hand, under the same policy as an agent's."""
    parts = parts_of(ctx)
    tool = tool_named(_toolbox(parts, tools), name)
    given = _arguments(arguments)
    sandbox = Sandbox(unsafe=True) if unsafe else _sandbox(parts)
    if lacking := _lacking(parts, tool, sandbox):
        raise UsageError(f"{tool.name} is not available: {lacking}")
    memory = opened_lazily(parts.home, parts.settings)
    try:
        ready = tool.validate(given)
        place = Workspace.at(workspace, protected=[parts.home])
        policy = _policy(parts, sandbox, yes=yes, workspace=place.root, allow=allow or ())
        ours = tool.source == "built in"
        shown = functools.partial(preview, tool.name, ready, place, built_in=ours)
        wanted = policy.asks(tool.name, tool.effects, ready, preview=shown)
        if wanted is not None:
            policy.permit(wanted)
        around = Context(place, memory, parts.services, sandbox, parts.settings.hosts, hides=policy.hides)
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is not its result
            result = tool.carry_out(ready, around)
    except InvalidCall as problem:
        raise UsageError(str(problem)) from None
    except Denied as problem:
        raise _failed(str(problem), Exit.DENIED) from None
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
    config = AgentOptions(tools=files or []).config(parts)
    return Toolbox([*all_tools(parts, config), *reaching(builtin_tools(), _sandbox(parts))])


def tool_named(box: Toolbox, name: str) -> Tool:
    """One tool; the one that was perhaps meant stands in the error.

    Raises:
        UsageError: there is no such tool.
    """
    names = [tool.name for tool in box]
    if name in names:
        return box[name]
    near = [each for each in names if name and name in each] or difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(near[:3])}?" if near else "see `autoagent tools list`"
    raise UsageError(f"there is no tool {name!r}: {hint}")


def _arguments(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f'the arguments are not JSON ({error}): write them like \'{{"path": "notes.txt"}}\''
        ) from None
    if not isinstance(given, dict):
        raise UsageError('the arguments must be a JSON object, like {"path": "notes.txt"}')
    return given
