"""Out of the versions: whole weights in a folder of their own, an adapter merged, a GGUF file."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autoagent.errors import ModelError, StoreError, UsageError
from autoagent.models import disk
from autoagent.models.adapter import ADAPTER, BASE, is_adapter
from autoagent.models.fingerprint import shaping_files
from autoagent.models.gguf_file import Kind, need_gguf, unfit, write_gguf
from autoagent.models.versions import EMBEDDED, Version, Versions

CONVERTERS = ("convert_hf_to_gguf.py", "convert-hf-to-gguf")  # llama.cpp's own, and a package of it
_ADVICE = (
    "get llama.cpp (https://github.com/ggml-org/llama.cpp) and "
    "`python llama.cpp/convert_hf_to_gguf.py {folder} --outfile {file}`"
)


@dataclass(frozen=True)
class Exported:
    """What is in the folder of an export."""

    bytes: int  # of all files
    gguf: Path | None  # None where none was wanted, or it cannot be written here
    why_not: str  # in the latter case; else ""


def export(versions: Versions, name: str, target: Path, *, gguf: Kind | None = None) -> Exported:
    """Write a version to a folder that plain transformers loads, whole or not at all.

    Args:
        versions: Of the project.
        name: A version, or ``embedded``; an adapter is merged into its base.
        target: A folder that is not there yet, or is empty.
        gguf: Also a GGUF file in it, with these numbers, of a model that can be written as such here; others
            :func:`convert` leaves to llama.cpp.

    Raises:
        ModelError: there is no such version, or its files have changed.
        UsageError: something is in the folder already, or a GGUF file needs a package that is not here.
        StoreError: it cannot be written.
    """
    source = Path(versions.resolve(name))
    if name != EMBEDDED:
        versions.verify(source.name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is there already: name a folder that is new or empty")
    why_not = unfit(versions.base_of(source) if is_adapter(source) else source, source) if gguf else ""
    here = bool(gguf) and not why_not
    if here:
        need_gguf()
    file = target / f"{name}.gguf"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _whole(source, target.parent) as draft:
            if gguf and here:
                write_gguf(draft, draft / file.name, gguf, name=name)
            draft.chmod(0o755)
            if target.exists():
                target.rmdir()
            draft.rename(target)
        return Exported(disk.size(target), file if here else None, why_not)
    except OSError as error:
        raise StoreError(f"{name} cannot be written to {target}: {disk.reason(error)}") from error


def merge(versions: Versions, name: str, *, note: str = "") -> Version:
    """Make an adapter version a whole one, which needs no base: its child, not yet in use.

    Raises:
        ModelError: there is no such version, it is no adapter, or its base cannot be had.
        StoreError: it cannot be written.
    """
    adapter = versions.verify(name)
    folder = versions.path(name)
    if not is_adapter(folder):
        raise ModelError(f"{name} is whole already, there is nothing to merge")
    try:
        with _whole(folder, None) as draft:
            return versions.add(
                draft,
                parent=name,
                method="merge",
                note=note,
                prompts=adapter.prompts,
                beside={path.name: path for path in versions.beside(name)},
            )
    except OSError as error:
        raise StoreError(
            f"{name} cannot be merged in {tempfile.gettempdir()}: {disk.reason(error)}; "
            "free some space, or choose another place with TMPDIR"
        ) from error


@contextmanager
def _whole(source: Path, place: Path | None) -> Iterator[Path]:
    """A new folder, in ``place`` or where temporary files go, with the files of a model, its weights whole.

    It is gone when the block is left, unless it got another name.
    """
    draft = Path(tempfile.mkdtemp(prefix=".autoagent-export-", dir=place))
    try:
        if is_adapter(source):
            _merged(source, draft)
        made = {path.name for path in draft.iterdir()}  # of an adapter: configuration and weights
        for path in shaping_files(source):
            weights = bool(made) and ".safetensors" in path.name
            if path.name not in (ADAPTER, BASE, *made) and not weights:
                shutil.copyfile(path, draft / path.name)
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _merged(source: Path, draft: Path) -> None:
    """Write an adapter's weights merged into its base, in the number format of the base."""
    from autoagent.models.loading import load_parts, quiet
    from autoagent.models.needs import measure

    base = Versions(source.parent.parent).base_of(source)
    stored = measure(base).dtype
    model, _, _ = load_parts(
        source,
        device="cpu",
        dtype=stored if stored in ("float32", "bfloat16", "float16") else "auto",
        trust_remote_code=False,
    )
    with quiet():
        model.save_pretrained(draft)


def convert(folder: Path, file: Path, *, why: str, kind: Kind | None = None) -> None:
    """Have llama.cpp's own converter make a GGUF file of an exported folder, whole or not at all.

    Args:
        folder: As :func:`export` leaves it.
        file: Where to.
        why: It is needed: what :func:`unfit` says of the model.
        kind: Numbers of the matrices; None leaves them to the converter.

    Raises:
        UsageError: there is no converter on the path, or it does not know this model.
        StoreError: the disk is full, or the converter cannot be started.
    """
    found = next((place for name in CONVERTERS if (place := shutil.which(name))), None)
    if found is None:
        by_hand = _ADVICE.format(folder=folder, file=file)
        raise UsageError(
            f"no GGUF file, as {why} and llama.cpp's converter is not on the path "
            f"({' or '.join(CONVERTERS)}): {by_hand}"
        )
    draft = file.with_name(f".{file.name}.new")
    command = [found, str(folder), "--outfile", str(draft), *(["--outtype", kind] if kind else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode or not draft.is_file():
            raise UsageError(f"{found} cannot convert {folder}: {_told(done)}")
        draft.replace(file)
    except OSError as error:
        raise StoreError(f"{found} cannot be started: {disk.reason(error)}") from error
    finally:
        draft.unlink(missing_ok=True)


def _told(done: subprocess.CompletedProcess[str]) -> str:
    """Why a program failed: the last line that looks like a reason."""
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if "Error" in line or "error" in line), "")
    return (said or (lines[-1] if lines else f"exit status {done.returncode}"))[:300]
