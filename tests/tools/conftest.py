"""A workspace and the built-in tools, called as the loop calls them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoagent.tools import Context, Toolbox, builtin_tools
from autoagent.workspace import Workspace

Use = Callable[..., str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def use(root: Path) -> Use:
    """``use("read_file", path="a.txt")``: what the tool answers in the workspace ``root``."""
    tools, context = Toolbox(builtin_tools()), Context(workspace=Workspace.at(root))

    def call(tool: str, /, **arguments: Any) -> str:
        return tools[tool](arguments, context)

    return call
