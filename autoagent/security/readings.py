"""What an argument can be read as: one path, command or address often has several spellings.

A rule that allows must fit every reading; a rule that asks or denies needs to fit one. So whatever is left
ambiguous here ends as a question, never as a yes.
"""

from __future__ import annotations

import contextlib
import ipaddress
import posixpath
import re
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit

_ORDINARY_PORTS = {"http": 80, "https": 443}
_ODD_IN_URL = re.compile(r"[\s\\\x00-\x1f\x7f]")
_SEPARATORS = ";&|\n"
_PIECES = re.compile(r"[;&|\n`(){}<>\"'$]+")


def paths(name: str, root: Path | None) -> tuple[str, ...]:
    """The path by its letters and, where ``root`` (the workspace) is known, with links followed.

    Relative to ``root`` where it is inside, with forward slashes, ``..`` taken out as far as possible.
    """
    plain = _plain(name)
    if root is None:
        return (plain,)
    found = [_within(plain, root)]
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # no path at all: the tool will say so
        found.append(_within((root / name).resolve().as_posix(), root))
    return tuple(dict.fromkeys(found))


def _plain(name: str) -> str:
    """``./a//b/../c`` is ``a/c``."""
    plain = posixpath.normpath(name)
    return "/" + plain.lstrip("/") if plain.startswith("/") else plain


def _within(path: str, root: Path) -> str:
    pure = PurePosixPath(path)
    return str(pure.relative_to(root)) if pure.is_relative_to(root) else path


def commands(line: str) -> tuple[str, ...] | None:
    """The simple commands of a shell line, or None where letters alone do not tell what would run.

    ``a && b | c`` has three. None stands for substitutions, redirections, sub-shells, comments, line
    continuations and open quotes. Quotes stay in place.
    """
    parts, start, quote, place = [], 0, "", 0
    while place < len(line):
        sign, following = line[place], line[place + 1 : place + 2]
        if quote == "'":
            quote = "" if sign == "'" else quote
        elif sign == "\\":
            if following in ("", "\n"):
                return None
            place += 1
        elif sign == "`" or (sign == "$" and following in ("(", "{", "[", "'", '"')):
            return None
        elif quote:
            quote = "" if sign == '"' else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "<>()\r\0" or (sign == "#" and line[place - 1 : place] in ("", " ", "\t", *_SEPARATORS)):
            return None
        elif sign in _SEPARATORS:
            parts.append(line[start:place])
            start = place + 1
        place += 1
    parts.append(line[start:])
    return None if quote else tuple(part.strip() for part in parts if part.strip())


def pieces(line: str) -> tuple[str, ...]:
    """Everything in a shell line that might be a command: cut at all signs, quotes taken off words."""
    bare = re.sub(r"[\"'\\]", "", line)
    found = [*_PIECES.split(line), *re.split(r"[;&|\n`(){}<>$]+", bare), line]
    return tuple(dict.fromkeys(" ".join(piece.split()) for piece in found if piece.strip()))


def urls(address: str) -> tuple[str, ...] | None:
    """The address without user name and ordinary port, host in small letters (an IPv6 address in its one
    short form), ``..`` taken out of its path.

    Once more with %-signs decoded, where that differs. None where clients would not agree on what it means.
    """
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    if not host or _ODD_IN_URL.search(address):
        return None
    with contextlib.suppress(ValueError):  # a name
        host = str(ipaddress.ip_address(host))
    where = f"[{host}]" if ":" in host else host
    if port is not None and port != _ORDINARY_PORTS.get(parts.scheme):
        where += f":{port}"
    return tuple(dict.fromkeys(_address(parts, where, path) for path in (parts.path, unquote(parts.path))))


def _address(parts: SplitResult, where: str, path: str) -> str:
    plain = _plain("/" + path)
    if path.endswith("/") and plain != "/":
        plain += "/"
    return f"{parts.scheme}://{where}{plain}" + (f"?{parts.query}" if parts.query else "")
