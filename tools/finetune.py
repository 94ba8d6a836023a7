"""The agent retrains its own model on its verified runs."""

from __future__ import annotations

from typing import Literal

from autoagent.tools.base import Context, tool


@tool(
    effects=("train",),
    hints="verified runs agent train fine tune improve learn get better yourself learning training",
    needs="finetune",
)
def finetune(
    method: Literal["sft", "dpo", "kto"] = "sft", runs: str = "", note: str = "", *, ctx: Context
) -> str:
    """Retrain your own model.

    Args:
        method: sft imitates verified runs, dpo and kto prefer them to refuted ones.
        runs: Which runs to learn from: ids, parted by commas, or an age like 7d; all when empty.
        note: Kept with the new version.
    """
    return str(ctx.service("finetune")(method=method, runs=runs, note=note))


TOOLS = [finetune]
