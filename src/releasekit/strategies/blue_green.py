"""blue-green: the new release starts beside the old one, and the route moves at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import ClassVar

from releasekit.observed import PLAIN, SLOTS, Observed, Replica
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
    if observed.nginx is None or observed.nginx.keeps_idle:
        return ()
    version = ".".join(map(str, observed.nginx.version))
    return (
        f"nginx {version} closes idle keep-alive connections when it reloads: a client that sends "
        "on one at that moment loses its request (about 1 in 30 busy keep-alive connections, "
        "and far more of clients that do not look before they reuse one); "
        "fresh connections lose none. nginx 1.27.4 or later does not have this limit",
    )


class _Planner:
    """One call of `BlueGreen.plan`: the facts that its pieces share."""

    def __init__(self, observed: Observed, target: Target, options: Options) -> None:
        self.observed = observed
        self.target = target
        self.options = options
        self.slot = choose_slot(observed, target)
        self.names = {name: service for service, name in target.names(self.slot)}
        self.new = tuple(
            r for r in observed.of(target.release) if r.slot == self.slot and r.name in self.names
        )
        self.running = {r.name for r in self.new if r.running}
        self.old = tuple(r for r in observed.replicas if r not in self.new)
        self.upstreams = target.upstreams(self.slot, self._standby())
        self.has_nginx = observed.nginx is not None
        self.moves = self.has_nginx and observed.route.upstreams != self.upstreams

    def steps(self) -> tuple[Step, ...]:
        prepare = (*ensure_backing(self.observed, self.target), *self._make_room())
        routed = {s.name for s in self.target.services if s.port is not None}
        if self.moves and self._is_warm(routed):
            # Under pressure the users come first: the route now, the workers right after it.
            others = {s.name for s in self.target.services} - routed
            work = (*self._await(routed), *self._shift(), *self._start(others))
        else:
            everything = {s.name for s in self.target.services}
            work = (*self._start(everything, announce=True), *self._shift())
        return (*prepare, *work, *self._settle())

    def _standby(self) -> tuple[tuple[str, str], ...]:
        """The old replicas that a warm rollback would go back to: nginx keeps them resolved."""
        nginx = self.observed.nginx
        if self.options.keep_previous != "running" or nginx is None or not nginx.resolves:
            return ()
        kept = (r for r in self.old if r.running and self._is_kept(r) and r.slot != self.slot)
        return tuple((r.service, r.name) for r in sorted(kept))

    def _is_kept(self, replica: Replica) -> bool:
        """Whether this old container stays for a rollback (running or stopped)."""
        is_good = replica.release in self.observed.committed
        return self.options.keep_previous != "removed" and is_good and replica.slot in SLOTS

    def _is_warm(self, services: set[str]) -> bool:
        names = {name for name, service in self.names.items() if service in services}
        return bool(names) and names <= self.running

    def _make_room(self) -> tuple[Step, ...]:
        """Whatever else is in the slot goes, unless nginx still sends it requests."""
        routed = self.observed.route.names
        there = [r for r in self.old if r.slot == self.slot and r.name not in routed]
        if not there:
            return ()
        cause = f"{described(r.release for r in there)} is in the slot"
        return clear(there, cause, Phase.PREPARE)

    def _start(self, services: set[str], *, announce: bool = False) -> tuple[Step, ...]:
        missing = {s for name, s in self.names.items() if name not in self.running} & services
        if not missing and not (announce and self.moves):
            return ()
        target = self.target
        steps: list[Step] = []
        if missing:
            counts = target.counts(services)
            steps.append(Start(target.release, self.slot, counts, "the new release"))
        if announce:
            steps += self._announce()
        return (*steps, *self._await(services))

    def _await(self, services: set[str]) -> tuple[Step, ...]:
        replicas = tuple((s, name) for name, s in self.names.items() if s in services)
        cause = "traffic only for what is proven healthy"
        deadline = self.target.health_timeout_s
        return (AwaitHealthy(self.target.release, replicas, deadline, cause),)

    def _announce(self) -> tuple[Step, ...]:
        """The route as it is, plus the new names on standby (see `Announce`)."""
        nginx = self.observed.nginx
        if nginx is None or not nginx.resolves or not self.moves:
            return ()
        route = self.observed.route
        soon = {u.service: u.replicas for u in self.upstreams}
        announced = tuple(
            replace(
                u, standby=tuple(sorted({*u.standby, *soon.get(u.service, ())} - {*u.replicas}))
            )
            for u in route.upstreams
        )
        if announced == route.upstreams:
            return ()
        return (Announce(announced, "nginx resolves names after a reload, not before it"),)

    def _shift(self) -> tuple[Step, ...]:
        if not self.moves:
            return ()
        confirm = "exit 0 of a reload proves nothing"
        return (
            Route(self.upstreams, self._route_cause()),
            ConfirmRoute(self.upstreams, confirm),
        )

    def _route_cause(self) -> str:
        nginx = self.observed.nginx
        if nginx is not None and not nginx.running:
            return "nginx starts with it"
        return f"{short(self.target.release)} is healthy"

    def _settle(self) -> tuple[Step, ...]:
        steps: list[Step] = []
        if self.observed.current != self.target.release:
            steps.append(MarkCurrent(self.target.release, "the commit point"))
        stopping = tuple(sorted(r for r in self.old if r.running and not self._stays_up(r)))
        stopping = tuple(r for r in stopping if not self._was_cleared(r))
        if stopping and (self.moves or self._is_draining()):
            steps.append(Drain(self.target.drain_s, "old workers finish their requests"))
        if stopping:
            steps.append(Stop(stopping, f"{short(self.target.release)} serves"))
        gone = tuple(
            sorted(r for r in self.old if not self._is_kept(r) and not self._was_cleared(r))
        )
        if gone:
            steps.append(Remove(gone, "nothing goes back to it"))
        return tuple(steps)

    def _is_draining(self) -> bool:
        return self.observed.nginx is not None and self.observed.nginx.draining

    def _stays_up(self, replica: Replica) -> bool:
        """A kept replica goes on running only where it waits for requests: an old worker would
        go on taking jobs with the old code."""
        return any(replica.name in u.standby for u in self.upstreams) or (
            self.options.keep_previous == "running"
            and self._is_kept(replica)
            and any(s.name == replica.service and s.port is not None for s in self.target.services)
        )

    def _was_cleared(self, replica: Replica) -> bool:
        return replica.slot == self.slot and replica.name not in self.observed.route.names


def choose_slot(observed: Observed, target: Target) -> str:
    """The slot for `target`: where it is already, else one that gets no traffic.

    When both get traffic, which this strategy never leaves behind, the one with less of it.
    """
    traffic = Counter(r.slot for r in observed.routed() if r.release != target.release)
    own = Counter(r.slot for r in observed.of(target.release) if r.slot != PLAIN)
    return min(SLOTS, key=lambda slot: (traffic[slot], -own[slot], SLOTS.index(slot)))
