"""The folder an agent may touch, and the one place where a path of the model's becomes a path on disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autoagent.errors import ToolError, UsageError
from autoagent.home import CONTENTS, expanded
from autoagent.home import FOLDER as HOME

SKIPPED = frozenset({HOME, ".git", "__pycache__", ".venv", "node_modules"})
"""Folders that belong to programs, not to the work: not listed, not touched, not in snapshots."""


ATTACHED = "@kept/"  # what the run has put aside for the agent to read


@dataclass(frozen=True)
class Workspace:
    """A folder. Paths given to tools are relative to it and cannot leave it, not by ``..``, not by a link."""

    root: Path
    protected: tuple[Path, ...] = ()  # resolved; files and folders inside the root that tools may not touch
    attached: Path | None = None  # a folder elsewhere, reached as @kept/NAME

    @classmethod
    def at(cls, folder: Path | str, *, protected: Sequence[Path] = ()) -> Workspace:
        """Open ``folder``, creating it when missing.

        Args:
            folder: The folder the tools may use.
            protected: What in it they may not touch: where records and settings are, for instance.

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
        root = root.resolve()
        inside = [path for path in (each.resolve() for each in protected) if root in path.parents]
        if any(each.resolve() == root for each in protected):  # AUTOAGENT_HOME=.: ours beside the work
            inside += [root / name for name in CONTENTS]
        return cls(root, tuple(inside))

    def path(self, name: str) -> Path:
        """Resolve a path of the model's to one on disk; links are followed.

        Raises:
            ToolError: the path leaves the workspace, is out of bounds in it (autoagent's own records and
                settings, and folders like ``.git`` whose files other programs run), or is none that a file
                system can hold.
        """
        if "\0" in name:
            raise ToolError("a path cannot contain a NUL character")
        if self.attached is not None and name.startswith(ATTACHED):
            return self._attached(name)
        with _refused(name):
            target = (self.root / name).resolve()
            if not target.is_relative_to(self.root):
                raise ToolError(f"{name} is outside the workspace; use a path inside it")
            _probe(target)
        parts = {part.casefold() for part in target.relative_to(self.root).parts}
        if parts & SKIPPED or any(target.is_relative_to(path) for path in self.protected):
            raise ToolError(f"{name} is out of bounds: it belongs to a program, not to the work")
        return target

    def keep(self, name: str, text: str) -> str:
        """Put a text where the agent can read it, outside of the work; return its name, "" on failure."""
        if self.attached is None:
            return ""
        try:
            self.attached.mkdir(parents=True, exist_ok=True)
            (self.attached / name).write_text(text, encoding="utf-8")
        except OSError:  # a full disk must not end the run for this
            with contextlib.suppress(OSError):
                (self.attached / name).unlink()  # half of it
            return ""
        return ATTACHED + name

    def _attached(self, name: str) -> Path:
        assert self.attached is not None  # asked by the caller
        with _refused(name):
            target = (self.attached / name.removeprefix(ATTACHED)).resolve()
            if target.parent != self.attached.resolve():
                raise ToolError(f"no such file: {name}")
            _probe(target)
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


@contextmanager
def _refused(name: str) -> Iterator[None]:
    """Tell the model what the file system has against a path of its own.

    Raises:
        ToolError: in the place of what the file system raises.
    """
    try:
        yield
    except RuntimeError:
        raise ToolError(f"{name} is a link that leads to itself") from None
    except (OSError, UnicodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "Not Unicode text"
        raise ToolError(f"{name[:100]} cannot be a path: {reason}") from None


def _probe(target: Path) -> None:
    """Raise OSError or UnicodeError where there can be no such path; there need be nothing at it."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        target.lstat()
