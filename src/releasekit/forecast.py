"""What a release would do, as people and as programs read it: the plan, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from releasekit.compose.changes import Difference, ServiceChanges
from releasekit.plan import Plan

Estimate = Literal["limit", "in use", "unknown"]
BackingState = Literal["as it is", "differs", "starts", "starts as it was"]


@dataclass(frozen=True, slots=True)
class ServiceForecast:
    """What becomes of an app service. `before` are the ids of the releases that serve now ("" is
    one that nobody knows), `after` is "" when the release has no such service."""

    service: str
    before: tuple[str, ...]
    after: str
    strategy: str
    replicas: tuple[int, int]
    """How many serve before and after."""
    health: str = ""
    """How a replica counts as healthy, in words."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Those of its strategy's options that are not as by default."""


@dataclass(frozen=True, slots=True)
class MemoryShare:
    """What a service needs while more of its replicas run than now: `replicas` more, `each` so
    many bytes; None when nobody knows."""

    service: str
    replicas: int
    each: int | None
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Memory:
    """What has to run beside what runs now, when most of it does, against what the host has left.
    None where the host does not tell."""

    shares: tuple[MemoryShare, ...]
    available: int | None

    @property
    def needed(self) -> int:
        """In bytes, without what nobody knows."""
        return sum(share.replicas * (share.each or 0) for share in self.shares)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The services of which nobody knows what they need."""
        return tuple(share.service for share in self.shares if share.each is None)

    @property
    def fits(self) -> bool | None:
        """None when nobody can tell."""
        if self.available is None:
            return None
        if self.needed > self.available:
            return False
        return None if self.unknown else True


@dataclass(frozen=True, slots=True)
class BackingForecast:
    """What becomes of a backing service: it is left alone, with a configuration that may differ
    from what it was started with, or started (a container that is there, as it was created)."""

    service: str
    state: BackingState


@dataclass(frozen=True, slots=True)
class Forecast:
    """What `up` would do. Nothing in it is a value of the environment or of the compose files."""

    project: str
    plan: Plan
    current: str = ""
    """The id of the release that runs now; "" before the first."""
    is_adopted: bool = False
    """Whether plain compose started that: with what, nobody knows."""
    subjects: Mapping[str, str] = field(default_factory=dict)
    """The subjects of the commits, by release id."""
    services: tuple[ServiceForecast, ...] = ()
    changes: tuple[ServiceChanges, ...] | None = None
    """How this release's services differ from the current one's; None when that is not known."""
    route: str = ""
    """nginx's file now against the file after the plan, as a unified diff; "" when it stays."""
    memory: Memory = Memory((), None)
    backing: tuple[BackingForecast, ...] = ()
    edited: str = ""
    """What somebody did to nginx's file by hand, which `up` stops at; "" for nothing."""
    stay_down: tuple[str, ...] = ()
    """The services that nothing starts again after a reboot."""
    pulls: tuple[str, ...] = ()
    """The images that `up` would fetch first."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.plan.is_empty

    def render(self) -> str:
        """All of it as text; the plan's own text is a part of it, line for line."""
        from releasekit.forecast_text import sections

        return "\n\n".join("\n".join(lines) for lines in sections(self).values())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`; its keys are a promise."""
        return {
            "plan": self.plan.to_dict(),
            "project": self.project,
            "current": self.current,
            "adopted": self.is_adopted,
            "subjects": dict(self.subjects),
            "services": [_service(service) for service in self.services],
            "changes": None
            if self.changes is None
            else [_changes(change) for change in self.changes],
            "route": self.route,
            "memory": _memory(self.memory),
            "backing": [{"service": b.service, "state": b.state} for b in self.backing],
            "edited": self.edited,
            "stay_down": list(self.stay_down),
            "pulls": list(self.pulls),
        }


def _service(service: ServiceForecast) -> dict[str, Any]:
    before, after = service.replicas
    return {
        "service": service.service,
        "from": list(service.before),
        "to": service.after,
        "strategy": service.strategy,
        "options": dict(service.options),
        "replicas": {"before": before, "after": after},
        "health": service.health,
    }


def _changes(changes: ServiceChanges) -> dict[str, Any]:
    return {
        "service": changes.service,
        "image": changes.image,
        "environment": _difference(changes.environment),
        "config": _difference(changes.config),
        "settings": _difference(changes.settings),
        "files": _difference(changes.files),
    }


def _difference(difference: Difference) -> dict[str, list[str]]:
    return {
        "added": list(difference.added),
        "changed": list(difference.changed),
        "gone": list(difference.gone),
    }


def _memory(memory: Memory) -> dict[str, Any]:
    return {
        "needed_bytes": memory.needed,
        "available_bytes": memory.available,
        "fits": memory.fits,
        "services": [
            {
                "service": share.service,
                "replicas": share.replicas,
                "each_bytes": share.each,
                "estimate": share.estimate,
            }
            for share in memory.shares
        ],
    }
