"""Settings: what there is to set (``fields``), and what was set, where (``loading``)."""

from autoagent.settings.fields import (
    FIELDS,
    GROUPS,
    SECRETS,
    Config,
    Permissions,
    check,
    known_setting,
    masked,
    value_of,
)
from autoagent.settings.loading import (
    PREFIX,
    Loaded,
    find_profile,
    load_config,
    load_settings,
    profiles,
    read_toml,
    with_flags,
)

__all__ = [
    "FIELDS",
    "GROUPS",
    "PREFIX",
    "SECRETS",
    "Config",
    "Loaded",
    "Permissions",
    "check",
    "find_profile",
    "known_setting",
    "load_config",
    "load_settings",
    "masked",
    "profiles",
    "read_toml",
    "value_of",
    "with_flags",
]
