"""Out of the versions: whole weights in a folder of their own, an adapter merged, a GGUF file."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoagent.errors import ModelError, StoreError, UsageError
from autoagent.models import disk
from autoagent.models.adapter import ADAPTER, BASE, is_adapter
from autoagent.models.fingerprint import shaping_files
from autoagent.models.versions import EMBEDDED, Version, Versions

CONVERTERS = ("convert_hf_to_gguf.py", "convert-hf-to-gguf")  # llama.cpp's own, and a package of it
_ADVICE = (
    "get llama.cpp (https://github.com/ggml-org/llama.cpp) and "
    "`python llama.cpp/convert_hf_to_gguf.py {folder} --outfile {file}`"
)


def export(versions: Versions, name: str, target: Path) -> int:
    """Write a version to a folder that plain transformers loads, whole or not at all; returns its bytes.

    Args:
        versions: Of the project.
        name: A version, or ``embedded``; an adapter is merged into its base.
        target: A folder that is not there yet, or is empty.

    Raises:
        ModelError: there is no such version, or its files have changed.
        UsageError: something is in the folder already.
        StoreError: it cannot be written.
    """
    source = Path(versions.resolve(name))
    if name != EMBEDDED:
        versions.verify(source.name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is there already: name a folder that is new or empty")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _whole(source, target.parent) as draft:
            draft.chmod(0o755)
            if target.exists():
                target.rmdir()
            draft.rename(target)
        return disk.size(target)
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


def write_gguf(folder: Path, file: Path) -> float:
    """Convert an exported folder for llama.cpp, with its own converter; returns the seconds it took.

    Raises:
        UsageError: there is no converter on the path, or it does not know this model.
        StoreError: the disk is full, or the converter cannot be started.
    """
    found = next((place for name in CONVERTERS if (place := shutil.which(name))), None)
    by_hand = _ADVICE.format(folder=folder, file=file)
    if found is None:
        raise UsageError(f"no converter to GGUF is on the path ({' or '.join(CONVERTERS)}): {by_hand}")
    began = time.monotonic()
    try:
        done = subprocess.run(
            [found, str(folder), "--outfile", str(file)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise StoreError(f"{found} cannot be started: {disk.reason(error)}") from error
    if done.returncode or not file.is_file():
        lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
        said = next((line for line in reversed(lines) if "Error" in line or "error" in line), "")
        said = said or (lines[-1] if lines else f"exit status {done.returncode}")
        raise UsageError(f"{found} cannot convert {folder}: {said[:300]}")
    return time.monotonic() - began
