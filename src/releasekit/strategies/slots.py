"""Releases side by side in slots: the pieces of a plan that such strategies share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from releasekit.observed import SLOTS, Observed, Replica, Upstream
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
from releasekit.strategies.base import KeepPrevious, clear, described
from releasekit.strategies.place import Place, places
from releasekit.target import Target

ANNOUNCED = "nginx resolves names after a reload, not before it"

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
    "does not look names up while it runs: a container that comes back with another address, as "
    "after a reboot, is lost until the next release. nginx 1.27.3 or later finds it"
)


def limits(observed: Observed) -> tuple[str, ...]:
    """What the nginx in front cannot spare its clients, in words."""
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


class SlotPlanner:
    """One call of a strategy's `plan`: the facts that its pieces share, and those pieces."""

    def __init__(self, observed: Observed, target: Target, keep: KeepPrevious) -> None:
        self.observed = observed
        self.target = target
        self.keep = keep
        self.nginx = observed.nginx
        self.places = places(observed, target)
        self.asked = target.asked
        own = {replica for place in self.places for replica in place.own}
        unfinished = [place for place in self.places if not place.is_standing]
        self.in_way = tuple(sorted(r for place in unfinished for r in place.others))
        self.old = tuple(sorted({*observed.replicas} - own - {*self.in_way}))
        self.starting = {n for place in unfinished for n in place.names} - running(own)
        self.final = self._upstreams()
        self.left = only(observed.route.upstreams, running({*self.old} | own))
        self.shifts = self.nginx is not None and traffic(self.left) != traffic(self.final)
        self.commits = observed.current != target.release

    def waves(self, places: Iterable[Place]) -> tuple[tuple[Place, ...], ...]:
        """These places in the order in which their services start."""
        chosen = {place.service: place for place in places}
        waves = (tuple(chosen[s] for s in wave if s in chosen) for wave in self.target.waves())
        return tuple(wave for wave in waves if wave)

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
        keeps = self.keep != "removed"
        return keeps and replica.release in good and replica.slot in SLOTS and is_free

    def _stays_up(self, replica: Replica) -> bool:
        """A kept replica goes on running only where it waits for requests: an old worker would
        go on taking jobs with the old code."""
        waits = self.keep == "running" and replica.service in self.asked
        return waits and replica.running and self._is_kept(replica)

    # Prepare

    def make_room(self) -> tuple[Step, ...]:
        """What is in the way of a new replica goes, and nginx lets go of it first."""
        cause = f"in the way: {described(r.release for r in self.in_way)}"
        drains = self._relieves or (self.drains and running(self.in_way))
        drain = (self.drain(Phase.PREPARE),) if drains else ()
        return (*self._let_go(), *drain, *clear(self.in_way, cause, Phase.PREPARE))

    def _let_go(self) -> tuple[Step, ...]:
        if self._relieves:
            return moved(self.left, "both slots get traffic, and one is needed")
        if self._forgets:
            return (Announce(self.left, "else nginx goes on with the old address for a while"),)
        return ()

    @property
    def _relieves(self) -> bool:
        """Both slots get traffic, which no run leaves behind: one has to give way."""
        return bool(running(self.in_way) & self.observed.route.names)

    @property
    def _forgets(self) -> bool:
        """A name that nginx knows already will stand for another container."""
        return self.announces and bool(self.starting & self.observed.route.resolved)

    @property
    def announces(self) -> bool:
        """Only what is of a known release can be told to nginx once more."""
        is_known = all(replica.release for replica in self.observed.routed())
        return self.nginx is not None and self.nginx.resolves and is_known

    @property
    def drains(self) -> bool:
        return self.nginx is not None and self.nginx.draining

    @property
    def told(self) -> tuple[Upstream, ...]:
        """What nginx has loaded once there is room."""
        return self.left if self._relieves or self._forgets else self.observed.route.upstreams

    def start(self, places: Iterable[Place]) -> tuple[Step, ...]:
        missing = [place for place in places if not place.is_standing]
        return tuple(
            Start(
                self.target.release,
                slot,
                tuple((p.service.name, p.service.replicas) for p in missing if p.slot == slot),
                self.start_cause,
            )
            for slot in sorted({place.slot for place in missing})
        )

    @property
    def start_cause(self) -> str:
        return "the release to serve" if self.commits else "not all of it runs"

    def await_healthy(self, places: Iterable[Place]) -> tuple[Step, ...]:
        """Prove what was started, what is to get traffic, and all that is committed to."""
        there = [place for place in places if place.names]
        unproven = [p for p in there if self.commits or not p.is_standing or self._gains(p)]
        pairs = [(place.service.name, name) for place in unproven for name in place.names]
        return self.proven(unproven, pairs) if pairs else ()

    def proven(
        self, places: Collection[Place], pairs: Iterable[tuple[str, str]]
    ) -> tuple[Step, ...]:
        """The gate for these (service, replica) pairs of these places."""
        is_asked = any(place.service.name in self.asked for place in places)
        return (
            AwaitHealthy(
                self.target.release,
                tuple(pairs),
                max(place.service.health_timeout_s for place in places),
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

    def route_cause(self) -> str:
        if self.nginx is not None and not self.nginx.running:
            return "nginx starts with it"
        return f"{short(self.target.release)} is healthy"

    def settle(self, stopped: Collection[Replica] = ()) -> tuple[Step, ...]:
        """Commit, and let go of what is old; `stopped` of it was already."""
        steps: list[Step] = []
        if self.commits:
            steps.append(MarkCurrent(self.target.release, "the commit point"))
        stopping = tuple(
            r for r in self.old if r.running and r not in stopped and not self._stays_up(r)
        )
        if stopping and (self.shifts or self.drains):
            steps.append(self.drain(Phase.SETTLE))
        if stopping:
            steps.append(Stop(stopping, f"{short(self.target.release)} serves"))
        gone = tuple(r for r in self.old if not self._is_kept(r))
        if gone:
            steps.append(Remove(gone, "nothing goes back to it"))
        return tuple(steps)

    def drain(self, phase: Phase) -> Drain:
        leaving = {replica.service for replica in (*self.in_way, *self.old)}
        limits = [self.target.service(service).drain_s for service in leaving]
        return Drain(max(self.target.drain_s, *limits), "old workers finish their requests", phase)


def moved(upstreams: tuple[Upstream, ...], cause: str) -> tuple[Step, ...]:
    return (
        Route(upstreams, cause),
        ConfirmRoute(upstreams, "exit 0 of a reload proves nothing"),
    )


def announced(
    upstreams: Iterable[Upstream], soon: Iterable[tuple[str, str]]
) -> tuple[Upstream, ...]:
    """`upstreams` with these (service, replica) pairs on standby, as far as they have no traffic;
    a service that has no upstream yet gets none."""
    names: dict[str, set[str]] = {}
    for service, name in soon:
        names.setdefault(service, set()).add(name)
    return tuple(
        replace(
            u,
            standby=tuple(sorted({*u.standby, *names.get(u.service, ())} - {*u.replicas})),
        )
        for u in upstreams
    )


def running(replicas: Iterable[Replica]) -> frozenset[str]:
    """The names of those that run."""
    return frozenset(replica.name for replica in replicas if replica.running)


def only(upstreams: Iterable[Upstream], names: Collection[str]) -> tuple[Upstream, ...]:
    """`upstreams` with nobody in them but these, and no preview."""
    return tuple(_only(upstream, names) for upstream in upstreams)


def _only(upstream: Upstream, names: Collection[str]) -> Upstream:
    weights = upstream.weights or (1,) * len(upstream.replicas)
    kept = [(n, w) for n, w in zip(upstream.replicas, weights, strict=True) if n in names]
    return Upstream(
        upstream.service,
        tuple(name for name, _ in kept),
        tuple(name for name in (*upstream.standby, *upstream.preview) if name in names),
        weights=tuple(weight for _, weight in kept) if upstream.weights else (),
    )


def traffic(upstreams: Iterable[Upstream]) -> frozenset[tuple[str, frozenset[tuple[str, int]]]]:
    """Who gets how much of it, per service."""
    return frozenset((upstream.service, upstream.shares()) for upstream in upstreams)
