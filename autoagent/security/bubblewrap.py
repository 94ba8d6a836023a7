"""The first sandbox: bubblewrap's command line. All in it has names of its own, so nothing else is there.

What has no names of its own in the kernel (keys, virtual machine sockets, sockets that are files in the
workspace, terminals) is refused by a filter of system calls, on the architectures that there is one for.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoagent.security import seccomp
from autoagent.security.inside import SETTINGS, SYSTEM, Found, interpreter
from autoagent.security.probe import understands
from autoagent.workspace import Workspace

_CERTIFICATES = (  # public ones only, where the families of Linux keep them
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted/pem",
)


@contextmanager
def call_filter() -> Iterator[int | None]:
    """An open file with the filter of system calls, to be inherited; None where there is no filter."""
    if platform.machine() not in seccomp.ARCHITECTURES:
        yield None
        return
    number = os.memfd_create("calls")
    try:
        os.write(number, seccomp.program(alone=False))
        os.lseek(number, 0, os.SEEK_SET)
        yield number
    finally:
        os.close(number)


def walls(
    workspace: Workspace, found: Found, memory: int, calls: int | None, *, trust: bool = False
) -> list[str]:
    """What to put before a command. The order counts: what comes later is mounted over what came before.

    Args:
        workspace: What may be written.
        found: What is ours in it.
        memory: Limit, in bytes; folders in memory hold a quarter of it each.
        calls: See :func:`call_filter`.
        trust: Whether the certificates are there by which hosts are known.
    """
    bwrap = shutil.which("bwrap")
    assert bwrap is not None  # or it would be blocked
    root = str(workspace.root)
    outside = [path for path in interpreter() if not Path(path).is_relative_to(root)]
    line = [bwrap, *base(bwrap, memory)]
    line += [word for path in outside for word in ("--ro-bind", path, path)]
    line += [word for path in (_CERTIFICATES if trust else ()) for word in ("--ro-bind-try", path, path)]
    line += ["--bind", root, root]
    line += [word for path in found.kept for word in ("--ro-bind", path, path)]
    for path in found.hidden:
        line += ["--tmpfs", str(path), "--remount-ro", str(path)] if path.is_dir() else [
            "--ro-bind", "/dev/null", str(path)
        ]  # fmt: skip
    filtered = [] if calls is None else ["--seccomp", str(calls)]
    return [*line, *filtered, "--remount-ro", "/", "--chdir", root, "--"]


def base(bwrap: str, memory: int) -> list[str]:
    """What every sandbox has: the system read-only, an empty /tmp, names of its own for all there is."""
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if understands(bwrap, "--disable-userns"):
        options += ["--unshare-user", "--disable-userns"]
    for path in SYSTEM:
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            options += ["--ro-bind", path, path]
    for name in SETTINGS:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    room = ["--size", str(memory // 4)] if understands(bwrap, "--size") else []
    options += ["--proc", "/proc", "--remount-ro", "/proc"]  # root owns the kernel's switches in there
    options += ["--dev", "/dev", *room, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    return [*options, *room, "--tmpfs", "/tmp"]
