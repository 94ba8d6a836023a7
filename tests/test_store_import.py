"""Imported runs bring files along: nothing of them is taken on trust."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoagent.errors import UsageError
from autoagent.store import Store
from autoagent.store.atif_import import from_atif
from autoagent.store.export import atif
from autoagent.store.portable import import_run, packed_run, unpacked_run
from autoagent.store.upkeep import check, sweep
from autoagent.trajectory import Observation, Reply, Step, ToolCall


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / ".autoagent")
    yield store
    store.close()


@pytest.fixture
def exported(tmp_path: Path) -> dict[str, Any]:
    """A run whose workspace held a file."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.txt").write_text("one", encoding="utf-8")
    elsewhere = Store(tmp_path / "elsewhere")
    record = elsewhere.begin("count", model="m", seed=0, check="", workspace=work)
    record.snapshot(0)
    record.ended("finished", "1", 1.0)
    value = packed_run(elsewhere, "last")
    elsewhere.close()
    return value


def holding(value: dict[str, Any], manifest: object) -> dict[str, Any]:
    """The same export with another manifest; its hash is right."""
    content = json.dumps(manifest).encode()
    digest = hashlib.sha256(content).hexdigest()
    contents = value["contents"] | {digest: base64.b64encode(content).decode()}
    return value | {"contents": contents, "snapshots": {0: digest}}


FILE = hashlib.sha256(b"one").hexdigest()


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"a.txt": ["file", "0" * 64, 0o644]}, "the content 000000000000 is missing"),
        ({"../a.txt": ["file", FILE, 0o644]}, "outside its folder"),
        ({"/a.txt": ["file", FILE, 0o644]}, "outside its folder"),
        ({"": ["file", FILE, 0o644]}, "outside its folder"),
        ({"a": ["link", "/etc"], "a/passwd": ["file", FILE, 0o644]}, "behind a link"),
        ({"a": ["device", "", 0]}, "is no file, link or folder"),
        ({"a": ["file", "../../runs.db", 0]}, "is no file, link or folder"),
        ({"a": ["file"]}, "no list of files"),
        ({"a": "file"}, "no list of files"),
        ({".git": ["file", FILE, 0o644]}, "no snapshot may"),
        ({"sub/.venv": ["link", "/tmp"]}, "no snapshot may"),
        ({".GIT/hooks/pre-commit": ["file", FILE, 0o755]}, "no snapshot may"),
        ({"sub/.AUTOAGENT/config.toml": ["file", FILE, 0o644]}, "no snapshot may"),
        (["a"], "no list of files"),
        (7, "no list of files"),
    ],
)
def test_a_manifest_is_looked_through_before_anything_is_kept(
    store: Store, exported: dict[str, Any], manifest: object, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as problem:
        import_run(store, unpacked_run(holding(exported, manifest)))
    assert "\n" not in str(problem.value)
    assert store.runs() == []
    assert not store.snapshots.stored()


def test_files_that_are_missing_or_were_changed_are_refused(store: Store, exported: dict[str, Any]) -> None:
    less = {digest: each for digest, each in exported["contents"].items() if digest != FILE}
    with pytest.raises(UsageError, match=f"the content {FILE[:12]} is missing"):
        import_run(store, unpacked_run(exported | {"contents": less}))
    changed = exported["contents"] | {FILE: base64.b64encode(b"two").decode()}
    with pytest.raises(UsageError, match=f"the content {FILE[:12]} in it is damaged"):
        import_run(store, unpacked_run(exported | {"contents": changed}))
    assert store.runs() == []


def test_a_sound_import_is_sound_here_and_its_files_stay(store: Store, exported: dict[str, Any]) -> None:
    done = import_run(store, unpacked_run(exported))
    assert sweep(store) == 0
    assert store.snapshots.read(store.snapshots_of(done.run_id)[0], "a.txt") == b"one"
    assert list(check(store)) == []
    assert not list((store.home / "locks").iterdir())


@pytest.mark.parametrize("moment", [1e300, 1e12, -1.0, float("nan")])
def test_a_moment_no_clock_can_show_is_refused(exported: dict[str, Any], moment: float) -> None:
    exported["trajectory"]["started"] = moment
    with pytest.raises(UsageError, match=r"no exported run: trajectory.started: input should be .* than"):
        unpacked_run(exported)


@pytest.mark.parametrize("seconds", [1e300, -1e300, float("nan")])
def test_steps_may_claim_to_have_taken_anything(
    store: Store, exported: dict[str, Any], seconds: float
) -> None:
    reply = {"text": "one"}
    exported["trajectory"]["steps"] = [
        {"index": index, "kind": "act", "reply": reply, "seconds": seconds} for index in (0, 1)
    ]
    done = import_run(store, unpacked_run(exported))
    stamps = [step["timestamp"] for step in atif(store, done.run_id, {})["steps"]]
    assert len(stamps) >= 2
    assert all(datetime.datetime.fromisoformat(each) for each in stamps)


def test_a_run_of_another_program_may_have_begun_before_there_were_such_clocks(store: Store) -> None:
    steps = [{"step_id": 1, "source": "user", "message": "go", "timestamp": "1903-02-01T00:00:00Z"}]
    agent = {"name": "other", "version": "1"}
    document = {"schema_version": "ATIF-v1.7", "session_id": "s", "agent": agent, "steps": steps}
    done = import_run(store, from_atif(document))
    assert store.load(done.run_id).started == 0


def observing(value: dict[str, Any], kept: str) -> dict[str, Any]:
    """The same export with a call whose result was too long to show."""
    seen = Observation(call=ToolCall(name="look"), content="a …", kept=kept)
    step = Step(index=0, reply=Reply(text="", calls=(seen.call,)), observations=(seen,))
    return value | {"trajectory": value["trajectory"] | {"steps": [step.model_dump()]}}


@pytest.mark.parametrize(
    "kept", ["../../../etc/passwd", "@kept/../../runs.db", "@kept/", "@kept/..", "/etc/passwd", "1-1.txt\n"]
)
def test_a_text_put_aside_has_a_plain_name(store: Store, exported: dict[str, Any], kept: str) -> None:
    with pytest.raises(UsageError, match="is no file name") as problem:
        import_run(store, unpacked_run(observing(exported, kept)))
    assert "\n" not in str(problem.value)
    assert store.runs() == []


def test_a_text_put_aside_is_named_as_it_was(store: Store, exported: dict[str, Any]) -> None:
    import_run(store, unpacked_run(observing(exported, "@kept/1-1.txt")))
    assert store.load("last").steps[0].observations[0].kept == "@kept/1-1.txt"
