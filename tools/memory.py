"""Facts that outlive the run."""

from __future__ import annotations

from autoagent.errors import StoreError, ToolError
from autoagent.memory import OUTSIDE, Memory, Recalled
from autoagent.tools.base import Context, tool

RECALLED = 3  # texts
LONGEST = 600  # characters of one text; the observation has to hold all of them


@tool(
    effects=("write",),
    hints=(
        "remember memorize note keep in mind store never forget later future that it my learn by heart "
        "don't forget next time from now on you should know hold on to take note fact learn"
    ),
)
def save_memory(text: str, *, ctx: Context) -> str:
    """Save a fact to memory."""
    try:
        _memory(ctx).add(text, source=OUTSIDE if ctx.tainted else "")
    except (ValueError, StoreError) as error:
        raise ToolError(str(error)) from None
    return "Saved."


@tool(
    hints=(
        "what did I tell you about do you remember remind me know look in check search your from "
        "earlier before my memory told gave given said last time once forgot again was stored kept "
        "you know take get fetch value"
    )
)
def recall_memory(query: str, *, ctx: Context) -> str:
    """Recall facts from memory."""
    if not query.strip():
        raise ToolError("The query is empty: say what to look for.")
    try:
        found = _memory(ctx).recall(query, RECALLED)
    except StoreError as error:
        raise ToolError(str(error)) from None
    if any(each.outside for each in found):
        ctx.from_outside("memory")
    return "\n".join(_line(each) for each in found) or "Nothing in memory fits."


def _memory(ctx: Context) -> Memory:
    if ctx.memory is None:
        raise ToolError("Memory is not available in this run.")
    return ctx.memory


def _line(recalled: Recalled) -> str:
    """The text on one line, so that a line is a memory; a part of a document with its place."""
    line, place = " ".join(recalled.text.split()), f" ({recalled.citation})" if recalled.citation else ""
    longest = LONGEST - len(place)
    return (line if len(line) <= longest else line[: longest - 2] + " …") + place


TOOLS = [save_memory, recall_memory]
