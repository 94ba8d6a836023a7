"""``autoagent models`` and ``runs forget`` as a user types them, on versions that really are on the disk."""

from __future__ import annotations

import json
import re
import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoagent.cli import Exit
from autoagent.cli.commands import load
from autoagent.cli.finetune import FinetuneOptions, Judge
from autoagent.cli.recipe import SETTINGS, typed
from autoagent.cli.training_options import Method, ReplayLoss
from autoagent.config import Limits
from autoagent.models.difference import flat
from autoagent.models.load import load_model
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions
from autoagent.store import Store
from autoagent.training.finetune import FinetuneConfig
from autoagent.training.moments import moment

from .conftest import Cli, assert_one_line

GATE = {
    "suite": "builtin",
    "reason": "refused: +1.0% may be chance",
    "old": {"success": 0.5},
    "new": {"success": 0.51},
    "comparison": {"difference": 0.01, "p": 0.7},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two real models of random weights."""
    place = tmp_path_factory.mktemp("tiny")
    return write_tiny_model(place / "a"), write_tiny_model(place / "b", seed=1)


@pytest.fixture
def versions(home: Path) -> Versions:
    return Versions(home)


@pytest.fixture
def line(versions: Versions, tiny: tuple[Path, Path]) -> tuple[str, str]:
    """A version and its child."""
    first = versions.add(tiny[0], parent="embedded", method="sft", data=learned_from("r00000000001")).name
    data = learned_from("r00000000002", "r00000000003", epochs=20)
    return first, versions.add(tiny[1], parent=first, method="sft", data=data).name


def learned_from(*runs: str, epochs: int = 12) -> dict[str, Any]:
    sheet = {"runs": list(runs), "goals": ["a"], "tokens": 9120}
    return {"sheet": sheet, "config": {"epochs": epochs, "seed": 4, "gate": {"tasks": 50}}}


def judged_run(cli: Cli) -> str:
    done = cli("run", "-g", "What is 6 * 7?", "--expect", "42", "--output-format", "json")
    return str(done.json["run_id"])


# --- list, info, use


def test_the_list_tells_the_gate_and_removed_parents(
    cli: Cli, versions: Versions, line: tuple[str, str]
) -> None:
    versions.judge(line[1], promoted=False, gate=GATE, beside={"gate.html": "<p>"})
    assert f"from {line[0]} · refused by the gate · +1.0 points" in cli("models", "list").out
    versions.judge(line[1], promoted=False, gate={**GATE, "promoted": True})  # another was chosen meanwhile
    assert "· passed the gate, but overtaken ·" in cli("models", "list").out
    versions.remove(line[0], force=True)
    assert f"from {line[0]} (removed)" in cli("models", "list").out
    (told,) = cli("models", "list", "--json").json["versions"]
    assert (told["removed_parent"], told["forgotten"]) == (True, [])


def test_info_tells_lineage_data_gate_and_what_lies_beside(
    cli: Cli, versions: Versions, line: tuple[str, str]
) -> None:
    versions.judge(line[1], promoted=False, gate=GATE, beside={"gate.html": "<p>"})
    told = dict(row.split("  ", 1) for row in cli("models", "info", line[1]).out.splitlines())
    told = {key: value.strip() for key, value in told.items()}
    assert told["lineage"] == f"{line[1]} ← {line[0]} ← embedded"
    assert told["learned from"] == "2 runs, 1 goal, 9,120 tokens"
    assert told["settings"] == "--epochs 20 --seed 4 --gate-tasks 50"
    assert told["gate"] == "refused: +1.0% may be chance"
    assert told["beside"] == "gate.html"
    assert dict(cli("models", "info", line[0], "--json").json)["descendants"] == [line[1]]


def test_using_what_did_not_come_through_the_gate_is_said(cli: Cli, line: tuple[str, str]) -> None:
    done = cli("models", "use", line[0])
    assert done.out == f"now in use: {line[0]} (before: embedded)\n"
    assert done.err == f"note: {line[0]} did not come through the gate\n"


@pytest.mark.parametrize("command", ["use", "info", "diff", "merge", "verify", "rm"])
def test_a_version_that_is_nearly_named_is_guessed(cli: Cli, line: tuple[str, str], command: str) -> None:
    misspelt = f"{line[1][:-1]}{'0' if line[1][-1] != '0' else '1'}"
    done = cli("models", command, misspelt, *(["--yes"] if command == "rm" else []))
    assert_one_line(done, Exit.USAGE, f"did you mean {line[1]}?")


def test_the_hash_of_a_model_is_the_one_its_runs_are_recorded_with(cli: Cli, home: Path) -> None:
    for name in ("embedded", "current"):
        assert cli("models", "info", name, "--json").json["hash"] == load_model("embedded", home).version


def test_the_beginning_of_a_name_that_fits_one_version_will_do(cli: Cli, line: tuple[str, str]) -> None:
    assert cli("models", "info", "v2", "--json").json["name"] == line[1]
    assert cli("models", "verify", line[0][:5]).out.startswith(f"{line[0]}: unchanged")
    assert cli("models", "diff", "v2", "v1", "--json").json["to"] == line[0]
    assert cli("models", "use", "v1").out.startswith(f"now in use: {line[0]} ")
    assert cli("models", "rm", "v2", "--yes").out.startswith(f"removed {line[1]}:")
    assert_one_line(cli("models", "info", "v"), Exit.USAGE, "there is no model v")


def test_all_versions_are_verified_and_what_is_wrong_is_told_of_each(
    cli: Cli, versions: Versions, line: tuple[str, str]
) -> None:
    (versions.path(line[0]) / "tokenizer.json").unlink()
    done = cli("models", "verify")
    assert (done.code, done.out.split(":")[0]) == (Exit.ERROR, line[1])
    assert f"{line[0]} is not whole: tokenizer.json is missing" in done.err
    assert_one_line(cli("models", "verify", line[0]), Exit.USAGE, "tokenizer.json is missing")


# --- diff


def test_a_version_is_compared_with_its_parent(cli: Cli, versions: Versions, line: tuple[str, str]) -> None:
    versions.judge(line[1], promoted=False, gate=GATE)
    rows = cli("models", "diff", line[1]).out.splitlines()
    assert rows[:2] == [f"from {line[0]} to {line[1]}", f"lineage   {line[1]} ← {line[0]} ← embedded"]
    assert "data      +2, −0 runs" in rows
    assert "          + r00000000002" in rows
    assert "setting   epochs: 12 → 20" in rows
    first = cli("models", "diff", line[0], "embedded").out.splitlines()  # which was not trained here
    assert [row for row in first if row.startswith("setting")] == [
        f"settings  of {line[0]}: --seed 4 --gate-tasks 50"
    ]
    assert "gate      difference: – → 0.01" in rows
    assert [row.split()[1] for row in rows if row.startswith("weights")] == [
        "embeddings",
        "layer",
        "layer",
        "norms",
    ]


def test_two_versions_are_compared_as_json(cli: Cli, line: tuple[str, str]) -> None:
    told = cli("models", "diff", line[1], line[0], "--json").json
    assert (told["from"], told["to"], told["common"]) == (line[1], line[0], line[0])
    assert told["runs_removed"] == ["r00000000002", "r00000000003"]
    assert told["settings"] == {"epochs": [20, 12]}
    assert all(each["share"] > 0.5 for each in told["weights"] if each["group"] != "norms")
    same = cli("models", "diff", line[0], line[0]).out
    assert "weights   the same\n" in same


# --- export, merge, rm


def test_a_version_is_exported(cli: Cli, line: tuple[str, str], workspace: Path) -> None:
    done = cli("models", "export", line[0], "out")
    assert done.out.startswith(f"{line[0]} is in {workspace / 'out'}: ")
    assert (
        json.loads((workspace / "out" / "config.json").read_text(encoding="utf-8"))["model_type"] == "qwen3"
    )
    assert_one_line(cli("models", "export", line[0], "out"), Exit.USAGE, "is there already")
    (workspace / "file").write_text("", encoding="utf-8")
    assert_one_line(cli("models", "export", line[0], "file/out"), Exit.ERROR, "cannot be written to")


CONVERTER = """#!/bin/sh
test -f "$1/config.json" || exit 3
test -z "$BROKEN" || { echo "INFO loading" >&2; echo "NotImplementedError: BPE is not known" >&2; exit 1; }
test "$2" = --outfile && echo GGUF > "$3"
"""


def test_a_gguf_file_is_made_by_the_converter_on_the_path(
    cli: Cli, line: tuple[str, str], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = workspace / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    done = cli("models", "export", line[0], "plain", "--gguf")
    assert done.code == Exit.USAGE
    assert "get llama.cpp" in done.err
    assert f"convert_hf_to_gguf.py {workspace / 'plain'} --outfile" in done.err
    (tools / "convert_hf_to_gguf.py").write_text(CONVERTER, encoding="utf-8")
    (tools / "convert_hf_to_gguf.py").chmod(stat.S_IRWXU)
    assert cli("models", "export", line[0], "out", "--gguf").code == Exit.OK
    assert (workspace / "out" / f"{line[0]}.gguf").read_text(encoding="utf-8") == "GGUF\n"
    monkeypatch.setenv("BROKEN", "1")
    done = cli("models", "export", line[0], "broken", "--gguf")
    assert done.code == Exit.USAGE
    assert "NotImplementedError: BPE is not known" in done.err


def test_a_whole_version_has_nothing_to_merge(cli: Cli, line: tuple[str, str]) -> None:
    assert_one_line(cli("models", "merge", line[0]), Exit.USAGE, "is whole already")


def test_versions_are_removed_when_nobody_needs_them(
    cli: Cli, versions: Versions, line: tuple[str, str]
) -> None:
    first, second = line
    cli("models", "use", second)
    assert_one_line(cli("models", "rm", second, "-y"), Exit.USAGE, "is in use: choose another version first")
    cli("models", "rollback")
    assert_one_line(cli("models", "rm", first, "-y"), Exit.USAGE, f"is the parent of {second}: with --force")
    assert_one_line(cli("models", "rm", "embedded", "-y"), Exit.USAGE, "is part of autoagent")
    done = cli("models", "rm", second)  # there is nobody to ask
    assert_one_line(done, Exit.USAGE, f"Remove {second} for good? There is no terminal to ask on: say --yes")
    assert len(versions.list()) == 2
    done = cli("models", "rm", first, second, "--yes")
    assert [row.split(":")[0] for row in done.out.splitlines()] == [f"removed {second}", f"removed {first}"]
    assert " MB are free again" in done.out
    assert versions.list() == ()


def test_a_full_disk_leaves_no_half_version_and_the_pointer_as_it_was(
    cli: Cli, versions: Versions, tiny: tuple[Path, Path], home: Path, small_disk: Callable[[str], None]
) -> None:
    small_disk("size=1200k")
    name = versions.add(tiny[0]).name
    versions.use(name)
    with pytest.raises(Exception, match=r"No space left on device; `autoagent models rm` makes room"):
        versions.add(tiny[1])
    assert [version.name for version in versions.list()] == [name]
    assert not list(versions.folder.glob(".draft-*"))
    assert_one_line(cli("models", "export", name, str(home / "out")), Exit.ERROR, "No space left on device")
    assert not (home / "out").exists()
    subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
    assert_one_line(cli("models", "use", "embedded"), Exit.ERROR, "cannot write in")
    assert_one_line(cli("models", "rm", name, "-y"), Exit.USAGE, "is in use")
    assert cli("models", "list").out.splitlines()[1].startswith(f"→ {name}")


# --- forgetting


def test_forgetting_a_run_marks_versions_and_tells_how_to_go_back_and_make_them_anew(
    cli: Cli, versions: Versions, tiny: tuple[Path, Path], home: Path
) -> None:
    run = judged_run(cli)
    clean = versions.add(tiny[0], parent="embedded", data=learned_from("r00000000001")).name
    marked = versions.add(tiny[1], parent=clean, data=learned_from(run, epochs=3)).name
    cli("models", "use", marked)
    assert "forgotten" not in cli("models", "list").out
    done = cli("runs", "forget", run)
    assert done.out == f"{run} will not be learned from\n"
    rebuild = f"make it anew, without: autoagent finetune --base {clean} --until "
    for told in (done.err, cli("models", "list").err, cli("models", "info").err):
        assert f"{marked} learned from the forgotten run {run}" in told
        assert f"{marked} is in use; back to one without: autoagent models use {clean}" in told
        assert rebuild in told
    assert re_find(f"→ {marked}", cli("models", "list").out).endswith("learned from a forgotten run")
    assert cli("models", "list", "--json").json["versions"][1]["forgotten"] == [run]
    assert "forgotten: it is not learned from" in cli("runs", "show", run).out
    assert list(Store(home).verified()) == []
    assert "learned from the forgotten run" in cli("models", "use", marked).err
    assert cli("runs", "forget", run, "--undo").out == f"{run} may be learned from again\n"
    assert "forgotten" not in cli("models", "list").err
    assert len(list(Store(home).verified())) == 1


def re_find(start: str, text: str) -> str:
    return next(row for row in text.splitlines() if row.startswith(start))


def anew(cli: Cli, run: str) -> dict[str, Any]:
    """The options of the command that makes the version anew, as they are understood."""
    words = shlex.split(re_find("  make it anew", cli("runs", "forget", run).err).partition("without: ")[2])
    assert words[:2] == ["autoagent", "finetune"]
    parsed: dict[str, Any] = load("finetune").make_context("finetune", words[2:]).params
    return parsed


def test_the_command_that_makes_a_version_anew_can_be_typed(
    cli: Cli, versions: Versions, tiny: tuple[Path, Path]
) -> None:
    run = judged_run(cli)
    made = versions.add(tiny[0], parent="own/model", data=learned_from(run, epochs=3))
    parsed = anew(cli, run)
    assert (parsed["base"], parsed["epochs"], parsed["seed"]) == ("own/model", 3, 4)
    assert parsed["lr"] is None  # as it is by default
    assert moment(parsed["until"]).timestamp() == int(made.created)  # later runs were not learned from


def test_the_command_that_makes_a_version_anew_has_its_data_its_weights_and_its_gate(
    cli: Cli, versions: Versions, tiny: tuple[Path, Path]
) -> None:
    run = judged_run(cli)
    config = FinetuneConfig.model_validate(
        {
            "seed": 7,
            "selection": {"suite": "x practice", "tags": ["a", "b c"], "by": "check", "since": "2026-01-01"},
            "outside": ["more chats.jsonl"],
            "data": {"train_forced": True},
            "learning": {
                "method": "dpo",
                "adapter": {"what": "lora", "rank": 8, "merge": False},
                "preference": {"beta": 0.3},
            },
            "elsewhere": False,
            "gate": {"seed": 123, "tasks": 40, "margin": 0.05},
            "named_suite": "own suite.toml",
        }
    )
    data = learned_from(run) | {"config": config.model_dump(mode="json")}
    versions.add(tiny[0], parent="embedded", data=data)
    parsed = anew(cli, run)
    wanted = {
        "suite": "own suite.toml", "seed": 7, "from_suite": "x practice", "judged_by": "check",
        "train_forced": True, "method": "dpo", "weights": "lora", "rank": 8, "beta": 0.3, "margin": 0.05,
        "gate_tasks": 40, "elsewhere": "none", "epochs": None, "elsewhere_tasks": None, "keep_adapter": True,
    }  # fmt: skip
    assert {name: parsed[name] for name in wanted} == wanted
    assert [str(each) for each in (*parsed["tag"], *parsed["data"])] == ["a", "b c", "more chats.jsonl"]
    assert moment(parsed["since"]) == config.selection.since


def test_runs_that_were_named_are_named_again_but_for_the_forgotten(
    cli: Cli, versions: Versions, tiny: tuple[Path, Path]
) -> None:
    run = judged_run(cli)
    data = learned_from(run, "r00000000009")
    data["config"]["selection"] = {"runs": [run[:9], "r00000000009"]}
    versions.add(tiny[0], parent="embedded", data=data)
    parsed = anew(cli, run)
    assert (list(parsed["runs"]), parsed["until"]) == (["r00000000009"], None)


def test_what_is_typed_is_kept_with_a_version_and_can_be_typed_again() -> None:
    chosen: dict[str, Any] = {
        "suite": "s.toml", "judged_by": "user", "train_forced": True, "method": "kto", "beta": 0.2,
        "weights": "lora", "rank": 4, "dropout": 0.1, "epochs": 2, "lr": 1e-4, "batch_tokens": 512,
        "weight_decay": 0.1, "patience": 1, "seed": 3, "gate_tasks": 50, "margin": 0.05, "elsewhere": "none",
        "elsewhere_tasks": 40, "from_suite": "y", "launch": "torchrun --nproc_per_node 2",
        "keep_adapter": True, "max_length": 2000,
    }  # fmt: skip
    several = {"runs": ["r1, r2", "r3"], "tag": ["x", "z"], "made_by": ["v1"], "data": [Path("d.jsonl")]}
    options = FinetuneOptions(
        **chosen | several | {"method": Method(chosen["method"]), "judged_by": Judge(chosen["judged_by"])}
    )
    words = typed(options.config(Limits(), "s.toml").model_dump(mode="json"))
    parsed = load("finetune").make_context("finetune", words).params
    assert {name: parsed[name] for name in chosen} == chosen
    found = {name: [str(each) for each in parsed[name]] for name in several}
    data = [str(Path("d.jsonl").absolute())]  # it is to be found from wherever the command is typed again
    assert found == {"runs": ["r1", "r2", "r3"], "tag": ["x", "z"], "made_by": ["v1"], "data": data}
    imitates = FinetuneOptions(replay=0.2, replay_loss=ReplayLoss.TOKENS).config(Limits(), "s.toml")
    words = ["--suite", "s.toml", "--replay", "0.2", "--replay-loss", "tokens"]
    assert typed(imitates.model_dump(mode="json")) == words


def test_the_defaults_that_the_help_tells_are_those_of_the_settings() -> None:
    usual = dict(flat(FinetuneConfig().model_dump(mode="json")))
    told = {
        option.opts[0]: found[1]
        for option in load("finetune").params
        if (found := re.search(r"By default (full|[\d.]*\d)\.$", option.help or ""))
    }
    assert len(told) > 10
    for name, default in told.items():
        value = usual[SETTINGS[name]]
        assert default == (value if isinstance(value, str) else f"{value:g}"), name


def test_a_run_that_cannot_be_forgotten_is_one_line(cli: Cli, home: Path) -> None:
    assert_one_line(cli("runs", "forget", "zzz"), Exit.USAGE, "there is no run 'zzz'")
    assert not (home / "runs.db").exists()
    run = judged_run(cli)
    assert_one_line(cli("runs", "forget", run, "--undo"), Exit.USAGE, "was not forgotten")


def test_versions_can_be_listed_when_the_record_is_damaged(
    cli: Cli, home: Path, line: tuple[str, str]
) -> None:
    (home / "runs.db").write_bytes(b"not a database" * 1000)
    done = cli("models", "list")
    assert done.code == Exit.OK
    assert line[1] in done.out
    assert "who learned from forgotten runs cannot be told" in done.err
