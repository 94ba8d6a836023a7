"""What a model is, in one hash: of its weights, configuration, tokenizer, template and prompts."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path

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
    "base.json",
    "autoagent.json",
)
_WEIGHTS = (".safetensors", ".safetensors.index.json")


def fingerprint(folder: Path, *, prompts: str = "", fresh: bool = False) -> str:
    """Hash everything in a model folder that shapes its answers, and the prompt set; 64 hex digits.

    The hash of an unchanged file (same size and time) is remembered for the process unless ``fresh``.
    """
    total = hashlib.sha256()
    for path in shaping_files(folder):
        total.update(f"{path.name}\0{_file_hash(path, fresh=fresh)}\0".encode())
    total.update(f"prompts\0{prompts}".encode())
    return total.hexdigest()


def short_version(version: str) -> str:
    """Enough of a version's hash to tell it from others; what is no hash stays as it is."""
    return version[:12] if re.fullmatch(r"[0-9a-f]{40,}", version) else version


def shaping_files(folder: Path) -> tuple[Path, ...]:
    """The files of a model folder that shape its answers, by name."""
    return tuple(
        sorted((path for path in folder.iterdir() if shapes(path.name) and path.is_file()), key=_name)
    )


def shapes(name: str) -> bool:
    """Whether a file of this name in a model folder shapes the model's answers."""
    return name in _SHAPING or name.endswith(_WEIGHTS)


def _name(path: Path) -> str:
    return path.name


def _file_hash(path: Path, *, fresh: bool) -> str:
    stat = path.stat()
    remembered = _hash_of.__wrapped__ if fresh else _hash_of
    return remembered(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hash_of(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
