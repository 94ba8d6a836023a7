"""Confine this process by Landlock and seccomp, run a program in it, and end all that the program leaves.

Run as a script, by ``python -I -S confined.py RULES COMMAND…``; it imports little, and only the standard
library. RULES is a file (marshal), read and deleted first: what is asked of the kernel (``landlock.py``).

This process stays outside. It changes modes and times of files for the program where they may be written (the
kernel asks, as Landlock cannot tell), and it waits: everything the program starts stays its descendant (a
"subreaper"), however often it daemonises, so all of it can be found and ended. It ends with the program's
exit code, or 128 + signal. SIGTERM, which also comes when who started it is gone, ends everything.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # these three start faster than what is built on
import _socket  # them, by a quarter of the whole start, and every call waits for it
import _thread
import ctypes
import errno
import fcntl
import marshal
import os
import resource
import stat
import struct
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

UNABLE = 125  # exit code: the walls could not be put up, and nothing was run
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # Landlock's calls have the same numbers everywhere
_PATH_BENEATH = 1  # a kind of rule
_DEATH_SIGNAL, _NO_NEW_PRIVILEGES, _SUBREAPER = 1, 38, 36  # of prctl
_DROP_BOUND, _SECURE_BITS, _AMBIENT = 24, 28, 47
_LOCKED_ROOT, _CLEAR_ALL = 0b101111, 4
_MODE_FILTER, _LISTENER = 1, 8  # of the call seccomp: install a filter, give a file to hear its questions
_HEAR, _ANSWER = 0xC0502100, 0xC0182101  # of ioctl on that file
_QUESTION = "QIIiIQ6Q"  # id, process, flags, number, architecture, where, arguments
_HERE, _NO_FOLLOW = -100, 0x100  # AT_FDCWD and flags of calls with a path
_NOW, _OMIT = 0x3FFFFFFF, 0x3FFFFFFE  # instead of nanoseconds
_OF_FILES = 0b1100000000000111  # the rights that a single file can have
_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class _Capabilities(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def main() -> int:
    """Run the command that was given; its exit code."""
    with open(sys.argv[1], "rb") as file:
        rules = marshal.load(file)
    os.unlink(sys.argv[1])
    parent = os.getppid()
    _control(_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _end_all)
    _control(_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent or parent != rules["parent"]:
        return UNABLE  # whoever wanted this is gone
    ours = os.getpid()
    near, far = _socket.socketpair()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            _control(_DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() == ours:
                _lock(rules, far)
                os.execvp(sys.argv[2], sys.argv[2:])
        except OSError as problem:
            os.write(2, f"the sandbox could not be put up: {problem}\n".encode())
        os._exit(UNABLE)
    far.close()
    _thread.start_new_thread(_help, (near, rules))
    return _wait(child)


def _wait(child: int) -> int:
    """Wait for the program, then end and collect what it left behind."""
    status, over = 0, False
    while True:
        try:
            done, how = os.waitpid(-1, os.WNOHANG if over else 0)
        except ChildProcessError:  # no descendant is left
            break
        if done == child:
            status, over = how, True
        elif done == 0:
            _end_all()
            time.sleep(0.001)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _end_all(_: int = 0, __: FrameType | None = None) -> None:
    """Kill all descendants, again and again, until only dead ones are left to collect."""
    while found := _descendants():
        for each in found:
            try:
                os.kill(each, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        time.sleep(0.001)


def _descendants() -> list[int]:
    """Those alive of all that were started below this process."""
    parents: dict[int, tuple[int, str]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            parents[int(name)] = int(parent), state.decode()
    below, ours = [], {os.getpid()}
    while ours:
        ours = {each for each, (parent, _) in parents.items() if parent in ours}
        below += [each for each in ours if parents[each][1] not in "ZX"]
    return below


def _lock(rules: dict[str, Any], far: _socket.socket) -> None:
    """Put the walls up; what they keep in can never take them down again. Raises OSError."""
    wanted = _Ruleset(rules["files"], rules["network"], rules["scoped"])
    ruleset = _call(_CREATE, ctypes.byref(wanted), ctypes.sizeof(wanted), 0)
    for path, allowed in rules["paths"]:
        _allow(ruleset, path, allowed)
    _give_up_powers()
    _control(_NO_NEW_PRIVILEGES, 1)
    _call(_RESTRICT, ruleset, 0)
    code = rules["calls"]
    kept = ctypes.create_string_buffer(code, len(code))
    made = _Program(len(code) // 8, ctypes.cast(kept, ctypes.c_void_p))
    questions = _call(rules["seccomp"], _MODE_FILTER, _LISTENER, ctypes.byref(made))
    far.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", questions))])
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _help(near: _socket.socket, rules: dict[str, Any]) -> None:
    """Answer the kernel's questions, until nobody is left to ask any."""
    _, rights, _, _ = near.recvmsg(1, 64)
    if not rights:
        return  # the walls could not be put up
    questions = struct.unpack("i", rights[0][2][:4])[0]
    while True:
        asked = bytearray(struct.calcsize(_QUESTION))
        try:
            fcntl.ioctl(questions, _HEAR, asked)
        except OSError as problem:
            if problem.errno in (errno.ENOENT, errno.EINTR):
                time.sleep(0.001)
                continue  # who asked is gone
            return
        number, process, _, call, _, _, *words = struct.unpack(_QUESTION, asked)
        failed = 0
        try:
            _do(rules["asked"][call], process, words, rules["own"])
        except OSError as problem:
            failed = -(problem.errno or errno.EPERM)
        except (ValueError, OverflowError, struct.error):
            failed = -errno.EINVAL
        try:
            fcntl.ioctl(questions, _ANSWER, struct.pack("QqiI", number, 0, failed, 0))
        except OSError:
            continue  # who asked is gone


def _do(name: str, process: int, words: list[int], own: list[str]) -> None:
    """Do what a process asked for. What is checked is the very file that is changed, however it was named."""
    if name in ("chmod", "chown", "lchown"):
        words = [_HERE, *words]
    elif name in ("fchmod", "fchown"):
        words = [words[0], 0, *words[1:]]
    folder, path, what = ctypes.c_int(words[0]).value, words[1], words[2]
    flags = {"fchmodat2": words[3], "utimensat": words[3], "fchownat": words[4], "lchown": _NO_FOLLOW}.get(
        name, 0
    )
    place = _opened(process, folder, _text(process, path) if path else b"", flags)
    try:
        here = f"/proc/self/fd/{place}"
        where, found = os.readlink(here), os.fstat(place)
        if found.st_uid != os.geteuid() or not any(
            where == each or where.startswith(f"{each}/") for each in own
        ):
            raise PermissionError(errno.EPERM, where)
        if name == "utimensat":
            os.utime(here, ns=_times(process, what, found))
        elif "chown" in name:
            if not _same(what, found.st_uid) or not _same(words[3], found.st_gid):
                raise PermissionError(errno.EPERM, where)
        else:  # nobody becomes another by running it, and a folder can be looked into afterwards
            os.chmod(here, what & 0o1777 | (0o700 if stat.S_ISDIR(found.st_mode) else 0))
    finally:
        os.close(place)


def _same(wanted: int, number: int) -> bool:
    """Whether an owner is to stay who it is."""
    return ctypes.c_int(wanted).value in (-1, number)


def _opened(process: int, folder: int, name: bytes, flags: int) -> int:
    """The file a process means, not opened for anything."""
    base = f"/proc/{process}/cwd" if folder == _HERE else f"/proc/{process}/fd/{folder}"
    follow = os.O_NOFOLLOW if flags & _NO_FOLLOW and name else 0
    path = os.path.join(os.fsencode(base), name) if name else os.fsencode(base)
    return os.open(path, os.O_PATH | os.O_CLOEXEC | follow)


def _text(process: int, address: int) -> bytes:
    """A text in the memory of a process, up to its end."""
    found = b""
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        while b"\0" not in found and len(found) < 4096:
            memory.seek(address + len(found))
            more = memory.read(4096 - (address + len(found)) % 4096)  # to the end of the page
            if not more:
                raise ProcessLookupError(errno.ESRCH, "it has ended meanwhile")
            found += more
    return found.partition(b"\0")[0]


def _times(process: int, address: int, found: os.stat_result) -> tuple[int, int]:
    """The times a process asks for, in nanoseconds: last read, last written."""
    if not address:
        return time.time_ns(), time.time_ns()
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        words = struct.unpack("4q", memory.read(32))
    known = {_NOW: (time.time_ns(),) * 2, _OMIT: (found.st_atime_ns, found.st_mtime_ns)}
    pairs = ((words[0], words[1]), (words[2], words[3]))
    first, second = (
        known[rest][at] if rest in known else seconds * 10**9 + rest
        for at, (seconds, rest) in enumerate(pairs)
    )
    return first, second


def _allow(ruleset: int, path: str, allowed: int) -> None:
    """Allow what is at or below a path; one that is not there needs no rule."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            allowed &= _OF_FILES
        rule = _Beneath(allowed, place)
        _call(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)


def _give_up_powers() -> None:
    """Drop all capabilities for good; only root has any."""
    if os.geteuid() == 0:
        for each in range(64):
            if _libc.prctl(_DROP_BOUND, each, 0, 0, 0) != 0:
                break  # there are no more of them
        _libc.prctl(_SECURE_BITS, _LOCKED_ROOT, 0, 0, 0)  # not in every container; the rest is enough there
    _libc.prctl(_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    header, none = _Capabilities(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if _libc.capset(ctypes.byref(header), ctypes.byref(none)) != 0:
        raise _failure("capset")


def _control(option: int, value: int, more: int = 0) -> None:
    words = [ctypes.c_ulong(each) for each in (value, more, 0, 0)]
    if _libc.prctl(ctypes.c_int(option), *words) != 0:
        raise _failure(f"prctl {option}")


def _call(number: int, *arguments: Any) -> int:
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    done = int(_libc.syscall(ctypes.c_long(number), *words))
    if done < 0:
        raise _failure(f"system call {number}")
    return done


def _failure(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit(main())
