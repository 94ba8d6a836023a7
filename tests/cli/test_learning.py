"""``autoagent eval`` and ``autoagent finetune``, and ``run`` with a model that is really loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoagent.cli import Exit, Parts, main
from autoagent.errors import ToolError
from autoagent.models.tiny import write_tiny_model
from autoagent.models.versions import Versions
from autoagent.prompts import prompt_hash
from autoagent.store import Store
from autoagent.tools import Context
from autoagent.workspace import Workspace

from .conftest import Cli, assert_one_line

SUITE = """
[[task]]
id = "product"
family = "arithmetic"
goal = "What is 6 * 7?"
expected = { answer = "42" }

[[task]]
id = "other"
family = "arithmetic"
goal = "What is 6 * 8?"
expected = { answer = "48" }

[[task]]
id = "third"
family = "files"
goal = "How many files are here?"
expected = { answer = "0" }
"""


@pytest.fixture(autouse=True)
def _suite_file(workspace: Path) -> None:
    (workspace / "suite.toml").write_text(SUITE, encoding="utf-8")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model with random weights."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


def test_a_suite_is_measured_by_family(cli: Cli) -> None:
    report = cli("eval", "suite.toml", "--output-format", "json").json
    assert report["success"] == pytest.approx(1 / 3)
    assert report["low"] < 1 / 3 < report["high"]
    assert (report["families"]["arithmetic"]["passed"], report["families"]["arithmetic"]["n"]) == (1, 2)
    assert report["families"]["files"]["low"] == 0


def test_the_report_reads_well_and_progress_is_not_in_it(cli: Cli) -> None:
    done = cli("eval", "suite.toml")
    assert done.code == 0
    assert "arithmetic" in done.out
    assert "1/3" in done.out
    assert done.err == ""


def test_two_models_are_compared_task_by_task(cli: Cli) -> None:
    done = cli(
        "eval", "suite.toml", "-m", "new", "--baseline", "old", "--seeds", "2", "--output-format", "json"
    )
    assert done.json["comparison"]["difference"] == 0
    assert done.json["baseline"]["success"] == done.json["success"]
    assert done.json["seeds"] == [0, 1]


def test_a_limit_picks_tasks_from_all_of_the_suite(cli: Cli) -> None:
    report = cli("eval", "suite.toml", "--limit", "2", "--output-format", "json").json
    assert [result["task"] for result in report["results"]] == ["product", "other"]
    assert len(cli("eval", "suite.toml", "--limit", "9", "--output-format", "json").json["results"]) == 3


@pytest.mark.parametrize("command", [("eval",), ("finetune", "--suite")])
def test_a_suite_that_is_not_there_is_one_line(cli: Cli, command: tuple[str, ...]) -> None:
    done = cli(*command, "nothing.toml")
    assert done.code == Exit.USAGE
    assert (
        done.err
        == "autoagent: error: there is no suite nothing.toml: name builtin, smoke, a TOML file, or env:NAME\n"
    )


@pytest.mark.parametrize("command", [("finetune", "--suite", "suite.toml"), ("evolve", "suite.toml")])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--weights", "most"), "most: give full, last:N (like last:2), lora or qlora"),
        (("--epochs", "0"), "--epochs"),
        (("--method", "magic"), "--method"),
        (("--rank", "4"), "--rank 4 is of adapters: add --weights lora"),
        (("--method", "dpo", "--replay", "0.2"), "--replay 0.2 is of --method sft: leave it out"),
        (("--method", "kto", "--replay-loss", "kl"), "--replay-loss kl is of --method sft: leave it out"),
        (("--replay-loss", "dark"), "'dark' is not one of 'kl', 'tokens'"),
        (("--replay", "0", "--replay-loss", "kl"), "--replay-loss kl has no effect with --replay 0"),
        (("--beta", "0.2"), "--beta 0.2 is of preferences: add --method dpo or kto"),
        (("--elsewhere", "no.toml"), "there is no suite no.toml: name a TOML file for --elsewhere, or none"),
    ],
)
def test_a_training_that_cannot_be_is_one_line(
    cli: Cli, command: tuple[str, ...], options: tuple[str, ...], words: str
) -> None:
    done = cli(*command, *options)
    assert (done.code, done.err.count("\n")) == (Exit.USAGE, 1)
    assert words in done.err


def test_what_cannot_go_on_being_trained_is_kept_by_finetune_alone(cli: Cli) -> None:
    assert_one_line(
        cli("finetune", "--keep-adapter"), Exit.USAGE, "--keep-adapter is of adapters: add --weights lora"
    )
    assert_one_line(cli("evolve", "builtin", "--keep-adapter"), Exit.USAGE, "No such option: --keep-adapter")


def test_the_suite_of_the_gate_can_be_set_for_good(cli: Cli, home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text('gate_suite = "mine.toml"\n', encoding="utf-8")
    assert_one_line(
        cli("finetune"), Exit.USAGE, f"setting gate_suite: there is no suite {home / 'mine.toml'}"
    )
    service = Parts(chosen_home=home).services["finetune"]
    assert service.preview().startswith("this will fail: setting gate_suite: there is no suite")
    with pytest.raises(ToolError, match=r"there is no suite .*; nothing was trained"):  # for the model
        service(ctx=Context(Workspace(home)))
    (home / "mine.toml").write_text(SUITE, encoding="utf-8")
    assert_one_line(cli("finetune"), Exit.USAGE, "no verified runs to learn from")
    cli("run", "-g", "What is 2 + 2?")
    cli("runs", "rate", "last", "good")
    told = Parts(chosen_home=home).services["finetune"].preview()  # what the person is asked
    assert "held-out goals of the suite mine decide" in told


def test_a_suite_that_says_nonsense_is_one_line(cli: Cli, workspace: Path) -> None:
    (workspace / "suite.toml").write_text("[[task]]\ngaol = 'x'\n", encoding="utf-8")
    done = cli("eval", "suite.toml")
    assert done.code == Exit.USAGE
    assert done.err.count("\n") == 1
    assert "suite.toml" in done.err


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("./nothing", "nothing"),
        ("v9-00000000", "no model version"),
        ("openai:gpt", "needs the address of its server"),
        ("", "empty"),
    ],
)
def test_a_model_that_cannot_be_had_is_one_line(
    home: Path, workspace: Path, capsys: pytest.CaptureFixture[str], model: str, words: str
) -> None:
    code = main(["--home", str(home), "run", "-g", "x", "-w", str(workspace), "-m", model, "-q"])
    printed = capsys.readouterr()
    assert (code, printed.out) == (Exit.USAGE, "")
    assert printed.err.startswith("autoagent: error: ")
    assert printed.err.count("\n") == 1
    assert words in printed.err
    assert Store(home).runs() == []


@pytest.mark.slow
def test_a_loaded_model_runs_is_rated_learns_and_is_gated(
    cli: Cli,
    home: Path,
    workspace: Path,
    tiny: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing = cli("finetune", "--suite", "suite.toml", "--base", str(tiny))
    assert nothing.code == Exit.USAGE
    for name, value in {"MAX_STEPS": "2", "REPLY_TOKENS": "64"}.items():  # random weights talk without end
        monkeypatch.setenv(f"AUTOAGENT_{name}", value)
    version = Versions(home).add(tiny, prompts=prompt_hash()).name
    Versions(home).use(version)
    nothing = cli("finetune", "--suite", "suite.toml")
    assert (nothing.code, nothing.err.count("\n")) == (Exit.USAGE, 1)
    assert "no verified runs" in nothing.err

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments, Parts())
        return code, *capsys.readouterr()

    sampled = ("--temperature", "1", "--output-format", "json")
    code, out, _ = run("run", "-g", "What is 2 + 2?", *sampled)
    assert code in (Exit.OK, Exit.BUDGET, Exit.DECLINED, Exit.DENIED)
    assert json.loads(out)["model"] == Versions(home).get(version).hash
    cli("runs", "rate", "last", "good")
    code, out, told = run(
        "finetune", "--suite", "suite.toml", "--epochs", "1", "--gate-tasks", "1", "--output-format", "json"
    )
    result = json.loads(out)
    assert code == Exit.REFUTED
    assert not result["promoted"]
    assert "\nmeasuring the new model ━" in f"\n{told}"  # also where there is no terminal
    assert result["gate"]["comparison"]["n"] == 1
    assert Versions(home).current() == version
    assert result["version"] in cli("models", "list").out
