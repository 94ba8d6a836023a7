"""Several processes that train one model together, each on its share of every batch.

On a CPU a small model gains nothing from a second thread, but almost doubles with a second process. With
:func:`gathered` the caller is process 0 and starts the others on this machine; whoever ends, by ``kill -9``
too, the others end with it. With :func:`launched` torchrun has started them, on one machine or several.

Every process holds the whole model; gradients are added up through the CPUs' memory (gloo). A model that
does not fit one device is split by ``with_trl`` alone, which takes the same group.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed
from torch import Tensor

from autoagent.errors import AutoagentError, UsageError

PATIENCE = timedelta(minutes=10)  # one may compile or read data while the others wait
Value = TypeVar("Value")


@dataclass(frozen=True)
class Group:
    """Which process this is, and how it talks to the others. All must make the same calls in one order."""

    rank: int = 0
    size: int = 1

    def add(self, numbers: Tensor) -> None:
        """Replace ``numbers`` by the sum over all processes."""
        if self.size > 1:
            torch.distributed.all_reduce(numbers)

    def agree(self, value: Value) -> Value:
        """What process 0 passed."""
        if self.size == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values)
        return values[0]


ALONE = Group()


class Gradients:
    """The gradients of a model as one flat buffer of fp32, averaged over a group once a step."""

    def __init__(self, group: Group, named: Sequence[tuple[str, Tensor]]) -> None:
        self._group, self._weights = group, [weight for _, weight in named]
        self._buffer = torch.empty(0)

    @torch.no_grad()
    def average(self, numbers: Sequence[float], *, weight: int) -> list[float]:
        """Add up gradients and ``numbers``, and divide the gradients by the sum of ``numbers[weight]``."""
        sizes = [each.numel() for each in self._weights]
        if not len(self._buffer):
            self._buffer = torch.empty(sum(sizes) + len(numbers))
        *pieces, tail = self._buffer.split([*sizes, len(numbers)])
        for piece, each in zip(pieces, self._weights, strict=True):
            if each.grad is None:
                piece.zero_()
            else:
                piece.view_as(each).copy_(each.grad)
        tail.copy_(torch.tensor(numbers))
        self._group.add(self._buffer)
        sums: list[float] = tail.tolist()
        self._buffer /= max(sums[weight], 1e-6)
        for piece, each in zip(pieces, self._weights, strict=True):
            each.grad = piece.view_as(each).to(each.device, each.dtype, copy=True)
        return sums


Worker = Callable[[Group, Any], object]


@contextmanager
def gathered(size: int, worker: Worker, task: Any) -> Iterator[Group]:
    """Be process 0 of ``size``; the others run ``worker(group, task)`` and are ended on the way out.

    ``worker`` and ``task`` are pickled. Raises :class:`UsageError` where one of the others ends early.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="autoagent-") as folder:
        others: list[SpawnProcess] = []
        try:
            for rank in range(1, size):
                ready, tell = context.Pipe(duplex=False)
                place = (Group(rank, size), str(Path(folder) / "meet"), tell)
                process = context.Process(target=_other, args=(place, worker, task), daemon=True)
                process.start()
                others.append(process)
                tell.close()
                _wait_until_ready(ready, process)
            group = _meet(Group(0, size), str(Path(folder) / "meet"))
            yield group
            for process in others:
                process.join(timeout=20)
        except RuntimeError as fault:
            if isinstance(fault, AutoagentError):
                raise
            _refuse_if_ended(others, seconds=5)
            raise
        finally:
            for process in others:
                process.kill()
                process.join()
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


@contextmanager
def launched(expected: int | None = None) -> Iterator[Group]:
    """The group that torchrun has started this process in; :data:`ALONE` outside of torchrun.

    On CUDA, each process of a machine gets a device of its own. Raises :class:`UsageError` where the
    processes that met are not as many as torchrun said, or not ``expected`` ones.
    """
    size, rank = _number("WORLD_SIZE", 1), _number("RANK", 0)
    if expected is not None and size != expected:
        raise UsageError(
            f"{size} processes were started instead of {expected}: "
            f"use torchrun --nproc_per_node {expected} (accelerate launch --cpu starts only one)"
        )
    if "WORLD_SIZE" not in os.environ:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(_number("LOCAL_RANK", 0) % torch.cuda.device_count())
    try:
        yield _connect(Group(rank, size), "env://")
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise UsageError(f"{name}={text} in the environment is no number: start this with torchrun")
    return int(text)


def _wait_until_ready(ready: Connection, process: SpawnProcess) -> None:
    """Until a process has imported everything; its end of the pipe is closed a little before it ends."""
    try:
        ready.recv()
    except EOFError:
        _refuse_if_ended([process], seconds=20)
        raise UsageError("a training process did not start: run the same command again") from None


def _refuse_if_ended(others: list[SpawnProcess], seconds: float) -> None:
    ended = wait([process.sentinel for process in others], timeout=seconds)
    for process in others:
        if process.sentinel in ended:
            process.join()
            raise UsageError(
                f"a training process ended early (exit code {process.exitcode}): "
                "run the same command again to go on from the last checkpoint"
            )


def _meet(group: Group, file: str) -> Group:
    """Connect with the others, over the loopback interface."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    return _connect(group, f"file://{file}")


def _connect(group: Group, address: str) -> Group:
    """Connect with the others, and count them.

    ``torch.distributed.nn``, which optimizers import, keeps the group it finds as default arguments. Imported
    under our group it would keep that alive, whose threads then may abort the process on its way out.
    """
    importlib.import_module("torch.distributed.nn")
    backend = "cpu:gloo,cuda:nccl" if address == "env://" and torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(
        backend, init_method=address, rank=group.rank, world_size=group.size, timeout=PATIENCE
    )
    met = torch.ones(1)
    group.add(met)
    if round(met.item()) != group.size:
        raise UsageError(f"{round(met.item())} processes met instead of {group.size}")
    return group


def _other(place: tuple[Group, str, Connection], worker: Worker, task: Any) -> None:
    """What each of the other processes runs."""
    group, file, tell = place
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # process 0 gets it, too, and tells when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tell.send(True)
    try:
        worker(_meet(group, file), task)
        torch.distributed.destroy_process_group()
    except (AutoagentError, RuntimeError) as fault:  # gloo raises the latter when the others are gone
        print(f"process {group.rank + 1} of {group.size}: {str(fault).splitlines()[0]}", file=sys.stderr)
        raise SystemExit(2) from None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
