"""``autoagent models``: the versions of a project's model, which one is in use, and the way back."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from autoagent.cli import complete, console
from autoagent.cli.parts import Parts, parts_of
from autoagent.cli.streams import json_line
from autoagent.errors import ModelError, UsageError
from autoagent.home import expanded
from autoagent.models.fingerprint import fingerprint
from autoagent.models.load import REMOTE
from autoagent.models.needs import gigabytes
from autoagent.models.versions import EMBEDDED, Version, Versions
from autoagent.prompts import prompt_hash

app = typer.Typer(help="See model versions, choose one, go back.", no_args_is_help=True)

_CALLS = {
    "hermes": "as Hermes and Qwen write them (<tool_call> and JSON)",
    "own": "in the template's own form",
    "prompted": "told in the system prompt, in Hermes form",
    "none": "none: there is no chat template that can be used",
}
NOTHING = "?"  # is in use: the pointer is damaged
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(ctx: typer.Context, as_json: Json = False) -> None:
    """List the versions, oldest first; an arrow points to the one in use."""
    versions = Versions(parts_of(ctx).home)
    current, found, damaged = _in_use(versions), versions.list(), versions.damaged()
    if as_json:
        in_use = None if current == NOTHING else current
        shown = {"current": in_use, "versions": [each.model_dump() for each in found], "damaged": damaged}
        print(json_line(shown))
        return
    screen = console.out()
    screen.print(_line(EMBEDDED, current, "shipped with autoagent"), soft_wrap=True)
    for version in found:
        screen.print(_line(version.name, current, _about(version)), soft_wrap=True)
    for name, problem in damaged.items():
        screen.print(_line(name, current, f"damaged: {problem}"), soft_wrap=True)
    if current not in (EMBEDDED, *damaged, *(version.name for version in found)):
        advice = "choose one with `autoagent models use`"
        console.err().print(f"No version is in use that is there ({current}): {advice}", soft_wrap=True)


def _in_use(versions: Versions) -> str:
    """What the pointer names; a question mark where it names nothing."""
    try:
        return versions.current()
    except ModelError:
        return NOTHING


def _line(name: str, current: str, about: str) -> Text:
    line = Text("→ " if name == current else "  ", style="green")
    line.append(f"{name:<16}", style="bold" if name == current else "not bold default")
    return line.append(console.clean(about), style="not bold dim default")


def _about(version: Version) -> str:
    parts = [time.strftime("%Y-%m-%d %H:%M", time.localtime(version.created)), version.method]
    parts.append(f"from {version.parent}" if version.parent else "")
    parts += ["promoted" if version.promoted else "not promoted", version.note]
    return " · ".join(part for part in parts if part)


@app.command()
def info(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="A version, a model folder or a hub id.")
    ] = "current",
    as_json: Json = False,
    device: Annotated[str, typer.Option(help="Where it would run: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
) -> None:
    """Show what is known about a model: what it needs, whether it fits, how it calls tools, its lineage.

    Nothing is loaded: the sizes are read from the headers of its files.
    """
    wanted, source = _source(parts_of(ctx), name)
    facts = _facts(parts_of(ctx), wanted, source) | _sizes(source, device, dtype)
    if as_json:
        print(json_line(facts))
        return
    warnings = facts.pop("warnings", [])
    screen = console.out()
    width = max(map(len, facts))
    for key, value in facts.items():
        line = Text(f"{key:<{width}}  ", style="dim").append(
            console.clean(_in_words(key, value)), style="not dim"
        )
        screen.print(line, soft_wrap=True)
    for warning in warnings:
        console.err().print(Text(f"note: {console.clean(warning)}", style="yellow"), soft_wrap=True)


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
    wanted = versions.current() if name == "current" else name
    if wanted.startswith(REMOTE):
        raise UsageError(f"{wanted} runs on a server, which does not tell what it needs")
    source = versions.resolve(wanted)
    folder = source if isinstance(source, Path) else expanded(source)
    if not folder.exists():
        folder = _downloaded(wanted)
    if not (folder / "config.json").is_file():
        raise ModelError(f"there is no model version or model folder {wanted!r}; see `autoagent models list`")
    return wanted, folder


def _downloaded(name: str) -> Path:
    """The folder of a hub model that is on this machine."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    with contextlib.suppress(HFValidationError):
        found = try_to_load_from_cache(name, "config.json")
        if isinstance(found, str):
            return Path(found).parent
    raise ModelError(
        f"there is no model version or model folder {name!r}, and no hub model of that name on this machine; "
        "see `autoagent models list`, or fetch it with `hf download`"
    )


def _sizes(source: Path, device: str, dtype: str) -> dict[str, Any]:
    """What the model needs and how it talks; where its files are damaged, that it is so."""
    from autoagent.models.loading import checked_choice  # brings torch in

    checked_choice(device, dtype)
    from autoagent.models.info import look_into

    try:
        return look_into(source, device=device, dtype=dtype)
    except ModelError as error:
        return {"warnings": [str(error)]}


def _facts(parts: Parts, wanted: str, source: Path) -> dict[str, Any]:
    versions = Versions(parts.home)
    facts: dict[str, Any] = {"name": wanted, "in use": wanted == _in_use(versions), "source": str(source)}
    if source.parent == versions.folder:
        facts |= versions.get(wanted).model_dump()
        facts["prompts"] += (
            "" if facts["prompts"] in ("", prompt_hash()) else f" (now in use: {prompt_hash()})"
        )
    else:
        facts["hash"] = fingerprint(source, prompts=prompt_hash())
    facts["bytes"] = sum(file.stat().st_size for file in source.iterdir() if file.is_file())
    card = source / "README.md"
    return facts | ({"card": str(card)} if card.is_file() else {})


@app.command()
def use(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="VERSION", help="Or: embedded.", autocompletion=complete.versions)
    ],
) -> None:
    """Use this version from now on."""
    versions = Versions(parts_of(ctx).home)
    before = _in_use(versions)
    versions.use(name)
    print(f"now in use: {versions.current()} (before: {before})")
    note_a_fixed_model(parts_of(ctx))


@app.command()
def rollback(ctx: typer.Context) -> None:
    """Go back to the version that was in use before."""
    versions = Versions(parts_of(ctx).home)
    before = _in_use(versions)
    print(f"now in use: {versions.rollback()} (before: {before})")
    note_a_fixed_model(parts_of(ctx))


def note_a_fixed_model(parts: Parts) -> None:
    """Settings that name a model win over the version in use: say so, or the swap seems to do nothing."""
    fixed = parts.config["model"]
    if fixed != "current":
        console.err().print(f"note: your settings name the model {fixed}; runs use that one", soft_wrap=True)


@app.command()
def verify(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="By default all of them.")] = None,
) -> None:
    """Check that the files of the versions are what they were when they were made."""
    versions = Versions(parts_of(ctx).home)
    names = [name] if name else [version.name for version in versions.list()]
    for each in names:
        print(f"{each}: unchanged, {versions.verify(each).hash}", flush=True)
    if not names:
        console.err().print("There are no versions besides the embedded model.")
