"""A world as a release finds it: what runs, what nginx serves, what was released before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from releasekit.observed import Backing, Nginx, Route
from releasekit.release import short
from releasekit.steps import replica_names
from releasekit.strategies.mixed import Chosen, Mix
from releasekit.target import Service, Target
from releasekit.testing.simulator import Simulator
from releasekit.testing.workers import ACCEPT_S
from releasekit.testing.world import App, World

PROJECT = "shop"
PORTS = {"web": 8080, "api": 9000, "worker": None, "cron": None}
BACKING = ("db",)
REQUEST_S = 0.5


@dataclass(frozen=True, slots=True)
class There:
    """A container as it is found. A cold one was started just now; a `prefix` is what a killed
    compose leaves."""

    service: str
    slot: str
    number: int
    release: str
    running: bool = True
    cold: bool = False
    prefix: str = ""

    @property
    def name(self) -> str:
        return self.prefix + replica_names(PROJECT, self.slot, self.service, self.number)[-1]

    def __str__(self) -> str:
        state = ("cold" if self.cold else "runs") if self.running else "stopped"
        return f"{self.name}: {short(self.release) or 'unknown'}, {state}"


@dataclass(frozen=True)
class Start:
    """A world as it is found, from which `simulator` makes the same one each time."""

    targets: Mapping[str, Target]
    """Every release there is, by its id."""
    apps: Mapping[str, App]
    there: tuple[There, ...] = ()
    nginx: Nginx | None = None
    before: Route | None = None
    """What nginx served until a moment ago."""
    route: Route | None = None
    is_ours: bool = True
    committed: tuple[str, ...] = ()
    backing: tuple[str, ...] = BACKING
    others: Mapping[str, Chosen] = field(default_factory=dict)
    """The services that have a strategy of their own."""
    history: tuple[tuple[str, Chosen], ...] = ()
    """What was released then, by real runs."""
    rest_s: float = 0.0
    """How long ago that was."""

    def mix(self, chosen: Chosen) -> Mix:
        """`chosen` for all services that have no other."""
        return Mix(chosen, self.others)

    def simulator(self) -> Simulator:
        world = World(PROJECT, self.apps, REQUEST_S, self.nginx)
        for t in self.there:
            world.put(
                t.service,
                t.slot,
                t.number,
                t.release,
                running=t.running,
                cold=t.cold,
                prefix=t.prefix,
            )
        world.backing = {name: Backing(name, f"id-{name}") for name in self.backing}
        if self.before is not None:
            world.serve(self.before)
        if self.route is not None and self.before is not None:
            world.load(self.route)
            world.clock.sleep(ACCEPT_S)
        elif self.route is not None:
            world.serve(self.route, is_ours=self.is_ours)
        simulator = Simulator(world)
        simulator.stored.update(self.targets)
        simulator.commit(*(self.targets[release] for release in self.committed))
        for release, chosen in self.history:
            ended = simulator.run(self.targets[release], self.mix(chosen))
            if ended.result not in ("done", "nothing-to-do"):
                plans = "\n".join(plan.render() for plan in ended.plans)
                raise AssertionError(f"{self}\n{plans}\n{ended.result}: {ended.error!r}")
        world.clock.sleep(self.rest_s)
        world.forget()
        return simulator

    def __str__(self) -> str:
        lines = [
            f"nginx {'.'.join(map(str, self.nginx.version)) if self.nginx else 'is not there'}",
            *map(str, self.there),
            *_told("nginx served", self.before),
            *_told("nginx serves" if self.is_ours else "nginx serves by itself", self.route),
        ]
        if self.committed:
            lines.append(f"committed to: {', '.join(map(short, self.committed))}")
        for service, chosen in self.others.items():
            lines.append(f"{service} has {chosen.strategy.name} ({chosen.options!r})")
        for release, chosen in self.history:
            with_options = f"{chosen.strategy.name} ({chosen.options!r})"
            lines.append(f"{short(release)} was released with {with_options}")
        for release, target in self.targets.items():
            services = "; ".join(map(_described, target.services))
            warm_up_s = self.apps[release].warm_up_s
            migrates = f"; migrates in {target.migration.service}" if target.migration else ""
            lines.append(f"{short(release)} is {services}; warm after {warm_up_s:g} s{migrates}")
        return "\n".join(lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002
        """Hypothesis need not show what every story tells."""
        printer.text("Start(…)")


def _told(what: str, route: Route | None) -> list[str]:
    return [] if route is None else [f"{what} {upstream}" for upstream in route.upstreams]


def _described(service: Service) -> str:
    after = f" after {','.join(service.after)}" if service.after else ""
    alone = "" if service.overlaps else " alone"
    settles = "" if service.settle_s is None else f" settles in {service.settle_s:g} s"
    return f"{service.name} x{service.replicas}{after}{alone}{settles}"


def service(name: str, replicas: int = 1) -> Service:
    """A service of those that worlds have."""
    return Service(name, replicas, PORTS[name], health_timeout_s=8.0)
