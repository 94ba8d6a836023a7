"""What a suite can say, from its file to what becomes of it in a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from autoagent.errors import ConfigError, InvalidCall, UsageError
from autoagent.evals import Argument, Expected, FollowUp, Task, TaskResult, ToolSpec, load_suite, run_task
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.tools import Context, Tool, tool
from autoagent.trajectory import Message, ToolCall
from autoagent.workspace import Workspace

GOOD = '[[task]]\nid = "a"\ngoal = "Say four."\nexpected.answer = "4"\n'
FEW = (
    *("read_file", "write_file", "delete_file", "list_files", "save_memory", "recall_memory"),
    *("finetune", "ask_user", "plan"),
)
SEATS = ToolSpec(
    name="book_seats",
    description="Book seats in a train.",
    arguments={
        "city": Argument(description="Where the train goes to."),
        "seats": Argument(type="number", optional=True),
        "day": Argument(type="choice", choices=("monday", "friday"), optional=True),
    },
    replies={"Oslo": "Booked"},
)


def _call(tool: str, **arguments: Any) -> ToolCall:
    return ToolCall(name=tool, arguments=arguments)


def _finish(answer: str = "done") -> ToolCall:
    return _call("finish", answer=answer)


def _task(expected: Expected | None = None, **more: Any) -> Task:
    """A task with few tools, so that all of them are shown whatever the goal is."""
    few: dict[str, Any] = {"only": FEW, "expected": expected or Expected(answer="done")}
    return Task(id="t", family="f", goal="first", **few | more)


def _run(task: Task, *calls: ToolCall, **later: list[ToolCall]) -> TaskResult:
    """``calls`` for the first goal, ``later`` by the goal of each follow-up."""
    scripts = {task.goal: list(calls), **later}

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        if isinstance(expect, Json):
            return ["go on"]
        goal = messages[1].content.partition("\n")[0].removeprefix("Goal: ")
        return scripts[goal][sum(message.role == "tool" for message in messages)]

    return run_task(task, model=ScriptedModel(author))


def _observed(result: TaskResult) -> list[str]:
    assert result.trajectory is not None
    return [seen.content for step in result.trajectory.steps for seen in step.observations]


def _loaded(folder: Path, text: str) -> tuple[Task, ...]:
    file = folder / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return load_suite(file).tasks


# Custom tools


def test_a_custom_tool_is_like_one_written_by_hand(tmp_path: Path) -> None:
    @tool
    def book_seats(
        city: str, seats: float | None = None, day: Literal["monday", "friday"] | None = None
    ) -> str:
        """Book seats in a train.

        Args:
            city: Where the train goes to.
        """
        return "Booked" if city.casefold() == "oslo" else "Nothing found."

    made, context = SEATS.build(), Context(workspace=Workspace.at(tmp_path))
    assert (made.schema, made.effects) == (book_seats.schema, book_seats.effects)
    for arguments in ({"city": "Oslo"}, {"city": "OSLO", "seats": "2", "day": "friday"}, {"city": "Rome"}):
        assert made.validate(arguments) == book_seats.validate(arguments)
        assert made(arguments, context) == book_seats(arguments, context)
    for wrong in ({}, {"city": "Oslo", "seats": "two"}, {"city": "Oslo", "day": "sunday"}, {"town": "Oslo"}):
        assert _refusal(made, wrong) == _refusal(book_seats, wrong)


def _refusal(made: Tool, arguments: dict[str, Any]) -> str:
    with pytest.raises(InvalidCall) as refusal:
        made.validate(arguments)
    return str(refusal.value)


def test_replies_go_by_the_first_argument_whatever_its_kind(tmp_path: Path) -> None:
    context = Context(workspace=Workspace.at(tmp_path))
    kinds = {
        "number": Argument(type="number"),
        "choice": Argument(type="choice", choices=("3", "Four")),
        "optional": Argument(optional=True),
    }
    tools = {
        kind: ToolSpec(
            name="t", description="d", arguments={"x": each, "y": Argument()}, replies={"3": "yes"}
        ).build()
        for kind, each in kinds.items()
    }
    assert tools["number"]({"x": 3, "y": ""}, context) == "yes"
    assert tools["number"]({"x": 3.0, "y": ""}, context) == "yes"
    assert tools["number"]({"x": 3.5, "y": "3"}, context) == "Nothing found."
    assert tools["choice"]({"x": "3", "y": ""}, context) == "yes"
    assert tools["choice"]({"x": "Four", "y": ""}, context) == "Nothing found."
    assert tools["optional"]({"y": "3"}, context) == "Nothing found."
    bare = ToolSpec(name="t", description="d", otherwise="It is noon.").build()
    assert (bare({}, context), bare.parameters["properties"]) == ("It is noon.", {})


# Parameter tables


def test_a_parameter_table_repeats_the_task_with_every_text_filled_in(tmp_path: Path) -> None:
    first, second = _loaded(
        tmp_path,
        """
[[task]]
id = "code"
goal = "The code of {city}?"
files = { "{city}.json" = '{{"code": {code}}}' }
memory = ["{city} is nice"]
answers = ["{ city }!"]
split = "{split}"
[[task.tools]]
name = "look_up"
description = "Look up {city}"
argument = "city"
replies = { "{city}" = "{code}" }
[task.expected]
answer = "{code}"
declines = "{declines}"
arguments.look_up.city = "{city}"
[[task.each]]
city = "Rome"
code = "06"
split = "seen"
declines = false
[[task.each]]
city = "Turin"
code = 11
split = "new"
declines = true
""",
    )
    assert (first.id, second.id) == ("code-1", "code-2")
    assert (first.goal, second.goal) == ("The code of Rome?", "The code of Turin?")
    assert first.files == {"Rome.json": '{"code": 06}'}
    assert (first.memory, first.answers, second.split) == (("Rome is nice",), ("Rome!",), "new")
    assert second.tools[0].replies == {"Turin": "11"}
    assert second.tools[0].description == "Look up Turin"
    assert (first.expected.declines, second.expected.declines) == (False, True)
    assert second.expected.arguments == {"look_up": {"city": "Turin"}}


def test_an_id_may_have_placeholders_of_its_own(tmp_path: Path) -> None:
    tasks = _loaded(tmp_path, EACH.replace('"a"', '"of {city}"'))
    assert [task.id for task in tasks] == ["of 1", "of 2"]


def test_braces_are_just_braces_in_a_task_without_a_table(tmp_path: Path) -> None:
    (task,) = _loaded(tmp_path, GOOD + 'files = { "a.json" = \'{"a": {}}\' }\n')
    assert task.files == {"a.json": '{"a": {}}'}


EACH = GOOD.replace("four", "{city}") + "each = [{ city = 1 }, { city = 2 }]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            EACH.replace("{city}", "{ctiy}"),
            'task 1 "a": each, row 1: goal: {ctiy} is not in the row: did',
        ),
        (EACH.replace("{ city = 2 }", "{ c = 2 }"), "each, row 2: goal: {city} is not in the row"),
        (EACH.replace('"4"', '"4}"'), "each, row 1: expected.answer: a single }: double it"),
        (EACH + 'files = { "{city}" = "", "1" = "" }\n', 'row 1: files: two keys become "1"'),
        (EACH.replace("[{ city = 1 }, { city = 2 }]", "[]"), "each: write one [[task.each]]"),
        (EACH.replace("[{ city = 1 }, { city = 2 }]", "3"), "each: write one [[task.each]]"),
        (EACH.replace("city = 1", "city = [1]"), "each, row 1: city: a row holds texts and numbers"),
        (EACH.replace("city = 1", "city = 1, note = 2"), "row 1: no text of the task has {note}: put"),
        (EACH.replace("each", "eahc"), 'unknown key "eahc": did you mean "each"?'),
        (EACH + GOOD.replace('"a"', '"a-2"'), 'task 2 "a-2": the id is taken by task 1'),
        (EACH + 'memory = ["{city}", ""]\n', 'task 1 "a-1": memory: a text is empty'),
    ],
)
def test_a_faulty_parameter_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    _refused(tmp_path, text, said)


# What else a file can get wrong


def _refused(folder: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        _loaded(folder, text)
    message = str(refusal.value)
    assert said in message
    assert message.startswith(str(folder / "mine.toml"))
    assert "\n" not in message


TOOL = 'tools = [{ name = "t", description = "d", %s }]\n'
LATER = GOOD + '[[task.follow_ups]]\ngoal = "b"\nexpected.answer = "5"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + 'polcy.deny = ["x"]\n', 'unknown key "polcy": did you mean "policy"?'),
        (GOOD + 'policy.dney = ["x"]\n', 'policy: unknown key "dney": did you mean "deny"?'),
        (GOOD + 'policy.deny = "x"\n', "policy.deny: must be a list, found"),
        (GOOD + 'policy.deny = ["x("]\n', "policy: rule 'x(' is malformed"),
        (GOOD + 'policy.deny = ["read_fil"]\n', 'rule read_fil fits no tool: did you mean "read_file"?'),
        (GOOD + 'only = ["red_file"]\n', 'only: no built-in tool is named "red_file": did you mean "read_'),
        (GOOD + 'only = ["read_file"]\nexpected.calls = ["fetch"]\n', 'no tool is named "fetch"'),
        (GOOD + 'only = ["read_file"]\nanswers = ["x"]\n', "answers: nobody can be asked: add ask_user"),
        (GOOD + 'ask = false\nanswers = ["x"]\n', "answers: nobody can be asked: ask is false"),
        (GOOD + "ask = false\nexpected.asks = true\n", "expected.asks: nobody can be asked: ask is false"),
        (
            GOOD + 'policy.deny = ["ask_*"]\nexpected.asks = true\n',
            "expected.asks: ask_user cannot succeed: policy.deny has ask_*",
        ),
        (GOOD + 'answers = [""]\n', "answers: a text is empty"),
        (GOOD + 'tags = [" "]\n', "tags: a text is empty"),
        (GOOD + "expected.order = true\n", "expected.order: an order needs two calls or more"),
        (GOOD + "expected.command = 'test ('\n", "expected.command: the shell cannot read it: "),
        (GOOD + "expected.command = ''\n", "expected.command: a text is empty"),
        (GOOD + 'expected.calls = ["http_get"]\n', "http_get is never there: a suite runs without"),
        (
            GOOD + 'policy.ask = ["write_file"]\nexpected.calls = ["write_file"]\n',
            "expected.calls: write_file cannot succeed: policy.ask has write_file, and nobody is there",
        ),
        (
            GOOD + 'policy.deny = ["read_file(a)"]\nexpected.arguments.read_file.path = "a"\n',
            "expected.arguments: read_file cannot succeed: policy.deny has read_file(a)",
        ),
        (
            GOOD + 'expected.files = { a = false, "a/b" = "x" }\n',
            "expected.files: a cannot be gone and the folder of a/b",
        ),
        (
            GOOD + 'only = ["t"]\n' + TOOL % 'argument = "x"',
            "only: t is a tool of the task, which is there anyway",
        ),
        (GOOD + TOOL % 'argument = "x", replies = { a = "1", A = "2" }', "two replies to 'A'"),
        (GOOD + TOOL % 'arguments = { y = "number" }', 'found "number": write { type = "number" }'),
        (GOOD + 'expected.arguments.red_file.path = "x"\n', 'no tool is named "red_file": did you mean'),
        (
            GOOD + 'expected.arguments.read_file.pth = "x"\n',
            "expected.arguments: no such call can succeed: read_file: path: Field required",
        ),
        (GOOD + 'files = { a = "", "a/b" = "" }\n', "files: a cannot be a file and the folder of a/b"),
        (GOOD + f'files."{"x" * 300}" = ""\n', "is too long for a file's name"),
        (GOOD + TOOL % 'argumnt = "x"', 'tools: unknown key "argumnt": did you mean "argument"?'),
        (GOOD + TOOL % 'argument = "x", arguments = { y = {} }', "give argument or arguments, not both"),
        (
            GOOD + TOOL % "arguments = { y = { typ = 1 } }",
            'arguments.y: unknown key "typ": did you mean',
        ),
        (GOOD + TOOL % 'arguments = { y = { type = "int" } }', "type: must be 'text', 'number' or"),
        (GOOD + TOOL % 'arguments = { y = { type = "choice" } }', "tools 1.arguments.y: choices belong to"),
        (GOOD + TOOL % 'arguments = { y = { choices = ["a"] } }', 'choices belong to type = "choice"'),
        (GOOD + TOOL % 'replies = { y = "a" }', "replies go by the first argument, and there is none"),
        (
            GOOD + TOOL % 'arguments = { y = { type = "number" } }, replies = { z = "a" }',
            "the reply to 'z' is never given: y is a number",
        ),
        (
            GOOD + TOOL % 'arguments = { y = { type = "choice", choices = ["b"] } }, replies = { z = "a" }',
            "the reply to 'z' is never given: it is no choice of y",
        ),
        (GOOD + 'tools = [{ name = "a b", description = "d" }]\n', "tools: 'a b' is no name for a tool"),
        (GOOD + 'tools = [{ name = "t", description = "" }]\n', "tools: a text is empty"),
        (LATER.replace('goal = "b"', 'gaol = "b"'), 'follow_ups: unknown key "gaol": did you mean "goal"?'),
        (LATER.replace('answer = "5"', 'anwser = "5"'), 'follow_ups: expected: unknown key "anwser"'),
        (LATER.replace('expected.answer = "5"\n', ""), "follow_ups 1: nothing is expected"),
        (LATER.replace('goal = "b"\n', ""), "follow_ups 1.goal: is missing"),
        (LATER.replace('"b"', '""'), "follow_ups 1: goal: the goal is empty"),
        (LATER.replace('"5"', '"/(/"'), "follow_ups 1: expected.answer: /(/ is not a regular"),
    ],
)
def test_a_faulty_task_is_refused_in_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    _refused(tmp_path, text, said)


# The user


def test_the_user_gives_the_scripted_answers_and_then_none() -> None:
    ask = _call("ask_user", question="Which one?")
    task = _task(Expected(asks=True, answer="done"), answers=("the red one", "yes"))
    result = _run(task, ask, ask, ask, _finish())
    assert result.success
    assert _observed(result)[:3] == ["the red one", "yes", "The user gave no answer."]
    assert result.expected == ({"answer": "done", "asks": True},)


def test_who_did_not_ask_is_told_so() -> None:
    task = _task(Expected(asks=True, answer="done"), answers=("the red one",))
    result = _run(task, _call("list_files"), _finish())
    assert (result.success, result.failure) == (False, "did not ask")
    assert "it did not ask the user" in result.verdict.reason


def test_there_is_a_user_to_ask_unless_the_task_says_no() -> None:
    ask = _call("ask_user", question="Which one?")
    assert _observed(_run(_task(), ask, _finish()))[0] == "The user gave no answer."
    alone = _run(_task(ask=False), ask, _finish())
    assert alone.trajectory is not None
    assert "ask_user" not in alone.trajectory.tools
    assert "there is no tool ask_user" in _observed(alone)[0]


# Follow-ups


NOTE = FollowUp(goal="second", expected=Expected(answer="7"))


def test_follow_ups_find_the_workspace_and_the_memory_as_they_were_left() -> None:
    third = FollowUp(goal="third", expected=Expected(remembers="code 7"), answers=("no",))
    task = _task(Expected(files={"a.txt": "7"}), follow_ups=(NOTE, third), answers=("yes",))
    write = _call("write_file", path="a.txt", content="7")
    ask = _call("ask_user", question="Well?")
    result = _run(
        task,
        *(ask, write, _call("save_memory", text="the code 7"), _finish()),
        second=[_call("read_file", path="a.txt"), _finish("7")],
        third=[_call("recall_memory", query="code"), ask, _finish("ok")],
    )
    assert (result.success, result.failure, result.answer) == (True, None, "ok")
    assert [run.goal for run in result.earlier] == ["first", "second"]
    assert result.trajectory is not None
    assert result.trajectory.goal == "third"
    assert _observed(result)[1] == "no"  # each goal has answers of its own
    assert result.steps == 4 + 2 + 3
    assert result.tokens >= sum(run.counts.spent for run in result.earlier)


def test_a_task_stops_at_the_first_goal_that_is_missed() -> None:
    task = _task(follow_ups=(NOTE, FollowUp(goal="third", expected=Expected(answer="8"))))
    result = _run(task, _finish(), second=[_call("list_files"), _finish("6")])
    assert (result.success, result.failure, result.goal) == (False, "wrong answer", "first")
    assert (result.answer, result.first_tool) == ("6", "list_files")
    assert result.trajectory is not None
    assert [run.goal for run in (*result.earlier, result.trajectory)] == ["first", "second"]


def test_a_check_that_errs_in_a_follow_up_counts_for_nothing() -> None:
    broken = FollowUp(goal="second", expected=Expected(command="no-such-command-7"))
    result = _run(_task(follow_ups=(broken, NOTE)), _finish(), second=[_finish()])
    assert (result.success, result.failure) == (False, None)
    assert "no-such-command-7" in result.check_error
    assert len(result.earlier) == 1


def test_what_the_runtime_notes_about_a_run_is_not_what_the_model_remembered() -> None:
    later = FollowUp(goal="second", expected=Expected(remembers="first"))
    result = _run(_task(follow_ups=(later,)), _finish(), second=[_finish()])
    assert (result.success, result.failure) == (False, "early finish")
    assert "'first' is not in memory" in result.verdict.reason


def test_files_that_cannot_be_written_are_the_suites_fault() -> None:
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(UsageError, match="task t: its files cannot be written"):
            _run(_task(files={name: ""}), _finish())


# Policy and tools


def test_the_rules_of_a_task_hold_in_its_runs() -> None:
    delete = _call("delete_file", path="b.txt")
    task = _task(
        Expected(files={"b.txt": "x"}),
        files={"b.txt": "x"},
        policy={"deny": ("delete_file(b.txt)",), "ask": ("finetune", "write_file")},
    )
    result = _run(task, delete, _finish())
    assert result.success
    assert "delete_file is not permitted here" in _observed(result)[0]
    for asked in (_call("write_file", path="c", content=""), _call("finetune")):
        assert "permission" in _observed(_run(task, asked, _finish()))[0]  # nobody consents
    gone = task.model_copy(update={"policy": {}})
    assert _run(gone, delete, _finish()).failure == "wrong effect"


def test_only_the_named_tools_are_there() -> None:
    spec = ToolSpec(name="zorp", description="Zorp", argument="word")
    result = _run(_task(only=("read_file",), tools=(spec,)), _call("list_files"), _finish())
    assert result.trajectory is not None
    assert set(result.trajectory.tools) == {"zorp", "read_file", "finish", "decline"}
    assert "there is no tool list_files" in _observed(result)[0]
    none = _run(_task(only=(), tools=(spec,)), _finish())
    assert none.trajectory is not None
    assert set(none.trajectory.tools) == {"zorp", "finish", "decline"}


# What is expected of the calls


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ({"city": "Oslo", "seats": 2}, True),
        ({"city": " oslo ", "seats": 2.0}, True),
        ({"city": "Oslo", "seats": "2"}, True),
        ({"city": "Oslo", "seats": 2, "day": None}, True),
        ({"city": "Oslo", "seats": 3}, False),
        ({"city": "Oslo"}, False),
        ({"city": "Oslo", "seats": 2, "day": "friday"}, False),
    ],
)
def test_expected_arguments_are_compared_by_what_they_mean(given: dict[str, Any], right: bool) -> None:
    expected = Expected(arguments={"book_seats": {"city": "Oslo", "seats": 2}})
    result = _run(_task(expected, tools=(SEATS,)), _call("book_seats", **given), _finish())
    assert (result.success, result.failure) == (right, None if right else "argument error")
    assert right or "it called book_seats with {" in result.verdict.reason


def test_an_argument_left_out_is_the_same_as_its_default() -> None:
    for wanted, given in (({}, {"folder": "."}), ({"folder": "."}, {})):
        task = _task(Expected(arguments={"list_files": wanted}))
        assert _run(task, _call("list_files", **given), _finish()).success


def test_some_call_must_have_had_the_arguments_and_one_that_failed_does_not_count() -> None:
    expected = Expected(arguments={"read_file": {"path": "b"}})
    task = _task(expected, files={"a": "", "b": ""})
    a, b = _call("read_file", path="a"), _call("read_file", path="b")
    assert _run(task, b, a, _finish()).success
    assert _run(task.model_copy(update={"files": {"a": ""}}), a, b, _finish()).failure == "argument error"
    assert _run(task, _call("list_files"), _finish()).failure == "wrong tool"


def test_the_order_of_calls_counts_where_it_is_wanted() -> None:
    expected = Expected(calls=("read_file", "list_files"))
    ordered = expected.model_copy(update={"order": True})
    read, listed = _call("read_file", path="a"), _call("list_files")
    task, strict = _task(expected, files={"a": ""}), _task(ordered, files={"a": ""})
    assert _run(task, listed, read, _finish()).success
    wrong = _run(strict, listed, read, _finish())
    assert (wrong.success, wrong.failure) == (False, "wrong order")
    assert "it called list_files, then read_file, not read_file, then list_files" in wrong.verdict.reason
    assert _run(strict, listed, read, listed, _finish()).success
    assert _run(strict, read, _finish()).failure == "early finish"


def test_looking_for_tools_is_not_the_first_tool() -> None:
    expected = Expected(calls=("read_file",), answer="7")
    steer = _call("plan", sub_goals=["read"])
    result = _run(_task(expected, files={"a": ""}), steer, _call("read_file", path="a"), _finish("6"))
    assert (result.failure, result.first_tool) == ("wrong answer", "read_file")
