"""What the grammar lets through, forces, and steers."""

from __future__ import annotations

import copy
import json
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel
from transformers import AutoTokenizer

from autoagent.errors import UsageError
from autoagent.models.chat import audit
from autoagent.models.grammar import Grammars, bounded
from autoagent.models.guide import Guide
from autoagent.models.numbers import Numeric
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
    """Whether a reply that wants to say exactly ``text`` can."""
    guide, vocabulary, left = grammars.guide(expect, 10_000), grammars.vocabulary, text.encode()
    assert isinstance(guide, Guide)
    new = guide.begin()
    while left.startswith(forced := vocabulary.spell(new)):
        left = left.removeprefix(forced)
        if not left:
            return guide.ended or bool(guide.allowed()[list(vocabulary.ends)].any())
        token = vocabulary.matching.tokenize_bytes(left, parse_special=True)[0]
        if guide.ended or not guide.allowed()[token]:
            return False
        new = [token, *guide.take(token)[1]]
    return False


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
        ("x" * 400 + ONE, True),
        ("x" * 401 + ONE, False),
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


@pytest.mark.parametrize("at_most", [1, 3])
def test_no_walk_ends_beyond_its_budget(grammars: Grammars, at_most: int) -> None:
    """Whatever is chosen, also where a long forced tail follows a choice, such as the end of a call."""
    dice, expect = np.random.default_rng(0), Calls((READ, ADD), at_most=at_most)
    for budget in range(40, 100):
        guide = grammars.guide(expect, budget)
        ids = guide.begin()
        while not guide.ended:
            wanted = int(dice.choice(np.flatnonzero(guide.allowed())))
            taken, forced = guide.take(wanted)
            ids += [wanted, *forced] if taken else forced
        assert len(ids) <= budget


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
    assert (tight["a"]["maxLength"], tight["b"]["maxLength"], tight["c"]) == (100_000, 5, {"enum": ["x"]})
    assert schema == untouched


class Point(BaseModel):
    x: float
    label: str | None = None


class Shape(BaseModel):
    kind: Literal["line", "area"]
    points: list[Point]
    inside: Shape | None = None


NESTED = Shape.model_json_schema()  # with $defs, $ref, anyOf, enum, default
POINT = {"x": 1.5, "label": None}
TABLE = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}
PRICES = {"type": "object", "additionalProperties": {"type": "number"}}
OPTIONAL = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}, "c": {}},
    "required": ["b"],
}
BOTH = {"allOf": [{"type": "object", "properties": {name: {"type": "integer"}}} for name in "ab"]}


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        (NESTED, {"kind": "area", "points": [POINT, {"x": -2.0}], "inside": None}, True),
        (NESTED, {"kind": "area", "points": [], "inside": {"kind": "line", "points": [POINT]}}, True),
        (NESTED, {"kind": "circle", "points": []}, False),
        (NESTED, {"kind": "line", "points": [{**POINT, "y": 1}]}, False),
        (NESTED, {"kind": "line"}, False),
        (TABLE, [[1, 2], [], [-3]], True),
        (TABLE, [[1.5]], False),
        (PRICES, {"café": 2.5, "": 0}, True),
        (PRICES, {}, True),
        (PRICES, {"tea": "2"}, False),
        ({"type": "object"}, {}, True),
        (OPTIONAL, {"b": None}, True),
        (OPTIONAL, {"a": 1, "b": "x", "c": {"any": ["thing", True, None, 1e-7]}}, True),
        (OPTIONAL, {"a": 1}, False),
        (BOTH, {"a": 1, "b": 2}, True),
        ({"type": "string", "pattern": "^(?!x)[a-z]+$"}, "abc", True),
        ({"type": "string", "format": "date"}, "2026-02-28", True),
        ({"type": "string", "format": "date"}, "28.2.2026", False),
        ({"type": "string"}, "x" * 5_000, True),
        ({"enum": ["°C", 3, None]}, "°C", True),
        ({"enum": ["°C", 3, None]}, None, True),
        ({"oneOf": [{"type": "boolean"}, {"type": "integer", "minimum": 5}]}, 7, True),
        ({"oneOf": [{"type": "boolean"}, {"type": "integer", "minimum": 5}]}, 4, False),
    ],
)
def test_schemas_as_people_write_them(
    grammars: Grammars, schema: dict[str, Any], value: Any, fits: bool
) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert accepts(grammars, Json(schema), text) == fits


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("1.257e-06", True),
        ("1e5", True),
        ("-6.02214076E+23", True),
        ("1e100", True),
        ("1e999", False),
        ("123456789.123456789", True),
        ("0." + "3" * 21, False),
        ("-9223372036854775808", True),
        ("9" * 21, False),
        ("01", False),
        ("1.", False),
    ],
)
def test_numbers_are_finite_and_end(grammars: Grammars, text: str, fits: bool) -> None:
    assert accepts(grammars, Json({"type": "number"}), text) == fits
    row = {"type": "array", "items": {"type": "number"}}
    assert accepts(grammars, Json(row), f"[0.5, {text}, 7]") == fits


def test_digits_in_a_string_are_not_a_number(grammars: Grammars) -> None:
    assert accepts(grammars, Json({"type": "string"}), json.dumps('1e999 "' + "7" * 60))


def test_a_number_is_never_left_without_a_way_on() -> None:
    texts, allowed = [b"5", b"}"], np.array([True, False])
    Numeric(texts).bound(allowed, b"9" * 30)
    assert allowed[0]
    allowed[1] = True
    Numeric(texts).bound(allowed, b"9" * 30)
    assert allowed.tolist() == [False, True]


def test_the_tool_whose_schema_cannot_be_compiled_is_named(grammars: Grammars) -> None:
    odd = tool("odd", path={"type": "array", "items": {"type": "string"}, "enum": ["a"]})
    with pytest.raises(UsageError, match=r"schema of the tool odd cannot .*'path' is unsatisfiable"):
        grammars.guide(Calls((READ, odd)), 50)


def test_a_schema_that_cannot_be_compiled_is_the_users_to_fix(grammars: Grammars) -> None:
    with pytest.raises(UsageError, match="cannot be turned into a grammar"):
        grammars.guide(Json({"type": "string", "pattern": "("}), 50)
