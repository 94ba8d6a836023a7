"""The agent retrains its own model on its verified runs."""

from __future__ import annotations

from autoagent.tools.base import Context, tool


@tool(effects=("train",), hints="train fine tune improve learn get better yourself learning training")
def finetune(note: str = "", *, ctx: Context) -> str:
    """Retrain this agent's own model on its verified runs."""
    return str(ctx.service("finetune")(note=note))


TOOLS = [finetune]
