"""What moves at the bottom of a terminal while something is going on; it leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from autoagent.cli.console import clean, cut

_LINES = 5  # of what the model is saying, the latest
_TAIL = 2_000  # characters looked at for them

Foot = Callable[[int], Text]  # the last line, for so many columns


class Working:
    """The latest lines of a reply, a spinner with what is being done, and perhaps a line below it.

    On a terminal only, and not on a dumb one, which cannot take lines back.

    Args:
        console: Where it is shown.
        foot: Called at every turn of the spinner.
    """

    def __init__(self, console: Console, foot: Foot | None = None) -> None:
        self._console, self._foot = console, foot
        self._doing = self._said = ""
        self._style = ""
        self._spinner = Spinner("line" if console.options.ascii_only else "dots", style="dim")
        self._live: Live | None = None

    def show(self, doing: str, said: str = "", *, thought: bool = False) -> None:
        """Say what is being done and what was said so far; a thought is shown as one."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            return
        self._doing, self._said = clean(" ".join(doing.split())), said[-_TAIL:]
        self._style = "dim italic" if thought else "dim"
        if self._live is None:
            self._live = Live(self, console=self._console, refresh_per_second=12, transient=True)
            self._live.start()

    def pause(self) -> None:
        """Take it away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width = options.max_width
        said = Text(clean(self._said).strip(), style=self._style)
        yield from list(said.wrap(console, max(8, width - 2)))[-_LINES:] if said else ()
        turning = self._spinner.render(console.get_time())
        assert isinstance(turning, Text)  # it has no text of its own beside it
        yield Text.assemble(turning, " ", (cut(self._doing, max(8, width - 4)), "dim"))
        if self._foot is not None and (foot := self._foot(width)):
            yield foot
