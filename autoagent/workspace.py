"""The folder an agent may touch, and the one place where a path of the model's becomes a path on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from autoagent.errors import ToolError, UsageError


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
        root = Path(folder).expanduser()
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
        """Resolve a path of the model's to one on disk.

        Raises:
            ToolError: the path leaves the workspace.
        """
        if "\0" in name:
            raise ToolError("a path cannot contain a NUL character")
        target = (self.root / name).resolve()
        if not target.is_relative_to(self.root):
            raise ToolError(f"{name} is outside the workspace; use a path inside it")
        return target

    def name(self, path: Path) -> str:
        """The workspace-relative name of a path, with forward slashes."""
        return path.relative_to(self.root).as_posix()
