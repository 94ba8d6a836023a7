"""Carrying out one call: the policy is asked, the tool runs in its time, the outcome is an observation."""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from autoagent import events
from autoagent.config import Limits
from autoagent.deadline import Deadline, TimeUp, cut_off
from autoagent.errors import AutoagentError, Denied, Recoverable, StoreError
from autoagent.events import Event
from autoagent.longcall import LongCall
from autoagent.prompts import Prompts
from autoagent.security import Action, Guard, Policy, Secrets, preview
from autoagent.security.rules import subjects
from autoagent.tools import Context, Tool, Toolbox
from autoagent.trajectory import Observation, Origin, Permission, ToolCall

CHANGING = frozenset({"write", "execute"})  # effects after which the workspace is not what it was
# What these are given is kept by the runtime itself, so it stays without the values of secrets.
KEEPING = frozenset({"plan", "find_tools", "delegate", "save_memory", "recall_memory", "finetune"})
REPEATABLE = frozenset({"read"})  # calls with no other effect may be repeated
_OUTWARD = CHANGING | {"network", "train"}  # what a dry run leaves undone

Keep = Callable[[str, str], str]  # a name and a long text; returns where the agent can read it


@dataclass
class Actor:
    """Runs the calls of one run. ``denials`` counts refusals that came without a word of advice.

    Args:
        guard: Knows what came from outside, and what the user said.
        secrets: What no observation may show.
    """

    tools: Toolbox
    context: Context
    policy: Policy = field(default_factory=Policy)
    prompts: Prompts = field(default_factory=Prompts)
    limits: Limits = field(default_factory=Limits)
    keep: Keep | None = None
    dry_run: bool = False
    deadline: Deadline = field(default_factory=Deadline)
    guard: Guard = field(default_factory=Guard)
    secrets: Secrets | None = None
    denials: int = 0
    refused: bool = False  # an effect was refused, and no other action has succeeded since
    child: str = ""  # the run that the call at work has delegated to
    child_changed: bool = False  # whether that run may have changed the workspace
    _refusal: str = field(default="", repr=False)  # of the call at work, in words for the model

    def carry_out(
        self, index: int, number: int, call: ToolCall, meant: ToolCall | None = None
    ) -> Generator[Event, None, Observation]:
        """Run call ``number`` of step ``index``. What the model can correct becomes its observation.

        ``meant``: the call with the secrets that the model wrote out; ``call`` has their names instead.
        Any exception but Recoverable is a fault of the program or of a custom tool and passes through.
        """
        began = time.monotonic()
        self.child = detail = ""
        self.child_changed = False
        mutated, permission, origin = False, None, None
        try:
            tool = self.tools[call.name]
            arguments = tool.validate(self._arguments(tool, call, meant or call))
            dry = self.dry_run and bool(_OUTWARD & set(tool.effects))
            if not dry:  # what is not carried out needs no permission
                permission = yield from self._permitted(index, call, tool, arguments)
            if permission is not None and not permission.granted:
                raise Denied(self._refusal)
            if dry:
                content, ok, detail = self.prompts.render("dry_run"), True, "dry run"
            else:
                mutated = bool(CHANGING & set(tool.effects))
                origin = self._origin(tool, arguments)
                self.guard.model_says(call.arguments)
                content, ok = (yield from self._run(index, tool, arguments)), True
        except TimeUp:
            # Over for good, also where the alarm was that of the run that delegated to this one.
            self.deadline.at = -math.inf
            content, ok, detail = "the run's time was up while this ran", False, "cut off"
        except Denied as refusal:
            content, ok, detail = str(refusal), False, "denied"
        except Recoverable as problem:
            content, ok = str(problem), False
        if ok and call.name not in ("finish", "decline"):
            self.refused = False
        if self.secrets and (mutated or self.child_changed):
            self.secrets.look_again()
        content = self._hidden(content)
        origin = self._taken_in(call, content, origin, ok=ok)
        outside = origin.outside if origin is not None and self._marks else ""
        shown, cut, kept = self._as_shown(content, f"{index}-{number + 1}.txt", ok=ok, outside=outside)
        return Observation(
            call=call,
            content=shown,
            ok=ok,
            seconds=time.monotonic() - began,
            mutated=mutated or self.child_changed,
            detail=detail or cut,
            kept=kept,
            child=self.child,
            permission=permission,
            origin=origin,
        )

    def _arguments(self, tool: Tool, call: ToolCall, meant: ToolCall) -> Mapping[str, Any]:
        """What is decided upon and carried out: also what the model may have put behind a name itself."""
        if not self.secrets or tool.name in KEEPING:
            return call.arguments
        filled: Mapping[str, Any] = self.secrets.filled_in(meant.arguments, self.secrets.fresh)
        return filled

    def lacks(self, call: ToolCall) -> bool:
        """Whether a call asks for a secret that is not known."""
        return bool(self.secrets and self.secrets.lost_in(call.arguments))

    @property
    def _marks(self) -> bool:
        """Whether what is from outside is marked: not for a model that was trained without such marks."""
        trained = self.prompts.own and self.prompts.layer("outside") == "default"
        return self.guard.setting != "off" and not trained

    def _origin(self, tool: Tool, arguments: Mapping[str, Any]) -> Origin:
        """Where the result of a call that is about to be made is from, as far as that is known ahead."""
        place = next((value for kind, value in subjects(arguments) if kind in ("path", "url")), "")
        outside = place or tool.name if tool.outside else ""
        if untrusted := self.guard.reads_untrusted(self._action(tool, arguments)):
            outside = outside or f"untrusted {untrusted}"
        return Origin(effects=tool.effects, place=self._hidden(place), outside=self._hidden(outside))

    def _taken_in(self, call: ToolCall, content: str, origin: Origin | None, *, ok: bool) -> Origin | None:
        """Let the guard know what came back, and add what only the tool at work could tell."""
        if origin is None:
            return None
        flagged = self.guard.flagged()
        if not (flagged or origin.outside) and (shown := self.guard.shows_untrusted(content)):
            flagged = f"untrusted {shown}"
        if flagged and not origin.outside:
            origin = origin.model_copy(update={"outside": flagged})
        outside = f"{call.name} {origin.outside}" if origin.outside not in ("", call.name) else origin.outside
        self._heard(call, content, origin, outside, ok=ok)
        return origin

    def _heard(self, call: ToolCall, content: str, origin: Origin, outside: str, *, ok: bool) -> None:
        """An answer of the user's is theirs; a result tells ids, unless a program made it."""
        effects = set(origin.effects)
        if ok and "ask" in effects and "execute" not in effects and not outside:
            self.guard.user_answers(content, call.arguments)
        else:
            structured = call.name in self.tools and self.tools[call.name].structured
            structured = structured and "execute" not in effects
            self.guard.observed(content, outside=outside, structured=ok and structured)

    def remember(self, seen: Observation) -> None:
        """Let the guard know of a call that was made before the run was interrupted."""
        known = seen.call.name in self.tools
        if known and seen.permission is not None and seen.permission.granted:
            with contextlib.suppress(Recoverable):
                tool = self.tools[seen.call.name]
                self.guard.user_allows(self._action(tool, tool.validate(seen.call.arguments)))
        if seen.origin is None and not seen.mutated:  # it was not carried out
            return
        self.guard.model_says(seen.call.arguments)
        if seen.origin is None:  # nobody knows what it did
            return
        self._heard(seen.call, seen.content, seen.origin, seen.origin.outside, ok=seen.ok)

    def _spotlighted(self, content: str, place: str) -> str:
        """Marked as data, between marks that the content cannot hold."""
        mark = hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:12]
        while mark in content:
            mark = hashlib.sha256(mark.encode("ascii")).hexdigest()[:12]
        return self.prompts.render("outside", place=place, mark=mark, content=content)

    def _action(self, tool: Tool, arguments: Mapping[str, Any]) -> Action:
        keys, choices = tool.vocabulary
        return Action(
            tool=tool.name,
            effects=tool.effects,
            arguments=arguments,
            content=tool.content,
            keys=keys,
            choices=choices,
            sandboxed=tool.name in self.policy.sandboxed,
        )

    def _hidden(self, text: str) -> str:
        return self.secrets.redacted(text) if self.secrets else text

    def unknown(self, call: ToolCall) -> Observation:
        """For a call that was at work when the run was cut short: nobody knows whether it took effect."""
        self.guard.model_says(call.arguments)
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

    def _run(self, index: int, tool: Tool, arguments: Mapping[str, Any]) -> Generator[Event, None, str]:
        left = self.deadline.left
        if left <= 0:
            raise TimeUp
        if self.secrets and tool.name not in KEEPING and self.secrets.named_in(dict(arguments)):
            arguments = self.secrets.filled_in(dict(arguments))
        try:
            if tool.long:
                return (yield from self._watched(index, tool, arguments))
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
            if tool.long and isinstance(fault, GeneratorExit):  # whoever took the events has left
                raise
            if isinstance(fault, Exception) and not isinstance(fault, (AutoagentError, StopIteration)):
                raise
            # Meant for a user or for Python itself, but raised by a tool: a fault like any other.
            raise RuntimeError(f"tool {tool.name} raised {type(fault).__name__}: {fault}") from fault

    def _watched(self, index: int, tool: Tool, arguments: Mapping[str, Any]) -> Generator[Event, None, str]:
        """Run a tool that takes long. A training has its own measure of time, which a person has allowed."""
        working = LongCall(lambda hear: tool.carry_out(arguments, replace(self.context, heard=hear)))
        trains = "train" in tool.effects
        with self.deadline.waiting() if trains else nullcontext():
            stream = working.events(math.inf if trains else self.deadline.left)
            try:
                while True:
                    told = next(stream)
                    known = {"step": index, "tool": tool.name, "stage": self._hidden(told.stage)}
                    yield told.model_copy(update=known)
            except StopIteration as done:
                return str(done.value)
            finally:
                stream.close()

    def _permitted(
        self, index: int, call: ToolCall, tool: Tool, arguments: Mapping[str, Any]
    ) -> Generator[Event, None, Permission | None]:
        """Ask where the policy wants it; None where the call is simply allowed."""
        action = self._action(tool, arguments)
        secret = self._gives_away(action, call)
        concern = secret or self.guard.concern(action)
        request = self.policy.asks(
            tool.name,
            tool.effects,
            arguments,
            preview=lambda: self._preview(tool, arguments),
            concern=concern,
            barred=bool(concern) and not secret and self.guard.setting == "deny",
            firm=bool(secret),
            vouched=self.guard.vouches(action),
        )
        if request is None:
            return None
        effects, reason = request.effects, self._hidden(request.reason)
        try:
            with self.deadline.waiting():
                answer = self.policy.permit(request)
        except Denied as refusal:
            self.refused = True
            self.denials += not refusal.feedback  # one that says what to do instead is no dead end
            said = self._hidden(refusal.feedback)
            permission = Permission(
                effects=effects,
                granted=False,
                by=refusal.by,
                feedback=said,
                reason=reason,
            )
            self._refusal = self._hidden(str(refusal))
            self.guard.user_says(said)
        else:
            permission = Permission(
                effects=effects,
                granted=True,
                by=answer.by,
                scope=answer.scope,
                reason=reason,
            )
            self.guard.user_allows(action)
        yield events.ApprovalWanted(
            step=index,
            call=call,
            effects=effects,
            granted=permission.granted,
            reason=permission.reason,
        )
        return permission

    def _preview(self, tool: Tool, arguments: Mapping[str, Any]) -> str:
        """What a call would do; the service a tool needs may know."""
        told = getattr(self.context.services.get(tool.needs), "preview", None)
        if told is not None:
            return str(told(**arguments))
        return preview(tool.name, arguments, self.context.workspace, built_in=tool.source == "built in")

    def _gives_away(self, action: Action, call: ToolCall) -> str:
        """Why a call that would be given a secret has to be asked about; "" when it is given none."""
        names = self.secrets.named_in(call.arguments) if self.secrets else []
        if not names or not self.guard.leaves(action):
            return ""
        return f"{action.tool} would be given the secret {names[0]}"

    def _as_shown(self, content: str, name: str, *, ok: bool, outside: str) -> tuple[str, str, str]:
        """The observation as the model reads it, how much was cut, and where all of it is kept as ``name``.

        ``outside``: where it is from, when that is to be marked.
        """
        around = len(self.prompts.render("observation", ok=ok, content=""))
        around += len(self._spotlighted("", outside)) if outside else 0
        shown, cut, kept = self._shortened(content, name, around)
        shown = self._spotlighted(shown, outside) if outside else shown
        return self.prompts.render("observation", ok=ok, content=shown), cut, kept

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
