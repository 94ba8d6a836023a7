"""How calls and tools are written: in a template's own form, or in Hermes form where it has none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoagent.models.protocol import Calls, ToolSchema
from autoagent.models.vocabulary import Marks, Vocabulary
from autoagent.trajectory import ToolCall

Dict = dict[str, Any]

CALL_ID = "000000000"  # for templates that want one; Mistral's want nine letters or digits


@dataclass(frozen=True)
class Form:
    """What a chat template needs before it can render a run. The default is what most can take as it is."""

    system: bool = True  # False: what the system says goes into the first thing the user says
    fold: bool = False  # True: turns must alternate, so neighbours are put together
    ids: bool = False  # True: calls and results carry an id
    strings: bool = False  # True: arguments are JSON text, not an object
    prompted: bool = False  # True: no place for tools: they are told in the system prompt, calls are text
    thinking: bool = True  # False: the template is asked for turns without reasoning


def adapt(
    messages: Sequence[Dict], tools: Sequence[ToolSchema], form: Form
) -> tuple[list[Dict], list[ToolSchema]]:
    """Return messages and tools as the template of this form takes them; what is given stays as it is."""
    if form == Form(thinking=form.thinking):
        return list(messages), list(tools)
    told = list(messages)
    if form.prompted:
        told, tools = _prompted(told, tools), []
    if not form.system and told and told[0]["role"] == "system":
        told = [{"role": "user", "content": told[0]["content"]}, *told[1:]]
    if form.fold or not form.system:
        told = _folded(told, hard=form.fold)
    return [_shaped(message, form) for message in told], list(tools)


def _prompted(messages: list[Dict], tools: Sequence[ToolSchema]) -> list[Dict]:
    """Tools into the system prompt, calls into what the assistant says, results into what the user says."""
    told = [_as_text(message) for message in messages]
    if tools:
        manner = told.pop(0)["content"] + "\n\n" if told and told[0]["role"] == "system" else ""
        told.insert(0, {"role": "system", "content": manner + _introduction(tools)})
    return told


def _as_text(message: Dict) -> Dict:
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    if "tool_calls" not in message:
        return message
    marks = Marks(before="\n")
    calls = [ToolCall.model_validate(call["function"]) for call in message["tool_calls"]]
    said = {key: value for key, value in message.items() if key != "tool_calls"}
    return said | {"content": write_calls(message["content"], calls, marks)}


def write_calls(text: str, calls: Sequence[ToolCall], marks: Marks) -> str:
    """What a model says when it makes these calls, in Hermes form."""
    blocks = [
        marks.opening
        + marks.head
        + call.name
        + marks.middle
        + _json(call.arguments)
        + marks.tail
        + marks.closing
        for call in calls
    ]
    return text + (marks.before if text and blocks else "") + marks.between.join(blocks)


def own_lark(vocabulary: Vocabulary, expect: Calls, json_rule: Callable[[Dict], str], longest: int) -> str:
    """The Lark grammar of calls in a template's own form, after at most ``longest`` characters of text."""
    marks, lark = vocabulary.marks, vocabulary.lark
    more = min(expect.at_most, expect.at_most if marks.many else 1) - 1
    blocks = "call" + (f" ({lark(marks.link)} call){{0,{more}}}" if more > 0 else "")
    words = f"(TEXT{f' {lark(marks.before)}' if marks.before else ''})? " if marks.words else ""
    lines = [
        f"start: {words}{lark(marks.opening)} {blocks} {lark(marks.closing)}",
        "call: " + " | ".join(f"call_{number}" for number in range(len(expect.tools))),
    ]
    if marks.words:
        lines.append(f"TEXT: /[^\\n<{re.escape(marks.opening[0])}]{{1,{longest}}}/")
    for number, tool in enumerate(expect.tools):
        function = tool["function"]
        lines.append(f"call_{number}: {_json(function['name'])} {lark(marks.middle)} args_{number}")
        lines.append(f"args_{number}: {json_rule(function.get('parameters') or {'type': 'object'})}")
    return "\n".join(lines)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _introduction(tools: Sequence[ToolSchema]) -> str:
    told = (Path(__file__).parent / "tools.txt").read_text(encoding="utf-8")
    return told.strip().replace("TOOLS", "\n".join(_json(tool["function"]) for tool in tools))


def _folded(messages: list[Dict], *, hard: bool) -> list[Dict]:
    """Put neighbours together: two of the user, two answers; with ``hard`` also a word after a result."""
    told: list[Dict] = []
    for message in messages:
        last = told[-1] if told else {}
        same = message["role"] == last.get("role") and message["role"] in ("user", "assistant")
        after_result = message["role"] == "user" and last.get("role") == "tool"
        if (same and not {"tool_calls"} & (message.keys() | last.keys())) or (hard and after_result):
            told[-1] = last | {"content": f"{last['content']}\n\n{message['content']}"}
        else:
            told.append(message)
    return told


def _shaped(message: Dict, form: Form) -> Dict:
    if message["role"] == "tool":
        return message | ({"tool_call_id": CALL_ID} if form.ids else {})
    if "tool_calls" not in message:
        return message
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        if form.strings:
            function = function | {"arguments": _json(function["arguments"])}
        calls.append(call | {"function": function} | ({"id": CALL_ID} if form.ids else {}))
    return message | {"tool_calls": calls}


def marks_of(turns: Mapping[str, str], stop: str) -> Marks | None:
    """Read a template's way of writing calls off its rendering of ``probe`` and ``other`` (see chat.py).

    None where it is no text with a JSON object of arguments in it: XML, Python, or calls that are left out.
    """
    one = _pieces(turns["one"], stop, ("probe", '{"x": "é"}'))
    if one is None:
        return None
    opening, middle, closing = one
    two = _pieces(turns["two"], stop, ("probe", '{"x": "é"}', "other", '{"y": "ü"}'))
    many = two is not None and (two[0], two[1], two[3], two[4]) == (opening, middle, middle, closing)
    link = two[2] if many and two is not None else ""
    words = turns["words"].partition(turns["said"])
    before = words[2].partition(opening)[0] if words[1] and not words[0] and opening in words[2] else None
    if before is not None and before.strip():
        before = None
    hermes = Marks()
    if (opening, middle, closing) == (
        hermes.opening + hermes.head,
        hermes.middle,
        hermes.tail + hermes.closing,
    ):
        between = link.removeprefix(closing).removesuffix(opening)
        usable = many and link == closing + between + opening and not between.strip()
        return Marks(before=before or "", between=between if usable else "\n", many=usable)
    return Marks(
        opening=opening, closing=closing, before=before or "", many=many, hermes=False,
        head="", middle=middle, link=link, tail="", words=before is not None,
    )  # fmt: skip


def _pieces(turn: str, stop: str, parts: Sequence[str]) -> list[str] | None:
    """What stands before, between and after these parts, up to the end of the turn."""
    turn, ended, _ = turn.partition(stop)
    found = []
    for part in parts:
        before, there, turn = turn.partition(part)
        if not there:
            return None
        found.append(before)
    return [*found, turn] if ended and found[0] else None
