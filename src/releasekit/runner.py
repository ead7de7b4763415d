"""Runs a plan's steps in order, records each, and tells what happens. It decides nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import assert_never

from releasekit.downtime import Downtime
from releasekit.errors import (
    DeadlineExceeded,
    ForeignChange,
    Interrupted,
    MigrationUnfinished,
    NeverHealthy,
    ReleasekitError,
    RouteRefused,
    StepFailed,
    known,
)
from releasekit.events import (
    DowntimeMeasured,
    EventSink,
    StepEnded,
    StepProgress,
    StepStarted,
    Warned,
)
from releasekit.journal import Journal, committed, if_possible
from releasekit.migrating import NEXT
from releasekit.plan import Plan
from releasekit.ports import LOG_LINES, Clock, Engine, Router
from releasekit.steps import (
    Announce,
    AwaitHealthy,
    ConfirmRoute,
    Drain,
    EnsureBacking,
    MarkCurrent,
    Phase,
    Pull,
    Remove,
    Route,
    RunOnce,
    Start,
    Step,
    Stop,
    Watch,
)
from releasekit.waiting import wait_until
from releasekit.watching import Judge, Watcher

GOOD_IN_A_ROW = 2
"""How often a replica must be found healthy before it counts: one answer may be a lucky one."""
CONFIRM_DEADLINE_S = 15.0


@dataclass
class Runner:
    """Executes plans through the ports. `is_stopped` asks whether a person wants it to end."""

    engine: Engine
    router: Router | None
    journal: Journal
    clock: Clock
    events: EventSink
    is_stopped: Callable[[], bool] = lambda: False
    downtime: Downtime = field(default_factory=Downtime)
    judges: Callable[[], Sequence[Judge]] = tuple
    """Who judges a release by what users get, besides its health, while it is watched."""
    look_before: Callable[[Watch], None] = lambda _: None
    """Is told of the watch to come, before anything of the release is there."""
    must_record: bool = True
    """Whether a journal that cannot be written stops the run: not on the way back."""
    heeds_others: bool = True
    """Whether what others do to the containers meanwhile stops it: not on the way back either."""
    _answered: float = field(default=0.0, init=False)
    """When the replicas of the last `AwaitHealthy` began to answer."""
    _is_loaded: bool = field(default=False, init=False)
    """Whether nginx served the last `Route` already, so that it was not loaded anew."""
    _is_committed: bool = field(default=False, init=False)

    def run(self, plan: Plan, run: str) -> None:
        """Run every step; raises what the failing step raised, or `Interrupted`.

        After the commit point a failure only warns and the run goes forward, but never past a
        drain that failed: the new release serves, and what is left of the old one is cleared by
        the next run.
        """
        self._is_committed = not any(isinstance(step, MarkCurrent) for step in plan.steps)
        self._look_before(plan)
        for number, step in enumerate(plan.steps, start=1):
            if not self._is_committed:
                self._stop_on_request()
            try:
                self._step(step, number, len(plan.steps), plan, run)
            # A bug of ours is no reason either to call it a failed release.
            except Exception as error:
                self._is_committed = self._is_committed or self._is_marked(step)
                if not (self._is_committed and step.phase is Phase.SETTLE):
                    raise
                # In the midst of a way back: it may not end there as if it were done.
                if isinstance(step, Drain) and not _only_settles(plan.steps[number:]):
                    raise
                self.events(Warned(f"{type(step).__name__}: {known(error).message}"))
                if isinstance(step, Drain):
                    return  # nobody knows who still has requests: whoever it is, runs on
            self._is_committed = self._is_committed or isinstance(step, MarkCurrent)

    def _is_marked(self, step: Step) -> bool:
        """Whether this was the commit point, and is on record although something failed then: a
        disk that is full after that line, say."""
        if not isinstance(step, MarkCurrent):
            return False
        with suppress(ReleasekitError):
            return committed(self.journal.records())[-1:] == (step.release,)
        return False

    def _step(self, step: Step, number: int, total: int, plan: Plan, run: str) -> None:
        name = type(step).__name__
        self._record(run, state="begin", number=number, step=name, what=str(step))
        self.events(StepStarted(number, total, step))
        began = self.clock.now()
        self.downtime.heed(step, plan, began)
        try:
            self._heed_others(step, number, plan)
            self._take(step, plan, run)
        except BaseException as failure:
            error = str(failure) or repr(failure)
            self.events(StepEnded(number, total, step, self.clock.now() - began, error))
            with suppress(ReleasekitError):  # a journal that fails too must not hide the failure
                self._record(run, state="end", number=number, step=name, error=error)
            raise
        self.events(StepEnded(number, total, step, self.clock.now() - began))
        self._record(run, state="end", number=number, step=name, error="")

    def _look_before(self, plan: Plan) -> None:
        """Before the first step: a migration, or a worker that starts, is the release's own too."""
        watches = (step for step in plan.steps if isinstance(step, Watch) and step.beside)
        for watch in watches:
            self.look_before(watch)

    def _heed_others(self, step: Step, number: int, plan: Plan) -> None:
        """Raise `ForeignChange` where somebody else changed what a shift is about to rest on."""
        is_first = number == 1 or plan.steps[number - 2].phase is not Phase.SHIFT
        if not (self.heeds_others and is_first and step.phase is Phase.SHIFT):
            return
        changes = self.engine.changed()
        if changes:
            raise ForeignChange(
                f"somebody else changed the project's containers meanwhile: {'; '.join(changes)}",
                difference="\n".join(changes),
                hint="`releasekit up` once more looks at them anew",
            )

    def _record(self, run: str, **facts: object) -> None:
        self._write("step", run, **facts)

    def _write(self, event: str, run: str, **facts: object) -> None:
        with nullcontext() if self.must_record else if_possible(self.events):
            self.journal.write(event, run, **facts)

    def _take(self, step: Step, plan: Plan, run: str) -> None:  # noqa: C901  # a case a step
        match step:
            case Pull():
                self.engine.pull(step.images)
            case EnsureBacking():
                self.engine.ensure_backing(plan.release, step.services, self._stop_on_request)
            case RunOnce():
                self._run_once(step, run)
            case Start():
                self.engine.start(step.release, step.slot, step.replicas)
            case Announce():
                self._routed.apply(step.upstreams, self._stop_on_request)
                if any(upstream.preview for upstream in step.upstreams):
                    self._confirm(step)  # it is there to be tried as soon as the run ends
            case AwaitHealthy():
                self._await_healthy(step)
                if not {service for service, _ in step.replicas} & _routed(plan):
                    self._end_downtime(self._answered)  # nobody else can tell that they work
            case Route():
                self._is_loaded = not self._routed.apply(step.upstreams, self._stop_on_request)
            case ConfirmRoute():
                self._confirm(step)
            case Watch():
                watcher = Watcher(step, self.engine, self.clock, self.events, self.judges())
                watcher.watch(self._stop_on_request)
            case Drain():
                self._drain(step)
            case Stop():
                self.engine.stop([replica.id for replica in step.replicas])
            case Remove():
                self.engine.remove([replica.id for replica in step.replicas])
            case MarkCurrent():
                self._end_downtime(self.clock.now())
                self._write("commit", run, release=step.release)
            case _:
                assert_never(step)

    def _run_once(self, step: RunOnce, run: str) -> None:
        """Only an end that was seen is recorded as one: what has none needs a person."""
        facts = {"release": step.release, "service": step.service}
        self.journal.write("migration", run, state="begins", **facts)
        try:
            self.engine.run_once(step.release, step.service, step.deadline_s)
        except StepFailed:
            self.journal.write("migration", run, state="failed", **facts)
            raise
        except ReleasekitError as error:
            raise MigrationUnfinished(
                f"nobody knows how its migration ended: {error.message}", hint=NEXT
            ) from error
        self.journal.write("migration", run, state="done", **facts)

    @property
    def _routed(self) -> Router:
        if self.router is None:
            raise RouteRefused("the plan moves a route, and the project has no nginx")
        return self.router

    def _await_healthy(self, step: AwaitHealthy) -> None:
        good: dict[str, int] = defaultdict(int)
        seen: dict[str, dict[str, None]] = defaultdict(dict)  # in order, each once

        def look() -> str:
            self._stop_on_request()
            missing = self._unhealthy(step, good, seen)
            if missing and all(good[name] for _, name in step.replicas):
                missing = self._unhealthy(step, good, seen)  # all answer: prove it at once
            return missing

        try:
            wait_until(
                look,
                deadline_s=step.deadline_s,
                clock=self.clock,
                on_detail=lambda detail: self.events(StepProgress(step, detail)),
                longest_pause_s=0.1,
            )
        except DeadlineExceeded as error:
            failing = [name for _, name in step.replicas if good[name] < GOOD_IN_A_ROW]
            why = _listed({name: ", then ".join(seen[name]) for name in failing})
            why = f"{why} (waited {step.deadline_s:g} s)"
            raise self._never_healthy(failing, why) from error

    def _unhealthy(
        self, step: AwaitHealthy, good: dict[str, int], seen: dict[str, dict[str, None]]
    ) -> str:
        """Probe every replica, for one that was proven may fall while others boot; what is
        missing, or "" when all are healthy."""
        began = self.clock.now()
        probes = self.engine.probe(step.release, step.replicas)
        lost = {name: probe.detail for name, probe in probes.items() if probe.is_lost}
        if lost:
            raise self._never_healthy(lost, _listed(lost))
        for name, probe in probes.items():
            good[name] = good[name] + 1 if probe.is_healthy else 0
            seen[name][probe.detail] = None
            if good[name] == 1:
                self._answered = began
        return _listed({n: p.detail for n, p in probes.items() if good[n] < GOOD_IN_A_ROW})

    def _never_healthy(self, failing: Iterable[str], why: str) -> NeverHealthy:
        tails = {name: self.engine.log_tail(name, LOG_LINES) for name in failing}
        return NeverHealthy(f"not healthy: {why}", log_tail=tails)

    def _confirm(self, step: ConfirmRoute | Announce) -> None:
        missing: list[str] = []
        asked = self.clock.now()

        def look() -> str:
            nonlocal asked
            self._stop_on_request()
            asked = self.clock.now()
            return self._routed.unconfirmed()

        def tell(detail: str) -> None:
            missing.append(detail)
            self.events(StepProgress(step, detail))

        try:
            wait_until(
                look,
                deadline_s=CONFIRM_DEADLINE_S,
                clock=self.clock,
                on_detail=tell,
                longest_pause_s=0.02,
            )
        except DeadlineExceeded as error:
            raise RouteRefused(f"nginx does not serve the route: {error.message}") from error
        # What nginx knew already it has served since the replicas answer, any other route at the
        # latest when it was asked for the last time: to hear all answers takes a while.
        was_served = self._is_loaded and not missing
        self._end_downtime(self._answered if was_served else asked)

    def _drain(self, step: Drain) -> None:
        def look() -> str:
            if not self._is_committed:  # what is drained runs on, and can be gone back to
                self._stop_on_request()
            try:
                return self._routed.undrained()
            except ReleasekitError as error:  # nobody is to be cut because docker hiccups
                return f"nginx does not tell: {error.message}"

        try:
            wait_until(
                look,
                deadline_s=step.limit_s,
                clock=self.clock,
                on_detail=lambda detail: self.events(StepProgress(step, detail)),
                longest_pause_s=0.1,
            )
        except DeadlineExceeded as error:
            self.events(Warned(f"the drain's time is up, and requests are cut: {error.message}"))

    def _stop_on_request(self) -> None:
        if self.is_stopped():
            raise Interrupted("stopped on request")

    def _end_downtime(self, now: float) -> None:
        seconds = self.downtime.end(now)
        if seconds is not None:
            self.events(DowntimeMeasured(seconds))


def _only_settles(steps: Iterable[Step]) -> bool:
    return all(step.phase is Phase.SETTLE for step in steps)


def _routed(plan: Plan) -> frozenset[str]:
    """The services whose route the plan moves: they answer once that is confirmed."""
    routes = (step for step in plan.steps if isinstance(step, Route))
    return frozenset(upstream.service for route in routes for upstream in route.upstreams)


def _listed(details: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {detail}" for name, detail in details.items())
