"""Find out whether bubblewrap works here, and if not, what to do about it."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

UNSAFE = "or let programs run without protection with --unsafe-no-sandbox"
_SWITCHES = (  # kernel settings that forbid user namespaces: file under /proc/sys, the value that forbids
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "10000"),
)


@functools.cache
def problem(bwrap: str | None) -> tuple[str, str]:
    """Why bubblewrap cannot be used here, in a few words, and the fix; two empty texts when it can.

    Found out by running a program in it, once per process.
    """
    if not sys.platform.startswith("linux"):
        return "the sandbox (bubblewrap) is for Linux", "use a container"
    if bwrap is None:
        return "bubblewrap is missing", "`apt install bubblewrap`"
    from autoagent.security.bubblewrap import base, call_filter

    try:
        with call_filter() as calls:
            filtered = [] if calls is None else ["--seccomp", str(calls)]
            done = subprocess.run(
                [bwrap, *base(bwrap, 2**26), *filtered, "--remount-ro", "/", "--", "/bin/sh", "-c", "true"],
                env={},
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=20,
                pass_fds=[] if calls is None else [calls],
            )
    except (OSError, subprocess.TimeoutExpired) as trouble:
        return f"bubblewrap does not start ({trouble})", "mend it"
    if done.returncode == 0:
        return "", ""
    said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
    return f"bubblewrap fails here ({said[-1]})", _advice()


@functools.cache
def understands(bwrap: str, option: str) -> bool:
    """Whether this edition of bubblewrap knows an option."""
    try:
        done = subprocess.run([bwrap, "--help"], env={}, capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return option.encode() in done.stdout + done.stderr


def _advice() -> str:
    for name, forbids, permits in _SWITCHES:
        try:
            found = Path("/proc/sys", name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if found == forbids:
            return f"`sysctl -w {name.replace('/', '.')}={permits}` as root permits user namespaces"
    return "in a container, start it so that user namespaces may be made (its seccomp profile forbids them)"
