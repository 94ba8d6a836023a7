"""The prompts: what each says, where it comes from, and what happens when one is broken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jinja2
import pytest

from autoagent.errors import UsageError
from autoagent.prompts import FOLDER, NAMES, Prompts, prompt_hash, prompts_of, warnings_of
from autoagent.prompts.samples import SAMPLES

SNAPSHOTS = Path(__file__).parent / "snapshots"


def override(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.j2"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("name", NAMES)
def test_each_prompt_says_what_its_snapshot_says(name: str) -> None:
    """After a change on purpose: ``SNAPSHOTS=write pytest tests/prompts`` and look at the diff."""
    text = Prompts().render(name, **SAMPLES[name]) + "\n"
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("SNAPSHOTS") == "write":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_there_is_a_snapshot_of_nothing_else() -> None:
    assert sorted(file.stem for file in SNAPSHOTS.iterdir()) == list(NAMES)
    assert SAMPLES.keys() == set(NAMES)


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in NAMES for key in SAMPLES[name]])
def test_a_missing_value_is_an_error_and_never_an_empty_text(name: str, key: str) -> None:
    values = {each: value for each, value in SAMPLES[name].items() if each != key}
    if name == "compaction" and key == "done":
        values["plan"] = ("a sub-goal",)
    with pytest.raises(jinja2.UndefinedError, match=key):
        Prompts().render(name, **values)


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("observation", {"ok": True, "content": "6 lines"}, "6 lines"),
        ("cut", {"count": 7, "kept": ""}, "… 7 characters left out …"),
        (
            "finish_refused",
            {"reason": ""},
            "The answer was checked and is not right."
            " Find out what is wrong, put it right, then finish again.",
        ),
        (
            "compaction",
            {"plan": (), "done": frozenset(), "summary": "All is read.", "lines": ()},
            "To save space, the messages of the steps so far were replaced by this summary.\n"
            "All is read.\nGo on from here.",
        ),
    ],
)
def test_what_is_not_there_leaves_no_trace(name: str, values: dict[str, Any], text: str) -> None:
    assert Prompts().render(name, **values) == text


def test_the_project_wins_over_the_model_and_that_over_the_default(tmp_path: Path) -> None:
    override(tmp_path, "goal", "Ours: {{ goal }}")
    found = Prompts(own={"goal": "Trained: {{ goal }}", "act": "Go."}, overrides=tmp_path)
    assert found.render("goal", goal="x") == "Ours: x"
    assert found.beneath().render("goal", goal="x") == "Trained: x"
    assert [found.layer(name) for name in ("goal", "act", "cut")] == ["project", "model", "default"]
    assert found.where("goal") == str(tmp_path / "goal.j2")
    assert found.where("cut") == str(FOLDER / "cut.j2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Aim:\n{{ gaol }}", "line 2: 'gaol' is undefined; this prompt is given goal"),
        ("Aim:\n\n{% if %}", "line 3: Expected an expression"),
        ("{{ goal + 1 }}", "line 1: TypeError: "),
        ("{{ 1 / 0 }}", "line 1: ZeroDivisionError: "),
        ("{{ goal.__class__.__mro__ }}", "line 1: access to attribute '__class__'"),
    ],
)
def test_a_broken_override_is_one_line_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    file = override(tmp_path, "goal", text)
    for found, where in (
        (Prompts(overrides=tmp_path), str(file)),
        (Prompts(own={"goal": text}), "goal in the model's autoagent.json"),
    ):
        with pytest.raises(UsageError) as failure:
            found.render("goal", goal="x")
        assert f"prompt {where}, {said}" in str(failure.value)
        assert "\n" not in str(failure.value)


def test_a_broken_override_is_found_before_it_is_needed(tmp_path: Path) -> None:
    for name in NAMES:
        override(tmp_path, name, Prompts().text(name))
    Prompts(overrides=tmp_path).check()
    override(tmp_path, "nudge", "{{ signs }}")
    with pytest.raises(UsageError, match=r"nudge\.j2, line 1: 'signs' is undefined"):
        Prompts(overrides=tmp_path).check()


def test_an_override_that_is_no_text_is_named(tmp_path: Path) -> None:
    override(tmp_path, "goal", "").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"goal\.j2: it is not UTF-8 text"):
        Prompts(overrides=tmp_path).render("goal", goal="x")


def test_an_override_may_include_another_prompt(tmp_path: Path) -> None:
    override(tmp_path, "act", "{% include 'unknown' %} Now.")
    assert Prompts(overrides=tmp_path).render("act").endswith("before you repeat it. Now.")


def test_nothing_is_to_be_said_of_a_set_that_changes_nothing(tmp_path: Path) -> None:
    assert warnings_of(Prompts()) == []
    assert warnings_of(Prompts(overrides=tmp_path / "nothing")) == []
    override(tmp_path, "goal", "Trained: {{ goal }}\n")
    override(tmp_path, "cut", "ours")
    assert warnings_of(Prompts(own={"goal": "Trained: {{ goal }}"}, overrides=tmp_path)) == []


def test_what_the_model_was_trained_with_and_misspelt_files_are_warned_about(tmp_path: Path) -> None:
    override(tmp_path, "goal", "Ours: {{ goal }}")
    override(tmp_path, "gaol", "")
    (tmp_path / "NOTES.md").write_text("", encoding="utf-8")
    (tmp_path / ".hidden").write_text("", encoding="utf-8")
    trained, notes, misspelt = warnings_of(Prompts(own={"goal": "Trained"}, overrides=tmp_path))
    assert "trained with (goal)" in trained
    assert notes.startswith(str(tmp_path / "NOTES.md"))
    assert misspelt.endswith("gaol.j2 is no prompt and has no effect: did you mean goal.j2?")


@pytest.mark.parametrize("text", ["[]", '{"prompts": []}', '{"prompts": {"goal": 3}}', "{", "\xff"])
def test_a_damaged_description_of_a_model_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "autoagent.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"autoagent\.json"):
        prompts_of(tmp_path)


def test_overriding_does_not_change_what_a_version_was_trained_with(tmp_path: Path) -> None:
    (tmp_path / "autoagent.json").write_text('{"prompts": {"goal": "G"}}', encoding="utf-8")
    assert prompt_hash(tmp_path) != prompt_hash()
    assert prompts_of(tmp_path, overrides=tmp_path).own == {"goal": "G"}
