"""Everything that can go wrong, sorted by who must act on it.

    AutoagentError
    ├── UsageError            the user acts: one clear line, exit code 2
    │   ├── ConfigError       a setting is unknown or out of range
    │   └── ModelError        a model folder, id or server cannot be used
    ├── Recoverable           the model acts: the message becomes its next observation
    │   ├── ToolError         raised by a tool: "no such file: a.txt"
    │   ├── InvalidCall       a call names no shown tool, or its arguments do not validate
    │   └── Denied            policy or user refused the effect
    ├── ServerError           a remote model's server was lost or answers nonsense: one line, exit code 1
    ├── ContextFull           nobody acts: the conversation outgrew the window, the run ends with max_tokens
    └── StoreError            the record cannot be read or written: one clear line, exit code 1

Any other exception is a fault of the program (or of a custom tool): the run ends with ``error``, its record
is kept whole, and the traceback is kept with it.
"""

from __future__ import annotations

from typing import Literal


class AutoagentError(Exception):
    """Base of all errors raised on purpose. ``str(error)`` is one line: what, where, what to do."""


class UsageError(AutoagentError):
    """The user asked for something that cannot be done as asked."""


class ConfigError(UsageError):
    """A configuration value is unknown, of the wrong type, or out of range."""


class ModelError(UsageError):
    """A model cannot be found, loaded or trusted."""


class Recoverable(AutoagentError):
    """A mistake the model can see and correct; the loop turns it into an observation."""


class ToolError(Recoverable):
    """A tool could not do what it was asked; the message is written for the model."""


class InvalidCall(Recoverable):
    """A tool call that names no shown tool or whose arguments do not fit its schema."""


class Denied(Recoverable):
    """An effect that the policy or the user refused: ``by`` tells who, ``feedback`` what the user said."""

    def __init__(
        self, message: str, *, by: Literal["policy", "user", "yes"] = "policy", feedback: str = ""
    ) -> None:
        super().__init__(message)
        self.by, self.feedback = by, feedback


class ServerError(AutoagentError):
    """The server of a remote model was lost, fails, or answers nonsense. The run so far is on record."""


class ContextFull(AutoagentError):
    """The conversation no longer fits the model's window."""


class StoreError(AutoagentError):
    """The record (run database, versions folder, long-term memory) cannot be read or written."""
