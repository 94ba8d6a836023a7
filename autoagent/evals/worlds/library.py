"""Finding the libraries of the extra ``environments``, and names in them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from autoagent.errors import UsageError


def library(name: str) -> Any:
    """Import an optional library.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or name.partition(".")[0] != error.name:
            raise
        raise UsageError(f"{name} is not installed: pip install 'autoagent[environments]'") from None


def check_name(name: str, known: Iterable[str], kind: str) -> None:
    """Refuse a name that is not among those known.

    Raises:
        UsageError: it is not; the message names the closest.
    """
    known = list(known)
    if name not in known:
        close = get_close_matches(name, known, n=3)
        hint = f": did you mean {' or '.join(close)}?" if close else ""
        raise UsageError(f"there is no {kind} {name}{hint}")
