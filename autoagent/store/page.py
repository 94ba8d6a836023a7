"""A run as one page of HTML: no scripts, no network, everything in it written as text."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoagent.errors import StoreError
from autoagent.plan import parsed
from autoagent.store import conversation
from autoagent.store.changes import FileChange, changes
from autoagent.store.runs import Store
from autoagent.trajectory import Message, Observation, Step, ToolCall, Trajectory

if TYPE_CHECKING:
    import jinja2

_LONG = 14  # lines of an observation; longer ones are folded
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # of a terminal
_NUMBER = re.compile(r"\d+[.:)]\s*")  # of the sub-goal a reply says it serves
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Shown:
    """A step with what is worth showing beside it."""

    step: Step
    sub_goal: str
    planned: tuple[str, ...]  # of a plan: its sub-goals as the model wrote them
    thought: str
    actions: tuple[tuple[ToolCall, Observation | None], ...]
    files: tuple[FileChange, ...]
    at: float  # seconds after the start of the run


def environment(folder: Path) -> jinja2.Environment:
    """Renders the templates of pages in ``folder``: all text is escaped, and no letter of it hides."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_visible,
    )
    made.filters |= {
        "value": _value, "seconds": _seconds, "lines": _lines, "count": lambda number: f"{number:,}"
    }  # fmt: skip
    return made


def page(store: Store, run_id: str) -> str:
    """The page of a run.

    Raises:
        UsageError: no run or several runs fit.
        StoreError: what is recorded of it is damaged.
    """
    run = store.load(run_id)
    template = environment(Path(__file__).parent).get_template("page.html.j2")
    return template.render(
        run=run,
        summary=store.find(run.run_id),
        verdicts=store.verdicts(run.run_id).given,
        opening=[
            each.message for each in store.said(run.run_id) if each.after is None and not each.compaction
        ],
        items=list(_items(store, run)),
        done=_done(run),
        started=time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started)),
        largest=max([step.reply.counts.spent + step.reply.counts.cached for step in run.steps] + [1]),
        long=_LONG,
    )


def _items(store: Store, run: Trajectory) -> Iterator[Shown | Message]:
    """What happened after the opening, in order."""
    files = dict(_files(store, run))
    at = 0.0
    begun = False
    for item in conversation.history(store.said(run.run_id), run.steps):
        begun = begun or isinstance(item, Step)
        if isinstance(item, Step):
            yield _shown(run, item, files.get(item.index, ()), at)
            at += item.seconds
        elif begun:
            yield item


def _shown(run: Trajectory, step: Step, files: tuple[FileChange, ...], at: float) -> Shown:
    seen: list[Observation | None] = [*step.observations, *[None] * len(step.reply.calls)]
    named = step.sub_goal and 0 < step.sub_goal <= len(run.plan)
    sub_goal = run.plan[step.sub_goal - 1] if named and step.sub_goal else ""
    return Shown(
        step=step,
        sub_goal=sub_goal,
        planned=parsed(step.reply.value) if step.kind == "plan" else (),
        thought=_thought(step, sub_goal),
        actions=tuple(zip(step.reply.calls, seen, strict=False)),
        files=files,
        at=at,
    )


def _thought(step: Step, sub_goal: str) -> str:
    """What the model said in words, without the sub-goal that stands beside the step already."""
    if step.kind == "compaction":  # a summary follows as a message
        return ""
    thought = _NUMBER.sub("", step.reply.text.strip(), count=1) if sub_goal else step.reply.text
    thought = thought.removeprefix(sub_goal).lstrip(" .:–-\n") if sub_goal else thought
    return "" if thought.strip() in {call.name for call in step.reply.calls} else thought.strip()


def _files(store: Store, run: Trajectory) -> Iterator[tuple[int, tuple[FileChange, ...]]]:
    """What each step changed in the workspace; nothing where a copy of it is missing or broken."""
    kept = list(store.snapshots_of(run.run_id).items())
    for (_, before), (step, after) in itertools.pairwise(kept):
        try:
            yield step, tuple(changes(store.snapshots, before, after))
        except StoreError as problem:
            yield step, (FileChange("changed", "?", (), str(problem)),)


def _done(run: Trajectory) -> int:
    """How many sub-goals were reached."""
    if run.ending == "finished":
        return len(run.plan)
    served = [step.sub_goal for step in run.steps if step.sub_goal]
    return min(max(served, default=1) - 1, len(run.plan))


def _visible(value: Any) -> Any:
    """What is printed: terminal colours taken out, and letters that hide or turn others around replaced."""
    if type(value) is str:  # marked-up text stands as it is
        return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", _COLOURS.sub("", value.replace("\r\n", "\n")))
    return value


def _value(argument: Any) -> str:
    """An argument as people read it: text as it is, everything else as JSON."""
    return argument if isinstance(argument, str) else json.dumps(argument, ensure_ascii=False)


def _seconds(value: float) -> str:
    if value < 100:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    return f"{round(value) // 60} min {round(value) % 60:02} s"


def _lines(text: str) -> int:
    return text.rstrip("\n").count("\n") + 1
