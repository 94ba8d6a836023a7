"""Environments as suites, through the real agent: a hand-written one, BabyAI with its own bot, questions."""

from __future__ import annotations

import io
import pickle
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import pytest
from rich.console import Console

from autoagent.cli.eval_suites import find_suite
from autoagent.config import Limits
from autoagent.errors import UsageError
from autoagent.evals import TaskResult, compare, print_report, run_suite, run_task
from autoagent.evals.environment import Environment, environment_suite
from autoagent.evals.worlds.grid import GridWorld, view_in_words
from autoagent.evals.worlds.reasoning import Puzzle
from autoagent.models.protocol import Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.trajectory import Message, ToolCall

Step = tuple[str, float, bool, bool, Mapping[str, Any]]


class Corridor:
    """Walk to the treasure, which is 1 to 4 steps to the east; 6 steps are the most there is time for."""

    actions: Mapping[str, str] | Literal["text", "answer"] = {
        "walk_east": "Walk one step east",
        "walk_west": "Walk one step west",
        "break_it": "Break the corridor",
    }
    enough = 0.5

    def reset(self, *, seed: int) -> tuple[str, Mapping[str, Any]]:
        self._left, self._steps, self._more = random.Random(seed).randint(1, 4), 0, ""
        return self._view(), {"goal": "Reach the treasure."}

    def step(self, action: str) -> Step:
        if action == "break_it":
            raise RuntimeError("the roof came down")
        self._left += -1 if action == "walk_east" else 1
        self._steps += 1
        ended = self._left == 0
        return self._view(), 1 - self._steps / 10 if ended else 0.0, ended, self._steps == 6, {}

    def close(self) -> None: ...

    def _view(self) -> str:
        return f"The treasure is {self._left} steps to the east."


class Parser(Corridor):
    """The same, by any words."""

    actions = "text"

    def step(self, action: str) -> Step:
        return super().step("walk_east" if "east" in action else "walk_west")


class Hall(Corridor):
    """The same with more actions than can be shown."""

    actions = {name: f"Dance {name}" for name in "abcdefg"} | {"walk_east": "Walk one step east"}


class Sums:
    """Questions as reasoning-gym has them: part of the points for an answer among other words."""

    def __init__(self, seed: int) -> None:
        first, second = random.Random(seed).sample(range(10, 100), 2)
        self._sum = first + second
        self._entry = {"question": f"Calculate {first} + {second}.", "answer": str(first + second)}

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self._entry

    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> float:
        right = entry["answer"]
        return 0.0 if not answer or right not in answer else len(right) / len(answer)


def _call(tool: str, **arguments: Any) -> ToolCall:
    return ToolCall(name=tool, arguments=arguments)


DONE = _call("finish", answer="done")
EAST = _call("walk_east")


def _always_east(messages: Sequence[Message], expect: Expect) -> Line:
    if isinstance(expect, Json):
        return ["go there"]
    return DONE if "is over" in messages[-1].content else EAST


def _play(make: Callable[[], Environment], *lines: Line, limits: Limits | None = None) -> TaskResult:
    suite = environment_suite("mine", make=make, count=1)
    report = run_suite(suite, model=ScriptedModel([["go there"], *lines]), limits=limits)
    return report.results[0]


def _seen(result: TaskResult) -> list[str]:
    assert result.trajectory is not None
    return [seen.content for step in result.trajectory.steps for seen in step.observations]


def test_an_episode_that_reaches_its_goal_is_verified_with_the_environments_own_reward() -> None:
    report = run_suite(environment_suite("mine", make=Corridor, count=4), model=ScriptedModel(_always_east))
    assert (report.suite, report.n, report.passed) == ("env:mine", 4, 4)
    first = report.results[0]
    assert first.goal == "Reach the treasure.\n\nThe treasure is 4 steps to the east."
    assert (first.task, first.family, first.steps) == ("mine-0", "mine", 5)
    assert first.verdict.score == pytest.approx(0.6)
    assert first.verdict.by == "check"
    assert _seen(first)[3].splitlines() == [
        "The treasure is 0 steps to the east.",
        "Reward: 0.6.",
        "The goal is reached. The episode is over: call finish.",
    ]
    assert first.trajectory is not None
    assert set(first.trajectory.tools) == {*Corridor.actions, "look", "finish", "decline"}


def test_the_environment_is_never_asked_to_go_on_after_its_end() -> None:
    result = _play(Corridor, *[EAST] * 5, DONE)
    assert result.success
    assert _seen(result)[4] == "Error: the episode is over: call finish"


def test_reaching_the_goal_counts_even_if_the_run_does_not_notice() -> None:
    result = _play(Corridor, *[EAST] * 4, limits=Limits(max_steps=4))
    assert (result.ending, result.success) == ("max_steps", True)


def test_an_episode_that_misses_its_goal_is_refuted_and_says_by_how_much() -> None:
    west = _call("walk_west")
    look = _call("look")
    early = _play(Corridor, EAST, look, DONE)
    assert _seen(early)[1] == "The treasure is 3 steps to the east."
    assert (early.success, early.failure, early.verdict.score) == (False, "wrong effect", 0.0)
    assert early.verdict.reason == "the reward is 0, and 0.5 is needed"
    late = _play(Corridor, west, west, look, west, west, look, west, west, DONE)
    assert _seen(late)[-2].endswith("Out of time. The episode is over: call finish.")
    assert late.verdict.status == "refuted"


def test_a_fault_of_the_environment_is_not_the_models_failure() -> None:
    report = run_suite(
        environment_suite("mine", make=Corridor, count=1), model=ScriptedModel([["x"], _call("break_it")])
    )
    assert (report.n, report.check_errors) == (0, 1)
    assert report.results[0].check_error == "RuntimeError: the roof came down"


def test_actions_may_be_any_words_or_more_than_can_be_shown() -> None:
    assert _play(Parser, *[_call("act", action="go east, please")] * 4, DONE).success
    result = _play(Hall, _call("act", action="jump"), *[_call("act", action="walk_east")] * 4, DONE)
    assert result.success
    assert "walk_east" in _seen(result)[0]  # the refusal names what there is


def test_seeds_make_other_episodes_and_the_same_seed_the_same() -> None:
    make = partial(environment_suite, "mine", make=Corridor, count=3)
    report = run_suite(make, model=ScriptedModel(_always_east), seeds=2)
    assert [result.task for result in report.results] == [f"mine-{number}" for number in range(6)]
    again = run_suite(make, model=ScriptedModel(_always_east, version="again"), seeds=2)
    assert compare(report, again).n == 6
    shown = io.StringIO()
    print_report(report, Console(file=shown, width=100))
    assert "env:mine" in shown.getvalue()


def test_tasks_can_be_handed_to_another_process() -> None:
    task = environment_suite("mine", make=Corridor, count=1).tasks[0]
    assert pickle.loads(pickle.dumps(task)) == task


def test_questions_are_answered_with_the_built_in_tools_and_judged_by_their_own_scorer() -> None:
    suite = environment_suite("sums", make=partial(Puzzle, Sums), count=2)

    def author(messages: Sequence[Message], expect: Expect) -> Line:
        if isinstance(expect, Json):
            return ["calculate"]
        if messages[-1].role == "tool":
            return _call("finish", answer=messages[-1].content.rpartition("= ")[2])
        question = messages[1].content.partition("Calculate ")[2]
        return _call("calculate", expression=question.partition(".")[0])

    report = run_suite(suite, model=ScriptedModel(author))
    assert (report.passed, report.results[0].verdict.score) == (2, 1.0)


def test_part_of_the_points_is_a_score_and_no_success() -> None:
    sums = partial(Puzzle, Sums)
    right = Sums(0)[0]["answer"]
    wordy = _play(sums, _call("calculate", expression="1 + 1"), _call("finish", answer=f"It is {right}"))
    assert (wordy.success, wordy.failure) == (False, "wrong answer")
    assert 0 < (wordy.verdict.score or 0) < 1
    declined = _play(sums, _call("decline", reason=right))
    assert (declined.verdict.score, declined.failure) == (0.0, "declined wrongly")


def test_a_scorer_that_fails_is_not_the_models_failure() -> None:
    class Broken(Sums):
        def score_answer(self, answer: str | None, entry: dict[str, Any]) -> float:
            raise KeyError("metadata")

    result = _play(partial(Puzzle, Broken), DONE)
    assert (result.success, result.failure, result.check_error) == (False, None, "KeyError: 'metadata'")


def test_what_is_in_view_is_told_from_where_the_agent_stands() -> None:
    cells = [
        [[1, 0, 0] for _ in range(5)] for _ in range(5)
    ]  # the agent stands at 2, 4 and looks towards 2, 0
    assert view_in_words(cells, 0) == "You face east and carry nothing. You see nothing but floor."
    cells[2][4] = [5, 4, 0]
    cells[2][3] = [4, 2, 2]
    cells[0][2] = [6, 0, 0]
    cells[2][0] = [2, 5, 0]
    cells[3][4] = cells[4][4] = [2, 5, 0]
    cells[4][3] = [8, 1, 0]
    assert view_in_words(cells, 1) == (
        "You face south and carry a yellow key. You see a locked blue door 1 step ahead; "
        "a wall 1 step to the right; a goal 1 step ahead and 2 steps to the right; "
        "a red ball 2 steps ahead and 2 steps to the left; a wall 4 steps ahead."
    )


def _bot(level: str, seed: int) -> tuple[str, list[str], list[str]]:
    """What BabyAI's own bot, which sees the whole grid, does in an episode: goal, actions, views."""
    from minigrid.utils.baby_ai_bot import BabyAIBot

    world = GridWorld(level)
    view, info = world.reset(seed=seed)
    goal, names = f"{info['goal']}\n\n{view}", list(world.actions)
    bot, views, moves, over, action = BabyAIBot(world.grid), [view], list[str](), False, None
    while not over:
        action = bot.replan(action)
        moves.append(names[int(action)])
        view, _, ended, cut, _ = world.step(moves[-1])
        views.append(view)
        over = ended or cut
    world.close()
    return goal, moves, views


@pytest.mark.parametrize(
    "level", ["BabyAI-GoToRedBall-v0", "BabyAI-GoToLocalS6N2-v0", "BabyAI-OpenDoor-v0", "BabyAI-PickupLoc-v0"]
)
def test_babyai_is_solved_through_the_tools_by_its_own_bot(
    level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = Limits(max_steps=64, max_tokens=10**6)
    for seed, task in enumerate(environment_suite(level, count=3).tasks):
        goal, moves, _ = _bot(level, seed)
        lines = [["go there"], *(_call("act", action=move) for move in moves), DONE]
        result = run_task(task, model=ScriptedModel(lines, window=10**6), limits=limits)
        assert (result.goal, result.success) == (goal, True), result.verdict.reason
        assert 0.1 <= (result.verdict.score or 0) <= 1
    assert capsys.readouterr().out == ""


def test_what_is_picked_up_is_carried_until_it_is_put_down() -> None:
    goal, moves, views = _bot("BabyAI-PutNextLocal-v0", 0)
    assert goal.startswith("Put the ")
    taken, put = moves.index("pick_up"), moves.index("drop")
    carries = ["carry nothing" not in view for view in views]
    assert carries == [taken < number <= put for number in range(len(views))]


def test_reasoning_gym_scores_its_own_questions() -> None:
    pytest.importorskip("reasoning_gym")
    task = environment_suite("reasoning_gym/chain_sum", seed=1, count=1).tasks[0]
    assert task.goal == environment_suite("reasoning_gym/chain_sum", seed=1, count=1).tasks[0].goal
    terms = task.goal.rpartition(":")[2].partition("=")[0]
    calls = _call("calculate", expression=terms), _call("finish", answer=str(eval(terms)))
    (result,) = run_suite(
        environment_suite("reasoning_gym/chain_sum", seed=1, count=1), model=ScriptedModel([["x"], *calls])
    ).results
    assert (result.success, result.verdict.score) == (True, 1.0)
    with pytest.raises(UsageError, match="did you mean chain_sum"):
        environment_suite("reasoning_gym/chainsum")
    with pytest.raises(UsageError, match="composite cannot be made with its default settings"):
        environment_suite("reasoning_gym/composite")


def test_a_name_that_is_none_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"there is no environment atari: name babyai, reasoning_gym"):
        environment_suite("atari")
    with pytest.raises(
        UsageError, match="there is no level BabyAI-GoToRedBal-v0: did you mean BabyAI-GoToRedBall-v0"
    ):
        environment_suite("BabyAI-GoToRedBal-v0")
    with pytest.raises(UsageError, match="at least one episode"):
        environment_suite("BabyAI-GoToRedBall-v0", count=0)
    monkeypatch.setitem(sys.modules, "minigrid", None)
    with pytest.raises(
        UsageError, match=r"minigrid is not installed: pip install 'autoagent\[environments\]'"
    ):
        environment_suite("BabyAI-GoToRedBall-v0")


def test_the_command_line_finds_environments_by_name() -> None:
    make = find_suite("env:BabyAI-GoToObjS4-v0")
    assert callable(make)
    assert [task.family for task in make(1).tasks] == ["BabyAI-GoToObjS4-v0"] * 10
    assert not {task.goal for task in make(0).tasks} & {task.goal for task in make(1).tasks[:1]}
