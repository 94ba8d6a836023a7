"""What a model is called on the screen: people know a name, the record a hash."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from autoagent.errors import AutoagentError
from autoagent.models.fingerprint import fingerprint, short_version


def behind(home: Path, name: str) -> str:
    """What ``current`` points to, if anything: it is another one later. Other names stay as they are."""
    from autoagent.models.versions import Versions

    return (Versions(home).pointer() or name) if name == "current" else name


class ModelNames:
    """Finds the names of versions by their hash: ``embedded (d12068ee5028)``, ``v3-1c0ffee5``.

    What has no name here (a folder, a model on a server, a version of another project) stays as it is.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._names: dict[str, str] = {}

    def __call__(self, version: str) -> str:
        """The name, and of the embedded model the hash: it is another one in the next release."""
        if version not in self._names:
            with suppress(AutoagentError, OSError):
                self._names |= self._found()
        name, short = self._names.setdefault(version, ""), short_version(version)  # asked once, found or not
        return f"{name} ({short})" if name.isalpha() else name or short

    def short(self, version: str) -> str:
        """The name alone, where there is little room."""
        return self(version).partition(" (")[0]

    def _found(self) -> dict[str, str]:
        from autoagent.models.versions import EMBEDDED, WEIGHTS, Versions
        from autoagent.prompts import prompt_hash

        names = {each.hash: each.name for each in Versions(self._home).list()}
        if WEIGHTS.is_dir():
            names[fingerprint(WEIGHTS, prompts=prompt_hash(WEIGHTS))] = EMBEDDED
        return names
