"""ReAct text as conversations: Thought, Action and Observation become messages, tool calls and results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoagent.tools.control import finish
from autoagent.training.chats import Chat, Dict, FaultyLine
from autoagent.trajectory import Message, ToolCall

FINISH = "finish"
_HEAD = re.compile(r"^(Thought|Action Input|Action|Observation|Final Answer)(?: \d+)?:[ \t]*", re.MULTILINE)
_CALL = re.compile(r"([\w .-]+)\[(.*)\]", re.DOTALL)
_REWARD = re.compile(r"reward\s*=\s*([\w.]+)", re.IGNORECASE)
_ARGUMENT = {FINISH: "answer", "search": "query"}  # what a tool's only argument is called; others: input
_ABOUT = {"search": "Search for a text", "lookup": "Look up a text in what was found"}
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


class Failed(Exception):
    """The episode did not reach its goal, as it says itself: nothing to imitate."""


@dataclass(frozen=True)
class _Turn:
    thought: str
    call: ToolCall
    observation: str


def read_react(entry: Mapping[str, Any], *, thoughts: bool = True) -> Chat:
    """An entry ``{"instruction": …, "input": …, "output": …}`` whose output is ReAct text.

    Actions are ``tool[argument]``, or a name with an Action Input, which may be a JSON object. It ends with
    the action ``finish`` or a Final Answer, which becomes a call of ``finish``. The conversation has no
    tools yet: see :func:`tools_of`.

    Args:
        entry: The entry.
        thoughts: Keep them, as what the assistant says before a call.

    Raises:
        FaultyLine: it is nothing like that.
        Failed: it says that it was not rewarded.
    """
    for key in ("instruction", "output"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise FaultyLine(f"{key}: must be a text")
    extra = entry.get("input") or ""
    asked = "\n\n".join(text for text in (entry["instruction"].strip(), str(extra).strip()) if text)
    turns = list(_turns(entry["output"]))
    if not turns or turns[-1].call.name != FINISH:
        raise FaultyLine("output: does not end with the action finish or a Final Answer")
    reward = _REWARD.search(turns[-1].observation)
    if reward and reward[1].lower() in ("false", "0", "0.0"):
        raise Failed
    messages = [Message(role="user", content=asked)]
    for turn in turns:
        messages.append(
            Message(role="assistant", content=turn.thought if thoughts else "", calls=(turn.call,))
        )
        if turn.call.name != FINISH:
            messages.append(Message(role="tool", content=turn.observation, name=turn.call.name))
    return Chat(tuple(message.for_template() for message in messages))


def _turns(text: str) -> Iterator[_Turn]:
    """The actions of an output, each with the thought before and the observation after it."""
    before, *found = _HEAD.split(text)
    thoughts, name, argument = [before.strip()], "", None
    pairs = list(zip(found[::2], (each.strip() for each in found[1::2]), strict=True))
    for place, (head, said) in enumerate(pairs):
        follows = pairs[place + 1][0] if place + 1 < len(pairs) else ""
        if head == "Thought":
            thoughts.append(said)
        elif head == "Final Answer":
            yield _Turn(_joined(thoughts), ToolCall(name=FINISH, arguments={"answer": said}), "")
            return
        elif head == "Action" and name:
            raise FaultyLine(f"output: the action {name} has no Observation")
        elif head == "Action":
            name = said
            if not said:
                raise FaultyLine("output: an Action is empty")
        elif head == "Action Input":
            argument = said
        elif not name:
            raise FaultyLine("output: there is an Observation without an Action")
        at_end = head != "Observation" and not follows and bool(name)
        if head == "Observation" or at_end:
            call = _call(name, argument)
            if at_end and call.name != FINISH:
                raise FaultyLine(f"output: the action {name} has no Observation")
            yield _Turn(_joined(thoughts), call, said if head == "Observation" else "")
            if call.name == FINISH:
                return
            thoughts, name, argument = [], "", None


def _joined(thoughts: Iterable[str]) -> str:
    return "\n".join(thought for thought in thoughts if thought)


def _call(action: str, argument: str | None) -> ToolCall:
    """``search[text]``, or a name and its input, as a call."""
    arguments = None if argument is None else _object(argument)
    if argument is None:
        found = _CALL.fullmatch(action)
        if not found:
            raise FaultyLine(f"output: the action {action[:60]!r} is not like tool[argument]")
        action, argument = found[1], found[2]
    name = re.sub(r"\W+", "_", action).strip("_").lower()
    if not name:
        raise FaultyLine(f"output: the action {action[:60]!r} names no tool")
    return ToolCall(name=name, arguments=arguments or {_ARGUMENT.get(name, "input"): argument.strip()})


def _object(text: str) -> Dict | None:
    """The arguments, where an input is a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def tools_of(chats: Iterable[Chat]) -> tuple[Dict, ...]:
    """The tools that these conversations call, all of them for each: which are needed is to be learned.

    What a tool does is not in such data, so its description is short; ``finish`` is the one of our runs.
    """
    arguments: dict[str, dict[str, Dict]] = {}
    for chat in chats:
        for message in chat.messages:
            for call in message.get("tool_calls", ()):
                known = arguments.setdefault(call["function"]["name"], {})
                for key, value in call["function"]["arguments"].items():
                    known.setdefault(key, {"type": _TYPES[type(value)]} if type(value) in _TYPES else {})
    schemas = {name: _schema(name, arguments[name]) for name in sorted(arguments, key=_finish_last)}
    return tuple(schemas.values())


def _finish_last(name: str) -> tuple[bool, str]:
    return name == FINISH, name


def _schema(name: str, properties: Dict) -> Dict:
    if name == FINISH:
        return finish.schema
    about = _ABOUT.get(name, name.replace("_", " ").capitalize())
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": about, "parameters": parameters}}
