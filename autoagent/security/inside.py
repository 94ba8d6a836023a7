"""What programs find in either sandbox: the system, Python, the workspace without what is ours."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from autoagent.home import FOLDER as HOME
from autoagent.workspace import Workspace

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = (  # of /etc
    "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types",
)  # fmt: skip
KEPT = frozenset({".git", ".venv", "node_modules"})  # other programs run what is in them: read-only
_MOST_FOLDERS = 20_000  # of a workspace, looked through for such folders; what lies beyond is not protected


def interpreter() -> list[str]:
    """The folders of the Python that runs us, where the system's folders do not hold them already."""
    found = dict.fromkeys(os.path.realpath(path) for path in (sys.base_prefix, sys.prefix))
    covered = ("/", *SYSTEM)
    return [
        path
        for path in found
        if path != "/" and not path.startswith(tuple(f"{each}/" for each in SYSTEM)) and path not in covered
    ]


@dataclass(frozen=True)
class Found:
    """What a workspace holds that programs may not have like the rest.

    Attributes:
        kept: Folders (of git, also files) that may be read but not changed; Python's own, too.
        hidden: Files and folders that must not be seen: records, settings, memory.
        homes: Homes of this and of other projects; links by that name, too.
    """

    kept: list[str]
    hidden: list[Path]
    homes: list[Path]


def look(workspace: Workspace) -> Found:
    """Go through a workspace."""
    root, kept, homes = workspace.root, [], []
    for number, (folder, folders, files) in enumerate(os.walk(root)):
        if number >= _MOST_FOLDERS:
            break
        for name in sorted(KEPT & {*folders, *files}):
            if not os.path.islink(os.path.join(folder, name)):
                kept.append(os.path.join(folder, name))
        if HOME in folders or HOME in files:  # among the files are links that lead nowhere yet
            homes.append(Path(folder) / HOME)
        folders[:] = [name for name in folders if name not in KEPT and name != HOME]
    ours = [path for path in interpreter() if Path(path).is_relative_to(root) and path != str(root)]
    hidden = [*workspace.protected, *(path for path in homes if not path.is_symlink())]
    return Found(
        list(dict.fromkeys([*ours, *kept])), [path for path in dict.fromkeys(hidden) if path.exists()], homes
    )


def environment(temporary: str) -> dict[str, str]:
    """What programs are told, and the sandbox itself, whose environment they could read otherwise."""
    folders = [os.path.dirname(sys.executable), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    return {
        "PATH": os.pathsep.join(folders),
        "HOME": temporary,
        "TMPDIR": temporary,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
