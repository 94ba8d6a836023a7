"""Key files: where in a workspace secrets are kept, and which of the values in them are secrets.

What is not covered: key files beyond the first 5,000 files of a workspace, and beyond their first 100,000
bytes; links that lead out of it (an agent could lay one to learn what it may not read).
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

_MOST_FILES = 5_000  # looked at for key files
_MOST_BYTES = 100_000  # of one key file
_PASSED_BY = frozenset({".git", ".venv", "node_modules", "__pycache__", ".autoagent"})
_LINE = re.compile(  # KEY=value, export KEY=value, "key": "value", //registry.example/:key=value
    r"\s*(?:export\s+|//\S*:)?[\"']?([\w.-]+)[\"']?\s*[=:]\s*(.*?)\s*,?\s*"
)
_PGPASS = re.compile(r"(?:(?:\\.|[^\\:])*:){4}(.+)")  # host:port:database:user:password
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # nobody need write into a pipe for it to be opened

NAMES = (
    "*API_KEY", "*APIKEY", "*ACCESS_KEY", "*SECRET_KEY", "*PRIVATE_KEY", "*ENCRYPTION_KEY", "*_KEY_ID",
    "*TOKEN", "*SECRET", "*PASSWORD", "*PASSWD", "*PASSPHRASE", "*CREDENTIALS", "*_AUTH", "*_DSN",
    "DATABASE_URL", "*CONNECTION_STRING",
)  # fmt: skip
"""Environment variables, and keys in key files, whose values are secrets: globs, whatever the case."""

KEY_FILES = (
    ".env", ".env.*", "*.env", ".netrc", ".pgpass", ".npmrc", ".pypirc", ".git-credentials", "credentials",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.pem", "*.key", "*.p8",
)  # fmt: skip
"""Files in the workspace that are looked through for values: globs over their names."""


@dataclass
class KeyFiles:
    """The key files of a folder.

    Args:
        folder: Looked through with all below it.
        files: Globs of file names beyond ``KEY_FILES``.
        names: Globs of keys beyond ``NAMES``.
    """

    folder: Path
    files: Sequence[str] = ()
    names: Sequence[str] = ()
    _seen: dict[Path, tuple[int, ...]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._wanted = re.compile("|".join(map(fnmatch.translate, (*KEY_FILES, *self.files))))

    def news(self) -> Iterator[tuple[str, str]]:
        """Names and values in files that are new, or were changed, since this was last called."""
        root = os.path.realpath(self.folder)
        for file in self._found():
            try:
                status = file.stat()
            except OSError:  # it went away
                continue
            stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
            if self._seen.get(file) == stamp or not _is_below(root, os.path.realpath(file)):
                continue
            self._seen[file] = stamp
            yield from values_in(file.name, _start_of(file), self.names)

    def holds(self, name: str) -> bool:
        """Whether a file of this name is a key file."""
        return self._wanted.match(name) is not None

    def _found(self) -> Iterator[Path]:
        seen = 0
        for here, folders, files in os.walk(self.folder):
            folders[:] = sorted(name for name in folders if name not in _PASSED_BY)
            for name in sorted(files):
                seen += 1
                if seen > _MOST_FILES:
                    return
                if self.holds(name):
                    yield Path(here) / name


def is_telling(name: str, more: Sequence[str]) -> bool:
    """Whether what has this name is a secret."""
    return any(fnmatch.fnmatchcase(name.upper(), glob.upper()) for glob in (*NAMES, *more))


def values_in(file: str, content: bytes, names: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Values in a key file, by name: of telling keys, the long lines of keys in PEM files, and what stands in
    the place of a password in files with a form of their own.

    Args:
        file: Its name.
        content: What it holds.
        names: Globs of keys beyond ``NAMES``.
    """
    inside = False
    for line in content[:_MOST_BYTES].decode("utf-8", "replace").splitlines():
        if "PRIVATE KEY" in line:
            inside = line.startswith("-----BEGIN")
        elif inside and len(line.strip()) >= 16:
            yield file, line
        elif (found := _LINE.fullmatch(line)) and is_telling(found[1], names):
            yield found[1], found[2].strip("\"'")
        else:
            yield from ((file, value) for value in _passwords(file, line))


def _passwords(file: str, line: str) -> list[str]:
    """The secrets in a line of a file of this name, where its form tells their place."""
    if file == ".git-credentials" and "@" in line:  # https://user:password@host
        return [line.partition("://")[2].partition("@")[0].partition(":")[2]]
    if file == ".netrc":  # machine host login user password password, on one line or on several
        return [word for before, word in pairwise(line.split()) if before in ("password", "login")]
    if file == ".pgpass" and not line.startswith("#") and (found := _PGPASS.fullmatch(line)):
        return [found[1], re.sub(r"\\(.)", r"\1", found[1])]  # as it stands there, and as it is meant
    return []


def _start_of(file: Path) -> bytes:
    """As much of a file as is looked at; nothing of a pipe or a device."""
    try:
        handle = os.open(file, os.O_RDONLY | _AT_ONCE)
        with open(handle, "rb") as opened:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return b""
            return opened.read(_MOST_BYTES)
    except OSError:
        return b""


def _is_below(root: str, path: str) -> bool:
    return path.startswith(root.rstrip(os.sep) + os.sep)
