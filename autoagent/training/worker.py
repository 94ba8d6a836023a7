"""The process that trains: ``python -m autoagent.training.worker FOLDER`` does the job in a folder.

It tells how far it is on standard output, a JSON object a line; what else is printed goes to ``worker.log``
in that folder. It ends with the process that started it, whose end closes its standard input.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from autoagent.errors import AutoagentError, UsageError
from autoagent.training.jobs import Job, Stopped, Tell, get, work
from autoagent.training.sft import FinetuneProgress, Trained

_LOG = "worker.log"
_STOPPED = 128 + signal.SIGTERM  # exit code: told to stop, a checkpoint is written
_PATIENCE = 60.0  # seconds for a checkpoint, when it is told to stop


def work_apart(job: Job, tell: Tell) -> Trained:
    """Do a job in a process of its own; errors as of :func:`autoagent.training.jobs.work`.

    Ctrl-C here has it write a checkpoint before it ends.
    """
    if (before := job.done()) is not None:
        return before
    refused = ""
    with _process(job) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            if "refused" in said:
                refused = said["refused"]
            else:
                tell(FinetuneProgress(**said))
        process.wait()
    if process.returncode in (-signal.SIGTERM, _STOPPED):
        raise Stopped
    if refused:
        raise UsageError(refused)
    trained = job.done() if process.returncode == 0 else None
    if trained is None:
        raise RuntimeError(_how_it_ended(job.folder, process.returncode))
    return trained


@contextmanager
def _process(job: Job) -> Iterator[subprocess.Popen[str]]:
    with (job.folder / _LOG).open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "autoagent.training.worker", str(job.folder)],
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


def main(folder: Path) -> int:
    """Do the job in ``folder``, telling on standard output."""
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not come between
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(progress: FinetuneProgress) -> None:
        _say(said, dataclasses.asdict(progress))

    try:
        work(get(folder), tell)
    except Stopped:
        return _STOPPED
    except AutoagentError as problem:
        _say(said, {"refused": str(problem)})
        return 2
    return 0


def _say(stream: TextIO, value: object) -> None:
    stream.write(json.dumps(value) + "\n")
    stream.flush()


def _end_with_parent() -> None:
    """Wait until standard input is closed, which nobody writes to."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
