"""From recorded runs to a data set: examples split by goal, pairs to choose between, a sheet on it all."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from pydantic import Field, model_validator

from autoagent.config import Settings
from autoagent.errors import ConfigError
from autoagent.store import RunSummary
from autoagent.store.rows import FAMILY
from autoagent.training.examples import Example, Gathering, goal_hash, left_out
from autoagent.training.pairs import Pair, pair_up
from autoagent.training.sheet import DataSheet, Part
from autoagent.training.solved import solved
from autoagent.trajectory import Trajectory

__all__ = [
    "DataSheet", "Dataset", "DatasetConfig", "Example", "Negatives", "Pair", "build_dataset", "goal_hash",
    "left_out", "pairs",
]  # fmt: skip

PartName = Literal["train", "validation", "test"]
FEW_GOALS = 20  # of fewer, the share kept back to measure the loss on is a goal or none
ENOUGH_GOALS = 100  # from which some are kept back for a test, where nothing else was said
TEST_SHARE = 0.1
_PARTS: tuple[PartName, ...] = ("train", "validation", "test")
_QUOTED = re.compile(r"(\"[^\"]*\"|'[^']*'|`[^`]*`|“[^”]*”)(?!\w)")
_VALUE = re.compile(r"[\d/\\_@]|\w\.\w")


class DatasetConfig(Settings):
    """What is learned from a run."""

    train_forced: bool = Field(
        default=False, description="Also train on tokens the grammar forced, not only on sampled ones."
    )
    validation: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the goals kept out of training to measure the loss on."
    )
    test: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description=f"Share of the goals that neither train nor validate; by default {TEST_SHARE:g} where "
        f"there are {ENOUGH_GOALS} goals or more, else none.",
    )
    pairs_per_goal: int = Field(
        default=4, ge=0, description="Most pairs of a verified and a refuted run of one goal."
    )
    max_length: int = Field(default=4096, ge=8, description="Longer examples are left out, in tokens.")

    @model_validator(mode="after")
    def _something_to_train_on(self) -> Self:
        if self.validation + (self.test or 0) >= 1:
            raise ConfigError(
                f"validation {self.validation:g} and test {self.test or 0:g} leave no goal to train on: "
                "their sum must be below 1"
            )
        return self


@dataclass(frozen=True)
class Negatives:
    """Examples of refuted runs, by part."""

    train: tuple[Example, ...] = ()
    validation: tuple[Example, ...] = ()
    test: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Examples to train on, examples of other goals to measure on, and the sheet on where they are from."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    sheet: DataSheet
    test: tuple[Example, ...] = ()
    negatives: Negatives = Negatives()
    config: DatasetConfig = field(default_factory=DatasetConfig)


def pairs(data: Dataset, part: PartName = "train") -> tuple[Pair, ...]:
    """Chosen and rejected sequences of the same goals, targets only from where the two part.

    At most ``config.pairs_per_goal`` of each goal.
    """
    return pair_up(getattr(data, part), getattr(data.negatives, part), per_goal=data.config.pairs_per_goal)


def build_dataset(
    trajectories: Iterable[Trajectory],
    config: DatasetConfig | None = None,
    *,
    negatives: Iterable[Trajectory] = (),
    outside: Iterable[Example] = (),
    end_ids: Collection[int] = (),
    refused: Mapping[str, int] | None = None,
    about: Mapping[str, RunSummary] | None = None,
    trained: Collection[str] = (),
) -> Dataset:
    """Turn judged runs into examples; what cannot or must not train is counted in the sheet, by reason.

    Args:
        trajectories: Recorded runs to learn from; only verified ones are.
        config: What is learned from a run.
        negatives: Recorded runs whose like is to become less likely; only refuted ones are taken.
        outside: Examples that are no runs (see ``autoagent.training.outside``).
        end_ids: Ids that end a turn: trained even where forced, so that the model learns to stop.
        refused: Runs the caller has left out already, by reason, for the sheet.
        about: Suite and tags of the runs, by run id, for the sheet.
        trained: Hashes of goals that the model to be trained has learned from before: they go on training
            and measure nothing.
    """
    config = config or DatasetConfig()
    gathering = Gathering(config.train_forced, config.max_length, frozenset(end_ids), Counter(refused or {}))
    for trajectory in trajectories:
        gathering.take(trajectory)
    gathering.add_outside(outside)
    for trajectory in negatives:
        gathering.take(trajectory, good=False)
    parts = _parts(gathering, config, frozenset(trained))
    return _with_sheet(_divided(gathering, parts, config), gathering, about or {})


def _parts(gathering: Gathering, config: DatasetConfig, trained: frozenset[str]) -> dict[str, PartName]:
    """Which part each goal is in, chosen by its hash alone, so the same in every data set.

    All train where nothing good would be left to train on.
    """
    goals = {example.goal for example in (*gathering.good, *gathering.bad)}
    test = config.test
    if test is None:
        test = TEST_SHARE if len(goals) >= ENOUGH_GOALS and config.validation + TEST_SHARE < 1 else 0.0
    parts: dict[str, PartName] = {
        goal: "train" if goal in trained else _part_of(goal, config.validation, test) for goal in goals
    }
    if any(parts[example.goal] == "train" for example in gathering.good):
        return parts
    return dict.fromkeys(goals, "train")


def _part_of(goal: str, validation: float, test: float) -> PartName:
    place, whole = int(goal, 16), 16 ** len(goal)
    if place < validation * whole:
        return "validation"
    return "test" if place >= (1 - test) * whole else "train"


def _divided(gathering: Gathering, parts: Mapping[str, PartName], config: DatasetConfig) -> Dataset:
    """The examples in their parts, without a sheet yet."""

    def of(examples: Sequence[Example], part: PartName) -> tuple[Example, ...]:
        return tuple(example for example in examples if parts[example.goal] == part)

    good, bad = gathering.good, gathering.bad
    return Dataset(
        train=of(good, "train"),
        validation=of(good, "validation"),
        test=of(good, "test"),
        negatives=Negatives(of(bad, "train"), of(bad, "validation"), of(bad, "test")),
        sheet=DataSheet(),
        config=config,
    )


def _with_sheet(data: Dataset, gathering: Gathering, about: Mapping[str, RunSummary]) -> Dataset:
    train, bad = data.train, data.negatives.train
    paired = {name: pairs(data, name) for name in _PARTS}
    runs = _runs(train)
    sources = [about[run] for run in _runs((*train, *bad)) if run in about]
    began = [gathering.began[run] for run in _runs((*train, *bad))]
    sheet = DataSheet(
        runs=runs,
        negative_runs=_runs(bad),
        goals=tuple(sorted({example.goal for example in (*train, *bad)})),
        examples=len(train),
        tokens=sum(len(example.ids) for example in train),
        trained_tokens=sum(example.trained for example in train),
        validation_examples=len(data.validation),
        validation_goals=len({example.goal for example in (*data.validation, *data.negatives.validation)}),
        train=Part.of(train, bad, len(paired["train"])),
        validation=Part.of(data.validation, data.negatives.validation, len(paired["validation"])),
        test=Part.of(data.test, data.negatives.test, len(paired["test"])),
        models=dict(Counter(gathering.made_by[run] for run in runs)),
        suites=dict(Counter(each.suite for each in sources)),
        tags=dict(Counter(tag for each in sources for tag in each.tags)),
        outside=dict(Counter(each.source.rpartition(":")[0] for each in train if each.source)),
        first=min(began, default=None),
        last=max(began, default=None),
        solved=solved(gathering.judged),
        refused={reason: count for reason, count in gathering.refused.items() if count},
        hash=_content_hash(data, paired),
    )
    warnings = tuple(_warnings(data, sheet, gathering.wording, about))
    return replace(data, sheet=sheet.model_copy(update={"warnings": warnings}))


def _runs(examples: Iterable[Example]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(example.run_id for example in examples if example.run_id))


def _warnings(
    data: Dataset, sheet: DataSheet, wording: Mapping[str, str], about: Mapping[str, RunSummary]
) -> Iterator[str]:
    """What speaks against the data, a line each."""
    goals = len(sheet.goals)
    if not data.train:
        return
    if goals == 1:
        yield "All examples are of one goal: the model will learn that goal by heart, and little else."
    if data.config.validation and not data.validation:
        few = f"{goals} are too few for a split. Collect runs of {FEW_GOALS} goals or more."
        known = f"of {goals} goals, those meant for it were learned from before."
        yield f"No goal is kept back to measure the loss on: {few if goals < FEW_GOALS else known}"
    elif data.config.test is None and goals + sheet.validation_goals < ENOUGH_GOALS:
        yield (
            f"No goal is kept back for a test: {goals + sheet.validation_goals} are too few, "
            f"{ENOUGH_GOALS} would do. The gate's suite has to tell."
        )
    family = _only_family(data, wording, about) if goals > 1 else ""
    if family:
        yield (
            f"All {goals} goals are of one family ({family}): what is learned may not carry over to others, "
            "and others may suffer. Let the gate measure other families, too."
        )


def _only_family(data: Dataset, wording: Mapping[str, str], about: Mapping[str, RunSummary]) -> str:
    """What all goals trained on have in common, "" where they are of several families, or of unknown ones.

    A family is told by a tag, else by a goal's wording without its values: numbers, names of files, quotes.
    """
    found = set()
    for example in (*data.train, *data.negatives.train):
        if example.source:  # a conversation of a file: what it is about is not known
            return ""
        tags = about[example.run_id].tags if example.run_id in about else ()
        named = [tag.removeprefix(FAMILY) for tag in tags if tag.startswith(FAMILY)]
        found.add(named[0] if named else _shape(wording.get(example.goal, example.goal)))
        if len(found) > 1:
            return ""
    return found.pop()


def _shape(goal: str) -> str:
    """The wording of a goal with its values taken out: ``say the number …``."""
    words = _QUOTED.sub(" … ", " ".join(goal.casefold().split())).split()
    return " ".join("…" if _VALUE.search(word) else word for word in words)[:80]


def _content_hash(data: Dataset, paired: Mapping[PartName, Sequence[Pair]]) -> str:
    """Of everything that may be trained or measured on, in order."""
    content = hashlib.sha256()
    for name in _PARTS:
        content.update(f"{name}\n".encode("ascii"))
        of_pairs = (example for pair in paired[name] for example in pair)
        for example in (*getattr(data, name), *getattr(data.negatives, name), *of_pairs):
            ids, mask = ",".join(map(str, example.ids)), ",".join(map(str, example.mask))
            content.update(f"{ids};{mask};{example.good:d}\n".encode("ascii"))
    return content.hexdigest()
