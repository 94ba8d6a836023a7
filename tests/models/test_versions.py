"""Versions are immutable, the pointer moves atomically, and a rollback restores what was there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autoagent.errors import ModelError, StoreError
from autoagent.models.fingerprint import fingerprint
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
    with pytest.raises(ModelError, match="is no model folder"):
        versions.add(folder)
    assert versions.list() == ()


def test_a_home_that_cannot_be_written_gets_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot write in"):
        Versions(tmp_path / "file").add(folder)


def test_versions_need_no_torch() -> None:
    code = "import sys, autoagent.models.versions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
