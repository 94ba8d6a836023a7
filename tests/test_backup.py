"""A backup is whole whatever is written meanwhile; a restore takes nothing on trust and loses nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autoagent.errors import StoreError, UsageError
from autoagent.memory import open_memory
from autoagent.models.versions import Versions
from autoagent.store import Store
from autoagent.store.backup import FORMAT, HEAD, MANIFEST, backup
from autoagent.store.restore import restore
from autoagent.store.upkeep import check
from autoagent.trajectory import Observation, Reply, Step, ToolCall


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project with a run, a file of it put aside, a memory, a model version and settings."""
    home, work = tmp_path / "home", tmp_path / "work"
    work.mkdir()
    (work / "a.txt").write_text("one", encoding="utf-8")
    a_run(home, work)
    (home / "config.toml").write_text("max_steps = 7\n", encoding="utf-8")
    memory = open_memory(home)
    memory.add("the wifi password is 4411")
    memory.close()
    return home


def a_run(home: Path, work: Path) -> str:
    store = Store(home)
    record = store.begin("count", model="m", seed=0, check="", workspace=work)
    record.snapshot(0)
    call = ToolCall(name="read_file")
    seen = Observation(call=call, content="one", kept="0-0.txt")
    record.stepped(Step(index=0, reply=Reply(text="", calls=(call,)), observations=(seen,), seconds=1))
    record.ended("finished", "1", 1.0)
    kept = home / "observations" / record.run_id
    kept.mkdir(parents=True)
    (kept / "0-0.txt").write_text("one" * 1000, encoding="utf-8")
    store.close()
    return record.run_id


def test_everything_comes_back(home: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "tiny" / name).write_text("{}", encoding="utf-8")
    version = Versions(home).add(tmp_path / "tiny", method="test")
    Versions(home).use(version.name)
    archive, other = tmp_path / "all.tar.gz", tmp_path / "other"
    made = backup(home, archive)
    assert (made.runs, made.problem) == (1, "")
    assert archive.stat().st_mode & 0o077 == 0
    done = restore(other, archive)
    assert (done.runs, done.files, done.aside, done.problems) == (1, made.files, None, ())
    theirs, ours = Store(home), Store(other)
    assert ours.load("last") == theirs.load("last")
    run = ours.find("last").run_id
    assert ours.snapshots.read(ours.snapshots_of(run)[0], "a.txt") == b"one"
    assert (other / "observations" / run / "0-0.txt").read_text(encoding="utf-8") == "one" * 1000
    assert (other / "config.toml").read_text(encoding="utf-8") == "max_steps = 7\n"
    assert Versions(other).current() == version.name
    assert Versions(other).verify(version.name) == Versions(home).get(version.name)
    memory = open_memory(other)
    assert memory.recall("wifi pasword")[0].text == "the wifi password is 4411"
    memory.close()
    assert not list(other.glob("aside/*"))
    theirs.close(), ours.close()


def test_a_project_that_is_not_empty_is_kept(home: Path, tmp_path: Path) -> None:
    archive, other, work = tmp_path / "a.tar", tmp_path / "other", tmp_path / "work"
    backup(home, archive)
    theirs = a_run(other, work)
    open_ = Store(other)
    assert open_.load("last").run_id == theirs
    with pytest.raises(UsageError, match=r"is not empty \(runs.db, .*--force"):
        restore(other, archive)
    assert Store(other).load("last").run_id == theirs
    done = restore(other, archive, force=True)
    assert done.aside is not None
    assert Store(done.aside).load("last").run_id == theirs
    assert open_.load("last") == Store(home).load("last")  # who had the old record open sees the new one
    open_.close()


def test_nothing_is_restored_under_a_run_that_is_at_work(home: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    backup(home, archive)
    record = Store(home).begin("go on", model="m", seed=0, check="", workspace=tmp_path)
    with pytest.raises(UsageError, match="being worked on"):
        restore(home, archive, force=True)
    record.close()
    restore(home, archive, force=True)


@pytest.mark.parametrize("name", ["a.zip", "home/a.tar", "there.tar", "no/such/folder/a.tar"])
def test_where_no_archive_can_be_written(home: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "there.tar").write_text("mine", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError) as problem:
        backup(home, tmp_path / name)
    assert "\n" not in str(problem.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there.tar").read_text(encoding="utf-8") == "mine"


def test_a_memory_that_is_held_for_long_is_told(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoagent.memory import lock

    holder = open_memory(home)
    monkeypatch.setattr(lock.held.__wrapped__, "__defaults__", (0.1,))
    with pytest.raises(StoreError, match="in use by another process"):
        backup(home, tmp_path / "a.tar")
    holder.close()
    assert not list(tmp_path.glob("*.tar")) + list(tmp_path.glob(".*part*"))


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from autoagent import Agent
from autoagent.models import ScriptedModel
from autoagent.trajectory import ToolCall
home, work = map(Path, sys.argv[1:3])
number = 0
with Agent(model=ScriptedModel(lambda m, e: script.pop(0)), home=home, workspace=work) as agent:
    while True:
        number += 1
        arguments = {"path": f"f{number % 50}.txt", "content": "x" * number}
        write = ToolCall(name="write_file", arguments=arguments)
        save = ToolCall(name="save_memory", arguments={"text": f"fact number {number}"})
        script = [["go"], write, save, ToolCall(name="finish", arguments={"answer": "done"})]
        result = agent.run(f"goal {number}")
        print(result.trajectory.run_id, flush=True)
"""


def test_a_backup_while_runs_are_written_holds_all_that_was_acknowledged_before(
    home: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    command = [sys.executable, "-c", WRITER, home, work, str(Path(__file__).parents[1])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert process.stdout is not None
    try:
        for number in range(2):
            told = [process.stdout.readline().strip() for _ in range(4)]
            archive, other = tmp_path / f"{number}.tar.gz", tmp_path / f"other{number}"
            backup(home, archive)
            done = restore(other, archive)
            assert done.problems == ()
            store = Store(other)
            runs = {run.run_id: run for run in store.runs()}
            assert all(runs[run].ending == "finished" for run in told)
            for run in runs:
                assert all(step.whole for step in store.load(run).steps[:-1])
            store.close()
            memory = open_memory(other)
            assert memory.recall("fact number")
            memory.close()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not list(check(Store(home)))


# --- archives that are not what they say -----------------------------------------------------------------


def archive_of(path: Path, *members: tuple[str, bytes] | tarfile.TarInfo, listed: object = None) -> Path:
    """An archive with a list of files that fits, unless another is given."""
    files = {name: [len(text), hashlib.sha256(text).hexdigest()] for name, text in plain(members)}
    head = json.dumps({"format": FORMAT, "made": time.time()}).encode()
    tail = json.dumps({"files": files} if listed is None else listed).encode()
    with tarfile.open(path, "w") as tar:
        for each in ((HEAD, head), *members, (MANIFEST, tail)):
            if isinstance(each, tarfile.TarInfo):
                tar.addfile(each)
            else:
                info = tarfile.TarInfo(each[0])
                info.size = len(each[1])
                tar.addfile(info, io.BytesIO(each[1]))
    return path


def plain(members: tuple[object, ...]) -> Iterator[tuple[str, bytes]]:
    return (each for each in members if isinstance(each, tuple))  # type: ignore[misc]


def odd(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "member",
    [
        ("../outside", b"x"),
        ("profiles/../../outside", b"x"),
        ("/tmp/outside", b"x"),
        ("locks/r1", b"x"),
        (".gitignore", b"x"),
        ("profiles//a.toml", b"x"),
        ("./config.toml", b"x"),
        ("profiles/" + "a" * 300, b"x"),
        odd("profiles", tarfile.SYMTYPE, "/etc"),
        odd("config.toml", tarfile.LNKTYPE, "/etc/passwd"),
        odd("prompts", tarfile.FIFOTYPE),
        odd("memory", tarfile.CHRTYPE),
        odd("snapshots", tarfile.DIRTYPE),
    ],
    ids=lambda each: f"{each.name} {each.type!r}" if isinstance(each, tarfile.TarInfo) else str(each),
)
def test_what_has_no_place_in_a_project_is_refused(
    tmp_path: Path, member: tuple[str, bytes] | tarfile.TarInfo
) -> None:
    archive = archive_of(tmp_path / "a.tar", ("config.toml", b"seed = 1\n"), member)
    with pytest.raises(UsageError, match="no whole backup") as problem:
        restore(tmp_path / "below" / "home", archive)
    assert "\n" not in str(problem.value)
    left = [path.name for path in (tmp_path / "below").rglob("*") if path.is_file()]
    assert left == [".gitignore"]
    assert not (tmp_path / "outside").exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30_000])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
@pytest.mark.parametrize("damage", [cut, flip])
def test_an_archive_that_is_cut_or_changed_is_refused(
    home: Path, tmp_path: Path, ending: str, damage: Callable[[Path], None]
) -> None:
    archive = tmp_path / f"a.{ending}"
    backup(home, archive)
    damage(archive)
    with pytest.raises(UsageError, match=r"no whole backup|cannot be read") as problem:
        restore(tmp_path / "other", archive)
    assert "\n" not in str(problem.value)
    assert not (tmp_path / "other" / "runs.db").exists()


def test_an_archive_whose_checksum_is_wrong_is_to_blame_and_not_the_disk(home: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    backup(home, archive)
    content = gzip.decompress(archive.read_bytes())
    half = gzip.compress(content[: len(content) // 2])
    archive.write_bytes(half[:-8] + bytes(8))  # the end: checksum and length
    with pytest.raises(UsageError, match="no whole backup"):
        restore(tmp_path / "other", archive)


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        ({"files": {}}, "config.toml is missing, or not as it was"),
        ({"files": {"config.toml": [9, "0" * 64]}}, "config.toml is missing, or not as it was"),
        ({"files": {"runs.db": [9, "0" * 64]}}, "is missing, or not as it was"),
        ({"files": [1]}, "list of files is damaged"),
        ([], "list of files is damaged"),
        ({"files": {"a": 1}}, "list of files is damaged"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path: Path, listed: object, says: str) -> None:
    archive = archive_of(tmp_path / "a.tar", ("config.toml", b"seed = 1\n"), listed=listed)
    with pytest.raises(UsageError, match=says):
        restore(tmp_path / "home", archive)
    assert not (tmp_path / "home" / "config.toml").exists()


def test_what_is_no_archive_at_all_says_so(tmp_path: Path) -> None:
    text = tmp_path / "a.tar"
    text.write_text("no archive", encoding="utf-8")
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        tar.add(text, "notes.txt")
    for name in ("a.tar", "b.tar"):
        with pytest.raises(UsageError, match="no whole backup"):
            restore(tmp_path / "home", tmp_path / name)
    with pytest.raises(UsageError, match="cannot be read"):
        restore(tmp_path / "home", tmp_path / "none.tar")
