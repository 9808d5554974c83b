"""Everything an operator may set: a TOML file, environment variables over it, mounted secrets.

`model` holds the keys, their types and defaults; `rules` what one value says about another; `source` and `environment`
bring the values together; `problems` tells a person what is wrong, all of it at once. Only `app` and `cli` see
settings: everyone else gets its slice, as values of `core` or of the adapter it is for.
"""

from worker.settings.model import (
    DataverseSettings,
    FlowSettings,
    HttpSettings,
    IdentitySettings,
    RouteSettings,
    ServiceBusSettings,
    Settings,
    WorkerSettings,
)
from worker.settings.problems import Problem, SettingsInvalid
from worker.settings.source import load, mounted_url

__all__ = [
    "DataverseSettings",
    "FlowSettings",
    "HttpSettings",
    "IdentitySettings",
    "Problem",
    "RouteSettings",
    "ServiceBusSettings",
    "Settings",
    "SettingsInvalid",
    "WorkerSettings",
    "load",
    "mounted_url",
]
