"""Every setting, with its type, default and description; and what to say of a value that cannot be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from autoagent.config import Conduct, Limits, Safety, Sampling, Settings
from autoagent.errors import ConfigError

SECRETS = frozenset({"api_key"})  # never printed
_RULE = re.compile(r"[\w*?.:-]+\s*(\(.+\))?", re.DOTALL)  # what autoagent.security.Rule can read
_NETWORK = re.compile(r"[0-9a-fA-F.:]+/\d+")


def _address(text: str) -> str:
    if not text.startswith(("http://", "https://")) or not text.split("://", 1)[1]:
        raise ValueError("an address begins with http:// or https://")
    return text.rstrip("/")


def _host(text: str) -> str:
    if not text.strip() or ("/" in text and not _NETWORK.fullmatch(text.strip())):
        raise ValueError(
            "a host is a name like example.org, *.example.org, localhost:8000 or 10.0.0.0/8, without https://"
        )
    return text.strip()


def _rule(text: str) -> str:
    if not _RULE.fullmatch(text.strip()):
        raise ValueError(
            "a rule is a tool, perhaps with what the call is about, like delete_file or run_shell(git *)"
        )
    return text.strip()


Address = Annotated[str, AfterValidator(_address)]
Rules = tuple[Annotated[str, AfterValidator(_rule)], ...]


class ModelChoice(Settings):
    """The model, and how it is loaded or reached."""

    model: str = Field(
        default="current", min_length=1, description="Version, folder, hub id (owner/name) or openai:NAME."
    )
    base_url: Address | None = Field(
        default=None,
        description="Address of the server of an openai: model; else that of OPENAI_BASE_URL.",
        examples=["http://localhost:8000/v1"],
    )
    api_key: str | None = Field(
        default=None,
        min_length=1,
        repr=False,
        description="Key for that server; else that of OPENAI_API_KEY.",
        examples=["sk-…"],
    )
    window: int | None = Field(
        default=None,
        ge=256,
        description="Tokens the model can see at once; by default what it says itself.",
        examples=[8192],
    )
    device: str = Field(
        default="auto",
        pattern=r"^[a-z]+(:\d+)?$",
        description="Where a local model runs: auto, cpu, cuda, cuda:1, mps.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Number format of a local model's weights; auto takes what pays here."
    )
    trust_remote_code: bool = Field(
        default=False, description="Run Python code that comes with a model. It can do whatever you can."
    )


class Tooling(Settings):
    """Tools and what they may do."""

    tools: tuple[str, ...] = Field(default=(), description="Python files of your own tools.")
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(
        default=(), description="Hosts that the web tools may reach, like example.org or *.example.org."
    )
    program_hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = Field(
        default=(),
        description="Hosts that programs in the sandbox may reach, by a proxy; they then use the network, "
        "which asks.",
    )
    sandbox: Literal["auto", "bubblewrap", "landlock", "off"] = Field(
        default="auto",
        description="Programs run in the first sandbox that works here, or in the one named, or not at all; "
        "off runs them with your rights.",
    )


class Remembering(Settings):
    """Long-term memory."""

    memory: bool = Field(default=True, description="Use long-term memory.")
    memory_url: Address | None = Field(
        default=None,
        description="Address of a Chroma server; by default a folder in the project's home.",
        examples=["http://localhost:8001"],
    )
    memory_embedder: str | None = Field(
        default=None,
        min_length=1,
        description="Folder of a sentence-transformers model; by default our own.",
        examples=["/models/all-MiniLM-L6-v2"],
    )


class Surroundings(Settings):
    """Profile, prompts, checks and the suite of the gate."""

    profile: str | None = Field(
        default=None,
        pattern=r"^\w[\w.-]*$",
        description="Profile to use: profiles/NAME.toml.",
        examples=["research"],
    )
    prompts: str | None = Field(
        default=None,
        min_length=1,
        description="Folder of your own prompts; by default prompts/ in the project's home.",
        examples=["prompts"],
    )
    check_timeout: float = Field(default=60.0, gt=0, description="Longest time of a --check, in seconds.")
    gate_suite: str = Field(
        default="builtin",
        min_length=1,
        description="Suite whose held-out goals decide whether a newly trained model is used: your own as a "
        "TOML file, or builtin.",
        examples=["suite.toml"],
    )


class Permissions(Settings):
    """Rules by tool and arguments, like run_shell(git *): those of all files add up; deny wins, then ask."""

    allow: Rules = Field(default=(), description="Calls that need no question, like run_shell(git *).")
    ask: Rules = Field(default=(), description="Calls that need your consent, like write_file(reports/**).")
    deny: Rules = Field(
        default=(), description="Calls that are never made, like delete_file; --yes does not lift it."
    )


GROUPS: tuple[type[Settings], ...] = (
    ModelChoice,
    Sampling,
    Limits,
    Conduct,
    Tooling,
    Safety,
    Remembering,
    Surroundings,
)


class Config(ModelChoice, Sampling, Limits, Conduct, Tooling, Safety, Remembering, Surroundings):
    """Everything that ``config.toml``, profiles and ``AUTOAGENT_*`` may set."""

    permissions: Permissions = Permissions()


def _fields() -> Iterator[tuple[str, str]]:
    for group in GROUPS:
        for name, field in group.model_fields.items():
            yield name, field.description or ""
    for name, field in Permissions.model_fields.items():
        yield f"permissions.{name}", field.description or ""


FIELDS: Mapping[str, str] = dict(_fields())
"""Every setting by dotted name, with its description."""


def value_of(config: Config, name: str) -> Any:
    """The value of a setting by its dotted name."""
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def check(source: str, values: Mapping[str, Any]) -> Config:
    """The settings that one source makes.

    Raises:
        ConfigError: it sets an unknown key or an impossible value; names the source and the key.
    """
    for key in values:
        if key not in Config.model_fields:
            raise ConfigError(unknown(source, key, [*Config.model_fields]))
    try:
        return Config.model_validate(values)
    except ValidationError as failure:
        first = failure.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(unknown(source, key, [*FIELDS])) from None
        shown = "(not shown)" if first["loc"][0] in SECRETS else repr(first["input"])
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{source}: {key} = {shown}: {reason[:1].lower()}{reason[1:]}") from None


def unknown(source: str, key: str, known: list[str]) -> str:
    close = get_close_matches(key, known, n=1, cutoff=0.0)
    return f'{source}: unknown setting "{key}": did you mean "{close[0]}"?'


def known_setting(name: str) -> None:
    """Return when there is a setting of that dotted name.

    Raises:
        ConfigError: there is none; names the closest.
    """
    if name not in FIELDS:
        if name == "permissions":
            raise ConfigError("permissions is a table: use permissions.allow, .ask or .deny")
        close = get_close_matches(name, FIELDS, n=1, cutoff=0.0)
        raise ConfigError(f'there is no setting "{name}": did you mean "{close[0]}"?')


def masked(name: str, value: Any) -> Any:
    """The value of a setting as it may be shown: of a secret, only whether there is one."""
    return "***" if name in SECRETS and value is not None else value
