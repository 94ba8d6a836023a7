"""Where a project keeps its records, versions and settings. What the settings say: ``settings.py``."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import platformdirs

from autoagent.errors import StoreError, UsageError

FOLDER = ".autoagent"
FILE = "config.toml"
PROFILES = "profiles"
PROMPTS = "prompts"
ASIDE = "aside"  # what a repair or a restore has taken out of its place
CONTENTS = (  # of a home
    FILE, PROFILES, PROMPTS, "runs.db", "runs.db-wal", "runs.db-shm", "snapshots", "observations", "locks",
    "models", "training", "evolve", "memory", "chat_history", "last_error.txt", ASIDE,
)  # fmt: skip


def expanded(path: Path | str) -> Path:
    """The path with a leading ``~`` or ``~user`` written out.

    Raises:
        UsageError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{path}: there is no such user: write the folder's whole name") from None


def project_home(start: Path | None = None) -> Path:
    """The folder for records, versions and settings; it may not exist yet (see :func:`ensure_home`).

    ``AUTOAGENT_HOME`` if set; else the nearest ``.autoagent`` folder from ``start`` (default: the current
    folder) upwards; else ``start/.autoagent``. The search ends before the user's home folder, so that one
    stray ``~/.autoagent`` does not swallow every project below it.
    """
    if chosen := os.environ.get("AUTOAGENT_HOME"):
        return expanded(chosen).absolute()
    here = (start or Path.cwd()).absolute()
    return nearest_home(here) or here / FOLDER


def nearest_home(start: Path) -> Path | None:
    """The nearest ``.autoagent`` folder from ``start`` upwards, as :func:`project_home` looks for it."""
    for folder in (start, *start.parents):
        if str(folder) == os.path.expanduser("~") and folder != start:
            break
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    return None


def ensure_home(home: Path) -> Path:
    """Create ``home`` and, inside it, the ``.gitignore`` that keeps it out of version control.

    A folder that was there before and has another name (``AUTOAGENT_HOME=.``) gets no ``.gitignore``: it may
    hold the user's own files.

    Raises:
        StoreError: the folder cannot be created or written.
    """
    ours = home.name == FOLDER or not home.exists()
    try:
        home.mkdir(parents=True, exist_ok=True)
        ignore = home / ".gitignore"
        if ours and not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        advice = "choose another place with AUTOAGENT_HOME"
        raise StoreError(f"{home} cannot be written ({reason}): {advice}") from None
    return home


def put_aside(home: Path, why: str) -> Path:
    """A new folder ``aside/WHY-DATE-…`` in ``home``, for what is taken out of its place and not deleted.

    Raises:
        OSError: it cannot be made.
    """
    (home / ASIDE).mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{why}-{time.strftime('%Y%m%d-%H%M%S')}-", dir=home / ASIDE))


def user_folder() -> Path:
    """The user's own settings, for all projects: ``~/.config/autoagent`` on Linux."""
    return platformdirs.user_config_path("autoagent")
