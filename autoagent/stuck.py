"""Is a run getting anywhere? Signs of going in circles, read off its latest steps."""

from __future__ import annotations

from collections.abc import Sequence

from autoagent.models.parsing import CALL
from autoagent.trajectory import Reply, Step

# Of each call: tool, arguments, observation, whether it worked.
_Turn = tuple[tuple[str, str, str, bool], ...]


def sign_of_circling(steps: Sequence[Step], *, patience: int = 3) -> str:
    """What shows that these steps get nowhere, in words for the model; "" when nothing does.

    Args:
        steps: Those to look at, oldest first: all since the last remedy.
        patience: How often something must have happened in a row.
    """
    acts = [step for step in steps if step.kind == "act"]
    turns = [_turn(step) for step in acts]
    if len(acts) >= patience and all(only_talk(step.reply) for step in acts[-patience:]):
        return f"the last {patience} replies were words, without a call of a tool"
    if _repeats(turns, 1, patience):
        name = turns[-1][0][0]
        return f"{name} was called {patience} times with the same arguments and the same result"
    if _repeats(turns, 2, patience):
        first, second = turns[-2][0][0], turns[-1][0][0]
        return f"the same calls of {first} and {second} took turns {patience} times"
    failed = failures_in_a_row(acts)
    if failed >= max(3, patience + 1):
        return f"{failed_tool(acts[-1])} failed {failed} times in a row"
    return ""


def only_talk(reply: Reply) -> bool:
    """Whether a reply says something, or nothing, and does not even try to call a tool."""
    return reply.complete and not reply.calls and CALL not in reply.text


def failures_in_a_row(steps: Sequence[Step]) -> int:
    """In how many of the latest steps the same tool failed."""
    count, tool = 0, ""
    for step in reversed([step for step in steps if step.kind == "act"]):
        failed = failed_tool(step)
        if not failed or tool not in ("", failed):
            break
        count, tool = count + 1, failed
    return count


def failed_tool(step: Step) -> str:
    """The tool that failed in a step, "" for none; the calls after it were only skipped."""
    return next((seen.call.name for seen in step.observations if not seen.ok), "")


def _turn(step: Step) -> _Turn:
    return tuple(
        (seen.call.name, repr(sorted(seen.call.arguments.items())), seen.content, seen.ok)
        for seen in step.observations
    )


def _repeats(turns: Sequence[_Turn], period: int, times: int) -> bool:
    """Whether the last ``period`` turns, which acted, stand there ``times`` times in a row."""
    tail = turns[-period * times :]
    if len(tail) < period * times or not all(tail) or (period > 1 and len(set(tail[:period])) == 1):
        return False
    return all(turn == tail[number % period] for number, turn in enumerate(tail))
