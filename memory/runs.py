"""What a finished run leaves in long-term memory: how it went, and its plan if the outcome was verified."""

from __future__ import annotations

from autoagent.memory.protocol import Memory
from autoagent.trajectory import Trajectory

LONGEST_GOAL, LONGEST_ANSWER = 300, 300  # characters
_SAME_GOAL = 8  # memories nearest to a goal, among which an older run of it would be


def remember_run(memory: Memory, trajectory: Trajectory) -> list[str]:
    """Keep an episodic memory of a run and, of a verified one, its plan as a procedural memory.

    Of several runs of one goal only the latest is kept, so that routine does not crowd out the rest. Calling
    it again, say after the user has judged the run, replaces what was kept of it. All of a run goes with
    ``memory.forget(source=source_of(run_id))``.

    Returns:
        The ids of what was kept: none for a run that was delegated or has not ended.

    Raises:
        StoreError: the memory cannot be used.
    """
    if trajectory.ending is None or trajectory.parent:
        return []
    source = source_of(trajectory.run_id)
    memory.forget(source=source)
    goal = _short(trajectory.goal, LONGEST_GOAL).rstrip(".")
    kept = [_latest(memory, goal, _episode(trajectory), "episodic", source)]
    if trajectory.verdict.status == "verified" and trajectory.plan:
        kept.append(_latest(memory, goal, _procedure(trajectory), "procedural", source))
    return kept


def source_of(run_id: str) -> str:
    """Return the source under which a run is remembered."""
    return f"run {run_id}"


def _latest(memory: Memory, goal: str, outcome: str, kind: str, source: str) -> str:
    """Keep one memory of a goal, and forget the one of an older run."""
    head = f"{goal} — "
    older = [each.id for each in memory.recall(goal, _SAME_GOAL, kind) if each.text.startswith(head)]
    id = memory.add(head + outcome, kind, source)
    memory.forget(*(each for each in older if each != id))
    return id


def _episode(run: Trajectory) -> str:
    """``finished, verified. Answer: 42``."""
    parts = [f"{run.ending}, {run.verdict.status}."]
    if run.verdict.status == "refuted" and run.verdict.reason:
        parts.append(f"Refuted because: {_short(run.verdict.reason, LONGEST_ANSWER)}.")
    if run.answer:
        parts.append(f"Answer: {_short(run.answer, LONGEST_ANSWER)}")
    return " ".join(parts)


def _procedure(run: Trajectory) -> str:
    """``this plan was verified: 1. calculate the product; 2. … Tools: calculate``."""
    plan = "; ".join(f"{number}. {part}" for number, part in enumerate(run.plan, start=1))
    used = dict.fromkeys(seen.call.name for step in run.steps for seen in step.observations if seen.ok)
    tools = ", ".join(name for name in used if name != "finish")
    return f"this plan was verified: {plan}." + (f" Tools: {tools}." if tools else "")


def _short(text: str, longest: int) -> str:
    """On one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
