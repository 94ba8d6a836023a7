"""save_memory and recall_memory, as the model meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.errors import InvalidCall, ToolError
from autoagent.memory import Chunk, LazyMemory, open_memory
from autoagent.memory.volatile import VolatileMemory
from autoagent.tools.base import Context
from autoagent.tools.memory import recall_memory, save_memory
from autoagent.workspace import Workspace


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return Context(workspace=Workspace(tmp_path), memory=VolatileMemory())


def test_a_saved_fact_is_recalled_best_first_one_per_line(ctx: Context) -> None:
    for text in ("the wifi password is 4411", "Anna likes tea", "wifi is off\nat night"):
        assert save_memory({"text": text}, ctx) == "Saved."
    shown = recall_memory({"query": "what is the wifi pasword"}, ctx).splitlines()
    assert shown == ["the wifi password is 4411", "wifi is off at night"]


def test_at_most_three_texts_are_shown_and_long_ones_are_cut(ctx: Context) -> None:
    for number in range(5):
        save_memory({"text": f"note {number} " + "word " * 1_000}, ctx)
    shown = recall_memory({"query": "note"}, ctx).splitlines()
    assert len(shown) == 3
    assert all(len(line) == 600 and line.endswith(" …") for line in shown)


def test_a_part_of_a_document_is_shown_with_its_place(ctx: Context) -> None:
    assert ctx.memory is not None
    ctx.memory.replace("notes/office.md", [Chunk("It opens\nat nine.", 3, 4), Chunk("nine " * 400, 9, 9)])
    first, second = recall_memory({"query": "when does it open, at nine?"}, ctx).splitlines()
    assert first == "It opens at nine. (notes/office.md:3-4)"
    assert second.endswith(" … (notes/office.md:9-9)")
    assert len(second) <= 600


def test_no_match_says_so(ctx: Context) -> None:
    assert recall_memory({"query": "wifi"}, ctx) == "Nothing in memory fits."
    save_memory({"text": "Anna likes tea"}, ctx)
    assert recall_memory({"query": "zzz"}, ctx) == "Nothing in memory fits."


def test_empty_arguments_are_mistakes_the_model_can_see(ctx: Context) -> None:
    with pytest.raises(ToolError, match="text is empty"):
        save_memory({"text": " "}, ctx)
    with pytest.raises(ToolError, match="query is empty"):
        recall_memory({"query": ""}, ctx)
    with pytest.raises(InvalidCall):
        save_memory({"fact": "x"}, ctx)


def test_without_memory_the_model_is_told(tmp_path: Path) -> None:
    ctx = Context(workspace=Workspace(tmp_path))
    for tool, arguments in ((save_memory, {"text": "x"}), (recall_memory, {"query": "x"})):
        with pytest.raises(ToolError, match=r"^Memory is not available in this run\.$"):
            tool(arguments, ctx)


def test_a_memory_held_by_another_run_is_an_observation_not_the_end(tmp_path: Path) -> None:
    holder = open_memory(tmp_path)
    ctx = Context(workspace=Workspace(tmp_path), memory=LazyMemory(tmp_path, wait=0))
    assert (
        save_memory({"text": "it is off at night"}, ctx) == "Saved."
    )  # put aside, for whoever opens it next
    with pytest.raises(ToolError, match="in use by another process"):
        recall_memory({"query": "x"}, ctx)
    holder.close()
    assert save_memory({"text": "x"}, ctx) == "Saved."
    assert recall_memory({"query": "at night"}, ctx) == "it is off at night"
    assert ctx.memory is not None
    ctx.memory.close()


def test_what_they_declare() -> None:
    assert save_memory.effects == ("write",)
    assert recall_memory.effects == ("read",)
    assert list(save_memory.parameters["properties"]) == ["text"]
