"""``autoagent models info``: all that is known about a model before it is loaded."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from autoagent.cli import complete, console
from autoagent.cli.models_marks import marked_line, marks_in, remedies
from autoagent.cli.parts import Parts, parts_of
from autoagent.cli.recipe import typed
from autoagent.cli.runs_args import Json
from autoagent.cli.streams import json_line
from autoagent.errors import ModelError, UsageError
from autoagent.home import expanded
from autoagent.models.adapter import hub_folder, is_adapter
from autoagent.models.fingerprint import fingerprint
from autoagent.models.lineage import ancestors, descendants, lineage
from autoagent.models.load import REMOTE
from autoagent.models.needs import gigabytes
from autoagent.models.versions import Version, Versions
from autoagent.prompts import prompt_hash
from autoagent.training.examples import counted

_CALLS = {
    "hermes": "as Hermes and Qwen write them (<tool_call> and JSON)",
    "own": "in the template's own form",
    "prompted": "told in the system prompt, in Hermes form",
    "none": "none: there is no chat template that can be used",
}
_LEARNED = {  # what a data sheet counts
    "runs": "run",
    "negative_runs": "refuted run",
    "goals": "goal",
    "examples": "example",
    "tokens": "token",
    "trained_tokens": "trained token",
    "replayed": "replayed demonstration",
}


def info(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]", help="A version, a model folder or a hub id.", autocompletion=complete.versions
        ),
    ] = "current",
    as_json: Json = False,
    device: Annotated[str, typer.Option(help="Where it would run: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
) -> None:
    """Show what is known about a model: what it needs, whether it fits, how it calls tools, its lineage.

    Nothing is loaded: the sizes are read from the headers of its files.
    """
    parts = parts_of(ctx)
    wanted, source = _source(parts, name)
    sizes = _sizes(Versions(parts.home), source, device, dtype)
    facts = _facts(parts, wanted, source) | sizes
    if as_json:
        print(json_line(facts))
        return
    warnings = facts.pop("warnings", [])
    mark = facts.pop("forgotten", None)
    told = _in_brief(facts)
    screen = console.out()
    width = max(map(len, told))
    for key, value in told.items():
        line = Text(f"{key:<{width}}  ", style="dim").append(
            console.clean(_in_words(key, value)), style="not dim"
        )
        screen.print(line, soft_wrap=True)
    for warning in [*warnings, *(mark["advice"] if mark else [])]:
        console.err().print(Text(f"note: {console.clean(warning)}", style="yellow"), soft_wrap=True)


def _in_brief(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts, with what takes pages in a line: the data sheet, the settings, the gate's report."""
    told = {key: value for key, value in facts.items() if value not in (None, "", [], {})}
    told.pop("files", None)
    if "created" in told:
        told["created"] = time.strftime("%Y-%m-%d %H:%M", time.localtime(told["created"]))
    if isinstance(told.get("base"), dict):
        told["base"] = f"{told['base']['name']} (hash {told['base']['hash'][:8]})"
    if isinstance(told.get("gate"), dict):
        told["gate"] = str(told["gate"].get("reason") or "see --json")
    if isinstance(data := told.pop("data", None), dict):
        told |= _about_data(data)
    for key, joint in (("lineage", " ← "), ("descendants", ", "), ("beside", ", ")):
        if key in told:
            told[key] = joint.join(told[key])
    return told


def _about_data(data: Mapping[str, Any]) -> dict[str, str]:
    """``learned from`` and ``settings``, as far as they are on record."""
    sheet, config = data.get("sheet"), data.get("config")
    found = {}
    if isinstance(sheet, Mapping):
        counts = [
            counted(value, thing) for name, thing in _LEARNED.items() if (value := _count(sheet.get(name)))
        ]
        outside = sheet.get("outside")
        if isinstance(outside, Mapping):
            counts += [f"{counted(_count(value), 'example')} of {file}" for file, value in outside.items()]
        found["learned from"] = ", ".join(counts) or "nothing that is on record"
    if isinstance(config, Mapping):
        found["settings"] = shlex.join(typed(config)) or "as they are by default"
    return found


def _count(value: Any) -> int:
    return value if isinstance(value, int) else len(value) if isinstance(value, (list, tuple)) else 0


def _in_words(key: str, value: Any) -> str:
    """A fact as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key in ("bytes", "free"):
        return gigabytes(value)
    if key == "parameters":
        return f"{value / 1e9:.1f} billion" if value >= 1e9 else f"{value / 1e6:.1f} million"
    if key == "window":
        return f"{value} tokens"
    if key == "calls":
        return _CALLS[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _source(parts: Parts, name: str) -> tuple[str, Path]:
    """The name of a model, and the folder on this machine that it means."""
    versions = Versions(parts.home)
    wanted = versions.current() if name == "current" else versions.full(name)
    if wanted.startswith(REMOTE):
        raise UsageError(f"{wanted} runs on a server, which does not tell what it needs")
    source = versions.resolve(wanted)
    folder = source if isinstance(source, Path) else expanded(source)
    if not folder.exists():
        found = hub_folder(wanted)
        if found is None:
            raise ModelError(
                f"there is no model version or model folder {wanted!r}, and no hub model of that name on "
                "this machine; see `autoagent models list`, or fetch it with `hf download`"
            )
        folder = found
    if not ((folder / "config.json").is_file() or is_adapter(folder)):
        raise ModelError(f"there is no model version or model folder {wanted!r}; see `autoagent models list`")
    return wanted, folder


def _sizes(versions: Versions, source: Path, device: str, dtype: str) -> dict[str, Any]:
    """What the model needs and how it talks; where its files are damaged, that it is so.

    An adapter needs what its base does.
    """
    from autoagent.models.loading import checked_choice  # brings torch in

    checked_choice(device, dtype)
    from autoagent.models.info import look_into

    try:
        whole = versions.base_of(source) if is_adapter(source) else source
        return look_into(whole, device=device, dtype=dtype)
    except ModelError as error:
        return {"warnings": [str(error)]}


def _facts(parts: Parts, wanted: str, source: Path) -> dict[str, Any]:
    versions = Versions(parts.home)
    facts: dict[str, Any] = {
        "name": wanted,
        "in use": wanted == versions.pointer(),
        "source": str(source),
    }
    if source.parent == versions.folder:
        facts |= _of_version(parts, versions, versions.get(wanted))
    else:
        facts["hash"] = fingerprint(source, prompts=prompt_hash(source))
    facts["bytes"] = sum(file.stat().st_size for file in source.iterdir() if file.is_file())
    card = source / "README.md"
    return facts | ({"card": str(card)} if card.is_file() else {})


def _of_version(parts: Parts, versions: Versions, version: Version) -> dict[str, Any]:
    facts = version.model_dump()
    now = prompt_hash(versions.path(version.name))
    if facts["prompts"] not in ("", now):
        facts["prompts"] += f" (now in use: {now})"
    gone = {each.name for each in ancestors(versions, version.name)} - {each.name for each in versions.list()}
    line = lineage(versions, version.name)
    facts["lineage"] = [f"{name} (removed)" if name in gone else name for name in line]
    facts["descendants"] = list(descendants(versions, version.name))
    facts["beside"] = [path.name for path in versions.beside(version.name)]
    if mark := marks_in(parts.home).get(version.name):
        advice = [marked_line(mark), *remedies(mark, in_use=versions.pointer() == version.name)]
        facts["forgotten"] = {"runs": list(mark.runs), "through": mark.through, "advice": advice}
    return facts
