"""What a run changed in its workspace: files, and their lines, between two of its snapshots."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from autoagent.errors import UsageError
from autoagent.snapshots import Entry, Snapshots
from autoagent.store.runs import Store

_LARGEST_TEXT = 512 * 1024  # bytes; comparing lines takes too long beyond
_SPAN = re.compile(r"(\d+)?(:)?(\d+)?")


@dataclass(frozen=True)
class FileChange:
    """One path that differs. ``lines`` is a unified diff without line ends, empty where lines say nothing."""

    kind: Literal["added", "removed", "changed"]
    path: str
    lines: tuple[str, ...] = ()
    note: str = ""  # in words, where it is not only lines: "binary, 3 bytes", "mode 644 is now 755"

    @property
    def added(self) -> int:
        """Lines."""
        return sum(line.startswith("+") for line in self.lines[2:])

    @property
    def removed(self) -> int:
        """Lines."""
        return sum(line.startswith("-") for line in self.lines[2:])


def run_span(store: Store, run_id: str, span: str = "") -> tuple[str, str]:
    """The two snapshots that a span of steps lies between.

    Args:
        store: Where the run is.
        run_id: The run.
        span: "" for the whole run, ``STEP`` for what one step did, ``STEP:STEP`` for what was done after the
            first up to the end of the second; either may be left out.

    Raises:
        UsageError: it is no span, or the run has no such step or no snapshots.
    """
    kept = snapshots_of(store, run_id)
    found = _SPAN.fullmatch(span.strip())
    if not found:
        raise UsageError(f"{span!r} is not a step (3) or a span of steps (1:3)")
    first, colon, last = found.groups()
    if first and not colon:
        after = at_step(store, run_id, kept, int(first))
        return at_step(store, run_id, kept, max(0, int(first) - 1)), after
    before = at_step(store, run_id, kept, int(first or 0))
    end = int(last) if last else max([step.index for step in store.load(run_id).steps] + [max(kept)])
    return before, at_step(store, run_id, kept, end)


def snapshots_of(store: Store, run_id: str) -> dict[int, str]:
    """The run's snapshots by step, with the one that it began with.

    Raises:
        UsageError: there are none to compare or go back to.
    """
    kept = store.snapshots_of(run_id)
    if 0 not in kept:
        run = store.find(run_id)
        why = "it ended before it began to work" if run.replayable else "that was too large"
        why = why if run.workspace else "it was imported without its files"
        raise UsageError(f"run {run.run_id} has no copy of its workspace: {why}")
    return kept


def at_step(store: Store, run_id: str, kept: dict[int, str], step: int) -> str:
    """The workspace as it was after a step; one that changed nothing has the snapshot of the step before."""
    run, steps = store.find(run_id), store.load(run_id).steps
    last = max([step.index for step in steps] + [max(kept)])
    if step > last:
        raise UsageError(f"run {run.run_id} has no step {step}: its last is step {last}")
    nearest = max(number for number in kept if number <= step)
    if not run.replayable and any(nearest < each.index <= step for each in steps if each.mutated):
        raise UsageError(
            f"run {run.run_id} has no copy of its workspace after step {step}: that was too large"
        )
    return kept[nearest]


def changes(snapshots: Snapshots, before: str, after: str) -> list[FileChange]:
    """What differs between two snapshots, by path.

    Raises:
        StoreError: a snapshot is missing or damaged.
    """
    if before == after:
        return []
    old, new = snapshots.entries(before), snapshots.entries(after)
    return [
        _change(snapshots, kind, path, old.get(path), new.get(path))
        for kind, path in snapshots.diff(before, after)
    ]


def _change(
    snapshots: Snapshots,
    kind: Literal["added", "removed", "changed"],
    path: str,
    old: Entry | None,
    new: Entry | None,
) -> FileChange:
    notes = []
    entries = [entry for entry in (old, new) if entry is not None]
    if kind == "changed" and old and new and old.kind == new.kind and old.mode != new.mode:
        notes.append(f"mode {old.mode:o} is now {new.mode:o}")
    if all(entry.kind == "file" for entry in entries):
        contents = [snapshots.content(entry.content) if entry else None for entry in (old, new)]
        texts = [_text(content) for content in contents]
        if None not in texts:
            lines = () if contents[0] == contents[1] else _lines(path, contents, texts)
            return FileChange(kind, path, lines, ", ".join(notes))
        what = "binary" if any(_is_binary(content) for content in contents) else "large"
        notes.append(f"{what}, " + " → ".join(_size(content) for content in contents if content is not None))
    else:
        notes.append(" → ".join(map(_in_words, entries)))
    return FileChange(kind, path, (), ", ".join(notes))


def _lines(path: str, contents: Sequence[bytes | None], texts: Sequence[list[str] | None]) -> tuple[str, ...]:
    old = "/dev/null" if contents[0] is None else f"a/{path}"
    new = "/dev/null" if contents[1] is None else f"b/{path}"
    compared = difflib.unified_diff(texts[0] or [], texts[1] or [], old, new)
    lines: list[str] = []
    for line in compared:
        lines += [line[:-1]] if line.endswith("\n") else [line, "\\ No newline at end of file"]
    return tuple(lines)


def _text(content: bytes | None) -> list[str] | None:
    """Its lines, with their ends; None for what is not text, or too much of it."""
    if content is None:
        return []
    if len(content) > _LARGEST_TEXT or _is_binary(content):
        return None
    lines = content.decode("utf-8").split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _is_binary(content: bytes | None) -> bool:
    if content is None or len(content) > _LARGEST_TEXT:
        return content is not None and b"\0" in content[:8192]
    try:
        return "\0" in content.decode("utf-8")
    except UnicodeDecodeError:
        return True


def _size(content: bytes) -> str:
    count = len(content)
    if count < 1000:
        return f"{count} byte{'' if count == 1 else 's'}"
    return f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def _in_words(entry: Entry) -> str:
    return f"link to {entry.content}" if entry.kind == "link" else entry.kind
