"""Rules: ``run_shell(git *)``, ``write_file(reports/**)``, ``http_get(https://example.org/*)``, ``finetune``.

A rule names a tool (``*`` stands for any letters) and, in parentheses, a glob over what the call is about:
its files, its command or its address; for other tools, the first argument. ``*`` stays within a folder when
the argument is a file, ``**`` does not; elsewhere ``*`` stands for anything. ``\\*`` is a star.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autoagent.errors import ConfigError
from autoagent.security import readings

Kind = Literal["path", "command", "url", "text"]

_KINDS: dict[str, Kind] = {  # by the argument's name
    **dict.fromkeys(("path", "file", "filename", "folder", "directory", "source", "target"), "path"),
    "command": "command",
    "url": "url",
}
_SHAPE = re.compile(r"([\w*?.:-]+)\s*(?:\((.+)\))?", re.DOTALL)


@dataclass(frozen=True)
class Rule:
    """One rule: a glob over tool names, and one over what a call is about (None: any call)."""

    tool: str
    about: str | None = None

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read a rule.

        Raises:
            ConfigError: it is malformed.
        """
        found = _SHAPE.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None:
            raise ConfigError(
                f"rule {text!r} is malformed: write it like delete_file, run_shell(git *) or"
                " write_file(reports/**)"
            )
        return cls(found[1], None if found[2] in (None, "*", "**") else found[2])

    @classmethod
    def covering(cls, tool: str, arguments: Mapping[str, Any], root: Path | None = None) -> Rule:
        """The rule an answer for longer than once makes: this file, command or host; else the whole tool."""
        found = subjects(arguments)
        kind, value = found[0] if len(found) == 1 else ("text", "")
        if kind == "text" or not value.strip():
            return cls(tool)
        if kind == "command":
            return cls(tool, _escaped(value))
        if kind == "path":
            return cls(tool, _escaped(readings.paths(value, root)[0]))
        address = readings.urls(value)
        if address is None:
            return cls(tool)
        scheme, _, host, *_ = address[0].split("/")
        return cls(tool, f"{scheme}//{_escaped(host)}/*")

    def names(self, tool: str) -> bool:
        """Whether the rule is about this tool."""
        return _text_glob(self.tool).fullmatch(tool) is not None

    def places(self, arguments: Mapping[str, Any]) -> bool:
        """Whether what it is about, in this call, is files, a command or an address, and nothing else."""
        return all(kind != "text" for kind, _ in subjects(arguments))

    def allows(self, tool: str, arguments: Mapping[str, Any], root: Path | None = None) -> bool:
        """Whether every reading of the call fits: what may be said yes to without asking."""
        if self.about is None or not self.names(tool):
            return self.names(tool)
        found = subjects(arguments)
        return bool(found) and all(self._fits_wholly(kind, value, root) for kind, value in found)

    def touches(self, tool: str, arguments: Mapping[str, Any], root: Path | None = None) -> bool:
        """Whether some reading of the call fits: enough to ask or to deny."""
        if self.about is None or not self.names(tool):
            return self.names(tool)
        return any(self._fits_somehow(kind, value, root) for kind, value in subjects(arguments))

    def _fits_wholly(self, kind: Kind, value: str, root: Path | None) -> bool:
        about = self.about or ""
        if kind == "path":
            return all(_path_fits(about, path) for path in readings.paths(value, root))
        found: tuple[str, ...] | None = (value,)
        if kind == "command":
            if _literal(about) == value:
                return True  # an answer that was given for exactly this line
            found = readings.commands(value)
        elif kind == "url":
            found = readings.urls(value)
        elif ".." in re.split(r"[/\\]", value) and ".." not in about:
            return False  # it may be a path after all
        return bool(found) and all(_text_glob(about).fullmatch(each) for each in found or ())

    def _fits_somehow(self, kind: Kind, value: str, root: Path | None) -> bool:
        about = self.about or ""
        if kind == "path":
            glob = _path_glob(about.casefold(), strict=False)
            return any(glob.fullmatch(path.casefold()) for path in readings.paths(value, root))
        found: tuple[str, ...] = (value,)
        if kind == "command":
            found = readings.pieces(value)
        elif kind == "url":
            found = (value, *(readings.urls(value) or ()))
        return any(_text_glob(about.casefold()).fullmatch(each.casefold()) for each in found)

    def __str__(self) -> str:
        return self.tool if self.about is None else f"{self.tool}({self.about})"


class Rules:
    """What is allowed, asked about and denied whatever the effects are; deny wins, then ask, then allow.

    Raises:
        ConfigError: a rule is malformed.
    """

    def __init__(
        self, allow: tuple[str, ...] = (), ask: tuple[str, ...] = (), deny: tuple[str, ...] = ()
    ) -> None:
        self.allow, self.ask, self.deny = (
            tuple(Rule.parse(text) for text in texts) for texts in (allow, ask, deny)
        )

    def allowing(self, rule: str) -> Rules:
        """The same and one more that allows.

        Raises:
            ConfigError: it is malformed.
        """
        return self._with(allow=(rule,))

    def asking(self, *rules: str) -> Rules:
        """The same and some more that ask.

        Raises:
            ConfigError: one is malformed.
        """
        return self._with(ask=rules)

    def _with(self, allow: tuple[str, ...] = (), ask: tuple[str, ...] = ()) -> Rules:
        old_allow, old_ask, deny = (tuple(map(str, each)) for each in (self.allow, self.ask, self.deny))
        return Rules((*old_allow, *allow), (*old_ask, *ask), deny)

    def naming_nothing(self, tools: tuple[str, ...]) -> list[Rule]:
        """The rules that are about none of these tools: misspelt, most likely."""
        rules = (*self.deny, *self.ask, *self.allow)
        return [rule for rule in rules if not any(rule.names(tool) for tool in tools)]

    def __repr__(self) -> str:
        shown = {"allow": self.allow, "ask": self.ask, "deny": self.deny}
        return f"Rules({', '.join(f'{key}={[str(rule) for rule in rules]}' for key, rules in shown.items())})"


def subjects(arguments: Mapping[str, Any]) -> list[tuple[Kind, str]]:
    """What a call is about: its files, command or address; else its first argument."""
    known = [(_KINDS[key], value) for key, value in arguments.items() if key in _KINDS]
    found = known or [("text", value) for value in list(arguments.values())[:1]]
    return [
        (kind, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
        for kind, value in found
    ]


def _path_fits(about: str, path: str) -> bool:
    """Whether a glob written for paths below the workspace fits; it never climbs out unless it says so."""
    if path.startswith("/") and not about.startswith("/"):
        return False
    if ".." in path.split("/") and ".." not in about.split("/"):
        return False
    return _path_glob(about, strict=True).fullmatch(path) is not None


@functools.lru_cache(maxsize=512)
def _path_glob(glob: str, *, strict: bool) -> re.Pattern[str]:
    glob = glob.strip()
    glob = glob.removeprefix("./") + ("**" if glob.endswith("/") and glob != "/" else "")
    inside = "/.+" if strict else "(?:/.*)?"
    return re.compile(
        _translated(glob, {"**/": "(?:[^/]+/)*", "/**": inside, "**": ".*", "*": "[^/]*", "?": "[^/]"}),
        re.DOTALL,
    )


@functools.lru_cache(maxsize=512)
def _text_glob(glob: str) -> re.Pattern[str]:
    end = ""
    if glob.endswith(" *") and not glob.endswith("\\ *"):
        glob, end = glob[:-2], "(?: .*)?"  # "git *" is also about "git" alone
    return re.compile(_translated(glob, {"**": ".*", "*": ".*", "?": "."}) + end, re.DOTALL)


def _translated(glob: str, signs: Mapping[str, str]) -> str:
    """A glob as a regular expression; ``signs`` says what its wildcards mean, longer ones first."""
    pieces, place = [], 0
    while place < len(glob):
        if glob[place] == "\\" and glob[place + 1 : place + 2] in ("*", "?", "\\"):
            pieces.append(re.escape(glob[place + 1]))
            place += 2
            continue
        sign = next((each for each in signs if glob.startswith(each, place)), "")
        if sign == "/**" and place + 3 < len(glob):
            sign = ""  # in the middle it is "/" and then "**/"
        pieces.append(signs[sign] if sign else re.escape(glob[place]))
        place += len(sign) or 1
    return "".join(pieces)


def _escaped(text: str) -> str:
    """The glob that fits just this text."""
    return re.sub(r"([\\*?])", r"\\\1", text)


def _literal(glob: str) -> str | None:
    """The one text a glob without wildcards stands for."""
    bare = re.sub(r"\\[\\*?]", "", glob)
    return None if set(bare) & {"*", "?"} else re.sub(r"\\([\\*?])", r"\1", glob)
