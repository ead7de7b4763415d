"""blue-green: the new release starts beside the old one, and the route moves at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import ClassVar

from releasekit.observed import SLOTS, Observed, Replica, Upstream
from releasekit.plan import Plan
from releasekit.release import short
from releasekit.steps import (
    Announce,
    AwaitHealthy,
    ConfirmRoute,
    Drain,
    MarkCurrent,
    Phase,
    Remove,
    Route,
    Start,
    Step,
    Stop,
)
from releasekit.strategies.base import Options, clear, described, ensure_backing
from releasekit.strategies.place import Place, places
from releasekit.target import Target


class BlueGreen:
    """Starts the release in the free slot, moves the route when it is healthy, then lets go."""

    name: ClassVar[str] = "blue-green"
    summary: ClassVar[str] = "start beside the old release, switch nginx when healthy, drain, stop"
    has_downtime: ClassVar[bool] = False
    needs_health: ClassVar[bool] = True

    def plan(self, observed: Observed, target: Target, options: Options) -> Plan:
        return Plan(
            strategy=self.name,
            release=target.release,
            based_on=observed.fingerprint(),
            steps=_Planner(observed, target, options).steps(),
            notes=_notes(observed),
        )


def _notes(observed: Observed) -> tuple[str, ...]:
    nginx = observed.nginx
    if nginx is None:
        return ()
    if not nginx.keeps_idle:
        version = ".".join(map(str, nginx.version))
        closes = f"nginx {version} {_CLOSES}. nginx 1.27.4 or later does not have this limit"
        return (closes,) if nginx.resolves else (closes, f"nginx {version} {_FORGETS}")
    if nginx.running and nginx.loaded is None:
        return (f"nginx, which does not know releasekit yet, {_CLOSES}", _FIRST)
    return ()


_CLOSES = (
    "closes idle keep-alive connections when it reloads: a client that sends on one at that "
    "moment loses its request (about 1 in 30 busy keep-alive connections, and far more of clients "
    "that do not look before they reuse one); fresh connections lose none"
)


_FIRST = (
    "in this first release nginx looks the replicas' names up only after its reload, and answers "
    "502 for the milliseconds that takes; later releases lose none of either kind"
)

_FORGETS = (
    "does not look names up while it runs: a container that comes back with another address is "
    "lost until the next release. nginx 1.27.3 or later finds it"
)


class _Planner:
    """One call of `BlueGreen.plan`: the facts that its pieces share."""

    def __init__(self, observed: Observed, target: Target, options: Options) -> None:
        self.observed = observed
        self.target = target
        self.options = options
        self.nginx = observed.nginx
        self.places = places(observed, target)
        self.asked = {service.name for service in target.services if service.port is not None}
        own = {replica for place in self.places for replica in place.own}
        unfinished = [place for place in self.places if not place.is_standing]
        self.in_way = tuple(sorted(r for place in unfinished for r in place.others))
        self.old = tuple(sorted({*observed.replicas} - own - {*self.in_way}))
        self.starting = {n for place in unfinished for n in place.names} - _running(own)
        self.final = self._upstreams()
        self.left = _only(observed.route.upstreams, _running({*self.old} | own))
        self.shifts = self.nginx is not None and _traffic(self.left) != _traffic(self.final)
        self.commits = observed.current != target.release

    def steps(self) -> tuple[Step, ...]:
        first, then = self._order()
        return (
            *ensure_backing(self.observed, self.target),
            *self._make_room(),
            *self._start(first),
            *self._announce(),
            *self._await(first),
            *self._shift(),
            *self._start(then),
            *self._await(then),
            *self._settle(),
        )

    def _order(self) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
        """What comes before the route moves, and what after it.

        To a good release that waits for nothing but traffic the users go at once, as they may be
        under pressure; its workers come right after.
        """
        routed = tuple(place for place in self.places if place.service.name in self.asked)
        is_good = self.target.release in self.observed.committed
        if self.shifts and is_good and all(place.is_standing for place in routed):
            return routed, tuple(place for place in self.places if place not in routed)
        return self.places, ()

    def _upstreams(self) -> tuple[Upstream, ...]:
        routed = (place for place in self.places if place.service.name in self.asked)
        return tuple(
            Upstream(place.service.name, place.names, self._standby(place)) for place in routed
        )

    def _standby(self, place: Place) -> tuple[str, ...]:
        """The old replicas that nginx keeps resolved, as a warm rollback goes back to them."""
        if self.nginx is None or not self.nginx.resolves:
            return ()
        waiting = (r for r in self.old if r.service == place.service.name and self._stays_up(r))
        return tuple(r.name for r in waiting)

    # Which of the old containers stay

    def _is_kept(self, replica: Replica) -> bool:
        """Whether this old container stays for a rollback (running or stopped)."""
        good = self.observed.committed - {self.target.release}
        is_free = not any(replica in place.others for place in self.places)
        keeps = self.options.keep_previous != "removed"
        return keeps and replica.release in good and replica.slot in SLOTS and is_free

    def _stays_up(self, replica: Replica) -> bool:
        """A kept replica goes on running only where it waits for requests: an old worker would
        go on taking jobs with the old code."""
        waits = self.options.keep_previous == "running" and replica.service in self.asked
        return waits and replica.running and self._is_kept(replica)

    # Prepare

    def _make_room(self) -> tuple[Step, ...]:
        """What is in the way of a new replica goes, and nginx lets go of it first."""
        cause = f"in the way: {described(r.release for r in self.in_way)}"
        drains = self._relieves or (self._is_draining and _running(self.in_way))
        drain = (self._drain(Phase.PREPARE),) if drains else ()
        return (*self._let_go(), *drain, *clear(self.in_way, cause, Phase.PREPARE))

    def _let_go(self) -> tuple[Step, ...]:
        if self._relieves:
            return _moved(self.left, "both slots get traffic, and one is needed")
        if self._forgets:
            return (Announce(self.left, "else nginx goes on with the old address for a while"),)
        return ()

    @property
    def _relieves(self) -> bool:
        """Both slots get traffic, which this strategy never leaves behind: one has to give way."""
        return bool(_running(self.in_way) & self.observed.route.names)

    @property
    def _forgets(self) -> bool:
        """A name that nginx knows already will stand for another container."""
        return self._announces and bool(self.starting & self.observed.route.resolved)

    @property
    def _announces(self) -> bool:
        """Only what is of a known release can be told to nginx once more."""
        is_known = all(replica.release for replica in self.observed.routed())
        return self.nginx is not None and self.nginx.resolves and is_known

    @property
    def _is_draining(self) -> bool:
        return self.nginx is not None and self.nginx.draining

    @property
    def _told(self) -> tuple[Upstream, ...]:
        """What nginx has loaded once there is room."""
        return self.left if self._relieves or self._forgets else self.observed.route.upstreams

    def _start(self, places: Iterable[Place]) -> tuple[Step, ...]:
        missing = [place for place in places if not place.is_standing]
        return tuple(
            Start(
                self.target.release,
                slot,
                tuple((p.service.name, p.service.replicas) for p in missing if p.slot == slot),
                "the release to serve" if self.commits else "not all of it runs",
            )
            for slot in sorted({place.slot for place in missing})
        )

    def _announce(self) -> tuple[Step, ...]:
        """The route as it is, plus the new names on standby (see `Announce`)."""
        soon = {place.service.name: place.names for place in self.places}
        announced = tuple(
            replace(
                u, standby=tuple(sorted({*u.standby, *soon.get(u.service, ())} - {*u.replicas}))
            )
            for u in self.left
        )
        if not (self.shifts and self._announces) or announced == self._told:
            return ()
        return (Announce(announced, "nginx resolves names after a reload, not before it"),)

    def _await(self, places: Iterable[Place]) -> tuple[Step, ...]:
        """Prove what was started, what is to get traffic, and all that is committed to."""
        unproven = [p for p in places if self.commits or not p.is_standing or self._gains(p)]
        if not unproven:
            return ()
        is_asked = any(place.service.name in self.asked for place in unproven)
        return (
            AwaitHealthy(
                self.target.release,
                tuple((place.service.name, name) for place in unproven for name in place.names),
                max(place.service.health_timeout_s for place in unproven),
                "traffic only for what is proven healthy" if is_asked else "it has to work",
            ),
        )

    def _gains(self, place: Place) -> bool:
        """Whether a replica gets traffic that has none now."""
        has = {name for upstream in self.left for name in upstream.replicas}
        return (
            self.nginx is not None
            and place.service.name in self.asked
            and not has >= {*place.names}
        )

    # Shift and settle

    def _shift(self) -> tuple[Step, ...]:
        if self.shifts:
            return _moved(self.final, self._route_cause())
        if self.nginx is not None and self._told != self.final:
            return (Announce(self.final, "nginx resolves what may get traffic, and no more"),)
        return ()

    def _route_cause(self) -> str:
        if self.nginx is not None and not self.nginx.running:
            return "nginx starts with it"
        return f"{short(self.target.release)} is healthy"

    def _settle(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        if self.commits:
            steps.append(MarkCurrent(self.target.release, "the commit point"))
        stopping = tuple(r for r in self.old if r.running and not self._stays_up(r))
        if stopping and (self.shifts or self._is_draining):
            steps.append(self._drain(Phase.SETTLE))
        if stopping:
            steps.append(Stop(stopping, f"{short(self.target.release)} serves"))
        gone = tuple(r for r in self.old if not self._is_kept(r))
        if gone:
            steps.append(Remove(gone, "nothing goes back to it"))
        return tuple(steps)

    def _drain(self, phase: Phase) -> Drain:
        return Drain(self.target.drain_s, "old workers finish their requests", phase)


def _moved(upstreams: tuple[Upstream, ...], cause: str) -> tuple[Step, ...]:
    return (
        Route(upstreams, cause),
        ConfirmRoute(upstreams, "exit 0 of a reload proves nothing"),
    )


def _running(replicas: Iterable[Replica]) -> frozenset[str]:
    return frozenset(replica.name for replica in replicas if replica.running)


def _only(upstreams: Iterable[Upstream], names: Collection[str]) -> tuple[Upstream, ...]:
    """`upstreams` with nobody in them but these."""
    return tuple(
        Upstream(
            u.service,
            tuple(name for name in u.replicas if name in names),
            tuple(name for name in u.standby if name in names),
        )
        for u in upstreams
    )


def _traffic(upstreams: Iterable[Upstream]) -> frozenset[tuple[str, frozenset[str]]]:
    return frozenset((u.service, frozenset(u.replicas)) for u in upstreams)
