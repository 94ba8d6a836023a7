from __future__ import annotations

from pathlib import Path

import pytest

from autoagent.errors import ConfigError
from autoagent.evals import Argument, Expected, Suite, Task, ToolSpec, load_suite, run_task
from autoagent.models.scripted import ScriptedModel
from autoagent.trajectory import ToolCall

EXAMPLE = Path(__file__).parents[2] / "examples" / "suite.toml"
GOOD = '[[task]]\nid = "a"\ngoal = "Say four."\nexpected.answer = "4"\n'


def _written(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_example_suite_loads_and_shows_every_key() -> None:
    suite = load_suite(EXAMPLE)
    assert suite.name == "suite"
    used = {name for task in suite.tasks for name in task.model_fields_set}
    assert used == set(Task.model_fields)
    goals = [goal for task in suite.tasks for goal in task.goals]
    assert {name for goal in goals for name in goal.expected.model_fields_set} == set(Expected.model_fields)
    tools = [tool for task in suite.tasks for tool in task.tools]
    assert {name for tool in tools for name in tool.model_fields_set} == set(ToolSpec.model_fields)
    arguments = [each for tool in tools for each in tool.arguments.values()]
    assert {name for each in arguments for name in each.model_fields_set} == set(Argument.model_fields)


def test_a_task_without_family_is_of_the_family_of_its_file(tmp_path: Path) -> None:
    (task,) = load_suite(_written(tmp_path, GOOD)).tasks
    assert task.family == "mine"


def test_false_stands_for_a_file_that_must_not_be_there(tmp_path: Path) -> None:
    file = _written(tmp_path, '[[task]]\nid = "a"\ngoal = "Delete x."\nexpected.files = { x = false }\n')
    assert load_suite(file).tasks[0].expected.files == {"x": None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the suite is empty: add a [[task]]"),
        ("[[task]\n", "is not valid TOML: "),
        ('[task]\nid = "a"\n', "task: write [[task]] with two brackets"),
        ("tasks = []\n", 'unknown key "tasks": did you mean "task"?'),
        (GOOD + GOOD, 'task 2 "a": the id is taken by task 1'),
        (GOOD + 'gaol = "x"\n', 'unknown key "gaol"'),
        (GOOD.replace("goal", "gaol"), 'task 1 "a": unknown key "gaol": did you mean "goal"?'),
        (
            GOOD + 'expected.anwser = "4"\n',
            'task 1 "a": expected: unknown key "anwser": did you mean "answer"?',
        ),
        (GOOD + 'tools = [{ nam = "x" }]\n', 'task 1 "a": tools: unknown key "nam": did you mean "name"?'),
        (GOOD.replace('goal = "Say four."\n', ""), 'task 1 "a": goal: is missing'),
        (GOOD.replace('id = "a"\n', ""), "task 1: id: is missing"),
        (GOOD.replace('"Say four."', "4"), 'task 1 "a": goal: must be a text, found 4'),
        (GOOD.replace("Say four.", " "), 'task 1 "a": goal: the goal is empty'),
        (GOOD.replace('expected.answer = "4"\n', ""), 'task 1 "a": nothing is expected'),
        (
            GOOD.replace('"4"', '"/(/"'),
            'task 1 "a": expected.answer: /(/ is not a regular expression',
        ),
        (GOOD.replace('"4"', '""'), 'task 1 "a": expected.answer: a text is empty'),
        (GOOD + 'files = { "../x" = "" }\n', 'task 1 "a": files: ../x is outside the workspace'),
        (GOOD + 'expected.files = { "/etc/x" = "" }\n', 'task 1 "a": expected.files: /etc/x is outside'),
        (GOOD + 'files = { "." = "" }\n', "task 1 \"a\": files: '.' names no file"),
        (GOOD + 'memory = [""]\n', 'task 1 "a": memory: a text is empty'),
        (GOOD + 'expected.calls = ["red_file"]\n', 'no tool is named "red_file": did you mean "read_file"?'),
        (
            GOOD + 'tools = [{ name = "read_file", description = "x", argument = "y" }]\n',
            'task 1 "a": tools: read_file is a built-in tool\'s name: choose another',
        ),
        (GOOD + 'family = ""\n', 'task 1 "a": family: a text is empty'),
        (GOOD.replace('"4"', "4"), 'expected.answer: must be a text, found 4: write "4"'),
        (GOOD.replace("expected.answer", "expected"), 'found "4": write expected.answer = "4"'),
        (GOOD + 'memory = "x"\n', 'memory: must be a list, found "x": write ["x"]'),
        (GOOD + 'files = { a.txt = "x" }\n', 'a name with a dot is quoted, "a.txt"'),
        (GOOD + 'expected.files = { a.txt = "x" }\n', 'a name with a dot is quoted, "a.txt"'),
        (GOOD + '[task.tools]\nname = "x"\n', "write [[task.tools]] with two brackets"),
        (GOOD + '[task.files]\nsplit = "x"\n', 'files: "split" is a key of [[task]]: write it above'),
        (GOOD + '[[task.tools]]\nexpected.answer = "x"\n', 'tools: "expected" is a key of [[task]]: write'),
    ],
)
def test_a_faulty_suite_is_refused_in_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    file = _written(tmp_path, text)
    with pytest.raises(ConfigError) as refusal:
        load_suite(file)
    message = str(refusal.value)
    assert said in message
    assert str(file) in message
    assert "\n" not in message


def test_a_missing_file_a_folder_and_odd_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_suite(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_suite(tmp_path)
    odd = tmp_path / "odd.toml"
    odd.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_suite(odd)


def test_the_mark_that_some_editors_put_before_a_text_is_no_part_of_it(tmp_path: Path) -> None:
    assert len(load_suite(_written(tmp_path, f"\ufeff{GOOD}")).tasks) == 1


def test_a_folder_is_copied_for_each_run_and_stays_as_it_is(tmp_path: Path) -> None:
    ours = tmp_path / "letters"
    (ours / ".git").mkdir(parents=True)
    (ours / "old").mkdir()
    (ours / "old" / "a.txt").write_text("4", encoding="utf-8")
    (ours / "b.txt").write_text("not this", encoding="utf-8")
    (ours / "away").symlink_to("/etc/hosts")
    more = 'folder = "letters"\nfiles = { "b.txt" = "but this" }\nexpected.files = { "old/a.txt" = false }\n'
    (task,) = load_suite(_written(tmp_path, GOOD + more)).tasks
    assert task.folder == str(ours)
    root = task.lay_out(tmp_path / "w").root
    assert sorted(path.name for path in root.iterdir()) == ["away", "b.txt", "old"]
    assert (root / "b.txt").read_text(encoding="utf-8") == "but this"
    assert (root / "away").is_symlink()
    delete = ToolCall(name="delete_file", arguments={"path": "old/a.txt"})
    lines = [["go"], delete, ToolCall(name="finish", arguments={"answer": "4"})]
    assert run_task(task.model_copy(update={"only": ("delete_file",)}), model=ScriptedModel(lines)).success
    assert (ours / "old" / "a.txt").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('folder = "lettres"', "folder: there is no folder "),
        ('folder = ""', "folder: a text is empty"),
        ("folder = 3", 'folder: must be a text, found 3: write "3"'),
        ('folder = "mine.toml"', "folder: there is no folder "),
        ('folder = "letters"\nfiles = { old = "x" }', "files: there is no room for old: "),
    ],
)
def test_a_folder_that_cannot_be_given_is_refused(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "letters" / "old").mkdir(parents=True)
    with pytest.raises(ConfigError) as refusal:
        load_suite(_written(tmp_path, f"{GOOD}{line}\n"))
    assert f'task 1 "a": {said}' in str(refusal.value)


def test_generated_suites_are_held_to_the_same_rules() -> None:
    task = Task(id="a", family="f", goal="g", expected=Expected(answer="4"))
    with pytest.raises(ConfigError, match='gen: task 2 "a": the id is taken by task 1'):
        Suite("gen", (task, task))
    with pytest.raises(ConfigError, match="gen: the suite is empty"):
        Suite("gen", ())
