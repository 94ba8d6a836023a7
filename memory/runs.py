"""What a finished run leaves in long-term memory: how it went, and its plan if the outcome was verified."""

from __future__ import annotations

from contextlib import suppress

from autoagent.memory.protocol import OUTSIDE, Memory, MemoryLocked
from autoagent.trajectory import Trajectory

LONGEST_GOAL, LONGEST_ANSWER = 300, 300  # characters


def remember_run(memory: Memory, trajectory: Trajectory, *, tainted: bool = False) -> list[str]:
    """Keep an episodic memory of a run and, of a verified one, its plan as a procedural memory.

    Of several runs of one goal only the latest is kept, so that routine does not crowd out the rest. Calling
    it again, say after the user has judged the run, replaces what was kept of it. All of a run goes with
    ``memory.forget(source=...)`` for each of ``sources_of(run_id)``.

    Args:
        memory: Where it is kept.
        trajectory: The run.
        tainted: Whether it has read what came from outside; what is kept of it is then marked.

    Returns:
        The ids of what was kept: none for a run that was delegated or has not ended.

    Raises:
        StoreError: the memory cannot be used.
    """
    if trajectory.ending is None or trajectory.parent:
        return []
    with suppress(MemoryLocked):  # then the next run of the goal takes the old ones away
        for each in sources_of(trajectory.run_id):
            memory.forget(source=each)
    source = sources_of(trajectory.run_id)[tainted]
    goal = _short(trajectory.goal, LONGEST_GOAL).rstrip(".")
    kept = [_latest(memory, goal, _episode(trajectory), "episodic", source)]
    if trajectory.verdict.status == "verified" and trajectory.plan:
        kept.append(_latest(memory, goal, _procedure(trajectory), "procedural", source))
    return kept


def source_of(run_id: str) -> str:
    """Return the source under which a run is remembered."""
    return f"run {run_id}"


def sources_of(run_id: str) -> tuple[str, str]:
    """Return the source under which a run is remembered, and that of a run which has read from outside."""
    return source_of(run_id), f"{source_of(run_id)} {OUTSIDE}"


def _latest(memory: Memory, goal: str, outcome: str, kind: str, source: str) -> str:
    """Keep one memory of a goal, in the place of that of an older run."""
    return memory.add(f"{goal} — {outcome}", kind, source, key=f"run of {goal}")


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
