"""Arbitrary worlds to release in: any mixture of containers, any route, any record."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from releasekit.observed import PLAIN, SLOTS, Backing, Nginx, Route, Upstream
from releasekit.steps import replica_names
from releasekit.strategies.base import KeepPrevious, Options, Strategy
from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import Rolling
from releasekit.target import Service, Target
from releasekit.testing import App, Simulator, World
from releasekit.testing.fakes import ACCEPT_S

RELEASES = tuple(f"{digit * 40}~{digit * 8}" for digit in "abc")
PORTS = {"web": 8080, "api": 9000, "worker": None}
NGINX_VERSIONS = ((1, 30, 6), (1, 22, 1))
STRATEGIES: tuple[Strategy, ...] = (BlueGreen(), Recreate(), Rolling())
BACKING = ("db",)
NUMBERS = ((1, 2), (1,), (1, 2, 3), (), (2,), (1, 3))
"""Which replicas of a service are there: with gaps, as somebody's `docker rm` leaves them."""
CONDITIONS = ((True, False), (True, True), (False, False))
"""Whether a container runs, and whether it is cold."""
FRONTS = ("ours", "draining", "foreign", "down")


@dataclass(frozen=True)
class There:
    """A container as it is found. A cold one was started just now."""

    service: str
    slot: str
    number: int
    release: str
    running: bool
    cold: bool

    @property
    def name(self) -> str:
        return replica_names("shop", self.slot, self.service, self.number)[-1]


@dataclass(frozen=True)
class Start:
    """A world as it is found, from which `simulator` makes the same one each time."""

    targets: dict[str, Target]
    apps: dict[str, App]
    there: tuple[There, ...] = ()
    nginx: Nginx | None = None
    before: Route | None = None
    """What nginx served until a moment ago."""
    route: Route | None = None
    is_ours: bool = True
    committed: tuple[str, ...] = ()
    backing: tuple[str, ...] = BACKING
    options: Options = field(default_factory=BlueGreenOptions)

    def simulator(self) -> Simulator:
        world = World(apps=self.apps, nginx=self.nginx)
        for each in self.there:
            world.put(each.service, each.slot, each.number, each.release, running=each.running)
            if each.cold and each.running:
                world.containers[each.name].since = 0.0
        world.backing = {name: Backing(name, f"id-{name}") for name in self.backing}
        if self.before is not None:
            world.serve(self.before)
        if self.route is not None and self.before is not None:
            world.load(self.route)
            world.clock.sleep(ACCEPT_S)
        elif self.route is not None:
            world.serve(self.route, is_ours=self.is_ours)
        world.lost.clear()
        simulator = Simulator(world, self.options)
        simulator.stored.update(self.targets)
        simulator.commit(*(self.targets[release] for release in self.committed))
        return simulator


def service(name: str, replicas: int = 1) -> Service:
    return Service(name, replicas, PORTS[name])


@st.composite
def targets(draw: st.DrawFn, release: str, *, has_nginx: bool) -> Target:
    names = draw(st.sets(st.sampled_from(sorted(PORTS)), min_size=1)) if has_nginx else {"worker"}
    services = tuple(service(name, draw(st.integers(1, 4))) for name in sorted(names))
    return Target("shop", release, services, BACKING)


@st.composite
def containers(draw: st.DrawFn) -> tuple[There, ...]:
    found = []
    for slot in (*SLOTS, PLAIN):
        releases = st.sampled_from([*RELEASES, ""] if slot == PLAIN else RELEASES)
        for name in sorted(PORTS):
            for number in draw(st.sampled_from(NUMBERS)):
                running, cold = draw(st.sampled_from(CONDITIONS))
                found.append(There(name, slot, number, draw(releases), running, cold))
    return tuple(found)


@st.composite
def routes(draw: st.DrawFn, names: dict[str, list[str]]) -> Route:
    """Per service some of these names get traffic, and some of the others wait."""
    upstreams = []
    for each, those in sorted(names.items()):
        if those:
            some = st.lists(st.sampled_from(those), unique=True, min_size=1, max_size=4)
            chosen, waiting = draw(some), draw(some)
            upstreams.append(Upstream(each, tuple(chosen), tuple(sorted({*waiting} - {*chosen}))))
    return Route(tuple(upstreams), "7")


@st.composite
def starts(draw: st.DrawFn, *, is_healthy: bool = True) -> Start:
    """Any world. `is_healthy`: the route, if there is one, leads to what is healthy."""
    version = draw(st.sampled_from((*NGINX_VERSIONS, *NGINX_VERSIONS, None)))
    there = draw(containers())
    keep: KeepPrevious = draw(st.sampled_from(("running", "stopped", "removed")))
    start = Start(
        targets={r: draw(targets(r, has_nginx=version is not None)) for r in RELEASES},
        apps={r: App(draw(st.sampled_from((0.0, 0.4, 1.5, 5.0)))) for r in RELEASES},
        there=there,
        committed=tuple(draw(st.lists(st.sampled_from(RELEASES), unique=True))),
        backing=draw(st.sampled_from((BACKING, ()))),
        options=BlueGreenOptions(keep_previous=keep),
    )
    if version is None:
        return start
    return draw(_fronted(start, Nginx(version), is_healthy=is_healthy))


@st.composite
def _fronted(draw: st.DrawFn, start: Start, nginx: Nginx, *, is_healthy: bool) -> Start:
    names: dict[str, list[str]] = {name: [] for name, port in PORTS.items() if port is not None}
    for each in start.there:
        is_fit = each.running and not each.cold and each.release != ""
        if each.service in names and (is_fit or not is_healthy):
            names[each.service].append(each.name)
    if not is_healthy:
        for name, those in names.items():
            those.extend(n for n in replica_names("shop", "blue", name, 4) if n not in those)
    match draw(st.sampled_from(FRONTS)):
        case "down":
            return _with(start, nginx=nginx)
        case "foreign":
            plain = [There(n, PLAIN, 1, "", True, False).name for n in names]
            there = {each.name for each in start.there if each.running and not each.cold}
            upstreams = tuple(
                Upstream(service, (name,))
                for service, name in zip(names, plain, strict=True)
                if name in there
            )
            return _with(start, nginx=nginx, route=Route(upstreams), is_ours=False)
        case "ours":
            return _with(start, nginx=nginx, route=draw(routes(names)))
        case _:
            return _with(start, nginx=nginx, before=draw(routes(names)), route=draw(routes(names)))


def _with(start: Start, **changes: object) -> Start:
    return Start(**{**start.__dict__, **changes})  # type: ignore[arg-type]
