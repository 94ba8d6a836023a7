"""Everything with files: find, read, write, edit, move, collect."""

from __future__ import annotations

from autoagent.nano.families import finding, moving, reading, templates, values, writing
from autoagent.nano.families.base import Kind

FAMILIES: dict[str, Kind] = {
    **finding.FAMILIES,
    **reading.FAMILIES,
    **values.FAMILIES,
    **writing.FAMILIES,
    **moving.FAMILIES,
    **templates.FAMILIES,
}
