"""releasekit: repeatable, observable, reversible releases of a compose project on a single VM."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from releasekit.errors import (
        Interrupted,
        Locked,
        NeedsPerson,
        ReleaseFailed,
        ReleasekitError,
        SettingsError,
        UsageError,
    )
    from releasekit.outcome import HistoryEntry, Outcome, Status
    from releasekit.plan import Plan
    from releasekit.project import Project
    from releasekit.release import Release
    from releasekit.strategies.base import Options, Strategy

__all__ = [
    "HistoryEntry",
    "Interrupted",
    "Locked",
    "NeedsPerson",
    "Options",
    "Outcome",
    "Plan",
    "Project",
    "Release",
    "ReleaseFailed",
    "ReleasekitError",
    "SettingsError",
    "Status",
    "Strategy",
    "UsageError",
]

_HOMES = {
    "errors": (
        "Interrupted",
        "Locked",
        "NeedsPerson",
        "ReleaseFailed",
        "ReleasekitError",
        "SettingsError",
        "UsageError",
    ),
    "outcome": ("HistoryEntry", "Outcome", "Status"),
    "plan": ("Plan",),
    "project": ("Project",),
    "release": ("Release",),
    "strategies.base": ("Options", "Strategy"),
}
"""The module of each public name. They are imported when they are asked for (PEP 562): the command
line imports this package for its help too, which must not wait for what a release needs."""


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"releasekit.{home}"), name)
    raise AttributeError(f"module 'releasekit' has no attribute {name!r}")
