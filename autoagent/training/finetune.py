"""Learn from verified runs: data, training, a new version, the gate. One function behind command and tool.

Thin on purpose: every pass trains on verified runs alone (no replay of earlier data: the gate guards against
forgetting), in this process; interrupted while it trains, it leaves no version behind.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from autoagent.config import Settings
from autoagent.errors import ModelError, UsageError
from autoagent.evals import TaskResult
from autoagent.models.fingerprint import fingerprint
from autoagent.models.versions import EMBEDDED, Version, Versions
from autoagent.prompts import prompt_hash
from autoagent.store import Store
from autoagent.training.dataset import Dataset, DatasetConfig, DataSheet, build_dataset, left_out
from autoagent.training.gate import GateConfig, GateReport, SuiteSource, gate_versions
from autoagent.training.sft import FinetuneProgress, OnProgress, Trained, train, write_model
from autoagent.trajectory import Data, Trajectory

if TYPE_CHECKING:
    from autoagent.models.engine import Engine
    from autoagent.models.protocol import Model

OTHER_TOKENIZER = "came from a model with another or an unknown tokenizer"


class FinetuneConfig(Settings):
    """How to learn, and when it counts as an improvement."""

    epochs: int = Field(default=6, ge=1, description="Passes over the training examples.")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="Peak learning rate; by default 1e-3 for models below 100M parameters, else 2e-5.",
    )
    batch_tokens: int = Field(default=2048, ge=64, description="Tokens per update, padding counted.")
    optimizer: Literal["muon", "adamw"] = Field(
        default="adamw",
        description="muon: Muon on hidden matrices, Adam on the rest; adamw: all Adam.",
    )
    device: str = Field(default="auto", description="Where to train: cpu, cuda, mps; auto is cuda if there.")
    precision: Literal["auto", "fp32", "bf16"] = Field(default="auto", description="What to compute in.")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 measures.")
    seed: int = Field(default=0, ge=0, description="Seed of the order of the examples.")
    suite: str = Field(default="", description="Learn from runs of this suite; empty: outside any.")
    data: DatasetConfig = Field(default=DatasetConfig(), description="What is learned from a run.")
    gate: GateConfig = Field(default=GateConfig(), description="When the new version is better.")
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
    on_progress: OnProgress | None = None,
) -> FinetuneResult:
    """Train a copy of a version on the project's verified runs; put it in use if the gate finds it better.

    Args:
        home: The project's folder of records and versions.
        base: Version, folder or hub id to start from; by default the version in use.
        suite: Held-out tasks for the gate, or a generator of them; without it the new version is only kept.
        config: How to learn.
        on_progress: Called after each training step and each task of the gate.

    Raises:
        UsageError: there is nothing to learn from, a model cannot be used, or no task is held out.
        StoreError: record or versions cannot be read or written.
    """
    config = config or FinetuneConfig()
    began = time.monotonic()
    tell = on_progress or _silent
    versions = Versions(home)
    in_use = versions.current()
    parent = in_use if base in (None, "current") else str(base)
    if suite is not None:
        versions.resolve(in_use)  # what the gate will measure must be there before hours are spent
    verified = _verified(home, config.suite)
    version, data, trained = _make(versions, parent, verified, config, tell)
    report = None if suite is None else _gate(versions, (in_use, version.name), suite, config, tell)
    return FinetuneResult(
        version=version.name,
        parent=parent,
        promoted=report is not None and report.promoted,
        reason="kept, not in use: there was no suite to measure it with" if report is None else report.reason,
        sheet=data.sheet,
        trained=trained,
        gate=report,
        seconds=time.monotonic() - began,
    )


def _silent(progress: FinetuneProgress) -> None: ...


def _verified(home: Path, suite: str) -> list[Trajectory]:
    store = Store(home)
    try:
        runs = list(store.verified(suite=suite))
    finally:
        store.close()
    if not runs:
        raise UsageError(
            "no verified runs to learn from: run goals with --check or --expect, "
            "or rate one with `autoagent runs rate ID good`"
        )
    return runs


def _make(
    versions: Versions,
    parent: str,
    verified: Sequence[Trajectory],
    config: FinetuneConfig,
    tell: OnProgress,
) -> tuple[Version, Dataset, Trained]:
    """The new version, what it was trained on, and how that went."""
    from autoagent.models.engine import load_engine

    engine = load_engine(versions.resolve(parent), device="cpu", dtype="float32", trust_remote_code=False)
    data = _dataset(verified, engine, versions, config)
    trained = train(engine, data, config, tell)
    with TemporaryDirectory(prefix="autoagent-finetune-") as folder:
        write_model(engine, Path(folder))
        version = versions.add(
            Path(folder),
            parent=parent,
            method="sft",
            note=config.note,
            prompts=prompt_hash(engine.folder),
            data={
                "sheet": data.sheet.model_dump(mode="json"),
                "config": config.model_dump(mode="json"),
                "trained": trained.model_dump(mode="json"),
            },
        )
    return version, data, trained


def _dataset(
    verified: Sequence[Trajectory], engine: Engine, versions: Versions, config: FinetuneConfig
) -> Dataset:
    """The verified runs whose ids mean the same to this model, as examples."""
    alike = _alike(engine.folder, versions)
    fitting = [run for run in verified if run.model in alike or not _has_ids(run)]
    others = Counter({OTHER_TOKENIZER: len(verified) - len(fitting)})
    settings = config.data.model_copy(update={"max_length": min(config.data.max_length, engine.window)})
    ends = [] if engine.tokenizer.eos_token_id is None else [int(engine.tokenizer.eos_token_id)]
    data = build_dataset(fitting, settings, end_ids=ends, refused=others)
    if not data.train:
        why = left_out(data.sheet.refused)
        raise UsageError(f"none of the {len(verified)} verified runs can be learned from: {why}")
    return data


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


def _gate(
    versions: Versions, names: tuple[str, str], suite: SuiteSource, config: FinetuneConfig, tell: OnProgress
) -> GateReport:
    """Measure, write down what was found, and swap the pointer if the new version passed."""
    from autoagent.models.load import load_model

    began: dict[str, float] = {}

    def load(name: str) -> Model:
        return load_model(name, home=versions.folder.parent)

    def show(who: str, done: int, total: int, result: TaskResult) -> None:
        start = began.setdefault(who, time.monotonic() - result.seconds)
        left = (time.monotonic() - start) / done * (total - done)
        tell(FinetuneProgress("gate old" if who == "old" else "gate new", done, total, left))

    report = gate_versions(versions, names, suite, load=load, config=config.gate, on_result=show)
    versions.judge(names[1], promoted=report.promoted, gate=report.model_dump(mode="json"))
    if report.promoted:
        versions.use(names[1], instead_of=names[0])
    return report
