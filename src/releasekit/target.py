"""What a plan leads to: one release's app services, as far as a strategy needs to know them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from releasekit.observed import PLAIN, Upstream
from releasekit.steps import Start, replica_names


@dataclass(frozen=True, slots=True)
class Service:
    """An app service. `port` is None when nginx sends it nothing (a worker, a scheduler).

    `container_name` is the one that the compose file gives its container; a slot has none.
    `after` names the services of the release that have to be healthy before this one starts.
    Not `overlaps`: the old one has to be gone before a new one starts. `settle_s`: nothing asks
    whether it is healthy, it counts as that once it ran so long without a restart.
    """

    name: str
    replicas: int = 1
    port: int | None = None
    drain_s: float = 30.0
    health_timeout_s: float = 60.0
    container_name: str = ""
    after: tuple[str, ...] = ()
    overlaps: bool = True
    settle_s: float | None = None


@dataclass(frozen=True, slots=True)
class Migration:
    """What runs once before a release's first start, in a container like one of `service`."""

    service: str
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Target:
    """The release that is to run, and the backing services that it needs in dependency order.
    `bake_s`: it is watched for so long before the one before it is let go."""

    project: str
    release: str
    services: tuple[Service, ...]
    backing: tuple[str, ...] = ()
    migration: Migration | None = None
    bake_s: float = 0.0

    def only(self, services: Collection[str]) -> Target:
        """The part of the release that consists of these services."""
        return replace(self, services=tuple(s for s in self.services if s.name in services))

    def waves(self) -> tuple[tuple[Service, ...], ...]:
        """The services in the order in which they start: each wave once the one before it is
        healthy. Services that wait for each other start together."""
        waves: list[tuple[Service, ...]] = []
        left = self.services
        while left:
            waiting = {service.name for service in left}
            ready = tuple(s for s in left if not waiting & {*s.after} - {s.name}) or left
            waves.append(ready)
            left = tuple(service for service in left if service not in ready)
        return tuple(waves)

    def names(self, slot: str) -> tuple[tuple[str, str], ...]:
        """(service, replica) pairs of the whole release in `slot`."""
        return tuple(
            (service.name, name)
            for service in self.services
            for name in self.replicas(service, slot)
        )

    @property
    def asked(self) -> frozenset[str]:
        """The services that nginx sends requests to."""
        return frozenset(service.name for service in self.services if service.port is not None)

    @property
    def silenced(self) -> tuple[str, ...]:
        """Those of them that are scaled to nothing: nobody answers."""
        return tuple(s.name for s in self.services if s.port is not None and s.replicas == 0)

    def replicas(self, service: Service, slot: str) -> tuple[str, ...]:
        """The container names of `service` in `slot`."""
        if slot == PLAIN and service.container_name:
            return (service.container_name,)
        return replica_names(self.project, slot, service.name, service.replicas)

    def started(self, start: Start) -> tuple[tuple[str, str], ...]:
        """(service, replica) pairs of what runs after this step."""
        return tuple(
            (name, replica)
            for name, count in start.replicas
            for replica in self.replicas(replace(self.service(name), replicas=count), start.slot)
        )

    def service(self, name: str) -> Service:
        """The service of that name; one that is not part of the release is taken as it comes."""
        return next((s for s in self.services if s.name == name), Service(name))

    def upstreams(self, slot: str) -> tuple[Upstream, ...]:
        """The route to this release in `slot`."""
        return tuple(
            Upstream(service.name, self.replicas(service, slot))
            for service in self.services
            if service.port is not None
        )

    @property
    def health_timeout_s(self) -> float:
        """The longest that any of the services may take to become healthy."""
        return max((service.health_timeout_s for service in self.services), default=0.0)

    @property
    def drain_s(self) -> float:
        """The longest that any of the services' requests may take to finish."""
        return max((service.drain_s for service in self.services), default=0.0)
