"""Allow, ask or deny: by the rules first, then by the effects a tool declares.

What is not covered: a tool that lies about its effects, and anything a custom tool's own code does. A rule
that denies a shell command is a guard rail, not a wall: ``sh -c`` and a thousand others run it, too. The wall
is the sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from autoagent.errors import Denied
from autoagent.security.rules import Rule, Rules
from autoagent.trajectory import By

Decision = Literal["allow", "ask", "deny"]
Scope = Literal["once", "run", "always"]

_DEFAULT: dict[str, Decision] = {
    "read": "allow",
    "write": "allow",  # tools can only write inside the workspace
    "ask": "allow",
    "execute": "ask",
    "network": "ask",
    "train": "ask",
}


@dataclass(frozen=True)
class Request:
    """What an approver is asked: tool, the arguments it will really get, and effects that need consent.

    Attributes:
        reason: Why it is asked, when a rule or what came from outside says so.
        preview: What would happen, whole: a unified diff of a file (a ``Diff``), the command, the code.
        rule: What a yes for longer than once allows: this file, command or host; else every call of the tool.
        scopes: How long a yes may last; "always" only where it can be kept and would make a difference.
    """

    tool: str
    arguments: Mapping[str, Any]
    effects: tuple[str, ...]
    reason: str = field(default="", compare=False)
    preview: str = field(default="", compare=False)
    rule: str = field(default="", compare=False)
    scopes: tuple[Scope, ...] = field(default=("once", "run"), compare=False)
    concern: str = field(default="", compare=False)  # what the guard has against it
    barred: bool = field(default=False, compare=False)  # nobody can lift that concern


@dataclass(frozen=True)
class Answer:
    """Yes or no, for how long, what the person had to say to the model, and whose answer it is."""

    granted: bool
    scope: Scope = "once"
    feedback: str = ""
    by: By = "user"

    def __bool__(self) -> bool:
        """Whether it is a yes."""
        return self.granted


Approve = Callable[[Request], "bool | Answer"]


def refuse(request: Request) -> Answer:
    """The approver where nobody can be asked: every ask is a no."""
    return Answer(False, by="policy")


def agree(request: Request) -> Answer:
    """The approver for ``--yes``: every ask is a yes, and no person has seen it."""
    return Answer(True, by="yes")


@dataclass(frozen=True)
class Policy:
    """Decides over calls; ``approve`` answers the asks.

    Args:
        approve: Asked where neither a rule nor the table of effects decides.
        decisions: What is done about each effect where no rule fits.
        rules: Allow, ask and deny by tool and arguments; they go before ``decisions``.
        remember: Keeps the text of an allow rule for good, when the answer was "always".
        workspace: The root that paths in arguments are relative to; links are followed when it is known.
        sandboxed: Tools that run programs in the sandbox only: ``execute`` need not ask about these.
    """

    approve: Approve = refuse
    decisions: Mapping[str, Decision] = field(default_factory=lambda: dict(_DEFAULT))
    rules: Rules = field(default_factory=Rules)
    remember: Callable[[str], object] | None = None
    workspace: Path | None = None
    sandboxed: tuple[str, ...] = ()
    _granted: list[Rule] = field(default_factory=list, init=False, repr=False, compare=False)

    def asks(
        self,
        tool: str,
        effects: tuple[str, ...],
        arguments: Mapping[str, Any],
        *,
        preview: str | Callable[[], str] = "",
        concern: str = "",
        barred: bool = False,
        firm: bool = False,
        vouched: bool = False,
    ) -> Request | None:
        """What :meth:`permit` has to be asked, or None when the call is simply allowed.

        Args:
            tool: Its name.
            effects: Those it declares.
            arguments: As the function will get them.
            preview: What to show to the person; a callable is only called when there is something to ask.
            concern: What the guard has against the call (``Guard.concern``): what was allowed is asked about,
                unless the user allowed just this file, command or address.
            barred: Then it is denied instead.
            firm: No rule lifts the concern, and no answer given before.
            vouched: The user said themselves where it goes: its use of the network need not be asked about.
        """
        decision, rule = self.decide(tool, effects, arguments)
        concern = "" if not firm and self._names_this(tool, arguments) else concern
        open_effects = tuple(effect for effect in effects if self._by_effect(tool, effect) != "allow")
        if (
            decision == "ask"
            and rule is None
            and vouched
            and not concern
            and set(open_effects) == {"network"}
        ):
            decision = "allow"
        if decision == "allow" and not concern:
            return None
        decision = "deny" if barred and concern else "ask" if decision == "allow" else decision
        because = f"the rule {rule} says {decision}" if rule is not None else ""
        covering = Rule.covering(tool, arguments, self.workspace)
        return Request(
            tool=tool,
            arguments=arguments,
            effects=(open_effects or effects) if rule is None else effects,
            reason=concern or because,
            preview=preview if isinstance(preview, str) else preview() if decision == "ask" else "",
            rule=str(covering),
            scopes=self._scopes(rule, lasting=not concern or (covering.about is not None and not firm)),
            concern=concern,
            barred=barred and bool(concern),
        )

    def _scopes(self, rule: Rule | None, *, lasting: bool) -> tuple[Scope, ...]:
        """How long a yes may last; one to a concern only where it is about one file, command or host."""
        if not lasting:
            return ("once",)
        return ("once", "run", "always") if self.remember is not None and rule is None else ("once", "run")

    def _names_this(self, tool: str, arguments: Mapping[str, Any]) -> bool:
        """Whether the user allowed just this file, command or address: then the place is theirs."""
        call = (tool, arguments, self.workspace)
        return any(
            rule.about is not None and rule.places(arguments) and rule.allows(*call)
            for rule in (*self._granted, *self.rules.allow)
        )

    def permit(self, request: Request) -> Answer:
        """Return the answer when the call may go on; remember it for as long as it says.

        Raises:
            Denied: the policy denies the call, or the approver refused; the message holds what they said.
        """
        decision, rule = self.decide(request.tool, request.effects, request.arguments)
        if decision == "deny":
            denied = [effect for effect in request.effects if self._by_effect(request.tool, effect) == "deny"]
            why = f"the rule {rule}" if rule is not None else ", ".join(denied)
            raise Denied(f"{request.tool} is not permitted here ({why})")
        if request.barred:
            raise Denied(f"{request.tool} is not permitted here ({request.concern})")
        if decision == "allow" and not request.concern:
            return Answer(True)
        given = self.approve(request)
        answer = given if isinstance(given, Answer) else Answer(bool(given))
        if not answer.granted:
            said = answer.feedback.strip()
            why = request.reason or ", ".join(request.effects)
            message = f"permission for {request.tool} was refused" + (f" ({why})" if why else "")
            message += f": {_unasked(request, rule)}" if answer.by == "policy" else ""
            message += f": {said}" if said else ""
            raise Denied(message, by=answer.by, feedback=said)
        if answer.scope != "once" and "run" in request.scopes and request.rule:
            self._granted.append(Rule.parse(request.rule))
            if answer.scope == "always" and self.remember is not None and "always" in request.scopes:
                self.remember(request.rule)
        return answer

    def decide(
        self, tool: str, effects: tuple[str, ...], arguments: Mapping[str, Any]
    ) -> tuple[Decision, Rule | None]:
        """The decision, and the rule that made it, if one did: deny, then ask, then allow, then by effect."""
        call = (tool, arguments, self.workspace)
        for rule in self.rules.deny:
            if rule.touches(*call):
                return "deny", rule
        if any(rule.allows(*call) for rule in self._granted):  # an answer to what is asked below
            return "allow", None
        for rule in self.rules.ask:
            if rule.touches(*call):
                return "ask", rule
        for rule in self.rules.allow:
            if rule.allows(*call):
                return "allow", rule
        found = {self._by_effect(tool, effect) for effect in effects}
        return ("deny" if "deny" in found else "ask" if "ask" in found else "allow"), None

    def hides(self, tool: str, name: str) -> bool:
        """Whether a tool that looks through files may not come upon this one, by its workspace-relative name:
        a deny rule keeps it from that tool, or from ``read_file``."""
        call = {"path": name}
        return any(
            rule.about is not None and rule.touches(each, call, self.workspace)
            for rule in self.rules.deny
            for each in (tool, "read_file")
        )

    def _by_effect(self, tool: str, effect: str) -> Decision:
        decision = self.decisions.get(effect, "ask")
        confined = effect == "execute" and tool in self.sandboxed
        return "allow" if decision == "ask" and confined else decision


def _unasked(request: Request, rule: Rule | None) -> str:
    """What would have allowed a call that nobody could be asked about.

    An allow rule for the tool lifts neither a concern nor a rule that asks: only an answer does.
    """
    if rule is not None or request.concern:
        return "nobody is there to ask; --yes allows it"
    return f"nobody is there to ask; --allow {request.tool}, --yes or an allow rule in the settings allows it"
