"""releasekit: repeatable, observable, reversible releases of a compose project on a single VM."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from releasekit.errors import (
        ForeignChange,
        Held,
        Interrupted,
        Locked,
        NeedsPerson,
        ReleaseFailed,
        ReleasekitError,
        SettingsError,
        StrategyError,
        UsageError,
    )
    from releasekit.forecast import Forecast
    from releasekit.observed import Nginx, Observed, Replica, Upstream
    from releasekit.outcome import HistoryEntry, Outcome, Status
    from releasekit.plan import Plan
    from releasekit.project import Project
    from releasekit.release import Release
    from releasekit.strategies.base import Options, Strategy
    from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
    from releasekit.strategies.recreate import Recreate
    from releasekit.strategies.rolling import Rolling, RollingOptions
    from releasekit.target import Service, Target

__all__ = [
    "BlueGreen",
    "BlueGreenOptions",
    "Forecast",
    "ForeignChange",
    "Held",
    "HistoryEntry",
    "Interrupted",
    "Locked",
    "NeedsPerson",
    "Nginx",
    "Observed",
    "Options",
    "Outcome",
    "Plan",
    "Project",
    "Recreate",
    "Release",
    "ReleaseFailed",
    "ReleasekitError",
    "Replica",
    "Rolling",
    "RollingOptions",
    "Service",
    "SettingsError",
    "Status",
    "Strategy",
    "StrategyError",
    "Target",
    "Upstream",
    "UsageError",
]

_HOMES = {
    "errors": (
        "ForeignChange",
        "Held",
        "Interrupted",
        "Locked",
        "NeedsPerson",
        "ReleaseFailed",
        "ReleasekitError",
        "SettingsError",
        "StrategyError",
        "UsageError",
    ),
    "forecast": ("Forecast",),
    "observed": ("Nginx", "Observed", "Replica", "Upstream"),
    "outcome": ("HistoryEntry", "Outcome", "Status"),
    "plan": ("Plan",),
    "project": ("Project",),
    "release": ("Release",),
    "strategies.base": ("Options", "Strategy"),
    "strategies.blue_green": ("BlueGreen", "BlueGreenOptions"),
    "strategies.recreate": ("Recreate",),
    "strategies.rolling": ("Rolling", "RollingOptions"),
    "target": ("Service", "Target"),
}
"""The module of each public name. They are imported when they are asked for (PEP 562): the command
line imports this package for its help too, which must not wait for what a release needs."""


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"releasekit.{home}"), name)
    raise AttributeError(f"module 'releasekit' has no attribute {name!r}")
