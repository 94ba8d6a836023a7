"""A run, shown to a person as it happens: a consumer of events, line by line, calm and aligned."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from rich.console import Console
from rich.text import Text

from autoagent import events
from autoagent.cli.console import call_text, clean, cut
from autoagent.cli.working import Foot, Working
from autoagent.events import Event
from autoagent.models.fingerprint import short_version
from autoagent.plan import parsed
from autoagent.trajectory import Counts, Ending, Observation, Step, ToolCall, Trajectory, Verdict

GUTTER = 9  # columns of the labels at the left
_BAR = 20  # columns of one that fills
_FIRST, _LAST = 6, 2  # lines of an observation; how a program ended stands in the last
_LINE = 400  # characters of one of them
_EVERY = 30.0  # seconds between two lines about long work
_NUMBER = re.compile(r"\d+[.:)]\s*")  # of the sub-goal a reply says it serves
_CALLS_BEGIN = ("<", "{", "[")  # what a chat format puts before the calls of a reply

_ENDINGS: dict[Ending, str] = {
    "finished": "finished",
    "declined": "declined",
    "max_steps": "out of steps (max_steps)",
    "max_tokens": "out of tokens (max_tokens)",
    "timeout": "out of time (timeout)",
    "stuck": "stuck: no progress any more",
    "format_errors": "the replies stayed invalid (format_errors)",
    "denied": "denied: an effect it needed was refused",
    "interrupted": "interrupted",
    "error": "error",
}
_VERDICT_STYLES = {"verified": "green", "refuted": "red", "unverified": "dim"}
_MARKS = {"verified": "✓ ", "refuted": "✗ ", "unverified": ""}


class Screen:
    """Shows the events of runs, one after the other. A context manager: it may have a spinner turning."""

    def __init__(
        self, console: Console, foot: Foot | None = None, named: Callable[[str], str] | None = None
    ) -> None:
        """``foot`` is the last line while a run is at work, on a terminal; ``named`` tells a model's name."""
        self._console = console
        self._named = named or short_version
        self._stage, self._told_at = "", 0.0  # of long work, where it is told line by line; when, in seconds
        self._working = Working(console, foot)
        self._start_over()

    def _start_over(self) -> None:
        self._sub_goals: tuple[str, ...] | None = None  # of the plan that was shown
        self._done: tuple[int, ...] = ()
        self._reply = self._thought = ""  # the text and the reasoning of the reply being made
        self._label = ""  # of the step being shown, printed once

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.pause()

    def busy(self, doing: str) -> None:
        """Say what is going on, on a line that goes away; on a terminal only."""
        self._working.show(doing)

    def working_at(self, stage: str, line: str) -> None:
        """Say how far long work is; without a terminal when a stage begins, and every half minute."""
        if self._console.is_terminal:
            self.busy(line)
            return
        now = time.monotonic()
        if stage != self._stage or now - self._told_at >= _EVERY:
            self._stage, self._told_at = stage, now
            self._console.print(clean(line), soft_wrap=True)

    def pause(self) -> None:
        """Take the line that goes away, away."""
        self._working.pause()

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case events.Started():
                self._started(event)
            case events.Token():
                self._streamed(event)
            case events.Planned():
                self._planned(event.sub_goals, event.done)
            case events.Called():
                self._called(event.step, event.call)
            case events.Progress():
                self._progressed(event)
            case events.ApprovalWanted():
                self._approved(event)
            case events.Observed():
                self._observed(event.observation)
            case events.Stepped():
                self._stepped(event.step)
            case events.Recalled():
                self._recalled(event.texts)
            case events.Compacted():
                self._aside(f"older steps summarised: {event.before:,} tokens became {event.after:,}")
            case events.Nudged():
                self._nudged(event)
            case events.ModelChanged():
                self.pause()
                self._row("model", Text(f"{clean(self._named(event.model))} from here on", style="dim"))
            case events.Note():
                self.note(event.text)
            case events.Ended():
                self._ended(event)
            case events.Judged():
                self.pause()
            case events.Closed():
                self.closed(event.trajectory)

    def note(self, text: str) -> None:
        """Something the user should know."""
        self.pause()
        self._row("note", Text(clean(text), style="yellow"))

    def _streamed(self, token: events.Token) -> None:
        if token.reasoning:
            self._thought += token.text
            self._working.show("thinking", self._thought, thought=True)
        else:
            self._reply += token.text
            self._working.show("writing", self._reply)

    def _recalled(self, texts: tuple[str, ...]) -> None:
        self.pause()
        self._row(
            "memory",
            Text("\n".join(clean(cut(" ".join(text.split()), _LINE)) for text in texts), style="dim"),
        )

    def _nudged(self, event: events.Nudged) -> None:
        words = {
            "nudge": f"getting nowhere: {event.why}",
            "replan": f"planning anew: {event.why}",
            "retry": f"not right yet: {event.why}",
            "feedback": f"told: {event.why}",
        }
        self._aside(words[event.remedy], style="yellow")
        self.busy("thinking")

    def _aside(self, text: str, style: str = "dim") -> None:
        self.pause()
        self._row("", Text(clean(text), style=style))

    def _started(self, event: events.Started) -> None:
        self._start_over()
        self.pause()
        self._row("resumed" if event.resumed else "goal", Text(shortened(event.goal.strip()), style="bold"))
        self._row("model", Text(clean(self._named(event.model)), style="dim"))
        self.busy("planning")

    def _planned(self, sub_goals: tuple[str, ...], done: tuple[int, ...]) -> None:
        self.pause()
        if sub_goals != self._sub_goals:
            self._sub_goals, self._done = sub_goals, ()
            lines = "\n".join(f"○ {number}. {goal}" for number, goal in enumerate(sub_goals, start=1))
            self._row("plan", Text(clean(lines) or "none"))
        new = [number for number in done if number not in self._done]
        if new:
            lines = "\n".join(f"✓ {number}. {sub_goals[number - 1]}" for number in new)
            self._row("", Text(clean(lines), style="green"))
        self._done = done

    def _called(self, step: int, call: ToolCall) -> None:
        self.pause()
        self._begin_step(step, _spoken(self._reply))
        self._row(self._take_label(), call_text(call.name, call.arguments))
        self.busy(f"running {call.name}")

    def _begin_step(self, step: int, said: str) -> None:
        if self._label:  # a later call of the same step
            return
        self._console.print()
        self._label = f"step {step}"
        thought = _NUMBER.sub("", said.strip(), count=1)
        if thought and not any(thought in goal or goal in thought for goal in self._sub_goals or ()):
            self._row(self._take_label(), Text(clean(cut(thought, _LINE)), style="italic dim"))

    def _take_label(self) -> str:
        label, self._label = self._label, " "
        return label

    def _approved(self, event: events.ApprovalWanted) -> None:
        self.pause()
        said = "allowed" if event.granted else "refused"
        why = f" ({event.reason})" if event.reason else ""
        line = clean(f"{said}: {', '.join(event.effects)}{why}")
        self._row("", Text(line, style="dim" if event.granted else "yellow"))

    def _progressed(self, event: events.Progress) -> None:
        """On a line that goes away; what a stage came to stays."""
        line = at_work(event)
        if 0 < event.total <= event.done:
            self._aside(line)
        self.busy(line)

    def _observed(self, seen: Observation) -> None:
        self.pause()
        if seen.ok and seen.call.name in ("finish", "decline"):  # its words are the answer, which follows
            return
        self._row("", Text(shortened(seen.content), style="" if seen.ok else "red"))
        if seen.detail and seen.detail != "denied":
            self._row("", Text(clean(cut(seen.detail, _LINE)), style="dim"))

    def _stepped(self, step: Step) -> None:
        self.pause()
        if step.kind == "act" and not step.reply.calls:
            self._begin_step(step.index, "")
            said = clean(cut(step.reply.text or "(no call)", _LINE))
            self._row(self._take_label(), Text(said, style="yellow"))
        if step.kind != "compaction" or step.reply.counts.spent:  # the model wrote the summary
            self._row("", Text(f"{in_words(step.reply.counts)} · {seconds(step.seconds)}", style="dim"))
        self._reply = self._thought = self._label = ""
        self.busy("thinking")

    def _ended(self, event: events.Ended) -> None:
        self.pause()
        if event.ending == "finished" and self._sub_goals:
            self._planned(self._sub_goals, tuple(range(1, len(self._sub_goals) + 1)))
        self.busy("checking")

    def closed(self, run: Trajectory) -> None:
        """The last lines: answer, verdict, ending, run id."""
        self.pause()
        self._console.print()
        if run.answer is not None:
            label = "reason" if run.ending in ("declined", "denied") else "answer"
            self._row(label, Text(clean(run.answer) or "(empty)", style="bold"))
        self._row("verdict", verdict_text(run.verdict))
        self._row("ending", Text(in_brief(run), style="" if run.ending == "finished" else "yellow"))
        self._row("run", Text(run.run_id, style="dim"))

    def _row(self, label: str, body: Text) -> None:
        """A label and, beside it, text that is wrapped to the terminal; a file or a pipe gets it as it is."""
        console = self._console
        lines = body.split("\n", allow_blank=True)
        if console.is_terminal:
            width = max(8, console.width - GUTTER)
            lines = type(lines)(piece for line in lines for piece in (line.wrap(console, width) or [line]))
        for number, line in enumerate(lines):
            line.rstrip()
            gutter = Text((label if number == 0 else "").strip().ljust(GUTTER), style="dim")
            console.print(gutter.append_text(line) if line else Text(""), soft_wrap=True)


def replay(run: Trajectory) -> Iterator[Event]:
    """A recorded run as the events that a screen was shown, without the text as it came."""
    yield events.Started(run_id=run.run_id, goal=run.goal, model=run.model, tools=run.tools)
    plans = [step.index for step in run.steps if step.kind == "plan"]
    plan = run.plan
    later = {index: model for index, model in run.models.items() if index}
    for step in run.steps:
        if step.index in later:
            yield events.ModelChanged(step=step.index, model=later[step.index])
        if step.recalled:
            yield events.Recalled(texts=step.recalled)
        if step.kind == "compaction":
            yield _compacted(run, step)
            continue
        if step.kind == "plan":  # the last one as it was edited, those before as the model wrote them
            plan = run.plan if step.index == plans[-1] else parsed(step.reply.value)
            yield events.Planned(sub_goals=plan)
        elif step.sub_goal is not None:
            yield events.Planned(sub_goals=plan, done=tuple(range(1, min(step.sub_goal, len(plan) + 1))))
        yield events.Token(text=step.reply.text)
        for number, call in enumerate(step.reply.calls):
            yield events.Called(step=step.index, call=call)
            if number < len(step.observations):
                yield from _seen(step.index, step.observations[number])
        yield events.Stepped(step=step)
    if run.ending is not None:
        yield events.Ended(ending=run.ending, answer=run.answer, error=run.error)
    yield events.Closed(trajectory=run)


def _compacted(run: Trajectory, step: Step) -> Event:
    """The window in use around it, told by the replies before and after."""
    counts = [
        each.reply.counts for each in run.steps if each.kind != "compaction" and each.index < step.index
    ]
    later = [each.reply.counts for each in run.steps if each.kind != "compaction" and each.index > step.index]
    before = counts[-1].cached + counts[-1].spent if counts else 0
    return events.Compacted(
        step=step.index, before=before, after=later[0].cached + later[0].prefilled if later else 0
    )


def _seen(step: int, observation: Observation) -> Iterator[Event]:
    asked = observation.permission
    if asked is not None:
        yield events.ApprovalWanted(
            step=step,
            call=observation.call,
            effects=asked.effects,
            granted=asked.granted,
            reason=asked.reason,
        )
    yield events.Observed(step=step, observation=observation)
    if observation.child:
        yield events.Note(text=f"delegated: autoagent runs show {observation.child}")


def at_work(event: events.Progress) -> str:
    """``training ━━━━──── 120/400 · loss 0.412 · 3,200 tokens/s · 41.0 s left``."""
    over = 0 < event.total <= event.done
    filled = f" {bar(event.done, event.total)} {event.done:,}/{event.total:,}" if event.total else ""
    parts = [f"{event.stage}{filled}"]
    for name, value in event.figures.items():
        number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"
        parts.append(f"{number} {name}" if "/" in name else f"{name} {number}")
    if event.seconds_left is not None and not over:
        parts.append(f"{seconds(event.seconds_left)} left")
    return " · ".join(parts)


def bar(done: int, total: int) -> str:
    """``━━━━────``: how much of something is done."""
    full = min(_BAR, round(_BAR * done / max(1, total)))
    return "━" * full + "─" * (_BAR - full)


def in_brief(run: Trajectory) -> str:
    """How a run ended and what it took: ``finished · 2 steps · 478 tokens · 0.72 s``."""
    steps = len(run.acts)
    facts = [_ENDINGS[run.ending] if run.ending else "unfinished"]
    facts += [f"{steps} step{'' if steps == 1 else 's'}", f"{run.counts.spent:,} tokens"]
    return " · ".join([*facts, seconds(run.seconds)])


def in_words(counts: Counts) -> str:
    """Tokens by what they cost: ``640 cached · 88 read · 21 forced · 6 sampled``."""
    made = f"{counts.forced} forced · {counts.sampled} sampled"
    return f"{counts.cached} cached · {counts.prefilled} read · {made}"


def seconds(value: float) -> str:
    """A duration: ``0.31 s``, ``12.4 s``, ``3 min 05 s``."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 100:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02} s"


def verdict_text(verdict: Verdict) -> Text:
    """``✓ verified by check``, ``✗ refuted by check: …``, ``unverified: no check was given``."""
    words = _MARKS[verdict.status] + verdict.status + (f" by {verdict.by}" if verdict.by else "")
    words += f": {verdict.reason}" if verdict.reason else ""
    return Text(clean(words), style=_VERDICT_STYLES[verdict.status])


def shortened(content: str) -> str:
    """The first and last lines of an observation, safe for a terminal, and how many are between."""
    lines = [cut(line, _LINE) for line in clean(content).rstrip().split("\n")]
    between = len(lines) - _FIRST - _LAST
    if between > 1:
        lines[_FIRST:-_LAST] = [f"… {between} more lines"]
    return "\n".join(lines)


def _spoken(reply: str) -> str:
    """What a reply says before its calls."""
    ends = [place for mark in _CALLS_BEGIN if (place := reply.find(mark)) >= 0]
    return reply[: min(ends)] if ends else reply
