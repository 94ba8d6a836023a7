"""``autoagent runs correct``: the right action in place of a wrong one, and the run goes on from there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from autoagent.cli import console
from autoagent.cli.eval_suites import find_suite
from autoagent.cli.exits import Exit
from autoagent.cli.options import AgentOptions, Contact, Option, takes
from autoagent.cli.parts import Parts, parts_of
from autoagent.cli.runs_args import Json, Run
from autoagent.cli.screen import Screen, shortened
from autoagent.cli.streams import json_line, only_results
from autoagent.errors import UsageError
from autoagent.store import Store
from autoagent.trajectory import ToolCall, Trajectory, Verdict

if TYPE_CHECKING:
    from autoagent.evals import Suite
    from autoagent.tools import Tool
    from autoagent.training.corrections import WrongAction


@dataclass(frozen=True, kw_only=True)
class CorrectOptions:
    """What ``autoagent runs correct`` is told."""

    run: Run = "last"
    step: Annotated[
        int | None, Option("--step", min=0, help="The wrong step; by default the last that acted.")
    ] = None
    call: Annotated[
        str | None, Option("--call", metavar="CALL", help='The right call: read_file {"path": "a.txt"}.')
    ] = None
    finish: Annotated[str | None, Option("--finish", help="The right answer, to end with.")] = None
    say: Annotated[str | None, Option("--say", help="What stands before the call; by default as it was.")] = (
        None
    )
    good: Annotated[bool, Option("--good", help="The outcome is right, where no check can tell.")] = False
    suite: Annotated[
        str | None, Option(metavar="builtin|smoke|FILE.toml|env:NAME", help="The suite that the run is of.")
    ] = None
    model: Annotated[str | None, Option("--model", "-m", metavar="MODEL", help="Who goes on from there.")] = (
        None
    )
    tools: Annotated[
        list[Path], Option("--tools", metavar="FILE.py", help="Python file with your own tools. Repeatable.")
    ] = field(default_factory=list)
    as_json: Json = False

    @property
    def right(self) -> ToolCall | None:
        """The right call, if it was given.

        Raises:
            UsageError: it was given twice, or is none; or there is no terminal to ask on.
        """
        from autoagent.training.corrections import parse_call

        if self.call is not None and self.finish is not None:
            raise UsageError("give the right action once: --call or --finish")
        if self.call is not None:
            return parse_call(self.call)
        if self.finish is not None:
            return ToolCall(name="finish", arguments={"answer": self.finish})
        if not _somebody_there():
            example = """--call 'read_file {"path": "a.txt"}' or --finish TEXT"""
            raise UsageError(f"there is no terminal to ask on: say what is right with {example}")
        return None


@takes(CorrectOptions)
def correct(ctx: typer.Context, options: CorrectOptions) -> None:
    """Put the right action in place of a wrong one, and keep how the run goes on to learn from.

    It goes on in a copy of its workspace. Its check says whether it is right now; where it has none, you do.
    """
    from autoagent.training.corrections import wrong_action

    parts = parts_of(ctx)
    past, right = Store(parts.home).load(options.run), options.right
    suite = _suite(options.suite, past)
    with only_results(options.as_json) as put, Screen(console.err()) as screen:
        screen.busy("loading the model")
        with _options(past, options).agent(parts, Contact()) as agent:
            wrong = wrong_action(agent, past.run_id, step=options.step, suite=suite)
            screen.pause()
            _show(wrong, console.err())
            made = wrong.correct(right or _asked(wrong), options.say, on_event=screen.show)
        screen.pause()
        verdict = _verdict(parts, made, checked=wrong.checked, good=options.good)
        if options.as_json:
            about = {"run_id": made.run_id, "parent": made.parent, "step": wrong.step.index}
            outcome = {"answer": made.answer, "ending": made.ending, "verdict": verdict.model_dump()}
            put(json_line({**about, **outcome}))
        else:
            _conclude(made, verdict)
    if made.ending == "interrupted":
        raise KeyboardInterrupt
    raise typer.Exit(Exit.REFUTED if verdict.status == "refuted" else Exit.OK)


def _somebody_there() -> bool:
    return sys.stdin.isatty() and console.err().is_terminal


def _options(past: Trajectory, options: CorrectOptions) -> AgentOptions:
    """The agent's options: its tools are those the run had, unless others are named."""
    tools = options.tools or [Path(file) for file in past.settings.get("tools", ())]
    return AgentOptions(model=options.model, tools=tools)


def _suite(name: str | None, past: Trajectory) -> Suite | None:
    """The suite; of one that is made by seed, the one of the run's."""
    if name is None:
        return None
    from autoagent.evals import Suite
    from autoagent.training.sampling import MOST

    found = find_suite(name)
    return found if isinstance(found, Suite) else found(past.seed if past.seed < MOST else 0)


def _show(wrong: WrongAction, screen: Console) -> None:
    """What was done in the step that is corrected."""
    run, step = wrong.branch.run, wrong.step
    head = f"run {run.run_id}, step {step.index}: {' '.join(run.goal.split())}"
    screen.print(Text(console.clean(head), style="bold"), soft_wrap=True)
    if step.reply.text:
        screen.print(Text(f"  {console.clean(step.reply.text)}", style="dim"), soft_wrap=True)
    for number, call in enumerate(step.reply.calls):
        screen.print(Text("  ").append_text(console.call_text(call.name, call.arguments)), soft_wrap=True)
        seen = step.observations[number : number + 1]
        for line in [line for each in seen for line in shortened(each.content).split("\n")]:
            screen.print(Text(f"    {line}", style="dim"), soft_wrap=True)
    if not step.reply.calls:
        screen.print(Text("  (no call)", style="dim"))


def _asked(wrong: WrongAction) -> ToolCall:
    """The right call, typed: the tool's name, then each of its arguments; Enter keeps what was there."""
    names = [tool.name for tool in wrong.tools]
    before = wrong.step.reply.calls[0] if wrong.step.reply.calls else None
    console.err().print(Text(f"tools: {', '.join(names)}", style="dim"), soft_wrap=True)
    with _completing(names):
        name = typer.prompt("the right tool", default=before.name if before else None, err=True)
    while name not in names:
        console.err().print(Text(f"there is no tool {console.clean(name)}", style="yellow"))
        with _completing(names):
            name = typer.prompt("the right tool", err=True)
    return ToolCall(name=name, arguments=_arguments(wrong.tools[name], before))


def _arguments(tool: Tool, before: ToolCall | None) -> dict[str, Any]:
    had = before.arguments if before is not None and before.name == tool.name else {}
    needed = tool.parameters.get("required", ())
    given: dict[str, Any] = {}
    for name, schema in tool.parameters["properties"].items():
        default = had.get(name)
        shown = default if isinstance(default, str) else "" if default is None else json.dumps(default)
        optional = name not in needed
        note = " (Enter leaves it out)" if optional and not shown else ""
        typed = typer.prompt(
            f"  {name}{note}",
            default=shown if shown or optional else None,
            show_default=bool(shown),
            err=True,
        )
        if typed or not optional:
            given[name] = _value(typed, schema)
    return given


def _value(typed: str, schema: dict[str, Any]) -> Any:
    """What was typed, as the argument wants it: a text as it stands, anything else as JSON."""
    kinds = {part.get("type") for part in [schema, *schema.get("anyOf", ())]}
    if "string" in kinds or "enum" in schema:
        return typed
    with suppress(ValueError, RecursionError):
        return json.loads(typed)
    return typed


@contextmanager
def _completing(words: Sequence[str]) -> Iterator[None]:
    """Complete these words with Tab, where the terminal can."""
    try:
        import readline
    except ImportError:
        yield
        return
    before = readline.get_completer()

    def complete(text: str, state: int) -> str | None:
        fitting = [word for word in words if word.startswith(text)]
        return fitting[state] if state < len(fitting) else None

    readline.set_completer(complete)
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        readline.set_completer(before)


def _verdict(parts: Parts, run: Trajectory, *, checked: bool, good: bool) -> Verdict:
    """The check's verdict; without a check the user's, if they give one."""
    if checked or run.ending == "interrupted":
        return run.verdict
    if good:
        return Store(parts.home).rate(run.run_id, True, "corrected")
    if _somebody_there():
        answer = console.clean(repr(run.answer or ""))
        right = typer.confirm(f"The answer is {answer}. Is it right?", err=True)
        return Store(parts.home).rate(run.run_id, right, "corrected")
    return run.verdict


def _conclude(run: Trajectory, verdict: Verdict) -> None:
    kept = f"{run.run_id} is kept as a correction of {run.parent}: {verdict.status}"
    if verdict.status == "verified":
        print(f"{kept}; learn from it: autoagent finetune")
    elif verdict.status == "refuted":
        print(f"{kept}; correct it further: autoagent runs correct {run.run_id}")
    else:
        print(f"{kept}; say whether it is right: autoagent runs rate {run.run_id} good")
