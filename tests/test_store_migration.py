"""A record made by an older autoagent is brought up to date, and nothing in it is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from autoagent.store import Store
from autoagent.store.forgotten import forget
from autoagent.trajectory import Message, Observation, ToolCall

# The schema of autoagent 0.1.0, word for word.
FIRST_SCHEMA = """
CREATE TABLE runs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, parent TEXT REFERENCES runs (id),
    goal TEXT NOT NULL, model TEXT NOT NULL, seed INTEGER NOT NULL, check_text TEXT NOT NULL,
    workspace TEXT NOT NULL, suite TEXT NOT NULL, tags TEXT NOT NULL,
    plan TEXT NOT NULL DEFAULT '[]', tools TEXT NOT NULL DEFAULT '[]',
    replayable INTEGER NOT NULL DEFAULT 1,
    answer TEXT, ending TEXT, error TEXT NOT NULL DEFAULT '',
    started REAL NOT NULL, seconds REAL NOT NULL DEFAULT 0);
CREATE INDEX runs_by_suite ON runs (suite, seq);
CREATE TABLE messages (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL,
    after_step INTEGER, role TEXT NOT NULL, content TEXT NOT NULL, calls TEXT NOT NULL, name TEXT,
    PRIMARY KEY (run, number)) WITHOUT ROWID;
CREATE TABLE steps (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL,
    text TEXT NOT NULL, reasoning TEXT NOT NULL, calls TEXT NOT NULL, value TEXT,
    complete INTEGER NOT NULL, cached INTEGER NOT NULL, prefilled INTEGER NOT NULL,
    forced INTEGER NOT NULL, sampled INTEGER NOT NULL, reply_seconds REAL NOT NULL,
    kept INTEGER, prompt_ids BLOB, completion_ids BLOB, origins BLOB,
    logprobs BLOB, masked_logprobs BLOB,
    sub_goal INTEGER, ending TEXT, seconds REAL,
    PRIMARY KEY (run, number));
CREATE TABLE observations (
    run TEXT NOT NULL, step INTEGER NOT NULL, number INTEGER NOT NULL,
    tool TEXT NOT NULL, arguments TEXT NOT NULL, content TEXT NOT NULL, ok INTEGER NOT NULL,
    seconds REAL NOT NULL, mutated INTEGER NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (run, step, number),
    FOREIGN KEY (run, step) REFERENCES steps (run, number) ON DELETE CASCADE);
CREATE TABLE snapshots (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, step INTEGER NOT NULL,
    snapshot TEXT NOT NULL, PRIMARY KEY (run, step)) WITHOUT ROWID;
CREATE TABLE verdicts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    status TEXT NOT NULL, score REAL, reason TEXT NOT NULL, given_by TEXT, at REAL NOT NULL);
CREATE INDEX verdicts_by_run ON verdicts (run, seq);
PRAGMA user_version = 1;
"""
A_RUN = """
INSERT INTO runs (id, goal, model, seed, check_text, workspace, suite, tags, plan, tools, started)
    VALUES ('r00000000001', 'count', 'v1', 7, '', '.', '', '[]', '["look"]', '["finish"]', 5.0);
INSERT INTO messages VALUES ('r00000000001', 0, NULL, 'system', 'You…', '[]', NULL);
INSERT INTO messages VALUES ('r00000000001', 1, 0, 'user', 'Act.', '[]', NULL);
INSERT INTO steps (run, number, text, reasoning, calls, complete, cached, prefilled, forced, sampled,
    reply_seconds, seconds) VALUES ('r00000000001', 0, 'the plan', '', '[]', 1, 0, 5, 0, 6, 0.5, 1.0);
INSERT INTO steps (run, number, text, reasoning, calls, complete, cached, prefilled, forced, sampled,
    reply_seconds) VALUES ('r00000000001', 1, 'hm', '', '[["list_files", {}]]', 1, 0, 5, 0, 6, 0.5);
INSERT INTO observations VALUES ('r00000000001', 1, 0, 'list_files', '{}', 'a.txt', 1, 0.1, 0, '');
"""


def old_record(home: Path) -> None:
    home.mkdir()
    with closing(sqlite3.connect(home / "runs.db")) as connection:
        connection.executescript(FIRST_SCHEMA + A_RUN)


def test_a_record_of_the_first_schema_is_read_as_it_was(tmp_path: Path) -> None:
    home = tmp_path / ".autoagent"
    old_record(home)
    store = Store(home)
    run = store.load("r00000000001")
    assert [step.kind for step in run.steps] == ["plan", "act"]
    assert run.acts == run.steps[1:]
    seen = Observation(call=ToolCall(name="list_files"), content="a.txt", seconds=0.1)
    assert run.steps[1].observations == (seen,)
    assert (run.settings, run.parent, run.plan, run.steps[0].recalled) == ({}, None, ("look",), ())
    said = [(message.role, message.content) for message in store.messages("last")]
    assert said == [
        ("system", "You…"),
        ("assistant", "the plan"),
        ("user", "Act."),
        ("assistant", "hm"),
        ("tool", "a.txt"),
    ]
    store.close()


def test_a_run_of_the_first_schema_can_be_resumed(tmp_path: Path) -> None:
    home = tmp_path / ".autoagent"
    old_record(home)
    store = Store(home)
    assert store.latest_unfinished() == "r00000000001"
    record = store.reopen("last")
    record.said(Message(role="user", content="Go on."))
    assert store.messages("last")[-1].content == "Go on."
    record.ended("interrupted", None, 1.0)
    store.close()


def test_runs_of_the_first_schema_can_be_forgotten(tmp_path: Path) -> None:
    home = tmp_path / ".autoagent"
    old_record(home)
    store = Store(home)
    assert (store.forgotten(), store.find("last").forgotten) == (frozenset(), False)
    store.rate("last", good=True)
    assert forget(store, ["last"]) == ("r00000000001",)
    assert (list(store.verified()), store.find("last").forgotten) == ([], True)
    store.close()
