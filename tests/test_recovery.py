"""Runs that do not go straight: circling, long runs, retries, feedback, helpers, resuming."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autoagent import events
from autoagent.config import Conduct, Limits
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.protocol import Calls, Expect, Json
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.store import Store
from autoagent.trajectory import Message, Reply

from .stage import FINISH, PLAN, Stage, call, stage

__all__ = ["stage"]  # the fixture


# --- going in circles ------------------------------------------------------------------------------------


def again(messages: Sequence[Message], expect: Expect) -> Line:
    return PLAN if isinstance(expect, Json) else call("look", place="attic")


def test_the_same_call_over_and_over_is_nudged_then_planned_anew_then_stuck(stage: Stage) -> None:
    result = stage.play(again, limits=Limits(max_steps=50))
    assert result.ending == "stuck"
    assert stage.remedies == ["nudge", "replan"]
    assert len(result.trajectory.acts) == 3 + 2 + 2
    assert [step.index for step in result.trajectory.steps if step.kind == "plan"] == [0, 6]
    assert "look was called 3 times" in stage.heard


def test_words_without_action_are_nudged_then_planned_anew_then_stuck(stage: Stage) -> None:
    def talker(messages: Sequence[Message], expect: Expect) -> Line:
        return PLAN if isinstance(expect, Json) else f"Let me think about it {len(messages)} times."

    result = stage.play(talker, limits=Limits(max_steps=50))
    assert result.ending == "stuck"
    assert stage.remedies == ["nudge", "replan"]
    assert len(result.trajectory.acts) == 3 + 2 + 2
    assert "You are getting nowhere: the last 3 replies were words" in stage.heard
    assert stage.play([PLAN, "hm", "well", "so", FINISH]).ending == "finished"


def test_taking_turns_between_two_calls_is_circling_too(stage: Stage) -> None:
    def author(messages: Sequence[Message], expect: Expect) -> Line:
        if isinstance(expect, Json):
            return PLAN
        return call("look", place="attic" if len(messages) % 4 < 2 else "cellar")

    result = stage.play(author, limits=Limits(max_steps=50))
    assert result.ending == "stuck"
    assert stage.remedies[0] == "nudge"


def test_different_calls_are_not_circling(stage: Stage) -> None:
    looks = [call("look", place=f"room {number}") for number in range(12)]
    assert stage.play([PLAN, *looks, FINISH]).ending == "finished"
    assert stage.remedies == []


def test_a_tool_that_fails_twice_leads_to_a_new_plan(stage: Stage) -> None:
    result = stage.play([PLAN, call("fail", place="a"), call("fail", place="b"), ["ask elsewhere"], FINISH])
    assert result.trajectory.plan == ("ask elsewhere",)
    assert stage.remedies == ["replan"]
    assert "fail failed twice" in stage.heard


def test_without_new_plans_to_make_circling_ends_the_run_after_the_nudge(stage: Stage) -> None:
    result = stage.play(again, limits=Limits(max_steps=50, replans=0))
    assert (result.ending, stage.remedies) == ("stuck", ["nudge"])


# --- long runs -------------------------------------------------------------------------------------------


def test_a_long_run_is_compacted_and_goes_on_knowing_what_it_did(stage: Stage, tmp_path: Path) -> None:
    rooms = [call("look", place=f"room {number} " + "of the old house " * 8) for number in range(30)]
    agent = stage.agent([PLAN, *rooms, FINISH], limits=Limits(max_steps=40))
    agent.loaded_model().window = 1200  # words, for a scripted model
    agent.loaded_model().open = _counting(agent.loaded_model())  # type: ignore[method-assign]
    result = stage.watch(agent.events("Look around"))
    kinds = [step.kind for step in result.trajectory.steps]
    assert result.ending == "finished"
    assert kinds.count("compaction") >= 1
    assert len(result.trajectory.acts) == 31
    assert 'look(place="room 1' in stage.heard
    assert "Goal: Look around" in stage.heard
    assert all(sum(len(one.content.split()) for one in told) < 1200 for told in stage.told)
    assert any(one.content.startswith("nothing in room 29") for one in Store(stage.home).messages("last"))
    assert not any(one.content.startswith("nothing in room 2 ") for one in Store(stage.home).messages("last"))


def _counting(model: ScriptedModel) -> Any:
    """Let a scripted session tell how many words it holds, as a real one tells its tokens."""
    opened = model.open

    def open(messages: Sequence[Message], tools: Any) -> Any:
        session = opened(messages, tools)
        generate = session.generate

        def counted(*arguments: Any, **options: Any) -> Any:
            reply = yield from generate(*arguments, **options)
            session.used = sum(len(message.content.split()) for message in session.messages)
            return reply

        session.generate = counted
        return session

    return open


def test_the_rest_of_a_cut_observation_can_be_read(stage: Stage) -> None:
    (stage.work / "long.txt").write_text("a" * 3000 + "MIDDLE" + "b" * 3000, encoding="utf-8")
    script = [PLAN, call("read_file", path="long.txt"), call("search_files", text="MIDDLE"), FINISH]
    seen = stage.play(script).trajectory.acts[0].observations[0]
    assert "MIDDLE" not in seen.content
    assert seen.kept == "@kept/1-1.txt"
    assert seen.kept in seen.content
    reading = stage.play(
        [PLAN, call("read_file", path="long.txt"), call("read_file", path=seen.kept), FINISH]
    )
    assert reading.trajectory.acts[1].observations[0].ok
    run = reading.trajectory.run_id
    assert "MIDDLE" in (stage.home / "observations" / run / "1-1.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["@kept/../../runs.db", "@kept//etc/passwd", "@kept/none.txt"])
def test_what_was_put_aside_is_no_way_out_of_the_workspace(stage: Stage, path: str) -> None:
    seen = stage.play([PLAN, call("read_file", path=path), FINISH]).trajectory.acts[0].observations[0]
    assert not seen.ok


# --- several calls, more tools ---------------------------------------------------------------------------


def test_finish_stands_alone(stage: Stage) -> None:
    turn = Reply(text="", calls=(call("look", place="attic"), FINISH))
    result = stage.play([PLAN, turn, FINISH], limits=Limits(calls_per_turn=2))
    first = result.trajectory.acts[0].observations
    assert [seen.ok for seen in first] == [True, False]
    assert "stand alone" in first[1].content
    assert result.ending == "finished"


def test_more_tools_are_found_on_request_and_can_then_be_called(stage: Stage) -> None:
    script = [
        PLAN,
        call("find_tools", query="weekday of a date"),
        call("weekday_of", date="2026-03-01"),
        FINISH,
    ]
    result = stage.play(script, conduct=Conduct(shown_tools=6))
    shown, found = result.trajectory.tools, result.trajectory.acts[0].observations[0]
    assert len(shown) == 6
    assert "weekday_of" not in shown
    assert "weekday_of" in found.content
    assert result.trajectory.acts[1].observations[0].content == "Sunday"
    offered = [{each["function"]["name"] for each in e.tools} for e in stage.expected if isinstance(e, Calls)]
    assert "weekday_of" not in offered[0]
    assert "weekday_of" in offered[1]


def test_with_few_tools_there_is_nothing_to_find(stage: Stage) -> None:
    assert "find_tools" not in stage.play([PLAN, FINISH], builtins=False).trajectory.tools


# --- the user has a say ----------------------------------------------------------------------------------


def test_the_user_edits_the_plan_before_it_is_followed(stage: Stage) -> None:
    shown: list[Sequence[str]] = []

    def edit(plan: Sequence[str]) -> Sequence[str]:
        shown.append(plan)
        return ["look twice", "tell"]

    result = stage.play([PLAN, FINISH], conduct=Conduct(plan="ask"), edit_plan=edit)
    assert shown == [("do it",)]
    assert result.trajectory.plan == ("look twice", "tell")
    assert "1. look twice 2. tell" in stage.heard


def test_a_run_can_go_without_a_plan(stage: Stage) -> None:
    result = stage.play([call("look", place="attic"), FINISH], conduct=Conduct(plan="off"))
    assert [step.kind for step in result.trajectory.steps] == ["act", "act"]


def test_the_user_is_asked_when_the_agent_needs_to_know(stage: Stage) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "blue"

    script = [PLAN, call("ask_user", question="Which colour?"), FINISH]
    result = stage.play(script, ask_user=answer)
    assert asked == ["Which colour?"]
    assert result.trajectory.acts[0].observations[0].content == "blue"


def test_where_nobody_can_be_asked_there_is_no_such_tool(stage: Stage) -> None:
    assert "ask_user" not in stage.play([PLAN, FINISH]).trajectory.tools


def test_a_word_between_steps_leads_to_a_new_plan(stage: Stage) -> None:
    words = iter([None, "use the back door"])
    script = [PLAN, call("look", place="front"), ["go round"], FINISH]
    result = stage.play(script, steer=lambda: next(words, None))
    assert result.trajectory.plan == ("go round",)
    assert "The user says: use the back door" in stage.heard
    assert stage.remedies == ["feedback"]


def test_the_model_may_change_its_plan(stage: Stage) -> None:
    result = stage.play([PLAN, call("plan", sub_goals=["first", "then"]), FINISH])
    assert result.trajectory.plan == ("first", "then")


# --- retries, dry runs, memory ---------------------------------------------------------------------------


@pytest.mark.parametrize(("retries", "status"), [(0, "refuted"), (1, "verified")])
def test_a_refuted_check_is_told_while_retries_last(stage: Stage, retries: int, status: str) -> None:
    right = call("finish", answer="42")
    result = stage.play(
        [PLAN, FINISH, right], check=lambda ws, answer: answer == "42", limits=Limits(retries=retries)
    )
    assert result.verdict.status == status
    assert stage.remedies == ["retry"] * retries


def test_a_dry_run_changes_nothing_and_says_what_it_would_do(stage: Stage) -> None:
    script = [PLAN, call("paint", colour="red"), call("look", place="attic"), FINISH]
    result = stage.play(script, conduct=Conduct(dry_run=True), check=lambda ws, answer: True)
    painted, looked = (step.observations[0] for step in result.trajectory.acts[:2])
    assert painted.detail == "dry run"
    assert not (stage.work / "painted").exists()
    assert looked.content == "nothing in attic"
    assert result.verdict.status == "unverified"


def test_what_memory_holds_about_the_goal_stands_beside_it(stage: Stage) -> None:
    memory = VolatileMemory()
    memory.add("The attic key hangs behind the kitchen door.", source="notes.md")
    result = stage.play([PLAN, FINISH], goal="Where is the attic key?", memory=memory)
    assert "behind the kitchen door" in stage.told[0][1].content
    assert len(result.trajectory.steps[0].recalled) == 1
    assert any(isinstance(event, events.Recalled) for event in stage.seen)


def test_a_new_plan_recalls_what_fits_its_reason(stage: Stage) -> None:
    memory = VolatileMemory()
    memory.add("When fail failed twice, look instead.")
    script = [PLAN, call("fail", place="a"), call("fail", place="b"), ["look"], FINISH]
    result = stage.play(script, memory=memory)
    assert "look instead" not in stage.told[0][1].content
    assert "look instead" in stage.heard
    plans = [step for step in result.trajectory.steps if step.kind == "plan"]
    assert [len(step.recalled) for step in plans] == [0, 1]
