"""releasekit: repeatable, observable, reversible releases of a compose project on a single VM."""

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
