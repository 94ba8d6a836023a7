"""What can be typed in a chat besides goals: ``/help`` and the like, one small function each."""

from __future__ import annotations

import difflib
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

from rich.text import Text

from autoagent.cli import complete, console
from autoagent.cli.chat_talk import Talk
from autoagent.cli.run import check_of, checks_before
from autoagent.cli.tools import tool_named
from autoagent.errors import UsageError
from autoagent.models.fingerprint import short_version
from autoagent.store.undo import Reversal, plan_undo
from autoagent.tools import Tool, Toolbox, builtin_tools
from autoagent.tools.execute import reaching
from autoagent.trajectory import Message

_RUNS = 10
_MEMORIES = 5
_MARKS = {"verified": "✓", "refuted": "✗", "unverified": "·"}
PLANS = {"auto": "plan and go on", "ask": "let me edit the plan first", "off": "no plan"}
_KEYS = """\
Enter gives the goal; Alt-Enter, or a backslash at the end of a line, begins another line.
Tab completes commands, tools, and files of the workspace; @ begins a file's name. Up: earlier goals.
!COMMAND runs a shell command of yours. Ctrl-C while a run works: stop after this step; twice: stop now.
Ctrl-D leaves."""


class Leave(Exception):
    """The user wants to go."""


@dataclass(frozen=True)
class Command:
    """One command: what may follow it, what it does, and what Tab offers after it."""

    argument: str
    about: str
    run: Callable[[Talk, str], None]
    offer: Callable[[Talk], Iterable[tuple[str, str]]] = lambda talk: ()


def carry_out(talk: Talk, line: str) -> None:
    """Do what a line says: a command, a shell command, or a goal.

    Raises:
        Leave: the chat is over.
        AutoagentError: it cannot be done; the chat goes on.
    """
    word, _, rest = line.partition(" ")
    if not word:
        return
    if line.startswith("!"):
        _shell(talk, line[1:].strip())
    elif not _is_command(line):
        talk.work_on(line)
    elif word in COMMANDS:
        COMMANDS[word].run(talk, rest.strip())
    else:
        near = difflib.get_close_matches(word, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "/help shows what there is"
        talk.tell(f"There is no {word}: {hint}", style="yellow")


def _is_command(line: str) -> bool:
    """``/etc/hosts has how many lines?`` is a goal."""
    word = line.split()[0]
    return word.startswith("/") and "/" not in word[1:]


def _help(talk: Talk, rest: str) -> None:
    shown = {name: each for name, each in COMMANDS.items() if each.about}
    width = max(len(f"{name} {each.argument}") for name, each in shown.items())
    for name, each in shown.items():
        line = Text(f"{name} {each.argument}".ljust(width + 2), style="cyan")
        _print(talk, line.append(each.about, style="not bold default"))
    if talk.there:
        talk.out.print()
        talk.tell(_KEYS)


def _plan(talk: Talk, rest: str) -> None:
    if rest and rest not in PLANS:
        raise UsageError(f"/plan {rest}: it can be {', '.join(PLANS)}")
    if rest == "ask" and not talk.there:
        raise UsageError("/plan ask needs a terminal to show the plan on")
    if rest:
        mode = cast("Literal['auto', 'ask', 'off']", rest)
        talk.agent.conduct = talk.agent.conduct.model_copy(update={"plan": mode})
    now = talk.agent.conduct.plan
    talk.tell(f"plan {now}: {PLANS[now]}")


def _toolbox(talk: Talk) -> Toolbox:
    return Toolbox([*talk.agent.tools, *reaching(builtin_tools(), talk.agent.sandbox)])


def tools_of(talk: Talk) -> list[tuple[str, str]]:
    """Names and descriptions of all tools, for completion."""
    return [(tool.name, tool.description) for tool in _toolbox(talk)]


def _tools(talk: Talk, rest: str) -> None:
    box = _toolbox(talk)
    if not rest:
        width = max(len(tool.name) for tool in box)
        for tool in box:
            line = Text(tool.name.ljust(width + 2), style="cyan")
            _print(talk, line.append(console.clean(tool.description), style="default"))
        return
    tool = tool_named(box, rest)
    _print(talk, Text(tool.name, style="cyan").append(f": {console.clean(tool.description)}", "default"))
    for fact in _about_tool(tool):
        talk.tell(f"  {fact}")


def _about_tool(tool: Tool) -> Iterator[str]:
    yield f"effects: {', '.join(tool.effects) or 'none'}"
    for name, schema in tool.parameters["properties"].items():
        kinds = [schema, *schema.get("anyOf", [])]
        kind = " or ".join(each["type"] for each in kinds if "type" in each) or "any"
        optional = "" if name in tool.parameters.get("required", []) else ", optional"
        about = f": {schema['description']}" if schema.get("description") else ""
        yield f"{name} ({kind}{optional}){about}"


def _model(talk: Talk, rest: str) -> None:
    if rest:
        talk.use(rest)
    model = talk.agent.loaded_model()
    talk.tell(f"{model.version}\nwindow of {model.window:,} tokens")


def _memory(talk: Talk, rest: str) -> None:
    memory = talk.memory
    if memory is None:
        raise UsageError("this chat goes without long-term memory (--no-memory)")
    if rest:
        found = [(each.citation or each.source, each.text) for each in memory.recall(rest, _MEMORIES)]
    else:
        count = memory.count()
        talk.tell(f"{count} kept" + (", the latest:" if count else "; autoagent memory add FILE adds some"))
        found = [(each.citation or each.source, each.text) for each in memory.entries(most=_MEMORIES)]
    if rest and not found:
        talk.tell("Nothing fits.")
    for source, text in found:
        line = Text(f"{console.clean(source)}  " if source else "", style="cyan")
        _print(talk, line.append(console.clean(" ".join(text.split())), style="default"))


def _context(talk: Talk, rest: str) -> None:
    """Where the window's tokens went, by the messages of the latest run."""
    used, window = talk.gauge.used, talk.gauge.window
    share = f" ({used / window:.0%})" if window else ""
    talk.tell(f"{used:,} of {window:,} tokens in use{share}", style="bold")
    if talk.last and used:
        _tell_sizes(talk, used)
    if talk.past:
        shown = "shown with the next goal" if talk.shows_past else "which this model was not trained to read"
        talk.tell(f"earlier goals and answers: {len(talk.past) // 2}, {shown}; /new forgets them")


def _tell_sizes(talk: Talk, used: int) -> None:
    count = talk.agent.loaded_model().count
    sizes: dict[str, int] = {}
    for message in talk.store.messages(talk.last):
        name = _kind(message)
        calls = json.dumps([call.model_dump() for call in message.calls]) if message.calls else ""
        sizes[name] = sizes.get(name, 0) + count(message.content) + count(calls)
    rest = used - sum(sizes.values())
    if rest > 0:
        sizes[f"{len(talk.store.tools(talk.last))} tools, and what the chat template adds"] = rest
    for name, size in sizes.items():
        talk.tell(f"  {size:>6,}  {name}")


def _kind(message: Message) -> str:
    kinds = {"system": "system prompt", "user": "goals and notes", "assistant": "replies"}
    return kinds.get(message.role, "observations")


def _runs(talk: Talk, rest: str) -> None:
    found = talk.store.runs(limit=_RUNS)
    if not found:
        talk.tell("No runs yet.")
    for run in found:
        line = Text(f"{run.run_id}  ", style="dim").append(f"{_MARKS[run.verdict.status]} ", "not dim")
        line.append(f"{run.state:<12} {console.clean(' '.join(run.goal.split()))}", "not dim")
        if talk.out.is_terminal:
            line.truncate(talk.out.width, overflow="ellipsis")
        talk.out.print(line, soft_wrap=True)


def _resume(talk: Talk, rest: str) -> None:
    wanted = rest or talk.store.latest_unfinished()
    if wanted is None:
        raise UsageError("there is no run to go on with: all came to their end")
    past = talk.store.load(wanted)
    place = talk.store.find(past.run_id).workspace
    if place != str(talk.place):
        raise UsageError(f"run {past.run_id} works in {place}: autoagent run --resume {past.run_id}")
    said = checks_before(talk.parts, past.settings, talk.place)
    check = check_of(talk.parts, command=said["check"], expect=said["expect"])
    talk.go_on(past.run_id, check)


def _undo(talk: Talk, rest: str) -> None:
    if not (rest or talk.last):
        raise UsageError("there is no run to undo yet in this chat; /undo RUN takes back an earlier one")
    plan = plan_undo(talk.store, rest or talk.last)
    if plan.nothing:
        talk.tell("The run changed nothing that would have to be taken back.")
        return
    _tell_reversal(talk, plan)
    overwrite = bool(plan.conflicts) and talk.there
    if overwrite and not talk.sure("Overwrite what was changed since?"):
        talk.tell("Nothing was undone.")
        return
    plan.carry_out(force=overwrite)
    talk.tell(f"{plan.run_id} is undone; back with: !autoagent runs redo {plan.run_id}")


def _tell_reversal(talk: Talk, plan: Reversal) -> None:
    for word, paths in (("write", plan.restored), ("remove", plan.removed)):
        for path in paths:
            changed = "  (changed since)" if path in plan.conflicts else ""
            talk.tell(f"  {word:<7} {path}{changed}", style="red" if changed else "default")


def _rate(talk: Talk, note: str, *, good: bool) -> None:
    if not talk.last:
        talk.tell("There is no run to rate yet.", style="yellow")
        return
    talk.store.rate(talk.last, good, note)
    learned = "it may be learned from" if good else "it is never learned from"
    talk.tell(f"{talk.last} is rated {'good' if good else 'bad'}: {learned}")


def _yolo(talk: Talk, rest: str) -> None:
    talk.gauge.yolo = True
    talk.tell("From now on every request for permission is granted; /confirm asks again.", style="yellow")


def _confirm(talk: Talk, rest: str) -> None:
    talk.gauge.yolo = False
    talk.tell("You are asked for permission again.")


def _new(talk: Talk, rest: str) -> None:
    talk.forget()
    talk.tell("A new conversation.")


def _leave(talk: Talk, rest: str) -> None:
    raise Leave


def _shell(talk: Talk, command: str) -> None:
    """The user's own command, with the user's own rights, in the workspace."""
    if not command:
        raise UsageError("what is to be run? For example: !ls")
    code = subprocess.run(command, shell=True, cwd=talk.place, check=False).returncode
    if code:
        talk.tell(f"exit status {code}", style="yellow")


def _print(talk: Talk, line: Text) -> None:
    talk.out.print(line, soft_wrap=not talk.out.is_terminal)


def _recorded(talk: Talk) -> Iterator[tuple[str, str]]:
    for run in talk.store.runs(limit=_RUNS):
        yield run.run_id, console.clean(" ".join(run.goal.split()))


def _versions(talk: Talk) -> Iterable[tuple[str, str]]:
    return [(name, short_version(about)) for name, about in complete.versions_in(talk.parts.home)]


COMMANDS: dict[str, Command] = {
    "/help": Command("", "what there is", _help),
    "/plan": Command("[auto|ask|off]", "how runs plan", _plan, lambda talk: PLANS.items()),
    "/tools": Command(
        "[NAME]",
        "the tools there are, or what one takes",
        _tools,
        lambda talk: tools_of(talk),
    ),
    "/model": Command("[NAME]", "the model in use, or take another", _model, _versions),
    "/memory": Command("[TEXT]", "what is kept in long-term memory, or what fits a text", _memory),
    "/context": Command("", "what is in the model's window", _context),
    "/runs": Command("", "the latest runs", _runs),
    "/resume": Command("[RUN]", "go on with a run that broke off; by default the last", _resume, _recorded),
    "/undo": Command("[RUN]", "take back what a run did to files; by default the last", _undo, _recorded),
    "/good": Command("[NOTE]", "the last run was right: it may be learned from", partial(_rate, good=True)),
    "/bad": Command("[NOTE]", "the last run was wrong", partial(_rate, good=False)),
    "/yolo": Command("", "say yes to every request for permission", _yolo),
    "/confirm": Command("", "ask for permission again", _confirm),
    "/new": Command("", "forget the conversation so far", _new),
    "/exit": Command("", "leave", _leave),
    "/quit": Command("", "", _leave),
}
