"""A training is a job that survives its process: killed, it goes on; begun twice, it is one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autoagent.errors import StoreError, UsageError
from autoagent.models.fingerprint import fingerprint
from autoagent.models.tiny import write_tiny_model
from autoagent.training.dataset import Dataset, Example
from autoagent.training.jobs import KEPT_DAYS, Job, Swept, get, one_at_a_time, put, sweep, work
from autoagent.training.learning import How, Learning
from autoagent.training.sft import FinetuneProgress
from autoagent.training.sheet import DataSheet
from autoagent.training.worker import work_apart

HOW = How(
    epochs=40,
    learning_rate=1e-3,
    batch_tokens=256,
    device="cpu",
    precision="fp32",
    threads=1,
    learning=Learning(checkpoint_seconds=0.01, patience=0),
)


def example(number: int) -> Example:
    ids = tuple((7 * number + 3 * place) % 200 + 5 for place in range(40))
    return Example(ids=ids, mask=(0,) * 10 + (1,) * 30, run_id=f"r{number}", goal=f"{number:016x}")


DATA = Dataset(tuple(map(example, range(12))), (example(50),), DataSheet(hash="data"), test=(example(51),))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def job(tmp_path: Path, base: Path) -> Job:
    return put(tmp_path / "training", base, DATA, HOW)


def silent(progress: FinetuneProgress) -> None: ...


def test_a_job_is_read_back_as_it_was_put_down(job: Job) -> None:
    read = get(job.folder)
    assert (read.base, read.how) == (job.base, job.how)
    assert (read.data.train, read.data.validation, read.data.test) == (DATA.train, DATA.validation, DATA.test)


def test_the_same_job_is_the_same_folder_and_another_is_another(job: Job, base: Path) -> None:
    trainings = job.folder.parent
    assert put(trainings, base, DATA, HOW).folder == job.folder
    assert put(trainings, base, DATA, HOW.model_copy(update={"epochs": 1})).folder != job.folder
    other = replace(DATA, sheet=DataSheet(hash="other"))
    assert put(trainings, base, other, HOW).folder != job.folder


def test_a_process_of_its_own_comes_to_the_same_weights(job: Job, tmp_path: Path) -> None:
    told: list[FinetuneProgress] = []
    apart = work_apart(job, told.append)
    here = put(tmp_path / "here", job.base, DATA, HOW)
    assert work(here, silent).steps == apart.steps == told[-1].step
    assert fingerprint(job.folder / "model") == fingerprint(here.folder / "model")
    assert work_apart(job, told.append) == apart  # done is done
    assert apart.test_loss is not None  # of what neither trained nor stopped the training
    assert apart.test_loss.before != apart.test_loss.after
    assert apart.test_loss != apart.validation_loss


def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_happened(job: Job, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "autoagent.training.worker", str(job.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(8):
        process.stdout.readline()
    process.kill()
    process.communicate()
    assert job.begun
    assert job.done() is None

    steps: list[int] = []
    work_apart(job, lambda progress: steps.append(progress.step))
    assert steps[0] > 1  # not from the beginning
    whole = put(tmp_path / "whole", job.base, DATA, HOW)
    work(whole, silent)
    assert fingerprint(job.folder / "model") == fingerprint(whole.folder / "model")


def test_killed_for_memory_it_goes_on_with_smaller_parts(job: Job, tmp_path: Path) -> None:
    """The system kills a process without a word; whoever started it begins again."""
    told: list[FinetuneProgress] = []
    moments = [5, 15]

    def tell(progress: FinetuneProgress) -> None:
        told.append(progress)
        if moments and progress.step >= moments[0]:
            del moments[0]
            kill_workers()

    work_apart(job, tell)
    notes = [progress.note for progress in told if progress.note]
    assert [note.rpartition(": ")[2] for note in notes] == [
        f"batches are computed in {parts} parts now, the updates stay the same" for parts in (2, 4)
    ]
    whole = put(tmp_path / "whole", job.base, DATA, HOW)
    work(whole, silent)
    assert get(job.folder).done() is not None
    assert close(job.folder / "model", whole.folder / "model")


def test_killed_again_and_again_it_gives_up_in_one_line(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoagent.training.worker._MOST_PARTS", 2)

    def tell(progress: FinetuneProgress) -> None:
        if progress.step:
            kill_workers()

    with pytest.raises(UsageError, match="also with batches in 2 parts: train fewer weights"):
        work_apart(put(job.folder.parent, job.base, DATA, HOW.model_copy(update={"epochs": 100_000})), tell)


def kill_workers() -> None:
    """As the system does when memory runs out: all processes at work that this thread has started."""
    found = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children").read_text(encoding="ascii")
    for child in found.split():
        with suppress(FileNotFoundError):  # ended by now
            if b"autoagent.training.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)


def close(one: Path, other: Path) -> bool:
    """Whether two models have the same weights, up to what the order of a sum is worth."""
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all(torch.allclose(first[name], second[name], atol=1e-3) for name in first)


def test_the_worker_ends_with_who_started_it(job: Job) -> None:
    endless = put(job.folder.parent, job.base, DATA, HOW.model_copy(update={"epochs": 100_000}))
    process = subprocess.Popen(
        [sys.executable, "-m", "autoagent.training.worker", str(endless.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=60) < 0


def test_what_cannot_be_trained_is_one_line(job: Job, base: Path) -> None:
    how = HOW.model_copy(update={"learning": Learning.model_validate({"adapter": {"what": "last:9"}})})
    with pytest.raises(UsageError, match="cannot train the last 9 layers"):
        work_apart(put(job.folder.parent, base, DATA, how), silent)


def test_a_full_disk_is_one_line_and_the_training_goes_on_when_there_is_room(
    tmp_path: Path, base: Path
) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        how = HOW.model_copy(update={"epochs": 2, "learning": Learning(patience=0)})
        job = put(place, base, DATA, how)
        with suppress(OSError), (place / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        with pytest.raises(
            StoreError, match=r"no space is left for .*: make room, and the same call goes on"
        ):
            work_apart(job, silent)
        (place / "filler").unlink()
        assert work_apart(job, silent).finished
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_model_that_was_not_written_whole_is_written_again(job: Job) -> None:
    work(job, silent)
    shutil.rmtree(job.folder / "model")
    assert job.done() is None
    work(job, silent)
    assert (job.folder / "model" / "config.json").exists()


def test_a_place_that_cannot_be_written_is_one_line(job: Job) -> None:
    (job.folder / "model").touch()  # something else stands where the model belongs
    with pytest.raises(StoreError, match=r"cannot write the trained model in .*: Not a directory"):
        work(job, silent)


def test_trainings_that_are_over_or_left_are_swept_and_no_other(job: Job, base: Path) -> None:
    trainings, now = job.folder.parent, job.folder.stat().st_mtime
    names = {"model": 1, "left": 2, "fresh": 3, "under way": 4}
    jobs = {
        name: put(trainings, base, DATA, HOW.model_copy(update={"epochs": n})) for name, n in names.items()
    }
    (trainings / ("0" * 16)).mkdir()  # was never written whole
    (trainings / "notes").mkdir()  # is no training
    (jobs["model"].folder / "run" / "wandb" / "offline-run-1").mkdir(parents=True)  # not sent yet
    week = KEPT_DAYS * 86_400
    for name in ("left", "under way"):
        for path in (jobs[name].folder, *jobs[name].folder.rglob("*")):
            os.utime(path, (now - week - 60, now - week - 60))

    def swept(at: float) -> Swept:
        return sweep(trainings, made={jobs["model"].name}, keep=jobs["under way"].name, now=at)

    found = swept(now)
    assert found.folders == 3
    assert found.freed > 0
    assert found.line().startswith("removed 3 trainings that ended or that nobody went on with for 7 days (")
    kept = {jobs["fresh"].name, jobs["under way"].name, job.name, "notes", "wandb"}
    assert {path.name for path in trainings.iterdir()} == kept
    assert (trainings / "wandb" / "offline-run-1").is_dir()
    checkpoint = jobs["fresh"].folder / "run"
    checkpoint.mkdir()
    os.utime(checkpoint, (now + week, now + week))  # written to since: somebody goes on with it
    assert swept(now + week + 60).folders == 1
    assert jobs["fresh"].folder.exists()
    assert swept(now + week + 60) == Swept(0, 0)
    assert swept(now + week + 60).line() == ""


def test_two_trainings_of_a_project_do_not_go_together(tmp_path: Path) -> None:
    with (
        one_at_a_time(tmp_path),
        pytest.raises(UsageError, match="another training is under way"),
        one_at_a_time(tmp_path),
    ):
        pass
