"""Standard input, output and error as they come from a shell: closed, full, in any encoding, or shared."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TextIO, cast

from autoagent.errors import AutoagentError


@contextmanager
def usable_streams() -> Iterator[None]:
    """Make all three usable: a closed one is empty, and no text makes reading or writing fail.

    A letter that the encoding lacks is printed as a question mark. What was read and is not text stands as
    lone surrogates, which a goal refuses. A full disk behind standard output is an AutoagentError.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:  # or the next file that is opened gets its number, and what is printed
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - stays open
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "replace"), (sys.stderr, "replace")):
        with suppress(AttributeError):
            stream.reconfigure(errors=errors)  # type: ignore[union-attr]
    before = sys.stdout
    sys.stdout = cast("TextIO", _Told(before))
    try:
        yield
    finally:
        sys.stdout = before


class _Told:
    """Standard output whose failures are told apart from those of other files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with _told(give_up=True):
            return self._stream.write(text)

    def flush(self) -> None:
        with _told(give_up=True):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _told(*, give_up: bool) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        if give_up:
            give_up_stdout()
        raise AutoagentError(f"standard output cannot be written: {problem.strerror}") from None


def give_up_stdout() -> None:
    """Write to nowhere from now on, or the flush at exit fails again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


Put = Callable[[str], None]  # print one line


@contextmanager
def only_results(wanted: bool) -> Iterator[Put]:
    """Keep standard output for what is printed with the function this yields.

    Whatever else is printed meanwhile, by the user's own tools, their child processes or a library, goes to
    standard error. With ``wanted=False`` nothing is changed.

    Raises:
        AutoagentError: (by the function) standard output cannot be written.
    """
    ours = sys.stdout
    if not wanted:
        yield print
        return
    ours.flush()
    saved = _second_handle(ours)
    if saved is not None:
        sys.stderr.flush()
        os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield partial(print, file=ours, flush=True) if saved is None else partial(_write_line, saved, ours)
    finally:
        sys.stdout = ours
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


def _second_handle(stream: TextIO) -> int | None:
    """Of the process's standard output; None where something else takes its place."""
    try:
        return os.dup(1) if stream.fileno() == 1 else None
    except (OSError, ValueError, AttributeError):
        return None


def _write_line(handle: int, like: TextIO, line: str) -> None:
    rest = f"{line}\n".encode(like.encoding, like.errors or "strict")
    with _told(give_up=False):
        while rest:
            rest = rest[os.write(handle, rest) :]


def json_line(value: Any) -> str:
    """A value as one line of JSON, which standard output can hold without loss whatever its encoding."""
    try:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        value = _without_nan(value)
        line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode(sys.__stdout__.encoding if sys.__stdout__ else "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value)
    return line


def _without_nan(value: Any) -> Any:
    """JSON has no NaN and no infinity; null stands for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    return [_without_nan(each) for each in value] if isinstance(value, (list, tuple)) else value
