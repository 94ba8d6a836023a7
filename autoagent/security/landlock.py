"""The second sandbox: Landlock and seccomp, which need no other program and no right to make namespaces.

The kernel is told what may be used, and everything else is refused: the same folders as in the first sandbox.
Landlock (ABI 6, Linux 6.12) looks after files, TCP, abstract sockets and signals; the filter of system calls
(``seccomp.py``) after all other sockets, other processes, and what changes a file by its path.

Less than in bubblewrap: no process numbers of one's own (a program can tell by ``stat`` that a process or a
file is there, and how large, but neither read nor signal nor change it), no ``/proc`` but a few facts about
the machine, no ``/dev/shm`` (so none of Python's ``multiprocessing`` locks), no sockets at all but pairs, no
change of owners, and ``/tmp`` only as ``$TMPDIR``. How full that gets is limited file by file only.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import marshal
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoagent.errors import ToolError
from autoagent.security import seccomp
from autoagent.security.inside import SETTINGS, SYSTEM, environment, interpreter

LEAST = 6  # the first edition of Landlock that keeps signals and abstract sockets in
_SCRIPT = Path(__file__).with_name("confined.py")
_CREATE, _VERSION = 444, 1  # the call that makes a set of rules; asks for the edition instead
_ALL_OF_FILES, _ALL_OF_NETWORK, _ALL_SCOPES = 0xFFFF, 0x3, 0x3  # what is refused unless a rule allows it
_READ = 0b1101  # execute, read a file, read a folder
_WRITE = 0b0111_0101_1011_0010  # write, cut off, remove, move; make folders, files, pipes and links
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_FACTS = ("cpuinfo", "meminfo", "stat", "loadavg", "uptime", "version", "filesystems")  # of /proc


@functools.cache
def edition() -> int:
    """The ABI number of this kernel's Landlock; 0 where there is none, or it is turned off."""
    if not sys.platform.startswith("linux"):
        return 0
    flag = ctypes.c_uint32(_VERSION)
    found = ctypes.CDLL(None).syscall(ctypes.c_long(_CREATE), None, ctypes.c_size_t(0), flag)
    return max(int(found), 0)


@functools.cache
def lacking() -> str:
    """Why it cannot be used here, in a few words; empty when it can. Found out by running a program in it."""
    if not sys.platform.startswith("linux"):
        return "Landlock is a part of Linux"
    if platform.machine() not in seccomp.ARCHITECTURES:
        return f"Landlock is used on {' and '.join(seccomp.ARCHITECTURES)} only"
    if not edition():
        return "this kernel has no Landlock, or it is turned off"
    if edition() < LEAST:
        return f"this kernel's Landlock has ABI {edition()}, and {LEAST} is needed (Linux 6.12)"
    with room() as place:
        line = walls(place, [], [])
        try:
            done = subprocess.run(
                [*line, "/bin/sh", "-c", "read word </etc/passwd || true"],
                env=environment(str(place / "tmp")),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=20,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            return f"Landlock does not start ({problem})"
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if done.returncode or not said or "denied" not in said[-1]:
        return f"Landlock fails here ({said[-1] if said else 'a file outside could be read'})"
    return ""


@contextmanager
def room() -> Iterator[Path]:
    """A folder for one program: its ``tmp`` is what the program has for temporary files."""
    try:
        place = Path(tempfile.mkdtemp(prefix="autoagent-"))
        (place / "tmp").mkdir(mode=0o700)
    except OSError as problem:
        raise ToolError(f"the program cannot be started: {problem}") from None
    try:
        yield place
    finally:
        cleared(place)


def cleared(folder: Path) -> None:
    """Remove a folder, whatever a program has left in it."""
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(folder)
        return
    subprocess.run(["rm", "-rf", "--", str(folder)], capture_output=True, check=False)  # however deep it is


def check_apart(hidden: Sequence[Path], readable: Sequence[str]) -> None:
    """Raise ToolError where something to hide lies in what every program may read: no rule takes it out."""
    for path in hidden:
        for each in (*_readable(), *readable):
            if path.resolve().is_relative_to(os.path.realpath(each)):
                raise ToolError(
                    f"programs cannot be run: {path} would be seen, as programs may read {each}: install "
                    "bubblewrap, or move it elsewhere (the home with AUTOAGENT_HOME)"
                )


def _readable() -> list[str]:
    """What programs may read and run in any workspace."""
    settings, facts = (f"/etc/{name}" for name in SETTINGS), (f"/proc/{name}" for name in _FACTS)
    return [*SYSTEM, *settings, *facts, *interpreter()]


def walls(place: Path, readable: Sequence[str], writable: Sequence[str]) -> list[str]:
    """What to put before a command.

    Args:
        place: See :func:`room`.
        readable: What may be read and run, beside the system and Python.
        writable: What may also be written, beside the temporary folder.
    """
    read = [*_readable(), *readable]
    rules: dict[str, Any] = {
        "parent": os.getpid(),
        "files": _ALL_OF_FILES,
        "network": _ALL_OF_NETWORK,
        "scoped": _ALL_SCOPES,
        "paths": [
            *([path, _READ] for path in dict.fromkeys(read)),
            *([path, _READ | _WRITE] for path in (*_DEVICES, str(place / "tmp"), *writable)),
        ],
        "seccomp": {"x86_64": 317, "aarch64": 277}[platform.machine()],
        "asked": {number: name for name, number in seccomp.asked().items()},
        "own": [os.path.realpath(path) for path in (str(place / "tmp"), *writable)],
        "calls": seccomp.program(),
    }
    file = place / "rules"
    file.write_bytes(marshal.dumps(rules))
    return [sys.executable, "-I", "-S", str(_SCRIPT), str(file)]
