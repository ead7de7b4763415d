"""Naive strategies: what each one gets wrong is named by `check_plan` or lost by users in the
simulator, and found by the contract that all strategies have to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import Phase, settings

from releasekit.check import check_plan
from releasekit.errors import ReleasekitError
from releasekit.events import ignore
from releasekit.observed import Observed, Replica, Upstream
from releasekit.plan import Plan
from releasekit.runner import Runner
from releasekit.steps import (
    Announce,
    AwaitHealthy,
    ConfirmRoute,
    Drain,
    EnsureBacking,
    MarkCurrent,
    Phase as StepPhase,
    Remove,
    Route,
    Start,
    Step,
    Stop,
    Watch,
    replica_names,
)
from releasekit.strategies.base import Options
from releasekit.strategies.mixed import Chosen, Mix
from releasekit.target import Target
from releasekit.testing import FakeEngine, FakeRouter, StrategyContract
from tests.simulation.starts import BLUE_GREEN, NEW, RECREATE, ROLLING, A, C, after, target

Spoil = Callable[[list[Step], Observed, Target], Iterable[Step]]
SERVED = after((A, BLUE_GREEN), nginx=NEW)
"""A serves with two replicas of web and a worker, which starts after web."""


@pytest.fixture(autouse=True)
def found_and_not_shrunk() -> Iterator[None]:
    settings.register_profile("found", phases=[Phase.generate])
    settings.load_profile("found")
    yield
    settings.load_profile("default")


class Naive:
    """A good strategy, and what is wrong with its plans."""

    def __init__(self, good: Chosen, spoil: Spoil) -> None:
        self.good = good
        self.spoil = spoil
        strategy = good.strategy
        self.name, self.summary = strategy.name, strategy.summary
        self.has_downtime, self.needs_health = strategy.has_downtime, strategy.needs_health
        self.options = strategy.options

    def plan(self, observed: Observed, target: Target, options: Options) -> Plan:
        plan = self.good.strategy.plan(observed, target, options)
        return replace(plan, steps=tuple(self.spoil(list(plan.steps), observed, target)))


# What is wrong


def without(*kinds: type[Step]) -> Spoil:
    return lambda steps, *_: [step for step in steps if not isinstance(step, kinds)]


def before(kind: type[Step], *moved: type[Step]) -> Spoil:
    """The steps of these kinds come before the first of `kind`."""

    def spoil(steps: list[Step], *_: object) -> list[Step]:
        early = [step for step in steps if isinstance(step, moved)]
        late = [step for step in steps if step not in early]
        at = next((n for n, step in enumerate(late) if isinstance(step, kind)), 0)
        return [*late[:at], *early, *late[at:]]

    return spoil


def each(kind: type[Step], change: Callable[[Any, Observed], Step]) -> Spoil:
    return lambda steps, observed, _: [
        change(step, observed) if isinstance(step, kind) else step for step in steps
    ]


def watched(steps: list[Step], _: Observed, target: Target) -> list[Step]:
    """A bake before the commit point: of a good strategy."""
    proven = [pair for s in steps if isinstance(s, AwaitHealthy) for pair in s.replicas]
    at = next((n for n, s in enumerate(steps) if isinstance(s, MarkCurrent)), None)
    if at is None or not proven:
        return steps
    return [*steps[:at], Watch(target.release, tuple(proven), 2.0, "the bake"), *steps[at:]]


def watched_too_late(steps: list[Step], observed: Observed, target: Target) -> list[Step]:
    """The same bake, once nothing is left to go back to."""
    return before(Watch, Drain, Stop)(watched(steps, observed, target), observed, target)


def upstreams(change: Callable[[Upstream, Observed], Upstream]) -> Spoil:
    """Every route leads elsewhere."""

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


def scaled_down(step: Stop, _: Observed) -> Step:
    """Compose lets the old ones go: it removes what exceeds the count."""
    old = step.replicas[0]
    services = {replica.service for replica in step.replicas}
    return Start(old.release, old.slot, tuple((s, 0) for s in sorted(services)), "scale down")


def restarted(steps: list[Step], observed: Observed, _: Target) -> list[Step]:
    """The database is to see the new configuration at once."""
    db = [Replica(b.service, "", f"shop-{b.service}-1", "", b.id) for b in observed.backing]
    if not db:
        return steps
    again = EnsureBacking(tuple(b.service for b in observed.backing), "with the new configuration")
    return [Stop(tuple(db), "restart it", StepPhase.PREPARE), again, *steps]


def workers_first(steps: list[Step], _: Observed, target: Target) -> list[Step]:
    """All services of a slot start at once: compose can do that."""
    starts = [s for s in steps if isinstance(s, Start)]
    slots = {step.slot: [p for s in starts if s.slot == step.slot for p in s.replicas] for step in starts}
    once = [Start(target.release, slot, tuple(pairs), "all of it") for slot, pairs in slots.items()]
    at = steps.index(starts[0]) if starts else 0
    return [*steps[:at], *once, *(s for s in steps[at:] if s not in starts)]


def in_both_slots(steps: list[Step], *_: object) -> list[Step]:
    """Whatever slot is free: start it in each."""
    def spoiled() -> Iterator[Step]:
        for step in steps:
            yield step
            if isinstance(step, Start):
                yield replace(step, slot="blue" if step.slot == "green" else "green")
    return [*spoiled()]


def all_at_once(steps: list[Step], *_: object) -> list[Step]:
    """Rolling, and the old ones of a batch go before the new ones are there."""
    return before(Start, Drain, Stop)(steps)


@dataclass(frozen=True)
class Bug:
    """`rule` of `check_plan` that a step of `kind` breaks ("": it cannot know); `loss` is what
    users see when it runs all the same ("": nothing)."""

    name: str
    spoil: Spoil
    rule: str = ""
    kind: type[Step] | None = None
    loss: str = ""
    good: Chosen = BLUE_GREEN


BUGS = (
    Bug(
        "stopped before the route is confirmed",
        before(ConfirmRoute, Drain, Stop, Remove),
    ),
    Bug("stopped before the route moves", before(Route, Drain, Stop)),
    Bug("confirmed by nobody", without(ConfirmRoute)),
    Bug("routed before it is healthy", before(AwaitHealthy, Route, ConfirmRoute)),
    Bug("never proven healthy", without(AwaitHealthy)),
    Bug("watched when nothing is left to go back to", watched_too_late),
    Bug("stopped with requests in flight", without(Drain)),
    Bug("not announced to nginx", without(Announce)),
    Bug("scaled down by compose", each(Stop, scaled_down)),
    Bug("a backing service restarted", restarted),
    Bug("workers started before the web is healthy", workers_first),
    Bug("a weight too many", upstreams(lambda u, _: replace(u, weights=(1,) * (len(u.replicas) + 1)))),
    Bug("a weight of nothing", upstreams(lambda u, _: replace(u, weights=(0,) * len(u.replicas)))),
    Bug("an empty route", upstreams(lambda u, _: replace(u, replicas=()))),
    Bug("a route without the service", each(Route, lambda step, _: replace(step, upstreams=()))),
    Bug("committed before the route is confirmed", before(ConfirmRoute, MarkCurrent)),
    Bug("committed before it is healthy", before(AwaitHealthy, MarkCurrent)),
    Bug("traffic for both slots", upstreams(half_old)),
    Bug("the release in both slots", in_both_slots),
    Bug("old replicas left to run", without(Drain, Stop, Remove)),
    Bug("all batches at once", all_at_once, good=ROLLING),
)
SERVED = after((A, BLUE_GREEN), nginx=NEW)


def ordered(release: str) -> Target:
    web, worker = target(release).services
    return replace(target(release), services=(web, replace(worker, after=("web",))))


ORDERED = replace(SERVED, targets={release: ordered(release) for release in SERVED.targets})
if __name__ == "__main__":
    for bug in BUGS:
        sim = ORDERED.simulator()
        obs, to = sim.observe(), ordered(C)
        plan = Mix.single(Naive(bug.good, bug.spoil), bug.good.options).plan(obs, to)
        vs = check_plan(obs, to, plan)
        runner = Runner(FakeEngine(sim.world, sim.stored), FakeRouter(sim.world), sim.journal, sim.world.clock, ignore)
        err = ""
        try: runner.run(plan, "run")
        except ReleasekitError as e: err = repr(e)
        sim.world.clock.sleep(10)
        print("==", bug.name)
        for v in vs: print("   ", v, "|", type(plan.steps[v.number - 1]).__name__ if v.number else "end")
        print("    lost:", sim.world.lost, err)
