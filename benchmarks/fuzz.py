"""Mutated input everywhere it comes in: is there ever anything but a documented error?

    python benchmarks/fuzz.py --cases 100000 --out fuzz --seconds 500     # again, until all are done

Each case takes something sound, spoils it at random places, and hands it to autoagent as it would arrive:
what a model says, how it calls tools, what a tool returns, what a chat server sends, settings, profiles,
suites, prompts in the user's words and the values put into them, exported runs and ATIF files, backups,
memories. Allowed are the errors of autoagent.errors, each a single line; a run must end, and never with
``error`` unless the tool itself raised one. Anything else is a crash: it is saved as ``crash-NUMBER.json``
in ``--out``.

A case is made from ``--seed`` and its number alone: ``--only NUMBER`` repeats it. ``progress.json`` says
where a later call goes on. The exit status is 1 when there were crashes.

Not covered: the wire below the JSON of a chat server, models with weights.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autoagent import Agent, tool
from autoagent.cli.runs_files import parsed
from autoagent.config import Limits
from autoagent.configfile import commented
from autoagent.errors import AutoagentError
from autoagent.evals import load_suite
from autoagent.home import FILE, PROFILES
from autoagent.memory.volatile import VolatileMemory
from autoagent.models.parsing import split_calls, split_own, split_reasoning
from autoagent.models.protocol import Calls, Expect, Json
from autoagent.models.remote.answer import Answer
from autoagent.models.remote.checking import Invalid
from autoagent.models.remote.session import _read
from autoagent.models.scripted import Line, ScriptedModel
from autoagent.prompts import Prompts
from autoagent.prompts.samples import SAMPLES
from autoagent.settings import load_settings
from autoagent.store import Store
from autoagent.store.atif_import import from_atif
from autoagent.store.backup import backup
from autoagent.store.export import atif, chats
from autoagent.store.page import page
from autoagent.store.portable import import_run, packed_run, unpacked_run
from autoagent.store.restore import restore
from autoagent.store.upkeep import check
from autoagent.tools import builtin_tools
from autoagent.trajectory import Message, Reply, ToolCall

_SCRAPS = (
    "", " ", "\n", "\0", "\ud800", "\u202e", "\u2028", "\ufeff", "é", "👩‍👩‍👧", "\x1b[2J", "{{ 1/0 }}",
    "{% x %}", "<tool_call>", "</tool_call>", "<think>", "</think>", '"', "\\", "'", "[" * 3_000, "{" * 40,
    "null", "true", "-1", "1e999", "NaN", "9" * 40, "0x", "../..", "/", "~", "=", "#", "[[task]]",
    "[a]\nb = 1", "a" * 5_000,
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 10**30, -(2**70), 0.5, 1e308, float("inf"), float("nan"), "", "x",
    "\ud800", "\0", [], {}, [[]], [None], {"": None}, {"a": {"b": []}}, "r00000000000", "../x", "a" * 3_000,
)  # fmt: skip
_SUITE = Path(__file__).parents[1] / "examples" / "suite.toml"
Case = Callable[[random.Random], None]


def spoiled_text(rng: random.Random, text: str) -> str:
    """The text with one to four pieces cut, doubled, swapped or put in."""
    for _ in range(rng.randint(1, 4)):
        here, there = sorted(rng.randint(0, len(text)) for _ in range(2))
        there = min(there, here + rng.choice((1, 3, 20, 500)))
        piece = rng.choice(("", text[here:there] * 2, rng.choice(_SCRAPS), rng.choice(_SCRAPS)))
        text = text[:here] + piece + text[there if rng.random() < 0.7 else here :]
    return text


def spoiled(rng: random.Random, value: Any) -> Any:
    """The JSON value with one to three places changed."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        value = _spoiled_once(rng, value)
    return value


def _spoiled_once(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.93:
        key = rng.choice(list(value))
        way = rng.random()
        if way < 0.08:
            del value[key]
        elif way < 0.16:
            value[rng.choice(("", "x", key + "x", rng.choice(_SCRAPS)[:50]))] = value[key]
        else:
            value[key] = _spoiled_once(rng, value[key])
        return value
    if isinstance(value, list) and value and rng.random() < 0.93:
        place, way = rng.randrange(len(value)), rng.random()
        if way < 0.08:
            del value[place]
        elif way < 0.16:
            value.insert(place, copy.deepcopy(value[place]))
        else:
            value[place] = _spoiled_once(rng, value[place])
        return value
    if isinstance(value, str) and rng.random() < 0.5:
        return spoiled_text(rng, value)
    return copy.deepcopy(rng.choice(_VALUES))


@tool
def odd(kind: str) -> Any:
    """Return something odd."""
    return Fuzz.returned


class Fuzz:
    """The kinds of cases, with the sound things they begin with. All in one folder."""

    returned: Any = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.tools = [
            each for each in builtin_tools() if not set(each.effects) & {"network", "execute", "train"}
        ]
        self.exported, self.atif = self._sound_run()
        self.archive = folder / "sound.tar"
        backup(folder / "sound", self.archive)
        self.suite = _SUITE.read_text(encoding="utf-8")
        lines = commented().splitlines()
        self.config = [line[1:] for line in lines if line.startswith("#") and line[1:2].isalpha()]
        self.memory = VolatileMemory()
        self.kinds: dict[str, Case] = {
            "what a model says": self.said,
            "what a chat server sends": self.sent,
            "settings": self.settings,
            "suites": self.suites,
            "values of prompts": self.rendered,
            "prompts of the user": self.overridden,
            "exported runs": self.imported,
            "ATIF files": self.atif_imported,
            "memories": self.remembered,
            "tool calls and results": self.played,
            "backups": self.restored,
        }

    def _sound_run(self) -> tuple[dict[str, Any], dict[str, Any]]:
        home = self.folder / "sound"
        (self.folder / "desk").mkdir()
        (self.folder / "desk" / "a.txt").write_text("one\n", encoding="utf-8")
        script: list[Line] = [
            ["read", "write"],
            ToolCall(name="read_file", arguments={"path": "a.txt"}),
            ToolCall(name="write_file", arguments={"path": "b.txt", "content": "two"}),
            ToolCall(name="finish", arguments={"answer": "done"}),
        ]
        model = ScriptedModel(script)
        with Agent(model=model, home=home, workspace=self.folder / "desk", memory=False) as agent:
            agent.run("Copy a.txt", check=lambda workspace, answer: answer == "done")
        store = Store(home)
        found = packed_run(store, "last"), atif(store, "last", {})
        store.close()
        return json.loads(json.dumps(found[0])), json.loads(json.dumps(found[1]))

    def fresh(self, name: str) -> Path:
        """An empty folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def said(self, rng: random.Random) -> None:
        text = 'Next.\n<tool_call>\n{"name": "read_file", "arguments": {"path": "a.txt"}}\n</tool_call>'
        for read in (
            split_calls,
            split_reasoning,
            lambda said: split_own(said, "[TOOL_CALLS]", "[ARGS]", "[TOOL_CALLS]"),
        ):
            with suppress(ValueError):
                read(spoiled_text(rng, "<think>hm</think>" * rng.randint(0, 1) + text))

    def sent(self, rng: random.Random) -> None:
        call = {
            "index": 0,
            "id": "c1",
            "type": "function",
            "function": {"name": "read_file", "arguments": '{"path": "a.txt"}'},
        }
        chunks = [
            {
                "choices": [
                    {"index": 0, "delta": {"role": "assistant", "content": "So "}, "finish_reason": None}
                ]
            },
            {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
            {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}},
        ]
        answer = Answer()
        sent = spoiled(rng, chunks)
        for chunk in sent if isinstance(sent, list) else [sent]:
            answer.take(chunk, "http://server")
        expect = (
            Json({"type": "object"}) if rng.random() < 0.2 else Calls(tuple(t.schema for t in self.tools))
        )
        try:
            reply = _read(answer, expect)
        except Invalid:
            return
        json.dumps(reply.model_dump(mode="json"), ensure_ascii=True)
        answer.counts(prompt=10, completion=5)

    def settings(self, rng: random.Random) -> None:
        home = self.fresh("settings")
        lines = rng.sample(self.config, k=rng.randint(1, 12))
        profile = rng.random() < 0.2
        (home / PROFILES).mkdir()
        place = home / PROFILES / "p.toml" if profile else home / FILE
        place.write_bytes(spoiled_text(rng, "\n".join(lines)).encode("utf-8", "surrogatepass"))
        load_settings(home, "p" if profile else None)

    def suites(self, rng: random.Random) -> None:
        place = self.folder / "suite.toml"
        place.write_bytes(spoiled_text(rng, self.suite).encode("utf-8", "surrogatepass"))
        load_suite(place)

    def rendered(self, rng: random.Random) -> None:
        name = rng.choice(sorted(SAMPLES))
        values = dict(SAMPLES[name])
        for key, value in values.items():
            if isinstance(value, str):
                values[key] = spoiled_text(rng, value)
            elif isinstance(value, tuple) and all(isinstance(each, str) for each in value):
                values[key] = tuple(spoiled_text(rng, each) for each in value)
        text = Prompts().render(name, **values)
        assert isinstance(text, str)

    def overridden(self, rng: random.Random) -> None:
        folder, name = self.fresh("prompts"), rng.choice(sorted(SAMPLES))
        text = spoiled_text(rng, Prompts().text(name) + "{{ 1 }}{% if 1 %}a{% endif %}" * rng.randint(0, 1))
        (folder / f"{name}.j2").write_bytes(text.encode("utf-8", "surrogatepass"))
        prompts = Prompts(overrides=folder)
        prompts.check()
        prompts.render(name, **SAMPLES[name])

    def imported(self, rng: random.Random) -> None:
        for value in self._read_back(rng, self.exported):
            self._import(rng, unpacked_run(value))

    def atif_imported(self, rng: random.Random) -> None:
        for value in self._read_back(rng, self.atif):
            self._import(rng, from_atif(value))

    def _read_back(self, rng: random.Random, value: dict[str, Any]) -> list[dict[str, Any]]:
        """The runs of a file that was spoiled as values, or as text."""
        place = self.folder / "run.json"
        text = json.dumps(spoiled(rng, value)) if rng.random() < 0.7 else spoiled_text(rng, json.dumps(value))
        place.write_bytes(text.encode("utf-8", "surrogatepass"))
        return parsed(str(place))

    def _import(self, rng: random.Random, run: Any) -> None:
        home = self.folder / "imported"
        if rng.random() < 0.01:
            shutil.rmtree(home, ignore_errors=True)
        store = Store(home, durable=False)
        try:
            done = import_run(store, run)
            assert store.load(done.run_id).goal == run.trajectory.goal
            if rng.random() < 0.2:
                json.dumps(packed_run(store, done.run_id))
                json.dumps(atif(store, done.run_id, {}))
                json.dumps(list(chats(store, done.run_id, {})))
                page(store, done.run_id).encode("utf-8", "replace")
            if rng.random() < 0.01:
                list(check(store))
        finally:
            store.close()

    def remembered(self, rng: random.Random) -> None:
        text = spoiled_text(rng, "The wifi password of the office is 4411. It changes in May.")
        with suppress(ValueError):
            self.memory.add(text, rng.choice(("semantic", "episodic", "odd")), spoiled_text(rng, "notes.md"))
            self.memory.recall(spoiled_text(rng, "wifi password"), rng.choice((1, 3, 0)))
        if self.memory.count() > 200:
            self.memory.close()

    def played(self, rng: random.Random) -> None:
        """A whole run: odd calls, and what an own tool returns."""
        if rng.random() < 0.02:
            shutil.rmtree(self.work, ignore_errors=True)
            shutil.rmtree(self.folder / "home", ignore_errors=True)
        self.work.mkdir(exist_ok=True)
        (self.work / "a.csv").write_text("name,price\nrope,12\nlamp,25\n", encoding="utf-8")
        Fuzz.returned = (
            spoiled(rng, {"a": ["text", 1]}) if rng.random() < 0.5 else spoiled_text(rng, "text\nmore")
        )
        lines = [self._call(rng) for _ in range(5)]

        def author(messages: Sequence[Message], expect: Expect) -> Line:
            if isinstance(expect, Json):
                return Reply(text="p", value=spoiled(rng, {"plan": ["one", "two"]}))
            if lines:
                return lines.pop()
            return ToolCall(name="finish", arguments={"answer": "done"})

        agent = Agent(
            tools=[odd],
            model=ScriptedModel(author),
            home=self.folder / "home",
            workspace=self.work,
            limits=Limits(max_steps=8, timeout=20),
            memory=VolatileMemory(),
            sandbox=None,
            durable=False,
        )
        with agent:
            result = agent.run(spoiled_text(rng, "Look at a.csv, then finish") or "x")
        own = "odd(" in result.trajectory.error or 'File "<fuzz' in result.trajectory.error
        assert result.ending != "error" or own, result.trajectory.error

    def _call(self, rng: random.Random) -> Line:
        if rng.random() < 0.2:
            return ToolCall(name="odd", arguments={"kind": "x"})
        chosen = rng.choice(self.tools)
        arguments = {name: self._argument(rng, name, each) for name, each in _properties(chosen).items()}
        if rng.random() < 0.3:
            arguments = spoiled(rng, arguments)
        arguments = arguments if isinstance(arguments, dict) else {}
        arguments = {str(name): value for name, value in arguments.items()}
        text = spoiled_text(rng, "1. look") if rng.random() < 0.3 else "1. look"
        return text, ToolCall(name=chosen.name if rng.random() < 0.97 else "nope", arguments=arguments)

    def _argument(self, rng: random.Random, name: str, schema: dict[str, Any]) -> Any:
        if "path" in name or name in ("file", "source", "target", "folder"):
            return rng.choice(("a.csv", ".", "b.txt", "a/b.txt", spoiled_text(rng, "a.csv")))
        if schema.get("type") in ("integer", "number"):
            return rng.choice((0, 1, 2, -1, 10**12, 0.5))
        return rng.choice(("name", "price", "rope", "12", "1 + 2", spoiled_text(rng, "rope 12")))

    def restored(self, rng: random.Random) -> None:
        content = bytearray(self.archive.read_bytes())
        for _ in range(rng.randint(1, 5)):
            place = rng.randrange(len(content))
            content[place : place + rng.choice((1, 1, 8, 512))] = rng.randbytes(rng.choice((0, 1, 1, 8, 512)))
        place = self.folder / "spoiled.tar"
        end = rng.choice((len(content), rng.randrange(len(content))))
        place.write_bytes(bytes(content[:end]))
        restore(self.fresh("restored"), place)


def _properties(each: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = each.parameters["properties"]
    return found


def crash_of(case: Case, rng: random.Random) -> str | None:
    """What went wrong, as a traceback; None for a case that is fine."""
    try:
        case(rng)
    except AutoagentError as problem:
        return f"more than one line: {problem}" if "\n" in str(problem) else None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return traceback.format_exc()
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--out", type=Path, default=Path("fuzz"), help="folder of crashes and progress")
    parser.add_argument("--only", type=int, help="repeat this case and show what it does")
    parser.add_argument("--kind", default="", help="only cases of this kind")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    progress = options.out / "progress.json"
    state = {"next": 0, "crashes": 0, "kinds": {}, "seed": options.seed}
    if progress.exists() and options.only is None:
        state = json.loads(progress.read_text(encoding="utf-8"))
    counts, began = Counter(state["kinds"]), time.monotonic()
    with TemporaryDirectory(prefix="autoagent-fuzz-") as folder:
        fuzz = Fuzz(Path(folder))
        names = [name for name in fuzz.kinds if not options.kind or name == options.kind]
        numbers = range(state["next"], options.cases) if options.only is None else [options.only]
        for number in numbers:
            name = names[number % len(names)]
            crash = crash_of(fuzz.kinds[name], random.Random(f"{state['seed']} {number}"))
            counts[name] += 1
            if crash is not None:
                state["crashes"] += 1
                told = {"seed": state["seed"], "case": number, "kind": name, "crash": crash}
                (options.out / f"crash-{number}.json").write_text(
                    json.dumps(told, indent=1), encoding="utf-8"
                )
                print(f"case {number}, {name}: {crash.strip().splitlines()[-1][:200]}", file=sys.stderr)
            state |= {"next": number + 1, "kinds": dict(counts)}
            if time.monotonic() - began > options.seconds:
                break
        if options.only is None:
            progress.write_text(json.dumps(state), encoding="utf-8")
    print(json.dumps(state, indent=1))
    return int(state["crashes"] > 0)


if __name__ == "__main__":
    sys.exit(main())
