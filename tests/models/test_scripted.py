"""The public test double says what its script says, in the shape a real model would."""

from __future__ import annotations

from typing import Any

import pytest

from autoagent.config import Sampling
from autoagent.models import ScriptedModel
from autoagent.models.protocol import Calls, Expect, Json, Text, complete
from autoagent.models.scripted import Line
from autoagent.trajectory import Message, Reply, ToolCall

CALL = ToolCall(name="add", arguments={"a": 1})


def say(model: ScriptedModel, expect: Expect) -> Reply:
    session = model.open([Message(role="user", content="hi")], [])
    return complete(session.generate(expect, sampling=Sampling(), max_tokens=64))


@pytest.mark.parametrize(
    ("line", "expect", "text", "calls", "value"),
    [
        (["a", "ü"], Json({}), '{"plan": ["a", "ü"]}', (), {"plan": ["a", "ü"]}),
        ({"x": 1}, Json({}), '{"x": 1}', (), {"x": 1}),
        ('{"x": 2}', Json({}), '{"x": 2}', (), {"x": 2}),
        (CALL, Calls(()), "", (CALL,), None),
        (("1. add", CALL), Calls(()), "1. add", (CALL,), None),
        ("hm", Calls(()), "hm", (), None),
        ("hello", Text(), "hello", (), None),
    ],
)
def test_a_line_becomes_a_reply(
    line: Line, expect: Expect, text: str, calls: tuple[ToolCall, ...], value: Any
) -> None:
    reply = say(ScriptedModel([line]), expect)
    assert (reply.text, reply.calls, reply.value, reply.complete) == (text, calls, value, True)


def test_a_reply_is_said_as_it_is() -> None:
    reply = Reply(text="cut", complete=False)
    assert say(ScriptedModel([reply]), Text()) is reply


def test_a_script_that_ends_too_early_says_so() -> None:
    with pytest.raises(LookupError, match="the script of 0 lines ended, but the run went on"):
        say(ScriptedModel([]), Text())


def test_an_author_hears_the_conversation_and_a_fork_goes_its_own_way() -> None:
    model = ScriptedModel(lambda messages, expect: str(len(messages)))
    session = model.open([Message(role="user", content="hi")], [])
    twin = session.fork()
    session.append(Message(role="user", content="more"))
    said = [
        complete(each.generate(Text(), sampling=Sampling(), max_tokens=9)).text for each in (session, twin)
    ]
    assert said == ["2", "1"]
    assert session.messages[-1] == Message(role="assistant", content="2")
