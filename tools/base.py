"""``@tool``: a typed function with a docstring is a tool; nothing is declared twice."""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints, overload

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model

from autoagent.errors import InvalidCall, ToolError, UsageError
from autoagent.events import Progress
from autoagent.security.values import vocabulary
from autoagent.workspace import Workspace

if TYPE_CHECKING:
    from autoagent.memory import Memory
    from autoagent.security import Guard, Sandbox

_MOST_CHARS = 5_000_000  # of a result; what is longer is not even kept on file
_MOST_ITEMS = 10_000  # taken from a generator, which may never end
_OWN = "argument_"  # keeps an argument named "json" or "copy" apart from pydantic's own attributes

Effect = Literal["read", "write", "execute", "network", "train", "ask"]


def _unheard(progress: Progress) -> None: ...


def _nothing(tool: str, name: str) -> bool:
    return False


@dataclass(frozen=True)
class Context:
    """What a tool may reach besides its arguments. ``Agent`` fills it; tools declare ``*, ctx: Context``."""

    workspace: Workspace
    memory: Memory | None = None
    services: Mapping[str, Callable[..., Any]] = field(default_factory=dict)  # by name: "finetune", …
    sandbox: Sandbox | None = None  # where programs are run; None: not at all
    hosts: tuple[str, ...] = ()  # that may be reached: "example.org", "*.example.org", "localhost:8000"
    heard: Callable[[Progress], None] = _unheard  # who is told of what is reported
    guard: Guard | None = None  # what came from outside so far
    hides: Callable[[str, str], bool] = _nothing  # whether a tool, by its name, may not come upon a file
    left: Callable[[], float] = lambda: math.inf  # seconds until the run has to be over

    @property
    def tainted(self) -> bool:
        """Whether the run has read anything that came from outside."""
        return self.guard is not None and self.guard.tainted

    def from_outside(self, place: str) -> None:
        """Say that what the tool is about to return is from outside, where that differs from call to call."""
        if self.guard is not None:
            self.guard.flag(place)

    def service(self, name: str) -> Callable[..., Any]:
        """Something above the tools that ``Agent`` lends them; one that declares ``ctx``, too, gets this one.

        Raises:
            ToolError: this run does not offer it.
        """
        try:
            service = self.services[name]
        except KeyError:
            raise ToolError(f"{name} is not available in this run") from None
        return functools.partial(service, ctx=self) if _wants_context(service) else service

    def report(
        self,
        stage: str,
        done: int = 0,
        total: int = 0,
        *,
        seconds_left: float | None = None,
        figures: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Say how far a long call is: a ``Progress`` event. Only of a tool that is ``long``, else unheard.

        Args:
            stage: What it is doing now, in a few words.
            done: How much of ``total`` is done.
            total: 0 where nobody knows.
            seconds_left: Until the end of this stage.
            figures: What is worth watching, by name.

        Raises:
            KeyboardInterrupt: the run was ended meanwhile: clean up and let it pass.
        """
        self.heard(
            Progress(stage=stage, done=done, total=total, seconds_left=seconds_left, figures=dict(figures))
        )


def _wants_context(function: Callable[..., Any]) -> bool:
    try:
        return "ctx" in inspect.signature(function).parameters
    except (ValueError, TypeError):  # a builtin that does not tell
        return False


class Tool:
    """A function the model may call.

    Attributes:
        name: The function's name.
        description: The first line of its docstring.
        effects: What it does to the world; the policy decides by these.
        hints: Other words people use for what it does; only the ranking reads them.
        needs: What it cannot work without: a service, "sandbox" or "hosts"; where that is missing, an agent
            does not show it.
        long: Whether it may work for minutes: it then has a thread of its own, and what it reports is passed
            on at once. So has whatever trains.
        source: Where it is from, for messages: "built in", a file, a package.
        outside: Whether what it returns was written by others than the user: it taints the run. By default,
            that of a tool that uses the network.
        content: Arguments that only hold what people are to read; all others say where things go, and have
            to be the user's own words once a run is tainted.
        structured: Whether the function itself puts its result together, as dicts and lists.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        effects: tuple[Effect, ...] = ("read",),
        hints: str = "",
        needs: str = "",
        long: bool = False,
        *,
        outside: bool | None = None,
        content: tuple[str, ...] = (),
    ) -> None:
        documentation = docstring_parser.parse(function.__doc__ or "")
        if not documentation.short_description:
            raise UsageError(
                f"tool {function.__name__} has no docstring: its first line is what the model reads"
            )
        self._set_up(
            function,
            function.__name__,
            documentation.short_description.rstrip(".").replace("\n", " "),
            lambda: _arguments_of(function, {p.arg_name: p.description for p in documentation.params}),
            effects,
        )
        self.hints, self.needs, self.long = hints, needs, long or "train" in effects
        self._declare(outside, content)

    @classmethod
    def from_parts(
        cls,
        function: Callable[..., Any],
        *,
        name: str,
        description: str,
        arguments: Mapping[str, Any],
        effects: tuple[Effect, ...] = ("read",),
        outside: bool | None = None,
        content: tuple[str, ...] = (),
    ) -> Tool:
        """A tool not written as a function.

        Args:
            arguments: By name, the type of a required one, or (type, default, help); ``...`` is no default.
        """
        made = cls.__new__(cls)
        parts = {
            key: kind if isinstance(kind, tuple) else (kind, ..., None) for key, kind in arguments.items()
        }
        made._set_up(function, name, description, lambda: _model(name, parts), effects)
        made._declare(outside, content)
        return made

    def _declare(self, outside: bool | None, content: tuple[str, ...]) -> None:
        unknown = set(content) - set(self.parameters["properties"]) if content else ()
        if unknown:
            raise UsageError(
                f"tool {self.name}: content names no argument of it: {', '.join(sorted(unknown))}"
            )
        self.outside = "network" in self.effects if outside is None else outside
        self.content = frozenset(content)

    def _set_up(
        self,
        function: Callable[..., Any],
        name: str,
        description: str,
        arguments: Callable[[], type[BaseModel]],
        effects: tuple[Effect, ...],
    ) -> None:
        self.function = function
        self.name = name
        unknown = set(effects) - set(get_args(Effect))
        if unknown:
            known = ", ".join(get_args(Effect))
            raise UsageError(
                f"tool {self.name}: unknown effect {', '.join(sorted(unknown))}; known are {known}"
            )
        self.effects: tuple[Effect, ...] = tuple(effects)
        self.description = description
        self.hints = self.needs = ""
        self.long = "train" in effects
        module = str(getattr(function, "__module__", ""))
        self.source = "built in" if module.startswith("autoagent.tools.") else module
        self._make_arguments = arguments
        if self.source != "built in":  # what is wrong with one's own tool is said where it is made
            _ = self.parameters
        self._wants_context = "ctx" in inspect.signature(function).parameters
        self.structured = "network" not in effects and _structured(function)
        self.outside, self.content = "network" in effects, frozenset[str]()

    @functools.cached_property
    def _arguments(self) -> type[BaseModel]:
        return self._make_arguments()

    @functools.cached_property
    def parameters(self) -> dict[str, Any]:
        """JSON schema of the arguments; made at first use, as most commands show no built-in tool's."""
        return _plain_schema(self._arguments)

    @functools.cached_property
    def vocabulary(self) -> tuple[frozenset[str], frozenset[str]]:
        """The names of properties in its schema, and the values that it lists or that are defaults."""
        names, choices = vocabulary(self.parameters)
        defaults = {
            str(each["default"]) for each in self.parameters["properties"].values() if "default" in each
        }
        return names, choices | defaults

    @property
    def schema(self) -> dict[str, Any]:
        """The tool in the shape chat templates and OpenAI-compatible servers take."""
        about = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": about}

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function takes them, defaults filled in.

        Raises:
            InvalidCall: they do not fit the schema; the message names the first misfit.
        """
        try:
            checked = self._arguments.model_validate(dict(arguments))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "arguments"
            raise InvalidCall(f"{self.name}: {where}: {first['msg']}") from None
        return {name.removeprefix(_OWN): getattr(checked, name) for name in type(checked).model_fields}

    def __call__(self, arguments: Mapping[str, Any], ctx: Context) -> str:
        """Validate, run, and render the result as text.

        Raises:
            Recoverable: the model can correct it.
            Exception: whatever else the function raises is a fault of the program.
        """
        return self.carry_out(self.validate(arguments), ctx)

    def carry_out(self, ready: Mapping[str, Any], ctx: Context) -> str:
        """The same with arguments that ``validate`` has returned."""
        result = self.function(**ready, ctx=ctx) if self._wants_context else self.function(**ready)
        return _as_text(result)

    def __repr__(self) -> str:
        return f"<tool {self.name}>"


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    effects: tuple[Effect, ...] = ("read",),
    hints: str = "",
    needs: str = "",
    long: bool = False,
    outside: bool | None = None,
    content: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    effects: tuple[Effect, ...] = ("read",),
    hints: str = "",
    needs: str = "",
    long: bool = False,
    outside: bool | None = None,
    content: tuple[str, ...] = (),
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function. Its name, type hints and docstring are what the model is told.

    Declare what it does to the world in ``effects``: a tool that writes but does not say so is neither asked
    about nor followed by a snapshot. The default is that it only reads. One that works for minutes says so
    with ``long=True`` and tells how far it is with ``ctx.report``. A tool that returns what others wrote
    (mail, pages, tickets) says ``outside=True``; one that sends something says ``network``, and names in
    ``content`` the arguments that are only text to read, such as the body of a message.

    >>> @tool
    ... def word_count(text: str) -> int:
    ...     \"\"\"Count the words of a text.\"\"\"
    ...     return len(text.split())
    """
    if function is not None:
        return Tool(function, effects, hints, needs, long)
    return lambda wrapped: Tool(wrapped, effects, hints, needs, long, outside=outside, content=content)


def _arguments_of(function: Callable[..., Any], help_texts: Mapping[str, str | None]) -> type[BaseModel]:
    """A pydantic model of the function's parameters; ``ctx`` is ours, not the model's."""
    if inspect.iscoroutinefunction(function):
        raise UsageError(f"tool {function.__name__} is async; tools are plain functions")
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise UsageError(f"tool {function.__name__}: unknown type in its signature: {error}") from None
    arguments: dict[str, tuple[Any, Any, str | None]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "ctx":
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UsageError(
                f"tool {function.__name__}: a model gives arguments by name, and {name} cannot be given so"
            )
        if name not in hints:
            raise UsageError(f"tool {function.__name__}: argument {name} has no type hint")
        default = ... if parameter.default is parameter.empty else parameter.default
        arguments[name] = (hints[name], default, help_texts.get(name))
    return _model(function.__name__, arguments)


def _model(name: str, arguments: Mapping[str, tuple[Any, Any, str | None]]) -> type[BaseModel]:
    """A pydantic model of arguments, given as (type, default, help) by name, whatever they are called."""
    fields: dict[str, Any] = {
        _OWN + argument: (kind, Field(default=default, alias=argument, description=text))
        for argument, (kind, default, text) in arguments.items()
    }
    try:
        config = ConfigDict(extra="forbid")
        model: type[BaseModel] = create_model(f"{name}_arguments", __config__=config, **fields)
        model.model_json_schema()
    except PydanticUserError as error:
        raise UsageError(f"tool {name}: an argument's type has no JSON schema: {_line(error)}") from None
    return model


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _plain_schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema without pydantic's titles, which only cost tokens."""
    schema = arguments.model_json_schema()

    def strip(node: Any, *, names: bool = False) -> Any:
        if isinstance(node, list):
            return [strip(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {
            key: strip(value, names=key == "properties")
            for key, value in node.items()
            if names or key != "title"
        }

    plain: dict[str, Any] = strip(schema)
    plain.setdefault("properties", {})
    return plain


def _structured(function: Callable[..., Any]) -> bool:
    """Whether a function says that it returns dicts or lists of its own making."""
    try:
        kind = get_type_hints(function).get("return")
    except (NameError, TypeError):
        return False
    return get_origin(kind) in (dict, list) or (isinstance(kind, type) and issubclass(kind, BaseModel))


def _as_text(result: Any) -> str:
    """A result as the model reads it; of a very long one the beginning, and how long it was.

    Objects and bytes are shown as well as they can be; a dict or a list of dicts is JSON.
    """
    if result is None:
        return "Done."
    if isinstance(result, Iterator):
        result = _taken(result)
    if isinstance(result, bytes):
        text = result.decode("utf-8", errors="replace")
    elif isinstance(result, BaseModel):
        text = result.model_dump_json()
    elif isinstance(result, dict) or (isinstance(result, list) and result and isinstance(result[0], dict)):
        text = _json(result)
    elif isinstance(result, (list, tuple)):
        text = "\n".join(str(item) for item in result)
    else:
        text = str(result)
    if len(text) > _MOST_CHARS:
        return f"{text[:_MOST_CHARS]}\n… {len(text)} characters in all"
    return text


def _taken(items: Iterator[Any]) -> list[Any]:
    """What a generator yields, until that is more than anybody would read."""
    taken: list[Any] = []
    size = 0
    for item in itertools.islice(items, _MOST_ITEMS):
        taken.append(item)
        size += len(item) if isinstance(item, (str, bytes)) else 1
        if size > _MOST_CHARS:
            break
    return taken


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):  # odd keys, or it holds itself
        return str(value)
