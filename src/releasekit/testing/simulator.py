"""Run releases on a `World`, with the real runner, as a project does it on a host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from releasekit import journal as journals
from releasekit.chain import Reading
from releasekit.check import checked_plan
from releasekit.downtime import Downtime
from releasekit.errors import Breach, Interrupted, MigrationUnfinished, ReleasekitError
from releasekit.events import Event, StepStarted
from releasekit.journal import Journal
from releasekit.migrating import Decision, require_decided
from releasekit.observed import Observed
from releasekit.plan import Plan
from releasekit.recovery import way_back
from releasekit.runner import Runner
from releasekit.strategies.base import Options, Strategy
from releasekit.strategies.mixed import Mix
from releasekit.target import Target
from releasekit.testing.fakes import FakeEngine, FakeHost, FakeRouter
from releasekit.testing.world import Fault, Killed, World

JOURNAL = "journal.jsonl"

SIMULATED: Counter[str] = Counter()
"""How many "runs", and "worlds" of a story of their own, this process has simulated."""

Result = Literal["done", "nothing-to-do", "failed", "interrupted", "degraded", "killed", "fenced"]


@dataclass
class Ended:
    """How a run ended. `degraded`: the way back failed too, with `way_back_error`; `error` is what
    went wrong first. `fenced`: a migration was not seen to end, and nothing is done before a
    person decides."""

    result: Result = "done"
    plans: list[Plan] = field(default_factory=list)
    """The plan, and after a failure the one back."""
    events: list[Event] = field(default_factory=list)
    error: BaseException | None = None
    way_back_error: BaseException | None = None
    downtime_s: float | None = None


class Simulator:
    """One project on `world`. A strategy alone goes by `options`, or by its defaults where those
    are another strategy's.

    A new process for each run: nothing is carried from one to the next but the world. After a
    failure it goes the `way_back`.
    """

    def __init__(
        self,
        world: World,
        options: Options | None = None,
        *,
        way_back: Callable[..., Plan] = way_back,
    ) -> None:
        self.world = world
        self.options = options
        self.way_back = way_back
        self.stored: dict[str, Target] = {}
        self.journal = _Journal(FakeHost(world), world.clock, JOURNAL)
        self._runs = 0

    def observe(self) -> Observed:
        """What there is now, as `Site.observe` tells it."""
        replicas, backing = FakeEngine(self.world).observe()
        router = None if self.world.nginx is None else FakeRouter(self.world)
        nginx = router.observe() if router is not None else None
        seen = Observed(self.world.project, replicas, backing, nginx)
        return journals.recalled(seen, self.journal.records())

    @property
    def current(self) -> str:
        """The id of the release that was last committed to; "" when there is none."""
        return next(reversed(journals.committed(self.journal.records())), "")

    @property
    def unfinished(self) -> Mapping[str, Any] | None:
        """The record of the migration that was not seen to end, and that nobody decided of."""
        return journals.unfinished(self.journal.records())

    def commit(self, *targets: Target) -> None:
        """Have these releases been committed to before, in this order."""
        for target in targets:
            self.stored[target.release] = target
            self._runs += 1
            self.journal.write("begin", f"run-{self._runs}", kind="up")
            self.journal.write("commit", f"run-{self._runs}", release=target.release)

    def plan(self, target: Target, strategy: Strategy | Mix) -> Plan:
        return checked_plan(self.mix(strategy), self.observe(), target)

    def mix(self, strategy: Strategy | Mix) -> Mix:
        """What to plan with: a strategy alone goes by this simulator's options."""
        if isinstance(strategy, Mix):
            return strategy
        fits = isinstance(self.options, strategy.options)
        return Mix.single(strategy, self.options if fits else None)

    def run(
        self,
        target: Target,
        strategy: Strategy | Mix,
        *,
        kind: Literal["up", "rollback"] = "up",
        faults: Sequence[Fault] = (),
        is_stopped: Callable[[], bool] = lambda: False,
        migration: Decision | None = None,
    ) -> Ended:
        """Bring the world to `target`, and after a failure back to what was current; `migration`
        is what a person decided of one that was not seen to end."""
        SIMULATED["runs"] += 1
        self._runs += 1
        ended = Ended()
        self.stored[target.release] = target
        self.world.step, self.world.faults, self.world.is_killed = 0, tuple(faults), False
        try:
            before = self._decided(kind, migration)
            self._run(target, self.mix(strategy), kind, is_stopped, before, ended)
        except MigrationUnfinished as error:
            ended.result, ended.error = "fenced", error
        except Killed as error:
            ended.result, ended.error = "killed", error
        self.world.faults, self.world.is_killed = (), False
        return ended

    def _run(
        self,
        target: Target,
        mix: Mix,
        kind: str,
        is_stopped: Callable[[], bool],
        before: Observed,
        ended: Ended,
    ) -> None:
        runner = self._runner(ended, is_stopped)
        plan = checked_plan(mix, before, target)
        ended.plans.append(plan)
        if plan.is_empty:
            ended.result = "nothing-to-do"
            return
        run = f"run-{self._runs}"
        self.journal.write("begin", run, kind=kind, release=target.release, strategy=mix.name)
        try:
            runner.run(plan, run)
        except ReleasekitError as error:
            self._go_back(target, mix, before, error, ended, runner.downtime)
        ended.downtime_s = runner.downtime.seconds
        self.journal.write("end", run, result=ended.result)

    def _decided(self, kind: str, decision: Decision | None) -> Observed:
        """What there is, once a person has decided what an `up` cannot."""
        unfinished = self.unfinished
        if kind == "up":
            require_decided(unfinished, decision, "the process was killed", runs=False)
        if unfinished is not None and decision is not None:
            facts = {"release": unfinished["release"], "state": decision}
            self.journal.write("migration", unfinished["run"], **facts)
        return self.observe()

    def _go_back(
        self,
        failed: Target,
        mix: Mix,
        before: Observed,
        error: ReleasekitError,
        ended: Ended,
        downtime: Downtime,
    ) -> None:
        ended.error = error
        ended.result = "interrupted" if isinstance(error, Interrupted) else "failed"
        observed = self.observe()
        if observed.current == failed.release:
            return
        previous = _Stored(self.stored[observed.current]) if observed.current else None
        try:
            at_once = isinstance(error, Breach)
            plan = self.way_back(before, observed, failed.release, previous, mix, at_once=at_once)
            ended.plans.append(plan)
            runner = self._runner(ended, lambda: False)
            runner.downtime = downtime
            runner.run(plan, f"run-{self._runs}")
        except ReleasekitError as second:
            ended.result, ended.way_back_error = "degraded", second

    def _runner(self, ended: Ended, is_stopped: Callable[[], bool]) -> Runner:
        def heard(event: Event) -> None:
            ended.events.append(event)
            if isinstance(event, StepStarted):
                self.world.step += 1

        engine = FakeEngine(self.world, self.stored)
        router = None if self.world.nginx is None else FakeRouter(self.world)
        return Runner(engine, router, self.journal, self.world.clock, heard, is_stopped)


class _Journal(Journal):
    """Keeps no steps, which nobody reads, and understands the rest only once: thousands of worlds
    are looked at again and again."""

    _text: str | None = None
    _reading = Reading()

    def write(self, event: str, run: str, **facts: object) -> None:
        if event != "step":
            super().write(event, run, **facts)

    def read(self) -> Reading:
        text = self._host.read(self._path)
        if text != self._text:
            self._text, self._reading = text, super().read()
        return self._reading


@dataclass(frozen=True, slots=True)
class _Stored:
    """A stored release, for `way_back`."""

    _target: Target

    def target(self) -> Target:
        return self._target
