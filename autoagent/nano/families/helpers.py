"""Parts of the work handed to a helper, as the user wants it."""

from __future__ import annotations

from dataclasses import replace

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Episode, Kind, Maker
from autoagent.nano.families.singles import draw
from autoagent.nano.language import lower


def hand_over(make: Maker) -> Episode:
    """A helper does one thing; the agent tells what came of it, or keeps it."""
    while True:
        (_, clause), *_ = draw(make)
        if clause.tells and clause.value and len(clause.value) <= 60 and not clause.answers:
            break
    job = clause.words if clause.words in make.names else lower(clause.words)
    keep = make.rng.random() < 0.3
    path = make.new_file()
    goal = make.say(
        "[Let|Have] a helper {low}",
        "[Ask|Tell] a helper to do this: {job}",
        "[Delegate|Hand over] this: {job}",
        "[Delegate to|Give] a [helper|sub-agent] [the task|the job]: {job}",
        "Let [a sub-agent|an assistant of yours|somebody else] do this: {job}",
        "A helper [shall|should|can] do that: {job}",
        "Use a helper [for this|here]: {job}",
        "[Pass this on to|Leave this to] a helper: {job}",
        "Don't do it yourself, delegate it: {job}",
        "Helper task: {job}",
        "[Get|Send] a helper [for|to do] this: {job}",
        "I want a helper to work on this: {job}",
        "Split this off to a sub-agent: {job}",
        low=job,
        job=clause.words,
    )
    actions = [Action("delegate", {"goal": clause.words})]
    expected = Expected(answer=clause.value, calls=("delegate",))
    if keep:
        tail = make.say(
            "[write|save|put] [the result|it] [to|into] {p}", "store what it finds in {p}",
            "[the result|its answer] [goes|belongs] into {p}", "put its answer into {p}", p=path,
        )  # fmt: skip
        goal = f"{goal.rstrip('?')}{make.rng.choice((', then ', '. Then ', ' and '))}{tail}"
        actions.append(Action("write_file", lambda seen: {"path": path, "content": seen[-1]}))
        expected = Expected(files={path: clause.value}, calls=("delegate",))
    made = make.episode(goal, *actions, expected=expected, memory=clause.memory, tools=clause.tools)
    work = make.whole(replace(clause, words=clause.words))
    helper = replace(work, task=work.task.model_copy(update={"goal": clause.words}))
    return replace(made, helpers=(helper,))


FAMILIES: dict[str, Kind] = {"hand_over": Kind(hand_over, 4, "delegate")}
