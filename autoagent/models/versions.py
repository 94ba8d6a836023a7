"""Model versions: immutable folders of weights, tokenizer and template, and the pointer to the one in use.

    models/
    ├── v1-3f9c21ab/     config, *.safetensors, tokenizer, template, version.json (the manifest)
    ├── current          the name of the version in use; absent: the embedded model
    └── history          the pointers before it, one per line, oldest first; rollback takes the last

Light to import: nothing here loads a model.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from autoagent.errors import ModelError, StoreError
from autoagent.home import expanded
from autoagent.models.fingerprint import fingerprint, shaping_files

EMBEDDED = "embedded"
WEIGHTS = Path(__file__).resolve().parent.parent / "nano" / "weights"
_MANIFEST = "version.json"
_NAME = re.compile(r"v([0-9]+)-[0-9a-f]{8}")


class Version(BaseModel):
    """The manifest of a version. Only ``promoted`` and ``gate`` change after it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    hash: str  # of the files and the prompt set, see fingerprint()
    parent: str | None = None  # version it was trained from
    created: float = 0.0  # seconds since the epoch
    method: str = ""  # "sft", "dpo", ...
    note: str = ""
    promoted: bool = False  # the gate let it through
    gate: dict[str, Any] | None = None  # what the gate measured
    data: dict[str, Any] | None = None  # what it was trained on: runs, steps, counts
    prompts: str = ""  # hash of the prompt set it was trained with


class Versions:
    """The versions of one project, in ``home/models``. Safe to use from several processes."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "models"

    def list(self) -> tuple[Version, ...]:
        """All versions that can be read, oldest first, without the embedded model."""
        found = []
        for name in self._names():
            with contextlib.suppress(ModelError):
                found.append(self.get(name))
        return tuple(found)

    def damaged(self) -> dict[str, str]:
        """What is wrong with the versions that cannot be read, by name."""
        wrong = {}
        for name in self._names():
            try:
                self.get(name)
            except ModelError as problem:
                wrong[name] = str(problem)
        return wrong

    def _names(self) -> Sequence[str]:
        if not self.folder.is_dir():
            return ()
        found = (path.name for path in self.folder.iterdir())
        return sorted((name for name in found if _NAME.fullmatch(name)), key=_number)

    def get(self, name: str) -> Version:
        """Read a version's manifest; ModelError if there is none or it cannot be read."""
        path = self.folder / name / _MANIFEST
        if not _NAME.fullmatch(name) or not path.parent.is_dir():
            raise ModelError(
                f"no model version {name!r} in {self.folder}; `autoagent models list` shows them"
            )
        try:
            return Version.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise ModelError(
                f"the manifest {path} is missing or damaged; restore the file or remove the version's folder"
            ) from error

    def path(self, name: str) -> Path:
        """The folder of a version; ModelError if there is none."""
        return self.folder / self.get(name).name

    def add(self, source: Path, **manifest: Any) -> Version:
        """Copy the files of the model folder ``source`` into a new immutable version.

        ``manifest`` are fields of :class:`Version`; name, hash and created are set here. The version
        appears whole or not at all.

        Raises ModelError if ``source`` holds no model, StoreError if it cannot be written.
        """
        if not (source / "config.json").is_file() or not any(source.glob("*.safetensors")):
            raise ModelError(f"{source} is no model folder: config.json or *.safetensors is missing")
        with self._locked():
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.folder))
            try:
                for path in shaping_files(source):
                    shutil.copyfile(path, draft / path.name)
                code = fingerprint(draft, prompts=manifest.get("prompts", ""), fresh=True)
                numbers = [_number(name) for name in self._names()]
                name = f"v{max(numbers, default=0) + 1}-{code[:8]}"
                version = Version(name=name, hash=code, **{"created": time.time(), **manifest})
                (draft / _MANIFEST).write_text(version.model_dump_json(indent=1) + "\n", encoding="utf-8")
                for path in draft.iterdir():
                    path.chmod(0o444)
                    _sync(path)
                draft.chmod(0o755)
                draft.rename(self.folder / name)
                _sync(self.folder)
            except OSError as error:
                raise StoreError(
                    f"cannot write a model version in {self.folder}: {error.strerror or error}"
                ) from error
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return version

    def judge(self, name: str, *, promoted: bool, gate: dict[str, Any]) -> Version:
        """Write down what the gate found about a version."""
        with self._locked():
            version = self.get(name).model_copy(update={"promoted": promoted, "gate": gate})
            _replace(
                self.folder / name / _MANIFEST, version.model_dump_json(indent=1).encode("utf-8") + b"\n"
            )
        return version

    def current(self) -> str:
        """The name of the version in use: ``embedded`` where none was chosen.

        Raises ModelError if the pointer names none.
        """
        name = self._pointer()
        if name != EMBEDDED and not _NAME.fullmatch(name):
            raise ModelError(
                f"{self.folder / 'current'} names no model version: choose one with `autoagent models use`"
            )
        return name

    def use(self, name: str, *, instead_of: str | None = None) -> None:
        """Point to a version (or ``embedded``), atomically; the one before is kept for :meth:`rollback`.

        Raises ModelError where ``instead_of`` is given and is no longer the version in use.
        """
        if name != EMBEDDED:
            self.verify(name)
        with self._locked():
            before = self._pointer()
            if before == name:
                return
            if instead_of not in (None, before):
                raise ModelError(
                    f"{name} was compared with {instead_of}, but {before} is in use by now; "
                    f"to take it all the same: autoagent models use {name}"
                )
            self._remember([*self._history(), before])
            self._point(name)

    def rollback(self) -> str:
        """Go back to the pointer before the last :meth:`use` and return it; ModelError if there is none."""
        with self._locked():
            history, now = [*self._history()], self._pointer()
            while history and history[-1] == now:  # a use() that was cut short
                history.pop()
            if not history:
                raise ModelError(f"nothing to roll back to: {now} is the first model in use")
            before = history.pop()
            if before != EMBEDDED:
                self.verify(before)
            self._point(before)
            self._remember(history)
        return before

    def resolve(self, spec: str | None) -> Path | str:
        """Where to load a model from: a folder, or a hub id passed through as text.

        ``None`` and ``current``: the pointer's version. ``embedded``: the model in the package. Else a
        version name, an existing folder, or a hub id. Raises ModelError for a version that is not there.
        """
        name = self.current() if spec in (None, "current") else str(spec)
        if name == EMBEDDED:
            if not (WEIGHTS / "config.json").is_file():
                raise ModelError(
                    f"the embedded model is not installed: no weights in {WEIGHTS}; name one with --model"
                )
            return WEIGHTS
        if _NAME.fullmatch(name):
            return self.path(name)
        folder = expanded(name)
        if (
            not folder.exists() and "/" not in name
        ):  # a hub id is owner/name; nothing else goes to the network
            raise ModelError(
                f"there is no model {name}: name a version, a folder, or a hub id like owner/name"
            )
        return folder if folder.exists() else name

    def verify(self, name: str, *, fresh: bool = True) -> Version:
        """Hash a version's files; ModelError if they are not what its manifest says.

        ``fresh=False`` takes the word of an earlier look at a file of the same size and time.
        """
        version = self.get(name)
        if fingerprint(self.folder / name, prompts=version.prompts, fresh=fresh) != version.hash:
            raise ModelError(
                f"the files of model version {name} have changed since it was made; restore them, "
                "or choose another version with `autoagent models use`"
            )
        return version

    def _pointer(self) -> str:
        pointer = _read(self.folder / "current")
        return EMBEDDED if pointer is None else pointer.decode("utf-8", "replace").strip()

    def _history(self) -> Sequence[str]:
        """The pointers before the present one that name versions."""
        lines = (_read(self.folder / "history") or b"").decode("utf-8", "replace").split()
        return [line for line in lines if line == EMBEDDED or _NAME.fullmatch(line)]

    def _remember(self, history: Sequence[str]) -> None:
        _replace(self.folder / "history", "".join(f"{name}\n" for name in history).encode("utf-8"))

    def _point(self, name: str) -> None:
        if name == EMBEDDED:
            (self.folder / "current").unlink(missing_ok=True)
        else:
            _replace(self.folder / "current", name.encode("utf-8") + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=30):
                yield
        except Timeout as error:
            raise StoreError(f"another process has held {self.folder} for 30 seconds; try again") from error
        except OSError as error:
            raise StoreError(f"cannot write in {self.folder}: {error.strerror or error}") from error


def _number(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else 0


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, even after a crash."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content)
    _sync(draft)
    os.replace(draft, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
