"""What a call would do, in the words of the thing itself: a diff, the command, the code, the address."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from autoagent.errors import ToolError
from autoagent.workspace import Workspace

_SHOWN_BYTES = 1_000_000  # of a file; larger ones are told by their size
_CONTENT = ("command", "code", "url")
_CHANGING = ("write_file", "append_file", "edit_file", "delete_file")  # built-in tools that have a diff


class Diff(str):
    """A unified diff that was made here. Its type says so: a text may only look like one.

    All that the call would write stands in it or is in the file already, so ``TOLD`` need not be shown twice.
    """

    __slots__ = ()
    TOLD = frozenset({"content", "old", "new"})  # arguments


def preview(tool: str, arguments: Mapping[str, Any], workspace: Workspace, *, built_in: bool = True) -> str:
    """What a person should see before saying yes to a call; empty where the call itself says it all.

    A :class:`Diff` for a built-in tool that would change or delete a file that is there; else the command,
    code or address of a call that has one, as it is. Nothing is left out.
    """
    if built_in and tool in _CHANGING:
        return _change(tool, arguments, workspace)
    return next((text for name in _CONTENT if isinstance(text := arguments.get(name), str)), "")


def _change(tool: str, arguments: Mapping[str, Any], workspace: Workspace) -> str:
    """The diff of a file that is there, or why there is none; empty where there is no such file."""
    name = str(arguments.get("path", ""))
    try:
        before = _text(name, workspace)
    except (ToolError, OSError):
        return ""  # the tool itself will say what is wrong
    except UnicodeDecodeError:
        return f"{name} is not text; it would be {'deleted' if tool == 'delete_file' else 'replaced'}"
    if before is None:
        return ""
    if len(before) > _SHOWN_BYTES:
        return f"{name} has {len(before)} characters: too long to show what would change"
    return diff(name, before, _after(tool, arguments, before))


def diff(name: str, before: str, after: str | None) -> Diff:
    """A unified diff of a file; ``after`` is None where it would be gone. Empty where nothing changes."""
    name = name.replace("\n", "⏎")
    new = "/dev/null" if after is None else name
    return Diff("\n".join(difflib.unified_diff(_lines(before), _lines(after or ""), name, new, lineterm="")))


def _lines(text: str) -> list[str]:
    r"""Lines as ``diff`` sees them: what ends one is ``\n`` and nothing else, and where it lacks is said.

    ``str.splitlines`` would take a form feed for the end of a line, too, and hide that it became one.
    """
    lines = text.split("\n")
    last = lines.pop()
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines


def _text(name: str, workspace: Workspace) -> str | None:
    path = workspace.path(name)
    return path.read_bytes().decode("utf-8") if path.is_file() else None


def _after(tool: str, arguments: Mapping[str, Any], before: str) -> str | None:
    """What the file would hold, as the tool would write it; None: it would be gone."""
    if tool == "delete_file":
        return None
    if tool == "edit_file":
        old, new = str(arguments.get("old", "")) or "\0", str(arguments.get("new", ""))
        if "\r\n" in before:  # as the tool does it: the model was shown the text without the \r
            old, new = (part.replace("\r\n", "\n").replace("\n", "\r\n") for part in (old, new))
        return before.replace(old, new, 1)
    content = str(arguments.get("content", ""))
    if tool == "append_file":
        return before + ("" if before.endswith("\n") or not before else "\n") + content.rstrip("\n") + "\n"
    return content if content.endswith("\n") or not content else content + "\n"
