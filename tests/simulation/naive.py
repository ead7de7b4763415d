"""Naive strategies: a good one's plans, with one thing in them done as one would at first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from releasekit.observed import Observed, Replica, Upstream
from releasekit.plan import Plan
from releasekit.steps import (
    Announce,
    AwaitHealthy,
    ConfirmRoute,
    Drain,
    EnsureBacking,
    MarkCurrent,
    Phase,
    Remove,
    Route,
    Start,
    Step,
    Stop,
    Watch,
)
from releasekit.strategies.base import Options
from releasekit.strategies.mixed import Chosen
from releasekit.target import Target
from tests.simulation.starts import BLUE_GREEN, ROLLING

Spoil = Callable[[list[Step], Observed, Target], Iterable[Step]]


class Naive:
    """A strategy with something wrong in the plans of a good one."""

    def __init__(self, good: Chosen, spoil: Spoil) -> None:
        self.good = good.strategy
        self.spoil = spoil
        self.name, self.summary = self.good.name, self.good.summary
        self.has_downtime, self.needs_health = self.good.has_downtime, self.good.needs_health
        self.options = self.good.options

    def plan(self, observed: Observed, target: Target, options: Options) -> Plan:
        plan = self.good.plan(observed, target, options)
        return replace(plan, steps=tuple(self.spoil([*plan.steps], observed, target)))


# What is done


def without(*kinds: type[Step]) -> Spoil:
    return lambda steps, *_: [step for step in steps if not isinstance(step, kinds)]


def before(kind: type[Step], *moved: type[Step]) -> Spoil:
    """The steps that are `moved` come before the first of `kind`."""

    def spoil(steps: list[Step], *_: object) -> list[Step]:
        at = next((n for n, step in enumerate(steps) if isinstance(step, kind)), len(steps))
        early = [step for step in steps[at:] if isinstance(step, moved)]
        return [*steps[:at], *early, *(step for step in steps[at:] if step not in early)]

    return spoil


def each(kind: type[Step], change: Callable[[Any], Step]) -> Spoil:
    return lambda steps, *_: [change(step) if isinstance(step, kind) else step for step in steps]


def routed(change: Callable[[Upstream, Observed], Upstream]) -> Spoil:
    """Every route leads elsewhere, and is confirmed."""

    def spoil(steps: list[Step], observed: Observed, _: Target) -> list[Step]:
        return [
            replace(step, upstreams=tuple(change(u, observed) for u in step.upstreams))
            if isinstance(step, Route | ConfirmRoute)
            else step
            for step in steps
        ]

    return spoil


def half_old(upstream: Upstream, observed: Observed) -> Upstream:
    """The first new replica shares the traffic with the last of the old ones."""
    old = [n for n in observed.route.replicas(upstream.service) if n not in upstream.replicas]
    return replace(upstream, replicas=(*upstream.replicas[:1], *old[-1:]))


def watched(steps: list[Step], _: Observed, target: Target) -> list[Step]:
    """A bake before the commit point: there is nothing wrong with it."""
    proven = [pair for s in steps if isinstance(s, AwaitHealthy) for pair in s.replicas]
    at = next((n for n, s in enumerate(steps) if isinstance(s, MarkCurrent)), None)
    if at is None or not proven:
        return steps
    return [*steps[:at], Watch(target.release, tuple(proven), 2.0, "the bake"), *steps[at:]]


def watched_late(steps: list[Step], observed: Observed, target: Target) -> Iterable[Step]:
    return before(Watch, Drain, Stop)(watched(steps, observed, target), observed, target)


def scaled_down(step: Stop) -> Step:
    old = step.replicas[0]
    services = sorted({replica.service for replica in step.replicas})
    return Start(old.release, old.slot, tuple((s, 0) for s in services), "scale down")


def restarted(steps: list[Step], observed: Observed, _: Target) -> list[Step]:
    db = [Replica(b.service, "", f"shop-{b.service}-1", "", b.id) for b in observed.backing]
    if not db or not steps:
        return steps
    again = EnsureBacking(tuple(replica.service for replica in db), "with its new configuration")
    return [Stop(tuple(db), "restart it", Phase.PREPARE), again, *steps]


def at_once(steps: list[Step], *_: object) -> list[Step]:
    """All services of a slot start in one call: compose can do that."""
    starts = [step for step in steps if isinstance(step, Start)]
    if not starts:
        return steps
    first = starts[0]
    pairs = [pair for step in starts if step.slot == first.slot for pair in step.replicas]
    others = [step for step in starts if step.slot != first.slot]
    all_of_it = [replace(first, replicas=tuple(pairs)), *others]
    at = steps.index(first)
    return [*steps[:at], *all_of_it, *(step for step in steps[at:] if step not in starts)]


def in_both_slots(steps: list[Step], *_: object) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, Start):
            yield replace(step, slot="blue" if step.slot == "green" else "green")


@dataclass(frozen=True)
class Bug:
    """`rule` of `check_plan` that a step of `kind` breaks ("": none, and kind None: its end);
    `loss` is what users see when it runs all the same ("": nothing); `told` is what the contract
    may say of it besides."""

    name: str
    spoil: Spoil
    rule: str
    kind: type[Step] | None
    loss: str
    good: Chosen = BLUE_GREEN
    told: tuple[str, ...] = ()


HEALTH = "traffic only for what was proven healthy"
NAMED = "nothing is stopped that a confirmed route names"
SERVES = "what is marked as current serves"
EMPTY = "the route is never empty"
WEIGHTS = "each replica has a weight, from 1"

BUGS = (
    Bug("stopped before the route moves", before(Route, Stop), NAMED, Stop, "does not run"),
    Bug(
        "stopped before the route is confirmed",
        before(ConfirmRoute, Stop),
        NAMED,
        Stop,
        "does not run",
    ),
    Bug("not confirmed", without(ConfirmRoute), "every route is confirmed", None, ""),
    Bug(
        "routed before it is healthy",
        before(AwaitHealthy, Route, ConfirmRoute),
        HEALTH,
        Route,
        "is not healthy",
    ),
    Bug("never proven healthy", without(AwaitHealthy), HEALTH, Route, "is not healthy"),
    Bug(
        "watched when nothing is left to go back to",
        watched_late,
        "what is watched can still be taken back",
        Watch,
        "",
    ),
    Bug(
        "not drained",
        without(Drain),
        "nothing is stopped that still has requests in flight",
        Stop,
        "was stopped with requests in flight",
    ),
    Bug("not announced", without(Announce), "", None, "was not looked up yet"),
    Bug(
        "scaled down by compose",
        each(Stop, scaled_down),
        "compose numbers a slot's replicas from 1, without a gap",
        Start,
        "",
    ),
    Bug(
        "a backing service restarted",
        restarted,
        "only observed replicas are stopped or removed",
        Stop,
        "",
    ),
    Bug(
        "a worker started before the web is healthy",
        at_once,
        "a service starts after those it needs are healthy",
        Start,
        "",
    ),
    Bug(
        "a weight too many",
        routed(lambda u, _: replace(u, weights=(1,) * (len(u.replicas) + 1))),
        WEIGHTS,
        Route,
        "",
    ),
    Bug(
        "a weight of nothing",
        routed(lambda u, _: replace(u, weights=(0,) * len(u.replicas))),
        WEIGHTS,
        Route,
        "",
    ),
    Bug(
        "a route to nobody",
        routed(lambda u, _: replace(u, replicas=())),
        EMPTY,
        Route,
        "nobody serves it",
    ),
    Bug(
        "a route without the service",
        each(Route, lambda step: replace(step, upstreams=())),
        EMPTY,
        Route,
        "left out of the route",
    ),
    Bug(
        "committed before the route is confirmed",
        before(ConfirmRoute, MarkCurrent),
        SERVES,
        MarkCurrent,
        "",
    ),
    Bug("traffic for both slots", routed(half_old), SERVES, MarkCurrent, "does not run"),
    Bug(
        "the release in both slots",
        in_both_slots,
        "a running replica of another release is not replaced",
        Start,
        "has another address",
        told=("ran at once",),
    ),
    Bug(
        "the old release left to run",
        without(Drain, Stop, Remove),
        "",
        None,
        "",
        told=("still runs", "a running replica of another release is not replaced"),
    ),
    Bug(
        "a batch stopped before the next one starts",
        before(Start, Stop),
        NAMED,
        Stop,
        "does not run",
        ROLLING,
    ),
)
