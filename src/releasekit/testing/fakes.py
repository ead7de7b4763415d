"""The ports in memory: containers, an nginx and its users in one `World`.

The fakes keep the habits that cost others outages: compose numbers a new replica after the
highest and removes what exceeds the count; a started container is cold for a while and has a new
address; nginx's old workers go on accepting for a moment and finish their requests after that;
a name that nginx did not know is looked up only after the reload, and one that it knew is looked
up again only once its address is stale.
"""

# ruff: noqa: ARG002  # fakes take what the real thing takes

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from releasekit.errors import CommandFailed, RouteRefused
from releasekit.observed import Backing, Health, Nginx, Replica, Route, Upstream
from releasekit.ports import Answer, Completed, Probe
from releasekit.steps import replica_names

CALL_S = 0.02
"""What each call that changes something takes."""
ACCEPT_S = 0.1
"""How long old workers go on accepting connections after a reload."""
LOOKUP_S = 0.003
"""How long nginx does not know the address of a name that is new to it."""
VALID_S = 1.0
"""How long nginx believes an address."""
RETRY_S = 2.0
"""After how long nginx looks up a name again that nobody had."""

FOREVER = float("inf")

When = Literal["before", "midway", "after"]


class Killed(BaseException):  # no Exception: nothing may handle it
    """The process is gone, as by `kill -9`: nothing of it runs any more."""


@dataclass(frozen=True, slots=True)
class App:
    """How the containers of a release behave: healthy `warm_up_s` after the start, or never, or
    they exit then. A request takes `request_s`."""

    warm_up_s: float = 1.0
    fate: Literal["healthy", "sick", "exits"] = "healthy"
    services: frozenset[str] | None = None
    """The services that share this fate; None: all."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`error` is raised in the step of this number (1 is the first of the run, the way back
    counts on), before its effect, when half of it is done, or after it."""

    step: int
    when: When
    error: Callable[[], BaseException] = Killed


class FakeClock:
    """Time passes only by `sleep`; `passed` is told."""

    def __init__(self, passed: Callable[[], None] = lambda: None) -> None:
        self._now = 0.0
        self._passed = passed

    def utc(self) -> str:
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._now)).isoformat()

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds
        self._passed()


@dataclass
class Container:
    """A container; each start gives it another `address`."""

    service: str
    slot: str
    name: str
    release: str
    id: str
    running: bool = False
    since: float = 0.0
    address: int = 0


@dataclass
class _Lookup:
    """What nginx knows of a name: its address (None: nobody's), since when, and for how long."""

    address: int | None
    at: float
    valid_s: float


@dataclass
class _Workers:
    """One generation of nginx's workers: what they serve, and until when they live."""

    route: Route
    lookups: dict[str, _Lookup]
    served_before: frozenset[str] = frozenset()
    is_ours: bool = True
    accepts_until: float = FOREVER
    ends_at: float = FOREVER


@dataclass
class World:
    """The host: containers, nginx, files and the users, whose lost requests are in `lost`.

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
    """The most running replicas of a service that there ever were."""

    def __post_init__(self) -> None:
        self.clock = FakeClock(self.look)
        self.workers: list[_Workers] = []
        self._number = 0

    # What there is

    def put(self, service: str, slot: str, number: int, release: str, *, running: bool) -> None:
        """Place a container as somebody left it: healthy for long, if it ever gets so."""
        name = replica_names(self.project, slot, service, number)[-1]
        container = self.create(service, slot, name, release)
        if running:
            self.run(container)
            container.since = -FOREVER

    def create(self, service: str, slot: str, name: str, release: str) -> Container:
        """A container that does not run yet, instead of any other of this name."""
        self._number += 1
        container = Container(service, slot, name, release, f"c{self._number}")
        self.containers[name] = container
        return container

    def run(self, container: Container) -> None:
        self._number += 1
        container.running, container.since = True, self.clock.now()
        container.address = self._number
        self.most |= Counter(c.service for c in self.containers.values() if c.running)

    def serve(self, route: Route, *, is_ours: bool = True) -> None:
        """Have nginx run with this route loaded, as somebody left it.

        Not `is_ours`: it comes from the team's own files, with the addresses of when it started.
        """
        if self.nginx is None:
            raise ValueError("the world has no nginx")
        self.nginx = Nginx(self.nginx.version, running=True)
        lookups = {name: self._lookup(name) for name in sorted(route.resolved)}
        if not is_ours:
            lookups = {n: _Lookup(known.address, known.at, FOREVER) for n, known in lookups.items()}
        self.workers = [_Workers(route, lookups, is_ours=is_ours)]

    def observed_nginx(self) -> Nginx | None:
        if self.nginx is None:
            return None
        current = self._current
        draining = any(w.ends_at > self.clock.now() for w in self.workers[:-1])
        loaded = current.route if current and current.is_ours else None
        return Nginx(self.nginx.version, self.nginx.running, loaded, draining)

    @property
    def _current(self) -> _Workers | None:
        return self.workers[-1] if self.workers else None

    def is_healthy(self, container: Container) -> bool:
        app = self._app(container)
        is_warm = self.clock.now() >= container.since + app.warm_up_s
        return container.running and is_warm and app.fate == "healthy"

    def _app(self, container: Container) -> App:
        app = self.apps.get(container.release, App())
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
        for container in self.containers.values():
            app = self._app(container)
            if app.fate == "exits" and now >= container.since + app.warm_up_s:
                container.running = False
        self.workers = [w for w in self.workers if w.ends_at > now]
        for workers in self.workers:
            if workers.accepts_until > now:
                self._look_up(workers)
            for upstream in workers.route.upstreams:
                for name in upstream.replicas:
                    trouble = self._trouble(workers, upstream.service, name)
                    if trouble:
                        self._lose(f"{upstream.service}: {name} {trouble}")

    def _trouble(self, workers: _Workers, service: str, name: str) -> str:
        container, lookup = self.containers.get(name), workers.lookups[name]
        if workers.accepts_until <= self.clock.now():
            answers = container.address if container and container.running else None
            is_cut = lookup.address not in (None, answers)
            return "was stopped with requests in flight" if is_cut else ""
        if lookup.address is None and lookup.valid_s == LOOKUP_S:
            return "was not looked up yet" if service in workers.served_before else ""
        if container is None or not container.running:
            return "does not run"
        if lookup.address != container.address:
            return "has another address"
        return "" if self.is_healthy(container) else "is not healthy"

    def _lose(self, what: str) -> None:
        if what not in self.lost:
            self.lost.append(what)

    # nginx

    def load(self, route: Route) -> None:
        """Reload nginx, or start it, with this route."""
        if self.nginx is None:
            raise ValueError("the world has no nginx")
        now, current = self.clock.now(), self._current
        lookups = {name: self._lookup(name) for name in sorted(route.resolved)}
        served: frozenset[str] = frozenset()
        if current is not None:
            current.accepts_until = now + ACCEPT_S
            current.ends_at = now + max(self.request_s, ACCEPT_S)
        if current is not None and current.is_ours:
            served = frozenset(u.service for u in current.route.upstreams if u.replicas)
        if self.nginx.resolves:
            known = current.lookups if current is not None and current.is_ours else {}
            lookups = {name: known.get(name, _Lookup(None, now, LOOKUP_S)) for name in lookups}
        self.nginx = Nginx(self.nginx.version, running=True)
        self.workers.append(_Workers(route, lookups, served))
        self.look()

    def _lookup(self, name: str) -> _Lookup:
        container = self.containers.get(name)
        found = container is not None and container.running
        address = container.address if container is not None and found else None
        return _Lookup(address, self.clock.now(), VALID_S if found else RETRY_S)

    def _look_up(self, workers: _Workers) -> None:
        if self.nginx is None or not self.nginx.resolves:
            return
        for name, lookup in workers.lookups.items():
            if self.clock.now() >= lookup.at + lookup.valid_s:
                workers.lookups[name] = self._lookup(name)


class FakeEngine:
    """`ports.Engine` on a `World`."""

    def __init__(self, world: World) -> None:
        self.world = world

    def observe(self) -> tuple[tuple[Replica, ...], tuple[Backing, ...]]:
        replicas = (self._replica(c) for c in self.world.containers.values())
        return tuple(sorted(replicas)), tuple(sorted(self.world.backing.values()))

    def _replica(self, c: Container) -> Replica:
        health = Health.HEALTHY if self.world.is_healthy(c) else Health.STARTING
        return Replica(c.service, c.slot, c.name, c.release, c.id, "", c.running, health)

    def pull(self, images: Sequence[str]) -> None:
        with self.world.touched():
            pass

    def ensure_backing(self, release: str, services: Sequence[str]) -> None:
        with self.world.touched():
            for service in services:
                there = self.world.backing.get(service)
                name = there.id if there else f"new-{service}"
                self.world.backing[service] = Backing(service, name)
                self.world.strike("midway")

    def start(self, release: str, slot: str, replicas: Sequence[tuple[str, int]]) -> None:
        with self.world.touched():
            for service, count in replicas:
                for container in self._scaled(release, slot, service, count):
                    if not container.running:
                        self.world.run(container)
                    self.world.strike("midway")

    def _scaled(self, release: str, slot: str, service: str, count: int) -> list[Container]:
        """The containers that compose makes of those that are there; not yet started."""
        names = replica_names(self.world.project, slot, service, 99)
        there = [n for n in names if n in self.world.containers]
        for name in there[count:]:
            del self.world.containers[name]
        there = there[:count]
        highest = names.index(there[-1]) + 1 if there else 0
        for name in (*there, *names[highest : highest + count - len(there)]):
            container = self.world.containers.get(name)
            if container is None or container.release != release:
                self.world.create(service, slot, name, release)
        return [c for c in self.world.containers.values() if (c.service, c.slot) == (service, slot)]

    def probe(self, release: str, replicas: Sequence[tuple[str, str]]) -> dict[str, Probe]:
        with self.world.touched():
            return {name: self._probe(release, name) for _, name in replicas}

    def _probe(self, release: str, name: str) -> Probe:
        container = self.world.containers.get(name)
        if container is None:
            return Probe(False, "the container is gone", is_lost=True)
        if not container.running:
            return Probe(False, "it exited with status 1", is_lost=True)
        is_healthy = container.release == release and self.world.is_healthy(container)
        return Probe(is_healthy, f"GET /up: {200 if is_healthy else 503}")

    def stop(self, ids: Sequence[str]) -> None:
        with self.world.touched():
            for container in self._found(ids):
                container.running = False
                self.world.look()
                self.world.strike("midway")

    def remove(self, ids: Sequence[str]) -> None:
        with self.world.touched():
            for container in self._found(ids):
                if container.running:
                    raise CommandFailed(f"{container.name} runs: stop it first", status=1)
                del self.world.containers[container.name]
                self.world.strike("midway")

    def _found(self, ids: Sequence[str]) -> list[Container]:
        found = {container.id: container for container in self.world.containers.values()}
        missing = [each for each in ids if each not in found]
        if missing:
            raise CommandFailed(f"no such container: {', '.join(missing)}", status=1)
        return [found[each] for each in ids]

    def log_tail(self, name: str, lines: int) -> tuple[str, ...]:
        return (f"{name} is starting", f"{name} says no more")[-lines:]


class FakeRouter:
    """`ports.Router` on a `World`. One per process: what it applied is forgotten with it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._applied: tuple[Upstream, ...] | None = None

    def observe(self) -> Nginx:
        """Like the real one it waits until all workers that accept agree."""
        while any(w.accepts_until > self.world.clock.now() for w in self.world.workers[:-1]):
            self.world.clock.sleep(ACCEPT_S)
        nginx = self.world.observed_nginx()
        if nginx is None:
            raise ValueError("the world has no nginx")
        return nginx

    def problem(self, services: Sequence[str]) -> str:
        return ""

    def apply(self, upstreams: Sequence[Upstream]) -> bool:
        with self.world.touched():
            nginx = self.observe()
            known = [
                Upstream(u.service, u.replicas, u.standby if nginx.resolves else ())
                for u in upstreams
            ]
            route = Route(tuple(known), f"{self.world.clock.now():.3f}")
            self._require_peers(route, nginx)
            is_loaded = nginx.loaded is not None and nginx.loaded.upstreams == route.upstreams
            is_news = not is_loaded or self._moved()
            if is_news:
                self.world.load(route)
            self._applied = route.upstreams
            return is_news

    def _require_peers(self, route: Route, nginx: Nginx) -> None:
        for name in sorted(route.resolved):
            container = self.world.containers.get(name)
            if container is None or not container.release:
                raise RouteRefused(f"nobody knows where {name} answers")
            if not (nginx.resolves or container.running):
                raise RouteRefused(f"{name} has no address on a network that nginx shares")

    def _moved(self) -> bool:
        """Whether an nginx that looks no names up would get other addresses than it has."""
        workers = self.world.workers[-1]
        return not (self.world.nginx and self.world.nginx.resolves) and any(
            name in self.world.containers and self.world.containers[name].address != lookup.address
            for name, lookup in workers.lookups.items()
        )

    def unconfirmed(self) -> str:
        with self.world.touched():
            return self._unconfirmed()

    def _unconfirmed(self) -> str:
        world = self.world
        if self._applied is None or not world.workers:
            return "no route was applied"
        if any(w.accepts_until > world.clock.now() for w in world.workers[:-1]):
            return "old nginx workers still accept connections"
        for name in sorted(world.workers[-1].route.names):
            container = world.containers.get(name)
            if container is None or not world.is_healthy(container):
                return f"{name} through nginx: 502"
        return ""

    def undrained(self) -> str:
        with self.world.touched():
            left = [w for w in self.world.workers[:-1] if w.ends_at > self.world.clock.now()]
            return f"{len(left)} old nginx workers still serve requests" if left else ""


class FakeHost:
    """`ports.Host` for files, in memory; it runs no commands and opens no connections."""

    name = "fake"

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.files = self.world.files

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        raise CommandFailed(f"{argv[0]}: a fake host runs nothing")

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def write(self, path: str, text: str, *, mode: int = 0o600) -> None:
        self.files[path] = text

    def append(self, path: str, text: str) -> None:
        """The commit is a step's effect like any other; nothing is written by the dead."""
        if '"event": "commit"' not in text:
            if self.world.is_killed:
                raise Killed
            self.files[path] = self.files.get(path, "") + text
            return
        with self.world.touched():
            self.files[path] = self.files.get(path, "") + text

    def digest(self, path: str) -> str | None:
        text = self.files.get(path)
        return None if text is None else hashlib.sha256(text.encode()).hexdigest()

    def copy(self, source: str, target: str) -> None:
        self.files[target] = self.files[source]

    def make_dir(self, path: str, *, mode: int = 0o700) -> None:
        pass

    def remove(self, path: str) -> None:
        self.files.pop(path, None)

    def list_dir(self, path: str) -> tuple[str, ...]:
        inside = (
            name.removeprefix(f"{path}/") for name in self.files if name.startswith(f"{path}/")
        )
        return tuple(sorted({name.partition("/")[0] for name in inside}))

    def http_get(
        self,
        address: str,
        port: int,
        path: str,
        *,
        headers: Mapping[str, str],
        deadline_s: float,
    ) -> tuple[Answer, str]:
        return Answer(None, "a fake host connects to nothing"), ""

    def lock(self, path: str, purpose: str) -> nullcontext[None]:
        return nullcontext()
