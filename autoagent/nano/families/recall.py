"""Memory: save a fact, and recall one saved before."""

from __future__ import annotations

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Episode, Maker


def save(make: Maker) -> Episode:
    fact, _, _ = fact_about(make)
    goal = make.say(
        "[Remember|Memorize|Memorise|Note|Keep in mind] that {fact}",
        "[Remember|Memorize|Save to memory|Keep in memory]: {fact}",
        "[Save|Store|Keep] in memory that {fact}",
        "[Save|Store] the fact that {fact}[| in memory]",
        "[Don't|Do not|Never] forget that {fact}",
        "[For later|For the future|For next time]: {fact}. Remember [it|that]",
        fact=fact,
    )
    return make.episode(goal, Action("save_memory", {"text": fact}), expected=Expected(remembers=fact))


def recall(make: Maker) -> Episode:
    fact, thing, value = fact_about(make)
    others = [fact_about(make)[0] for _ in range(make.rng.randint(0, 2))]
    memory = [fact, *others]
    make.rng.shuffle(memory)
    goal = make.say(
        "What did I [tell|say to] you about {thing}?",
        "[From memory|From your memory], [what is|tell me] {thing}",
        "[Do you remember|Can you recall|Do you recall] {thing}?",
        "Recall {thing}",
        "What do you [remember|know] about {thing}?",
        "What is {thing}? [It is in your memory|You have it in memory|I told you before|I told you earlier]",
        "[Look in|Check|Search] your memory for {thing}",
        "[Remind me [of|about]|Tell me about] {thing}",
        thing=thing,
    )
    call = Action("recall_memory", {"query": thing.removeprefix("the ")})
    return make.episode(goal, call, answer=lambda seen: value, memory=memory, expected=Expected(answer=value))


def fact_about(make: Maker) -> tuple[str, str, str]:
    """A fact, what it is about, and its value: ("the door code is 4411", "the door code", "4411")."""
    w, rng = make.words, make.rng
    value = w.code()
    kind = rng.randrange(4)
    if kind == 0:
        thing = f"{w.name()}'s {w.thing()}"
    elif kind == 1:
        thing = f"my {w.thing()}"
    else:
        thing = f"the {w.thing()}"
    return f"{thing} is {value}", thing, value
