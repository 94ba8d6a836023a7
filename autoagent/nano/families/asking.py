"""A value is missing: ask the user; where nobody is there to ask, or no answer comes, say what is missing."""

from __future__ import annotations

from dataclasses import replace

from autoagent.evals.task import Expected
from autoagent.nano.families.base import Action, Episode, Kind, Maker
from autoagent.nano.families.custom import invent_look_up, others

_NO_ANSWER = "The user gave no answer."


def ask(make: Maker) -> Episode:
    """One thing is missing; the user says it when asked, mostly."""
    made = _MISSING[make.rng.randrange(len(_MISSING))](make)
    fate = make.rng.random()
    if fate < 0.75:
        return made
    missing = made.answer(())
    reason = f"It is not said {missing}."
    task = made.task.model_copy(update={"answers": (), "expected": Expected(declines=True)})
    if fate < 0.88:  # asked in vain
        task = task.model_copy(update={"expected": Expected(declines=True, asks=True)})
        return replace(made, task=task, actions=made.actions[:1], answer=lambda seen: reason, declines=True)
    task = task.model_copy(update={"ask": False})
    return replace(made, task=task, actions=(), answer=lambda seen: reason, declines=True)


def _episode(make: Maker, goal: str, missing: str, said: str, then: Action, expected: Expected) -> Episode:
    """Ask what is missing ("which file"), then do it.

    ``answer`` of no observations says what is missing: it is what the expert declines with.
    """
    question = Action("ask_user", {"question": missing[0].upper() + missing[1:] + "?"})
    expected = expected.model_copy(update={"asks": True})
    made = make.episode(goal, question, then, expected=expected)
    task = made.task.model_copy(update={"answers": (said,)})
    return replace(made, task=task, answer=lambda seen: seen[-1] if seen else missing)


def _which_file(make: Maker) -> Episode:
    path, text = make.new_file(), make.words.phrase(2, 6)
    make.put(path, text)
    make.clutter(2)
    goal = make.say(
        "[Read|Open|Show me|Print] the file",
        "[Read|Open|Show me|Print] [that|this|my] file",
        "What [is in the file|does the file say]?",
        "[I need|Show me] the [contents|text] of a file",
        "[Read out|Display] one of my files",
        "There is a file I want to [see|read]",
        "Open it for me, the file I mean",
        "[Tell me|Say] what stands in the file",
        "I'd like to [read|see] a file of mine",
        "[Could you|Can you] open a file for me",
        "Please look into the file and tell me its text",
        "[Get|Fetch] me the text of that file",
        "[Have a look at|Look into] the file [for me|I mean]",
        "The file, what does it say?",
    )
    return _episode(
        make, goal, "which file", path, Action("read_file", lambda seen: {"path": seen[-1]}),
        Expected(answer=text),
    )  # fmt: skip


def _to_which_file(make: Maker) -> Episode:
    path, text, before = make.new_file(), make.words.phrase(1, 4), make.words.phrase(1, 4)
    adding = make.rng.random() < 0.5
    if adding:
        make.put(path, before)
    verb = "[Append|Add]" if adding else "[Write|Save|Put]"
    goal = make.say(
        f"{verb} '{{t}}' to a file",
        f"{verb} the [text|line|words] '{{t}}' to [a|the|my] file",
        f"I want '{{t}}' {'added to' if adding else 'written to'} a file",
        f"{verb} this to [a|the] file: '{{t}}'",
        f"'{{t}}': {verb[1:-1].split('|')[0].lower()} that to a file",
        f"{verb} to a file: '{{t}}'",
        f"I need '{{t}}' {'at the end of' if adding else 'in'} a file",
        f"A file should {'end with' if adding else 'say'} '{{t}}'",
        f"Put '{{t}}' {'at the end of' if adding else 'into'} the file",
        f"Could you {'append' if adding else 'write'} '{{t}}' to one of my files",
        f"'{{t}}' [must|should] go {'to the end of' if adding else 'into'} a file",
        f"Let a file {'have' if adding else 'hold'} '{{t}}'{' as its last line' if adding else ''}",
        t=text.replace("'", ""),
    )
    content = text.replace("'", "")
    tool = "append_file" if adding else "write_file"
    return _episode(
        make, goal, "which file", path,
        Action(tool, lambda seen: {"path": seen[-1], "content": content}),
        Expected(files={path: f"{before}\n{content}" if adding else content}),
    )  # fmt: skip


def _what_to_write(make: Maker) -> Episode:
    path, text = make.new_file(), make.words.phrase(1, 5)
    goal = make.say(
        "[Write|Put|Save] [a note|something|a text|a line] [to|into|in] {p}",
        "[Create|Make] [a|the|a new] file {p}",
        "[Create|Make] {p} with some text",
        "I need a [new |]file [called|named] {p}",
        "Start a file {p} for me",
        "{p} should be there with a text of mine",
        "[Write|Fill] [the file |]{p} for me",
        p=path,
    )
    return _episode(
        make, goal, "what to write", text,
        Action("write_file", lambda seen: {"path": path, "content": seen[-1]}),
        Expected(files={path: text}),
    )  # fmt: skip


def _to_which_unit(make: Maker) -> Episode:
    from autoagent.nano.families.figures import figure_of

    source, target = make.rng.choice(
        (("km", "miles"), ("kg", "pounds"), ("cm", "inches"), ("hours", "minutes"), ("feet", "meters"))
    )
    value = make.words.number()
    goal = make.say(
        "[Convert|Change|Turn] {v} {s}",
        "[Convert|Change] {v} {s} to [another|a different|some other] unit",
        "How much is {v} {s} in [another|a different] unit?",
        "I need {v} {s} in other units",
        "Express {v} {s} differently",
        "{v} {s}, converted",
        v=value,
        s=source,
    )
    result = figure_of("convert_units", {"value": value, "source": source, "target": target})
    call = Action("convert_units", lambda seen: {"value": value, "source": source, "target": seen[-1]})
    return _episode(make, goal, "to which unit", target, call, Expected(answer=result))


def _what_to_remember(make: Maker) -> Episode:
    from autoagent.nano.families.recall import fact_about

    fact, thing, value = fact_about(make)
    goal = make.say(
        "[Remember|Memorize|Save|Keep] {t}[ for later|]",
        "[Remember|Save|Store] {t} in [your |]memory",
        "I want you to [remember|keep] {t}",
        "Don't forget {t}",
        "Please keep {t} in mind",
        "Make a mental note of {t}",
        "Memorize {t} for [me|next time]",
        t=thing,
    )
    return _episode(
        make, goal, f"what {thing} is", value,
        Action("save_memory", lambda seen: {"text": f"{thing} is {seen[-1]}"}), Expected(remembers=fact),
    )  # fmt: skip


def _value_for_tool(make: Maker) -> Episode:
    """A custom tool whose argument the goal does not give."""
    made = invent_look_up(make)
    tools = [made.spec, *others(make, made, make.rng.randint(0, 3))]
    (argument, value), *_ = made.call.resolve(()).items()
    about = made.spec.description[0].lower() + made.spec.description[1:]
    goal = make.say(
        "{about}",
        "[Please |I want you to |Could you ]{about}",
        "[I need to|I have to|I'd like to] {about}",
        "Now {about}[ for me|]",
        "Use {tool}",
        "[Run|Call|Try] {tool}[ for me|]",
        "Do what {tool} does",
        about=about,
        tool=made.spec.name,
    )
    asked = _episode(
        make, goal, f"which {argument.replace('_', ' ')}", str(value),
        Action(made.spec.name, lambda seen: {argument: seen[-1]}), Expected(answer=made.reply),
    )  # fmt: skip
    return replace(asked, task=asked.task.model_copy(update={"tools": tuple(tools)}))


_MISSING = (_which_file, _to_which_file, _what_to_write, _to_which_unit, _what_to_remember, _value_for_tool)
FAMILIES: dict[str, Kind] = {"ask": Kind(ask, 7, "ask")}
