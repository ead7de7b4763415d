"""`check_plan`: a good plan passes, and each way to spoil it is called by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest

from releasekit.check import check_plan, checked_plan
from releasekit.errors import UnsafePlan
from releasekit.observed import PLAIN, Nginx, Observed, Replica, Upstream
from releasekit.observed import Route as Loaded
from releasekit.plan import Plan
from releasekit.steps import (
    Announce,
    AwaitHealthy,
    ConfirmRoute,
    Drain,
    MarkCurrent,
    Remove,
    Route,
    Start,
    Step,
    Stop,
    replica_names,
)
from releasekit.strategies.base import Options
from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
from releasekit.strategies.mixed import Mix
from releasekit.strategies.recreate import Recreate
from releasekit.target import Service, Target

OLD, NEW = "a" * 40 + "~0a", "b" * 40 + "~0b"
TARGET = Target("shop", NEW, (Service("web", 2, 8080), Service("worker")))
Change = Callable[[Sequence[Step]], Iterable[Step]]


def replica(service: str, slot: str, number: int, release: str) -> Replica:
    name = replica_names("shop", slot, service, number)[-1]
    return Replica(service, slot, name, release, f"id-{name}")


def names(slot: str) -> tuple[str, ...]:
    return replica_names("shop", slot, "web", 2)


OBSERVED = Observed(
    "shop",
    tuple(
        replica(service, "blue", number, OLD)
        for service, number in (("web", 1), ("web", 2), ("worker", 1))
    ),
    nginx=Nginx((1, 30, 6), running=True, loaded=Loaded((Upstream("web", names("blue")),), "7")),
    current=OLD,
    committed=frozenset({OLD}),
)
GOOD = BlueGreen().plan(OBSERVED, TARGET, BlueGreenOptions(keep_previous="removed"))


def rules(plan: Plan, observed: Observed = OBSERVED, target: Target = TARGET) -> set[str]:
    return {violation.rule for violation in check_plan(observed, target, plan)}


def changed(change: Change) -> Plan:
    return replace(GOOD, steps=tuple(change(GOOD.steps)))


def without(*kinds: type[Step]) -> Change:
    return lambda steps: [step for step in steps if not isinstance(step, kinds)]


def earlier(kind: type[Step], than: type[Step]) -> Change:
    """The step of this `kind` comes just before the one that it should wait for."""

    def change(steps: Sequence[Step]) -> Iterable[Step]:
        moved = next(step for step in steps if isinstance(step, kind))
        for step in steps:
            if isinstance(step, than):
                yield moved
            if step is not moved:
                yield step

    return change


def each(kind: type[Step], **facts: object) -> Change:
    """Every step of this `kind` says something else."""
    return lambda steps: [
        replace(step, **facts) if isinstance(step, kind) else step  # type: ignore[arg-type]
        for step in steps
    ]


def test_a_good_plan_has_no_violation() -> None:
    assert [type(step).__name__ for step in GOOD.steps] == (
        "Start Announce AwaitHealthy Route ConfirmRoute MarkCurrent Drain Stop Remove".split()
    )
    assert check_plan(OBSERVED, TARGET, GOOD) == ()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (earlier(Stop, ConfirmRoute), "nothing is stopped that a confirmed route names"),
        (earlier(Stop, Route), "nothing is stopped that a confirmed route names"),
        (earlier(Route, AwaitHealthy), "traffic only for what was proven healthy"),
        (without(AwaitHealthy), "traffic only for what was proven healthy"),
        (without(Start), "the route names only what runs"),
        (without(ConfirmRoute), "what is marked as current serves"),
        (without(ConfirmRoute, MarkCurrent), "every route is confirmed"),
        (without(Drain), "nothing is stopped that still has requests in flight"),
        (earlier(Stop, Drain), "nothing is stopped that still has requests in flight"),
        (without(Stop), "only what was stopped is removed"),
        (earlier(Remove, Stop), "only what was stopped is removed"),
        (each(Route, upstreams=()), "the route is never empty"),
        (each(Route, upstreams=(Upstream("web", ()),)), "the route is never empty"),
        (each(ConfirmRoute, upstreams=()), "the route that was applied is the one confirmed"),
        (earlier(MarkCurrent, ConfirmRoute), "what is marked as current serves"),
        (earlier(MarkCurrent, Route), "what is marked as current serves"),
        (each(MarkCurrent, release=OLD), "only the target is marked as current"),
        (without(MarkCurrent), "the plan ends at its target"),
        (without(Route, ConfirmRoute), "the plan ends at its target"),
        (lambda steps: (), "the plan ends at its target"),
        (each(Start, slot="blue"), "a running replica of another release is not replaced"),
        (each(AwaitHealthy, release=OLD), "traffic only for what was proven healthy"),
        (
            each(AwaitHealthy, replicas=tuple(("web", name) for name in names("green"))),
            "what is marked as current was proven healthy",
        ),
        (
            each(Announce, upstreams=(Upstream("web", names("green"), names("blue")),)),
            "an announcement moves no traffic",
        ),
        (
            lambda steps: [*steps, Route((Upstream("web", names("blue")),), "back again")],
            "the route does not move after the commit point",
        ),
    ],
)
def test_a_spoiled_plan_breaks_a_rule_that_has_a_name(change: Change, rule: str) -> None:
    assert rule in rules(changed(change))


def test_a_plan_to_another_release_does_not_end_at_its_target() -> None:
    other = replace(TARGET, release="c" * 40 + "~0c")
    assert "the plan ends at its target" in rules(GOOD, target=other)


def test_a_service_that_was_left_out_does_not_go_unnoticed() -> None:
    target = replace(TARGET, services=(*TARGET.services, Service("api", port=9000)))
    assert "the plan ends at its target" in rules(GOOD, target=target)


@pytest.mark.parametrize("there", [[2], [1, 3], [1, 2, 3]])
def test_a_start_among_containers_that_compose_would_number_otherwise(there: list[int]) -> None:
    leftovers = tuple(replica("web", "green", number, NEW) for number in there)
    observed = replace(OBSERVED, replicas=(*OBSERVED.replicas, *leftovers))
    rule = "compose numbers a slot's replicas from 1, without a gap"
    assert rule in rules(GOOD, observed)


def test_while_nginx_drains_it_is_not_known_whom_it_still_asks() -> None:
    leftover = replica("web", "green", 1, NEW)
    observed = replace(
        OBSERVED,
        replicas=(*OBSERVED.replicas, leftover),
        nginx=replace(OBSERVED.nginx or Nginx(()), draining=True),
    )
    stop = Stop((leftover,), "it is in the way")
    plan = replace(GOOD, steps=(stop, *GOOD.steps))
    assert "nothing is stopped that still has requests in flight" in rules(plan, observed)
    plan = replace(GOOD, steps=(Drain(30, "first"), stop, *GOOD.steps))
    assert check_plan(observed, TARGET, plan) == ()


def test_declared_downtime_allows_to_stop_before_the_start() -> None:
    plan = Recreate().plan(OBSERVED, TARGET, Options())
    assert plan.downtime == ("web", "worker")
    assert check_plan(OBSERVED, TARGET, plan) == ()
    assert "nothing is stopped that a confirmed route names" in rules(replace(plan, downtime=()))


def test_downtime_of_one_service_allows_nothing_to_another() -> None:
    plan = Recreate().plan(OBSERVED, TARGET, Options())
    assert "nothing is stopped that a confirmed route names" in rules(
        replace(plan, downtime=("worker",))
    )


def test_without_nginx_a_release_serves_when_all_of_it_runs() -> None:
    target = replace(TARGET, services=(Service("worker"),))
    observed = Observed("shop", (replica("worker", PLAIN, 1, OLD),), current=OLD)
    plan = BlueGreen().plan(observed, target, BlueGreenOptions())
    assert check_plan(observed, target, plan) == ()
    spoiled = replace(plan, steps=tuple(without(AwaitHealthy)(plan.steps)))
    assert rules(spoiled, observed, target) == {"what is marked as current was proven healthy"}


def test_nothing_to_do_is_safe_where_the_target_serves() -> None:
    nothing = replace(GOOD, release=OLD, steps=())
    assert check_plan(OBSERVED, replace(TARGET, release=OLD), nothing) == ()


def test_an_unsafe_plan_is_refused_with_every_reason() -> None:
    class Careless(BlueGreen):
        name = "careless"

        def plan(self, observed: Observed, target: Target, options: Options) -> Plan:
            return changed(without(ConfirmRoute, Drain))

    with pytest.raises(UnsafePlan) as raised:
        checked_plan(Mix.single(Careless()), OBSERVED, TARGET)
    assert "careless made an unsafe plan: step 5: what is marked as current serves" in str(
        raised.value
    )
    assert "at the end: every route is confirmed (the last one is not)" in str(raised.value)


def test_a_safe_plan_is_handed_on() -> None:
    mix = Mix.single(BlueGreen(), BlueGreenOptions(keep_previous="removed"))
    assert checked_plan(mix, OBSERVED, TARGET) == GOOD
