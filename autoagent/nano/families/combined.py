"""Two steps in one goal: find something out, then keep it; or find a file, then read it."""

from __future__ import annotations

from collections.abc import Sequence

from autoagent.evals.task import Expected, ToolSpec
from autoagent.nano.families.base import Action, Episode, Maker
from autoagent.nano.families.custom import distinct, invent
from autoagent.nano.families.figures import column_in_words, figure_of, sum_in_words, units_in_words
from autoagent.nano.families.recall import fact_about


class _Source:
    """Where the value of the first step comes from."""

    def __init__(self, make: Maker) -> None:
        self.tools: Sequence[ToolSpec] = ()
        self.memory: Sequence[str] = ()
        rng, w = make.rng, make.words
        kind = rng.randrange(6)
        if kind == 0:
            self.goal, expression = sum_in_words(make)
            self.call = Action("calculate", {"expression": expression})
            self.value = figure_of("calculate", {"expression": expression})
        elif kind == 1:
            self.goal, self.call, self.value = column_in_words(make)
        elif kind == 2:
            self.goal, arguments = units_in_words(make)
            self.call = Action("convert_units", arguments)
            self.value = figure_of("convert_units", arguments)
        elif kind == 3:
            made = invent(make)
            self.goal, self.call, self.value = made.goal, made.call, made.reply
            self.tools = distinct([made.spec, *(invent(make).spec for _ in range(rng.randint(0, 2)))])
        elif kind == 4:
            path, self.value = w.file(), w.phrase(1, 5)
            make.put(path, self.value)
            self.goal = make.say(
                "[Read|Open] [the file |]{p}", "[Take|Get] the [text|content] of {p}", p=path
            )
            self.call = Action("read_file", {"path": path})
        else:
            self.value, thing, _ = fact_about(make)
            self.memory = [self.value]
            self.goal = make.say("Recall {t}", "[Look in|Check] your memory for {t}", t=thing)
            self.call = Action("recall_memory", {"query": thing.removeprefix("the ")})


def keep_result(make: Maker) -> Episode:
    """Find something out, then write, append or remember it."""
    w, rng = make.words, make.rng
    source = _Source(make)
    kind = rng.choice(
        ("write", "append", "save") if source.call.tool != "recall_memory" else ("write", "append")
    )
    what = rng.choice(("it", "the result", "the answer", "that", "the outcome"))
    link = rng.choice((" and ", " and then ", ", then ", ". Then "))
    path = w.file()
    while path in make.files:
        path = w.file()
    if kind == "write":
        tail = make.say("[write|save|put|store] {what} [to|into|in] {p}", what=what, p=path)
        second = Action("write_file", lambda seen: {"path": path, "content": seen[-1]})
        expected = Expected(files={path: source.value})
    elif kind == "append":
        before = w.phrase(1, 4)
        make.files[path] = before + "\n"
        tail = make.say("[append|add] {what} to {p}", "[add|put] {what} at the end of {p}", what=what, p=path)
        second = Action("append_file", lambda seen: {"path": path, "content": seen[-1]})
        expected = Expected(files={path: f"{before}\n{source.value}"})
    else:
        tail = make.say("[remember|memorize|keep in memory] {what}", "save {what} [to|in] memory", what=what)
        second = Action("save_memory", lambda seen: {"text": seen[-1]})
        expected = Expected(remembers=source.value)
    if link.startswith("."):
        tail = tail[0].upper() + tail[1:] if rng.random() < 0.5 else tail
    goal = source.goal.rstrip("?") + link + tail
    return make.episode(
        goal, source.call, second, memory=source.memory, tools=source.tools, expected=expected
    )


def find_and_read(make: Maker) -> Episode:
    w = make.words
    make.clutter(2)
    name, text = f"{w.stem()}.{make.rng.choice(('txt', 'md', 'log'))}", w.phrase(2, 6)
    path = f"{w.folder()}/{name}"
    make.put(path, text)
    goal = make.say(
        "[Find|Locate] [the file |]{n} and [read it|tell me what it says|show me what is in it]",
        "[Find|Search for] {n}, then [read it|open it|show it]",
        "Find {n} and [give|show] me its [content|text]",
        n=name,
    )
    return make.episode(
        goal,
        Action("find_file", {"name": name}),
        Action("read_file", {"path": path}),
        expected=Expected(answer=text),
    )
