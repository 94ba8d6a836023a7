"""Agent: the composition root. It wires model, tools, policy, memory and record around the loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoagent import events
from autoagent.config import Conduct, Limits, Safety, Sampling
from autoagent.conversation import opening_messages
from autoagent.episode import About, Episode, without_snapshot
from autoagent.errors import StoreError, ToolError, UsageError
from autoagent.events import Event, Started
from autoagent.goal import Check, Goal, name_of
from autoagent.guarding import Shield
from autoagent.home import project_home
from autoagent.loop import Edit, Loop, Steer
from autoagent.memory import LazyMemory, Memory, Recalled, recall_block, remember_run
from autoagent.models.habits import habits_of
from autoagent.models.live import Source, source_of
from autoagent.models.protocol import Model, Session
from autoagent.offer import Offer, builtins_of, offered_before
from autoagent.prompts import Prompts, prompts_of, warnings_of
from autoagent.renewal import Renewal
from autoagent.security import Approve, Policy, Rules, Sandbox, refuse
from autoagent.security.hosts import check_hosts
from autoagent.store import RunRecord, Store
from autoagent.tools import Context, Tool, Toolbox
from autoagent.tools.execute import CONFINED
from autoagent.trajectory import Ending, Message, Step, Trajectory, Verdict
from autoagent.workspace import Workspace


@dataclass(frozen=True)
class Result:
    """What a run came to. ``verdict`` is what is known about the outcome, ``ending`` why the run stopped."""

    answer: str | None
    verdict: Verdict
    ending: Ending
    trajectory: Trajectory


@dataclass
class Agent:
    """An agent with a model, tools and a workspace.

    Args:
        tools: Your own tools, besides the built-in ones.
        model: A Model, a version name, a model folder or a hub id; by default the project's current version,
            which is the embedded model until another was promoted. That one is looked at again before each
            run: a version that was promoted meanwhile is taken without a restart. A run in which it was
            promoted goes on with it.
        workspace: The folder the agent may read and write; made when missing.
        home: Where records, memory and versions live; by default the project's ``.autoagent``.
        limits: Budgets of one run.
        sampling: How tokens are drawn; greedy by default.
        conduct: How a run goes about its goal: planning, recall, dry run.
        safety: What a run is guarded against: orders from outside, secrets that get out.
        prompts: Folder of your own prompts; by default ``prompts`` in ``home``.
        approve: Asked before an effect that needs consent; refuses by default.
        rules: Calls that are allowed, asked about or denied, by tool and arguments.
        remember: Keeps the allow rule for good when somebody answers "always" to a request.
        sandbox: Where programs are run, and which hosts they may reach; None: not at all.
        hosts: Those that the web tools may reach, such as ``example.org`` or ``*.example.org``.
        protected: Files and folders in the workspace that the tools may not touch.
        memory: Long-term memory, or False to go without; opened from ``home`` by default.
        builtins: Whether the built-in tools are there, too, or the names of those that are; ``finish`` and
            ``decline`` always are.
        services: What tools may reach that lies above them, by name; a tool that needs a missing one is not
            shown. ``{"finetune": autoagent.training.service.finetune_service(home, suite)}`` lets the agent
            retrain itself. One that declares ``ctx`` gets the context of the tool; one that has a method
            ``preview`` says there, for the person who is asked, what a call would do.
        ask_user: Answers the agent's questions; without it, it cannot ask.
        edit_plan: With ``Conduct(plan="ask")``: takes the plan, returns the one to follow.
        steer: Called before each step; what it returns is told to the agent, which then plans anew.
        about: Whatever should be kept with each run, as JSON.
        durable: Whether each step is on the disk before its actions are done, so that a power cut loses none.
            Without, for records that are thrown away anyway, nothing waits for the disk.
    """

    tools: Sequence[Tool] = ()
    model: Model | Source | str | Path | None = None
    workspace: Path | str = "."
    home: Path | None = None
    limits: Limits = field(default_factory=Limits)
    sampling: Sampling = field(default_factory=Sampling)
    conduct: Conduct = field(default_factory=Conduct)
    safety: Safety = field(default_factory=Safety)
    prompts: Path | None = None
    approve: Approve = refuse
    rules: Rules = field(default_factory=Rules)
    remember: Callable[[str], object] | None = None
    sandbox: Sandbox | None = field(default_factory=Sandbox)
    hosts: Sequence[str] = ()
    protected: Sequence[Path] = ()
    memory: Memory | bool = True
    builtins: bool | Collection[str] = True
    services: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    ask_user: Callable[[str], str] | None = None
    edit_plan: Edit | None = None
    steer: Steer | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    durable: bool = True

    def __post_init__(self) -> None:
        self._home = (self.home or project_home()).absolute()  # a tool may change the working directory
        check_hosts(self.hosts)
        self._toolbox = Toolbox([*self.tools, *builtins_of(self.builtins, self.sandbox)])
        self._workspace = Workspace.at(self.workspace, protected=[self._home, *self.protected])
        walled = self.sandbox is not None and not self.sandbox.unsafe
        self._policy = Policy(
            approve=self.approve,
            rules=self.rules,
            remember=self._keep_rule if self.remember else None,
            workspace=self._workspace.root,
            sandboxed=CONFINED if walled else (),
        )
        self._store = Store(self._home, durable=self.durable)
        self._found: Source | None = None
        self._memory: Memory | None = None
        self._helping = False  # works for another run, under its permissions
        self._lent: Shield | None = None  # of the run it works for

    def _keep_rule(self, rule: str) -> None:
        """Somebody answered "always": keep the rule, and let it hold for the next run of this agent, too."""
        assert self.remember is not None  # or it would not be asked
        self.remember(rule)
        self.rules = self.rules.allowing(rule)
        self._policy = replace(self._policy, rules=self.rules)

    def run(self, goal: str | Goal, *, check: Check | None = None) -> Result:
        """Work on a goal until there is an ending.

        Raises:
            UsageError: the goal is empty, or the model or workspace cannot be used.
        """
        return _result(self.events(goal, check=check))

    def steps(self, goal: str | Goal, *, check: Check | None = None) -> Iterator[Step]:
        """The run as whole steps, as they happen."""
        for event in self.events(goal, check=check):
            if isinstance(event, events.Stepped):
                yield event.step

    def events(
        self,
        goal: str | Goal,
        *,
        check: Check | None = None,
        suite: str = "",
        tags: Sequence[str] = (),
        past: Sequence[Message] = (),
        parent: str | None = None,
        tainted: bool = False,
    ) -> Iterator[Event]:
        """The run as typed events, as they happen; the last is always ``Closed`` with the whole trajectory.

        Ctrl-C inside ends the run with ``interrupted``; a fault of a tool or of ours ends it with ``error``.
        In both cases everything up to there is on record, and :meth:`resume` goes on from it. Closing the
        generator early counts as ``interrupted``.

        Args:
            goal: What is wanted.
            check: Decides whether it was reached; part of a ``Goal`` otherwise.
            suite: Name of the suite the run belongs to; ``tags`` are words to find it by.
            past: Earlier goals and answers of the same conversation, put before this goal.
            parent: The run this one was delegated by or branched from.
            tainted: Whether ``past`` holds what came from outside.
        """
        shield = self._lent or Shield.of(self.safety, self._workspace.root)
        aim = shield.goal(
            goal if isinstance(goal, Goal) else Goal(goal, check), own=self._lent is None, tainted=tainted
        )
        yield from self._begun(aim, shield, About(suite, tags, parent), past).events()

    def _begun(self, aim: Goal, shield: Shield, about: About, past: Sequence[Message]) -> Episode:
        """A new run, ready to go. Nothing of this call stays that would keep its first model in memory."""
        renewed = self._source().renew()
        model = self.loaded_model()
        prompts, offer = self._prompts(), self._offer(about.parent)
        offered, shown = offer.usable, offer.shown(aim.text, self.conduct.shown_tools)
        recalled, notes = self._recalled(aim.text, shield)
        notes = [*renewed, *notes, *warnings_of(prompts), *getattr(model, "warnings", ())]
        known = tuple(tool.name for tool in self._toolbox)
        notes += [
            f"the rule {rule} fits no tool: is it misspelt?" for rule in self.rules.naming_nothing(known)
        ]
        opening = opening_messages(aim.text, prompts, recalled=recalled, plan=self.conduct.plan != "off")
        if habits_of(_folder(model)).conversation:
            opening[1:1] = shield.earlier(past)
        session = model.open(opening, [tool.schema for tool in shown])
        names = tuple(tool.name for tool in shown)
        record = self._store.begin(
            aim.text,
            model=model.version,
            seed=self.sampling.seed,
            check=shield.hidden(name_of(aim.check)),
            workspace=self._workspace.root,
            **about._asdict(),
            settings=shield.about({**self._settings(opening), **({"notes": notes} if notes else {})}),
            opening=opening,
            tools=names,
        )
        loop = self._loop(session, shown, offered, opening, record, shield)
        loop.recalled = tuple(each.id for each in recalled)
        started = Started(
            run_id=record.run_id, goal=aim.text, model=model.version, tools=names, window=model.window
        )
        seen = [events.Recalled(texts=tuple(each.text for each in recalled))] if recalled else []
        return replace(self._episode(loop, record, aim, started), ahead=seen, notes=notes)

    def resume(self, run_id: str = "last", *, check: Check | Goal | None = None) -> Iterator[Event]:
        """Go on with a run that was interrupted, killed, or out of budget; the budget begins anew.

        A call that was at work when the run broke off is repeated only if it just reads; otherwise the model
        is told that its outcome is unknown.

        Args:
            run_id: The run, a prefix of its id, or ``last``.
            check: As it was given the first time, or the goal with it; the record describes it only.

        Raises:
            UsageError: there is no such run, it has come to its end, it is being worked on, or its workspace
                is another.
        """
        begun_in = self._store.find(run_id).workspace
        if begun_in and Path(begun_in).is_dir() and Path(begun_in).resolve() != self._workspace.root:
            raise UsageError(
                f"the run works in {begun_in}, and not in {self._workspace.root}: resume it there"
            )
        run_id = self._store.load(run_id).run_id
        renewed = self._source().renew()
        self.loaded_model()  # before the run counts as running again
        record = self._store.reopen(run_id)
        try:
            episode = self._taken_up(record, check, renewed)
        except BaseException:
            record.close()
            raise
        yield from episode.events()

    def _taken_up(self, record: RunRecord, check: Check | Goal | None, renewed: Sequence[str]) -> Episode:
        """The run of a reopened record, ready to go on."""
        past, model = self._store.load(record.run_id), self.loaded_model()
        offered = self._offer(past.parent).usable
        shown = offered_before(offered, past)
        messages = self._store.messages(past.run_id)
        session = model.open(messages, [tool.schema for tool in shown])
        opening = messages[: int(past.settings.get("opening", 2))]
        shield = Shield.of(self.safety, self._workspace.root)
        shield.take_up(past, self._opened_memory())
        loop = self._as_recorded(past)._loop(session, shown, offered, opening, record, shield)
        loop.talk.held = messages
        loop.take_up(past, last=messages[-1])
        notes = [*renewed]
        if list(past.models.values())[-1] != model.version:
            notes.append("this run was begun with another model, and goes on with the one in use now")
            record.answered_by(model.version, len(past.steps))
        started = Started(
            run_id=past.run_id,
            goal=past.goal,
            model=model.version,
            tools=past.tools,
            resumed=True,
            window=model.window,
        )
        goal = check if isinstance(check, Goal) else Goal(past.goal, check)
        episode = self._episode(loop, record, goal, started)
        missing = without_snapshot(self._store.snapshots_of(past.run_id), past)
        return replace(episode, notes=notes, before=past.seconds, missing=missing)

    def _as_recorded(self, past: Trajectory) -> Agent:
        """This agent with the sampling of a run; one that was dry stays dry."""
        conduct = dict(past.settings.get("conduct", {}))
        like = self._twin(
            sampling=Sampling.model_validate(past.settings.get("sampling", self.sampling.model_dump())),
            conduct=self.conduct.model_copy(
                update={"dry_run": self.conduct.dry_run or bool(conduct.get("dry_run"))}
            ),
        )
        like._helping, like._found, like.model = False, self._source(), self.model
        return like

    def _twin(self, **changes: Any) -> Agent:
        """The same agent on the same record, memory and folders, whatever the current folder is now."""
        twin = replace(
            self,
            model=self.loaded_model(),
            memory=self._opened_memory() or False,
            workspace=self._workspace.root,
            home=self._home,
            **changes,
        )
        twin._store, twin._toolbox, twin._helping = self._store, self._toolbox, True
        return twin

    def _loop(
        self,
        session: Session,
        shown: Toolbox,
        offered: Toolbox,
        opening: Sequence[Message],
        record: RunRecord,
        shield: Shield,
    ) -> Loop:
        model = self.loaded_model()
        goal = self._store.find(record.run_id).goal
        kept = self._home / "observations" / record.run_id
        workspace = replace(self._workspace, attached=kept)
        services = dict(self.services) | ({"ask_user": self.ask_user} if self.ask_user else {})
        loop = Loop(
            session=session,
            tools=shown,
            context=Context(
                workspace=workspace,
                memory=self._opened_memory(),
                services=services,
                sandbox=self.sandbox,
                hosts=tuple(self.hosts),
            ),
            policy=self._policy if self._helping else replace(self._policy),  # what is allowed in this run
            record=record,
            limits=self.limits,
            sampling=self.sampling,
            conduct=self.conduct,
            prompts=self._prompts(),
            offered=offered,
            opening=opening,
            keep=workspace.keep,
            window=model.window,
            count=model.count,
            edit_plan=self.edit_plan,
            recall=lambda why: self._recalled(f"{goal} {why}", shield)[0],
            steer=self.steer,
            guard=shield.guard,
            secrets=shield.secrets,
        )
        loop.lend("delegate", lambda goal, names: self._delegate(loop, record.run_id, goal, names))

        def reopened(model: Model) -> Session:
            return model.open(self._store.messages(record.run_id), [tool.schema for tool in loop.tools])

        renewal = Renewal(self._source(), self.model, record, reopened)
        loop.lend("renew", renewal)
        loop.take_over = renewal.take_over
        return loop

    def _episode(self, loop: Loop, record: RunRecord, goal: Goal, started: Started) -> Episode:
        return Episode(
            loop=loop,
            record=record,
            goal=goal,
            workspace=self._workspace,
            started=started,
            load=lambda: self._store.load(record.run_id),
            done=(lambda run: self._remember(run, loop)) if self._recall_size() else None,
        )

    def _offer(self, parent: str | None = None) -> Offer:
        """What there is to choose tools from; helpers have no helpers and do not train."""
        there = {*self.services, "delegate"} if parent is None else {*self.services} - {"finetune"}
        there |= {name for name, lent in (("ask_user", self.ask_user), ("hosts", self.hosts)) if lent}
        return Offer(
            self._toolbox,
            own=tuple(tool.name for tool in self.tools),
            services=frozenset(there),
            sandbox=self.sandbox,
            habits=habits_of(_folder(self.loaded_model())),
        )

    def tools_for(self, goal: str) -> Toolbox:
        """The tools that a run would show its model for a goal, best first."""
        return self._offer().shown(goal, self.conduct.shown_tools)

    def _delegate(self, loop: Loop, run_id: str, goal: str, names: Sequence[str]) -> str:
        """Let a helper with half of what is left of the budget, and perhaps fewer tools, reach a goal."""
        known = [tool.name for tool in self._offer(run_id).usable]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ToolError(f"there is no tool {unknown[0]}; the tools are {', '.join(known)}")
        left = loop.limits.max_steps - len([step for step in loop.steps if step.kind == "act"])
        limits = self.limits.model_copy(
            update={
                "max_steps": max(1, left // 2),
                "max_tokens": max(1, (loop.limits.max_tokens - loop.talk.spent) // 2),
                "timeout": max(0.001, loop.seconds_left()),
            }
        )
        helper = self._twin(limits=limits)
        helper._policy, helper._lent = loop.policy, Shield(loop.guard, loop.secrets)
        if names:
            wanted = {*names, "finish", "decline"}
            helper.tools = [tool for tool in self.tools if tool.name in wanted]
            helper._toolbox = Toolbox(tool for tool in self._toolbox if tool.name in wanted)
        run = _result(helper.events(goal, parent=run_id)).trajectory
        loop.actor.child, loop.actor.child_changed = run.run_id, any(step.mutated for step in run.steps)
        loop.talk.spent += run.counts.spent
        if loop.guard.tainted:
            loop.guard.flag("helper")
        if run.ending == "interrupted":
            raise KeyboardInterrupt
        if run.ending != "finished":
            raise ToolError(f"the helper did not get there ({run.ending}): {run.answer or 'no answer'}")
        return run.answer or ""

    def _recall_size(self) -> int:
        """How many memories are put before the model unasked; where none are, runs are not remembered."""
        if self.conduct.recall is not None:
            return self.conduct.recall
        return habits_of(_folder(self.loaded_model())).recall

    def _recalled(self, goal: str, shield: Shield) -> tuple[list[Recalled], list[str]]:
        """What long-term memory says about a goal; a memory that cannot be used is a note, no fault."""
        memory = self._opened_memory() if self._recall_size() else None
        if memory is None:
            return [], []
        try:
            return shield.recalled(recall_block(memory, goal, self._recall_size())), []
        except StoreError as problem:
            return [], [f"this run does without long-term memory: {problem}"]

    def _remember(self, run: Trajectory, loop: Loop) -> str:
        """Keep how a run went; returns what the user should know, if that failed."""
        memory = self._opened_memory()
        if memory is None or self.conduct.dry_run or run.ending == "interrupted":
            return ""
        try:
            remember_run(memory, run, tainted=loop.guard.tainted)
        except StoreError as problem:
            return f"the run is not in long-term memory: {problem}"
        return ""

    def _prompts(self) -> Prompts:
        prompts = prompts_of(_folder(self.loaded_model()), self.prompts or self._home / "prompts")
        prompts.check()  # now, and not in the middle of a run
        return prompts

    def _settings(self, opening: Sequence[Message]) -> dict[str, Any]:
        """What a run ran with. Resumed, it keeps sampling and dry run; its budget begins anew."""
        return {
            "model": str(self.model) if isinstance(self.model, (str, Path)) else None,
            "limits": self.limits.model_dump(mode="json"),
            "sampling": self.sampling.model_dump(mode="json"),
            "conduct": self.conduct.model_dump(mode="json"),
            "opening": len(opening),
            **self.about,
        }

    def loaded_model(self) -> Model:
        """The model, loaded at first use.

        Raises:
            ModelError: it cannot be found or loaded.
        """
        return self._source().model()

    def _source(self) -> Source:
        """Where the model comes from; what ``model`` says counts from here on."""
        if self._found is None:
            self._found = source_of(self.model, self._home)
        return self._found

    def _opened_memory(self) -> Memory | None:
        """Long-term memory; the one on disk is opened, and locked, when a tool first needs it."""
        if self._memory is None and self.memory is not False:
            self._memory = self.memory if self.memory is not True else LazyMemory(self._home)
        return self._memory

    def close(self) -> None:
        """Release the memory's lock and the record's file. The agent may be used again afterwards."""
        self._store.close()
        if self._memory is not None and self.memory is True:
            self._memory.close()
            self._memory = None

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _result(stream: Iterator[Event]) -> Result:
    """Let a run come to its end."""
    trajectory = None
    for event in stream:
        if isinstance(event, events.Closed):
            trajectory = event.trajectory
    assert trajectory is not None  # Closed is always the last event
    assert trajectory.ending is not None  # and comes after the end
    return Result(trajectory.answer, trajectory.verdict, trajectory.ending, trajectory)


def _folder(model: Model) -> Path | None:
    """Where the model's files are; None for one that has none here."""
    folder = getattr(model, "folder", None)
    return folder if isinstance(folder, Path) else None
