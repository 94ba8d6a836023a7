"""Goals of two to six sub-goals: one after another, or the next with what the one before found out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Clause, Episode, Kind, Maker, Split
from autoagent.nano.families.chain import join
from autoagent.nano.families.custom import invent_look_up
from autoagent.nano.families.figures import CALLED
from autoagent.nano.families.singles import draw
from autoagent.nano.language import lower
from autoagent.tools.calculator import calculate

_LINKS = (
    " and then |, then |. Then |. After that, |, after that |; then |. Next, |, and afterwards |. Afterwards "
    "|. When that is done, |, next |. And then |. Also, |, and also |. Finally, |. Once done, |; |. "
).split("|")
_STARTS = "||||First, |First of all, |Two things: |Start with this: |To begin with, |Step one: ".split("|")


def one_after_another(make: Maker) -> Episode:
    """Two to six goals in a row; what they tell is told in the same order."""
    count = make.rng.choice((2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6))
    clauses = [clause for _, clause in draw(make, count)]
    words, parts = in_a_row(make, clauses)
    return make.whole(join(clauses, words, parts))


def in_a_row(make: Maker, clauses: Sequence[Clause]) -> tuple[str, list[str]]:
    """The words of several clauses as one request, and the parts that are theirs."""
    rng = make.rng
    words = [clause.words for clause in clauses]
    if rng.random() < 0.12:
        return " ".join(f"{number}. {_closed(each)}" for number, each in enumerate(words, 1)), words
    start = rng.choice(make.on_side(_STARTS) or [""])
    parts = [_small(make, words[0]) if start else words[0]]
    goal = start + parts[0]
    same = rng.choice(make.on_side(_LINKS)) if rng.random() < 0.5 else ""
    for each in words[1:]:
        link = same or rng.choice(make.on_side(_LINKS))
        parts.append(each if link.endswith(". ") else _small(make, each))
        goal = _cut(make, goal) + link + parts[-1]
    return goal, parts


def _cut(make: Maker, words: str) -> str:
    """Words that go on: without their question mark, and known to begin with a value if they do."""
    cut = words.rstrip("?")
    if words in make.names:
        make.names.append(cut)
    return cut


def _small(make: Maker, words: str) -> str:
    return words if words in make.names else lower(words)


def _closed(words: str) -> str:
    return words if words.endswith(("?", ".")) else words + "."


_SHORT = 60  # characters of a result that is passed on
_IT = "it|the result|the answer|that|the outcome|what you find|what you get|this|the output".split("|")
_KEPT: dict[str, tuple[str, ...]] = {
    "write": (
        "[write|save|put|store] {it} [to|into|in] {p}",
        "[write|put|save] {it} [to|into|in] [a|the|a new] file [called |named |]{p}",
        "[create|make] {p} with {it}",
        "make a file {p} [of|from|out of] {it}",
        "{p} [should|shall] hold {it}",
        "keep {it} in {p}",
        "leave {it} in {p}",
        "note {it} down in {p}",
        "jot {it} down in {p}",
        "drop {it} into {p}",
        "dump {it} to {p}",
        "[file|record] {it} as {p}",
    ),
    "append": (
        "[append|add] {it} to {p}",
        "[add|put] {it} at the end of {p}",
        "[add|append] a line with {it} to {p}",
        "[tack|stick] {it} on at the end of {p}",
        "attach {it} to the end of {p}",
        "let {p} end with {it}",
        "extend {p} [by|with] {it}",
        "[put|write] {it} below [what is in|the rest of|the text of] {p}",
        "add {it} as the last line of {p}",
    ),
    "save": (
        "[remember|memorize|memorise] {it}",
        "save {it} [to|in] [your |]memory",
        "keep {it} in [mind|memory]",
        "[don't|do not|never] forget {it}",
        "store {it} in [your |]memory",
        "make sure you remember {it}[ later|]",
        "note {it} in your memory",
        "learn {it} by heart",
    ),
}


def keep_result(make: Maker) -> Episode:
    """Find something out, then write, append or remember it."""
    while True:
        sink = make.rng.choice(tuple(_KEPT))
        (name, source), *_ = draw(make)
        if make.may_combine((name, sink)) and _can_pass_on(source, name, sink):
            return make.whole(_kept(make, source, sink))


def _can_pass_on(source: Clause, name: str, sink: str) -> bool:
    """Whether the source tells something short; what memory holds need not be saved there."""
    short = source.tells and bool(source.value) and len(source.value) <= _SHORT
    return short and "\n" not in source.value and (sink, name) != ("save", "recall_memory")


def _kept(make: Maker, source: Clause, sink: str) -> Clause:
    path, before = make.new_file(), make.words.phrase(1, 4)
    if sink == "append":
        make.files[path] = before + "\n"
    tail = make.say(*_KEPT[sink], it=make.rng.choice(_IT), p=path)
    link = make.rng.choice(make.on_side([link for link in _LINKS if "also" not in link.lower()]))
    begin = tail[0].upper() + tail[1:] if link.endswith(". ") and make.rng.random() < 0.6 else tail
    goal = _cut(make, source.words) + link + begin
    told, found = source.answer, [replace(each, part=source.words) for each in source.actions]
    if sink == "save":
        last = Action("save_memory", lambda seen: {"text": told(seen)}, source.because, part=begin)
        wanted: dict[str, object] = {"remembers": source.value}
    else:
        tool = {"write": "write_file", "append": "append_file"}[sink]
        last = Action(tool, lambda seen: {"path": path, "content": told(seen)}, source.because, part=begin)
        content = source.value if sink == "write" else f"{before}\n{source.value}"
        wanted = {"files": {**source.expected.files, path: content}}
    expected = source.expected.model_copy(update=wanted | {"answer": None})
    return Clause(goal, (*found, last), expected, tells=False, memory=source.memory, tools=source.tools)


_RECKONED: dict[str, tuple[str, ...]] = {
    "{f} * {n}": (
        "[multiply|times] it by {n}",
        "take it times {n}",
        "work out {n} times that",
        "calculate {n} times as much",
        "tell me what {n} of them make",
        "multiply the [figure|number|result] [by|with] {n}",
        "what is that times {n}",
    ),
    "{f} + {n}": (
        "add {n} to it",
        "add {n}",
        "work out that plus {n}",
        "calculate {n} more than that",
        "tell me the sum of it and {n}",
        "put {n} on top of it and tell me the sum",
        "what is that plus {n}",
        "what do I get with {n} more",
        "increase it by {n}",
    ),
    "{f} - {n}": (
        "subtract {n} from it",
        "take {n} off",
        "work out that minus {n}",
        "calculate {n} less than that",
        "take {n} away from it",
        "tell me what is left without {n}",
        "what is that minus {n}",
    ),
    "{f} / {n}": (
        "divide it by {n}",
        "split it by {n}",
        "work out that over {n}",
        "calculate what one of {n} equal parts is",
        "share it among {n}",
        "divide the [figure|number|result] by {n}",
        "what is that divided by {n}",
    ),
    "{f} * {n} / 100": (
        "calculate {n} percent of it",
        "work out {n} % of that",
        "tell me what {n} percent of that [is|are]",
        "take {n} percent of it",
        "what is {n} % of it",
        "I want {n} percent of the [figure|number|result]",
    ),
}


def reckon_with_result(make: Maker) -> Episode:
    """A custom tool tells a figure, which is then reckoned with."""
    made, rng = invent_look_up(make), make.rng
    figure = make.words.number() if rng.random() < 0.7 else round(make.words.decimal(), 2)
    key = next(iter(made.spec.replies))
    spec = made.spec.model_copy(update={"replies": {key: str(figure)}})
    n = rng.randint(2, 99)
    shape = rng.choice(tuple(_RECKONED))
    called = CALLED[shape.format(f="{a}", n="{b}")]
    tail = make.say(*_RECKONED[shape], n=n)
    goal = _cut(make, made.goal) + rng.choice(make.on_side(_LINKS)) + tail
    call = replace(made.call, part=made.goal)
    result = str(calculate.function(expression=shape.format(f=figure, n=n)))
    reckon = Action(
        "calculate",
        lambda seen: {"expression": shape.format(f=seen[-1], n=n)},
        because=lambda seen: f"{called}: {seen[-1]}, {n}",
        part=tail,
    )
    return make.whole(Clause(goal, (call, reckon), Expected(answer=result), value=result, tools=(spec,)))


def find_and_read(make: Maker) -> Episode:
    w = make.words
    make.clutter(2)
    name, text = f"{w.stem()}.{make.rng.choice(('txt', 'md', 'log'))}", w.phrase(2, 6)
    path = f"{w.folder()}/{name}"
    make.put(path, text)
    goal = make.say(
        "[Find|Locate] [the file |]{n} and [read it|tell me what it says|show me what is in it]",
        "[Find|Search for|Look for|Locate] {n}, then [read|open|show|print] [it|its text|the text]",
        "[First |]find [out |]where {n} is[ stored| kept|], [and|then] [read|open|show|print] [it|the text]",
        "[I need|I want|I'd like] [the text|the content|what is written] [of|in] {n}[, wherever it is|]",
        "[Tell|Show] me what {n} says[, wherever it lies|; it is in some folder| when you have found it]",
        "Find {n} and [give|show] me its [content|text]",
        "[Where is|Find out where] {n}[ is|]? [Read it|Open it], too",
        "{n} [is somewhere|must be somewhere|lies in some folder]: [find|locate] it and [read|show|open] it",
        "I [lost|can't find|don't know where I put] {n}. [Find it and read|Show me what it says] it",
        "[Look for|Hunt for|Track down] [the file |]{n} and [print|show] [its text|what is in it]",
        "Locate {n}; what does it say?",
        "Somewhere there is a file {n}: what is in it?",
        "Search [my|the] folders for {n} and [open|read] it",
        n=name,
    )
    return make.episode(
        goal,
        Action("find_file", {"name": name}),
        Action("read_file", lambda seen: {"path": path}),
        expected=Expected(answer=text),
    )


_CHAINS: tuple[Split, ...] = ("seen", "values", "wordings", "combinations")
FAMILIES: dict[str, Kind] = {
    "one_after_another": Kind(one_after_another, 16, "plan", _CHAINS),
    "keep_result": Kind(keep_result, 12, "plan", _CHAINS),
    "reckon_with_result": Kind(reckon_with_result, 3, "plan"),
    "find_and_read": Kind(find_and_read, 3, "plan"),
}
