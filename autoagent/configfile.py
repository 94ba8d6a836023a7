"""Writing settings: one value in a TOML file with its comments kept, and the file of `init`."""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoagent.config import Habits
from autoagent.errors import ConfigError, StoreError
from autoagent.home import FILE, ensure_home
from autoagent.settings import FIELDS, GROUPS, Config, Permissions, check, known_setting, read_toml, value_of

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_HEAD = """\
# Settings of this project. Lines like #name = value are the settings with their defaults: take the "#" away
# to change one. Flags, AUTOAGENT_* variables and a profile win over this file; it wins over your own
# config.toml. `autoagent config show` says what is set, and where.
"""


def set_value(file: Path, name: str, texts: Sequence[str]) -> Any:
    """Set one setting in a file and return what it is now; the rest of the file stays as it is.

    Args:
        file: It is made where it is missing.
        name: By dotted name, like ``max_steps`` or ``permissions.deny``.
        texts: The value as typed; a list takes any number of them.

    Raises:
        ConfigError: there is no such setting, the value is impossible, or the file is not valid.
        StoreError: it cannot be written.
    """
    known_setting(name)
    table, _, key = name.rpartition(".")
    if isinstance(value_of(Config(), name), tuple):
        given: Any = [text for text in texts if text]
    elif len(texts) == 1:
        given = texts[0]
    else:
        raise ConfigError(f"{name} takes one value, not {len(texts)}: put quotes around text with spaces")
    value = value_of(check("config set", {table: {key: given}} if table else {key: given}), name)

    def change(document: TOMLDocument) -> None:
        place: Any = document.setdefault(table, {}) if table else document
        place[key] = list(value) if isinstance(value, tuple) else value

    _edit(file, name, change)
    return value


def unset_value(file: Path, name: str) -> bool:
    """Remove one setting from a file; False where it was not set there.

    Raises:
        ConfigError: there is no such setting, or the file is not valid.
        StoreError: it cannot be written.
    """
    known_setting(name)
    table, _, key = name.rpartition(".")
    removed = False

    def change(document: TOMLDocument) -> None:
        nonlocal removed
        place: Any = document.get(table, {}) if table else document
        removed = key in place
        if removed:
            del place[key]

    _edit(file, "", change)
    return removed


def add_permission_rule(home: Path, rule: str) -> Path:
    """Allow calls that fit ``rule`` from now on, in the project's settings; returns the file.

    This is what a user's "always" does; the rule is added once however often it is given.

    Raises:
        ConfigError: the rule is none, or the file is not valid.
        StoreError: it cannot be written.
    """
    check("rule", {"permissions": {"allow": [rule]}})

    def change(document: TOMLDocument) -> None:
        allowed: Any = document.setdefault("permissions", {}).setdefault("allow", [])
        if rule not in allowed:
            allowed.append(rule)

    ensure_home(home)
    _edit(home / FILE, "permissions.allow", change)
    return home / FILE


def commented() -> str:
    """A settings file that sets nothing: every setting with its description and default, as comments."""
    parts = [_HEAD]
    for group in GROUPS:
        parts.append(f"\n# --- {_title(group)}\n")
        parts += [_entry(name, FIELDS[name]) for name in group.model_fields]
    parts.append(f"\n# --- {_title(Permissions)}\n#[permissions]\n")
    parts += [_entry(name, FIELDS[f"permissions.{name}"]) for name in Permissions.model_fields]
    return "".join(parts)


def _title(group: type) -> str:
    return (group.__doc__ or "").strip().split(". ")[0].rstrip(".").replace("`", "")


def _entry(name: str, description: str) -> str:
    """The lines of one setting. ``#name = …`` is its default; ``# name = …`` an example where it has none."""
    import tomlkit

    field = {**Config.model_fields, **Permissions.model_fields}[name]
    if field.default is not None:
        value = list(field.default) if isinstance(field.default, tuple) else field.default
        return f"# {description}\n#{name} = {tomlkit.item(value).as_string()}\n"
    usual = Habits.model_fields[name].default if name in Habits.model_fields else None
    example = tomlkit.item((field.examples or [usual])[0]).as_string()
    return f"# {description} Not set; for example:\n# {name} = {example}\n"


def _edit(file: Path, name: str, change: Callable[[TOMLDocument], None]) -> None:
    """Apply a change to a TOML file whose settings, as a whole, must be right before and are after.

    The comment that shows the setting ``name`` ("" for none) gives way to it.
    """
    import tomlkit

    before = read_toml(file)
    document = tomlkit.parse(before)
    check(str(file), document.unwrap())
    if name and not _is_set(document, name):
        document = tomlkit.parse(_uncommented(before, name))
    change(document)
    check(str(file), document.unwrap())
    text = tomlkit.dumps(document)
    if text != before:
        write_whole(file, text)


def _is_set(document: TOMLDocument, name: str) -> bool:
    table, _, key = name.rpartition(".")
    return key in (document.get(table, {}) if table else document)


def _uncommented(text: str, name: str) -> str:
    """The text with the comment that shows this setting made a setting: that is where it belongs."""
    table, _, key = name.rpartition(".")
    again = re.sub(rf"^# ?({key} = .*)$", r"\1", text, count=1, flags=re.MULTILINE)
    if table and again != text and f"\n#[{table}]\n" in again:
        again = again.replace(f"\n#[{table}]\n", f"\n[{table}]\n", 1)
    try:
        tomllib.loads(again)
    except tomllib.TOMLDecodeError:  # a comment in the user's own words
        return text
    return again


def write_whole(file: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text; a new one is for the user's eyes only.

    Raises:
        StoreError: it cannot be written.
    """
    file = file.resolve()  # what a link leads to is changed, not the link
    draft = ""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        with open(handle, "w", encoding="utf-8") as out:
            out.write(text)
        if file.exists():
            os.chmod(draft, file.stat().st_mode & 0o777)
        os.replace(draft, file)
    except OSError as error:
        if draft and os.path.exists(draft):
            os.unlink(draft)
        raise StoreError(f"{file} cannot be written: {error.strerror}") from None
