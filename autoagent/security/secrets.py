"""Secrets: what the model, the record and exports must not hold is replaced by ``[secret: NAME]``.

A secret is the value of an environment variable with a telling name, a value in a key file of the workspace,
or a text of a known form (``PATTERNS``). Values are found as they stand and as JSON, HTML, URLs and base64
write them, and their beginnings and ends where a text was cut. The model may put ``[secret: NAME]`` into an
argument: the tool gets the value, the model never sees it.

What is not covered: a value changed in any other way (reversed, spelled out, hashed, a number that is no
text); short values (below 8 characters) and common words; forms not listed; secrets in the workspace's files
and in its snapshots, which are copies of them; what was said before a value became known.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from autoagent.security.keyfiles import KeyFiles, is_telling

_SHORTEST = 8  # characters of a value
_PART = 8  # characters of a value at a cut

# The forms are those their makers publish; the choice follows gitleaks (MIT) and detect-secrets (Apache-2.0).
PATTERNS: Mapping[str, str] = {
    "private-key": r"-----BEGIN[ A-Z0-9]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
    r"(?:-----END[ A-Z0-9]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    "aws-key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
    "github-token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b",
    "gitlab-token": r"\bglpat-[\w-]{20,}",
    "slack-token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-\d-[A-Za-z0-9-]{10,}",
    "slack-webhook": r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20,}",
    "anthropic-key": r"\bsk-ant-[\w-]{20,}",
    "openai-key": r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}\b",
    "google-key": r"\bAIza[\w-]{35}\b",
    "huggingface-token": r"\bhf_[A-Za-z0-9]{30,}\b",
    "stripe-key": r"\b(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,}\b",
    "npm-token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "pypi-token": r"\bpypi-AgEIcHlwaS5vcmc[\w-]{50,}",
    "jwt": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "password-in-address": r"(?<=://)[^\s/:@\"']+:[^\s/@\"']{3,}(?=@)",
}
"""Texts that are secrets by their form, by name."""

_KEY_END = re.compile(r"-----END[ A-Z0-9]*PRIVATE KEY(?: BLOCK)?-----")
_BREAK = re.compile(r"(\s+|\\[rn])")  # between the lines of a key, also as JSON writes it
_KEY_LINE = re.compile(r"\s*|\\[rn]|[A-Za-z0-9+/=]+")
_PLACE = re.compile(r"\[secret: ([\w.-]+)\]")


@dataclass
class Secrets:
    """The secrets of a run, by name; grows as texts of known forms turn up.

    Args:
        values: Known ones, by name.
        patterns: Regular expressions by name; a text that fits becomes one.
        files: Where :meth:`look_again` looks for more.
        fresh: Names of those that turned up during the run, in files or by their form. Anybody may have
            written these, so a call that names one is decided upon with its value.
    """

    values: dict[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=lambda: dict(PATTERNS))
    files: KeyFiles | None = None
    fresh: set[str] = field(default_factory=set)
    _finder: re.Pattern[str] | None = field(default=None, init=False, repr=False)
    _spelled: dict[str, str] = field(default_factory=dict, init=False, repr=False)  # spelling -> name
    _forms: list[tuple[str, re.Pattern[str]]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        self._forms = [(name, re.compile(form)) for name, form in self.patterns.items()]

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self.values)) or 'none'})"  # never a value

    def add(self, name: str, value: str) -> str:
        """Take in one more value, and return its name; "" for what is too short or too common, or known."""
        value = value.strip()
        if not _telling(value) or value in self.values.values():
            return ""
        return self._keep(name, value)

    def look_again(self) -> None:
        """Take in what key files hold that are new or were changed since they were last looked at."""
        for name, value in self.files.news() if self.files else ():
            if added := self.add(name, value):
                self.fresh.add(added)

    def redacted(self, text: str) -> str:
        """The text with every secret replaced by ``[secret: NAME]``."""
        for name, form in self._forms:
            text = form.sub(partial(self._placed, name), text)
        text = self._without_key_ends(text)
        if not self.values:
            return text
        if self._finder is None:
            self._prepare()
        assert self._finder is not None  # made just now
        text = self._finder.sub(lambda found: f"[secret: {self._spelled[found[0]]}]", text)
        return self._without_ends(text)

    def redacted_all(self, value: Any) -> Any:
        """The same for every text inside lists and dicts."""
        if isinstance(value, str):
            return self.redacted(value)
        if isinstance(value, Mapping):
            return {self.redacted_all(key): self.redacted_all(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.redacted_all(each) for each in value]
        return value

    def named_in(self, value: Any) -> list[str]:
        """The secrets that an argument asks for, in order."""
        return [name for name in _places_in(value) if name in self.values]

    def lost_in(self, value: Any) -> list[str]:
        """The names in an argument whose secrets are not known, in order."""
        return [name for name in _places_in(value) if name not in self.values]

    def filled_in(self, value: Any, only: Collection[str] | None = None) -> Any:
        """An argument with the values of the secrets it asks for; an unknown name stays as it is.

        ``only``: names of those that are filled in; by default all.
        """
        if isinstance(value, str):
            return _PLACE.sub(lambda found: self._value_of(found, only), value)
        if isinstance(value, Mapping):
            return {self.filled_in(key, only): self.filled_in(each, only) for key, each in value.items()}
        if isinstance(value, list):
            return [self.filled_in(each, only) for each in value]
        return value

    def _value_of(self, found: re.Match[str], only: Collection[str] | None) -> str:
        name = found[1]
        return self.values.get(name, found[0]) if only is None or name in only else found[0]

    def _placed(self, name: str, found: re.Match[str]) -> str:
        return self._place(name, found[0])

    def _place(self, name: str, value: str) -> str:
        """The place-holder for a text of a known form, which gets a name of its own."""
        if value.startswith("[secret: "):
            return value
        known = next((each for each, kept in self.values.items() if kept == value), None)
        if known is None:
            same = sum(each == name or each.startswith(f"{name}-") for each in self.values)
            known = f"{name}-{same + 1}" if same else name
            self.fresh.add(self._keep(known, value))
        return f"[secret: {known}]"

    def _keep(self, name: str, value: str) -> str:
        free, number = name, 1
        while free in self.values:
            number += 1
            free = f"{name}-{number}"
        self.values[free] = value
        self._finder = None
        return free

    def _prepare(self) -> None:
        self._spelled = {
            spelling: name for name, value in self.values.items() for spelling in _spellings(value)
        }
        longest_first = sorted(self._spelled, key=lambda each: (-len(each), each))
        self._finder = re.compile("|".join(map(re.escape, longest_first)))

    def _without_key_ends(self, text: str) -> str:
        """The last lines of a private key whose beginning is not there."""
        while (end := _KEY_END.search(text)) is not None:
            pieces = _BREAK.split(text[: end.start()])
            while pieces and _KEY_LINE.fullmatch(pieces[-1]):
                pieces.pop()
            before = "".join(pieces)
            text = f"{before}{self._place('private-key', text[len(before) : end.end()])}{text[end.end() :]}"
        return text

    def _without_ends(self, text: str) -> str:
        """Where a text was cut, a secret may have lost its end or its beginning."""
        pieces = re.split(r"(\n… [^\n]* …\n|\n… cut at [^\n]*)", text)
        for place in range(0, len(pieces), 2):
            for name, value in self.values.items():
                if place + 1 < len(pieces):
                    pieces[place] = _cut_end(pieces[place], name, value)
                if place:
                    pieces[place] = _cut_beginning(pieces[place], name, value)
        return "".join(pieces)


def known_secrets(
    environment: Mapping[str, str], workspace: Path | None = None, *,
    names: Sequence[str] = (), patterns: Sequence[str] = (), files: Sequence[str] = (),
) -> Secrets:  # fmt: skip
    """The secrets of an environment and of the key files in a workspace.

    Args:
        environment: Variables by name.
        workspace: The folder whose key files are looked through.
        names: Globs of variables beyond ``NAMES``.
        patterns: Regular expressions beyond ``PATTERNS``.
        files: Globs of file names beyond ``KEY_FILES``.
    """
    own = {f"pattern-{number}": each for number, each in enumerate(patterns, start=1)}
    secrets = Secrets(patterns={**PATTERNS, **own})
    for name in sorted(environment):
        if is_telling(name, names) and not os.path.exists(environment[name]):
            secrets.add(name, environment[name])
    if workspace is not None:
        secrets.files = KeyFiles(workspace, tuple(files), tuple(names))
        secrets.look_again()
        secrets.fresh.clear()  # these were there before
    return secrets


def _telling(value: str) -> bool:
    """Whether a value is long and odd enough that replacing it everywhere hurts nothing."""
    if len(value) < _SHORTEST or value.casefold() in ("password", "changeme", "localhost"):
        return False
    return len(value) >= 16 or not value.isalpha() or not (value.islower() or value.istitle())


def _spellings(value: str) -> set[str]:
    """A value as it stands, and as JSON, URLs, Python and base64 write it."""
    found = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    found |= {each.replace("/", "\\/") for each in found}
    found |= {quote(value, safe=""), quote(value), repr(value)[1:-1]}
    found |= {json.dumps(each)[1:-1] for each in list(found)}  # JSON inside JSON
    for escaped in (html.escape, _as_jinja):
        found |= {escaped(each) for each in list(found)}
    coded = base64.b64encode(value.encode("utf-8", "replace")).decode("ascii")
    found |= {coded, coded.rstrip("="), base64.urlsafe_b64encode(value.encode("utf-8", "replace")).decode()}
    return {each for each in found if len(each) >= _SHORTEST}


def _as_jinja(text: str) -> str:
    return html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def _cut_end(text: str, name: str, value: str) -> str:
    for size in range(min(len(value) - 1, len(text)), _PART - 1, -1):
        if text.endswith(value[:size]):
            return f"{text[:-size]}[secret: {name}]"
    return text


def _cut_beginning(text: str, name: str, value: str) -> str:
    for size in range(min(len(value) - 1, len(text)), _PART - 1, -1):
        if text.startswith(value[-size:]):
            return f"[secret: {name}]{text[size:]}"
    return text


def _places_in(value: Any) -> list[str]:
    """The names in ``[secret: NAME]``, wherever they are in a value."""
    if isinstance(value, str):
        return list(_PLACE.findall(value))
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    return [name for each in value for name in _places_in(each)] if isinstance(value, list) else []
