"""Held, promoted or aborted, with a failure or a `kill -9` at every step: no request is lost, no
worker of the held release runs, and the same command again ends where it should."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from releasekit import holding
from releasekit import journal as journals
from releasekit.errors import Interrupted, ReleaseFailed, StepFailed, UsageError
from releasekit.events import Event, EventSink, StepStarted, ignore
from releasekit.observed import Observed
from releasekit.outcome import Outcome
from releasekit.release import Release
from releasekit.run import Run
from releasekit.runner import Downtime, Runner
from releasekit.strategies.base import Strategy
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.mixed import Mix
from releasekit.strategies.rolling import Rolling
from releasekit.target import Target
from releasekit.testing import FakeEngine, FakeRouter, Fault, Killed, Simulator
from releasekit.testing.world import When
from tests.simulation.starts import STARTS, A, C, target

BLUE_GREEN, ROLLING = BlueGreen(), Rolling()
WHENS: tuple[When, ...] = ("before", "midway", "after")
HELD = {name: start for name, start in STARTS.items() if "workers" not in name}
everywhere = pytest.mark.parametrize("start", HELD)


def simulated(start: str) -> Simulator:
    """The world of this name, with the options of the last release in it."""
    simulator = HELD[start].simulator()
    simulator.options = next((c.options for _, c in reversed(HELD[start].history)), None)
    return simulator


def assert_serves(simulator: Simulator, release: str, strategy: Strategy, story: str) -> None:
    assert simulator.current == release, story
    assert simulator.plan(target(release), strategy).is_empty, story
    assert simulator.world.lost == [], story


@dataclass(frozen=True)
class Bundle:
    """A stored release."""

    to: Target
    project: str = "shop"

    @property
    def release(self) -> Release:
        return Release(self.id.partition("~")[0])

    @property
    def id(self) -> str:
        return self.to.release

    def target(self) -> Target:
        return self.to


class Site:
    """A project on a simulated host, for `Run`."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.world = simulator.world
        self.journal = simulator.journal
        self.store: Any = self
        simulator.stored[C] = target(C)

    def observe(self) -> Observed:
        held = journals.held(self.journal.records())
        return replace(self.simulator.observe(), held=held)

    def load(self, release: str) -> Bundle:
        return Bundle(self.simulator.stored[release])

    def runner(self, events: EventSink, stop: threading.Event, downtime: Downtime) -> Runner:
        def heard(event: Event) -> None:
            events(event)
            self.world.step += isinstance(event, StepStarted)

        engine, router = FakeEngine(self.world), FakeRouter(self.world)
        clock = self.world.clock
        return Runner(engine, router, self.journal, clock, heard, stop.is_set, downtime)


class Shop:
    """The verbs of a project, each in a process of its own."""

    def __init__(self, start: str, strategy: Strategy = BLUE_GREEN) -> None:
        self.site = Site(simulated(start))
        self.simulator, self.world = self.site.simulator, self.site.world
        self.mix = self.simulator.mix(strategy)
        self.strategy = strategy

    def hold(self, faults: Sequence[Fault] = ()) -> Outcome:
        run = self._begin("up", faults)
        site: Any = self.site
        return run.to(site.load(C), self.mix, site, site.observe(), threading.Event(), hold=True)

    def promote(self, faults: Sequence[Fault] = ()) -> Outcome | None:
        """None: nothing is held, and no promotion was killed."""
        records, site = self.site.journal.records(), self.site
        held = journals.hold(records) or journals.cut_short(records)
        if held is None:
            return None
        run, mix = self._begin("promote", faults), holding.restored(held["strategies"])
        assert isinstance(mix, Mix)
        promoted: Any = site
        bundle = promoted.load(held["release"])
        return run.to(bundle, mix, promoted, site.observe(), threading.Event())

    def abort(self, faults: Sequence[Fault] = ()) -> Outcome | None:
        """None: nothing is held."""
        site: Any = self.site
        observed = site.observe()
        if not observed.held:
            return None
        run = self._begin("abort", faults)
        current = site.load(observed.current) if observed.current else None
        return run.abort(target(C), current, self.mix, site, observed, threading.Event())

    def _begin(self, kind: str, faults: Sequence[Fault]) -> Run:
        self.world.step, self.world.faults, self.world.is_killed = 0, tuple(faults), False
        workspace: Any = SimpleNamespace(
            clock=self.world.clock, site=lambda _: self.site, shows_previews=True
        )
        return Run(kind, "shop", Release("c" * 40), workspace, ignore, {"by": "kim"})

    def killed(self, verb: Callable[[Sequence[Fault]], Any], fault: Fault) -> bool:
        """Whether the verb was killed by this fault: it may have fewer steps."""
        try:
            verb([fault])
        except Killed:
            return True
        finally:
            self.world.faults, self.world.is_killed = (), False
        return False

    def fails(self, verb: Callable[[Sequence[Fault]], Any], fault: Fault) -> str:
        """What the verb says when it fails by this fault; "" when it does not."""
        try:
            verb([fault])
        except ReleaseFailed as error:
            return error.message
        return ""

    @property
    def workers(self) -> set[str]:
        """The names of the held release's workers that run."""
        there = self.site.observe().of(C)
        return {
            replica.name for replica in there if replica.service == "worker" and replica.running
        }

    def assert_held(self, before: Observed) -> None:
        after = self.site.observe()
        routes = [{u.service: u.shares() for u in o.route.upstreams} for o in (before, after)]
        assert routes[0] == routes[1]
        assert after.held == C
        assert after.current == before.current
        assert self.workers == {r.name for r in before.of(C) if r.running and r.service == "worker"}
        assert self.world.lost == []

    def assert_as_before(self, before: Observed) -> None:
        """The release of then serves, and nothing was lost on the way."""
        after = self.site.observe()
        assert (after.current, after.held) == (before.current, "")
        if before.current:
            assert_serves(self.simulator, before.current, self.strategy, "")
        if C not in before.committed:
            assert after.of(C) == ()
        assert self.world.lost == []


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
    run, site = shop._begin("up", ()), shop.site
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
