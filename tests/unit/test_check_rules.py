"""`check_plan`'s rules for what a release may be beside web and worker alike: an order of services,
what may not overlap, weights, previews, a watch, and services that are scaled to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest

from releasekit.check import check_plan
from releasekit.observed import Backing, Nginx, Observed, Replica, Upstream
from releasekit.observed import Route as Loaded
from releasekit.plan import Plan
from releasekit.steps import (
    Announce,
    AwaitHealthy,
    ConfirmRoute,
    EnsureBacking,
    MarkCurrent,
    Route,
    RunOnce,
    Start,
    Step,
    Stop,
    Watch,
    replica_names,
)
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.mixed import Mix
from releasekit.target import Migration, Service, Target

OLD, NEW = "a" * 40 + "~0a", "b" * 40 + "~0b"
WEB = Service("web", 2, 8080)
WORKER = Service("worker", after=("web",))
CRON = Service("cron", overlaps=False)
Change = Callable[[Sequence[Step]], Iterable[Step]]


def target(*services: Service, release: str = NEW) -> Target:
    return Target("shop", release, services or (WEB, WORKER, CRON))


def names(service: str, slot: str, count: int = 1) -> tuple[str, ...]:
    return replica_names("shop", slot, service, count)


def replicas(service: str, slot: str, release: str, count: int = 1) -> tuple[Replica, ...]:
    return tuple(
        Replica(service, slot, name, release, f"id-{name}") for name in names(service, slot, count)
    )


OBSERVED = Observed(
    "shop",
    (
        *replicas("web", "blue", OLD, 2),
        *replicas("worker", "blue", OLD),
        *replicas("cron", "blue", OLD),
    ),
    nginx=Nginx(
        (1, 30, 6), running=True, loaded=Loaded((Upstream("web", names("web", "blue", 2)),), "7")
    ),
    current=OLD,
    committed=frozenset({OLD}),
)
"""OLD serves."""
GOOD = Mix.single(BlueGreen()).plan(OBSERVED, target())
"""To NEW: web and worker in blue-green, cron recreated."""


def rules(plan: Plan, observed: Observed = OBSERVED, to: Target | None = None) -> set[str]:
    return {violation.rule for violation in check_plan(observed, to or target(), plan)}


def changed(change: Change, plan: Plan = GOOD) -> Plan:
    return replace(plan, steps=tuple(change(plan.steps)))


def test_a_good_plan_breaks_none() -> None:
    assert rules(GOOD) == set()


# The order of services

ORDER = "a service starts after those it needs are healthy"


def started(service: str) -> Callable[[Step], bool]:
    return lambda step: isinstance(step, Start) and service in dict(step.replicas)


def awaited(service: str) -> Callable[[Step], bool]:
    return lambda step: isinstance(step, AwaitHealthy) and service in dict(step.replicas)


def earlier(moved: Callable[[Step], bool], than: Callable[[Step], bool]) -> Change:
    def change(steps: Sequence[Step]) -> Iterable[Step]:
        step = next(filter(moved, steps))
        for each in steps:
            if than(each):
                yield step
            if each is not step:
                yield each

    return change


def test_a_service_waits_until_those_it_needs_run() -> None:
    assert ORDER in rules(changed(earlier(started("worker"), than=started("web"))))


def test_a_service_waits_until_those_it_needs_are_healthy() -> None:
    assert ORDER in rules(changed(earlier(started("worker"), than=awaited("web"))))


def test_what_stands_already_is_not_proven_anew_for_what_waits_for_it() -> None:
    web = replicas("web", "green", NEW, 2)
    observed = replace(
        OBSERVED,
        replicas=web,
        nginx=replace(OBSERVED.nginx or Nginx(()), loaded=Loaded((_web("green"),), "8")),
        current=NEW,
    )
    plan = Mix.single(BlueGreen()).plan(observed, target(WEB, WORKER))
    assert [type(step) for step in plan.steps] == [Start, AwaitHealthy]
    assert rules(plan, observed, target(WEB, WORKER)) == set()


# What may not overlap

OVERLAP = "what may not overlap runs in one release only"


def test_what_may_not_overlap_starts_when_the_old_one_is_gone() -> None:
    def stops_cron(step: Step) -> bool:
        return isinstance(step, Stop) and any(r.service == "cron" for r in step.replicas)

    assert OVERLAP in rules(changed(earlier(started("cron"), than=stops_cron)))


def test_a_strategy_that_starts_beside_is_not_for_what_may_not_overlap() -> None:
    plan = BlueGreen().plan(OBSERVED, target(), BlueGreen.options())  # type: ignore[arg-type]
    assert OVERLAP in rules(plan)


# Weights

WEIGHTS = "each replica has a weight, from 1"


def _web(slot: str, *weights: int) -> Upstream:
    return Upstream("web", names("web", slot, 2), weights=weights)


def weighed(*weights: int) -> Change:
    def change(steps: Sequence[Step]) -> Iterable[Step]:
        for step in steps:
            is_route = isinstance(step, Route | ConfirmRoute)
            yield replace(step, upstreams=(_web("green", *weights),)) if is_route else step  # type: ignore[call-arg]

    return change


@pytest.mark.parametrize("weights", [(1,), (1, 1, 1), (0, 1), (1, -1)])
def test_each_replica_has_a_weight(weights: tuple[int, ...]) -> None:
    assert rules(changed(weighed(*weights))) == {WEIGHTS}


@pytest.mark.parametrize("weights", [(), (1, 1), (19, 1)])
def test_good_weights_break_no_rule(weights: tuple[int, ...]) -> None:
    assert rules(changed(weighed(*weights))) == set()


def test_the_weights_of_an_announcement_count_too() -> None:
    announce = Announce((_web("blue", 1, 1, 1),), "more than there are")
    assert WEIGHTS in rules(changed(lambda steps: [announce, *steps]))


def test_an_announcement_does_not_change_the_shares() -> None:
    announce = Announce((_web("blue", 1, 9),), "nine in ten for one")
    assert "an announcement moves no traffic" in rules(changed(lambda steps: [announce, *steps]))
    equal = Announce((_web("blue", 1, 1),), "as it is")
    assert rules(changed(lambda steps: [equal, *steps])) == set()


def test_a_share_counts_as_traffic() -> None:
    """One in twenty requests is enough to be lost."""
    both = Upstream("web", (*names("web", "blue", 2), names("web", "green")[0]), weights=(9, 10, 1))

    def change(steps: Sequence[Step]) -> Iterable[Step]:
        for step in steps:
            if started("web")(step):
                yield step
                yield Route((both,), "a first few")
                yield ConfirmRoute((both,), "and they come")
            else:
                yield step

    assert "traffic only for what was proven healthy" in rules(changed(change))


# Previews

PREVIEW = "only what was proven healthy is shown on preview"


def shown() -> Announce:
    web = replace(_web("blue"), preview=names("web", "green", 2))
    return Announce((web,), "who knows the secret can try it")


def test_what_is_on_preview_was_proven_healthy() -> None:
    def early(steps: Sequence[Step]) -> Iterable[Step]:
        for step in steps:
            yield step
            if started("web")(step):
                yield shown()

    assert PREVIEW in rules(changed(early))


def test_a_preview_moves_no_traffic() -> None:
    def late(steps: Sequence[Step]) -> Iterable[Step]:
        for step in steps:
            yield step
            if awaited("web")(step):
                yield shown()

    assert rules(changed(late)) == set()


def test_a_route_shows_on_preview_only_what_was_proven_healthy() -> None:
    web = replace(_web("blue"), preview=("shop-releases-web-green-9",))

    def shows(steps: Sequence[Step]) -> Iterable[Step]:
        return [Route((web,), "as it is"), ConfirmRoute((web,), "still"), *steps]

    assert PREVIEW in rules(changed(shows))


# A watch

WATCHED = "what is watched can still be taken back"


def watch() -> Watch:
    pairs = tuple(("web", name) for name in names("web", "green", 2))
    return Watch(NEW, pairs, 10.0, "the bake")


def test_what_is_watched_can_be_taken_back() -> None:
    def late(steps: Sequence[Step]) -> Iterable[Step]:
        for step in steps:
            yield step
            if isinstance(step, Stop) and any(r.service == "web" for r in step.replicas):
                yield watch()

    assert WATCHED in rules(changed(late))


@pytest.mark.parametrize(
    ("previous", "name", "broken"),
    [
        (OLD, "shop-releases-web-blue-1", set()),
        (NEW, "shop-releases-web-blue-1", {WATCHED}),
        (OLD, "shop-releases-web-blue-9", {WATCHED}),
    ],
)
def test_what_it_is_watched_beside_runs_and_is_of_the_release_before(
    previous: str, name: str, broken: set[str]
) -> None:
    def early(steps: Sequence[Step]) -> Iterable[Step]:
        for step in steps:
            if isinstance(step, MarkCurrent):
                yield replace(watch(), previous=previous, beside=(("web", name),))
            yield step

    assert rules(changed(early)) == broken


def test_a_watch_before_the_old_ones_stop_breaks_no_rule() -> None:
    def early(steps: Sequence[Step]) -> Iterable[Step]:
        for step in steps:
            if isinstance(step, MarkCurrent):
                yield watch()
            yield step

    assert rules(changed(early)) == set()


def test_a_pause_breaks_no_rule_anywhere() -> None:
    pause = Watch(NEW, (), 10.0, "for a coffee")
    for at in range(len(GOOD.steps) + 1):
        assert rules(changed(lambda steps, at=at: [*steps[:at], pause, *steps[at:]])) == set()


# Scaled to nothing

NOTHING = target(replace(WEB, replicas=0), WORKER, CRON)


def test_a_service_that_is_scaled_to_nothing_needs_nobody_in_the_route() -> None:
    plan = Mix.single(BlueGreen()).plan(OBSERVED, NOTHING)
    assert "web" in plan.downtime
    assert rules(plan, to=NOTHING) == set()
    routed = [step.upstreams for step in plan.steps if isinstance(step, Route)]
    assert routed[-1] == (Upstream("web", ()),)


def test_a_service_that_is_scaled_to_nothing_is_declared() -> None:
    plan = replace(Mix.single(BlueGreen()).plan(OBSERVED, NOTHING), downtime=("cron",))
    assert "the route is never empty" in rules(plan, to=NOTHING)


def test_a_release_of_which_users_ask_nothing_ends_with_an_empty_route() -> None:
    def untouched(steps: Sequence[Step]) -> Iterable[Step]:
        return (
            step
            for step in steps
            if not isinstance(step, Route | ConfirmRoute)
            and not (isinstance(step, Stop) and step.replicas[0].service == "web")
        )

    plan = Mix.single(BlueGreen()).plan(OBSERVED, NOTHING)
    assert "the plan ends at its target" in rules(changed(untouched, plan), to=NOTHING)


# A migration

FIRST = "nothing starts before the migration of its release"
ONCE = "a migration runs once, and only the target's own"
BACKED = "a migration has its backing services"
UNNOTICED = "a migration comes before anything that users notice"
MIGRATING = replace(target(), migration=Migration("web"), backing=("db",))
WITH_DB = replace(OBSERVED, backing=(Backing("db", "id-db"),))
MIGRATED = Mix.single(BlueGreen()).plan(WITH_DB, MIGRATING)


def is_once(step: Step) -> bool:
    return isinstance(step, RunOnce)


def broken(change: Change, observed: Observed = WITH_DB) -> set[str]:
    return rules(changed(change, MIGRATED), observed, MIGRATING)


def test_a_plan_that_migrates_first_breaks_no_rule() -> None:
    assert [type(step) for step in MIGRATED.steps[:2]] == [RunOnce, Start]
    assert broken(lambda steps: steps) == set()


def test_nothing_starts_before_it() -> None:
    assert broken(earlier(started("web"), than=is_once)) == {FIRST}


def test_a_plan_without_it_ends_nowhere() -> None:
    without = broken(lambda steps: [step for step in steps if not is_once(step)])
    assert without == {FIRST, "the plan ends at its target"}


def test_it_runs_once() -> None:
    assert broken(lambda steps: [steps[0], *steps]) == {ONCE}


def test_it_runs_only_while_it_is_due() -> None:
    assert broken(lambda steps: steps, replace(WITH_DB, migrated=frozenset({NEW}))) == {ONCE}
    committed = replace(WITH_DB, committed=frozenset({OLD, NEW}))
    assert broken(lambda steps: steps, committed) == {ONCE}


def test_it_is_the_targets_own() -> None:
    def others(steps: Sequence[Step]) -> Iterable[Step]:
        return (replace(s, release=OLD) if isinstance(s, RunOnce) else s for s in steps)

    assert broken(others) == {ONCE}


def test_its_backing_services_are_there() -> None:
    down = replace(OBSERVED, backing=(Backing("db", "id-db", running=False),))
    assert broken(lambda steps: steps, down) == {BACKED}
    ensure = EnsureBacking(("db",), "not running")
    assert broken(lambda steps: [ensure, *steps], down) == set()
    assert broken(lambda steps: [steps[0], ensure, *steps[1:]], down) == {BACKED}


def test_users_notice_nothing_before_it() -> None:
    pause = Watch(NEW, (), 1.0, "for a coffee")
    assert broken(lambda steps: [pause, *steps]) == {UNNOTICED}
