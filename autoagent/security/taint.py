"""Taint: what came from outside must not decide where things go.

A run is tainted from the first observation on that came from outside: the web, a tool that reads what
others wrote, a file marked untrusted, a memory of a tainted run. From then on, an effect that leaves the
workspace is asked about unless every value that says where it goes, or how much of it, was said by the user
(``values``), or is the id of a thing whose name the user said. In any run, the same is what lets a call use
the network unasked. No observation makes a value the user's, be the run tainted or not: what the model wrote
into a call comes back in files, outputs and errors, and what stands in a file is not where the user wants
things to go.

That is the published "rule of two" (Meta, 2025: untrusted input, private data, outward effects: not all three
without a person) with provenance of arguments as in CaMeL (arXiv:2503.18813), judged by values instead of by
tracking them through a program.

What is not covered: what the text of a message says, beyond its links; what is written into the workspace,
and does not taint the next run; a user's request that names the wrong place; a tool that makes ids and names
out of a text the model gives it in another writing; programs in the sandbox while no hosts are named for
them, as these have no network. A tool that lies about its effects is believed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from autoagent.security import readings
from autoagent.security.rules import Rule, subjects
from autoagent.security.values import Words, leaves, links, without

Taint = Literal["off", "ask", "deny", "strict"]

_OUTWARD = frozenset({"network", "train"})
_MOST_FILES = 20_000  # of a workspace, looked through for untrusted ones
_ID = re.compile(r"(?:.*_)?id_?|uuid", re.IGNORECASE)
_NAMES = frozenset({"name", "title", "filename", "file_name", "subject", "label", "path"})
_MOST_PARSED = 1_000_000  # characters of a result that is looked through for names


@dataclass(frozen=True)
class Action:
    """A call as the guard sees it.

    Attributes:
        tool: Its name.
        effects: Those the tool declares.
        arguments: As the function will get them.
        content: Names of arguments that only hold what people are to read; their links count all the same.
        keys: Names of properties in the tool's schema.
        choices: Values the schema lists, and its defaults: nowhere to send anything to.
        sandboxed: It runs programs, and only in the sandbox.
    """

    tool: str
    effects: tuple[str, ...]
    arguments: Mapping[str, Any]
    content: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    choices: frozenset[str] = frozenset()
    sandboxed: bool = False


@dataclass
class _Thing:
    """What tools told of an id: how much the model had written into calls by then, and names beside it."""

    claims: int
    names: list[tuple[str, ...]] = field(default_factory=list)


@dataclass
class Guard:
    """What is known of a run: what the user said, and what came from outside. A helper shares its parent's.

    Args:
        setting: ``off``: rules and effects alone decide. ``ask``: a tainted run asks where a value is not the
            user's. ``deny``: it is refused, whoever could be asked. ``strict``: it asks about every effect
            that leaves the workspace.
        untrusted: Globs of files in the workspace that others wrote.
        root: The workspace.
    """

    setting: Taint = "ask"
    untrusted: tuple[str, ...] = ()
    root: Path | None = None
    sources: list[str] = field(default_factory=list)  # what tainted the run, in order
    _words: Words = field(default_factory=Words, repr=False)
    _claims: Words = field(default_factory=lambda: Words(longest=None), repr=False)  # the model's, in calls
    _things: dict[str, _Thing] = field(default_factory=dict, repr=False)  # by id
    _flagged: str = ""  # by the tool at work: where its result is from

    @property
    def tainted(self) -> bool:
        """Whether anything from outside has come in."""
        return bool(self.sources)

    def user_says(self, text: str) -> None:
        """Take in a word of the user's: the goal, feedback."""
        self._words.add(text)

    def user_answers(self, text: str, question: Mapping[str, Any]) -> None:
        """Take in what a call that asks the user returned, without what it repeats of its arguments."""
        self._words.add(without(text, map(str, leaves(question))))

    def user_allows(self, action: Action) -> None:
        """The values of a call the user agreed to are known from now on; of a text to read, its links."""
        for name, argument in action.arguments.items():
            for value in map(str, leaves(argument, action.keys)):
                for each in links(value) if name in action.content else [value]:
                    self._words.add(each)

    def model_says(self, arguments: Mapping[str, Any]) -> None:
        """Take in the arguments of a call that is about to be carried out, as the model wrote them."""
        for value in leaves(arguments):
            self._claims.add(str(value))

    def taint(self, source: str) -> None:
        """Something from outside has come in."""
        if source not in self.sources:
            self.sources.append(source)

    def flag(self, source: str) -> None:
        """Said by a tool at work: what it is going to return is from outside."""
        self._flagged = source

    def flagged(self) -> str:
        """What the latest tool said so, once."""
        said, self._flagged = self._flagged, ""
        return said

    def observed(self, content: str, *, outside: str = "", structured: bool = False) -> None:
        """Take in what a call returned. It says what belongs to an id, and never where things may go.

        Args:
            content: The text.
            outside: Where it is from, when that is outside.
            structured: The tool put it together itself, as JSON: an id in it belongs to the name beside it,
                unless the model had written that id into a call before any tool told it.
        """
        if outside:
            self.taint(outside)
        if structured and len(content) <= _MOST_PARSED:
            self._learn(content)

    def reads_untrusted(self, action: Action) -> str:
        """The untrusted file that a call may read, "" when there is none: a folder is all that is in it."""
        if not self.untrusted or not {"read", "write", "execute"} & set(action.effects):
            return ""
        globs = [Rule("*", glob) for glob in self.untrusted]
        named = [value for kind, value in subjects(action.arguments) if kind == "path"]
        for value in named:
            if any(glob.touches("", {"path": value}, self.root) for glob in globs):
                return value
        if "execute" in action.effects:
            named = ["."]  # a program reads what it likes
        return next((file for value in named for file in self._below(value, globs)), "")

    def shows_untrusted(self, content: str) -> str:
        """The untrusted file that a result names, as that of a search does; "" when there is none."""
        globs = [Rule("*", glob) for glob in self.untrusted]
        return next((file for file in self._below(".", globs) if file in content), "") if globs else ""

    def concern(self, action: Action) -> str:
        """Why a call has to be asked about though its effects are allowed; "" when it need not."""
        if self.setting == "off" or not self.tainted or not self.leaves(action):
            return ""
        because = f"this run has read what came from outside ({self.sources[0]})"
        if self.setting == "strict":
            return f"{because}, and {action.tool} has effects outside the workspace"
        if foreign := self._foreign(action):
            return f"{because}, and {foreign} was not said by the user"
        return "" if self._anchored(action) else f"{because}, and nothing in this call was said by the user"

    def vouches(self, action: Action) -> bool:
        """Whether the user said themselves where this call goes, so that it need not be asked about."""
        if self.setting == "off" or (self.setting == "strict" and self.tainted):
            return False
        return not self._foreign(action) and self._anchored(action)

    def leaves(self, action: Action) -> bool:
        """Whether a call has effects outside the workspace."""
        effects = set(action.effects)
        if effects & _OUTWARD or ("execute" in effects and not action.sandboxed):
            return True
        return "write" in effects and self.root is not None and any(
            path.startswith(("/", "..")) for kind, value in subjects(action.arguments) if kind == "path"
            for path in readings.paths(value, self.root)
        )  # fmt: skip

    def _foreign(self, action: Action) -> str:
        """The first value that says where things go and is not the user's: ``to "x@y.org"``."""
        for name, value in action.arguments.items():
            if name in action.content:
                found = [each for leaf in leaves(value, action.keys) for each in links(str(leaf))]
            else:
                found = [str(each) for each in self._sinks(name, value, action)]
            for each in found:
                if not self._words.hold(each):
                    return f"{name} {_shown(each)}"
        return ""

    def _anchored(self, action: Action) -> bool:
        """Whether at least one value of the call is the user's."""
        return any(
            self._is_users(name, leaf)
            for name, value in action.arguments.items()
            for leaf in leaves(value, action.keys)
            if str(leaf) not in action.choices
        )

    def _sinks(self, name: str, value: object, action: Action) -> Iterator[object]:
        for key, leaf in _with_keys(name, value):
            for each in leaves(leaf, action.keys):
                if str(each) not in action.choices and not self._is_users(key, each):
                    yield each

    def _is_users(self, key: str, value: object) -> bool:
        """Whether the user said it, or the name of the one thing it is the id of."""
        if self._words.hold(value):
            return True
        known = self._things.get(str(value)) if _ID.fullmatch(key) else None
        if known is None or self._claims.hold(value, first=known.claims):
            return False
        return all(any(self._words.hold(each) for each in names) for names in known.names)

    def _learn(self, content: str) -> None:
        try:
            found = json.loads(content)
        except ValueError:
            return
        for each in _objects(found):
            names = tuple(
                text for key, text in each.items()
                if key.casefold() in _NAMES and isinstance(text, str) and 3 <= len(text.strip()) <= 200
            )  # fmt: skip
            for key, value in each.items():
                if _ID.fullmatch(key) and isinstance(value, (str, int)) and not isinstance(value, bool):
                    known = self._things.setdefault(str(value), _Thing(len(self._claims)))
                    if names not in known.names:
                        known.names.append(names)

    def _below(self, name: str, globs: Sequence[Rule]) -> Iterator[str]:
        """Untrusted files in a folder of the workspace."""
        folder = None if self.root is None else self.root / name
        if self.root is None or folder is None or not folder.is_dir():
            return
        for number, file in enumerate(folder.rglob("*")):
            if number >= _MOST_FILES:
                yield name  # too many to look at: it may well be among them
                return
            inside = file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else ""
            if inside and file.is_file() and any(
                glob.touches("", {"path": inside}, self.root) for glob in globs
            ):  # fmt: skip
                yield inside


def _with_keys(name: str, value: object) -> Iterator[tuple[str, object]]:
    """The parts of an argument, each with the nearest name above it."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if isinstance(value, Mapping):
        yield name, {key: None for key in value}  # the keys themselves
        for key, each in value.items():
            yield from _with_keys(str(key), each)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from _with_keys(name, each)
    else:
        yield name, value


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _objects(each)


def _shown(value: str) -> str:
    line = " ".join(value.split())
    return json.dumps(line if len(line) <= 80 else f"{line[:79]}…", ensure_ascii=False)
