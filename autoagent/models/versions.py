"""Model versions: immutable folders of weights, tokenizer and template, and the pointer to the one in use.

    models/
    ├── v1-3f9c21ab/     config, *.safetensors, tokenizer, template, version.json (the manifest)
    ├── current          the name of the version in use; absent: the embedded model
    └── history          the pointers before it, one per line, oldest first; rollback takes the last

Light to import: nothing here loads a model.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from autoagent.errors import ModelError, StoreError

EMBEDDED = "embedded"
WEIGHTS = Path(__file__).resolve().parent.parent / "nano" / "weights"
_MANIFEST = "version.json"
_NAME = re.compile(r"v([0-9]+)-[0-9a-f]{8}")
_SHAPING = (  # files that shape a model's answers, beside *.safetensors
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "adapter_config.json",
)


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
        """All versions, oldest first, without the embedded model."""
        if not self.folder.is_dir():
            return ()
        names = [entry.name for entry in self.folder.iterdir() if _NAME.fullmatch(entry.name)]
        return tuple(self.get(name) for name in sorted(names, key=_number))

    def get(self, name: str) -> Version:
        """Read a version's manifest; ModelError if there is none or it cannot be read."""
        path = self.folder / name / _MANIFEST
        if not _NAME.fullmatch(name) or not path.is_file():
            raise ModelError(
                f"no model version {name!r} in {self.folder}; `autoagent models list` shows them"
            )
        try:
            return Version.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise ModelError(
                f"the manifest {path} cannot be read; remove the version or restore the file"
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
                for path in _shaping_files(source):
                    shutil.copyfile(path, draft / path.name)
                code = fingerprint(draft, prompts=manifest.get("prompts", ""), fresh=True)
                numbers = [_number(version.name) for version in self.list()]
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
        """The name of the version in use: ``embedded`` where none was chosen."""
        pointer = _read(self.folder / "current")
        return EMBEDDED if pointer is None else pointer.decode("utf-8").strip()

    def use(self, name: str) -> None:
        """Point to a version (or ``embedded``), atomically; the one before is kept for :meth:`rollback`."""
        if name != EMBEDDED:
            self.verify(name)
        with self._locked():
            before = self.current()
            if before == name:
                return
            history = _read(self.folder / "history") or b""
            _replace(self.folder / "history", history + before.encode("utf-8") + b"\n")
            self._point(name)

    def rollback(self) -> str:
        """Go back to the pointer before the last :meth:`use` and return it; ModelError if there is none."""
        with self._locked():
            history = (_read(self.folder / "history") or b"").decode("utf-8").splitlines()
            while history and history[-1] == self.current():  # a use() that was cut short
                history.pop()
            if not history:
                raise ModelError(f"nothing to roll back to: {self.current()} is the first model in use")
            before = history.pop()
            if before != EMBEDDED:
                self.verify(before)
            self._point(before)
            _replace(self.folder / "history", "".join(f"{name}\n" for name in history).encode("utf-8"))
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
        if spec in (None, "current") or _NAME.fullmatch(name):
            return self.path(name)
        folder = Path(name).expanduser()
        return folder if folder.exists() else name

    def verify(self, name: str) -> Version:
        """Hash a version's files again; ModelError if they are not what its manifest says."""
        version = self.get(name)
        if fingerprint(self.folder / name, prompts=version.prompts, fresh=True) != version.hash:
            raise ModelError(
                f"the files of model version {name} have changed since it was made; do not use it"
            )
        return version

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


def fingerprint(folder: Path, *, prompts: str = "", fresh: bool = False) -> str:
    """Hash everything in a model folder that shapes its answers, and the prompt set; 64 hex digits.

    The hash of an unchanged file (same size and time) is remembered for the process unless ``fresh``.
    """
    total = hashlib.sha256()
    for path in _shaping_files(folder):
        total.update(f"{path.name}\0{_file_hash(path, fresh=fresh)}\0".encode())
    total.update(f"prompts\0{prompts}".encode())
    return total.hexdigest()


def _shaping_files(folder: Path) -> tuple[Path, ...]:
    paths = [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")]
    paths += [folder / name for name in _SHAPING if (folder / name).is_file()]
    return tuple(sorted(paths, key=lambda path: path.name))


def _file_hash(path: Path, *, fresh: bool) -> str:
    stat = path.stat()
    remembered = _hash_of.__wrapped__ if fresh else _hash_of
    return remembered(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hash_of(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _number(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else 0


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


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
