"""What a program in the sandbox must not reach: files, a process, sockets, keys, a terminal."""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import hashlib
import os
import pty
import resource
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import tty
from pathlib import Path
from typing import Any

import psutil

_VICTIM = """
import ctypes, os, resource, signal, sys
token, flag, secret, outside = sys.argv[1:]
kept = ctypes.create_string_buffer(token.encode() * 4)
opened = os.open(secret, os.O_RDONLY)
os.chdir(outside)
resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096))
def felt(number, frame): open(flag, "a").write(f"{number} ")
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGWINCH, signal.SIGIO, signal.SIGURG):
    signal.signal(number, felt)
print(ctypes.addressof(kept), opened, flush=True)
while True: signal.pause()
"""
_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmat.restype = ctypes.c_void_p
_ADD_KEY, _KEYCTL = {"x86_64": (248, 250), "aarch64": (217, 219)}.get(os.uname().machine, (0, 0))
_SESSION, _REVOKE = -3, 3
_GET_FLAGS = 0x80086601


class Scene:
    """All there is to be reached, for one attempt. ``token`` is in every secret of it."""

    def __init__(self, token: str, mark: str) -> None:
        self.token, self.mark = token, mark
        self.base = Path(tempfile.mkdtemp(prefix="esc-", dir="/tmp"))
        self.base.chmod(0o755)
        self.work, self.outside = self.base / "work", self.base / "outside"
        self._files()
        self._victim()
        self._sockets()
        self._shared()
        self.values = self._values()
        self.before = self.guarded()
        self.feelings = self._feelings()

    def _files(self) -> None:
        for folder in (".autoagent", ".git/hooks", ".venv/bin", "sub"):
            (self.work / folder).mkdir(parents=True)
        (self.outside / "ssh").mkdir(parents=True)
        texts = {
            "work/a.txt": "hello\n", "work/sub/target.txt": "mine\n",
            "work/.autoagent/runs.db": self.token, "work/.autoagent/config.toml": f'note = "{self.token}"\n',
            "work/.git/config": "[core]\n", "work/.venv/bin/python": "#!/bin/sh\n",
            "outside/secret.txt": self.token, "outside/target.txt": f"target {self.token}",
            "outside/ssh/id_ed25519": f"-----BEGIN {self.token}", f"outside/note-{self.token}": "",
        }  # fmt: skip
        for name, text in texts.items():
            (self.base / name).write_text(text, encoding="utf-8")
        (self.outside / "ssh" / "id_ed25519").chmod(0o600)
        self.inherited = os.open(self.outside / "secret.txt", os.O_RDONLY)
        os.set_inheritable(self.inherited, True)

    def _victim(self) -> None:
        self.flag = self.base / "felt"
        self.flag.touch()
        command = [sys.executable, "-I", "-S", "-c", _VICTIM, self.token, str(self.flag)]
        self.victim = subprocess.Popen(
            [*command, str(self.outside / "secret.txt"), str(self.outside)],
            stdout=subprocess.PIPE, text=True, start_new_session=True, env={"VICTIM": self.token},
        )  # fmt: skip
        assert self.victim.stdout is not None
        self.address, self.opened = map(int, self.victim.stdout.readline().split())

    def _sockets(self) -> None:
        self.abstract = f"esc-{self.mark}"
        stream, datagram = str(self.base / "stream"), str(self.base / "datagram")
        self.listening = [socket.create_server(("0.0.0.0", 0))]
        for address in (stream, str(self.work / "server"), f"\0{self.abstract}"):
            self.listening.append(socket.socket(socket.AF_UNIX))
            self.listening[-1].bind(address)
            self.listening[-1].listen()
        self.receiving = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
        self.receiving[0].bind(("127.0.0.1", 0))
        for address in (datagram, f"\0{self.abstract}-datagram"):
            self.receiving.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            self.receiving[-1].bind(address)
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.free = free.getsockname()[1]

    def _shared(self) -> None:
        self.shm = _libc.shmget(0, 4096, 0o1600)
        where = _libc.shmat(self.shm, None, 0)
        ctypes.memmove(where, self.token.encode(), len(self.token))
        self.queue = _libc.msgget(0, 0o1600)
        _libc.msgsnd(
            self.queue, array.array("l", [1]).tobytes() + self.token.encode(), len(self.token), 0o4000
        )
        self.devshm = Path("/dev/shm") / f"esc-{self.mark}"
        self.devshm.write_text(self.token, encoding="utf-8")
        self.key = _libc.syscall(
            ctypes.c_long(_ADD_KEY), b"user", b"autoagent-escape", self.token.encode(),
            ctypes.c_size_t(len(self.token)), ctypes.c_long(_SESSION),
        )  # fmt: skip

    def _values(self) -> dict[str, Any]:
        hosts = [
            each.address
            for name, found in psutil.net_if_addrs().items()
            for each in found
            if each.family == socket.AF_INET and name != "lo"
        ]
        disks = [
            f"/dev/{name}"
            for name in sorted(os.listdir("/sys/block"))
            if not name.startswith(("loop", "ram"))
        ]
        disk = next((each for each in disks if _readable(each)), "/dev/none")
        device = os.stat(disk).st_rdev if os.path.exists(disk) else 0
        return {
            "base": str(self.base), "work": str(self.work), "outside": str(self.outside),
            "secret": str(self.outside / "secret.txt"), "target": str(self.outside / "target.txt"),
            "key": str(self.outside / "ssh" / "id_ed25519"), "home": str(self.work / ".autoagent"),
            "runner": os.getpid(), "victim": self.victim.pid, "address": self.address, "open": self.opened,
            "tcp": self.listening[0].getsockname()[1], "udp": self.receiving[0].getsockname()[1],
            "host": (hosts or ["127.0.0.2"])[0], "stream": str(self.base / "stream"),
            "datagram": str(self.base / "datagram"), "abstract": self.abstract, "free": self.free,
            "shm": self.shm, "queue": self.queue, "devshm": str(self.devshm), "key_number": self.key,
            "terminal": os.ttyname(self.slave), "disk": disk, "mark": self.mark,
            "numbers": f"{os.major(device)} {os.minor(device)}",
        }  # fmt: skip

    def guarded(self) -> dict[str, tuple[Any, ...]]:
        """Everything that must stay as it is: what is outside, and what is ours in the workspace."""
        found = {}
        for path in self.base.rglob("*"):
            name = str(path.relative_to(self.base))
            ours = any(part in (".autoagent", ".git", ".venv") for part in path.parts)
            if ours and ("/.autoagent/stage" in name or (path.is_dir() and name.startswith("work/."))):
                continue
            if ours or name.startswith("outside"):
                found[name] = _told(path)
        return found

    def _feelings(self) -> tuple[Any, ...]:
        """What the victim would notice."""
        try:
            victim = psutil.Process(self.victim.pid)
            state = (
                victim.status() == psutil.STATUS_ZOMBIE, victim.nice(), tuple(victim.cpu_affinity() or ()),
                resource.prlimit(self.victim.pid, resource.RLIMIT_CORE),
            )  # fmt: skip
        except (psutil.Error, ProcessLookupError):
            state = (True, 0, (), (0, 0))
        return (*state, self.flag.read_text(encoding="utf-8"))

    def moved(self) -> bool:
        """Whether something of what must stay as it is has changed."""
        return self.guarded() != self.before

    def felt(self) -> bool:
        """Whether the victim noticed anything."""
        time.sleep(0.05)
        return self._feelings() != self.feelings

    def reached(self) -> bool:
        """Whether something came in by a socket or a terminal."""
        watched = [*self.listening, *self.receiving, self.master, self.slave]
        return bool(select.select(watched, [], [], 0.05)[0]) or getattr(self, "connected", False)

    def stir(self, seconds: float) -> threading.Thread:
        """In the background: make a file with a telling name outside, and try to connect to the free port."""

        def work() -> None:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                time.sleep(0.1)
                with contextlib.suppress(OSError):
                    (self.outside / f"seen-{self.token}").touch()
                    (self.outside / f"seen-{self.token}").unlink()
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(("127.0.0.1", self.free), 0.2) as found,
                ):
                    found.settimeout(0.3)
                    self.connected = found.recv(9) == b"hello" or getattr(self, "connected", False)

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    def close(self) -> None:
        """Take it all down."""
        self.victim.kill()
        self.victim.wait()
        assert self.victim.stdout is not None
        self.victim.stdout.close()
        for each in (*self.listening, *self.receiving):
            each.close()
        for number in (self.master, self.slave, self.inherited):
            os.close(number)
        _libc.shmctl(self.shm, 0, None)
        _libc.msgctl(self.queue, 0, None)
        self.devshm.unlink(missing_ok=True)
        _libc.syscall(ctypes.c_long(_KEYCTL), ctypes.c_long(_REVOKE), ctypes.c_long(self.key))
        for path in self.outside.rglob("*"):
            _clear_flags(path)
        shutil.rmtree(self.base, ignore_errors=True)


def _readable(device: str) -> bool:
    with contextlib.suppress(OSError), open(device, "rb") as file:
        return bool(file.read(1))
    return False


def _told(path: Path) -> tuple[Any, ...]:
    """What can be told of a file: mode, owner, content, times, attributes, flags."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        return stat.S_IFMT(found.st_mode), found.st_mode, found.st_uid
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    names = tuple(os.listxattr(path))
    return found.st_mode, found.st_uid, found.st_gid, content, found.st_mtime_ns, names, _flags(path)


def _flags(path: Path) -> int:
    flags = array.array("l", [0])
    with contextlib.suppress(OSError), path.open("rb") as file:
        fcntl.ioctl(file, _GET_FLAGS, flags)
    return flags[0]


def _clear_flags(path: Path) -> None:
    with contextlib.suppress(OSError):
        if stat.S_ISREG(path.lstat().st_mode):
            with path.open("rb") as file:
                fcntl.ioctl(file, 0x40086602, array.array("l", [0x80000]))
