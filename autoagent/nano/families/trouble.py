"""Recovery: what is not there is looked for, a wrong argument is put right, and nothing is made up."""

from __future__ import annotations

from dataclasses import replace

from autoagent.evals.task import Expected
from autoagent.nano.families import custom
from autoagent.nano.families.base import Action, Clause, Episode, Kind, Maker
from autoagent.nano.families.singles import SINGLES
from autoagent.nano.families.tables import column_in_words


def not_there(make: Maker) -> Episode:
    """An empty memory, a file that cannot be found, or a custom tool that finds nothing: say so."""
    kind = make.rng.randrange(3)
    if kind == 0:
        wanted = SINGLES["recall_memory"].part
    else:
        wanted = custom.look_up if kind == 1 else SINGLES["find_file"].part
    assert wanted is not None
    clause = wanted(make)
    call = clause.actions[0]
    arguments = call.resolve(())
    said = ("Nothing in memory fits.", "Nothing found.", f"No file matches {arguments.get('name')}.")[kind]
    if kind == 2:
        gone = [name for name in make.files if name.endswith(arguments["name"])]
        for name in gone:
            del make.files[name]
    tools = tuple(spec.model_copy(update={"replies": {}}) for spec in clause.tools)
    return make.whole(
        Clause(clause.words, (call,), Expected(answer=said.rstrip(".")), value=said, tools=tools)
    )


def elsewhere(make: Maker) -> Episode:
    """The file is not where the goal says: look for it, then go on with the one that was found."""
    while True:
        world = replace(make, files={}, names=make.names)
        clause = _reading(world)
        path = clause.actions[0].resolve(())["path"]
        name = path.rpartition("/")[2]
        folder = make.words.folder()
        there = f"{folder}/{name}"
        if path != there and sum(each.endswith(name) for each in world.files) == 1 and folder != name:
            break
    make.files = world.files
    text = make.files.pop(path)
    make.files[there] = text
    call = clause.actions[0]
    found = replace(call, arguments=lambda seen: {**call.resolve(()), "path": seen[-1]}, planned=False)
    look = Action("find_file", {"name": name}, planned=False)
    actions = (call, look, found)
    return make.whole(
        replace(
            clause,
            actions=actions,
            answer=lambda seen: clause.answer(seen[2:]),
            because=lambda seen: clause.because(seen[2:]),
        )
    )


def nowhere(make: Maker) -> Episode:
    """The file is missing, and looking for it does not help: say so."""
    world = replace(make, files={}, names=make.names)
    clause = _reading(world)
    call = clause.actions[0]
    name = call.resolve(())["path"].rpartition("/")[2]
    make.files = {other: text for other, text in world.files.items() if not other.endswith(name)}
    make.clutter(2)
    make.files = {other: text for other, text in make.files.items() if name not in other}
    look = Action("find_file", {"name": name}, planned=False)
    said = f"No file matches {name}"
    return make.whole(Clause(clause.words, (call, look), Expected(answer=said), value=said))


def _reading(make: Maker) -> Clause:
    """A goal that one tool with a path reaches."""
    part = SINGLES[make.rng.choice(("read_all", "read_value"))].part
    assert part is not None
    return part(make)


def wrong_column(make: Maker) -> Episode:
    """The goal's name of a column is slightly wrong; the error tells the right ones."""
    while True:
        world = replace(make, files={}, names=make.names)
        goal, call, value = column_in_words(world)
        arguments = call.resolve(())
        column = arguments["column"]
        wrong = _slip(make, column)
        header = world.files[arguments["path"]].partition("\n")[0].lower()
        if goal.count(column) == 1 and wrong.lower() not in header and not goal.startswith(column):
            break
    make.files = world.files
    failed = Action(call.tool, {**arguments, "column": wrong})
    right = Action(call.tool, arguments, planned=False)
    words = goal.replace(column, wrong)
    if goal in make.names:
        make.names.append(words)
    clause = Clause(words, (failed, right), Expected(answer=value), value=value)
    return make.whole(clause)


def _slip(make: Maker, word: str) -> str:
    """A word as people misremember it: plural, singular, another ending, a slip."""
    rng = make.rng
    at = rng.randrange(1, max(2, len(word)))
    choices = [f"{word}s", word[:at] + word[at + 1 :], word[:at] + word[at - 1] + word[at:]]
    if word.endswith("s"):
        choices += [word[:-1]] * 2
    return rng.choice([each for each in choices if each != word and each])


def wrong_folder(make: Maker) -> Episode:
    """The goal names a folder that does not exist: say so after a look around."""
    w = make.words
    folder = w.folder()
    make.clutter(3)
    make.files = {name: text for name, text in make.files.items() if not name.startswith(f"{folder}/")}
    make.files = {name: text for name, text in make.files.items() if name != folder}
    goal = make.say(
        "[List|Show|Name] the files in [the folder |]{f}/",
        "What is in the folder {f}?",
        "Which files are in the folder {f}?",
        "[How many|Count the] files in the folder {f}",
        "[Look into|Open] the folder {f} and tell me what is there",
        "Show me the {f} folder",
        "What does the directory {f} hold?",
        "Folder {f}: what files?",
        f=folder,
    )
    said = f"no such folder: {folder}"
    return make.whole(
        Clause(
            goal,
            (Action("list_files", {"folder": folder}),),
            Expected(answer=said),
            lambda seen: seen[-1].removeprefix("Error: "),
            value=said,
        )
    )


FAMILIES: dict[str, Kind] = {
    "not_there": Kind(not_there, 4, "recovery"),
    "elsewhere": Kind(elsewhere, 4, "recovery"),
    "nowhere": Kind(nowhere, 3, "recovery"),
    "wrong_column": Kind(wrong_column, 3, "recovery"),
    "wrong_folder": Kind(wrong_folder, 1, "recovery"),
}
