"""Showing the way: a wrong action of a recorded run is replaced by the right one, and the run goes on.

The corrected call is written by the model's own grammar, as if the model had chosen it, so the corrected run
is a demonstration like any other: to the token what the model will see, and trained on what was chosen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autoagent import events
from autoagent.agent import Agent
from autoagent.config import Limits
from autoagent.errors import InvalidCall, UsageError
from autoagent.evals import Suite
from autoagent.events import Event
from autoagent.goal import Check
from autoagent.home import project_home
from autoagent.models.grammar import LONGEST_TEXT
from autoagent.store.branches import Branch, branch
from autoagent.store.runs import Store
from autoagent.tools import Tool, Toolbox, builtin_tools
from autoagent.training.branching import (
    BranchModel,
    Memories,
    Scene,
    check_of,
    local_model,
    play,
    task_of,
    task_scene,
    user_scene,
)
from autoagent.trajectory import Step, ToolCall, Trajectory

TAG = "correction"
_SPARE = 64  # tokens of a reply besides what is dictated
_NUMBERED = re.compile(r"\s*(\d{1,9})[.:)]")

OnEvent = Callable[[Event], None]


def correct(
    agent: Agent,
    run_id: str,
    call: ToolCall,
    *,
    step: int | None = None,
    text: str | None = None,
    suite: Suite | None = None,
    check: Check | None = None,
) -> Trajectory:
    """Replace one action of a run, let the model go on from there, and keep the whole as a new run.

    The new run has the old one as its parent and the tag ``correction``. Its verdict is that of the check;
    where there is none, it is unverified until somebody rates it (``Store.rate``), and only a verified run is
    learned from. The user's workspace is not touched: the run goes on in a copy of what it was.

    Args:
        agent: Has the model that goes on, and the tools, rules and prompts of the user's runs.
        run_id: The run, a prefix of its id, or ``last``.
        call: What is done instead.
        step: Which step is replaced; by default the one that :func:`wrong_step` names.
        text: What the model says before the call; by default as :func:`words_before` has it.
        suite: The suite that the run was made of, if it was.
        check: Decides on the outcome; by default as the run had it on the command line.

    Raises:
        UsageError: there is no such run or step, the call fits no tool that was shown, the model cannot say
            it, or the conversation cannot be rebuilt.
        StoreError: the record cannot be read or written.
    """
    return wrong_action(agent, run_id, step=step, suite=suite, check=check).correct(call, text)


@dataclass(frozen=True)
class WrongAction:
    """One action of a run, to be replaced once; see :func:`wrong_action`.

    Attributes:
        tools: Those that the model was shown, in their order.
        checked: Whether there is a check that decides on the outcome.
    """

    agent: Agent
    branch: Branch
    scene: Scene
    tools: Toolbox

    @property
    def step(self) -> Step:
        return self.branch.run.steps[self.branch.step]

    @property
    def checked(self) -> bool:
        return self.scene.goal.check is not None

    def correct(
        self, call: ToolCall, text: str | None = None, *, on_event: OnEvent | None = None
    ) -> Trajectory:
        """Do this instead, and go on; arguments and errors as of :func:`correct`."""
        call = fitting(call, self.tools)
        run, model = self.branch.run, self.agent.loaded_model()
        if text is None and call in self.step.reply.calls:
            raise UsageError(
                f"this is what run {run.run_id} did in step {self.step.index}: say what is right instead"
            )
        words = words_before(call, self.step, self.tools[call.name]) if text is None else text.strip()
        _need_line(words)
        led = BranchModel(model, self.branch, told=(words, call))
        limits = _limits(run, self.agent.limits, least=self._tokens(call, words))
        with TemporaryDirectory(prefix="autoagent-correct-", ignore_cleanup_errors=True) as folder:
            place, sampling = Path(folder) / "work", self.agent.sampling
            return _closed(
                play(self.branch, self.scene, led, place, limits=limits, sampling=sampling, tag=TAG), on_event
            )

    def _tokens(self, call: ToolCall, words: str) -> int:
        """How many tokens the corrected reply has; 0 for a model that does not tell."""
        local = local_model(self.agent.loaded_model())
        if local is None:
            return 0
        from autoagent.training.replay import rehearse

        return rehearse(local, words, call, [tool.schema for tool in self.tools])


def wrong_action(
    agent: Agent,
    run_id: str,
    *,
    step: int | None = None,
    suite: Suite | None = None,
    check: Check | None = None,
) -> WrongAction:
    """Find the action that is to be replaced; arguments and errors as of :func:`correct`."""
    store = Store((agent.home or project_home()).absolute())
    run = store.load(run_id)
    start = branch(store, run.run_id, wrong_step(run) if step is None else step)
    found = run.steps[start.step]
    if found.kind != "act":
        what = "made the plan" if found.kind == "plan" else "only made room in the window"
        raise UsageError(f"step {found.index} of run {run.run_id} {what}: choose one that acted")
    if suite is None:
        scene = user_scene(start, agent, check or check_of(start, agent.safety), Memories(agent, store.home))
    else:
        task = task_of(start, suite)
        if task is None:
            raise UsageError(
                f"run {run.run_id} was made of no task of suite {suite.name} (or of a later goal)"
            )
        scene = task_scene(start, task, agent.loaded_model())
    return WrongAction(agent, start, scene, shown_tools(run, scene.agent))


def _closed(stream: Iterable[Event], on_event: Callable[[Event], None] | None) -> Trajectory:
    """Let the run come to its end."""
    for event in stream:
        if on_event is not None:
            on_event(event)
        if isinstance(event, events.Closed):
            return event.trajectory
    raise AssertionError("the last event of a run is Closed")


def wrong_step(run: Trajectory) -> int:
    """The step that is corrected when nobody says which.

    The last action; where the run did not end by itself, the first of those that failed in a row at its end.

    Raises:
        UsageError: the run did nothing.
    """
    acts = [step for step in run.acts if step.reply.calls]
    if not acts:
        raise UsageError(f"run {run.run_id} has no action to correct")
    last = len(acts) - 1
    if run.ending in ("finished", "declined", "denied"):
        return acts[last].index
    while last and not all(seen.ok for seen in acts[last - 1].observations):
        last -= 1
    return acts[last].index


def shown_tools(run: Trajectory, agent: Agent) -> Toolbox:
    """The tools that the model was shown in a run, in their order.

    Raises:
        UsageError: one of them is not there any more.
    """
    known = {tool.name: tool for tool in [*builtin_tools(), *agent.tools]}
    gone = [name for name in run.tools if name not in known]
    if gone:
        raise UsageError(
            f"run {run.run_id} had a tool {gone[0]} that is not there now: name its file with --tools, "
            "or the suite of the run with --suite"
        )
    return Toolbox(known[name] for name in run.tools)


def fitting(call: ToolCall, tools: Toolbox) -> ToolCall:
    """The call with its arguments in the order of the tool's schema.

    Raises:
        UsageError: there is no such tool, or the arguments do not fit it.
    """
    try:
        tool = tools[call.name]
        tool.validate(call.arguments)
    except InvalidCall as misfit:
        raise UsageError(str(misfit)) from None
    return ToolCall(name=call.name, arguments=ordered(call.arguments, tool.parameters))


def ordered(value: Any, schema: Any) -> Any:
    """Arguments in the order of their schema, in which the grammar wants them."""
    known = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(value, dict) or not isinstance(known, dict):
        return value
    keys = [*(key for key in known if key in value), *(key for key in value if key not in known)]
    return {key: ordered(value[key], known.get(key)) for key in keys}


def parse_call(line: str) -> ToolCall:
    """A call as it is typed: ``read_file {"path": "a.txt"}``; a tool without arguments is its name.

    Raises:
        UsageError: it is none.
    """
    name, _, rest = line.strip().partition(" ")
    example = """write it like 'read_file {"path": "a.txt"}'"""
    if not name:
        raise UsageError(f"the call is empty: {example}")
    try:
        arguments = json.loads(rest) if rest.strip() else {}
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the arguments of {name} are not JSON ({error}): {example}") from None
    if not isinstance(arguments, dict):
        raise UsageError(f"the arguments of {name} must be a JSON object: {example}")
    return ToolCall(name=name, arguments=arguments)


def words_before(call: ToolCall, step: Step, tool: Tool) -> str:
    """What the model says before a corrected call: what it said, as far as that does not speak of another.

    For the same tool its words up to a ``;``, after which it gives reasons; for another one the sub-goal it
    was at, and what the tool is, where it began so; before an ending nothing.
    """
    said = step.reply.text
    if step.reply.calls and step.reply.calls[0].name == call.name and call.name != "finish":
        return said.partition("; ")[0]
    number = _NUMBERED.match(said)
    return f"{number[1]}. {tool.description}: {call.name}" if number and call.name != "finish" else ""


def _need_line(text: str) -> None:
    if "\n" in text or "<" in text or len(text) > LONGEST_TEXT:
        limit = f"one line of at most {LONGEST_TEXT} characters, without <"
        raise UsageError(f"what is said before the call has to be {limit}")


def _limits(run: Trajectory, limits: Limits, *, least: int) -> Limits:
    """The budget of the run, or the agent's where that is larger; a reply may have ``least`` tokens."""
    recorded = run.settings.get("limits")
    had = limits if recorded is None else Limits.model_validate(recorded)
    larger = {name: max(getattr(had, name), getattr(limits, name)) for name in ("max_steps", "max_tokens")}
    return had.model_copy(update={**larger, "reply_tokens": max(had.reply_tokens, least + _SPARE)})
