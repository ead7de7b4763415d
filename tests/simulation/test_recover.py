"""A `kill -9` at every step of a release, and again at every step of its recovery: one command
puts it right, no request is lost, and nothing runs that a release would not have run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from releasekit import journal as journals
from releasekit.strategies.base import Strategy
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import Rolling
from releasekit.testing import Fault
from releasekit.testing.world import When
from tests.simulation.starts import STARTS, A, C
from tests.simulation.verbs import Shop

MOST_STEPS = 14
"""More than any plan has."""
WHENS: tuple[When, ...] = ("before", "midway", "after")
STRATEGIES: dict[str, Strategy] = {
    "blue-green": BlueGreen(),
    "recreate": Recreate(),
    "rolling": Rolling(),
}
DOWN = {"recreate"}
"""Those that may lose requests."""

HELD = [name for name in STARTS if "workers" not in name]
SOME = ["one release", "recreated", "two releases, old nginx", "nothing"]

everywhere = pytest.mark.parametrize("start", STARTS)
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def killed(start: str, strategy: str, fault: Fault) -> Shop | None:
    """A shop in which the release of C was killed by this fault; None when it has fewer steps."""
    shop = Shop(start, STRATEGIES[strategy])
    return shop if shop.killed(shop.up, fault) else None


def faults(whens: tuple[When, ...] = WHENS) -> list[Fault]:
    return [Fault(step, when) for step in range(1, MOST_STEPS) for when in whens]


def assert_right(shop: Shop, strategy: str, story: str) -> None:
    """What was committed to serves, and once more there is nothing to do."""
    current = shop.simulator.current
    if current:
        assert shop.simulator.plan(shop.targets[current], shop.strategy).is_empty, story
    else:
        assert not shop.site.observe().routed(), story
        assert shop.site.observe().of(C) == (), story
    if strategy not in DOWN:
        assert shop.world.lost == [], story
    assert journals.open_run(shop.site.journal.records()) is None, story
    there = shop.site.observe()
    shop.world.forget()
    assert shop.recover().result == "nothing-to-do", story
    assert shop.site.observe() == there, story
    assert shop.world.history == [], story


@everywhere
@each_strategy
def test_killed_at_any_step_a_recovery_brings_back_what_was_committed_to_and_runs_no_more_at_once(
    start: str, strategy: str
) -> None:
    """No more than the release itself, or than was there when it was killed."""
    whole = Shop(start, STRATEGIES[strategy])
    whole.world.forget()
    whole.up()
    for fault in faults():
        shop = killed(start, strategy, fault)
        if shop is None:
            continue
        current, there = shop.simulator.current, shop.site.observe()
        is_asked = any(replica.release == C for replica in there.routed())
        shop.world.most.clear()
        shop.recover()
        assert shop.simulator.current == current or (current == "" and is_asked), fault
        running = Counter(replica.service for replica in there.replicas if replica.running)
        assert shop.world.most <= (whole.world.most | running), fault
        assert_right(shop, strategy, str(fault))


@pytest.mark.parametrize("start", SOME)
@each_strategy
def test_killed_at_any_step_of_the_recovery_the_same_command_ends_it(
    start: str, strategy: str
) -> None:
    for fault in faults(("after",)):
        for later in faults(("midway", "after")):
            shop = killed(start, strategy, fault)
            if shop is None or not shop.killed(shop.recover, later):
                break
            shop.recover()
            assert_right(shop, strategy, f"{fault}, {later}")


@pytest.mark.parametrize("start", HELD)
def test_killed_before_it_is_held_nothing_of_it_is_left(start: str) -> None:
    for fault in faults():
        shop = Shop(start)
        before = shop.site.observe()
        if shop.killed(shop.hold, fault):
            shop.recover()
            shop.assert_as_before(before)
            assert_right(shop, "blue-green", str(fault))


@pytest.mark.parametrize("start", [name for name in HELD if "plain" not in name])
def test_what_is_held_stays_held(start: str) -> None:
    shop = Shop(start)
    before = shop.site.observe()
    shop.hold()
    there = shop.site.observe()
    assert shop.recover().result == "nothing-to-do"
    assert shop.site.observe() == there
    shop.assert_held(before)


def test_what_is_held_and_in_the_way_can_be_promoted_all_the_same() -> None:
    """The team's own nginx gets our route first, and for that a plan as after any failure."""
    shop = Shop("plain compose")
    shop.hold()
    assert shop.recover().result == "recovered"
    assert shop.site.observe().held == C
    assert shop.promote() is not None
    assert shop.world.lost == []
    assert_right(shop, "blue-green", "")


@pytest.mark.parametrize("start", HELD)
def test_killed_in_its_promotion_what_was_committed_to_serves_and_it_can_be_promoted_again(
    start: str,
) -> None:
    for fault in faults():
        shop = Shop(start)
        shop.hold()
        if not shop.simulator.current or not shop.killed(shop.promote, fault):
            continue
        current = shop.simulator.current
        shop.recover()
        assert shop.simulator.current == current, fault
        assert shop.world.lost == [], fault
        if current != C:
            assert shop.site.observe().held == C
            assert {r.release for r in shop.site.observe().routed()} == {current}
            assert shop.promote() is not None
        assert_right(shop, "blue-green", str(fault))


def test_what_died_by_itself_is_started_again() -> None:
    shop = Shop("one release")
    (worker,) = (c for c in shop.world.containers.values() if c.service == "worker")
    shop.world.containers = {
        name: replace(c, running=c.service != "worker") for name, c in shop.world.containers.items()
    }
    assert not shop.world.containers[worker.name].running
    assert shop.recover().result == "recovered"
    assert shop.world.containers[worker.name].running
    assert_right(shop, "blue-green", "")


def test_where_nothing_was_ever_released_there_is_nothing_to_do() -> None:
    shop = Shop("nothing")
    outcome = shop.recover()
    assert (outcome.result, outcome.release, outcome.previous) == ("nothing-to-do", "", "")


def test_the_history_tells_what_was_killed_and_what_put_it_right() -> None:
    shop = killed("one release", "blue-green", Fault(3, "after"))
    assert shop is not None
    assert journals.open_run(shop.site.journal.records()) is not None
    shop.recover()
    records = shop.site.journal.records()
    assert journals.open_run(records) is None
    entries = journals.history(records, is_running=False)
    assert [(e.kind, e.result) for e in entries[:2]] == [("recover", "recovered"), ("up", "killed")]
    assert {e.release for e in entries} == {A, C}
