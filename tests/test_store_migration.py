"""A record made by any older autoagent is brought up to date, and nothing in it is lost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from autoagent.store import Store
from autoagent.store.backup import backup
from autoagent.store.database import MIGRATIONS
from autoagent.store.forgotten import forget
from autoagent.store.portable import import_run, packed_run, unpacked_run
from autoagent.store.repair import repair
from autoagent.store.restore import restore
from autoagent.store.upkeep import check
from autoagent.trajectory import Message, Observation, ToolCall

SCHEMAS = Path(__file__).parent / "schemas"
OLDER = sorted(SCHEMAS.glob("*.sql"), key=lambda file: int(file.stem))
RUN = "r00000000001"


def old_record(home: Path, schema: Path) -> None:
    home.mkdir()
    with closing(sqlite3.connect(home / "runs.db")) as connection:
        connection.executescript(schema.read_text(encoding="utf-8"))


@pytest.fixture(params=OLDER, ids=lambda file: f"schema {file.stem}")
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    old_record(tmp_path / ".autoagent", request.param)
    store = Store(tmp_path / ".autoagent")
    yield store
    store.close()


def test_there_is_a_record_of_every_older_schema() -> None:
    assert [file.stem for file in OLDER] == [str(number) for number in range(1, len(MIGRATIONS))], (
        "keep a record of the schema that was the latest until now in tests/schemas"
    )


def test_it_is_read_as_it_was(store: Store) -> None:
    run = store.load(RUN)
    assert [step.kind for step in run.steps] == ["plan", "act"]
    assert run.acts == run.steps[1:]
    seen = Observation(call=ToolCall(name="list_files"), content="a.txt", seconds=0.1)
    assert run.steps[1].observations == (seen,)
    assert (run.parent, run.plan, run.steps[0].recalled) == (None, ("look",), ())
    assert (run.verdict.status, run.verdict.by) == ("verified", "user")
    said = [(message.role, message.content) for message in store.messages("last")]
    assert said == [
        ("system", "You…"),
        ("assistant", "the plan"),
        ("user", "Act."),
        ("assistant", "hm"),
        ("tool", "a.txt"),
    ]


def test_the_schema_is_the_same_as_of_a_new_record(store: Store, tmp_path: Path) -> None:
    new = Store(tmp_path / "new")
    new.begin("g", model="m", seed=0, check="", workspace=tmp_path).close()
    store.runs()
    columns = []
    for each in (store, new):
        with each.database.reading() as read:
            tables = [str(row[0]) for row in read.rows("SELECT name FROM sqlite_master ORDER BY name")]
            found = {
                table: {tuple(row)[1:] for row in read.rows(f"PRAGMA table_info({table})")}
                for table in tables
            }
            columns.append((found, read.rows("PRAGMA user_version")[0][0]))
    assert columns[0] == columns[1]
    new.close()


def test_its_run_can_be_resumed(store: Store) -> None:
    assert store.latest_unfinished() == RUN
    record = store.reopen("last")
    record.said(Message(role="user", content="Go on."))
    assert store.messages("last")[-1].content == "Go on."
    record.ended("interrupted", None, 1.0)


def test_its_run_can_be_forgotten(store: Store) -> None:
    assert (store.forgotten(), store.find("last").forgotten) == (frozenset(), False)
    assert len(list(store.verified())) == 1
    assert forget(store, ["last"]) == (RUN,)
    assert (list(store.verified()), store.find("last").forgotten) == ([], True)


def test_it_is_exported_backed_up_and_checked(store: Store, tmp_path: Path) -> None:
    with store.database.writing() as write:
        write.run("DELETE FROM undos")  # those of the fixture name snapshots that were never there
    assert list(check(store)) == []
    run = store.load(RUN)
    other = Store(tmp_path / "other")
    import_run(other, unpacked_run(packed_run(store, RUN)))
    assert other.load(RUN).steps == run.steps
    other.close()
    backup(store.home, tmp_path / "a.tar")
    restore(tmp_path / "third", tmp_path / "a.tar")
    third = Store(tmp_path / "third")
    assert third.load(RUN) == run
    third.close()


@pytest.mark.parametrize("schema", OLDER, ids=lambda file: f"schema {file.stem}")
def test_an_old_backup_is_restored_and_an_old_damaged_record_is_saved(schema: Path, tmp_path: Path) -> None:
    old_record(tmp_path / "home", schema)
    backup(tmp_path / "home", tmp_path / "a.tar")  # as it is, without bringing it up to date
    restore(tmp_path / "other", tmp_path / "a.tar")
    store = Store(tmp_path / "other")
    assert len(store.load(RUN).steps) == 2
    store.close()
    with closing(sqlite3.connect(tmp_path / "home" / "runs.db")) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        sql = "UPDATE sqlite_master SET sql = 'CREATE INDEX runs_by_suite ON runs (goal)' WHERE name = ?"
        connection.execute(sql, ("runs_by_suite",))
        connection.commit()
    damaged = Store(tmp_path / "home")
    assert any("was damaged" in line for line in repair(damaged))
    assert len(damaged.load(RUN).steps) == 2
    damaged.close()


OPENER = """
import sys
from pathlib import Path
from autoagent.store import Store
store = Store(Path(sys.argv[1]))
print(len(store.load("last").steps))
"""


def test_processes_that_open_it_at_once_bring_it_up_to_date_once(tmp_path: Path) -> None:
    old_record(tmp_path / "home", OLDER[0])
    openers = [
        subprocess.Popen([sys.executable, "-c", OPENER, tmp_path / "home"], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [opener.communicate(timeout=60)[0] for opener in openers] == ["2\n"] * 3
