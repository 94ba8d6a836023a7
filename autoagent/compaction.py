"""Making room in the model's window: older steps give way to a summary, the latest stay word for word."""

from __future__ import annotations

import json
from collections.abc import Sequence

from autoagent.plan import Plan
from autoagent.prompts import Prompts
from autoagent.trajectory import Message, Observation, Step

# Steps that stay word for word, and characters of a call and of its result in the summary; roomy ones first.
SIZES = ((3, 160), (2, 60), (1, 40), (1, 20), (0, 20), (0, 0))
_LINES = 40  # calls the summary tells of; the oldest are only counted


def compacted(
    opening: Sequence[Message],
    plan: Plan,
    steps: Sequence[Step],
    *,
    size: tuple[int, int],
    summary: str,
    prompts: Prompts,
) -> list[Message]:
    """The conversation with all but the latest acting steps told in one message.

    Args:
        opening: What it began with: system prompt and goal.
        plan: As it stands now, ticks included.
        steps: All of the run, oldest first.
        size: One of ``SIZES``.
        summary: The model's own words about the older ones; "" lists their calls and results.
        prompts: Where the words come from.
    """
    keep, longest = size
    acts = [step for step in steps if step.kind == "act" and step.observations]
    older, latest = (acts[:-keep], acts[-keep:]) if keep else (acts, [])
    lines = [] if summary else [_line(seen, longest) for step in older for seen in step.observations]
    most = _LINES if longest else 0
    if len(lines) > most:
        lines = [f"({len(lines) - most} earlier calls)", *lines[len(lines) - most :]]
    told = prompts.render("compaction", plan=plan.sub_goals, done=plan.done, summary=summary, lines=lines)
    messages = [*opening, Message(role="user", content=told)]
    for step in latest:
        messages.append(step.reply.as_message())
        messages += [
            Message(role="tool", content=seen.content, name=seen.call.name) for seen in step.observations
        ]
    return messages


def _line(seen: Observation, longest: int) -> str:
    """``read_file(path="a.txt"): first words of what it returned``."""
    given = ", ".join(
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in seen.call.arguments.items()
    )
    words = " ".join(seen.content.split())
    return f"{seen.call.name}({_cut(given, longest)}): {_cut(words, longest)}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
