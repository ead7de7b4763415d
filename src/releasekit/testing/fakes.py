"""The ports in memory, on a `World`."""

# ruff: noqa: ARG002  # fakes take what the real thing takes

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

from releasekit.errors import CommandFailed, RouteRefused, StepFailed
from releasekit.observed import PLAIN, Backing, Health, Nginx, Replica, Route, Upstream
from releasekit.ports import Answer, Completed, Free, Page, Probe
from releasekit.steps import replica_names
from releasekit.target import Service, Target
from releasekit.testing.workers import ACCEPT_S
from releasekit.testing.world import Container, Killed, World


class FakeEngine:
    """`ports.Engine` on a `World`."""

    def __init__(self, world: World, stored: Mapping[str, Target] | None = None) -> None:
        self.world = world
        self.stored = stored or {}
        """The releases that say how their services are named and proven."""

    def _service(self, release: str, service: str) -> Service | None:
        target = self.stored.get(release)
        return None if target is None else target.service(service)

    def observe(self) -> tuple[tuple[Replica, ...], tuple[Backing, ...]]:
        replicas = (self._replica(c) for c in self.world.containers.values())
        return tuple(sorted(replicas)), tuple(sorted(self.world.backing.values()))

    def _replica(self, c: Container) -> Replica:
        health = Health.HEALTHY if self.world.is_healthy(c) else Health.STARTING
        return Replica(c.service, c.slot, c.name, c.release, c.id, "", c.running, health)

    def changed(self) -> tuple[str, ...]:
        return ()

    def pull(self, images: Sequence[str]) -> None:
        with self.world.touched():
            pass

    def ensure_backing(
        self,
        release: str,
        services: Sequence[str],
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        with self.world.touched():
            for service in services:
                there = self.world.backing.get(service)
                name = there.id if there else f"new-{service}"
                self.world.backing[service] = Backing(service, name)
                self.world.strike("midway")

    def run_once(self, release: str, service: str, deadline_s: float) -> None:
        with self.world.touched():
            self.world.migrate(service, release)
            self.world.strike("midway")

    def start(self, release: str, slot: str, replicas: Sequence[tuple[str, int]]) -> None:
        with self.world.touched():
            for service, count in replicas:
                for container in self._scaled(release, slot, service, count):
                    if not container.running:
                        self.world.run(container)
                    self.world.strike("midway")

    def _scaled(self, release: str, slot: str, service: str, count: int) -> list[Container]:
        """The containers that compose makes of those that are there; not yet started.

        It keeps the lowest numbers of this very release first, makes others anew under their own
        name, removes what exceeds the count, and gives a new one the number after the highest.
        """
        world = self.world
        there = [c for c in world.containers.values() if (c.service, c.slot) == (service, slot)]
        there.sort(key=lambda c: (c.release != release, c.number))
        highest = max((container.number for container in there), default=0)
        for container in there[count:]:
            world.delete(container)
        kept = there[:count]
        for number in range(highest + 1, highest + 1 + count - len(kept)):
            name = self._name(release, slot, service, number)
            kept.append(world.create(service, slot, name, release, number))
        return [c if c.release == release else self._made_anew(c, release) for c in kept]

    def _made_anew(self, old: Container, release: str) -> Container:
        name = self._name(release, old.slot, old.service, old.number)
        self.world.delete(old)
        if name in self.world.containers:
            raise StepFailed(f"the container name {name} is already in use")
        return self.world.create(old.service, old.slot, name, release, old.number)

    def _name(self, release: str, slot: str, service: str, number: int) -> str:
        described = self._service(release, service)
        if slot == PLAIN and described is not None and described.container_name:
            return described.container_name
        return replica_names(self.world.project, slot, service, number)[-1]

    def probe(self, release: str, replicas: Sequence[tuple[str, str]]) -> dict[str, Probe]:
        with self.world.touched():
            services = {service: self._service(release, service) for service, _ in replicas}
            return {name: self._probe(release, services[s], name) for s, name in replicas}

    def _probe(self, release: str, service: Service | None, name: str) -> Probe:
        container = self.world.containers.get(name)
        if container is None:
            return Probe(False, "the container is gone", is_lost=True)
        if not container.running:
            return Probe(False, "it exited with status 1", is_lost=True)
        is_proven, detail = self._found(container, service.settle_s if service else None)
        if not is_proven or container.release != release:
            return Probe(False, detail)
        self.world.note("proven", container)
        return Probe(True, detail)

    def _found(self, container: Container, settle_s: float | None) -> tuple[bool, str]:
        """What the container's health check says, or, for want of one, how long it runs."""
        if settle_s is None:
            is_healthy = self.world.is_healthy(container)
            return is_healthy, f"GET /up: {200 if is_healthy else 503}"
        runs_s = self.world.clock.now() - container.since
        return runs_s >= settle_s, f"it runs for {runs_s:.1f} of {settle_s:g} s"

    def stop(self, ids: Sequence[str]) -> None:
        with self.world.touched():
            for container in self._containers(ids):
                self.world.halt(container)
                self.world.look()
                self.world.strike("midway")

    def remove(self, ids: Sequence[str]) -> None:
        with self.world.touched():
            for container in self._containers(ids):
                if container.running:
                    raise CommandFailed(f"{container.name} runs: stop it first", status=1)
                self.world.delete(container)
                self.world.strike("midway")

    def _containers(self, ids: Sequence[str]) -> list[Container]:
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
        self._before: frozenset[str] = frozenset()
        """Who had traffic before the applied route: they are not asked again."""

    def observe(self) -> Nginx:
        """Like the real one it waits until all workers that accept agree."""
        while any(w.accepts_until > self.world.clock.now() for w in self.world.workers[:-1]):
            self.world.clock.sleep(ACCEPT_S)
        nginx = self.world.observed_nginx()
        if nginx is None:
            raise ValueError("the world has no nginx")
        return nginx

    def apply(
        self, upstreams: Sequence[Upstream], on_wait: Callable[[], None] = lambda: None
    ) -> bool:
        with self.world.touched():
            nginx = self.observe()
            known = [u if nginx.resolves else replace(u, standby=()) for u in upstreams]
            generation = f"{self.world.clock.now():.3f}"
            way = nginx.loaded.secret if nginx.loaded else ""
            secret = (way or f"way-{generation}") if any(u.preview for u in known) else ""
            route = Route(tuple(known), generation, secret)
            self._require_peers(route, nginx)
            is_loaded = nginx.loaded is not None and nginx.loaded.upstreams == route.upstreams
            is_news = not is_loaded or self._moved()
            self._before = frozenset()
            if is_news:
                self._before = nginx.loaded.names if nginx.loaded else frozenset()
                self.world.load(route)
            self._applied = route.upstreams
            return is_news

    def _require_peers(self, route: Route, nginx: Nginx) -> None:
        for upstream in route.upstreams:
            weights = upstream.weights
            if weights and (len(weights) != len(upstream.replicas) or min(weights) < 1):
                raise RouteRefused(f"the weights {weights} do not fit {upstream.service}")
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
        for name in sorted(world.workers[-1].route.names - self._before):
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
        self.room: Free | None = Free(2**40, None)
        """What is free on its one disk."""

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        is_stopped: Callable[[], bool] | None = None,
    ) -> Completed:
        raise CommandFailed(f"{argv[0]}: a fake host runs nothing")

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def tail(self, path: str, size: int) -> str:
        return self.files.get(path, "")[-size:]

    def write(self, path: str, text: str, *, mode: int = 0o600, lasting: bool = True) -> None:
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

    def free(self, path: str) -> Free | None:
        return self.room

    def reserve(self, path: str, size: int) -> None:
        self.files[path] = ""

    def link(self, path: str, name: str) -> None:
        self.files[name] = self.files[path]

    def rename(self, path: str, name: str) -> None:
        self.files[name] = self.files.pop(path)

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

    def fetch(self, url: str, *, deadline_s: float) -> Page:
        return Page(None, detail="a fake host connects to nothing", is_unknown=True)

    def lock(
        self,
        path: str,
        purpose: str,
        *,
        wait_s: float = 0.0,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> nullcontext[None]:
        return nullcontext()

    def holder(self, path: str) -> str:
        return ""

    def left_behind(self, lock: str) -> tuple[str, ...]:
        return ()

    def end_left_behind(self, lock: str) -> None:
        pass
