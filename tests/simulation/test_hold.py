"""Held, promoted or aborted, with a failure or a `kill -9` at every step: no request is lost, no
worker of the held release runs, and the same command again ends where it should."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from releasekit.errors import Interrupted, ReleaseFailed, StepFailed, UsageError
from releasekit.strategies.rolling import Rolling
from releasekit.testing import Fault, Killed
from releasekit.testing.world import When
from tests.simulation.starts import STARTS, A, C, target
from tests.simulation.verbs import BLUE_GREEN, Shop, assert_serves

ROLLING = Rolling()
WHENS: tuple[When, ...] = ("before", "midway", "after")
HELD = {name: start for name, start in STARTS.items() if "workers" not in name}
everywhere = pytest.mark.parametrize("start", HELD)


def failed() -> StepFailed:
    return StepFailed("it did not work")


def faults(error: Callable[[], BaseException] = Killed) -> list[Fault]:
    return [Fault(step, when, error) for step in range(1, 12) for when in WHENS]


@everywhere
def test_a_hold_changes_nothing_for_users_and_its_promotion_loses_none(start: str) -> None:
    shop = Shop(start)
    before = shop.site.observe()
    assert shop.hold().result == "held"
    shop.assert_held(before)
    outcome = shop.promote()
    assert outcome is not None
    assert (outcome.result, outcome.previous) == ("released", before.current)
    assert_serves(shop.simulator, C, BLUE_GREEN, "")
    assert shop.site.observe().held == ""


def test_what_replaces_replicas_as_it_goes_is_refused_and_touches_nothing() -> None:
    shop = Shop("one release", ROLLING)
    before = shop.site.observe()
    with pytest.raises(UsageError, match="cannot be held with rolling"):
        shop.hold()
    assert shop.site.observe() == before
    shop.assert_as_before(before)


@everywhere
def test_aborted_everything_is_as_before(start: str) -> None:
    shop = Shop(start)
    before = shop.site.observe()
    shop.hold()
    outcome = shop.abort()
    assert outcome is not None
    assert (outcome.result, outcome.release) == ("aborted", C)
    shop.assert_as_before(before)
    assert shop.abort() is None


@everywhere
def test_held_again_there_is_nothing_to_do(start: str) -> None:
    shop = Shop(start)
    shop.hold()
    before = shop.site.observe()
    assert shop.hold().result == "nothing-to-do"
    assert shop.site.observe() == before


@everywhere
def test_a_hold_that_fails_leaves_everything_as_before(start: str) -> None:
    for fault in faults(failed):
        shop = Shop(start)
        before = shop.site.observe()
        if shop.fails(shop.hold, fault):
            shop.assert_as_before(before)
        else:
            shop.assert_held(before)


@everywhere
@pytest.mark.parametrize("then", [A, C], ids=["back", "again"])
def test_killed_before_it_is_held_the_next_run_clears_what_is_left(start: str, then: str) -> None:
    for fault in faults():
        shop = Shop(start)
        before = shop.site.observe()
        if not shop.killed(shop.hold, fault):
            continue
        assert shop.site.observe().held == ""
        assert shop.world.lost == []
        ended = shop.simulator.run(target(then), BLUE_GREEN)
        assert ended.result in ("done", "nothing-to-do")
        if not before.current:
            shop.world.lost.clear()  # nobody was served before
        assert_serves(shop.simulator, then, BLUE_GREEN, "")


@everywhere
def test_killed_in_its_promotion_the_same_command_ends_it(start: str) -> None:
    for fault in faults():
        shop = Shop(start)
        shop.hold()
        if not shop.killed(shop.promote, fault):
            continue
        assert shop.promote() is not None, fault
        assert_serves(shop.simulator, C, BLUE_GREEN, str(fault))


@everywhere
def test_killed_in_its_promotion_it_can_be_aborted_before_the_commit_point(start: str) -> None:
    for fault in faults():
        shop = Shop(start)
        before = shop.site.observe()
        shop.hold()
        if not before.current or not shop.killed(shop.promote, fault):
            continue
        if shop.abort() is not None:
            shop.assert_as_before(before)
        else:
            assert shop.site.observe().current == C


@everywhere
def test_killed_while_it_is_aborted_the_same_command_ends_it(start: str) -> None:
    for fault in faults():
        shop = Shop(start)
        before = shop.site.observe()
        shop.hold()
        if not shop.killed(shop.abort, fault):
            continue
        assert shop.abort() is not None, fault
        shop.assert_as_before(before)


@everywhere
def test_what_is_held_and_died_is_started_again_by_its_promotion(start: str) -> None:
    for is_gone in (True, False):
        shop = Shop(start)
        shop.hold()
        for name in [replica.name for replica in shop.site.observe().of(C)]:
            shop.world.containers[name].running = False
            if is_gone:
                del shop.world.containers[name]
        assert shop.promote() is not None
        if "target" not in start:  # of which nothing waits
            assert_serves(shop.simulator, C, BLUE_GREEN, "")


def test_a_promotion_that_fails_leaves_it_held_and_says_what_is_next() -> None:
    shop = Shop("one release")
    before = shop.site.observe()
    shop.hold()
    with pytest.raises(ReleaseFailed, match="aaaaaaa serves as before") as caught:
        shop.promote([Fault(3, "before", failed)])
    assert "`releasekit promote` tries it once more" in caught.value.hint
    assert shop.site.observe().held == C
    assert shop.site.observe().current == before.current
    assert shop.world.lost == []
    assert shop.promote() is not None
    assert_serves(shop.simulator, C, BLUE_GREEN, "")


def test_stopped_on_request_it_is_not_held() -> None:
    shop = Shop("one release")
    before, stop = shop.site.observe(), threading.Event()
    stop.set()
    run, site = shop.begin("up", ()), shop.site
    any_site: Any = site
    with pytest.raises(Interrupted, match="aaaaaaa serves as before"):
        run.to(any_site.load(C), shop.mix, any_site, before, stop, hold=True)
    shop.assert_as_before(before)


@pytest.mark.parametrize("step", ["Announce", "Remove"])
def test_what_cannot_be_aborted_is_held_still(step: str) -> None:
    shop = Shop("one release")
    before = shop.site.observe()
    shop.hold()
    number = ["Announce", "Drain", "Stop", "Remove"].index(step) + 1
    assert "ccccccc is still held" in shop.fails(shop.abort, Fault(number, "before", failed))
    assert shop.site.observe().held == C
    assert shop.abort() is not None
    shop.assert_as_before(before)
