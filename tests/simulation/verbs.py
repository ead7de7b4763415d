"""The verbs of a project on a simulated host, each in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from releasekit import holding
from releasekit import journal as journals
from releasekit.downtime import Downtime
from releasekit.errors import ReleaseFailed
from releasekit.events import Event, EventSink, StepStarted, ignore
from releasekit.observed import Observed
from releasekit.outcome import Outcome
from releasekit.recovering import Recovery
from releasekit.release import Release
from releasekit.run import Run
from releasekit.runner import Runner
from releasekit.strategies import registry
from releasekit.strategies.base import Strategy
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.mixed import Mix
from releasekit.strategies.recreate import Recreate
from releasekit.target import Target
from releasekit.testing import FakeEngine, FakeRouter, Fault, Killed, Simulator
from tests.simulation.starts import STARTS, C, target

BLUE_GREEN = BlueGreen()


def simulated(start: str) -> Simulator:
    """The world of this name, with the options of the last release in it."""
    simulator = STARTS[start].simulator()
    simulator.options = next((c.options for _, c in reversed(STARTS[start].history)), None)
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

    def __init__(self, simulator: Simulator, targets: Mapping[str, Target]) -> None:
        self.simulator = simulator
        self.world = simulator.world
        self.journal = simulator.journal
        self.store: Any = self
        self.engine = FakeEngine(self.world)
        simulator.stored |= targets

    def require_own(self, observed: Observed) -> None:
        """Nobody edits a file in this world."""

    def mend(self, observed: Observed, on_wait: Callable[[], None] = lambda: None) -> None:
        """There is none."""

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
        self.targets = STARTS[start].targets
        self.site = Site(simulated(start), self.targets)
        self.simulator, self.world = self.site.simulator, self.site.world
        self.mix = self.simulator.mix(strategy)
        self.strategy = strategy

    def hold(self, faults: Sequence[Fault] = ()) -> Outcome:
        run = self.begin("up", faults)
        site: Any = self.site
        return run.to(site.load(C), self.mix, site, site.observe(), threading.Event(), hold=True)

    def promote(self, faults: Sequence[Fault] = ()) -> Outcome | None:
        """None: nothing is held, and no promotion was killed."""
        records, site = self.site.journal.records(), self.site
        held = journals.hold(records) or journals.cut_short(records)
        if held is None:
            return None
        run, mix = self.begin("promote", faults), holding.restored(held["strategies"])
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
        run = self.begin("abort", faults)
        current = site.load(observed.current) if observed.current else None
        return run.abort(self.targets[C], current, self.mix, site, observed, threading.Event())

    def recover(self, faults: Sequence[Fault] = ()) -> Outcome:
        site: Any = self.site
        workspace: Any = SimpleNamespace(
            clock=self.world.clock,
            journal=lambda _: site.journal,
            store=lambda _: site,
            site=lambda _: site,
            current_site=lambda: site,
            unfinished=lambda *_: None,
        )

        def begun(kind: str, _project: str, _release: Release) -> Run:
            return self.begin(kind, faults)

        def brought_by(brought: tuple[str, Any], _: Any) -> Mix:
            strategy: Strategy = registry.load(brought[0]) if brought[0] else Recreate()
            return self.simulator.mix(strategy)

        def require_own(site: Any, observed: Observed) -> None:
            site.require_own(observed)

        recovery = Recovery(workspace, "shop", begun, brought_by, require_own)
        return recovery.done(threading.Event())

    def up(self, faults: Sequence[Fault] = ()) -> None:
        """Release C; raises as it was killed."""
        ended = self.simulator.run(self.targets[C], self.strategy, faults=faults)
        if isinstance(ended.error, Killed):
            raise ended.error

    def begin(self, kind: str, faults: Sequence[Fault]) -> Run:
        self.world.step, self.world.faults, self.world.is_killed = 0, tuple(faults), False
        workspace: Any = SimpleNamespace(
            clock=self.world.clock,
            site=lambda _: self.site,
            shows_previews=True,
            give_way=lambda *_: None,
            bake_s=0.0,
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
