"""The model that ships fits the prompts of this version, its card says what was measured, and it works."""

from __future__ import annotations

import json

import pytest

from autoagent.evals import run_suite
from autoagent.models.load import load_model
from autoagent.models.versions import EMBEDDED, Versions
from autoagent.nano.families import FAMILIES, SPLITS
from autoagent.nano.suites import smoke
from autoagent.nano.tokenizer import chat_template
from autoagent.prompts import prompt_hash


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return Versions(tmp_path_factory.mktemp("home")).resolve(EMBEDDED)


@pytest.fixture(scope="module")
def measured(weights):
    return json.loads((weights / "measured.json").read_text(encoding="utf-8"))


def test_the_prompts_are_those_the_weights_were_trained_and_measured_with(weights, measured) -> None:
    training = json.loads((weights / "training.json").read_text(encoding="utf-8"))
    assert training["prompts"] == measured["prompts"] == prompt_hash(weights)


def test_the_chat_template_is_the_one_of_the_recipe(weights) -> None:
    assert (weights / "chat_template.jinja").read_text(encoding="utf-8") == chat_template()


def test_the_training_ran_to_its_end(weights) -> None:
    assert json.loads((weights / "training.json").read_text(encoding="utf-8"))["fraction"] == 1


def test_the_card_says_what_was_measured(weights, measured) -> None:
    card = (weights / "README.md").read_text(encoding="utf-8")
    assert f"**{measured['success']:.1%}**" in card
    assert all(f"| {family} |" in card for family in measured["families"])


def test_the_measured_version_is_the_one_that_ships(weights, measured) -> None:
    assert load_model(EMBEDDED).version == measured["model"]


def test_the_card_covers_every_family_and_every_split(measured) -> None:
    assert set(measured["families"]) == set(FAMILIES)
    assert set(measured["splits"]) == set(SPLITS)


def test_it_reaches_the_goals_of_the_smoke_suite_about_as_often_as_was_measured(measured) -> None:
    report = run_suite(smoke, model=load_model(EMBEDDED))
    assert report.success >= measured["splits"]["values"]["success"] - 0.12, [
        (result.family, result.failure) for result in report.results if not result.success
    ]
