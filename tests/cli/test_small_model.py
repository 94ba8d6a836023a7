from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.cli import Exit, Parts, main
from autoagent.cli.small_model import tell_of_larger
from autoagent.trajectory import Trajectory, Verdict


@pytest.mark.parametrize(("more", "told"), [((), True), (("--quiet",), False)])
def test_who_met_the_limits_of_the_embedded_model_is_told_of_larger_ones(
    home: Path,
    workspace: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    told: bool,
) -> None:
    monkeypatch.chdir(workspace)
    asked = ["--home", str(home), "run", "-g", "Write a novel.", "--max-tokens", "1", *more]
    assert main(asked, Parts()) == Exit.BUDGET
    said = capsys.readouterr().err
    assert ("models info embedded" in said and "--model FOLDER" in said) is told


@pytest.mark.parametrize(
    ("ending", "answer", "status", "model", "told"),
    [
        ("declined", "No tool can.", "unverified", None, True),
        ("finished", "5", "refuted", "embedded", True),
        ("declined", "A larger model may help, see --model.", "unverified", None, False),
        ("finished", "5", "unverified", None, False),
        ("interrupted", None, "unverified", None, False),
        ("stuck", None, "unverified", "openai:big", False),
    ],
)
def test_it_is_said_only_where_it_helps(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    ending: str,
    answer: str | None,
    status: str,
    model: str | None,
    told: bool,
) -> None:
    about = {"run_id": "r", "goal": "g", "model": "m", "ending": ending, "answer": answer}
    run = Trajectory.model_validate(about | {"verdict": Verdict.model_validate({"status": status})})
    tell_of_larger(run, model, Parts(chosen_home=home))
    assert bool(capsys.readouterr().err) is told
