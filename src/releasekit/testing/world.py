"""The host in memory: containers, an nginx and its users in one `World`.

It keeps the habits that cost others outages: compose numbers a new replica after the highest and
removes what exceeds the count; a started container is cold for a while and has a new address;
nginx's old workers go on accepting for a moment and finish their requests after that; a name that
nginx did not know is looked up only after the reload, and one that it knew is looked up again
only once its address is stale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from releasekit.observed import Backing, Nginx, Route
from releasekit.steps import replica_names
from releasekit.testing.workers import FOREVER, LOOKUP_S, Lookup, Workers

CALL_S = 0.05
"""What each call that changes or asks something takes."""
LONG_AGO = -1e9

When = Literal["before", "midway", "after"]
What = Literal["starts", "proven", "stops", "exits", "migrates"]


class Killed(BaseException):  # no Exception: nothing may handle it
    """The process is gone, as by `kill -9`: nothing of it runs any more."""


@dataclass(frozen=True, slots=True)
class App:
    """How the containers of a release behave: healthy `warm_up_s` after the start, or never
    ("sick"), or they exit then ("exits"); those that got healthy are sick `sick_after_s` after
    the start."""

    warm_up_s: float = 1.0
    fate: Literal["healthy", "sick", "exits"] = "healthy"
    services: frozenset[str] | None = None
    """The services that share this fate; None: all."""
    sick_after_s: float = FOREVER


GOOD = App()


@dataclass(frozen=True, slots=True)
class Fault:
    """`error` is raised in the step of this number (1 is the first of the run, the way back
    counts on), before its effect, when half of it is done, or after it."""

    step: int
    when: When
    error: Callable[[], BaseException] = Killed


class FakeClock:
    """Time passes only by `sleep`; `changed` is called at each moment that `next_change` names."""

    def __init__(
        self,
        changed: Callable[[], None] = lambda: None,
        next_change: Callable[[], float] = lambda: FOREVER,
    ) -> None:
        self._now = 0.0
        self._changed = changed
        self._next_change = next_change

    def utc(self) -> str:
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._now)).isoformat()

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        ends = self._now + seconds
        while (then := self._next_change()) <= ends:
            self._now = max(self._now, then)
            self._changed()
        self._now = ends


@dataclass
class Container:
    """A container; each start gives it another `address`. `number` is what compose counts by."""

    service: str
    slot: str
    name: str
    release: str
    id: str
    number: int
    running: bool = False
    since: float = 0.0
    address: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """What became of a container: it "starts", is "proven" healthy by a probe, "stops", "exits" by
    itself, or begins as the one that "migrates"."""

    at: float
    what: What
    service: str
    name: str
    release: str


@dataclass
class World:
    """The host: containers, nginx, files and the users, whose lost requests are in `lost`, each
    as "service: why".

    `apps` tells how a release's containers behave. `request_s` is how long a request takes.
    """

    project: str = "shop"
    apps: Mapping[str, App] = field(default_factory=dict)
    request_s: float = 3.0
    nginx: Nginx | None = None
    """`running` and `version` are what counts; what is loaded is known to the workers."""
    faults: tuple[Fault, ...] = ()
    step: int = 0
    is_killed: bool = False
    containers: dict[str, Container] = field(default_factory=dict)
    backing: dict[str, Backing] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    most: Counter[str] = field(default_factory=Counter)
    """The most running replicas of a service that there were at once."""
    history: list[Moment] = field(default_factory=list)
    """What became of containers, in order."""

    def __post_init__(self) -> None:
        self.clock = FakeClock(self.look, self._next_change)
        self.workers: list[Workers] = []
        self._number = 0
        self._next: float | None = None  # None: something has changed since the last look
        self._told = 0

    # What there is

    def put(
        self,
        service: str,
        slot: str,
        number: int,
        release: str,
        *,
        running: bool,
        cold: bool = False,
        prefix: str = "",
    ) -> Container:
        """Place a container as somebody left it: healthy for long, if it ever gets so, or started
        just now. Compose, when it is killed, leaves a name with a `prefix` of 12 hex digits."""
        name = prefix + replica_names(self.project, slot, service, number)[-1]
        container = self.create(service, slot, name, release, number)
        if running:
            self.run(container)
            container.since = self.clock.now() if cold else LONG_AGO
        return container

    def create(
        self, service: str, slot: str, name: str, release: str, number: int = 1
    ) -> Container:
        """A container that does not run yet, instead of any other of this name."""
        if name in self.containers:
            self.delete(self.containers[name])
        self._number += 1
        container = Container(service, slot, name, release, f"c{self._number}", number)
        self.containers[name] = container
        return container

    def run(self, container: Container) -> None:
        self._number += 1
        container.running, container.since = True, self.clock.now()
        container.address = self._number
        self.note("starts", container)
        self._count()

    def halt(self, container: Container, what: What = "stops") -> None:
        if container.running:
            container.running = False
            self.note(what, container)

    def delete(self, container: Container) -> None:
        self.halt(container)
        del self.containers[container.name]

    def note(self, what: What, c: Container) -> None:
        """Write down what became of a container."""
        self.history.append(Moment(self.clock.now(), what, c.service, c.name, c.release))
        if what != "proven":
            self._next = None

    def migrate(self, service: str, release: str) -> None:
        """Run the release's migration, in a container like one of this service."""
        self.history.append(Moment(self.clock.now(), "migrates", service, "", release))

    def forget(self) -> None:
        """Begin the record anew: what was lost, the most there were, the history."""
        self.lost.clear()
        self.history.clear()
        self.most.clear()
        self._count()

    def _count(self) -> None:
        self.most |= Counter(container.service for container in self._running)

    def serve(self, route: Route, *, is_ours: bool = True) -> None:
        """Have nginx run with this route loaded, as somebody left it.

        Not `is_ours`: it comes from the team's own files, with the addresses of when it started.
        """
        nginx, now = self._required_nginx(), self.clock.now()
        self.nginx = Nginx(nginx.version, running=True)
        lookups = {name: Lookup.of(self.address(name), now) for name in sorted(route.resolved)}
        resolves = nginx.resolves and is_ours
        self.workers = [Workers(route, lookups, resolves, is_ours=is_ours)]
        self._next = None

    def _required_nginx(self) -> Nginx:
        if self.nginx is None:
            raise ValueError("the world has no nginx")
        return self.nginx

    def observed_nginx(self) -> Nginx | None:
        if self.nginx is None:
            return None
        current = self._current
        draining = any(w.ends_at > self.clock.now() for w in self.workers[:-1])
        loaded = current.route if current and current.is_ours else None
        return Nginx(self.nginx.version, self.nginx.running, loaded, draining)

    @property
    def _running(self) -> list[Container]:
        return [container for container in self.containers.values() if container.running]

    @property
    def _current(self) -> Workers | None:
        return self.workers[-1] if self.workers else None

    def address(self, name: str) -> int | None:
        """Where the container of this name answers; None when it does not run."""
        container = self.containers.get(name)
        return container.address if container is not None and container.running else None

    def is_healthy(self, container: Container) -> bool:
        app = self._app(container)
        if not container.running or app.fate != "healthy":
            return False
        since = container.since
        return since + app.warm_up_s <= self.clock.now() < since + app.sick_after_s

    def is_well(self, name: str) -> bool:
        return name in self.containers and self.is_healthy(self.containers[name])

    def _app(self, container: Container) -> App:
        app = self.apps.get(container.release, GOOD)
        has_fate = app.services is None or container.service in app.services
        return app if has_fate else App(app.warm_up_s)

    # What happens

    @contextmanager
    def touched(self) -> Iterator[None]:
        """A call from the process to the world: where it fails, or the process dies."""
        self.strike("before")
        yield
        self.clock.sleep(CALL_S)
        self.strike("after")

    def strike(self, when: When) -> None:
        if self.is_killed:
            raise Killed
        fault = next((f for f in self.faults if (f.step, f.when) == (self.step, when)), None)
        if fault is None:
            return
        self.faults = tuple(other for other in self.faults if other is not fault)
        error = fault.error()
        self.is_killed = isinstance(error, Killed)
        raise error

    # What the users see

    def look(self) -> None:
        """Have a user ask for everything, everywhere; what fails is `lost`."""
        now = self.clock.now()
        for container in self._running:
            app = self._app(container)
            if app.fate == "exits" and now >= container.since + app.warm_up_s:
                self.halt(container, "exits")
        self.workers = [workers for workers in self.workers if workers.ends_at > now]
        for workers in self.workers:
            workers.refresh(self, now)
            for trouble in workers.troubles(self, now):
                self._lose(trouble)
        self._next, self._told = min(self._changes(now), default=FOREVER), len(self.lost)

    def _lose(self, what: str) -> None:
        if what not in self.lost:
            self.lost.append(what)

    def _next_change(self) -> float:
        """When the users may see something else than now."""
        if self._next is None or self._told != len(self.lost):
            self.look()
        return FOREVER if self._next is None else self._next

    def _changes(self, now: float) -> Iterator[float]:
        for workers in self.workers:
            yield from workers.changes(self, now)
        for container in self._running:
            app = self._app(container)
            for after in (app.warm_up_s, app.sick_after_s):
                if container.since + after > now:
                    yield container.since + after

    # nginx

    def load(self, route: Route) -> None:
        """Reload nginx, or start it, with this route."""
        nginx, now, current = self._required_nginx(), self.clock.now(), self._current
        lookups = {name: Lookup.of(self.address(name), now) for name in sorted(route.resolved)}
        served: frozenset[str] = frozenset()
        known: Mapping[str, Lookup] = {}
        if current is not None:
            current.leave(now, self.request_s)
        if current is not None and current.is_ours:
            known = current.lookups
            served = frozenset(u.service for u in current.route.upstreams if u.replicas)
        if nginx.resolves:
            lookups = {n: known.get(n, Lookup(None, now, LOOKUP_S)) for n in lookups}
        self.nginx = Nginx(nginx.version, running=True)
        self.workers.append(Workers(route, lookups, nginx.resolves, served))
        for service in sorted(served - {u.service for u in route.upstreams}):
            self._lose(f"{service}: left out of the route")
        self.look()
