"""recreate: stop the old release, start the new one under the project's own names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from releasekit.observed import PLAIN, SLOTS, Observed, Replica
from releasekit.plan import Plan
from releasekit.release import short
from releasekit.steps import (
    AwaitHealthy,
    ConfirmRoute,
    MarkCurrent,
    Phase,
    Remove,
    Route,
    Start,
    Step,
    Stop,
)
from releasekit.strategies.base import Options, ensure_backing
from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
from releasekit.strategies.place import Place, in_order, row, stands_plain
from releasekit.target import Target


class Recreate:
    """Stops, then starts, as plain `docker compose up -d` would; the downtime is measured.

    What serves already is not started anew: it is left where it is, slot or not, so that going
    back to a release that was never stopped costs nothing.
    """

    name: ClassVar[str] = "recreate"
    summary: ClassVar[str] = "stop the old release, start the new one: a short, measured downtime"
    has_downtime: ClassVar[bool] = True
    needs_health: ClassVar[bool] = False
    options: ClassVar[type[Options]] = Options

    def plan(self, observed: Observed, target: Target, options: Options) -> Plan:  # noqa: ARG002
        places = row(observed, target, PLAIN)
        stays = stands_plain(observed, target) or _serves_in_slot(observed, target.release)
        if stays and not _would_overlap(observed, target):
            kept = BlueGreen().plan(observed, target, BlueGreenOptions(keep_previous="removed"))
            return replace(kept, strategy=self.name, notes=())
        old = tuple(sorted({*observed.replicas} - {r for place in places for r in place.own}))
        stopping = tuple(replica for replica in old if replica.running)
        replaced, surplus = _by_compose(places)
        steps: list[Step] = [*ensure_backing(observed, target)]
        if stopping:
            steps.append(Stop(stopping, "recreate stops before it starts", Phase.SHIFT))
        if surplus:
            steps.append(Remove(surplus, "compose would count on from it", Phase.SHIFT))
        steps += _bring_up(observed, target, places)
        if observed.current != target.release:
            steps.append(MarkCurrent(target.release, "the commit point"))
        gone = tuple(replica for replica in old if replica not in {*replaced, *surplus})
        if gone:
            steps.append(Remove(gone, "nothing goes back to it"))
        return Plan(
            strategy=self.name,
            release=target.release,
            based_on=observed.fingerprint(),
            steps=tuple(steps),
            downtime=tuple(sorted({*target.silenced, *(r.service for r in stopping)})),
        )


def _serves_in_slot(observed: Observed, release: str) -> bool:
    serving = observed.routed() or observed.of(observed.current)
    return any(r.release == release and r.slot in SLOTS and r.running for r in serving)


def _would_overlap(observed: Observed, target: Target) -> bool:
    """Whether another release of what may never run twice has to go first."""
    others = (r for r in observed.replicas if r.running and r.release != target.release)
    return any(not target.service(replica.service).overlaps for replica in others)


def _by_compose(places: Iterable[Place]) -> tuple[tuple[Replica, ...], tuple[Replica, ...]]:
    """The stopped containers that compose replaces by itself, and those that it would keep under
    a name that nobody waits for."""
    replaced: list[Replica] = []
    surplus: list[Replica] = []
    for place in places:
        names = in_order(place.names, {r.name for r in (*place.own, *place.others)})
        for replica in place.others:
            (replaced if replica.name in names else surplus).append(replica)
    return tuple(replaced), tuple(surplus)


def _bring_up(observed: Observed, target: Target, places: Iterable[Place]) -> tuple[Step, ...]:
    """Start and prove them wave by wave. The downtime ends with the route: who waits for no
    request is proven after it, unless others wait for that."""
    by_name = {place.service.name: place for place in places}
    route, waiting = _route(observed, target), {*target.asked}
    steps: list[Step] = []
    for wave in target.waves():
        here = [by_name[service.name] for service in wave]
        first = [p for p in here if p.service.name in waiting] if route else here
        then = [place for place in here if place not in first]
        steps += [*_start(target, here), *_await(target, first)]
        waiting -= {service.name for service in wave}
        if not waiting:
            steps += route
            route = ()
        steps += _await(target, then)
    return (*steps, *route)


def _start(target: Target, places: Iterable[Place]) -> tuple[Step, ...]:
    missing = tuple((p.service.name, p.service.replicas) for p in places if not p.is_standing)
    if not missing:
        return ()
    return (Start(target.release, PLAIN, missing, "the release to serve", Phase.SHIFT),)


def _await(target: Target, places: Iterable[Place]) -> tuple[Step, ...]:
    names = tuple((place.service.name, name) for place in places for name in place.names)
    if not names:
        return ()
    cause = "done when it is proven healthy"
    deadline = target.health_timeout_s
    return (AwaitHealthy(target.release, names, deadline, cause, Phase.SHIFT),)


def _route(observed: Observed, target: Target) -> tuple[Step, ...]:
    upstreams = target.upstreams(PLAIN)
    if observed.nginx is None or not (upstreams or observed.route.upstreams):
        return ()
    return (
        Route(upstreams, f"{short(target.release)} is healthy"),
        ConfirmRoute(upstreams, "exit 0 of a reload proves nothing"),
    )
