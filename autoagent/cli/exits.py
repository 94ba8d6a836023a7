"""What the exit status says about a run. Documented in docs/exit-codes.md."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoagent.trajectory import Ending, Verdict


class Exit(IntEnum):
    """What the exit status of ``autoagent`` says."""

    OK = 0  # finished; the check passed if one was given
    ERROR = 1  # a fault of a tool, of the store, or of autoagent
    USAGE = 2  # asked for something that cannot be done as asked
    REFUTED = (
        3  # the check does not hold, the gate refused a new model, or too few runs of a suite were right
    )
    STUCK = 4  # no progress, or no valid calls
    DENIED = 5  # needed an effect that was refused
    DECLINED = 6  # the model says that it cannot do this
    BUDGET = 124  # max_steps, max_tokens or timeout
    HUNG_UP = 129  # SIGHUP: the terminal was closed
    INTERRUPTED = 130  # Ctrl-C
    BROKEN_PIPE = 141  # whoever read the output went away
    TERMINATED = 143  # SIGTERM


_BY_ENDING: dict[Ending, Exit] = {
    "finished": Exit.OK,
    "declined": Exit.DECLINED,
    "max_steps": Exit.BUDGET,
    "max_tokens": Exit.BUDGET,
    "timeout": Exit.BUDGET,
    "stuck": Exit.STUCK,
    "format_errors": Exit.STUCK,
    "denied": Exit.DENIED,
    "interrupted": Exit.INTERRUPTED,
    "error": Exit.ERROR,
}


def of_run(ending: Ending | None, verdict: Verdict, *, checked: bool) -> Exit:
    """The exit code of a run: its ending decides; a finished run with a check must have passed it.

    A check that could not judge is one that was not given as it should be.

    Args:
        ending: None (a run that has none) counts as an error.
        verdict: What the check said.
        checked: Whether a check was given.
    """
    if ending is None:
        return Exit.ERROR
    if ending == "finished" and checked and verdict.status != "verified":
        return Exit.REFUTED if verdict.status == "refuted" else Exit.USAGE
    return _BY_ENDING[ending]
