"""Watch a program run: its time, its output, its memory and its processes; end all of it at a limit."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from autoagent.errors import ToolError

if TYPE_CHECKING:
    import psutil

    from autoagent.security.sandbox import SandboxLimits

_LOOK = 0.1  # seconds between two looks at memory and processes
_GLANCE = 0.01  # seconds between two counts of all processes there are
_PATIENCE = 5.0  # seconds for a program to end what it started
_CHUNK = 65_536  # bytes
_PIPE = 2**20  # bytes that a pipe holds at most, unless root allows more


@dataclass(frozen=True)
class Outcome:
    """What came of a program.

    Attributes:
        code: Its exit code; negative when a signal ended it.
        output: What it wrote to both streams, in order; where it was long, head and tail of it.
        stopped: The limit that ended it, in words; empty when it ended by itself.
        seconds: How long it took.
        refused: Why connections of it were refused, where it may reach hosts.
        reached: Hosts that it was connected to.
    """

    code: int
    output: str
    stopped: str = ""
    seconds: float = 0.0
    refused: tuple[str, ...] = ()
    reached: tuple[str, ...] = ()


@dataclass
class _Kept:
    """Head and tail of a stream, in bytes."""

    limit: int
    total: int = 0
    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.limit // 2 - len(self.head)
        self.head += data[: max(room, 0)]
        self.tail += data[max(room, 0) :]
        del self.tail[: -(self.limit // 2)]

    def text(self) -> str:
        lost = self.total - len(self.head) - len(self.tail)
        between = f"\n… {lost} bytes left out …\n".encode() if lost else b""
        return bytes(self.head + between + self.tail).decode("utf-8", "replace")


def watch(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    limits: SandboxLimits,
    *,
    patient: bool = False,
    inherited: Sequence[int] = (),
) -> Outcome:
    """Run a command in a folder until it ends or a limit is reached; nothing of it is left afterwards.

    Args:
        command: Program and arguments.
        folder: Where it is run.
        environment: All that it is told.
        limits: What it may use.
        patient: At SIGTERM the command itself ends all that it started: give it the time.
        inherited: Open files that it gets, by their numbers.

    Raises:
        ToolError: it cannot be started.
    """
    try:
        program = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=inherited,
            start_new_session=True,  # Ctrl-C is for us; we end the program
        )
    except (OSError, ValueError) as problem:
        raise ToolError(f"the program cannot be started: {problem}") from None
    watched = _Watched(program, limits, _Kept(limits.output), patient)
    try:
        stopped = watched.until_end()
    finally:
        watched.end()
    return Outcome(program.returncode, watched.kept.text(), stopped, time.monotonic() - watched.began)


@dataclass
class _Watched:
    """A program at work."""

    program: subprocess.Popen[bytes]
    limits: SandboxLimits
    kept: _Kept
    patient: bool
    began: float = field(default_factory=time.monotonic)
    seen: dict[int, psutil.Process] = field(default_factory=dict)  # all it started, as far as looked at
    others: int = field(default_factory=lambda: _processes())  # on the machine when it was started

    def until_end(self) -> str:
        """Take in the output until the program ends; the limit that was reached before, if one was."""
        pipe = self.program.stdout
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
        looked = self.began
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                data = pipe.read(_CHUNK) if selector.select(_GLANCE) else None
                if data:
                    self.kept.add(data)
                elif self.program.poll() is not None:
                    self._take_rest(pipe)
                    return ""  # a child left behind may still hold the pipe open
                elif data == b"":
                    selector.unregister(pipe)  # closed, but the program goes on in silence
                now = time.monotonic()
                if now - self.began > self.limits.seconds:
                    return f"it took longer than {self.limits.seconds:g} s"
                if self.kept.total > self.limits.flood:
                    return f"it wrote more than {self.limits.flood} bytes"
                if _processes() - self.others > 2 * self.limits.processes:
                    return self._too_many()  # it multiplies faster than it could be looked at one by one
                if now - looked > _LOOK:
                    looked = now
                    if reached := self._use():
                        return reached

    def _take_rest(self, pipe: IO[bytes]) -> None:
        """Take in what was written between the last look and the end: no more than a pipe can hold."""
        for _ in range(-(-_PIPE // _CHUNK)):
            if not (data := pipe.read(_CHUNK)):
                return
            self.kept.add(data)

    def _use(self) -> str:
        """The limit that memory or number of all processes is above."""
        import psutil

        memory = count = 0
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.program.pid)
            for each in (root, *root.children(recursive=True)):
                self.seen[each.pid] = each
                with contextlib.suppress(psutil.Error):
                    memory += each.memory_info().rss
                    count += each.num_threads()
        if count > self.limits.processes:
            return self._too_many()
        if memory > self.limits.memory:
            return f"it took more than {self.limits.memory // 2**20} MiB of memory"
        return ""

    def _too_many(self) -> str:
        return f"it had more than {self.limits.processes} processes"

    def end(self) -> None:
        """End the program with all it started: a sandbox falls as one, else by session and as seen."""
        import psutil

        if self.patient:
            self.program.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.program.wait(_PATIENCE)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.program.pid, signal.SIGKILL)
        for process in self.seen.values():
            with contextlib.suppress(psutil.Error):  # it knows when the number means another process by now
                process.kill()
        self.program.wait()
        if self.program.stdout is not None:
            self.program.stdout.close()


def _processes() -> int:
    """How many processes there are on this machine; cheap, and growing fast under a fork bomb."""
    import psutil

    return len(psutil.pids())


def threads_of_user() -> int:
    """How many processes and threads this user has on the machine; of root, who has no such limit, none."""
    import psutil

    if os.geteuid() == 0:
        return 0
    found = (each.info for each in psutil.process_iter(["uids", "num_threads", "status"]))
    alive = (each for each in found if each["uids"] and each["status"] != psutil.STATUS_ZOMBIE)
    return sum(each["num_threads"] or 0 for each in alive if each["uids"].real == os.getuid())
