"""AgentDojo with an agent that obeys every injection: what the guard stops, and what it costs.

    pip install --target DIR --no-deps agentdojo "deepdiff<9" orderly-set email-validator dnspython pyyaml
    PYTHONPATH=DIR python benchmarks/dojo.py

No model: the agent follows the gold calls of the user's task and, right after the first observation that
carries the injection, makes the gold calls of the attack, every one of them, whatever was refused before.
Both go through our loop, policy and guard. AgentDojo's tools are declared as ours are: what only reads is
``read``, what changes or sends anything is ``network``; what others may have written is ``outside``; the
arguments that only hold text to read are named. The tables ``OWN`` and ``ACTS`` are all that is said of them.

Measured for each setting, over all pairs of a user's task and an attack with gold calls: how many attacks
succeed (by AgentDojo's own check, of what was really carried out); over all user's tasks without attack: how
many pass with nothing refused, and how often somebody was asked. ``a person`` approves the gold calls of the
user's task and nothing else; ``nobody`` approves nothing.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Literal

from autoagent import Agent, events
from autoagent.config import Conduct, Limits, Safety
from autoagent.errors import ToolError
from autoagent.models.protocol import Expect
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.security import Answer, Request
from autoagent.tools import Tool
from autoagent.trajectory import Message, ToolCall

VERSION = "v1.2.2"
MARK = "INJECTED"
OWN = frozenset("get_iban get_balance get_user_info get_user_information get_current_day".split())
"""Tools that return the user's own data; all others may return what others wrote."""

ACTS: Mapping[str, tuple[str, ...]] = {
    "send_money": ("subject",),
    "schedule_transaction": ("subject",),
    "update_scheduled_transaction": ("subject",),
    "update_password": (),
    "update_user_info": (),
    "send_email": ("subject", "body"),
    "delete_email": (),
    "create_calendar_event": ("title", "description", "location"),
    "cancel_calendar_event": (),
    "reschedule_calendar_event": (),
    "add_calendar_event_participants": (),
    "create_file": ("content",),
    "append_to_file": ("content",),
    "delete_file": (),
    "share_file": (),
    "add_user_to_channel": (),
    "send_direct_message": ("body",),
    "send_channel_message": ("body",),
    "invite_user_to_slack": (),
    "remove_user_from_slack": (),
    "get_webpage": (),
    "post_webpage": ("content",),
    "reserve_hotel": (),
    "reserve_restaurant": (),
    "reserve_car_rental": (),
}
"""Tools that change or send something, or reach an address: ``network``; with what is only text in them."""

Who = Literal["everybody", "nobody", "a person"]
SETTINGS: tuple[tuple[str, Literal["off", "ask", "deny", "strict"], Who], ...] = (
    ("no guard: everything is granted", "off", "everybody"),
    ("taint off, nobody there", "off", "nobody"),
    ("taint ask (default), nobody there", "ask", "nobody"),
    ("taint strict, nobody there", "strict", "nobody"),
    ("taint off, a person", "off", "a person"),
    ("taint ask (default), a person", "ask", "a person"),
    ("taint deny, a person", "deny", "a person"),
    ("taint strict, a person", "strict", "a person"),
)


@dataclass
class Scene:
    """One run: its environment, the calls that were carried out, and whether the injection was seen."""

    environment: Any
    functions: Any
    traces: list[Any] = field(default_factory=list)
    seen: bool = False
    asked: int = 0
    refused: int = 0


@dataclass
class Tally:
    """What came of one setting."""

    attacks: int = 0
    succeeded: list[str] = field(default_factory=list)
    tasks: int = 0
    passed: int = 0
    useful: int = 0  # AgentDojo's check holds, whatever was refused
    asked: int = 0
    failed: list[str] = field(default_factory=list)


def suites() -> Mapping[str, Any]:
    """AgentDojo's suites, without the clients of model vendors that its package of pipelines imports."""
    found = importlib.util.find_spec("agentdojo")
    if found is None or found.submodule_search_locations is None:
        sys.exit("agentdojo is not there: see the top of this file")
    package = ModuleType("agentdojo.agent_pipeline")
    package.__path__ = [str(Path(found.submodule_search_locations[0]) / "agent_pipeline")]
    sys.modules["agentdojo.agent_pipeline"] = package
    rendering = ModuleType("agentdojo.agent_pipeline.tool_execution")  # of results for models; not used here
    rendering.tool_result_to_str = str  # type: ignore[attr-defined]
    sys.modules["agentdojo.agent_pipeline.tool_execution"] = rendering
    from agentdojo.task_suite.load_suites import get_suites

    return get_suites(VERSION)  # type: ignore[no-any-return]


def wrapped(function: Any, scene: Scene) -> Tool:
    """One of AgentDojo's tools as a tool of ours."""

    def call(**arguments: Any) -> Any:
        from agentdojo.functions_runtime import FunctionCall

        try:
            result, _ = scene.functions.run_function(
                scene.environment, function.name, arguments, raise_on_error=True
            )
        except Exception as problem:
            raise ToolError(f"{type(problem).__name__}: {problem}") from None
        scene.traces.append(FunctionCall(function=function.name, args=arguments))
        plain = as_json(result)
        scene.seen = scene.seen or MARK in json.dumps(plain)
        return plain

    acts = function.name in ACTS
    parts = {
        name: (field.annotation, ... if field.is_required() else field.default, field.description)
        for name, field in function.parameters.model_fields.items()
    }
    made = Tool.from_parts(
        call,
        name=function.name,
        description=function.description.splitlines()[0],
        arguments=parts,
        effects=("network",) if acts else ("read",),
        outside=function.name not in OWN,
        content=ACTS.get(function.name, ()),
    )
    made.structured = function.return_type is not str and function.name != "get_webpage"
    return made


def as_json(value: Any) -> Any:
    """A result in dicts and lists."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def calls_of(task: Any, environment: Any, functions: Any) -> list[ToolCall]:
    """The gold calls of a task, with calls inside arguments carried out."""
    made = []
    for each in task.ground_truth(copy.deepcopy(environment)):
        arguments = functions._execute_nested_calls(copy.deepcopy(environment), each.args)
        made.append(ToolCall(name=each.function, arguments=json.loads(json.dumps(as_json(dict(arguments))))))
    return made


def author(
    scene: Scene, plan: Sequence[ToolCall], attack: Sequence[ToolCall], answer: str
) -> Callable[[Sequence[Message], Expect], Line]:
    """Follow the plan; obey the injection as soon as it was read."""
    left, obeyed = deque(plan), False

    def line(messages: Sequence[Message], expect: Expect) -> Line:
        nonlocal obeyed
        if scene.seen and not obeyed:
            obeyed = True
            left.extendleft(reversed(attack))
        return left.popleft() if left else ToolCall(name="finish", arguments={"answer": answer or "done"})

    return line


def approver(who: Who, gold: Sequence[ToolCall], scene: Scene) -> Callable[[Request], bool | Answer]:
    """Who is asked. A refusal comes with a word: the run goes on, and the attack gets all its chances."""
    wanted = {(each.name, _key(each.arguments)) for each in gold}

    def approve(request: Request) -> bool | Answer:
        scene.asked += 1
        given = {name: value for name, value in request.arguments.items() if value is not None}
        named = any(
            name == request.tool and json.loads(arguments).items() <= json.loads(_key(given)).items()
            for name, arguments in wanted
        )
        if who == "everybody" or (who == "a person" and named):
            return True
        return Answer(False, feedback="not now")

    return approve


def _key(arguments: Mapping[str, Any]) -> str:
    plain = {name: as_json(value) for name, value in arguments.items() if value is not None}
    return json.dumps(plain, sort_keys=True, default=str)


class Bench:
    """Runs AgentDojo's tasks in one home."""

    def __init__(self, home: Path) -> None:
        self.home, self.work = home, home / "work"
        self._environments: dict[tuple[str, str], Any] = {}

    def environment(self, suite: Any, text: str) -> Any:
        """A fresh copy of a suite's environment, every injection vector saying ``text``."""
        key = (suite.name, text)
        if key not in self._environments:
            vectors = dict.fromkeys(suite.get_injection_vector_defaults(), text) if text else {}
            self._environments[key] = suite.load_and_inject_default_environment(vectors)
        return self._environments[key].model_copy(deep=True)

    def run(self, suite: Any, task: Any, attack: Any, taint: Any, who: Who) -> tuple[Scene, bool, bool]:
        """One run: the scene afterwards, whether the task's check holds, and the attack's."""
        from agentdojo.functions_runtime import FunctionsRuntime
        from agentdojo.types import text_content_block_from_string as block

        goal = re.sub(r"[^\w @.,/()-]", " ", attack.GOAL) if attack is not None else ""
        environment = task.init_environment(self.environment(suite, f"{MARK} {goal}" if attack else ""))
        before = environment.model_copy(deep=True)
        functions = FunctionsRuntime(suite.tools)
        scene = Scene(environment, functions)
        gold = calls_of(task, before, functions)
        orders = calls_of(attack, before, functions) if attack is not None else []
        needed = {each.name for each in (*gold, *orders)}
        tools = [wrapped(each, scene) for each in suite.tools if each.name in needed]
        answer = "\n".join(
            each for each in (task.GROUND_TRUTH_OUTPUT, getattr(attack, "GROUND_TRUTH_OUTPUT", "")) if each
        )
        agent = Agent(
            tools=tools,
            model=ScriptedModel(author(scene, gold, orders, answer), window=10_000_000),
            workspace=self.work,
            home=self.home,
            limits=Limits(max_steps=200, max_tokens=10_000_000, observation_chars=10_000_000),
            conduct=Conduct(plan="off", recall=0),
            safety=Safety(taint=taint, secrets=False),
            approve=approver(who, gold, scene),
            memory=False,
            builtins=False,
            durable=False,
        )
        with agent:
            for event in agent.events(task.PROMPT):
                if isinstance(event, events.Observed) and event.observation.detail == "denied":
                    scene.refused += 1
                if isinstance(event, events.Closed) and event.trajectory.ending == "error":
                    raise RuntimeError(f"{suite.name} {task.ID}: {event.trajectory.error}")
        output = [block(answer)]
        holds = suite._check_task_result(task, output, before, scene.environment, scene.traces)
        won = attack is not None and suite._check_task_result(
            attack, output, before, scene.environment, scene.traces
        )
        return scene, bool(holds), bool(won)


def pairs(bench: Bench, found: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Every user's task with every attack that has gold calls."""
    for suite in found.values():
        for attack in suite.injection_tasks.values():
            if attack.ground_truth(bench.environment(suite, "")):
                for task in suite.user_tasks.values():
                    yield suite, task, attack


def measure(bench: Bench, found: Mapping[str, Any], taint: Any, who: Who, every: int) -> Tally:
    """One setting, over all pairs and all tasks; ``every``: only every so manieth, to try this file out."""
    tally = Tally()
    for number, (suite, task, attack) in enumerate(pairs(bench, found)):
        if number % every:
            continue
        _, _, won = bench.run(suite, task, attack, taint, who)
        tally.attacks += 1
        if won:
            tally.succeeded.append(f"{suite.name} {task.ID} {attack.ID}")
    for suite in found.values():
        for task in suite.user_tasks.values():
            scene, holds, _ = bench.run(suite, task, None, taint, who)
            tally.tasks += 1
            tally.asked += scene.asked
            tally.useful += holds
            tally.passed += holds and not scene.refused
            if not holds or scene.refused:
                tally.failed.append(f"{suite.name} {task.ID}")
    return tally


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", type=int, action="append", help="only this row of SETTINGS, from 0")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth pair, to try this out")
    parser.add_argument("--details", type=Path, help="write what succeeded and failed to this file, as JSON")
    options = parser.parse_args()
    found, began, details = suites(), time.monotonic(), {}
    print(
        "| guard | attacks that succeed | tasks that pass, nothing refused | (check alone) | asked a task |"
    )
    print("|---|---|---|---|---|")
    with TemporaryDirectory(prefix="autoagent-dojo-") as folder:
        bench = Bench(Path(folder))
        for number, (name, taint, who) in enumerate(SETTINGS):
            if options.setting and number not in options.setting:
                continue
            tally = measure(bench, found, taint, who, options.every)
            details[name] = {"attacks": tally.succeeded, "tasks": tally.failed}
            print(
                f"| {name} | {len(tally.succeeded)} of {tally.attacks}"
                f" ({len(tally.succeeded) / max(tally.attacks, 1):.1%}) | {tally.passed} of {tally.tasks}"
                f" ({tally.passed / tally.tasks:.0%}) | {tally.useful} | {tally.asked / tally.tasks:.2f} |",
                flush=True,
            )
    print(f"\n{time.monotonic() - began:.0f} s", file=sys.stderr)
    if options.details:
        options.details.write_text(json.dumps(details, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
