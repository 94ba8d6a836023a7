"""Several runs at a time: in threads that share one model, or in processes that load it once each.

A local model on the CPU computes in one thread at a time, so only processes make it faster; a remote one is
waited for, so threads do.
"""

from __future__ import annotations

import pickle
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, cast

from autoagent.config import Limits, Sampling
from autoagent.errors import AutoagentError
from autoagent.evals.report import TaskResult
from autoagent.evals.runner import run_task
from autoagent.evals.task import Task
from autoagent.models.needs import cores
from autoagent.models.protocol import Model, Session

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

Loader = Callable[[], Model]  # for processes one that can be pickled
_PATIENCE = 10.0  # seconds for runs to end after an interruption; those of threads get half of it


@dataclass(frozen=True)
class Job:
    """One run that is to be made."""

    number: int  # its place in the report
    task: Task
    seed: int
    suite: str
    sampling: Sampling | None = None  # greedy by default


@dataclass(frozen=True)
class Place:
    """Where runs are recorded, and their budgets."""

    home: Path
    kept: bool  # the record outlives the evaluation
    limits: Limits | None = None

    def run(self, job: Job, model: Model) -> TaskResult:
        """Make one run; errors as of :func:`run_task`."""
        result = run_task(
            job.task,
            model=model,
            home=self.home,
            kept=self.kept,
            limits=self.limits,
            seed=job.seed,
            sampling=job.sampling,
            suite=job.suite,
        )
        return result if self.kept else result.model_copy(update={"run_id": None})


@dataclass(frozen=True)
class Done:
    """A run that was made, and by which version of the model."""

    job: Job
    result: TaskResult
    model: str


Outcomes = Generator[Done, None, None]


def in_turn(jobs: Iterable[Job], model: Model, place: Place) -> Outcomes:
    """One run after the other."""
    for job in jobs:
        yield Done(job, place.run(job, model), model.version)


def in_threads(jobs: Sequence[Job], model: Model, place: Place, count: int) -> Outcomes:
    """``count`` runs at a time, in the order in which they end. An error of one ends all."""
    waiting, made = deque(jobs), SimpleQueue[Done | BaseException]()
    stop = Event()
    shared = cast(Model, _Stoppable(model, stop))

    def work() -> None:
        with suppress(IndexError):  # nothing is waiting any more
            while not stop.is_set():
                job = waiting.popleft()
                try:
                    made.put(Done(job, place.run(job, shared), model.version))
                except BaseException as problem:
                    made.put(problem)
                    return

    threads = [Thread(target=work, name=f"eval-{number}", daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            outcome = made.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        stop.set()
        until = time.monotonic() + _PATIENCE / 2
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


class _Stoppable:
    """A model whose replies break off, as if by Ctrl-C, once ``stop`` is set: so do the runs of threads."""

    def __init__(self, model: Model, stop: Event) -> None:
        self._model, self._stop = model, stop

    def open(self, *given: Any) -> Any:
        return _StoppableSession(self._model.open(*given), self._stop)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class _StoppableSession:
    def __init__(self, session: Session, stop: Event) -> None:
        self._session, self._stop = session, stop

    def generate(self, *given: Any, **named: Any) -> Generator[str, None, Any]:
        stream = self._session.generate(*given, **named)
        try:
            while True:
                if self._stop.is_set():
                    raise KeyboardInterrupt
                yield next(stream)
        except StopIteration as end:
            return end.value
        finally:
            stream.close()

    def fork(self) -> Any:
        return _StoppableSession(self._session.fork(), self._stop)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def in_processes(jobs: Iterable[Job], load: Loader, places: Sequence[Place]) -> Outcomes:
    """One process for each of ``places``, each of which loads the model. An error of one ends all.

    A job is taken only when a process is free for it, so what was found may decide what is done next.

    Raises:
        AutoagentError: a process ended by itself; besides, what loading and running raise.
    """
    waiting = iter(jobs)
    with _crew(load, places) as crew:
        free: list[_Worker] = list(crew)
        while True:
            while free and (job := next(waiting, None)) is not None:
                free.pop().take(job)
            if len(free) == len(crew):
                return
            for pipe in connection.wait([worker.pipe for worker in crew if worker.job is not None]):
                (worker,) = (each for each in crew if each.pipe is pipe)
                yield worker.done()
                free.append(worker)


class _Worker:
    """A process as its owner sees it."""

    def __init__(self, load: Loader, place: Place, share: int) -> None:
        context = get_context("spawn")  # a fork would have locks of threads that it does not have
        self.pipe, theirs = context.Pipe()
        self.job: Job | None = None
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(theirs, load, place, share), daemon=False
        )
        self.process.start()
        theirs.close()  # so that the pipe ends with the process

    def take(self, job: Job) -> None:
        """Let it make a run."""
        self.job = job
        with suppress(OSError):  # it is gone, as reading will show
            self.pipe.send(job)

    def done(self) -> Done:
        """The run it has made."""
        assert self.job is not None
        job = self.job
        try:
            outcome = self.pipe.recv()
        except (EOFError, OSError):
            raise AutoagentError(self._death(job)) from None
        if isinstance(outcome, BaseException):
            raise outcome
        self.job = None
        result, model = outcome
        return Done(job, result, model)

    def _death(self, job: Job) -> str:
        self.process.join(_PATIENCE)
        code = self.process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        memory = ", perhaps for lack of memory" if code == -signal.SIGKILL else ""
        return (
            f"a worker process {how}{memory}, while it was to run {job.task.id} (seed {job.seed}): "
            "try fewer with --jobs"
        )


@contextmanager
def _crew(load: Loader, places: Sequence[Place]) -> Iterator[list[_Worker]]:
    """Worker processes, which are gone when this is left.

    A run that is being made then is ended as by Ctrl-C, so what there is of it is on record.
    """
    crew: list[_Worker] = []
    try:
        with _no_interrupt_for_children():
            share = len(places)
            crew += (_Worker(load, place, share) for place in places)
        yield crew
    finally:
        for worker in crew:
            worker.pipe.close() if worker.job is None else worker.process.terminate()
        _wait_for(crew)


def _wait_for(crew: Sequence[_Worker]) -> None:
    until = time.monotonic() + _PATIENCE
    try:
        for worker in crew:
            worker.process.join(max(0.0, until - time.monotonic()))
    finally:  # also at a second Ctrl-C
        for worker in crew:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


@contextmanager
def _no_interrupt_for_children() -> Iterator[None]:
    """Start processes that are deaf to Ctrl-C until they say otherwise: it reaches all of a terminal."""
    resource_tracker.ensure_running()  # its start would change what is blocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, load: Loader, place: Place, share: int) -> None:
    """What a worker process does: one run after the other, until the pipe ends or it is terminated."""
    signal.signal(signal.SIGINT, _deaf)  # not ignored: what it starts would inherit that
    signal.signal(signal.SIGTERM, _interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with suppress(EOFError, OSError, KeyboardInterrupt):
        try:
            model = load()
            _share_threads(share)
        except Exception as problem:
            pipe.recv()
            pipe.send(_portable(problem))
            return
        while True:
            job = pipe.recv()
            try:
                outcome: object = (place.run(job, model), model.version)
            except Exception as problem:
                outcome = _portable(problem)
            pipe.send(outcome)


def _deaf(number: int, frame: object) -> None:
    """Ctrl-C is for the process that started this one."""


def _interrupt(number: int, frame: object) -> None:
    signal.signal(number, _deaf)
    raise KeyboardInterrupt


def _share_threads(share: int) -> None:
    """Divide the cores among the processes, or their threads would wait for each other."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(max(1, cores() // share))


def _portable(problem: Exception) -> Exception:
    """An exception that survives the way to another process; faults of ours keep their traceback."""
    if isinstance(problem, AutoagentError):
        kind = type(problem)
        with suppress(Exception):
            pickle.loads(pickle.dumps(problem))
            return problem
        return AutoagentError(f"{kind.__name__}: {problem}")
    return RuntimeError("in a worker process:\n" + "".join(traceback.format_exception(problem)))
