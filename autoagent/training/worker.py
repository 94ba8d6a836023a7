"""The process that trains: ``python -m autoagent.training.worker FOLDER`` does the job in a folder.

With ``--together`` it is one of several that torchrun has started, on one machine or more, which do the job
as one: the first of them tells and writes.

It tells how far it is on standard output, a JSON object a line; what else is printed goes to ``worker.log``
in that folder. It ends with the process that started it, whose end closes its standard input.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from autoagent.errors import AutoagentError, StoreError, UsageError
from autoagent.training.jobs import Job, Stopped, Tell, get, work
from autoagent.training.sft import FinetuneProgress, Trained

MODULE = "autoagent.training.worker"
TOGETHER = "--together"
_IN_PARTS = "--parts="  # of a batch, at least
_MOST_PARTS = 16
_LOG = "worker.log"
_STOPPED = 128 + signal.SIGTERM  # exit code: told to stop, a checkpoint is written
_PATIENCE = 60.0  # seconds for a checkpoint, when it is told to stop


def work_apart(job: Job, tell: Tell, *, launch: Sequence[str] = ()) -> Trained:
    """Do a job in a process of its own; errors as of :func:`autoagent.training.jobs.work`.

    With ``launch``, a command such as ``torchrun --nproc_per_node 2``, in several.

    Ctrl-C here has it write a checkpoint before it ends. Where the system kills it, as Linux does when memory
    runs out, another goes on with smaller parts of a batch.
    """
    if (before := job.done()) is not None:
        return before
    parts = 1
    while (code := _attempt(job, tell, launch, parts)) == -signal.SIGKILL and not launch:
        killed = "the training process was killed, as the system does when memory runs out"
        if job.how.learning.trainer == "trl":
            raise UsageError(f"{killed}: use our own trainer, which then computes batches in parts")
        if parts == _MOST_PARTS:
            raise UsageError(
                f"{killed}, also with batches in {parts} parts: train fewer weights (last:N, lora), leave "
                "out long examples, or use a smaller model; what was done is kept for the same call"
            )
        parts *= 2
        note = f"{killed}: batches are computed in {parts} parts now, the updates stay the same"
        tell(FinetuneProgress("train", 0, 0, 0.0, note=note))
    if code in (-signal.SIGTERM, _STOPPED):
        raise Stopped
    trained = job.done() if code == 0 else None
    if trained is None:
        raise RuntimeError(_how_it_ended(job.folder, code))
    return trained


def _attempt(job: Job, tell: Tell, launch: Sequence[str], parts: int) -> int:
    """The exit code of a process that does the job; what it refuses is raised."""
    refused: dict[str, str] = {}
    with _process(job, launch, parts) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            if "refused" in said:
                refused = said
            else:
                tell(FinetuneProgress(**said))
        process.wait()
    if refused:
        raise (StoreError if refused["kind"] == "store" else UsageError)(refused["refused"])
    return process.returncode


@contextmanager
def _process(job: Job, launch: Sequence[str], parts: int) -> Iterator[subprocess.Popen[str]]:
    how = [*launch, "-m", MODULE, str(job.folder), TOGETHER] if launch else []
    if launch and shutil.which(launch[0]) is None:
        raise UsageError(f"there is no program {launch[0]} to start the training with")
    with (job.folder / _LOG).open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            how or [sys.executable, "-m", MODULE, str(job.folder), f"{_IN_PARTS}{parts}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C comes to us, and we tell it
        )
    try:
        yield process
    except BaseException:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
        raise
    finally:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait()


def _how_it_ended(folder: Path, code: int) -> str:
    told = (folder / _LOG).read_text(encoding="utf-8", errors="replace").rstrip()
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    hint = "; the same call goes on from its last checkpoint" if code < 0 else ""
    return f"the training process {how}{hint}" + (f":\n{told}" if told else "")


def main(folder: Path, *, together: bool = False, parts: int = 1) -> int:
    """Do the job in ``folder``, telling on standard output; ``together`` with the others of torchrun."""
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not come between
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(progress: FinetuneProgress) -> None:
        _say(said, dataclasses.asdict(progress))

    try:
        if together:
            _work_together(get(folder), tell)
        else:
            work(get(folder), tell, parts=parts)
    except Stopped:
        return _STOPPED
    except AutoagentError as problem:
        _say(said, {"refused": str(problem), "kind": "store" if isinstance(problem, StoreError) else "usage"})
        return 2
    return 0


def _work_together(job: Job, tell: Tell) -> None:
    """Do a job as one of the processes that torchrun has started; UsageError where it is the only one."""
    from autoagent.training.parallel import launched

    with launched() as group:
        if group.size == 1:
            raise UsageError(
                "one process was started instead of several: use torchrun with --nproc_per_node or --nnodes "
                "(accelerate launch --cpu starts only one)"
            )
        work(job, tell if group.rank == 0 else _silent, group=group)


def _silent(progress: FinetuneProgress) -> None: ...


def _say(stream: TextIO, value: object) -> None:
    stream.write(json.dumps(value) + "\n")
    stream.flush()


def _end_with_parent() -> None:
    """Wait until standard input is closed, which nobody writes to."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _parts(arguments: Sequence[str]) -> int:
    given = [each.removeprefix(_IN_PARTS) for each in arguments if each.startswith(_IN_PARTS)]
    return int(given[0]) if given else 1


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), together=TOGETHER in sys.argv, parts=_parts(sys.argv)))
