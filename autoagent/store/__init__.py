"""The record of every run: written as it happens, read back exactly."""

from __future__ import annotations

from autoagent.store.record import RunRecord
from autoagent.store.rows import RunSummary, Verdicts
from autoagent.store.runs import RESUMABLE, Store

__all__ = ["RESUMABLE", "RunRecord", "RunSummary", "Store", "Verdicts"]
