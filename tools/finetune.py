"""The agent retrains its own model on its verified runs."""

from __future__ import annotations

from autoagent.tools.base import Context, tool


@tool(
    effects=("train",),
    hints="verified runs agent train fine tune improve learn get better yourself learning training",
    needs="finetune",
)
def finetune(note: str = "", *, ctx: Context) -> str:
    """Retrain your own model."""
    return str(ctx.service("finetune")(note=note))


TOOLS = [finetune]
