"""``python -m autoagent``: the same as the ``autoagent`` command."""

from __future__ import annotations

import sys

from autoagent.cli import main

if __name__ == "__main__":
    sys.exit(main())
