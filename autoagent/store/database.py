"""One SQLite file, shared by threads and processes; its schema, and what its failures mean to a person."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from autoagent.errors import StoreError
from autoagent.home import ensure_home

Row = sqlite3.Row

# Numbered by position: PRAGMA user_version says how many were applied. Only ever append to this list.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE runs (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, parent TEXT REFERENCES runs (id),
            goal TEXT NOT NULL, model TEXT NOT NULL, seed INTEGER NOT NULL, check_text TEXT NOT NULL,
            workspace TEXT NOT NULL, suite TEXT NOT NULL, tags TEXT NOT NULL,
            plan TEXT NOT NULL DEFAULT '[]', tools TEXT NOT NULL DEFAULT '[]',
            replayable INTEGER NOT NULL DEFAULT 1,
            answer TEXT, ending TEXT, error TEXT NOT NULL DEFAULT '',
            started REAL NOT NULL, seconds REAL NOT NULL DEFAULT 0)""",
        "CREATE INDEX runs_by_suite ON runs (suite, seq)",
        """CREATE TABLE messages (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL,
            after_step INTEGER, role TEXT NOT NULL, content TEXT NOT NULL, calls TEXT NOT NULL, name TEXT,
            PRIMARY KEY (run, number)) WITHOUT ROWID""",
        # Step columns are NULL until the step is whole; trace columns are NULL for models that do not tell.
        """CREATE TABLE steps (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, number INTEGER NOT NULL,
            text TEXT NOT NULL, reasoning TEXT NOT NULL, calls TEXT NOT NULL, value TEXT,
            complete INTEGER NOT NULL, cached INTEGER NOT NULL, prefilled INTEGER NOT NULL,
            forced INTEGER NOT NULL, sampled INTEGER NOT NULL, reply_seconds REAL NOT NULL,
            kept INTEGER, prompt_ids BLOB, completion_ids BLOB, origins BLOB,
            logprobs BLOB, masked_logprobs BLOB,
            sub_goal INTEGER, ending TEXT, seconds REAL,
            PRIMARY KEY (run, number))""",
        """CREATE TABLE observations (
            run TEXT NOT NULL, step INTEGER NOT NULL, number INTEGER NOT NULL,
            tool TEXT NOT NULL, arguments TEXT NOT NULL, content TEXT NOT NULL, ok INTEGER NOT NULL,
            seconds REAL NOT NULL, mutated INTEGER NOT NULL, detail TEXT NOT NULL,
            PRIMARY KEY (run, step, number),
            FOREIGN KEY (run, step) REFERENCES steps (run, number) ON DELETE CASCADE)""",
        """CREATE TABLE snapshots (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, step INTEGER NOT NULL,
            snapshot TEXT NOT NULL, PRIMARY KEY (run, step)) WITHOUT ROWID""",
        """CREATE TABLE verdicts (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            status TEXT NOT NULL, score REAL, reason TEXT NOT NULL, given_by TEXT, at REAL NOT NULL)""",
        "CREATE INDEX verdicts_by_run ON verdicts (run, seq)",
    ),
    (
        "ALTER TABLE runs ADD COLUMN settings TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE runs ADD COLUMN process INTEGER NOT NULL DEFAULT 0",  # that works or worked on it
        "ALTER TABLE steps ADD COLUMN kind TEXT NOT NULL DEFAULT 'act'",
        "ALTER TABLE steps ADD COLUMN recalled TEXT NOT NULL DEFAULT '[]'",
        "UPDATE steps SET kind = 'plan' WHERE number = 0",  # before there were kinds, step 0 alone was a plan
        "ALTER TABLE observations ADD COLUMN kept TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE observations ADD COLUMN child TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE observations ADD COLUMN permission TEXT",
        # How often the conversation had been compacted when this was said: the first messages of a number are
        # what took the place of all before, and their after_step is the last step they stand for.
        "ALTER TABLE messages ADD COLUMN compaction INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX runs_by_parent ON runs (parent)",
        "CREATE INDEX snapshots_by_content ON snapshots (snapshot)",
    ),
    (
        # What the workspace was before and after its run was undone; after is NULL while that is being done.
        """CREATE TABLE undos (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            before TEXT NOT NULL, after TEXT, at REAL NOT NULL)""",
        "CREATE INDEX undos_by_run ON undos (run, seq)",
    ),
    (
        # Runs that are never learned from; the mark outlives its run, which may be imported again.
        "CREATE TABLE forgotten (run TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID",
    ),
    ("ALTER TABLE observations ADD COLUMN origin TEXT",),  # JSON; NULL: nothing was carried out
)

_left_behind: list[sqlite3.Connection] = []  # of the parent process, after a fork: closing them would hurt it


class Database:
    """Transactions on one file. Nothing is created before the first write; a missing file reads as empty.

    Args:
        path: The file; its folder is the project's home.
        wait: How long to wait for another writer, in seconds.
        durable: Whether what was written is on the disk, not only on its way there, before the next is done.
    """

    def __init__(self, path: Path, *, wait: float, durable: bool = True) -> None:
        self.path = path
        self.wait = wait
        self.durable = durable
        self._lock = threading.Lock()  # one connection, used by one thread at a time
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._file: tuple[int, int] | None = None  # that is open: another may take its place (a restore)

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """One transaction, on disk when the block is left; rolled back when it raises.

        Raises:
            StoreError: it could not be written.
        """
        with self._lock, self._explained():
            yield from self._transaction(self._open(), "BEGIN IMMEDIATE")

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """One consistent view of the record, whatever other processes write meanwhile.

        Raises:
            StoreError: it could not be read.
        """
        with self._lock, self._explained():
            if self._connection is not None or os.access(self.path, os.W_OK):
                yield from self._transaction(self._open(), "BEGIN")
            elif self.path.exists():
                with closing(connect_to_read(self.path, self.wait)) as fixed:
                    _migrate(fixed, self.path)
                    yield from self._transaction(fixed, "BEGIN")
            else:
                with closing(_connect(":memory:", self.wait)) as empty:
                    _migrate(empty, self.path)
                    yield Transaction(empty)

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        with self._lock:
            self._leave_behind()
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _transaction(self, connection: sqlite3.Connection, begin: str) -> Iterator[Transaction]:
        try:
            connection.execute(begin)  # inside: Ctrl-C during its wait is raised once it has begun
            yield Transaction(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _open(self) -> sqlite3.Connection:
        self._leave_behind()
        if self._connection is not None and self._file != (now := _identity(self.path)):
            self._connection.close()  # the next transaction opens what is there then
            self._connection = None
            if now is None:
                raise StoreError(
                    f"{self.path} is gone: it was removed while it was in use; restore it if you can"
                )
        if self._connection is None:
            ensure_home(self.path.parent)
            connection = _connect(str(self.path), self.wait)
            try:
                _use_wal(connection, self.wait, durable=self.durable)
                _migrate(connection, self.path)
            except BaseException:
                connection.close()
                raise
            self._connection, self._process, self._file = connection, os.getpid(), _identity(self.path)
        return self._connection

    def _leave_behind(self) -> None:
        """In a forked child, do without the connection of the parent, and never close it."""
        if self._connection is not None and self._process != os.getpid():
            _left_behind.append(self._connection)
            self._connection = None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(_explain(error, self.path, self.wait)) from error
        except OverflowError as error:
            raise StoreError(f"{self.path}: a number is too large to be recorded ({error})") from error
        except OSError as error:
            raise StoreError(f"{self.path} cannot be used: {error.strerror}") from error


class Transaction:
    """What a caller may do inside a transaction. Text with lone surrogates is kept as it is."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute one statement and return how many rows it changed."""
        try:
            return self._connection.execute(sql, values).rowcount
        except UnicodeEncodeError:
            return self._connection.execute(sql, [_bytes_if_odd(value) for value in values]).rowcount

    def rows(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[Row]:
        """The rows of a query; values by position (``?``) or by name (``:name``)."""
        if isinstance(values, dict):
            named = {key: _bytes_if_odd(value) for key, value in values.items()}
            return self._connection.execute(sql, named).fetchall()
        return self._connection.execute(sql, [_bytes_if_odd(value) for value in values]).fetchall()


def _bytes_if_odd(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
    return value


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, None where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def connect_to_read(path: Path, wait: float) -> sqlite3.Connection:
    """A file that may not be written, on a read-only disk or somebody else's; they may be at work on it."""
    at_work = path.with_name(f"{path.name}-wal").exists()
    how = "mode=ro" if at_work else "immutable=1"
    return _connect(f"{path.absolute().as_uri()}?{how}", wait, uri=True)


def _connect(path: str, wait: float, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=wait, isolation_level=None, check_same_thread=False, uri=uri)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _use_wal(connection: sqlite3.Connection, wait: float, *, durable: bool) -> None:
    """Let readers go on while one writes. SQLite does not queue two processes that make the file at once."""
    deadline = time.monotonic() + wait
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL: the reply is on the disk, not only in its cache, before its actions change the world.
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema up to date, once, however many processes open the file."""
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        applied = _version(connection)
        if applied > len(MIGRATIONS):
            raise StoreError(f"{path} was written by a newer autoagent (schema {applied}): upgrade autoagent")
        for number, statements in enumerate(MIGRATIONS[applied:], start=applied + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _explain(error: sqlite3.Error, path: Path, wait: float) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{path} is locked by another program for over {wait:g} s: end it, or wait, and try again"
    if name.startswith("SQLITE_FULL"):
        return f"{path} cannot grow: the disk is full; free some space and try again"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        advice = (
            "`autoagent runs check --repair` saves what can be read, `autoagent restore` brings a backup back"
        )
        return f"{path} is damaged ({error}): {advice}"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        advice = "make it writable, or choose another place with AUTOAGENT_HOME"
        return f"{path} cannot be written ({error}): {advice}"
    if name.startswith("SQLITE_IOERR"):
        return f"{path} cannot be read or written ({error}): check the disk, its space and its quota"
    return f"{path}: {error}"
