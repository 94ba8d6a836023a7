"""Model versions: immutable folders of weights, tokenizer and template, and the pointer to the one in use.

    models/
    ├── v1-3f9c21ab/     config, *.safetensors, tokenizer, template, version.json (the manifest); beside them
    │                    what tells about it and does not shape it: gate.html, curves.png, datasheet.json …
    ├── v2-90ab12cd/     an adapter: adapter_config.json, its *.safetensors, base.json (its base, by hash)
    ├── current          the name of the version in use; absent: the embedded model
    ├── history          the pointers before it, one per line, oldest first; rollback takes the last
    └── removed/         manifests of removed versions that others descend from: the lineage stays whole

Light to import: nothing here loads a model.
"""

from __future__ import annotations

import contextlib
import difflib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from autoagent.errors import ModelError, StoreError
from autoagent.home import expanded
from autoagent.models import disk
from autoagent.models.adapter import ADAPTER, BASE, Base, base_of, check_base, hub_folder, is_adapter
from autoagent.models.fingerprint import fingerprint, shapes, shaping_files
from autoagent.models.foreign import check_links, check_weights
from autoagent.models.manifest import (
    EMBEDDED,
    MANIFEST,
    NAME,
    Beside,
    Version,
    as_json,
    beside_name,
    changed,
    complete,
    content_of,
    number,
)

__all__ = ["EMBEDDED", "WEIGHTS", "Beside", "Version", "Versions"]

WEIGHTS = Path(__file__).resolve().parent.parent / "nano" / "weights"
_REMOVED = "removed"


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
        return sorted((name for name in found if NAME.fullmatch(name)), key=number)

    def get(self, name: str) -> Version:
        """Read a version's manifest; ModelError if there is none or it cannot be read."""
        path = self.folder / name / MANIFEST
        if not NAME.fullmatch(name) or not path.parent.is_dir():
            raise self._nothing(name)
        try:
            return Version.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise ModelError(
                f"the manifest {path} is missing or damaged; restore the file or remove the version's folder"
            ) from error

    def _nothing(self, name: str) -> ModelError:
        """There is no such version; perhaps another was meant."""
        if self.removed(name) is not None:
            return ModelError(f"model version {name} was removed; `autoagent models list` shows the others")
        meant = self._meant(name) or "; `autoagent models list` shows them"
        return ModelError(f"no model version {name!r} in {self.folder}{meant}")

    def _meant(self, name: str) -> str:
        """``: did you mean v3-90ab12cd?`` where a name is like one that is there."""
        names = [*self._names(), EMBEDDED]
        begun = [each for each in names if each.startswith(f"{name}-")]
        near = begun or difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        return f": did you mean {near[0]}?" if near else ""

    def full(self, name: str) -> str:
        """The name of the version that a beginning like ``v3`` or ``v3-90`` fits alone; else as it is."""
        begun = [each for each in self._names() if each.startswith(name if "-" in name else f"{name}-")]
        return begun[0] if len(begun) == 1 else name

    def path(self, name: str) -> Path:
        """The folder of a version; ModelError if there is none."""
        return self.folder / self.get(name).name

    def add(
        self, source: Path, *, base: str | None = None, beside: Beside | None = None, **manifest: Any
    ) -> Version:
        """Copy the files of the model folder ``source`` into a new immutable version.

        It appears whole or not at all. An adapter gets what it lacks of tokenizer, template and configuration
        from its base, which must be the same whenever it is loaded.

        Args:
            source: A folder with whole weights, or with an adapter as peft writes it.
            base: What an adapter was trained on: version, ``embedded``, folder or hub id. By default as the
                adapter says.
            beside: Files that tell about the version and do not shape it, such as a picture of its curves.
            manifest: Fields of :class:`Version`; name, hash, created, base and files are set here.

        Raises:
            ModelError: ``source`` holds no model, a pickle in place of one, or a link out of it; or the base
                of an adapter is not here.
            StoreError: it cannot be written.
        """
        config = ADAPTER if is_adapter(source) else "config.json"
        if not (source / config).is_file():
            raise ModelError(f"{source} is no model folder: config.json is missing")
        check_weights(source)
        check_links(source)
        found = None
        if config == ADAPTER:
            found = self._found_base(source, Base(name=base) if base else base_of(source))
        with self._locked():
            self._clear_away()
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.folder))
            try:
                for path in shaping_files(source):
                    if found is not None or path.name not in (ADAPTER, BASE):
                        shutil.copyfile(path, draft / path.name)
                if found is not None:
                    complete(draft, *found)
                return self._named(draft, beside or {}, {"base": found and found[0], **manifest})
            except OSError as error:
                raise StoreError(
                    f"cannot write a model version in {self.folder}: {disk.reason(error)}; "
                    "`autoagent models rm` makes room"
                ) from error
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def _named(self, draft: Path, beside: Beside, manifest: Mapping[str, Any]) -> Version:
        """Turn a draft into a version."""
        code = fingerprint(draft, prompts=manifest.get("prompts", ""), fresh=True)
        numbers = [number(name) for name in self._names()]
        version = Version(
            name=f"v{max(numbers, default=0) + 1}-{code[:8]}",
            hash=code,
            files={path.name: path.stat().st_size for path in shaping_files(draft)},
            **{"created": time.time(), **manifest},
        )
        for name, content in beside.items():
            (draft / beside_name(name)).write_bytes(content_of(content))
        (draft / MANIFEST).write_bytes(as_json(version))
        disk.settle(draft, self.folder / version.name)
        return version

    def judge(
        self, name: str, *, promoted: bool, gate: dict[str, Any], beside: Beside | None = None
    ) -> Version:
        """Write down what the gate found about a version; ``beside`` as of :meth:`add`, such as its report.

        Raises ModelError if there is no such version, StoreError if it cannot be written.
        """
        with self._locked():
            version = self.get(name).model_copy(update={"promoted": promoted, "gate": gate})
            self._put_beside(name, beside or {})
            disk.replace(self.folder / name / MANIFEST, as_json(version))
        return version

    def attach(self, name: str, beside: Beside) -> None:
        """Put files beside a version's weights that tell about it and do not shape it; old ones are replaced.

        Raises ModelError if there is no such version, StoreError if they cannot be written.
        """
        with self._locked():
            self._put_beside(self.get(name).name, beside)

    def _put_beside(self, name: str, beside: Beside) -> None:
        for file, content in beside.items():
            disk.replace(self.folder / name / beside_name(file), content_of(content))

    def beside(self, name: str) -> tuple[Path, ...]:
        """The files beside a version's weights that tell about it: gate.html, curves.png and the like."""
        found = sorted(path for path in self.path(name).iterdir() if not path.name.startswith("."))
        return tuple(path for path in found if path.name != MANIFEST and not shapes(path.name))

    def remove(self, name: str, *, force: bool = False) -> int:
        """Remove a version for good, also a damaged one; returns the bytes that got free.

        Args:
            name: Not the one in use, nor the base of an adapter.
            force: Also if others descend from it; its manifest is kept for their lineage.

        Raises:
            ModelError: there is no such version, or it is needed.
            StoreError: it cannot be removed.
        """
        with self._locked():
            self._clear_away()
            children = self.removable(name, force=force)
            if children or name in {each.parent for each in self._all_removed()}:
                self._keep_manifest(name)
            freed = disk.size(self.folder / name)
            self._remember([each for each in self._history() if each != name])
            gone = self.folder / f".gone-{name}"
            (self.folder / name).rename(gone)
            disk.sync(self.folder)
            shutil.rmtree(gone, ignore_errors=True)
        return freed

    def removable(self, name: str, *, force: bool = False, going: Sequence[str] = ()) -> Sequence[str]:
        """Make sure that a version can be removed; returns those that were trained from it.

        Args:
            name: The version.
            force: Even if others were trained from it.
            going: Others that will be removed, too.

        Raises:
            ModelError: there is no such version, it is in use, or others need it.
        """
        if not NAME.fullmatch(name) or not (self.folder / name).is_dir():
            raise self._nothing(name)
        if self._pointer() == name:
            raise ModelError(f"{name} is in use: choose another version first, with `autoagent models use`")
        known = [each for each in self.list() if each.name not in going]
        if based := [each.name for each in known if each.base is not None and each.base.name == name]:
            raise ModelError(
                f"{name} is the base of the adapter {based[0]}, which is nothing without it: "
                f"merge that first (`autoagent models merge {based[0]}`) and remove it, too"
            )
        children = [each.name for each in known if each.parent == name]
        if children and not force:
            raise ModelError(
                f"{name} is the parent of {', '.join(children)}: with --force it is removed, "
                "they stay, and their lineage says that it was"
            )
        return children

    def _keep_manifest(self, name: str) -> None:
        """For the lineage of those that descend from a version that will be removed."""
        with contextlib.suppress(ModelError):  # a damaged manifest tells none
            manifest = as_json(self.get(name))
            (self.folder / _REMOVED).mkdir(exist_ok=True)
            disk.replace(self.folder / _REMOVED / f"{name}.json", manifest)

    def removed(self, name: str) -> Version | None:
        """The manifest of a removed version that others descend from; None where none was kept."""
        path = self.folder / _REMOVED / f"{name}.json"
        if not NAME.fullmatch(name):
            return None
        try:
            return Version.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError):
            return None

    def _all_removed(self) -> Iterator[Version]:
        for path in (self.folder / _REMOVED).glob("v*.json"):
            if version := self.removed(path.stem):
                yield version

    def base_of(self, folder: Path) -> Path:
        """The folder of the model that the adapter in ``folder`` changes, checked by its hash.

        Raises ModelError where it is missing, or another model by now.
        """
        return self._found_base(folder, base_of(folder))[1]

    def _found_base(self, adapter: Path, wanted: Base) -> tuple[Base, Path]:
        """The base, by a name that stays true and its hash, and where it is."""
        try:
            place = self.resolve(wanted.name)
        except ModelError as problem:
            raise ModelError(
                f"{adapter.name} is an adapter, and its base {wanted.name} is not here: {problem}"
            ) from None
        folder = place if isinstance(place, Path) else hub_folder(place)
        if folder is None:
            raise ModelError(
                f"{adapter.name} is an adapter, and its base {wanted.name} is not on this machine: "
                f"fetch it with `hf download {wanted.name}`"
            )
        check_base(adapter, wanted, folder)
        name = wanted.name if folder == WEIGHTS or isinstance(place, str) else str(folder.absolute())
        name = folder.name if folder.parent == self.folder else name
        return Base(name=name, hash=wanted.hash or fingerprint(folder)), folder

    def current(self) -> str:
        """The name of the version in use: ``embedded`` where none was chosen.

        Raises ModelError if the pointer names none.
        """
        name = self._pointer()
        if name != EMBEDDED and not NAME.fullmatch(name):
            raise ModelError(
                f"{self.folder / 'current'} names no model version: choose one with `autoagent models use`"
            )
        return name

    def pointer(self) -> str:
        """What :meth:`current` says, and "" where the pointer names none."""
        with contextlib.suppress(ModelError):
            return self.current()
        return ""

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
            if name != EMBEDDED and not (self.folder / name).is_dir():  # removed meanwhile
                raise self._nothing(name)
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
        version name or the beginning of one, an existing folder, or a hub id. Raises ModelError for a version
        that is not there.
        """
        name = self.current() if spec in (None, "current") else str(spec)
        if name == EMBEDDED:
            if not (WEIGHTS / "config.json").is_file():
                raise ModelError(
                    f"the embedded model is not installed: no weights in {WEIGHTS}; name one with --model"
                )
            return WEIGHTS
        if NAME.fullmatch(name):
            return self.path(name)
        folder = expanded(name)
        if not folder.exists() and (full := self.full(name)) != name:
            return self.path(full)
        if not folder.exists() and "/" not in name:  # no hub id: nothing else goes to the network
            meant = self._meant(name) or ": name a version, a folder, or a hub id like owner/name"
            raise ModelError(f"there is no model {name}{meant}")
        return folder if folder.exists() else name

    def verify(self, name: str, *, fresh: bool = True) -> Version:
        """Hash a version's files; ModelError if they are not what its manifest says.

        The base of an adapter is looked at, too. ``fresh=False`` takes the word of an earlier look at a file
        of the same size and time.
        """
        version, folder = self.get(name), self.folder / name
        advice = "restore it, or choose another version with `autoagent models use`"
        if missing := [each for each in version.files if not (folder / each).is_file()]:
            raise ModelError(
                f"model version {name} is not whole: {missing[0]} is missing in {folder}; {advice}"
            )
        try:
            found = fingerprint(folder, prompts=version.prompts, fresh=fresh)
        except OSError as error:
            raise ModelError(
                f"model version {name} cannot be read: {error.filename}: {error.strerror}"
            ) from error
        if found != version.hash:
            what = changed(folder, version.files)
            raise ModelError(
                f"the files of model version {name} have changed since it was made{what}; {advice}"
            )
        if is_adapter(folder):
            self.base_of(folder)
        return version

    def _pointer(self) -> str:
        pointer = disk.read(self.folder / "current")
        return EMBEDDED if pointer is None else pointer.decode("utf-8", "replace").strip()

    def _history(self) -> Sequence[str]:
        """The pointers before the present one that name versions."""
        lines = (disk.read(self.folder / "history") or b"").decode("utf-8", "replace").split()
        return [line for line in lines if line == EMBEDDED or NAME.fullmatch(line)]

    def _remember(self, history: Sequence[str]) -> None:
        disk.replace(self.folder / "history", "".join(f"{name}\n" for name in history).encode("utf-8"))

    def _point(self, name: str) -> None:
        if name == EMBEDDED:
            (self.folder / "current").unlink(missing_ok=True)
        else:
            disk.replace(self.folder / "current", name.encode("utf-8") + b"\n")

    def _clear_away(self) -> None:
        """What killed processes left; whoever writes holds the lock, so nobody needs it."""
        disk.clear_away([*self.folder.glob(".draft-*"), *self.folder.glob(".gone-*")])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=30):
                yield
        except Timeout as error:
            raise StoreError(f"another process has held {self.folder} for 30 seconds; try again") from error
        except OSError as error:
            raise StoreError(f"cannot write in {self.folder}: {disk.reason(error)}") from error
