"""The record when things go wrong: killed processes, several writers, locks, damage, a full disk."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autoagent.errors import StoreError
from autoagent.store import RunRecord, Store
from autoagent.trajectory import Message, Observation, Reply, Step, TokenTrace, ToolCall


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / ".autoagent")
    yield store
    store.close()


def begin(store: Store, goal: str = "count the lines") -> RunRecord:
    return store.begin(goal, model="v1", seed=7, check="", workspace=store.home.parent)


def a_step(index: int, *, tokens: int = 40) -> Step:
    call = ToolCall(name="read_file", arguments={"path": f"a{index}.txt"})
    ids = tuple(range(index, index + tokens))
    trace = TokenTrace(prompt_ids=ids, completion_ids=ids, origins="s" * tokens, logprobs=(-0.5,) * tokens)
    seen = Observation(call=call, content="zwölf")
    return Step(
        index=index, reply=Reply(text="(1)", calls=(call,), trace=trace), observations=(seen,), seconds=1
    )


def write(record: RunRecord, step: Step) -> None:
    """As the loop does it: the reply, then each observation, then the whole step."""
    record.replied(step.index, step.reply)
    for number, seen in enumerate(step.observations):
        record.observed(step.index, number, seen)
    record.stepped(step)


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from store_steps import a_step, begin, write
from autoagent.store import Store
record = begin(Store(Path(sys.argv[1])), sys.argv[2])
print(record.run_id, flush=True)
for index in range(int(sys.argv[4])):
    write(record, a_step(index))
    print(index, flush=True)
record.ended("finished", None, 1.0)
"""


def child(home: Path, name: str, steps: int) -> subprocess.Popen[str]:
    """Another process that records steps and says which ones were acknowledged."""
    helpers = home.parent / "helpers"
    helpers.mkdir(exist_ok=True)
    (helpers / "store_steps.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(home), name, str(helpers), str(steps)],
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def test_a_killed_process_loses_no_acknowledged_step(tmp_path: Path) -> None:
    home = tmp_path / ".autoagent"
    process = child(home, "doomed", 100_000)
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    acknowledged = [int(process.stdout.readline()) for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in process.stdout.read().splitlines() if line.strip()]
    process.wait()
    process.stdout.close()

    store = Store(home)
    run = store.load(run_id)
    steps = {step.index: step for step in run.steps}
    assert acknowledged == list(range(len(acknowledged)))
    assert all(steps[index] == a_step(index) for index in acknowledged)
    assert len(steps) - len(acknowledged) <= 1  # the one it was killed in or before telling
    assert run.ending is None
    assert store.find(run_id).state == "unfinished"
    write(begin(store), a_step(0))  # the record goes on
    store.close()


def test_processes_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    home = tmp_path / ".autoagent"
    children = [child(home, f"writer {number}", 60) for number in range(2)]
    for process in children:
        process.communicate()
        assert process.returncode == 0
    store = Store(home)
    runs = store.runs(ending="finished")
    assert {run.goal for run in runs} == {"writer 0", "writer 1"}
    assert all(store.load(run.run_id).steps == tuple(a_step(index) for index in range(60)) for run in runs)
    store.close()


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_threads_share_one_store(store: Store) -> None:
    begin(store, "before")  # the file is open when the threads start
    together = threading.Barrier(6)

    def work(number: int) -> None:
        together.wait()
        record = begin(store, f"thread {number}")
        for index in range(10):
            write(record, a_step(index))
        record.ended("finished", None, 1.0)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs = store.runs(ending="finished")
    assert len({run.goal for run in runs}) == 6
    assert all(store.load(run.run_id).steps == tuple(a_step(index) for index in range(10)) for run in runs)


def test_a_forked_child_writes_with_a_connection_of_its_own(store: Store) -> None:
    record = begin(store, "parent")
    if (pid := os.fork()) == 0:
        status = 1
        try:
            write(begin(store, "child"), a_step(0))
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    write(record, a_step(0))
    assert {run.goal: run.steps for run in store.runs()} == {"parent": 1, "child": 1}


def test_a_locked_record_says_so(store: Store) -> None:
    begin(store)
    impatient = Store(store.home, wait=0.05)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="is locked by another program"):
        begin(impatient)
    assert len(impatient.runs()) == 1  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    begin(impatient)
    impatient.close()


def test_ctrl_c_while_another_program_writes_is_an_ending_that_is_on_record(
    store: Store, request: pytest.FixtureRequest
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored if begun in the background
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    record = begin(store)
    other = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        other.execute("ROLLBACK")

    def write() -> None:
        after.start()
        record.planned(["count"])

    after = threading.Timer(0.3, interrupt)
    with pytest.raises(KeyboardInterrupt):  # the wait for the other goes on, and is over when it is raised
        write()
    after.join()
    record.ended("interrupted", None, 1.0)
    other.close()
    assert store.find(record.run_id).ending == "interrupted"


def test_a_damaged_record_says_so_and_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / ".autoagent" / "runs.db"
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="is damaged") as failure:
        Store(path.parent).runs()
    assert "\n" not in str(failure.value)
    assert path.read_bytes() == b"not a database" * 1000


def test_a_record_of_a_newer_program_is_not_touched(store: Store) -> None:
    begin(store)
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer autoagent"):
        store.runs()


def test_a_home_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "folder" / "runs.db").mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be written"):
        begin_in(tmp_path / "file" / ".autoagent", tmp_path)
    with pytest.raises(StoreError, match="cannot be written"):
        begin_in(tmp_path / "folder", tmp_path)


def begin_in(home: Path, workspace: Path) -> RunRecord:
    return Store(home).begin("g", model="v", seed=0, check="", workspace=workspace)


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_steps import a_step, begin, write
from autoagent.errors import StoreError
from autoagent.store import Store
store = Store(Path(sys.argv[1]))
record = begin(store)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
done = 0
try:
    while True:
        write(record, a_step(done, tokens=400))
        done += 1
except StoreError as error:
    print(done, error)
"""


def test_when_the_disk_gives_no_more_what_was_acknowledged_stays(tmp_path: Path) -> None:
    home = tmp_path / ".autoagent"
    (tmp_path / "store_steps.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(home), str(tmp_path)], capture_output=True, text=True, check=True
    )
    count, message = done.stdout.strip().split(" ", 1)
    assert "\n" not in message
    assert "check the disk" in message or "disk is full" in message
    store = Store(home)
    steps = store.load("last").steps
    assert [step for step in steps if step.index < int(count)] == [
        a_step(index, tokens=400) for index in range(int(count))
    ]
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE steps SET kind = 'odd'",
        "UPDATE steps SET recalled = 'no json'",
        "UPDATE steps SET completion_ids = x'00'",
        "UPDATE observations SET permission = '{}'",
        "UPDATE observations SET arguments = '[1]'",
        "UPDATE runs SET settings = '['",
        "UPDATE messages SET calls = '[1]'",
        "UPDATE messages SET role = 'nobody'",
    ],
)
def test_damaged_rows_are_one_line_that_names_the_run(store: Store, damage: str) -> None:
    record = begin(store)
    record.opened([Message(role="user", content="g")], [])
    write(record, a_step(0))
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(StoreError, match=f"the record of run {record.run_id} .* is damaged") as problem:
        store.messages("last")
    assert "\n" not in str(problem.value)
    assert len(store.runs()) == 1  # it is still listed


def test_a_damaged_line_of_the_list_names_its_run(store: Store) -> None:
    record = begin(store)
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET tags = 'no json'")
    connection.close()
    with pytest.raises(StoreError, match=f"run {record.run_id} .* is damaged"):
        store.runs()
