"""What a plan leads to: one release's app services, as far as a strategy needs to know them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from releasekit.observed import Upstream
from releasekit.steps import replica_names


@dataclass(frozen=True, slots=True)
class Service:
    """An app service. `port` is None when nginx sends it nothing (a worker, a scheduler)."""

    name: str
    replicas: int = 1
    port: int | None = None
    drain_s: float = 30.0
    health_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """The release that is to run, and the backing services that it needs in dependency order."""

    project: str
    release: str
    services: tuple[Service, ...]
    backing: tuple[str, ...] = ()

    def names(self, slot: str) -> tuple[tuple[str, str], ...]:
        """(service, replica) pairs of the whole release in `slot`."""
        return tuple(
            (service.name, name)
            for service in self.services
            for name in replica_names(self.project, slot, service.name, service.replicas)
        )

    def upstreams(
        self, slot: str, standby: tuple[tuple[str, str], ...] = ()
    ) -> tuple[Upstream, ...]:
        """The route to this release in `slot`; `standby` are (service, replica) pairs."""
        return tuple(
            Upstream(
                service.name,
                replica_names(self.project, slot, service.name, service.replicas),
                tuple(name for owner, name in standby if owner == service.name),
            )
            for service in self.services
            if service.port is not None
        )

    def counts(self, services: Iterable[str]) -> tuple[tuple[str, int], ...]:
        """(service, number of replicas) pairs of these services."""
        wanted = set(services)
        return tuple((s.name, s.replicas) for s in self.services if s.name in wanted)

    @property
    def health_timeout_s(self) -> float:
        """The longest that any of the services may take to become healthy."""
        return max((service.health_timeout_s for service in self.services), default=0.0)

    @property
    def drain_s(self) -> float:
        """The longest that any of the services' requests may take to finish."""
        return max((service.drain_s for service in self.services), default=0.0)
