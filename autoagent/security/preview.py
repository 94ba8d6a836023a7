"""What a call would do, in the words of the thing itself: a diff, the command, the code, the address."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from autoagent.errors import ToolError
from autoagent.workspace import Workspace

_SHOWN_BYTES = 1_000_000  # of a file; larger ones are told by their size
_CONTENT = ("command", "code", "url")


def preview(tool: str, arguments: Mapping[str, Any], workspace: Workspace) -> str:
    """What a person should see before saying yes to a call; empty where the call itself says it all.

    A unified diff for a built-in tool that would change or delete a file that is there; the command, code or
    address of a call that has one.
    """
    for name in _CONTENT:
        if isinstance(arguments.get(name), str):
            return str(arguments[name])
    if tool not in ("write_file", "append_file", "edit_file", "delete_file"):
        return ""
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


def diff(name: str, before: str, after: str | None) -> str:
    """A unified diff of a file; ``after`` is None where it would be gone."""
    new = "/dev/null" if after is None else name
    lines = difflib.unified_diff(before.splitlines(), (after or "").splitlines(), name, new, lineterm="")
    return "\n".join(lines)


def _text(name: str, workspace: Workspace) -> str | None:
    path = workspace.path(name)
    return path.read_bytes().decode("utf-8") if path.is_file() else None


def _after(tool: str, arguments: Mapping[str, Any], before: str) -> str | None:
    if tool == "delete_file":
        return None
    if tool == "edit_file":
        old, new = str(arguments.get("old", "")) or "\0", str(arguments.get("new", ""))
        if "\r\n" in before:  # as the tool does it: the model was shown the text without the \r
            old, new = (part.replace("\r\n", "\n").replace("\n", "\r\n") for part in (old, new))
        return before.replace(old, new, 1)
    content = str(arguments.get("content", ""))
    if tool == "append_file":
        return before + ("" if before.endswith("\n") or not before else "\n") + content
    return content
