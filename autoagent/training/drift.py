"""Drift: whether what the project is asked to do, and how it goes, has changed since the model learned.

Read off the record alone, no model is loaded. Two groups of runs are compared: those begun up to the newest
run that the version in use (or one it descends from) learned from, and those begun since. Only whole runs
that have ended count: no delegated ones, no branches of practice or corrections, no forgotten ones. All
verdicts count, for runs that were learned from are all verified and would show nothing. What each figure
means stands in ``drift_figures``.

Not covered: runs of one goal that is repeated often count as if they were independent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from autoagent.evals.stats import newcombe, wilson
from autoagent.models.difference import sheet_of
from autoagent.models.versions import Versions
from autoagent.store import RunSummary, Store
from autoagent.training.drift_figures import (
    UNLIKE,
    Calls,
    Goals,
    Interval,
    Surprise,
    Tools,
    goals,
    surprise,
    tools,
)
from autoagent.training.looked_at import learned_runs, line
from autoagent.training.selection import Selection
from autoagent.trajectory import Data

_READ = 400  # runs of a group whose steps are read, the newest


class Period(Data):
    """Runs of one group in numbers."""

    runs: int
    verified: int
    refuted: int
    unverified: int
    success: float | None = Field(description="Verified of those judged; None where none was.")
    interval: Interval = Field(description="Wilson, 95 %.")


class Drift(Data):
    """What has changed since the version in use learned; None: a group has nothing to tell it by."""

    version: str = Field(description="The one in use.")
    before: Period
    since: Period
    success: Interval | None = Field(description="Of the change of success; Newcombe, 95 %.")
    tools: Tools | None
    goals: Goals | None
    surprise: Surprise | None
    changed: tuple[str, ...] = Field(description="Figures that changed by more than chance explains.")

    def lines(self) -> tuple[str, ...]:
        """All of it for people, a line each."""
        found = (self._success(), self._tools(), self._goals(), self._surprise())
        return tuple(each for each in found if each)

    def sentence(self) -> str:
        """One line for people, with the numbers of what has clearly changed."""
        runs = f"{self.since.runs} run{'' if self.since.runs == 1 else 's'}"
        counted = f"{runs} since {self.version} learned, {self.before.runs} before"
        words = {
            "success": self._success,
            "tools": self._tools,
            "goals": self._goals,
            "surprise": self._surprise,
        }
        told = [words[name]() for name in self.changed]
        return f"drift ({counted}): {'; '.join(told) if told else 'nothing that chance does not explain'}"

    def _success(self) -> str:
        old, new = self.before, self.since
        if self.success is None or old.success is None or new.success is None:
            return ""
        way = _way("success", self.changed, new.success - old.success, "rose", "fell", "is about the same")
        return f"success {way}, {_share(old)} to {_share(new)}"

    def _tools(self) -> str:
        if self.tools is None:
            return ""
        which = ", ".join(f"{name} {100 * change:+.0f} points" for name, change in self.tools.changed.items())
        told = f"the mix of tools {'has changed' if 'tools' in self.changed else 'is about the same'}"
        far = f"distance {self.tools.distance:.2f} of 1, {self.tools.by_chance:.2f} by chance"
        return f"{told}, {far}" + (f" ({which})" if which and "tools" in self.changed else "")

    def _goals(self) -> str:
        if self.goals is None:
            return ""
        each = self.goals
        nearest = f"nearest known goal {each.similarity:.2f} alike, {each.usual:.2f} is usual"
        return f"{each.unlike} of {each.goals} goals are unlike any learned from ({nearest})"

    def _surprise(self) -> str:
        if self.surprise is None:
            return ""
        change = self.surprise.since - self.surprise.before
        way = _way("surprise", self.changed, change, "less sure", "surer", "about as sure")
        return (
            f"the model is {way} of what it does, {self.surprise.before:.3f} to "
            f"{self.surprise.since:.3f} nats a token"
        )


def _way(name: str, changed: Sequence[str], change: float, more: str, less: str, same: str) -> str:
    if name not in changed:
        return same
    return more if change > 0 else less


def _share(period: Period) -> str:
    """``81 % (74 to 87 %)``."""
    low, high = period.interval
    return f"{100 * (period.success or 0):.0f} % ({100 * low:.0f} to {100 * high:.0f} %)"


def drift(home: Path, selection: Selection | None = None) -> Drift | None:
    """What has changed since the version in use learned; None where it learned from no run on record, or no
    run was begun since.

    Args:
        home: The project's folder of records and versions.
        selection: Of it the suite and the tags: which runs are compared. By default the user's own.

    Raises:
        StoreError: the record cannot be read.
    """
    selection = selection or Selection()
    versions, store = Versions(home), Store(home)
    own = line(versions)
    last = max((float(sheet_of(each).get("last") or 0) for each in own), default=0)
    if not last:
        return None
    try:
        found = store.matching(suite=selection.suite, tags=selection.tags or None)
        whole = [
            run for run in found if run.ending and not run.running and not run.forgotten and not run.parent
        ]
        since = [run for run in whole if run.started > last]
        before = [run for run in whole if run.started <= last]
        if not since:
            return None
        ids = frozenset().union(*map(learned_runs, own))
        learned = [run.goal for run in store.matching(ids=ids)]
        old, new = (Calls.of(store.load(run.run_id) for run in group[:_READ]) for group in (before, since))
    finally:
        store.close()
    periods = [_period(group) for group in (before, since)]
    success, called = _success_change(*periods), tools(old, new)
    unlike, unsure = goals(learned, [run.goal for run in since]), surprise(old, new)
    figures = (("success", success), ("tools", called), ("goals", unlike), ("surprise", unsure))
    return Drift(
        version=versions.pointer(),
        before=periods[0],
        since=periods[1],
        success=success,
        tools=called,
        goals=unlike,
        surprise=unsure,
        changed=tuple(name for name, found in figures if _clear(found)),
    )


def _clear(found: Interval | Tools | Goals | Surprise | None) -> bool:
    """Whether a figure has changed by more than chance explains."""
    match found:
        case Tools():
            return found.distance > found.by_chance
        case Goals():
            return found.interval[0] > UNLIKE
        case Surprise():
            return not found.interval[0] <= 0 <= found.interval[1]
        case (low, high):
            return not low <= 0 <= high
    return False


def _period(runs: Sequence[RunSummary]) -> Period:
    count = Counter(run.verdict.status for run in runs)
    judged = count["verified"] + count["refuted"]
    return Period(
        runs=len(runs),
        verified=count["verified"],
        refuted=count["refuted"],
        unverified=count["unverified"],
        success=count["verified"] / judged if judged else None,
        interval=wilson(count["verified"], judged),
    )


def _success_change(before: Period, since: Period) -> Interval | None:
    if before.success is None or since.success is None:
        return None
    old, new = ((each.verified, each.verified + each.refuted) for each in (before, since))
    return newcombe(old, new)
