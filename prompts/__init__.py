"""Prompts are files: ``*.j2`` beside this module, rendered by one class, strict about missing values.

What a run says is looked up in three places: the project's own files (``.autoagent/prompts/``), the set the
model was trained with (in its ``autoagent.json``), and the files here, which fit any model.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jinja2
import jinja2.sandbox

from autoagent.errors import UsageError
from autoagent.prompts.samples import SAMPLES

FOLDER = Path(__file__).resolve().parent
ABOUT = "autoagent.json"  # in a model's folder: {"prompts": {name: text}, "habits": {…}}
NAMES = tuple(sorted(file.stem for file in FOLDER.glob("*.j2")))

Layer = Literal["project", "model", "default"]


@dataclass(frozen=True)
class Prompts:
    """The prompt set of a run.

    Args:
        own: Texts by name that the model was trained with.
        overrides: The project's folder of ``NAME.j2`` files; each takes the place of one prompt.
    """

    own: Mapping[str, str] = field(default_factory=dict)
    overrides: Path | None = None

    def render(self, name: str, **values: Any) -> str:
        """Render the prompt ``name``. A missing value is an error, never an empty text.

        Raises:
            UsageError: a text of the project or the model is no template, or asks for what is not given.
        """
        try:
            return self._environment.get_template(name).render(values).strip("\n")
        except Exception as error:  # a template can raise anything
            if self.layer(name) == "default":
                raise
            place = f"prompt {self.where(name)}{_line_of(error, name)}"
            raise UsageError(f"{place}: {_what(error, values)}") from error

    def layer(self, name: str) -> Layer:
        """Who provides this prompt."""
        if self.overrides is not None and (self.overrides / f"{name}.j2").is_file():
            return "project"
        return "model" if name in self.own else "default"

    def where(self, name: str) -> str:
        """The place of a prompt's text, for people."""
        layer = self.layer(name)
        if layer == "project":
            assert self.overrides is not None  # or it had no layer of its own
            return str(self.overrides / f"{name}.j2")
        return f"{name} in the model's {ABOUT}" if layer == "model" else str(FOLDER / f"{name}.j2")

    def text(self, name: str) -> str:
        """The template as it stands, not rendered.

        Raises:
            UsageError: there is no such prompt, or its file cannot be read.
        """
        if name not in NAMES:
            raise UsageError(f"there is no prompt {name!r}; there are {', '.join(NAMES)}")
        loader = self._environment.loader
        assert loader is not None  # made below, always with one
        try:
            return loader.get_source(self._environment, name)[0]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"prompt {self.where(name)} cannot be read: {error}") from None

    def check(self) -> None:
        """Try out, with example values, what the project or the model puts in place of the defaults.

        Raises:
            UsageError: a text is no template, or asks for what is not given; found before the run needs it.
        """
        for name in NAMES:
            if self.layer(name) != "default":
                self.render(name, **SAMPLES[name])

    def beneath(self) -> Prompts:
        """The same set without the project's overrides."""
        return Prompts(own=self.own)

    @functools.cached_property
    def _environment(self) -> jinja2.Environment:
        loaders: list[jinja2.BaseLoader] = [jinja2.DictLoader(dict(self.own)), _Files(FOLDER)]
        if self.overrides is not None:
            loaders.insert(0, _Files(self.overrides))
        # In a sandbox: a model's prompts come with its download.
        return jinja2.sandbox.ImmutableSandboxedEnvironment(
            loader=jinja2.ChoiceLoader(loaders),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # the output is read by a model, not by a browser
            trim_blocks=True,
            lstrip_blocks=True,
        )


def _line_of(error: Exception, name: str) -> str:
    """`` line 3``, where the error says in which line of the template it is."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f", line {error.lineno}"
    ours = (f"{name}.j2", "<unknown>", "<template>")  # the latter two: texts of a model
    frames = traceback.extract_tb(error.__traceback__)
    return next((f", line {frame.lineno}" for frame in frames if frame.filename.endswith(ours)), "")


def _what(error: Exception, values: Mapping[str, Any]) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, jinja2.UndefinedError):
        return f"{error}; this prompt is given {', '.join(sorted(values)) or 'no values'}"
    return str(error) if isinstance(error, jinja2.TemplateError) else f"{type(error).__name__}: {error}"


class _Files(jinja2.FileSystemLoader):
    """``NAME.j2`` in a folder, by NAME."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, encoding="utf-8")

    def get_source(self, environment: jinja2.Environment, template: str) -> Any:
        return super().get_source(environment, f"{template}.j2")


def warnings_of(prompts: Prompts) -> list[str]:
    """What a user should know of a prompt set before a run, a line each: mostly nothing.

    That is: an override of a prompt the model was trained with, and files that override nothing.
    """
    lines = []
    if replaced := [name for name in NAMES if name in prompts.own and _differs(prompts, name)]:
        names = ", ".join(replaced)
        lines.append(
            f"{prompts.overrides} overrides prompts that this model was trained with ({names}):"
            " it may do worse; `autoagent prompts diff` shows the difference"
        )
    for file in strays(prompts):
        close = difflib.get_close_matches(file.stem, NAMES, n=1, cutoff=0.5)
        meant = f"did you mean {close[0]}.j2?" if close else "`autoagent prompts list` shows which there are"
        lines.append(f"{file} is no prompt and has no effect: {meant}")
    return lines


def _differs(prompts: Prompts, name: str) -> bool:
    return prompts.text(name).strip("\n") != prompts.beneath().text(name).strip("\n")


def strays(prompts: Prompts) -> list[Path]:
    """Files in the project's folder of prompts that override none: misspelt, or with another ending."""
    folder = prompts.overrides
    if folder is None or not folder.is_dir():
        return []
    files = sorted(file for file in folder.iterdir() if not file.name.startswith(".") and file.is_file())
    return [file for file in files if file.suffix != ".j2" or file.stem not in NAMES]


def prompts_of(model: Path | None, overrides: Path | None = None) -> Prompts:
    """The prompt set of the model in a folder; None or a folder that says nothing: the one for any model.

    Raises:
        UsageError: the folder's ``autoagent.json`` is damaged.
    """
    return Prompts(own=about(model).get("prompts", {}), overrides=overrides)


def about(model: Path | None) -> dict[str, Any]:
    """What a model's folder says about how it was trained, ``{}`` where it says nothing.

    Raises:
        UsageError: the file is damaged.
    """
    file = None if model is None else model / ABOUT
    if file is None or not file.is_file():
        return {}
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read as JSON: {error}") from None
    texts = said.get("prompts", {}) if isinstance(said, dict) else None
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise UsageError(f'{file}: it must hold {{"prompts": {{name: text}}, "habits": {{…}}}}')
    return dict(said)


def prompt_hash(model: Path | None = None) -> str:
    """Hash of the prompt set that a model brings with it, or else of the one here; 16 hex digits.

    A version is trained with one prompt set and pins it. What a project overrides does not count.
    """
    own = prompts_of(model).own
    texts = own or {name: (FOLDER / f"{name}.j2").read_text(encoding="utf-8") for name in NAMES}
    digest = hashlib.sha256()
    for name in sorted(texts):
        digest.update(f"{name}.j2".encode() + b"\0" + texts[name].encode() + b"\0")
    return digest.hexdigest()[:16]
