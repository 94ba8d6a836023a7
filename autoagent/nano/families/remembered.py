"""Memory put to use: a fact is recalled or saved, and something is done with it."""

from __future__ import annotations

import datetime

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Clause, Kind, Maker
from autoagent.nano.families.contents import as_kind
from autoagent.nano.families.facts import Fact, among_others, make_fact
from autoagent.tools.calculator import calculate
from autoagent.tools.convert import convert_units

_AMOUNTS = "price rent budget score age weight fee salary bill loan stock".split()

_SUMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "{v} * {k}",
        (
            "What is {k} times {thing} [I told you|you remember|I gave you|in your memory]?",
            "[Recall|Remember|Look in memory for] {thing} and multiply it by {k}",
            "Multiply {thing} [from memory|in your memory|I told you|you remember] by {k}",
            "[Take|Get|Fetch] {thing} from [memory|your memory] [and multiply it by|times] {k}",
            "You [should |]remember {thing}. How much is it times {k}?",
            "I [told|gave] you {thing}[| before]. [What|How much] is {k} times that?",
            "Look {thing} up in your memory, how much is {k} times as much?",
        ),
    ),
    (
        "{v} + {k}",
        (
            "What is {thing} [I told you|you remember|I gave you|in your memory] plus {k}?",
            "[Recall|Remember|Look in memory for] {thing} and add {k}",
            "Add {k} to {thing} [from memory|in your memory|I told you|you remember]",
            "[Take|Get|Fetch] {thing} from [memory|your memory] and add {k}",
            "You [should |]remember {thing}. How much is it with {k} more?",
            "I [told|gave] you {thing}[| before]. What is that plus {k}?",
        ),
    ),
    (
        "{v} - {k}",
        (
            "What is {thing} [I told you|you remember|I gave you|in your memory] minus {k}?",
            "[Recall|Remember|Look in memory for] {thing} and subtract {k}",
            "[Subtract|Deduct] {k} from {thing} [in your memory|I told you|you remember]",
            "[Take|Get|Fetch] {thing} from [memory|your memory] and take {k} [away|off]",
            "You [should |]remember {thing}. How much is it when {k} is taken off?",
            "I [told|gave] you {thing}[| before]. What is that minus {k}?",
        ),
    ),
    (
        "{v} / {k}",
        (
            "What is {thing} [I told you|you remember|I gave you|in your memory] divided by {k}?",
            "[Recall|Remember|Look in memory for] {thing} and divide it by {k}",
            "[Divide|Split] {thing} [from memory|in your memory|I told you|you remember] by {k}",
            "[Take|Get|Fetch] {thing} from [memory|your memory] and split it in {k} parts",
            "You [should |]remember {thing}. How much is it for each of {k} people?",
            "I [told|gave] you {thing}[| before]. What is that divided by {k}?",
        ),
    ),
)


def recall_and_compute(make: Maker) -> Clause:
    """A number from memory, and a sum, a conversion or a date with it."""
    return make.rng.choice((_sum_with, _sum_with, _conversion_of, _weekday_of))(make)


def _number_fact(make: Maker) -> tuple[Fact, str]:
    """A fact about a number, and the number."""
    rng, w = make.rng, make.words
    number = str(rng.choice((rng.randint(2, 99), w.number(), w.decimal())))
    unit = rng.choice(("", "", " euros", " dollars"))
    return make_fact(make, number + unit, rng.choice(_AMOUNTS)), number


def _sum_with(make: Maker) -> Clause:
    fact, number = _number_fact(make)
    pattern, wordings = make.rng.choice(_SUMS)
    by = make.rng.randint(2, 20)
    expression = pattern.format(v=number, k=by)
    second = Action("calculate", {"expression": expression}, because=lambda seen: fact.text)
    value = str(calculate.function(expression))
    return _with_fact(make, fact, make.say(*wordings, thing=fact.thing, k=by), second, value)


_CONVERSIONS = (
    ("km", "miles", "distance way trip walk"),
    ("miles", "km", "distance way trip walk"),
    ("kg", "pounds", "weight luggage load"),
    ("pounds", "kg", "weight luggage load"),
    ("hours", "minutes", "flight shift drive"),
    ("meters", "feet", "height length depth"),
    ("days", "hours", "stay holiday trip"),
)


def _conversion_of(make: Maker) -> Clause:
    rng = make.rng
    source, target, about = rng.choice(_CONVERSIONS)
    number = rng.choice((rng.randint(2, 99), make.words.decimal()))
    fact = make_fact(make, f"{number} {source}", rng.choice(about.split()))
    goal = make.say(
        "What is {thing} [I told you|you remember|I gave you|in your memory] in {t}?",
        "[Recall|Remember] {thing} and convert it to {t}",
        "Convert {thing} [from memory|in your memory|I told you] [to|into] {t}",
        "[Take|Get|Fetch] {thing} from [memory|your memory] and [give|tell] it to me in {t}",
        "You [should |will |]remember {thing}. How [much is [it|that] in {t}|many {t} is [it|that]]?",
        "I [told|gave] you {thing}[| before]. What is that in {t}?",
        "Look up {thing} in memory, I need it in {t}",
        thing=fact.thing,
        t=target,
    )
    arguments = {"value": number, "source": source, "target": target}
    second = Action("convert_units", arguments, because=lambda seen: fact.text)
    return _with_fact(make, fact, goal, second, str(convert_units.function(**arguments)))


def _weekday_of(make: Maker) -> Clause:
    date = make.words.date()
    thing = make.rng.choice("deadline birthday wedding flight exam party appointment holiday".split())
    fact = make_fact(make, date, thing)
    goal = make.say(
        "On [which|what] [weekday|day of the week] is {thing} [I told you about|you remember]?",
        "[Recall|Remember] {thing} and tell me its [weekday|day of the week]",
        "Which [weekday|day of the week] is {thing} on? [The date is in memory|I told you the date]",
        "[Take|Get|Fetch] {thing} from [memory|your memory] and find its [weekday|day of the week]",
        "You [should |]remember {thing}. What [weekday|day of the week] is [it|that]?",
        "I [told|gave] you {thing}[| before]. Which [weekday|day of the week] is that?",
        thing=fact.thing,
    )
    second = Action("weekday_of", {"date": date}, because=lambda seen: fact.text)
    weekday = datetime.date.fromisoformat(date).strftime("%A")
    return _with_fact(make, fact, goal, second, weekday)


def _with_fact(make: Maker, fact: Fact, words: str, second: Action, value: str) -> Clause:
    first = Action("recall_memory", {"query": fact.query})
    return Clause(
        words, (first, second), Expected(answer=value), value=value, memory=among_others(make, fact)
    )


def recall_and_write(make: Maker) -> Clause:
    """What is remembered, into a file."""
    fact = make_fact(make, make.words.code())
    path = make.new_file()
    goal = make.say(
        "[Write|Put|Save|Store] {thing} [you remember|from memory|I told you|from your memory] [to|into] {p}",
        "[Recall|Look in memory for] {thing} and [write|put|save] it [to|into|in] {p}",
        "[Get|Take|Fetch] {thing} from memory and [write|save|store] it [in|to] {p}",
        "[Create|Make] a file {p} with {thing} [from memory|I told you|you remember]",
        "You [should |]remember {thing}, [write|put|note] it [into|in] {p}",
        "I told you {thing}, [write|put] it in [a file|the file] {p}",
        "{p} should hold {thing}, look it up in your memory",
        "What I told you about {thing}, [write|put|save] it [to|into] {p}",
        "Remember {thing}? [Write|Put|Save] it to {p}",
        "[Into|To] {p}, [write|save] {thing} [from memory|you remember]",
        "[Recall|Remember] {thing} and [write|put] it down in {p}",
        "[Fill|Make] [the file |]{p} with {thing}, which [you remember|is in your memory|I told you]",
        "[Look|Search] in [memory|your memory] for {thing} and [write|save|put] it [to|in|into] {p}",
        "{p} [should|must] [say|contain|hold] {thing}, [recall|fetch|get] it from memory",
        "[Take|Fetch|Get] what you [remember|know] about {thing} and [write|save] it [to|into] {p}",
        thing=fact.thing,
        p=path,
    )
    write = Action("write_file", {"path": path, "content": fact.value}, because=lambda seen: fact.text)
    return Clause(
        goal,
        (Action("recall_memory", {"query": fact.query}), write),
        Expected(files={path: fact.value}),
        tells=False,
        memory=among_others(make, fact),
    )


_SAVE_THEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "{v} * {k}",
        (
            "[Save|Put] to memory that {fact}, and [also |]give me that value multiplied by {k}",
            "Two things: keep in mind that {fact}, and [compute|tell me] it multiplied by {k}",
            "[Remember|Note|Keep in mind|Memorize] that {fact}, "
            "and [tell me|work out|say] [how much|what] {k} times that is",
            "[Remember|Save|Keep in mind] that {fact}. [How much|What] is [it|that] times {k}?",
            "[Save|Store|Keep] in memory that {fact}, then multiply it by {k}",
            "{thing} is {value}: [remember|save|keep] [it|that] and tell me what {k} times that is",
            "[Keep in memory|Remember|Save]: {fact}. And [what|how much] is that times {k}?",
            "[Memorize|Remember|Note] that {fact} and [work out|tell me] {k} times as much",
            "[Save|Store] it: {fact}. [What|How much] do I get when I multiply it by {k}?",
        ),
    ),
    (
        "{v} / {k}",
        (
            "[Save|Put] to memory that {fact}, and [also |]give me that value divided by {k}",
            "Two things: keep in mind that {fact}, and [compute|tell me] it divided by {k}",
            "[Remember|Note|Keep in mind|Memorize] that {fact}, "
            "and [tell me|work out|say] [how much|what] that is divided by {k}",
            "[Remember|Save|Keep in mind] that {fact}. "
            "How much is [it|that] for each of {k} [people|us|friends]?",
            "[Save|Store|Keep] in memory that {fact}, then [divide|split] it by {k}",
            "{thing} is {value}: [remember|save|keep] [it|that] and tell me the share for each of {k}",
            "[Keep in memory|Remember|Save]: {fact}. And [what|how much] is that divided by {k}?",
            "[Memorize|Remember|Note] that {fact} and [divide|split] it by {k}",
        ),
    ),
    (
        "{v} + {k}",
        (
            "[Save|Put] to memory that {fact}, and [also |]give me that value plus {k}",
            "Two things: keep in mind that {fact}, and [compute|tell me] it plus {k}",
            "[Remember|Note|Keep in mind|Memorize] that {fact}, "
            "and [tell me|work out|say] [how much|what] it is with {k} more",
            "[Remember|Save|Keep in mind] that {fact}. [How much|What] is [it|that] plus {k}?",
            "[Save|Store|Keep] in memory that {fact}, then add {k} to it",
            "{thing} is {value}: [remember|save|keep] [it|that] and tell me what {k} more than that is",
            "[Keep in memory|Remember|Save]: {fact}. And [what|how much] is that plus {k}?",
            "[Memorize|Remember|Note] that {fact} and add {k}[| to it]",
            "[Note|Remember]: {fact}. [What|How much] is {k} more?",
            "[Remember|Save] that {fact} and [tell me|say] what comes out when {k} is added",
        ),
    ),
)


def save_and_use(make: Maker) -> Clause:
    """Saved and used in the same run."""
    fact, number = _number_fact(make)
    pattern, wordings = make.rng.choice(_SAVE_THEN)
    by = make.rng.randint(2, 20)
    expression = pattern.format(v=number, k=by)
    goal = make.say(*wordings, fact=fact.text, thing=fact.thing, value=fact.value, k=by)
    value = str(calculate.function(expression))
    return Clause(
        goal,
        (Action("save_memory", {"text": fact.text}), Action("calculate", {"expression": expression})),
        Expected(answer=value, remembers=fact.text),
        value=value,
    )


FAMILIES: dict[str, Kind] = {
    "recall_and_compute": as_kind(recall_and_compute, 4, "memory"),
    "recall_and_write": as_kind(recall_and_write, 3, "memory"),
    "save_and_use": as_kind(save_and_use, 3, "memory"),
}
