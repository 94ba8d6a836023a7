"""Memory: save a fact, recall one saved before, here or in an earlier run."""

from __future__ import annotations

from dataclasses import replace

from autoagent.evals.task import Expected, FollowUp
from autoagent.nano.families import remembered
from autoagent.nano.families.base import Action, Clause, Episode, Kind, Maker
from autoagent.nano.families.contents import as_kind
from autoagent.nano.families.facts import Fact, among_others, any_fact, make_fact

_SAVING = (
    "[Remember|Memorize|Memorise|Note|Keep in mind] that {fact}",
    "[Remember|Memorize|Save to memory|Keep in memory]: {fact}",
    "[Save|Store|Keep|Put] in [memory|your memory] that {fact}",
    "[Save|Store|Keep] the fact that {fact}[| in memory]",
    "[Don't|Do not|Never] forget that {fact}",
    "[For later|For the future|For next time]: {fact}. Remember [it|that]",
    "[Remember|Save|Memorize] [this|the following]: {fact}",
    "[Please note|Take note|Make a mental note]: {fact}",
    "[Keep|Bear|Have] in mind: {fact}",
    "[Save|Add] to [memory|your memory]: {fact}",
    "[A fact|Something|One thing] to [remember|keep|save|keep in mind][| for later]: {fact}",
    "You should [remember|know] [for later|for next time|from now on]: {fact}",
    "I [want|need|would like] you to [remember|memorize|keep in mind] that {fact}",
    "[Learn|Memorize] by heart: {fact}",
    "I'll [ask|need it] [later|again|tomorrow], so [remember|keep in mind]: {fact}",
    "[Store|Save|Keep|Note] [this|the following|this fact] [in memory|for later|in your memory]: {fact}",
    "[It is important|Important]: {fact}. Keep [it|that] in [mind|memory]",
    "For your memory: {fact}",
    "[Can|Could|Will] you [remember|keep in mind|save] that {fact}?",
    "[Keep|Hold on to|Save] this for [me|later|next time]: {fact}",
    "I [might|may|will surely] forget that {fact}, so [please |][remember|keep|save|store] it[| for me]",
    "[From now on|Next time|In later runs] you should [know|remember] that {fact}",
)

_RECALLING = (
    "What did I [tell|say to] you [about|concerning] {thing}[| earlier| before| last time]?",
    "[From memory|From your memory], [what is|tell me] {thing}",
    "[Do you remember|Can you recall|Do you recall|Do you still know] {thing}?",
    "[Recall|Call to mind|Bring back] {thing}[?|| for me]",
    "What do you [remember|recall|know from memory] about {thing}?",
    "What is {thing}? [It is in your memory|You have it in memory|I told you before|I told you earlier]",
    "[Look in|Check|Search|Consult|Ask] your memory for {thing}",
    "[Remind me [of|about]|Tell me about] {thing}",
    "[I forgot|I can't remember|I no longer know] {thing}, [what is it|tell me|do you know it|remind me]",
    "What [was|is] {thing} again[|, I told you before|, I told you once]?",
    "Tell me {thing}, [I told you before|you know it|it is in memory|you should remember]",
    "I [told|gave] you {thing} [before|earlier|last time|once], what [is|was] it?",
    "[Get|Fetch|Look up|Find] {thing} [from|in] [memory|your memory]",
    "What have you [saved|stored|kept|remembered|noted] about {thing}[| in memory]?",
    "[Is there|Do you have|Have you got] anything in [memory|your memory] [about|on] {thing}?",
    "As you [remember|recall|know from memory], what is {thing}?",
    "[Help me out|Sorry|Hm], what was {thing} again[|, do you remember]?",
    "[Which|What] value did I [give|tell] you for {thing}[| earlier| before]?",
    "[Memory|From memory]: {thing}?",
    "{thing}, [what was it|what did I say it was|from memory]?",
    "[I need|I'd like to hear|Give me] {thing} from [memory|your memory|what you remember]",
    "[What|Which] was {thing}? [I saved it|It is saved|You saved it] [in memory|in your memory]",
    "[Tell me|Give me] [again|once more] {thing}[, from memory|, you know it from memory]",
    "[Can|Could] you remind me [what {thing} is|of {thing}]?",
    "{thing}: [what do you remember|what is saved|what did I tell you]?",
    "[Once more|Again], what did I tell you {thing} [is|was]?",
    "Have you [noted|saved|kept|stored] {thing}[| in memory]? What is it?",
    "I [asked|told] you to [remember|keep] {thing}. What is it?",
)


def save(make: Maker) -> Clause:
    text = any_fact(make)
    goal = make.say(*_SAVING, fact=text)
    return Clause(goal, (Action("save_memory", {"text": text}),), Expected(remembers=text), tells=False)


def recall(make: Maker) -> Clause:
    fact = make_fact(make, make.words.code())
    return _recalling(make, fact, make.say(*_RECALLING, thing=fact.thing))


def _recalling(make: Maker, fact: Fact, words: str) -> Clause:
    """The fact is in memory, among others."""
    return Clause(
        words,
        (Action("recall_memory", {"query": fact.query}),),
        Expected(answer=fact.value),
        lambda seen: fact.value,
        lambda seen: fact.text,
        value=fact.value,
        memory=among_others(make, fact),
    )


def fact_about(make: Maker) -> tuple[str, str, str]:
    """A fact, what it is about, and its value: ("the door code is 4411", "the door code", "4411")."""
    fact = make_fact(make, make.words.code())
    return fact.text, fact.thing, fact.value


def remember_later(make: Maker) -> Episode:
    """One run saves a fact, a later one in the same project asks for it. Training has both as families."""
    fact = make_fact(make, make.words.code())
    first = Clause(
        make.say(*_SAVING, fact=fact.text),
        (Action("save_memory", {"text": fact.text}),),
        Expected(remembers=fact.text),
        tells=False,
    )
    words = make.say(*_RECALLING, thing=fact.thing)
    second = replace(_recalling(make, fact, words), memory=())
    opening, later = make.whole(first), make.whole(second)
    follow_up = FollowUp(goal=later.task.goal, expected=later.task.expected)
    others = tuple(text for text in among_others(make, fact) if text != fact.text)
    task = opening.task.model_copy(update={"follow_ups": (follow_up,), "memory": others})
    return replace(opening, task=task, later=(later,))


FAMILIES: dict[str, Kind] = {
    "save_memory": as_kind(save, 4, "memory"),
    "recall_memory": as_kind(recall, 6, "memory"),
    **remembered.FAMILIES,
    "remember_later": Kind(remember_later, 0, "memory"),
}
