"""Versions are immutable, the pointer moves atomically, and a rollback restores what was there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autoagent.errors import ModelError, StoreError
from autoagent.models.fingerprint import fingerprint
from autoagent.models.lineage import ancestors, descendants, lineage
from autoagent.models.versions import Versions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files as a model folder has them; versions look at bytes only."""
    folder = tmp_path / "trained"
    folder.mkdir()
    for name, content in {"config.json": "{}", "tokenizer.json": "{}", "chat_template.jinja": "hi"}.items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"\0" * 64)
    (folder / "optimizer.pt").write_bytes(b"not part of a version")
    return folder


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "home")


def _train(folder: Path, step: int) -> Path:
    (folder / "model.safetensors").write_bytes(bytes([step]) * 64)
    return folder


def test_a_version_is_a_whole_named_hashed_copy(versions: Versions, folder: Path) -> None:
    made = versions.add(folder, method="sft", note="first", data={"runs": 3}, prompts="abc")
    assert made.name == f"v1-{made.hash[:8]}"
    assert made == versions.get(made.name) == versions.verify(made.name)
    assert made.hash == fingerprint(versions.path(made.name), prompts="abc")
    assert not (versions.path(made.name) / "optimizer.pt").exists()
    assert versions.add(_train(folder, 2), parent=made.name).name.startswith("v2-")
    assert [version.note for version in versions.list()] == ["first", ""]


def test_the_pointer_moves_and_goes_back_bit_exactly(versions: Versions, folder: Path) -> None:
    first, second = (versions.add(_train(folder, step)).name for step in (1, 2))
    assert versions.current() == "embedded"
    versions.use(first)
    pointer = (versions.folder / "current").read_bytes()
    files = {path.name: path.read_bytes() for path in versions.path(first).iterdir()}
    versions.use(second)
    assert versions.resolve(None) == versions.path(second)
    assert versions.rollback() == first
    assert (versions.folder / "current").read_bytes() == pointer
    assert {path.name: path.read_bytes() for path in versions.path(first).iterdir()} == files
    assert versions.rollback() == "embedded"
    assert not (versions.folder / "current").exists()
    with pytest.raises(ModelError, match="nothing to roll back to"):
        versions.rollback()


def test_changed_files_are_noticed_and_not_used(versions: Versions, folder: Path) -> None:
    name = versions.add(folder).name
    weights = versions.path(name) / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"\1" * 64)
    for refused in (versions.verify, versions.use):
        with pytest.raises(ModelError, match="have changed"):
            refused(name)
    assert versions.current() == "embedded"


def test_the_gates_finding_is_written_down_beside_the_hash(versions: Versions, folder: Path) -> None:
    made = versions.add(folder)
    judged = versions.judge(made.name, promoted=True, gate={"old": 0.5, "new": 0.7})
    assert (judged.promoted, judged.gate, judged.hash) == (True, {"old": 0.5, "new": 0.7}, made.hash)
    assert versions.verify(made.name) == judged


def test_what_a_name_resolves_to(versions: Versions, folder: Path) -> None:
    name = versions.add(folder).name
    assert versions.resolve(name) == versions.path(name)
    assert versions.resolve(str(folder)) == folder
    assert versions.resolve("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"
    with pytest.raises(ModelError, match="no model version 'v9-00000000'"):
        versions.resolve("v9-00000000")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_without_a_model_makes_no_version(versions: Versions, folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=r"is no model folder|no weights in"):
        versions.add(folder)
    assert versions.list() == ()


def test_a_home_that_cannot_be_written_gets_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot write in"):
        Versions(tmp_path / "file").add(folder)


def test_versions_need_no_torch() -> None:
    code = "import sys, autoagent.models.versions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- files beside the weights


def test_what_tells_about_a_version_lies_beside_it_and_does_not_change_its_hash(
    versions: Versions, folder: Path
) -> None:
    plain = versions.add(folder)
    (folder / "picture").write_bytes(b"png")
    made = versions.add(folder, beside={"curves.png": folder / "picture", "datasheet.json": "{}"})
    assert made.hash == plain.hash
    versions.judge(made.name, promoted=False, gate={}, beside={"gate.html": "<p>refused</p>"})
    versions.attach(made.name, {"curves.png": b"another"})
    assert [path.name for path in versions.beside(made.name)] == ["curves.png", "datasheet.json", "gate.html"]
    assert (versions.path(made.name) / "curves.png").read_bytes() == b"another"
    assert versions.verify(made.name).gate == {}


@pytest.mark.parametrize("name", ["model.safetensors", "version.json", "../escape", ".hidden", "config.json"])
def test_no_file_beside_the_weights_may_shape_them(versions: Versions, folder: Path, name: str) -> None:
    made = versions.add(folder)
    with pytest.raises(ValueError, match="is no name for a file beside"):
        versions.attach(made.name, {name: b""})
    with pytest.raises(ValueError, match="is no name for a file beside"):
        versions.add(folder, beside={name: b""})
    assert versions.list() == (made,)


# --- what is wrong, in words


def _open(path: Path) -> Path:
    path.chmod(0o644)
    return path


def test_a_missing_a_shorter_and_a_new_file_are_named(versions: Versions, folder: Path) -> None:
    name = versions.add(folder).name
    place = versions.path(name)
    (place / "added_tokens.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match=r"have changed since it was made \(added_tokens\.json was added\)"):
        versions.verify(name)
    (place / "added_tokens.json").unlink()
    _open(place / "model.safetensors").write_bytes(b"\0" * 12)
    with pytest.raises(ModelError, match=r"model\.safetensors has 12 bytes, not 64"):
        versions.verify(name)
    (place / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"is not whole: model\.safetensors is missing in"):
        versions.use(name)
    assert versions.current() == "embedded"


def test_a_name_that_is_nearly_right_is_guessed(versions: Versions, folder: Path) -> None:
    name = versions.add(folder).name
    for wrong in ("v1", name[:-1] + "x", "embeded"):
        with pytest.raises(ModelError, match=f"did you mean {'embedded' if wrong == 'embeded' else name}"):
            versions.get(wrong)
    with pytest.raises(ModelError, match="did you mean embedded"):
        versions.resolve("embeded")


# --- removing


def _line(versions: Versions, folder: Path, length: int) -> list[str]:
    """Versions that were trained one from the other."""
    names = ["embedded"]
    for step in range(length):
        names.append(versions.add(_train(folder, step), parent=names[-1], note=str(step)).name)
    return names[1:]


def test_a_removed_version_is_gone_from_the_history_and_frees_its_bytes(
    versions: Versions, folder: Path
) -> None:
    first, second, third = (versions.add(_train(folder, step)).name for step in range(3))
    for name in (first, second, first, third):
        versions.use(name)
    with pytest.raises(ModelError, match="is in use"):
        versions.remove(third)
    size = sum(path.stat().st_size for path in versions.path(first).iterdir())
    assert versions.remove(first) == size
    assert [version.name for version in versions.list()] == [second, third]
    with pytest.raises(ModelError, match="no model version"):
        versions.get(first)
    assert [versions.rollback(), versions.rollback()] == [second, "embedded"]


def test_a_parent_is_removed_by_force_only_and_its_line_stays_known(versions: Versions, folder: Path) -> None:
    first, second, third = _line(versions, folder, 3)
    with pytest.raises(ModelError, match=f"is the parent of {second}"):
        versions.remove(first)
    versions.remove(second, force=True)
    versions.remove(first, force=True)  # the parent of one that is gone
    assert [version.name for version in versions.list()] == [third]
    assert [each.note for each in ancestors(versions, third)] == ["1", "0"]
    assert lineage(versions, third) == (third, second, first, "embedded")
    assert descendants(versions, first) == (third,)
    with pytest.raises(ModelError, match=f"{first} was removed"):
        versions.use(first)


def test_a_damaged_version_can_be_removed(versions: Versions, folder: Path) -> None:
    name = versions.add(folder).name
    _open(versions.path(name) / "version.json").write_bytes(b"{")
    versions.remove(name)
    assert (versions.list(), versions.damaged()) == ((), {})


# --- kills

_KILLED = """
import os, shutil, sys
from pathlib import Path
from autoagent.models.versions import Versions

whole, action = Path(sys.argv[1]), sys.argv[2]
events = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}
names = [version.name for version in Versions(whole).list()]
do = {
    "use": lambda versions: versions.use(names[1]),
    "rollback": lambda versions: versions.rollback(),
    "remove": lambda versions: versions.remove(names[2]),
}[action]
for moment in range(1000):
    home = whole.with_name(f"home-{moment}")
    shutil.copytree(whole, home)
    versions, left = Versions(home), moment
    def count(event, arguments):
        global left
        if event in events:
            left -= 1
            if left < 0:
                os._exit(9)
    child = os.fork()
    if child == 0:
        sys.addaudithook(count)
        do(versions)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    old, new = {"use": names[:2], "rollback": names[1::-1], "remove": (names[0],) * 2}[action]
    now = versions.current()
    assert now == new if code == 0 else now in (old, new), now
    for version in versions.list():
        versions.verify(version.name)
    if code == 0:
        break
print(moment)
"""


@pytest.mark.parametrize("action", ["use", "rollback", "remove"])
def test_killed_at_any_moment_the_pointer_is_the_old_or_the_new_one(
    versions: Versions, folder: Path, action: str
) -> None:
    first, second, _ = (versions.add(_train(folder, step)).name for step in range(3))
    versions.use(first)
    if action == "rollback":
        versions.use(second)
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(versions.folder.parent), action],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5  # moments at which it was killed


def test_what_a_killed_process_left_is_cleared_away(versions: Versions, folder: Path) -> None:
    name = versions.add(folder).name
    for left in (".draft-x", ".gone-v9-00000000"):
        (versions.folder / left).mkdir()
        (versions.folder / left / "model.safetensors").write_bytes(b"\0")
    versions.add(_train(folder, 3))
    assert sorted(path.name for path in versions.folder.iterdir() if path.is_dir())[0] == name
