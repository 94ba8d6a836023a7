"""How many processes a program may start, held by the kernel where it can be asked to.

Root may make a control group for it. Everybody else has the limit on processes of a user, which counts inside
a sandbox only what is in there. Where neither works, the limit is only looked at (see ``watch``).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PARENTS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))  # version 1, version 2
_JOIN = 'echo $$ > "$1" && shift && exec "$@"'  # by a POSIX shell


@contextmanager
def crowd_limit(most: int) -> Iterator[list[str]]:
    """Yield what to put before a command so that it and all it starts are at most so many processes."""
    group = _group(most) if os.geteuid() == 0 else None
    if group is None:
        yield []
        return
    try:
        yield ["/bin/sh", "-c", _JOIN, "sh", str(group / "cgroup.procs")]
    finally:
        for _ in range(50):  # its last processes may still be on their way out
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.02)


def _group(most: int) -> Path | None:
    """A new control group with a limit; None where none can be made."""
    for parent in _PARENTS:
        group = parent / f"autoagent-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / "pids.max").write_text(str(most), encoding="ascii")
            return group
        except OSError:  # no such control here
            with contextlib.suppress(OSError):
                group.rmdir()
    return None
