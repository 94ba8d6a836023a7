"""A model or version that cannot be used: found out before the run, told in one line, the others unharmed."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autoagent.cli import Exit, main
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions
from autoagent.store import Store

from .conftest import Cli, Outcome, assert_one_line

RUN = ("run", "-g", "What is 6 * 7?")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """A copy that may be harmed."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.fixture
def load(home: Path, workspace: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a goal with a model that is really loaded."""

    def load(model: Path | str, *more: str) -> Outcome:
        capsys.readouterr()
        code = main(["--home", str(home), *RUN, "-w", str(workspace), "-m", str(model), *more])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return load


def put(name: str, content: bytes | str) -> Callable[[Path], object]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(data)


def drop(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def halve(name: str) -> Callable[[Path], object]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def other_shapes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 32}), encoding="utf-8")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (halve("model.safetensors"), "model.safetensors is damaged or no safetensors file"),
        (put("model.safetensors", bytes(range(256)) * 99), "copy or download it again"),
        (put("model.safetensors", b""), "copy or download it again"),
        (put("model.safetensors", pickle.dumps({"a": 1})), "copy or download it again"),
        (only_a_pickle, "is a pickle, which can run any program"),
        (other_shapes, "do not fit its config.json"),
        (drop("config.json"), "config.json is missing"),
        (put("config.json", "[1]"), "it must be a JSON object"),
        (put("config.json", b"\xff\xfe"), "config.json is not valid JSON"),
        (put("config.json", '{"model_type": "zzz"}'), "cannot be loaded"),
        (drop("tokenizer.json"), "tokenizer.json is missing"),
        (halve("tokenizer.json"), "no tokenizer can be loaded"),
        (drop("chat_template.jinja"), "no chat template; add chat_template.jinja"),
        (put("chat_template.jinja", "{% if %}"), "chat template refuses"),
        (put("chat_template.jinja", "{{ nobody() }}"), "chat template refuses"),
        (put("chat_template.jinja", "hello"), "leaves out what the user says"),
    ],
)
def test_a_model_folder_that_is_harmed_is_found_out_before_the_run(
    load: Callable[..., Outcome], model: Path, home: Path, harm: Callable[[Path], object], words: str
) -> None:
    harm(model)
    assert_one_line(load(model), Exit.USAGE, words)
    assert Store(home).runs() == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../nothing", "no model folder at ../nothing"),
        ("nothing", "there is no model nothing"),
        ("some/nothing", "there is no model some/nothing"),
        ("~nobody-here/model", "no such user"),
        ("", "the model's name is empty"),
    ],
)
def test_a_model_that_is_nowhere_is_one_line(load: Callable[..., Outcome], name: str, words: str) -> None:
    assert_one_line(load(name), Exit.USAGE, words)


def test_weights_that_compute_nothing_are_told_and_the_run_is_on_record(
    load: Callable[..., Outcome], model: Path, home: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(model / "model.safetensors")
    spoiled = {name: value * float("nan") for name, value in weights.items()}
    save_file(spoiled, model / "model.safetensors", metadata={"format": "pt"})
    assert_one_line(load(model, "-q"), Exit.USAGE, "its weights are damaged")
    assert Store(home).load("last").ending == "error"


def test_a_goal_longer_than_the_window_ends_at_once_and_says_why(
    load: Callable[..., Outcome], tiny: Path
) -> None:
    began = time.monotonic()
    done = load(tiny, "-g", "x" * 100_000, "-q", "--output-format", "json")
    assert time.monotonic() - began < 10
    assert (done.code, done.json["ending"]) == (Exit.BUDGET, "max_tokens")
    assert "shorten the goal" in done.err
    assert done.err.count("\n") == 1


# --- versions


@pytest.fixture
def version(home: Path, tmp_path: Path) -> str:
    """A version in use, of files that nobody loads."""
    folder = tmp_path / "made"
    folder.mkdir()
    put("config.json", "{}")(folder)
    put("model.safetensors", b"weights")(folder)
    name = Versions(home).add(folder, method="sft").name
    Versions(home).use(name)
    return name


@pytest.mark.parametrize("manifest", [None, b"{", b"\xff"])
def test_a_damaged_version_is_listed_and_does_not_hide_the_others(
    cli: Cli, home: Path, version: str, tmp_path: Path, manifest: bytes | None
) -> None:
    file = home / "models" / version / "version.json"
    file.unlink()
    if manifest is not None:
        file.write_bytes(manifest)
    second = Versions(home).add(tmp_path / "made", note="the second").name
    assert second.startswith("v2-")
    listed = cli("models", "list")
    assert listed.code == 0
    assert re.search(rf"→ {version} +damaged: ", listed.out)
    assert "the second" in listed.out
    assert list(cli("models", "list", "--json").json["damaged"]) == [version]
    assert cli("models", "use", "embedded").code == 0
    assert_one_line(cli("models", "rollback"), Exit.USAGE, "missing or damaged")


@pytest.mark.parametrize("pointer", [b"", b"\xff\xfe", b"../../etc\n"])
def test_a_damaged_pointer_is_told_and_can_be_set_anew(
    cli: Cli, load: Callable[..., Outcome], home: Path, version: str, pointer: bytes
) -> None:
    (home / "models" / "current").write_bytes(pointer)
    assert_one_line(load("current"), Exit.USAGE, "choose one with `autoagent models use`")
    assert version in cli("models", "list").out
    assert cli("models", "list", "--json").json["current"] is None
    assert cli("models", "use", version).code == 0
    assert cli("models", "rollback").out == f"now in use: embedded (before: {version})\n"


def test_a_damaged_history_keeps_what_it_can(cli: Cli, home: Path, version: str) -> None:
    (home / "models" / "history").write_bytes(b"embedded\n\xff\n")
    assert cli("models", "rollback").out.startswith("now in use: embedded")


def test_a_version_whose_files_changed_is_not_run(
    load: Callable[..., Outcome], home: Path, version: str
) -> None:
    weights = home / "models" / version / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"others")
    assert_one_line(load("current"), Exit.USAGE, "have changed since it was made")


@pytest.mark.parametrize("command", [("use", "nothing"), ("rollback",), ("info", "nothing"), ("verify", "x")])
def test_a_version_that_is_not_there_is_one_line(cli: Cli, command: tuple[str, ...]) -> None:
    assert_one_line(cli("models", *command), Exit.USAGE)
