"""What a plan leads to: one release's app services, as far as a strategy needs to know them."""

from __future__ import annotations

from dataclasses import dataclass

from releasekit.observed import PLAIN, Upstream
from releasekit.steps import replica_names


@dataclass(frozen=True, slots=True)
class Service:
    """An app service. `port` is None when nginx sends it nothing (a worker, a scheduler).

    `container_name` is the one that the compose file gives its container; a slot has none.
    """

    name: str
    replicas: int = 1
    port: int | None = None
    drain_s: float = 30.0
    health_timeout_s: float = 60.0
    container_name: str = ""


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
            for name in self.replicas(service, slot)
        )

    def replicas(self, service: Service, slot: str) -> tuple[str, ...]:
        """The container names of `service` in `slot`."""
        if slot == PLAIN and service.container_name:
            return (service.container_name,)
        return replica_names(self.project, slot, service.name, service.replicas)

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
