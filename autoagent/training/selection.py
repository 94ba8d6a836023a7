"""Which recorded runs are learned from: chosen in the database, loaded only when they are looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from autoagent.config import Settings
from autoagent.errors import ModelError, UsageError
from autoagent.models.fingerprint import fingerprint
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash
from autoagent.store import RunSummary, Store
from autoagent.training.examples import goal_hash, left_out
from autoagent.training.moments import moment
from autoagent.training.solved import Solved, solved
from autoagent.trajectory import Trajectory

UNJUDGED = "had no verdict"
AT_WORK = "had not ended"
FORGOTTEN = "were to be forgotten"
OTHER_SUITE = "belonged to a suite that was not named"
NO_SUITE = "belonged to no suite"
OTHER_MODEL = "came from another model version"
OTHER_TIME = "began outside the time given"
OTHER_TAGS = "had none of the tags"
OTHER_JUDGE = "had no verdict by the {by}"
_SHORTEST_HASH = 6  # hex digits

Since = Annotated[datetime, BeforeValidator(moment)]
Until = Annotated[datetime, BeforeValidator(lambda said: moment(said, end=True))]


class Selection(Settings):
    """Which recorded runs are learned from: of those chosen, the verified and, as negatives, the refuted.

    Times may be given as text: an age (``7d``, counted back from when the selection is made), or a date.
    """

    suite: str | None = Field(
        default="",
        description="Runs recorded under this suite; empty: those outside any. None: all, which leaves no "
        "suite to measure with.",
    )
    tags: tuple[str, ...] = Field(default=(), description="Only runs with one of these tags or more.")
    models: tuple[str, ...] = Field(
        default=(), description="Only runs of these model versions: names, hashes, or beginnings of hashes."
    )
    runs: tuple[str, ...] = Field(default=(), description="Only these runs: ids, or beginnings of ids.")
    since: Since | None = Field(default=None, description="Only runs that began then or later.")
    until: Until | None = Field(
        default=None, description="Only runs that began before; a day counts to its end."
    )
    by: Literal["check", "user"] | None = Field(
        default=None,
        description="Only runs whose latest verdict is the check's, or the user's. None: either.",
    )

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.since and self.until and self.since >= self.until:
            raise UsageError(
                f"no run can have begun since {self.since:%Y-%m-%d %H:%M} and before "
                f"{self.until:%Y-%m-%d %H:%M}: give an earlier since or a later until"
            )
        return self


class Runs(Sequence[Trajectory]):
    """Recorded runs, oldest first, each loaded when it is looked at.

    ``summaries`` tell about them without loading any. Looking at one raises StoreError where it is damaged.
    """

    def __init__(self, load: Callable[[str], Trajectory], summaries: Sequence[RunSummary]) -> None:
        self._load, self.summaries = load, tuple(summaries)

    def __len__(self) -> int:
        return len(self.summaries)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Runs(self._load, self.summaries[place])
        return self._load(self.summaries[place].run_id)

    def __iter__(self) -> Iterator[Trajectory]:
        return (self._load(summary.run_id) for summary in self.summaries)


@dataclass(frozen=True)
class Selected:
    """What a selection found."""

    positives: Runs  # verified
    negatives: Runs  # refuted
    left_out: Mapping[str, int]  # runs that were meant but cannot be learned from, by reason
    on_record: int = 0  # verified runs of the project, whether they fit or not

    @property
    def about(self) -> dict[str, RunSummary]:
        """All selected runs by id, for the data sheet."""
        return {each.run_id: each for each in (*self.positives.summaries, *self.negatives.summaries)}

    @property
    def solved(self) -> Solved:
        """How often the goals were reached, as told by all selected runs."""
        found = ((self.positives, True), (self.negatives, False))
        return solved((goal_hash(each.goal), good) for runs, good in found for each in runs.summaries)

    def line(self) -> str:
        """``31 verified and 12 refuted runs; left out: 3 runs had no verdict``."""
        line = f"{len(self.positives)} verified and {len(self.negatives)} refuted runs"
        return f"{line}; left out: {left_out(self.left_out)}" if self.left_out else line

    def need_positives(self) -> None:
        """Make sure that there is something to learn from.

        Raises:
            UsageError: no verified run was selected; the line says how to get one.
        """
        if not self.positives:
            why = f" ({left_out(self.left_out)})" if self.left_out else ""
            many = "1 verified run" if self.on_record == 1 else f"{self.on_record} verified runs"
            there = f"{many} on record, but none that was asked for; " if self.on_record else ""
            raise UsageError(
                f"no verified runs to learn from{why}: {there}run goals with --check or --expect, "
                "or rate one with `autoagent runs rate ID good`"
            )


def select(store: Store, selection: Selection | None = None) -> Selected:
    """The runs to learn from. Runs that were recorded under a suite, by ``autoagent eval --keep``, are there
    to measure with: they are taken only where their suite is named.

    Args:
        store: The project's record.
        selection: Which of its runs; by default all that no suite claims.

    Raises:
        UsageError: a run that is named does not exist, or several fit; a model made no run on record.
        StoreError: the record cannot be read.
    """
    selection = selection or Selection()
    models = _hashes(store, selection.models)
    left: Counter[str] = Counter()
    if selection.runs:
        ids = dict.fromkeys(store.find(name).run_id for name in selection.runs)
        found = store.matching(ids=ids)
    else:
        found = _matching(store, selection, models, left)
    usable = []
    for run in sorted(found, key=lambda run: (run.started, run.run_id)):
        if why := _misfit(run, selection, models) or _unusable(run, selection):
            left[why] += 1
        else:
            usable.append(run)
    good = [run for run in usable if run.verdict.status == "verified"]
    bad = [run for run in usable if run.verdict.status == "refuted"]
    counted = {reason: count for reason, count in left.items() if count}
    on_record = store.count(verdict="verified")
    return Selected(Runs(store.load, good), Runs(store.load, bad), counted, on_record)


def _matching(
    store: Store, selection: Selection, models: frozenset[str] | None, left: Counter[str]
) -> list[RunSummary]:
    """The judged runs that fit, newest first; those that are not judged, or another suite's, are counted."""
    filters: dict[str, Any] = {
        "models": models,
        "tags": selection.tags or None,
        "since": selection.since and selection.since.timestamp(),
        "until": selection.until and selection.until.timestamp(),
    }
    found: list[RunSummary] = []
    for verdict in ("verified", "refuted"):
        runs = store.matching(verdict=verdict, suite=selection.suite, **filters)
        if selection.suite == "":
            left[OTHER_SUITE] += store.count(verdict=verdict, **filters) - len(runs)
        found += runs
    left[UNJUDGED] += store.count(verdict="unverified", suite=selection.suite, **filters)
    return found


def _misfit(run: RunSummary, selection: Selection, models: frozenset[str] | None) -> str:
    """Why a run that was named is not selected, else ``""``."""
    if selection.suite not in (None, run.suite):
        return OTHER_SUITE if run.suite else NO_SUITE
    if models is not None and run.model not in models:
        return OTHER_MODEL
    if selection.tags and not set(selection.tags) & set(run.tags):
        return OTHER_TAGS
    early = selection.since is not None and run.started < selection.since.timestamp()
    late = selection.until is not None and run.started >= selection.until.timestamp()
    return OTHER_TIME if early or late else ""


def _unusable(run: RunSummary, selection: Selection) -> str:
    """Why nothing can be learned from a run yet, else ``""``."""
    if run.running:
        return AT_WORK
    if run.forgotten:
        return FORGOTTEN
    if run.verdict.by is None or run.verdict.status == "unverified":
        return UNJUDGED
    return OTHER_JUDGE.format(by=selection.by) if selection.by not in (None, run.verdict.by) else ""


def _hashes(store: Store, names: Sequence[str]) -> frozenset[str] | None:
    """The version hashes behind names, hashes and beginnings of hashes; None for all."""
    if not names:
        return None
    on_record, versions = store.models(), Versions(store.home)
    return frozenset(code for name in names for code in _hashes_of(name.strip(), on_record, versions))


def _hashes_of(name: str, on_record: Mapping[str, int], versions: Versions) -> list[str]:
    if name in on_record:
        return [name]
    found = [code for code in on_record if len(name) >= _SHORTEST_HASH and code.startswith(name.lower())]
    if len(found) == 1:
        return found
    if found:
        raise UsageError(f"{len(found)} model versions on record have a hash like {name}: give more of it")
    try:
        folder = versions.resolve(name)
    except ModelError:
        folder = name
    if isinstance(folder, Path):
        pinned = {each.prompts for each in versions.list() if each.name == name}
        hashes = [fingerprint(folder, prompts=prompts) for prompts in {prompt_hash(folder), "", *pinned}]
        found = [code for code in hashes if code in on_record]
    if not found:
        raise UsageError(
            f"no run on record is of a model {name}: `autoagent models list` names the versions, "
            "`autoagent runs show RUN` the model of a run"
        )
    return found
