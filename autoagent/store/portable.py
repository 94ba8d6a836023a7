"""Runs that travel: everything on record of one as JSON, and back into the record of another project."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from autoagent.errors import StoreError, UsageError
from autoagent.snapshots import manifest_of
from autoagent.store.conversation import Said
from autoagent.store.database import Transaction
from autoagent.store.ids import free_id
from autoagent.store.locks import kept_from_sweeping
from autoagent.store.record import (
    put_end_of_step,
    put_message,
    put_observation,
    put_reply,
    put_verdict,
)
from autoagent.store.rows import as_json
from autoagent.store.runs import Store
from autoagent.trajectory import Data, Message, Trajectory, Verdict
from autoagent.workspace import ATTACHED

FORMAT = "autoagent-run-1"
_KEPT = re.compile(re.escape(ATTACHED) + r"(?!\.)[\w.-]{1,200}", re.ASCII)  # a plain file name
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # SHA-256


class Spoken(Data):
    """A message of the runtime's own, and where in the run it was said (see ``conversation.Said``)."""

    message: Message
    after: int | None = None
    compaction: int = 0


class Portable(Data):
    """One run, whole."""

    format: Literal["autoagent-run-1"] = "autoagent-run-1"
    trajectory: Trajectory
    said: tuple[Spoken, ...] = ()
    verdicts: tuple[Verdict, ...] = ()  # oldest first
    check: str = ""
    workspace: str = ""
    suite: str = ""
    tags: tuple[str, ...] = ()
    replayable: bool = True
    snapshots: dict[int, Hash] = Field(default_factory=dict)  # ids by step
    contents: dict[Hash, str] = Field(default_factory=dict)  # of the snapshots, base64


@dataclass(frozen=True)
class Imported:
    """What became of an imported run."""

    run_id: str
    was: str  # its id in the file
    known: bool  # it was here already, so nothing was added


def packed_run(store: Store, run_id: str, *, files: bool = True) -> dict[str, Any]:
    """A run as JSON values; ``files`` adds what its workspace held, so that it can be compared elsewhere.

    Raises:
        UsageError: no run or several runs fit.
        StoreError: what is recorded of it, or one of its snapshots, is damaged.
    """
    summary = store.find(run_id)
    snapshots = store.snapshots_of(summary.run_id) if files else {}
    needed = sorted(set().union(*(store.snapshots.contents(each) for each in snapshots.values())))
    packed = Portable(
        trajectory=store.load(summary.run_id),
        said=tuple(
            Spoken(message=each.message, after=each.after, compaction=each.compaction)
            for each in store.said(summary.run_id)
        ),
        verdicts=store.verdicts(summary.run_id).given,
        snapshots=snapshots,
        contents={each: base64.b64encode(store.snapshots.content(each)).decode("ascii") for each in needed},
        **{key: getattr(summary, key) for key in ("check", "workspace", "suite", "tags", "replayable")},
    )
    return packed.model_dump()


def import_run(store: Store, run: Portable) -> Imported:
    """Put a run from elsewhere on record.

    It has no workspace here, so it is neither undone nor resumed: what a file names as its workspace is
    nothing to write into. A run that is here already is left alone; where its id is taken, it gets a new one.

    Raises:
        UsageError: the content of a file in it is damaged.
        StoreError: the record cannot be written.
    """
    was = run.trajectory.run_id
    mark = "import:" + _digest(run)
    for each in store.runs():
        if mark in each.tags or (each.run_id == was and _same(store, run)):
            return Imported(each.run_id, was, known=True)
    contents = _checked(run)
    with kept_from_sweeping(store.home):  # nobody refers to them until the run is on record
        for content in contents:
            store.snapshots.keep(content)
        with store.database.writing() as write:
            run_id = free_id(write, was)
            _put(write, run_id, run, tags=[*run.tags, mark])
    return Imported(run_id, was, known=False)


def _checked(run: Portable) -> list[bytes]:
    """The contents of the snapshots: each is what its hash says, and each snapshot has all that it needs.

    Raises:
        UsageError: something in it is damaged or missing.
    """
    nothing = f"run {' '.join(run.trajectory.run_id.split())[:40]} cannot be imported"
    for kept in (seen.kept for step in run.trajectory.steps for seen in step.observations):
        if kept and not _KEPT.fullmatch(kept):
            raise UsageError(f"{nothing}: {kept[:60]!r}, where an observation in it is kept, is no file name")
    decoded: dict[str, bytes] = {}
    for digest, content in run.contents.items():
        try:
            decoded[digest] = base64.b64decode(content, validate=True)
        except ValueError:
            decoded[digest] = b""
        if hashlib.sha256(decoded[digest]).hexdigest() != digest:
            raise UsageError(f"{nothing}: the content {digest[:12]} in it is damaged")
    for snapshot in sorted(set(run.snapshots.values())):
        try:
            entries = manifest_of(decoded[snapshot], snapshot, foreign=True)
        except StoreError as problem:
            raise UsageError(f"{nothing}: {problem}") from None
        missing = {entry.content for entry in entries.values() if entry.kind == "file"} - decoded.keys()
        if missing:
            raise UsageError(f"{nothing}: the content {min(missing)[:12]} is missing in it")
    return list(decoded.values())


def unpacked_run(value: Mapping[str, Any]) -> Portable:
    """What ``packed_run`` made, read from a file.

    Raises:
        UsageError: it is no exported run.
    """
    found = value.get("format")
    if found != FORMAT:
        raise UsageError(f"this is no exported run: its format is {found!r}, not {FORMAT!r}")
    try:
        run = Portable.model_validate(value)
    except ValidationError as failure:
        first = failure.errors()[0]
        where = " ".join(".".join(str(part) for part in first["loc"]).split())[:100]
        raise UsageError(f"this is no exported run: {where}: {first['msg'].lower()}") from None
    missing = set(run.snapshots.values()) - set(run.contents)
    if missing:
        raise UsageError(f"this is no exported run: the content {min(missing)[:12]} is missing in it")
    return run


def _digest(run: Portable) -> str:
    whole = json.dumps(run.model_dump(), sort_keys=True)
    return hashlib.sha256(whole.encode("ascii")).hexdigest()[:16]


def _same(store: Store, run: Portable) -> bool:
    try:
        here = store.load(run.trajectory.run_id)
    except StoreError:
        return False
    loose = {"verdict": Verdict(), "parent": None}  # may have changed since, or not have come along
    return here.model_copy(update=loose) == run.trajectory.model_copy(update=loose)


def _put(write: Transaction, run_id: str, run: Portable, *, tags: list[str]) -> None:
    what = run.trajectory
    known = what.parent and write.rows("SELECT 1 FROM runs WHERE id = ?", (what.parent,))
    columns: dict[str, Any] = {
        "id": run_id, "parent": what.parent if known else None, "goal": what.goal, "model": what.model,
        "seed": what.seed, "check_text": run.check, "workspace": "", "suite": run.suite,
        "tags": as_json(tags), "plan": as_json(list(what.plan)), "tools": as_json(list(what.tools)),
        "replayable": run.replayable, "answer": what.answer, "ending": what.ending, "error": what.error,
        "started": what.started, "seconds": what.seconds, "settings": as_json(what.settings),
    }  # fmt: skip
    places = ", ".join("?" * len(columns))
    write.run(f"INSERT INTO runs ({', '.join(columns)}) VALUES ({places})", tuple(columns.values()))
    for each in run.said:
        put_message(write, run_id, Said(each.message, each.after, each.compaction))
    for step in what.steps:
        put_reply(write, run_id, step.index, step.reply, step.kind)
        for number, seen in enumerate(step.observations):
            put_observation(write, run_id, step.index, number, seen)
        put_end_of_step(write, run_id, step)
    for number, snapshot in run.snapshots.items():
        write.run("INSERT INTO snapshots VALUES (?, ?, ?)", (run_id, number, snapshot))
    for verdict in run.verdicts:
        put_verdict(write, run_id, verdict)
