"""The benchmarks run, at their smallest: whether the tokens are right, never how long they took."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BENCHMARKS / script, *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


@pytest.mark.slow
def test_all_sides_of_an_episode_say_the_same() -> None:
    done = run("episode.py", "--quick")
    assert done.returncode == 0, done.stderr
    assert "greedy tokens identical to transformers.generate: 180 of 180" in done.stdout


@pytest.mark.slow
def test_schemas_of_the_leaderboards_form_are_compiled_and_their_gold_calls_accepted(tmp_path: Path) -> None:
    weather = {
        "name": "weather.get",
        "description": "Get the weather.",
        "parameters": {
            "type": "dict",
            "properties": {
                "place": {
                    "type": "dict",
                    "properties": {"city": {"type": "string"}, "at": {"type": "tuple"}},
                },
                "unit": {"type": "string", "enum": ["°C", "°F"]},
                "least": {"type": "float"},
            },
            "required": ["place"],
        },
    }
    answer = {"place": [{"city": ["Øre", "Ore"], "at": [[1, 2.5]]}], "unit": ["°C", ""], "least": ["", 1e-7]}
    (tmp_path / "possible_answer").mkdir()
    question, gold = (
        {"id": "a", "function": [weather]},
        {"id": "a", "ground_truth": [{"weather.get": answer}]},
    )
    (tmp_path / "BFCL_one.json").write_text(json.dumps(question), encoding="utf-8")
    (tmp_path / "possible_answer" / "BFCL_one.json").write_text(json.dumps(gold), encoding="utf-8")
    done = run("schemas.py", "--data", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid gold calls accepted       3 of      3  100.000%" in " ".join(done.stdout.split(" ")), (
        done.stdout
    )


def test_a_folder_without_the_leaderboard_is_told(tmp_path: Path) -> None:
    done = run("schemas.py", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "no BFCL_*.json" in done.stderr


@pytest.mark.slow
def test_both_sides_of_the_embedded_models_speed_say_the_same(tmp_path: Path) -> None:
    done = run("embedded.py", "--quick", "--out", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    speed = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["speed"]
    assert speed["same"] == speed["tokens"] == 32
    assert 1_990 <= speed["context"] <= 2_010


@pytest.mark.slow
def test_a_small_crowd_loses_nothing() -> None:
    done = run("crowd.py", "--processes", "3", "--runs", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["runs"], found["facts found by vector"], found["steps lost"]) == (9, 9, 0)


@pytest.mark.slow
def test_spoiled_input_is_never_more_than_a_documented_error(tmp_path: Path) -> None:
    done = run("fuzz.py", "--cases", "220", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    more = run("fuzz.py", "--cases", "231", "--out", str(tmp_path))
    told = json.loads(more.stdout)
    assert (told["next"], told["crashes"], set(told["kinds"].values())) == (231, 0, {21})
    assert not list(tmp_path.glob("crash-*"))


@pytest.mark.slow
def test_runs_back_to_back_are_measured() -> None:
    done = run("soak.py", "--minutes", "0.2")
    assert done.returncode in (0, 1), done.stderr  # so short a time says nothing about what grows
    assert "| child processes | 0.0 | 0.0 | 0.0 | +0.0 | flat |" in done.stdout
