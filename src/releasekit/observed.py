"""What there is: a frozen snapshot of containers and of what nginx has loaded.

Containers and nginx are the truth; the files that releasekit writes are only records.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

PLAIN = ""
"""The slot of a container that runs under the project's own name, as plain compose starts it."""

SLOTS = ("blue", "green")


class Health(StrEnum):
    """Docker's own health check of a container; NONE when it has none."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True, order=True)
class Replica:
    """One container of one app service of one release.

    `name` is the container's name: unique on the host, and what a route speaks of. `release` is
    a release's id, or "" when nothing tells it.
    """

    service: str
    slot: str
    name: str
    release: str
    id: str
    image: str = ""
    running: bool = True
    health: Health = Health.NONE


@dataclass(frozen=True, slots=True, order=True)
class Backing:
    """One container of a backing service."""

    service: str
    id: str
    running: bool = True


@dataclass(frozen=True, slots=True)
class Upstream:
    """The replicas, by container name, that share one service's traffic.

    `standby` replicas get none: nginx only keeps their addresses resolved. `preview` replicas get
    only the requests that carry the route's secret. `weights` are whole numbers from 1, one for
    each of `replicas`: their shares of the traffic; none means equal shares.
    """

    service: str
    replicas: tuple[str, ...]
    standby: tuple[str, ...] = ()
    preview: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()

    def shares(self) -> frozenset[tuple[str, int]]:
        """(replica, weight) pairs: what its users get, in whatever order it is written."""
        weights = self.weights or (1,) * len(self.replicas)
        return frozenset(zip(self.replicas, weights, strict=True))

    def without(self, names: Collection[str]) -> Upstream:
        """The upstream as if these replicas got no traffic by it."""
        kept = [number for number, name in enumerate(self.replicas) if name not in names]
        return replace(
            self,
            replicas=tuple(self.replicas[number] for number in kept),
            weights=tuple(self.weights[number] for number in kept) if self.weights else (),
        )


@dataclass(frozen=True, slots=True)
class Route:
    """What nginx serves, per service. `generation` tells one written route from the next; `secret`
    leads to the replicas on preview, "" when there are none."""

    upstreams: tuple[Upstream, ...] = ()
    generation: str = ""
    secret: str = ""

    def replicas(self, service: str) -> tuple[str, ...]:
        """The replicas that get `service`'s traffic; empty when it has no upstream."""
        return next((u.replicas for u in self.upstreams if u.service == service), ())

    @property
    def names(self) -> frozenset[str]:
        """Every replica that gets traffic."""
        return frozenset(name for u in self.upstreams for name in u.replicas)

    @property
    def resolved(self) -> frozenset[str]:
        """Every replica whose address nginx knows, with traffic or without."""
        return self.names | {n for u in self.upstreams for n in (*u.standby, *u.preview)}

    def without(self, names: Collection[str]) -> Route:
        """The route as if these replicas got no traffic by it."""
        return replace(self, upstreams=tuple(u.without(names) for u in self.upstreams))

    def only(self, services: Collection[str]) -> Route:
        """The part of it that leads to these services."""
        return replace(self, upstreams=tuple(u for u in self.upstreams if u.service in services))


@dataclass(frozen=True, slots=True)
class Nginx:
    """The nginx in front. `loaded` is the route of the running process, None when it does not say.

    `resolves` tells whether this version looks a server's name up again while it runs
    (`server … resolve`, since 1.27.3); `keeps_idle` whether it can spare idle keep-alive clients
    in a reload (`keepalive_min_timeout`, since 1.27.4). `edited` tells what somebody did to the
    managed file by hand, "" when it is as it was written.
    """

    version: tuple[int, ...]
    running: bool = False
    loaded: Route | None = None
    draining: bool = False
    edited: str = ""

    @property
    def resolves(self) -> bool:
        return self.version >= (1, 27, 3)

    @property
    def keeps_idle(self) -> bool:
        return self.version >= (1, 27, 4)


@dataclass(frozen=True, slots=True)
class Observed:
    """The host's state at one moment, as far as this project goes."""

    project: str
    replicas: tuple[Replica, ...] = ()
    backing: tuple[Backing, ...] = ()
    nginx: Nginx | None = None
    current: str = ""
    """The id of the release that was last committed to, as recorded; "" when there is none."""
    committed: frozenset[str] = frozenset()
    """The ids of all releases that were ever committed to: the others are leftovers of failures."""
    held: str = ""
    """The id of the release that is held before its cutover, as recorded; "" when there is none."""
    migrated: frozenset[str] = frozenset()
    """The ids of the releases whose migration ended well, as recorded."""

    def only(self, services: Collection[str]) -> Observed:
        """What there is of these services, as if there were no others."""
        nginx = self.nginx
        if nginx is not None and nginx.loaded is not None:
            nginx = replace(nginx, loaded=nginx.loaded.only(services))
        mine = tuple(replica for replica in self.replicas if replica.service in services)
        return replace(self, replicas=mine, nginx=nginx)

    @property
    def route(self) -> Route:
        """What nginx serves; empty when it serves nothing of ours."""
        if self.nginx is None or self.nginx.loaded is None:
            return Route()
        return self.nginx.loaded

    def routed(self) -> tuple[Replica, ...]:
        """The replicas that get traffic."""
        names = self.route.names
        return tuple(replica for replica in self.replicas if replica.name in names)

    @property
    def services(self) -> frozenset[str]:
        """The app services that there is anything of."""
        routed = {upstream.service for upstream in self.route.upstreams}
        return frozenset({replica.service for replica in self.replicas} | routed)

    @property
    def serves(self) -> bool:
        """Whether anybody gets an answer by a route of ours."""
        return any(replica.running for replica in self.routed())

    def of(self, release: str) -> tuple[Replica, ...]:
        return tuple(r for r in self.replicas if r.release == release)

    def fingerprint(self) -> str:
        """A hash of what a plan rests on: containers, slots and route, not momentary health."""
        facts = (
            sorted((r.name, r.id, r.release, r.running) for r in self.replicas),
            sorted((b.service, b.id, b.running) for b in self.backing),
            self.route,
            self.current,
        )
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
