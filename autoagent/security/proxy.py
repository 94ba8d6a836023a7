"""The one way out for programs in the sandbox that may reach hosts: an HTTP proxy that keeps to a list.

The sandbox has a network of its own with nothing in it. Before the program begins, a port is opened on its
loopback and handed out (``listening.py``), and the proxy, in this process, answers on it. It lets ``CONNECT``
and plain HTTP through to the hosts and ports on the list (``hosts.py``, as for the web tools). It looks names
up itself and connects to the address that was checked, so a program has no name server, and a name that comes
to mean another address gains nothing. A connection is good for one request, so each is checked; redirects are
the program's own affair, and a request like any other.

What is not covered: what a program tells to a host that is allowed; what is inside a ``CONNECT``, which may
be any protocol; a name server that is slow is waited for by a thread that ends some seconds after the
program. Where your own network is only left by a proxy, nothing is reached.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from types import TracebackType

from autoagent.errors import ToolError
from autoagent.security.forward import SILENT, Request
from autoagent.security.hosts import Target, addresses, concerns

PORT = 3128  # in the sandbox, where nobody else has it
_MOST = 32  # connections at the same time; more wait
_CONNECTING = 10.0  # seconds for a host to answer at all
_FAREWELL = 2.0  # seconds for all threads to end
_TOLD = 20  # different refusals that are kept
_LONGEST = 300  # letters of one
_SCRIPT = Path(__file__).with_name("listening.py")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Proxy:
    """Lets the programs of one sandbox reach the hosts on a list, until it is closed.

    Attributes:
        environment: What tells programs to use it.
        handover: What to put before the command that is run in the sandbox.
        inherited: The open file that the sandbox has to be given.
        refused: Why connections were refused, each reason once.
        reached: Hosts that were connected to.

    Raises:
        ToolError: this process can open no more files.
    """

    def __init__(self, hosts: tuple[str, ...]) -> None:
        self.hosts = hosts
        self.refused: list[str] = []
        self.reached: list[str] = []
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(_MOST)
        self._over = False
        self._threads: list[threading.Thread] = []  # those that have ended are left out now and then
        try:
            self._near, self._far = socket.socketpair()
        except OSError as problem:
            raise ToolError(f"the program cannot be started: {problem}") from None
        self._open = {self._near, self._far}

    @property
    def environment(self) -> dict[str, str]:
        """Both spellings of each, as programs differ in what they read."""
        here = f"http://127.0.0.1:{PORT}"
        own = ",".join(name for name in _LOOPBACK if not concerns(self.hosts, name))
        said = {"http_proxy": here, "https_proxy": here, "all_proxy": here, "no_proxy": own}
        return said | {name.upper(): value for name, value in said.items()}

    @property
    def handover(self) -> list[str]:
        """The helper that opens the port inside and then becomes the program."""
        text = _SCRIPT.read_text(encoding="utf-8")
        return [sys.executable, "-I", "-S", "-c", text, str(self.inherited), str(PORT)]

    @property
    def inherited(self) -> int:
        """The half of the pair that goes into the sandbox."""
        return self._far.fileno()

    def __enter__(self) -> Proxy:
        self.start(self._serve)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with self._lock:
            self._over = True
            left = list(self._open)
        for each in left:
            _cut(each)  # whoever waits for it wakes up
        until = time.monotonic() + _FAREWELL
        while (thread := self._at_work()) and (seconds := until - time.monotonic()) > 0:
            thread.join(seconds)
        for each in left:
            each.close()

    def start(self, work: Callable[..., None], *given: object) -> threading.Thread:
        """Do something in a thread that this proxy waits for at its end. Raises OSError: it cannot begin."""
        thread = threading.Thread(target=work, args=given, name="sandbox proxy", daemon=True)
        with self._lock:  # a thread that is known has begun, or could not be waited for
            try:
                thread.start()
            except RuntimeError as problem:  # there are too many
                raise OSError(str(problem)) from None
            self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
        return thread

    def _at_work(self) -> threading.Thread | None:
        """A thread that has not ended."""
        with self._lock:
            return next(filter(threading.Thread.is_alive, self._threads), None)

    def keep(self, each: socket.socket) -> None:
        """End this connection with the proxy. Raises OSError when that has ended already."""
        with self._lock:
            if not self._over:
                self._open.add(each)
                return
        each.close()
        raise OSError("the program has ended")

    def release(self, each: socket.socket) -> None:
        """A connection is over."""
        with self._lock:
            self._open.discard(each)
        each.close()

    def connected(self, wanted: Target) -> socket.socket:
        """A connection to the first address of a host that may be reached and answers.

        Raises:
            ToolError: it has no address that may be reached.
            OSError: none of them answers.
        """
        problem = OSError("it has no address")
        for address in addresses(wanted.host, wanted.port, self.hosts):
            far = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            self.keep(far)
            try:
                far.settimeout(_CONNECTING)
                far.connect((address, wanted.port))
            except OSError as error:
                self.release(far)
                problem = error
            else:
                far.settimeout(SILENT)
                _once(self.reached, wanted.host)
                return far
        raise problem

    def refuse(self, why: str) -> None:
        """Keep why a connection was refused."""
        _once(self.refused, why)

    def _serve(self) -> None:
        """Take connections on the port that comes out of the sandbox."""
        try:
            _, numbers, _, _ = socket.recv_fds(self._near, 1, 1)
        except OSError:
            return
        if not numbers:
            return  # the sandbox could not be put up
        os.set_inheritable(numbers[0], False)
        port = socket.socket(fileno=numbers[0])
        try:
            self.keep(port)
            while True:
                self._room.acquire()
                client, _ = port.accept()
                self.keep(client)
                self.start(self._answer, client)
        except OSError:  # it is over, or there are too many open files: no more are taken
            self.release(port)

    def _answer(self, client: socket.socket) -> None:
        try:
            Request(client, self)
        except (OSError, ValueError, HTTPException):
            return  # one side is gone, or talks nonsense
        finally:
            self.release(client)
            self._room.release()


def _once(known: list[str], text: str) -> None:
    """Keep a text that is not kept already; of very many, the first."""
    line = " ".join(text.split())
    line = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
    if line not in known and len(known) < _TOLD:
        known.append(line)


def _cut(each: socket.socket) -> None:
    """Wake up whoever waits for a socket: nothing comes any more."""
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
