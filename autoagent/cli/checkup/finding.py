"""One line of the report of ``autoagent doctor``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from autoagent.cli.parts import Parts

Status = Literal["ok", "warn", "fail"]
GB = 10**9
WAIT = 3.0  # seconds for a server to answer, or for the record to be looked through


@dataclass(frozen=True)
class Finding:
    """What was seen, and what to do about it where something is not as it should be."""

    name: str
    status: Status
    text: str
    advice: str = ""


Look = Callable[[Parts], Iterator[Finding]]
