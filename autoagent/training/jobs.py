"""A training as a job: a folder with all it needs, worked on by a process of its own.

    training/4f0c…/    job.json, examples.jsonl: what to train, on what
    ├── run/           checkpoint, log.jsonl, curves: where it stands
    ├── model/         the trained model, whole or not there
    └── done.json      how it went

The folder's name is a hash of base, data and settings: the same training, begun again after ``kill -9``, a
power cut or Ctrl-C, finds what was done and goes on. One that nobody goes on with is removed after a week.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from autoagent.errors import StoreError, UsageError
from autoagent.models import disk
from autoagent.models.fingerprint import fingerprint
from autoagent.training.dataset import Dataset, Example, Negatives
from autoagent.training.learning import How
from autoagent.training.sft import Run, Trained
from autoagent.training.sheet import DataSheet

if TYPE_CHECKING:
    from autoagent.training.parallel import Group

Tell = Callable[[Any], None]  # of sft.FinetuneProgress
_DRAFT = ".model"  # being written
KEPT_DAYS = 7  # a training that nobody went on with
_NAME = re.compile(r"[0-9a-f]{16}")
_TESTS = ("test", "negative test")
_PARTS = ("train", "validation", "negative train", "negative validation", *_TESTS)


class Busy(UsageError):
    """Another training is under way in the same project."""


class Stopped(KeyboardInterrupt):
    """A training was told to stop; what it has done is kept, and the same call goes on with it."""


@dataclass(frozen=True)
class Job:
    """One training: of this model, on these examples, in this way."""

    folder: Path
    base: Path
    data: Dataset
    how: How

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with."""
        return (self.folder / "run" / "checkpoint.pt").exists()

    def done(self) -> Trained | None:
        """How it went, once it has ended and the model is there."""
        told = self.folder / "done.json"
        if not told.exists() or not (self.folder / "model").is_dir():
            return None
        return Trained.model_validate_json(told.read_text(encoding="utf-8"))

    def forget(self) -> None:
        """Remove the folder: what came of it is kept elsewhere.

        What Weights & Biases has not sent yet goes to ``wandb`` beside all trainings, for `wandb sync`.
        """
        _remove(self.folder)


def _remove(folder: Path) -> None:
    """Remove a training, but not what Weights & Biases has not sent yet."""
    kept = folder.parent / "wandb"
    for unsent in (folder / "run" / "wandb").glob("offline-run-*"):
        with contextlib.suppress(OSError):  # there from before
            kept.mkdir(exist_ok=True)
            unsent.rename(kept / unsent.name)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def one_at_a_time(home: Path) -> Iterator[Path]:
    """The folder of a project's trainings, while nobody else trains there.

    Raises:
        Busy: somebody does.
        StoreError: it cannot be written.
    """
    folder = home / "training"
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise Busy(f"another training is under way in {home}: wait until it ends, or end it") from None
    except OSError as problem:
        raise StoreError(f"cannot write in {folder}: {problem.strerror or problem}") from problem
    try:
        yield folder
    finally:
        lock.release()


def put(trainings: Path, base: Path, data: Dataset, how: How) -> Job:
    """Write a job down; the same job as before is found again, with what was done of it.

    Raises:
        StoreError: it cannot be written.
    """
    about = {
        "model": fingerprint(base),
        "data": data.sheet.hash,
        "examples": [len(part) for name, part in _parts(data).items() if part or name not in _TESTS],
        "how": how.model_dump(mode="json"),
    }
    code = hashlib.sha256(json.dumps(about, sort_keys=True).encode("utf-8")).hexdigest()[:16]
    job = Job(trainings / code, base, data, how)
    if (job.folder / "job.json").exists():
        return job
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        with (job.folder / "examples.jsonl").open("w", encoding="utf-8") as file:
            for name, examples in _parts(data).items():
                for example in examples:
                    file.write(json.dumps([name, example.model_dump(mode="json")]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        _write(job.folder / "job.json", json.dumps({"base": str(base), **about}, indent=1))
    except OSError as problem:
        raise StoreError(f"cannot write the training {job.folder}: {problem.strerror}") from problem
    return job


@dataclass(frozen=True)
class Swept:
    """Folders of trainings that were removed: how many, and the bytes that got free."""

    folders: int
    freed: int

    def line(self) -> str:
        """What was done, in a line for people; "" where there was nothing to remove."""
        many = f"{self.folders} training{'' if self.folders == 1 else 's'}"
        what = f"removed {many} that ended or that nobody went on with for {KEPT_DAYS} days"
        return f"{what} ({self.freed / 1e6:.1f} MB)" if self.folders else ""


def sweep(trainings: Path, *, made: Collection[str], keep: str, now: float | None = None) -> Swept:
    """Remove the trainings that are not needed any more; for whoever holds the lock of ``one_at_a_time``.

    Removed are those that have become a version, those that were never written whole, and those in which
    nothing was written for a week. What is not a training's folder stays.

    Args:
        trainings: The folder of a project's trainings.
        made: Names of the jobs that became a version.
        keep: The job that is under way.
        now: Seconds since the epoch.
    """
    oldest = (time.time() if now is None else now) - KEPT_DAYS * 86_400
    folders = freed = 0
    for folder in sorted(trainings.iterdir()):
        if folder.name == keep or not _NAME.fullmatch(folder.name) or folder.is_symlink():
            continue
        over = folder.name in made or not (folder / "job.json").exists()
        try:
            if not over and _written(folder) >= oldest:
                continue
            size = disk.size(folder)
        except OSError:  # its files change: somebody is at work there
            continue
        _remove(folder)
        if not folder.exists():
            folders, freed = folders + 1, freed + size
    return Swept(folders, freed)


def _written(folder: Path) -> float:
    """When anything in a folder was written last, in seconds since the epoch."""
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


def get(folder: Path) -> Job:
    """Read a job that was put down."""
    about = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    parts: dict[str, list[Example]] = {name: [] for name in _PARTS}
    with (folder / "examples.jsonl").open(encoding="utf-8") as file:
        for line in file:
            name, example = json.loads(line)
            parts[name].append(Example.model_validate(example))
    train, validation, bad, bad_validation, test, bad_test = (tuple(parts[name]) for name in _PARTS)
    negatives = Negatives(bad, bad_validation, bad_test)
    data = Dataset(train, validation, DataSheet(hash=about["data"]), test=test, negatives=negatives)
    return Job(folder, Path(about["base"]), data, How.model_validate(about["how"]))


def _parts(data: Dataset) -> dict[str, tuple[Example, ...]]:
    bad = data.negatives
    every = (data.train, data.validation, bad.train, bad.validation, data.test, bad.test)
    return dict(zip(_PARTS, every, strict=True))


def work(job: Job, tell: Tell, *, group: Group | None = None, parts: int = 1) -> Trained:
    """Do the training in this process, or go on with it; the model is in ``model/`` afterwards.

    Args:
        job: What to train, on what.
        tell: Called after each update.
        group: Processes that share every batch: all must call this, the first one writes.
        parts: That a batch is computed in from the start, where memory is known to be short.

    Raises:
        Stopped: it was told to stop; a checkpoint is kept.
        UsageError: it cannot be done as it is wanted.
        StoreError: the disk is full, or cannot be written.
    """
    if (before := job.done()) is not None:
        return before
    from safetensors import SafetensorError

    try:
        return _work(job, tell, group, parts)
    except (OSError, SafetensorError) as problem:
        shutil.rmtree(job.folder / _DRAFT, ignore_errors=True)
        if not _no_room(problem):
            raise
        raise StoreError(f"no space is left for {job.folder}: make room, and the same call goes on") from None


def _no_room(problem: Exception) -> bool:
    """Whether a disk or a quota is full; safetensors tells it in words."""
    full = getattr(problem, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    return full or os.strerror(errno.ENOSPC) in str(problem)


def _work(job: Job, tell: Tell, group: Group | None, parts: int) -> Trained:
    from autoagent.models.engine import load_engine
    from autoagent.training.adapters import prepare
    from autoagent.training.sft import write_model

    engine = load_engine(job.base, device="cpu", dtype="float32", trust_remote_code=False)
    prepared = prepare(engine.model, job.how.learning.adapter, seed=job.how.seed)
    run = Run(folder=job.folder / "run", prepared=prepared, group=group, parts=parts)
    trained = _train(job, engine, run, tell)
    if not trained.finished:
        raise Stopped
    if group is not None and group.rank:
        return trained
    draft = job.folder / _DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        write_model(engine, draft, prepared)
        shutil.rmtree(job.folder / "model", ignore_errors=True)
        draft.rename(job.folder / "model")
        _write(job.folder / "done.json", trained.model_dump_json())
    except OSError as problem:
        if _no_room(problem):
            raise
        raise StoreError(f"cannot write the trained model in {job.folder}: {problem.strerror}") from problem
    return trained


def _train(job: Job, engine: Any, run: Run, tell: Tell) -> Trained:
    from autoagent.training.dataset import pairs
    from autoagent.training.sft import prefer, train

    how, data = job.how, job.data
    if how.learning.method == "sft":
        return train(engine, data, how, tell, learning=how.learning, run=run)
    if how.learning.method == "dpo":
        chosen, held, test = pairs(data), pairs(data, "validation"), pairs(data, "test")
        return prefer(engine, chosen, how, tell, learning=how.learning, validation=held, test=test, run=run)
    bad = data.negatives
    judged, *others = (
        [*((each, True) for each in good), *((each, False) for each in worse)]
        for good, worse in (
            (data.train, bad.train),
            (data.validation, bad.validation),
            (data.test, bad.test),
        )
    )
    of_both = [part if len({good for _, good in part}) == 2 else [] for part in others]
    validation, last = of_both
    return prefer(engine, judged, how, tell, learning=how.learning, validation=validation, test=last, run=run)


def with_replay(data: Dataset, replay: tuple[Example, ...]) -> Dataset:
    """The same data with examples of earlier training among it, which keep what was known."""
    tokens = sum(len(example.ids) for example in replay)
    sheet = data.sheet.model_copy(update={"replayed": len(replay), "replayed_tokens": tokens})
    return replace(data, train=(*data.train, *replay), sheet=sheet)


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
