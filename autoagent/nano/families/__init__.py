"""The goal families of the embedded model, first edition, with their share of the training data."""

from __future__ import annotations

from autoagent.nano.families import combined, custom, figures, files, learning, recall, refusal, trouble
from autoagent.nano.families.base import DECLINE, Action, Episode, Family, Maker

FAMILIES: dict[str, tuple[Family, float]] = {
    "list_files": (files.list_files, 4),
    "find_file": (files.find_file, 3),
    "read_all": (files.read_all, 4),
    "read_value": (files.read_value, 7),
    "write_note": (files.write_note, 6),
    "append_note": (files.append_note, 6),
    "rename": (files.rename, 2),
    "delete": (files.delete, 1.5),
    "edit": (files.edit, 3),
    "search": (files.search, 2.5),
    "arithmetic": (figures.arithmetic, 6),
    "column": (figures.column, 7),
    "units": (figures.units, 4),
    "days_after": (figures.days_after, 3),
    "days_between": (figures.days_between, 2),
    "weekday": (figures.weekday, 1),
    "save_memory": (recall.save, 4),
    "recall_memory": (recall.recall, 6),
    "custom_tool": (custom.custom, 14),
    "keep_result": (combined.keep_result, 12),
    "find_and_read": (combined.find_and_read, 4),
    "decline": (refusal.decline, 8),
    "not_there": (trouble.not_there, 4),
    "learn": (learning.learn, 0.7),
}

__all__ = ["DECLINE", "FAMILIES", "Action", "Episode", "Family", "Maker"]
