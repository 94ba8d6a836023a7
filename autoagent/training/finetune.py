"""Learn from verified runs: data, training, a new version, the gate. One function behind command and tool.

The training is a job of its own process (see ``jobs``): ended at any moment, the same call goes on with it.
The version it becomes is written whole, judged by the gate, and only then put in use.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from autoagent.errors import ModelError, UsageError
from autoagent.evals import Suite, TaskResult, load_suite
from autoagent.models.fingerprint import fingerprint
from autoagent.models.versions import EMBEDDED, Version, Versions
from autoagent.prompts import prompt_hash
from autoagent.store import Store
from autoagent.training import looked_at
from autoagent.training.curves import LOG
from autoagent.training.dataset import (
    Dataset,
    DatasetConfig,
    DataSheet,
    build_dataset,
    left_out,
    pairs,
)
from autoagent.training.examples import counted
from autoagent.training.forgetting import Earlier, is_embedded_line
from autoagent.training.gate import GateConfig, GateReport, SuiteSource, gate_versions, trained_goals
from autoagent.training.gate_goals import choose, choose_others
from autoagent.training.gate_rules import fewest
from autoagent.training.jobs import Job, one_at_a_time, put, sweep, with_replay, work
from autoagent.training.learning import How
from autoagent.training.measuring import Measurements
from autoagent.training.outside import OutsideConfig, outside_examples
from autoagent.training.selection import Selected, Selection, select
from autoagent.training.sft import CURVES, FinetuneProgress, OnProgress, Stage, Trained
from autoagent.training.start import Start, start_from
from autoagent.training.with_trl import need_trl
from autoagent.trajectory import Data, Trajectory

OTHER_TOKENIZER = "came from a model with another or an unknown tokenizer"
CHANGED = "changed the model on the way, and so came from no version alone"


class FinetuneConfig(How):
    """What to learn from, how, and when it counts as an improvement."""

    selection: Selection = Field(default=Selection(), description="Which runs are learned from.")
    data: DatasetConfig = Field(default=DatasetConfig(), description="What is learned from a run.")
    outside: tuple[Path, ...] = Field(
        default=(),
        description="Files of conversations that are no runs, learned from, too.",
    )
    replay: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Share of the training tokens from earlier training, where there is such data: it keeps "
        "what the model knew. Only with method sft.",
    )
    gate: GateConfig = Field(default=GateConfig(), description="When the new version is better.")
    elsewhere: bool | Path = Field(
        default=True,
        description="Measure other goals and the loss of demonstrations, too, where the model descends from "
        "the embedded one: what improves one thing must not cost others. A suite's file: these are the other "
        "goals, of whatever model.",
    )
    named_suite: str = Field(
        default="", description="How the suite was named, for the command that makes the version anew."
    )
    jobs: int | None = Field(
        default=None, ge=1, description="Runs of the gate at a time; by default several for a small model."
    )
    launch: str = Field(
        default="",
        description="Command that starts the processes of a training, such as torchrun --nproc_per_node 2; "
        "empty: one process.",
    )
    isolated: bool = Field(default=True, description="Train in a process of its own.")
    note: str = Field(default="", description="Kept with the version.")


class FinetuneResult(Data):
    """What came out: the version, what it was made of, how it did, and whether it is in use now."""

    version: str
    parent: str
    promoted: bool
    reason: str = Field(description="One sentence with the numbers.")
    sheet: DataSheet
    trained: Trained
    gate: GateReport | None = Field(description="None when there was no suite to measure with.")
    seconds: float


def finetune(
    home: Path,
    *,
    base: str | None = None,
    suite: SuiteSource | None,
    config: FinetuneConfig | None = None,
    earlier: Earlier | None = None,
    on_progress: OnProgress | None = None,
    known: Measurements | None = None,
) -> FinetuneResult:
    """Train a copy of a version on the project's verified runs; put it in use if the gate finds it better.

    Args:
        home: The project's folder of records and versions.
        base: Version, folder or hub id to start from; by default the version in use.
        suite: Held-out tasks for the gate, or a generator of them; without it the new version is only kept.
        config: What to learn from, and how.
        earlier: What is known of the training of models that descend from the embedded one: data to mix in,
            and goals and data that show what was forgotten. ``autoagent.nano.earlier`` is it.
        on_progress: Called after each training step and each task of the gate.
        known: What the gates of earlier calls measured; see ``gate``.

    Raises:
        UsageError: there is nothing to learn from, a model cannot be used, no task is held out, or another
            training is under way.
        StoreError: record or versions cannot be read or written.
    """
    config = config or FinetuneConfig()
    began = time.monotonic()
    if config.learning.trainer == "trl":
        need_trl()
    with one_at_a_time(home) as trainings:
        start = start_from(Versions(home), base, config.learning.adapter)
        tuning = _Tuning(Versions(home), start, config, on_progress or _silent, earlier, known)
        if suite is not None:
            tuning.versions.resolve(tuning.versions.current())  # what the gate will measure must be there
        selected = _selected(home, config.selection)
        data = tuning.dataset(selected)
        if suite is not None:
            tuning.need_goals(suite, data.sheet)
        for line in data.sheet.remarks():
            tuning.note(line)
        job = put(trainings, start.folder, data, How(**{name: getattr(config, name) for name in _HOW}))
        tuning.sweep(trainings, job)
        version, trained = tuning.make(job)
        report = None
        if suite is not None:
            report = tuning.gate(version.name, suite)
            looked_at.keep(
                tuning.versions, version.name, [each.run_id for each in selected.positives.summaries]
            )
        job.forget()
    return FinetuneResult(
        version=version.name,
        parent=start.name,
        promoted=report is not None and report.promoted,
        reason="kept, not in use: there was no suite to measure it with" if report is None else report.reason,
        sheet=data.sheet,
        trained=trained,
        gate=report,
        seconds=time.monotonic() - began,
    )


_HOW = tuple(How.model_fields)
_STAGES: dict[str, Stage] = {
    "old": "gate old",
    "new": "gate new",
    "old elsewhere": "gate old elsewhere",
    "new elsewhere": "gate new elsewhere",
}


def _silent(progress: FinetuneProgress) -> None: ...


def _selected(home: Path, selection: Selection) -> Selected:
    store = Store(home)
    try:
        selected = select(store, selection)
    finally:
        store.close()
    return selected


@dataclass(frozen=True)
class _Tuning:
    """One call of :func:`finetune`."""

    versions: Versions
    start: Start
    config: FinetuneConfig
    tell: OnProgress
    earlier: Earlier | None
    known: Measurements | None

    def dataset(self, selected: Selected) -> Dataset:
        """The runs whose ids mean the same to this model, as examples."""
        method = self.config.learning.method
        alike = _alike(self.start.folder, self.versions)
        refused = Counter(selected.left_out)
        alone = bool(self.config.selection.models)
        good = list(_fitting(selected.positives, alike, alone, refused))
        bad = [] if method == "sft" else list(_fitting(selected.negatives, alike, alone, refused))
        ends = self.start.tokenizer.eos_token_id
        settings = self.config.data
        settings = settings.model_copy(update={"max_length": min(settings.max_length, self.start.window)})
        reading = OutsideConfig(max_length=settings.max_length)
        told = [outside_examples(path, self.start.tokenizer, config=reading) for path in self.config.outside]
        for each in told:
            refused.update(each.refused)
        if not told:
            selected.need_positives()
        data = build_dataset(
            good,
            settings,
            negatives=bad,
            outside=[example for each in told for example in each.examples],
            end_ids=[] if ends is None else [int(ends)],
            refused=refused,
            about=selected.about,
            trained=trained_goals(self.versions, self.start.name),
        )
        _need(data, method, selected)
        data = replace(data, sheet=data.sheet.model_copy(update={"solved": selected.solved}))
        share, known = self.config.replay, self.earlier
        if method != "sft" or not share or known is None:
            return data
        if not is_embedded_line(self.versions, self.start.name):
            return data
        tokens = round(sum(len(each.ids) for each in data.train) * share / (1 - share))
        return with_replay(data, tuple(known.replay(self.start.folder, tokens, self.config.seed)))

    def note(self, line: str) -> None:
        """Say what should be known before anything is trained."""
        self.tell(FinetuneProgress("train", 0, 0, 0.0, note=line))

    def need_goals(self, suite: SuiteSource, sheet: DataSheet) -> None:
        """Make sure before any training that there will be goals to measure on, and say where there are not.

        Raises:
            UsageError: the suite leaks or all of it was trained on, or there are too few other goals.
        """
        gate = self.config.gate
        trained = {*trained_goals(self.versions, self.start.name, self.versions.current()), *sheet.goals}
        target = choose(suite, trained, gate).suite
        if (count := len(target.tasks)) < fewest(gate):
            least = f"at least {fewest(gate)} are needed"
            has = f"The suite has {counted(count, 'held-out goal')}"
            self.note(f"{has}, too few to show that anything is better: {least}")
        others = self._elsewhere()
        if isinstance(others, Suite):
            choose_others(others, target, trained, gate)
        elif others == "auto" and (why := self._unseen(target)):
            self.note(f"What is forgotten will go unseen{why}: name other goals with --elsewhere FILE.toml")

    def _unseen(self, target: Suite) -> str:
        """Why no other goals are measured, "" where some are."""
        if self.earlier is None or not is_embedded_line(self.versions, self.start.name):
            return " but in this suite"
        others = self.earlier.other_goals(target, seed=0, at_least=1)
        return "" if others is not None else f" but in {target.name}, which has goals of all families"

    def _elsewhere(self) -> Suite | Literal["auto"] | None:
        """The other goals."""
        where = self.config.elsewhere
        return load_suite(where) if isinstance(where, Path) else "auto" if where else None

    def sweep(self, trainings: Path, job: Job) -> None:
        """Remove what earlier trainings left, and say so."""
        made = {str((version.data or {}).get("job")) for version in self.versions.list()}
        if line := sweep(trainings, made=made, keep=job.name).line():
            self.note(line)

    def make(self, job: Job) -> tuple[Version, Trained]:
        """The version that comes of a job; where it was made before, that one."""
        for version in reversed(self.versions.list()):
            if (version.data or {}).get("job") == job.name:
                self.versions.verify(version.name)
                return version, Trained.model_validate((version.data or {})["trained"])
        trained = self._trained(job)
        version = self.versions.add(
            job.folder / "model",
            base=self.start.name,
            beside=_told(job.folder / "run"),
            parent=self.start.name,
            method=trained.method,
            note=self.config.note,
            prompts=prompt_hash(self.start.folder),
            data={
                "job": job.name,
                "sheet": job.data.sheet.model_dump(mode="json"),
                "config": self.config.model_dump(mode="json"),
                "trained": trained.model_dump(mode="json"),
                "replayed": job.data.sheet.replayed,
            },
        )
        return version, trained

    def _trained(self, job: Job) -> Trained:
        if self.config.isolated or self.config.launch:
            from autoagent.training.worker import MODULE, TOGETHER, work_apart

            if "--nnodes" in self.config.launch:
                line = f"{self.config.launch} -m {MODULE} {job.folder} {TOGETHER}"
                note = f"waiting for the other machines; start there: {line}"
                self.note(note)
            return work_apart(job, self.tell, launch=shlex.split(self.config.launch))
        return work(job, self.tell)

    def gate(self, name: str, suite: SuiteSource) -> GateReport:
        """Measure, write down what was found, and swap the pointer if the new version passed."""
        from autoagent.models.load import load_model
        from autoagent.training.gate_report import as_json, page

        began: dict[str, float] = {}
        in_use = self.versions.current()

        def show(who: str, done: int, total: int, result: TaskResult) -> None:
            start = began.setdefault(who, time.monotonic() - result.seconds)
            left = (time.monotonic() - start) / done * (total - done)
            self.tell(FinetuneProgress(_STAGES[who], done, total, left))

        report = gate_versions(
            self.versions,
            (in_use, name),
            suite,
            load=partial(load_model, home=self.versions.folder.parent),
            config=self.config.gate,
            on_result=show,
            forgetting=self._elsewhere(),
            sample="auto" if self.config.elsewhere else (),
            earlier=self.earlier,
            jobs=self.config.jobs,
            known=self.known,
        )
        found = report.model_dump(mode="json")
        beside = {"gate.html": page(report), "gate.json": as_json(report)}
        self.versions.judge(name, promoted=report.promoted, gate=found, beside=beside)
        if report.promoted:
            try:
                self.versions.use(name, instead_of=in_use)
            except ModelError:  # somebody chose another version meanwhile
                self.versions.judge(name, promoted=False, gate=found)
                raise
        return report


def _told(run: Path) -> dict[str, Path]:
    """What a training says about itself, by the names it has beside the version: curves, log, TensorBoard."""
    found = {name: run / name for name in (CURVES, LOG) if (run / name).exists()}
    boards = sorted((run / "tensorboard").glob("events.out.tfevents.*"))
    return found | {f"events.out.tfevents.{number}": file for number, file in enumerate(boards)}


def _fitting(
    runs: Sequence[Trajectory], alike: set[str], alone: bool, refused: Counter[str]
) -> Iterator[Trajectory]:
    """The runs of models with the same tokenizer; with ``alone``, of one version each. Others are counted."""
    for run in runs:
        models = set(run.models.values())
        if alone and len(models) > 1:
            refused[CHANGED] += 1
        elif models <= alike or not _has_ids(run):
            yield run
        else:
            refused[OTHER_TOKENIZER] += 1


def _need(data: Dataset, method: str, selected: Selected) -> None:
    """Make sure that there is what the method needs.

    Raises:
        UsageError: there is not; the line says what is missing.
    """
    if not data.train:
        why = left_out(Counter(data.sheet.refused) - Counter(selected.left_out))
        what = f"none of the {len(selected.positives)} verified runs" if selected.positives else "nothing"
        raise UsageError(f"{what} can be learned from: {why}")
    if method == "dpo" and not pairs(data):
        raise UsageError(
            "no pair of a verified and a refuted run of the same goal: "
            "get some with `autoagent practice`, or learn with --method sft"
        )
    if method == "kto" and not data.negatives.train:
        raise UsageError("no refuted runs to tell from the verified ones: learn with --method sft")


def _alike(folder: Path, versions: Versions) -> set[str]:
    """Hashes of the models known here that have the tokenizer of the model in ``folder``."""
    known = [(folder, ""), *((versions.path(each.name), each.prompts) for each in versions.list())]
    with contextlib.suppress(ModelError):  # no embedded model in this installation
        known.append((Path(versions.resolve(EMBEDDED)), ""))
    wanted = _tokenizer_bytes(folder)
    return {
        fingerprint(place, prompts=prompts)
        for place, pinned in known
        if _tokenizer_bytes(place) == wanted
        for prompts in {pinned, prompt_hash(place), ""}
    }


def _tokenizer_bytes(folder: Path) -> list[bytes]:
    names = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt")
    return [(folder / name).read_bytes() for name in names if (folder / name).is_file()]


def _has_ids(run: Trajectory) -> bool:
    return any(step.reply.trace is not None for step in run.steps)
