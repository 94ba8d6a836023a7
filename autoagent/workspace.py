"""The folder an agent may touch, and the one place where a path of the model's becomes a path on disk."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from autoagent.errors import ToolError, UsageError
from autoagent.home import FOLDER as HOME
from autoagent.home import expanded


@dataclass(frozen=True)
class Workspace:
    """A folder. Paths given to tools are relative to it and cannot leave it, not by ``..``, not by a link."""

    root: Path

    @classmethod
    def at(cls, folder: Path | str) -> Workspace:
        """Open ``folder``, creating it when missing.

        Raises:
            UsageError: it is not a folder, or nothing can be written in it.
        """
        root = expanded(folder)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise UsageError(f"workspace {folder} is a file: name a folder with --workspace") from None
        except OSError as error:
            raise UsageError(f"workspace {folder} cannot be created: {error.strerror}") from None
        if not os.access(root, os.W_OK | os.X_OK):
            raise UsageError(
                f"workspace {folder} is not writable: choose another with --workspace or chmod it"
            )
        return cls(root.resolve())

    def path(self, name: str) -> Path:
        """Resolve a path of the model's to one on disk; links are followed.

        Raises:
            ToolError: the path leaves the workspace, leads to autoagent's own records and settings (which
                name files that are run as tools), or is none that a file system can hold.
        """
        if "\0" in name:
            raise ToolError("a path cannot contain a NUL character")
        try:
            target = (self.root / name).resolve()
            if not target.is_relative_to(self.root):
                raise ToolError(f"{name} is outside the workspace; use a path inside it")
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                target.lstat()
        except RuntimeError:
            raise ToolError(f"{name} is a link that leads to itself") from None
        except (OSError, UnicodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "Not Unicode text"
            raise ToolError(f"{name[:100]} cannot be a path: {reason}") from None
        if HOME in target.relative_to(self.root).parts:
            raise ToolError(f"{name} belongs to autoagent itself; leave it as it is")
        return target

    def entry(self, name: str) -> Path:
        """Like :meth:`path`, but what is a link itself stays one: for moving and deleting.

        Raises:
            ToolError: as :meth:`path`; also for a link that leads out of the workspace.
        """
        target, entry = self.path(name), self.root / name
        return self.path(str(Path(name).parent)) / entry.name if entry.is_symlink() else target

    def name(self, path: Path) -> str:
        """The workspace-relative name of a path, with forward slashes."""
        return path.relative_to(self.root).as_posix()
