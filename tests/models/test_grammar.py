"""What the grammar lets through, forces, and steers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from autoagent.errors import UsageError
from autoagent.models.chat import audit
from autoagent.models.grammar import Grammars, bounded
from autoagent.models.guide import Guide
from autoagent.models.protocol import Calls, Expect, Json
from autoagent.models.tiny import write_tiny_model
from autoagent.models.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def grammars(tmp_path_factory: pytest.TempPathFactory) -> Grammars:
    tokenizer: Any = AutoTokenizer.from_pretrained(write_tiny_model(tmp_path_factory.mktemp("tiny")))
    found = audit(tokenizer, [tokenizer.eos_token_id])
    return Grammars(Vocabulary(tokenizer, len(tokenizer), found.ends, found.marks))


def tool(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}


def accepts(grammars: Grammars, expect: Expect, text: str) -> bool:
    guide = grammars.guide(expect, 1000)
    assert isinstance(guide, Guide)
    ids = grammars.vocabulary.encode(text)
    return guide.matcher.try_consume_tokens(ids) == len(ids) and guide.matcher.is_accepting()


def block(body: str) -> str:
    return f"<tool_call>\n{body}\n</tool_call>"


READ, ADD = tool("read", path={"type": "string"}), tool("add", a={"type": "number"}, b={"type": "integer"})
ONE = block('{"name": "read", "arguments": {"path": "a.txt"}}')
TWO = block('{"name": "add", "arguments": {"a": -1.5, "b": 2}}')


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (ONE, True),
        ("I look first." + ONE, True),
        (f"{ONE}\n{TWO}", True),
        (f"{ONE}\n{TWO}\n{ONE}", False),
        ("just text", False),
        ("two\nlines" + ONE, False),
        ("x" * 201 + ONE, False),
        (ONE.replace('": "', '":"'), False),
        (ONE.replace("read", "write"), False),
        (ONE.replace('"a.txt"', "3"), False),
        (ONE.replace("}}", ', "more": 1}}'), False),
        (ONE.replace("a.txt", "naïve ☕"), True),
        (ONE.replace("a.txt", "\\u00e9"), False),
        (TWO.replace("-1.5", "1e999"), False),
        (TWO.replace("2", "9" * 40), False),
    ],
)
def test_calls_are_exactly_what_the_template_would_render(grammars: Grammars, text: str, fits: bool) -> None:
    assert accepts(grammars, Calls((READ, ADD), at_most=2), text) == fits


def test_what_leaves_no_choice_is_forced(grammars: Grammars) -> None:
    guide = grammars.guide(
        Json({"type": "object", "properties": {"plan": {"const": "go"}}, "required": ["plan"]}), 99
    )
    forced = guide.begin()
    assert grammars.vocabulary.spell(forced) == b'{"plan": "go"}'
    assert guide.ended


def test_forced_tokens_are_those_the_tokenizer_makes(grammars: Grammars) -> None:
    guide, vocabulary = grammars.guide(Calls((tool("nothing"),)), 99), grammars.vocabulary
    assert vocabulary.opening is not None
    _, forced = guide.take(vocabulary.opening)
    expected = vocabulary.encode(block('{"name": "nothing", "arguments": {}}') + "<|im_end|>")
    assert [vocabulary.opening, *forced] == expected


def test_the_wish_to_close_too_early_becomes_the_required_continuation(grammars: Grammars) -> None:
    vocabulary = grammars.vocabulary
    guide = grammars.guide(Calls((tool("add", a={"type": "integer"}, b={"type": "integer"}),)), 200)
    assert vocabulary.opening is not None
    guide.take(vocabulary.opening)
    guide.take(vocabulary.encode("5")[0])
    chances = np.full(vocabulary.size, 1e-6, dtype=np.float32)
    chances[vocabulary.encode("}}\n")[0]] = 0.6
    chances[vocabulary.encode("7")[0]] = 0.3
    vocabulary.redirect(chances, guide.allowed())
    chances *= guide.allowed()
    assert vocabulary.spell([int(chances.argmax())]).startswith(b",")


def test_a_tight_budget_takes_the_shortest_way_out(grammars: Grammars) -> None:
    vocabulary, letter = grammars.vocabulary, grammars.vocabulary.encode("z")[0]
    guide = grammars.guide(Calls((READ,)), 60)
    ids = guide.begin()
    assert vocabulary.opening is not None
    wanted = vocabulary.opening
    while not guide.ended:
        taken, forced = guide.take(wanted)
        ids += [wanted, *forced] if taken else forced
        wanted = letter if guide.allowed()[letter] else int(np.flatnonzero(guide.allowed())[0])
    assert len(ids) <= 60
    assert accepts(grammars, Calls((READ,)), vocabulary.spell(ids).decode("utf-8"))


def test_bounds_are_added_only_where_the_schema_sets_none() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "string", "maxLength": 5},
            "c": {"enum": ["x"]},
        },
    }
    untouched = copy.deepcopy(schema)
    tight = bounded(schema)["properties"]
    assert (tight["a"]["maxLength"], tight["b"]["maxLength"], tight["c"]) == (2000, 5, {"enum": ["x"]})
    assert schema == untouched


def test_a_schema_that_cannot_be_compiled_is_the_users_to_fix(grammars: Grammars) -> None:
    with pytest.raises(UsageError, match="cannot be turned into a grammar"):
        grammars.guide(Json({"type": "string", "pattern": "("}), 50)
