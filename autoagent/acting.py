"""Carrying out one call: the policy is asked, the tool runs in its time, the outcome is an observation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from autoagent import events
from autoagent.config import Limits
from autoagent.deadline import Deadline, TimeUp, cut_off
from autoagent.errors import AutoagentError, Denied, Recoverable, StoreError
from autoagent.events import Event
from autoagent.prompts import Prompts
from autoagent.security import Policy, preview
from autoagent.tools import Context, Tool, Toolbox
from autoagent.trajectory import Observation, Permission, ToolCall

CHANGING = frozenset({"write", "execute"})  # effects after which the workspace is not what it was
REPEATABLE = frozenset({"read"})  # calls with no other effect may be repeated
_OUTWARD = CHANGING | {"network", "train"}  # what a dry run leaves undone

Keep = Callable[[str, str], str]  # a name and a long text; returns where the agent can read it


@dataclass
class Actor:
    """Runs the calls of one run. ``denials`` counts refusals that came without a word of advice."""

    tools: Toolbox
    context: Context
    policy: Policy = field(default_factory=Policy)
    prompts: Prompts = field(default_factory=Prompts)
    limits: Limits = field(default_factory=Limits)
    keep: Keep | None = None
    dry_run: bool = False
    deadline: Deadline = field(default_factory=Deadline)
    denials: int = 0
    refused: bool = False  # an effect was refused, and no other action has succeeded since
    child: str = ""  # the run that the call at work has delegated to
    child_changed: bool = False  # whether that run may have changed the workspace
    _refusal: str = field(default="", repr=False)  # of the call at work, in words for the model

    def carry_out(self, index: int, number: int, call: ToolCall) -> Generator[Event, None, Observation]:
        """Run call ``number`` of step ``index``. What the model can correct becomes its observation.

        Any exception but Recoverable is a fault of the program or of a custom tool and passes through.
        """
        began = time.monotonic()
        self.child = detail = ""
        self.child_changed = False
        mutated, permission = False, None
        try:
            tool = self.tools[call.name]
            arguments = tool.validate(call.arguments)
            dry = self.dry_run and bool(_OUTWARD & set(tool.effects))
            if not dry:  # what is not carried out needs no permission
                permission = yield from self._permitted(index, call, tool, arguments)
            if permission is not None and not permission.granted:
                raise Denied(self._refusal)
            if dry:
                content, ok, detail = self.prompts.render("dry_run"), True, "dry run"
            else:
                mutated = bool(CHANGING & set(tool.effects))
                content, ok = self._run(tool, arguments), True
        except TimeUp:
            self.deadline.at = (
                -math.inf
            )  # also where the alarm was that of the run that delegated to this one
            content, ok, detail = "the run's time was up while this ran", False, "cut off"
        except Denied as refusal:
            content, ok, detail = str(refusal), False, "denied"
        except Recoverable as problem:
            content, ok = str(problem), False
        if ok and call.name not in ("finish", "decline"):
            self.refused = False
        around = len(self.prompts.render("observation", ok=ok, content=""))
        shown, cut, kept = self._shortened(content, f"{index}-{number + 1}.txt", around)
        return Observation(
            call=call,
            content=self.prompts.render("observation", ok=ok, content=shown),
            ok=ok,
            seconds=time.monotonic() - began,
            mutated=mutated or self.child_changed,
            detail=detail or cut,
            kept=kept,
            child=self.child,
            permission=permission,
        )

    def unknown(self, call: ToolCall) -> Observation:
        """For a call that was at work when the run was cut short: nobody knows whether it took effect."""
        content = self.prompts.render("observation", ok=False, content=self.prompts.render("unknown"))
        return Observation(call=call, content=content, ok=False, mutated=True, detail="outcome unknown")

    def skipped(self, call: ToolCall, why: str) -> Observation:
        """For a call that was not carried out because of another one of the same reply."""
        content = self.prompts.render(
            "observation", ok=False, content=self.prompts.render("skipped", why=why)
        )
        return Observation(call=call, content=content, ok=False, detail="skipped")

    def repeatable(self, call: ToolCall) -> bool:
        """Whether carrying this out a second time changes nothing; a helper may do anything."""
        if call.name not in self.tools or call.name == "delegate":
            return False
        return set(self.tools[call.name].effects) <= REPEATABLE

    def _run(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        left = self.deadline.left
        if left <= 0:
            raise TimeUp
        try:
            if "ask" in tool.effects:
                with self.deadline.waiting():
                    return tool.carry_out(arguments, self.context)
            if left == math.inf:
                return tool.carry_out(arguments, self.context)
            with cut_off(left):
                return tool.carry_out(arguments, self.context)
        except (StoreError, Recoverable, KeyboardInterrupt, SystemExit, TimeUp):
            raise
        except BaseException as fault:
            if isinstance(fault, Exception) and not isinstance(fault, (AutoagentError, StopIteration)):
                raise
            # Meant for a user or for Python itself, but raised by a tool: a fault like any other.
            raise RuntimeError(f"tool {tool.name} raised {type(fault).__name__}: {fault}") from fault

    def _permitted(
        self, index: int, call: ToolCall, tool: Tool, arguments: Mapping[str, Any]
    ) -> Generator[Event, None, Permission | None]:
        """Ask where the policy wants it; None where the call is simply allowed."""
        request = self.policy.asks(
            tool.name,
            tool.effects,
            arguments,
            preview=lambda: preview(tool.name, arguments, self.context.workspace),
        )
        if request is None:
            return None
        effects = request.effects
        try:
            with self.deadline.waiting():
                answer = self.policy.permit(request)
        except Denied as refusal:
            self.refused = True
            self.denials += not refusal.feedback  # one that says what to do instead is no dead end
            permission = Permission(effects=effects, granted=False, by=refusal.by, feedback=refusal.feedback)
            self._refusal = str(refusal)
        else:
            permission = Permission(effects=effects, granted=True, by="user", scope=answer.scope)
        yield events.ApprovalWanted(step=index, call=call, effects=effects, granted=permission.granted)
        return permission

    def _shortened(self, text: str, name: str, around: int) -> tuple[str, str, str]:
        """Head and tail of a text that is too long, how much was cut, and where all of it is.

        ``around``: characters that the prompt puts around it.
        """
        text = text.encode("utf-8", "replace").decode("utf-8")  # tokenizers refuse half a character
        limit = self.limits.observation_chars - around
        if len(text) <= limit:
            return text, "", ""
        kept = self.keep(name, text) if self.keep else ""
        longest = self.prompts.render("cut", count=len(text), kept=kept)
        half = max((limit - len(longest) - 2) // 2, 1)
        count = len(text) - 2 * half
        mark = self.prompts.render("cut", count=count, kept=kept)
        return f"{text[:half]}\n{mark}\n{text[-half:]}", f"{count} characters left out", kept
