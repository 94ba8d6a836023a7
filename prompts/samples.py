"""Values to look at a prompt with: what a run would give it, one example each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Memory:
    text: str
    citation: str


SAMPLES: Mapping[str, Mapping[str, Any]] = {
    "act": {},
    "compaction": {
        "plan": ("Read the figures.", "Add them up.", "Write the total."),
        "done": frozenset({1}),
        "summary": "",
        "lines": ('list_files(path="."): 2 files', 'read_file(path="sales.csv"): jan,120 feb,80'),
    },
    "cut": {"count": 12_345, "kept": "@kept/4-1.txt"},
    "dry_run": {},
    "feedback": {"feedback": "leave out the cancelled orders"},
    "finish_refused": {"reason": 'the answer does not contain "200"'},
    "goal": {"goal": "What is the total of sales.csv?"},
    "mistake": {"mistake": "there was no call in the reply"},
    "nudge": {"sign": "read_file was called 3 times with the same arguments and the same result"},
    "observation": {"ok": False, "content": "no such file: sales.csv"},
    "outside": {"place": "https://example.org/", "mark": "5f2b0c9d41aa", "content": "Prices: 3 and 4."},
    "plan": {},
    "recalled": {
        "memories": (
            _Memory("Amounts in sales.csv are in euros.", "notes.md:3-5"),
            _Memory("The year starts in April.", ""),
        )
    },
    "reflection": {},
    "replan": {"why": "read_file failed twice."},
    "skipped": {"why": "an earlier call of the same reply failed"},
    "system": {"date": "2026-01-31"},
    "unknown": {},
}
