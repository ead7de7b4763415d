"""The steps a plan is made of: plain data, a closed union, each with its cause in words.

A step is an *effect* (it changes something, and may be repeated safely) or a *gate* (it only
looks, until something holds or its time is up). Nothing here executes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from releasekit.observed import PLAIN, Replica, Upstream
from releasekit.release import short


class Phase(IntEnum):
    """Where a failure leaves the users: nothing noticed; the route moves; only the old is left."""

    PREPARE = 1
    SHIFT = 2
    SETTLE = 3


@dataclass(frozen=True, slots=True)
class Pull:
    """Fetch images that are not on the host."""

    phase: ClassVar[Phase] = Phase.PREPARE
    images: tuple[str, ...]
    cause: str

    def __str__(self) -> str:
        return " ".join(self.images)


@dataclass(frozen=True, slots=True)
class EnsureBacking:
    """Start backing services that are not running; those that run are left alone."""

    phase: ClassVar[Phase] = Phase.PREPARE
    services: tuple[str, ...]
    cause: str

    def __str__(self) -> str:
        return " ".join(self.services)


@dataclass(frozen=True, slots=True)
class RunOnce:
    """Run what a release wants run once before it starts, such as its migration, to its end.

    It is a fence: one that began and did not end needs a person. `hook` names the setting; what
    it runs is in the release, and shown nowhere.
    """

    phase: ClassVar[Phase] = Phase.PREPARE
    release: str
    service: str
    hook: str
    deadline_s: float
    cause: str

    def __str__(self) -> str:
        return f"{self.hook} in {self.service} of {short(self.release)}"


@dataclass(frozen=True, slots=True)
class Start:
    """Start a release's app services in one slot, so many replicas of each.

    What runs there already goes on; a stopped container of the same release is started again.
    """

    release: str
    slot: str
    replicas: tuple[tuple[str, int], ...]
    """(service, number of replicas) pairs."""
    cause: str
    phase: Phase = Phase.PREPARE

    def __str__(self) -> str:
        services = " ".join(f"{service} x{count}" for service, count in self.replicas)
        return f"{services} of {short(self.release)}" + (f" in {self.slot}" if self.slot else "")


@dataclass(frozen=True, slots=True)
class Announce:
    """Have nginx resolve the names of replicas that are to get traffic soon.

    An nginx that looks names up while it runs knows a new one only some milliseconds after a
    reload, and answers 502 until then; a name that the configuration before held is known at
    once (`preresolve` in ngx_http_upstream_zone_module.c).
    """

    phase: ClassVar[Phase] = Phase.PREPARE
    upstreams: tuple[Upstream, ...]
    cause: str

    def __str__(self) -> str:
        waiting = " ".join(sorted(name for u in self.upstreams for name in u.standby))
        shown = " ".join(sorted(name for u in self.upstreams for name in u.preview))
        return "; ".join(filter(None, (waiting, shown and f"on preview: {shown}"))) or "no others"


@dataclass(frozen=True, slots=True)
class AwaitHealthy:
    """Wait until every replica is healthy at its own address."""

    release: str
    replicas: tuple[tuple[str, str], ...]
    """(service, replica) pairs."""
    deadline_s: float
    cause: str
    phase: Phase = Phase.PREPARE

    def __str__(self) -> str:
        return " ".join(name for _, name in self.replicas)


@dataclass(frozen=True, slots=True)
class Route:
    """Give nginx this route: written, tested, loaded. Starts nginx when it does not run."""

    phase: ClassVar[Phase] = Phase.SHIFT
    upstreams: tuple[Upstream, ...]
    cause: str

    def __str__(self) -> str:
        return _arrows(self.upstreams)


@dataclass(frozen=True, slots=True)
class ConfirmRoute:
    """Ask the running nginx until it serves this route and no worker of the old one accepts."""

    phase: ClassVar[Phase] = Phase.SHIFT
    upstreams: tuple[Upstream, ...]
    cause: str

    def __str__(self) -> str:
        return _arrows(self.upstreams)


@dataclass(frozen=True, slots=True)
class Watch:
    """Let time pass while these replicas serve; fails when one of them is no longer healthy.

    What they replace has to run on meanwhile. Without replicas it is a mere pause. `beside` are
    replicas of the `previous` release that run on: they tell when something is wrong that is not
    the new one's fault. It is `resumed` when users were led to its release before the plan.
    """

    phase: ClassVar[Phase] = Phase.SHIFT
    release: str
    replicas: tuple[tuple[str, str], ...]
    """(service, replica) pairs."""
    seconds: float
    cause: str
    previous: str = ""
    beside: tuple[tuple[str, str], ...] = ()
    """(service, replica) pairs."""
    resumed: bool = False

    def __str__(self) -> str:
        names = " ".join(name for _, name in self.replicas)
        beside = " ".join(name for _, name in self.beside)
        beside = f" beside {beside}" if beside else ""
        return f"{names} for {self.seconds:g} s{beside}" if names else f"{self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class MarkCurrent:
    """The commit point: from here on this release is what the project runs."""

    phase: ClassVar[Phase] = Phase.SETTLE
    release: str
    cause: str

    def __str__(self) -> str:
        return short(self.release)


@dataclass(frozen=True, slots=True)
class Drain:
    """Let nginx's old workers finish their requests, at most so long."""

    limit_s: float
    cause: str
    phase: Phase = Phase.SETTLE

    def __str__(self) -> str:
        return f"at most {self.limit_s:g} s"


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop these containers, by id. `phase` says for what: make room, or let the old go."""

    replicas: tuple[Replica, ...]
    cause: str
    phase: Phase = Phase.SETTLE

    def __str__(self) -> str:
        return _named(self.replicas)


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove these stopped containers, by id."""

    replicas: tuple[Replica, ...]
    cause: str
    phase: Phase = Phase.SETTLE

    def __str__(self) -> str:
        return _named(self.replicas)


Step = (
    Pull
    | EnsureBacking
    | RunOnce
    | Start
    | Announce
    | AwaitHealthy
    | Route
    | ConfirmRoute
    | Watch
    | MarkCurrent
    | Drain
    | Stop
    | Remove
)


GATES = (AwaitHealthy, ConfirmRoute, Watch, Drain)
"""The steps that only look."""


def replica_names(project: str, slot: str, service: str, count: int) -> tuple[str, ...]:
    """The container names that compose gives `count` replicas of `service` in `slot`."""
    stem = f"{project}-{service}" if slot == PLAIN else f"{project}-releases-{service}-{slot}"
    return tuple(f"{stem}-{n}" for n in range(1, count + 1))


def _arrows(upstreams: Iterable[Upstream]) -> str:
    return "; ".join(f"{u.service} -> {_shared(u)}" for u in upstreams)


def _shared(upstream: Upstream) -> str:
    if not upstream.weights:
        return ",".join(upstream.replicas) or "nobody"
    pairs = zip(upstream.replicas, upstream.weights, strict=False)
    return ",".join(f"{name}*{weight}" for name, weight in pairs)


def _named(replicas: Iterable[Replica]) -> str:
    return " ".join(replica.name for replica in replicas)
