"""Prompts are files: ``*.j2`` beside this module, rendered by one function, strict about missing values."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import jinja2

FOLDER = Path(__file__).resolve().parent


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER, encoding="utf-8"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # the output is read by a model, not by a browser
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(name: str, **values: Any) -> str:
    """Render the prompt ``name`` (without ``.j2``). A missing value is an error, never an empty text."""
    return _environment().get_template(f"{name}.j2").render(values).strip("\n")


@functools.cache
def prompt_hash() -> str:
    """Hash of the whole prompt set. A model version is trained with one prompt set and pins it."""
    digest = hashlib.sha256()
    for file in sorted(FOLDER.glob("*.j2")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
