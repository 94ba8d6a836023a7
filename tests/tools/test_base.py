"""``@tool``: what a function says about itself is what the model is told."""

from __future__ import annotations

import datetime
import enum
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field

from autoagent import tool
from autoagent.errors import InvalidCall, ToolError, UsageError
from autoagent.tools import Context, Tool
from autoagent.workspace import Workspace


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    """Where something is."""

    city: str
    floor: int = 0


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(workspace=Workspace.at(tmp_path))


@tool
def order(item: str, count: int = 1, size: Literal["small", "large"] = "small", *, ctx: Context) -> str:
    """Order something.

    It is brought to the door.

    Args:
        item: What to order,
            in one word.
        count: How many of it.
    """
    return f"{count} {size} {item} for {ctx.workspace.root.name}"


def test_the_signature_and_the_docstring_are_the_schema() -> None:
    assert order.schema == {
        "type": "function",
        "function": {
            "name": "order",
            "description": "Order something",
            "parameters": {
                "type": "object",
                "properties": {
                    "item": {"type": "string", "description": "What to order,\nin one word."},
                    "count": {"type": "integer", "default": 1, "description": "How many of it."},
                    "size": {"type": "string", "enum": ["small", "large"], "default": "small"},
                },
                "required": ["item"],
                "additionalProperties": False,
            },
        },
    }
    assert (order.effects, order.hints) == (("read",), "")


def test_it_is_called_with_defaults_filled_in_and_the_context(context: Context) -> None:
    assert order({"item": "tea"}, context) == f"1 small tea for {context.workspace.root.name}"
    assert order.validate({"item": "tea", "count": "2"}) == {"item": "tea", "count": 2, "size": "small"}


def test_effects_and_hints_are_said_beside_the_function() -> None:
    @tool(effects=("network", "write"), hints="get from the web")
    def fetch(url: str) -> str:
        """Fetch a page"""
        return url

    assert (fetch.effects, fetch.hints, fetch.description) == (
        ("network", "write"),
        "get from the web",
        "Fetch a page",
    )


def test_types_of_all_kinds_arrive_as_declared(context: Context) -> None:
    got: list[Any] = []

    @tool
    def take(
        colour: Colour,
        where: Place,
        tags: list[str],
        share: Annotated[float, Field(ge=0, le=1)],
        note: str | None = None,
    ) -> None:
        """Take it all."""
        got.extend([colour, where, tags, share, note])

    given = {"colour": "red", "where": {"city": "Rome"}, "tags": ["a"], "share": 1}
    assert take(given, context) == "Done."
    assert got == [Colour.RED, Place(city="Rome"), ["a"], 1.0, None]
    with pytest.raises(InvalidCall, match=r"take: share: Input should be less than or equal to 1"):
        take.validate({**given, "share": 2})
    with pytest.raises(InvalidCall, match=r"take: where\.city: Field required"):
        take.validate({**given, "where": {}})


def test_arguments_are_validated_once(context: Context) -> None:
    @tool
    def twice(number: Annotated[int, AfterValidator(lambda value: 2 * value)]) -> int:
        """Double a number."""
        return number

    assert twice({"number": 2}, context) == "4"
    assert twice.carry_out(twice.validate({"number": 2}), context) == "4"


@pytest.mark.parametrize(
    "name", ["json", "copy", "schema", "dict", "model_config", "model_fields", "validate", "self", "title"]
)
def test_an_argument_may_have_any_name(context: Context, name: str) -> None:
    arguments = {name: str, "properties": int}
    made = Tool.from_parts(lambda **given: repr(given), name="t", description="d", arguments=arguments)
    assert list(made.parameters["properties"]) == [name, "properties"]
    assert made.parameters["required"] == [name, "properties"]
    assert made({name: "x", "properties": 1}, context) == repr({name: "x", "properties": 1})
    with pytest.raises(InvalidCall, match=f"t: {name}: Field required"):
        made.validate({"properties": 1})
    with pytest.raises(InvalidCall, match=f"t: argument_{name}: Extra inputs"):
        made.validate({f"argument_{name}": "x", name: "x", "properties": 1})


def test_titles_are_left_out_of_the_schema_but_not_arguments_of_that_name() -> None:
    @tool
    def show(title: str, place: Place) -> str:
        """Show a title."""
        return title

    assert list(show.parameters["properties"]) == ["title", "place"]
    assert '"title": "' not in str(show.parameters).replace("'", '"')


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is\n", "as it is\n"),
        (None, "Done."),
        (True, "True"),
        (2.5, "2.5"),
        (["a", 1], "a\n1"),
        ((), ""),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        ({"a": 1}, '{"a": 1}'),
        ([{"a": "é"}], '[{"a": "é"}]'),
        (iter("ab"), "a\nb"),
    ],
)
def test_results_become_text(context: Context, result: Any, text: str) -> None:
    @tool
    def give() -> Any:
        """Give it."""
        return result

    assert give({}, context) == text
    assert give.parameters == {"type": "object", "properties": {}, "additionalProperties": False}


def test_mistakes_are_for_the_model_and_faults_are_not_hidden(context: Context) -> None:
    @tool
    def fail(kind: str) -> str:
        """Fail in one way or another."""
        raise ToolError("not today") if kind == "mistake" else ValueError("broken")

    with pytest.raises(ToolError, match="not today"):
        fail({"kind": "mistake"}, context)
    with pytest.raises(ValueError, match="broken"):
        fail({"kind": "fault"}, context)


def no_docstring(x: str) -> str:
    return x


def no_type(x) -> str:  # type: ignore[no-untyped-def]
    """Say it."""
    return str(x)


def many(*xs: str) -> str:
    """Say them."""
    return "".join(xs)


def named(**xs: str) -> str:
    """Say them."""
    return "".join(xs)


def by_place(x: str, /) -> str:
    """Say it."""
    return x


def strange(x: Any) -> str:
    """Say it."""
    return str(x)


async def later(x: str) -> str:
    """Say it later."""
    return x


def a_function(x: Callable[[], None]) -> str:
    """Call it."""
    return str(x)


def a_thing(x: Context) -> str:
    """Use it."""
    return str(x)


strange.__annotations__["x"] = "Unknown"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (no_docstring, "tool no_docstring has no docstring"),
        (no_type, "tool no_type: argument x has no type hint"),
        (many, "tool many: a model gives arguments by name, and xs cannot be given so"),
        (named, "tool named: a model gives arguments by name, and xs cannot be given so"),
        (by_place, "tool by_place: a model gives arguments by name, and x cannot be given so"),
        (strange, "tool strange: unknown type in its signature: name 'Unknown' is not defined"),
        (later, "tool later is async; tools are plain functions"),
        (a_function, "tool a_function: an argument's type has no JSON schema"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_refused_in_one_line(
    function: Callable[..., Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said) as error:
        tool(function)
    assert "\n" not in str(error.value)


def test_an_unknown_effect_is_refused() -> None:
    with pytest.raises(UsageError, match="tool order: unknown effect fly; known are read, write"):
        Tool(order.function, effects=("fly",))  # type: ignore[arg-type]


def test_a_service_that_is_not_offered_is_an_observation(context: Context) -> None:
    with pytest.raises(ToolError, match="finetune is not available in this run"):
        context.service("finetune")


@pytest.mark.parametrize("size", [5_000_001, 50_000_000])
def test_a_huge_result_is_cut_and_its_size_told(context: Context, size: int) -> None:
    @tool
    def give(kind: str) -> Any:
        """Give a lot."""
        return b"x" * size if kind == "bytes" else "x" * size

    assert len(give({"kind": "bytes"}, context)) < 5_000_100
    assert give({"kind": "text"}, context).endswith(f"x\n… {size} characters in all")


def test_odd_results_are_shown_as_well_as_can_be(context: Context) -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop

    @tool
    def give(which: int) -> Any:
        """Give something odd."""
        return [loop, {(1, 2): 3}, itertools.count(), object(), {"at": datetime.date(2026, 3, 1)}][which]

    assert "..." in give({"which": 0}, context)
    assert give({"which": 1}, context) == "{(1, 2): 3}"
    assert give({"which": 2}, context).count("\n") == 9_999
    assert give({"which": 3}, context).startswith("<object")
    assert give({"which": 4}, context) == '{"at": "2026-03-01"}'
