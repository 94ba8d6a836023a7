"""Things that are not there: the honest answer is to say so."""

from __future__ import annotations

from autoagent.evals.task import Expected
from autoagent.nano.families import custom, files, recall
from autoagent.nano.families.base import Action, Episode, Maker


def not_there(make: Maker) -> Episode:
    """A missing file, an empty memory, or a custom tool that finds nothing."""
    kind = make.rng.randrange(4)
    if kind == 0:
        return _failed(make, recall.recall(make), "Nothing in memory fits.")
    if kind == 1:
        return _failed(make, custom.custom(make), "Nothing found.")
    if kind == 2:
        return _failed(make, files.find_file(make))
    return _failed(make, make.rng.choice((files.read_all, files.read_value))(make))


def _failed(make: Maker, wanted: Episode, said: str = "") -> Episode:
    """The same goal in a world where it cannot be reached; the answer is what the tool said."""
    task, call = wanted.task, wanted.actions[0]
    arguments = call.resolve(())
    if not said:
        name = arguments.get("path") or arguments["name"]
        said = f"no such file: {name}" if "path" in arguments else f"No file matches {name}."
    gone = {
        name: text for name, text in task.files.items() if not name.endswith(said.rstrip(".").split()[-1])
    }
    tools = [spec.model_copy(update={"replies": {}}) for spec in task.tools]
    task = task.model_copy(
        update={
            "files": gone,
            "memory": (),
            "tools": tuple(tools),
            "expected": Expected(answer=said.rstrip(".")),
        }
    )
    return Episode(task, (Action(call.tool, arguments),), lambda seen: seen[-1].removeprefix("Error: "))
