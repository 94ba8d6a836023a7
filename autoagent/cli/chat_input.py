"""The line that is typed at: keys, history, completion and the bottom line, by prompt_toolkit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import Style

from autoagent.errors import AutoagentError
from autoagent.home import ensure_home

_HISTORY = "chat_history"
_MOST_FILES = 100  # offered at once
_STYLE = Style.from_dict(
    {"bottom-toolbar": "noreverse ansibrightblack", "bottom-toolbar.text": "noreverse ansibrightblack"}
)

Offer = Iterable[tuple[str, str]]  # a word and what is said about it
Offers = Callable[[str], Offer]  # of a command, what may follow it


class Prompt:
    """Reads what is typed, on a terminal.

    Args:
        home: Where the history is kept.
        workspace: Whose files are completed.
        commands: Names and what they do.
        offers: What may follow a command.
        tools: Names and descriptions.
        foot: The bottom line, for so many columns.
    """

    def __init__(
        self, home: Path, workspace: Path, *, commands: Offer, offers: Offers, tools: Callable[[], Offer],
        foot: Callable[[int], str],
    ) -> None:  # fmt: skip
        self._foot = foot
        plain = bool(os.environ.get("NO_COLOR"))
        self._session: PromptSession[str] = PromptSession(
            multiline=True,
            history=_History(home),
            completer=_Words(workspace, dict(commands), offers, tools),
            complete_while_typing=Condition(_names_something),
            key_bindings=_keys(),
            prompt_continuation="  ",
            bottom_toolbar=lambda: foot(get_app().output.get_size().columns),
            enable_open_in_editor=True,
            enable_suspend=True,
            reserve_space_for_menu=6,
            style=_STYLE,
            color_depth=ColorDepth.DEPTH_1_BIT if plain else None,
        )

    def __call__(self, mark: str) -> str:
        """What was typed after the mark, perhaps in several lines.

        Raises:
            EOFError: Ctrl-D, or the terminal is gone.
            KeyboardInterrupt: Ctrl-C.
        """
        try:
            return self._session.prompt(mark)
        except OSError:
            raise EOFError from None


class _History(FileHistory):
    """Made with the first line; one that cannot be written is no reason to stop."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / _HISTORY)
        self._home = home

    def store_string(self, string: str) -> None:
        with suppress(OSError, UnicodeError, AutoagentError):
            (ensure_home(self._home) / _HISTORY).touch(mode=0o600)
            super().store_string(string)

    def load_history_strings(self) -> Iterable[str]:
        try:
            yield from super().load_history_strings()
        except OSError:
            return


def _keys() -> KeyBindings:
    keys = KeyBindings()
    typing = Condition(lambda: not get_app().layout.is_searching)

    @keys.add("enter", filter=typing)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith("\\") and buffer.document.is_cursor_at_the_end_of_line:
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=typing)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _names_something() -> bool:
    """Offers show up unasked while a command or, after @, a file is named."""
    before = get_app().current_buffer.document.text_before_cursor
    return _is_command(before) or _last_word(before).startswith("@")


def _is_command(before: str) -> bool:
    return before.startswith("/") and "/" not in before[1:] and "\n" not in before


def _last_word(before: str) -> str:
    return before.split()[-1] if before and not before[-1].isspace() else ""


class _Words(Completer):
    """Commands and what may follow them; files after @ or in a path; files and tools in a goal."""

    def __init__(
        self, workspace: Path, commands: dict[str, str], offers: Offers, tools: Callable[[], Offer]
    ) -> None:
        self._workspace, self._commands = workspace, commands
        self._offers, self._tools = offers, tools

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        before = document.text_before_cursor
        command, space, rest = before.partition(" ")
        if _is_command(before) and not space:
            yield from _fitting(command, self._commands.items())
        elif _is_command(before) and command in self._commands:
            yield from _fitting(rest.lstrip(), self._offered(command))
        else:
            word = _last_word(before)
            if word:
                yield from self._files(word)
            if word and complete_event.completion_requested and not word.startswith("@"):
                yield from _fitting(word, self._tools())

    def _offered(self, command: str) -> Offer:
        try:
            return list(self._offers(command))
        except (AutoagentError, OSError):
            return []

    def _files(self, word: str) -> Iterator[Completion]:
        """Of the workspace, one folder at a time; names with a space are put in quotes."""
        folder, slash, start = word.removeprefix("@").lstrip('"').rpartition("/")
        place = self._workspace / folder
        if Path(folder).is_absolute() or ".." in Path(folder).parts:
            return
        with suppress(OSError, ValueError):
            found = sorted(each for each in place.iterdir() if each.name.startswith(start))
            shown = [each for each in found if start.startswith(".") or not each.name.startswith(".")]
            for each in shown[:_MOST_FILES]:
                name = f"{folder}{slash}{each.name}" + ("/" if each.is_dir() else "")
                quoted = f'"{name}"' if " " in name else name
                yield Completion(quoted, start_position=-len(word), display=name)


def _fitting(word: str, offer: Offer) -> Iterator[Completion]:
    for name, about in offer:
        if name.startswith(word):
            yield Completion(name, start_position=-len(word), display_meta=about)
