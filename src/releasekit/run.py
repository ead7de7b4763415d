"""One run of a verb: from its plan to its outcome, and after a failure back to what served."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from releasekit import holding
from releasekit import journal as journals
from releasekit.check import checked_plan
from releasekit.downtime import Downtime
from releasekit.errors import (
    Breach,
    DeadlineExceeded,
    EngineError,
    Interrupted,
    MigrationUnfinished,
    NeedsPerson,
    ReleaseFailed,
    ReleasekitError,
    StepFailed,
    known,
)
from releasekit.events import EventSink, PlanMade, RunEnded, RunStarted, Warned
from releasekit.observed import Health, Observed
from releasekit.outcome import Outcome
from releasekit.plan import Plan
from releasekit.recovery import way_back
from releasekit.release import Release, short
from releasekit.runner import Runner
from releasekit.status import serving_release
from releasekit.steps import Remove, Stop
from releasekit.strategies.mixed import Mix
from releasekit.target import Target
from releasekit.waiting import wait_until

if TYPE_CHECKING:
    from releasekit.bundle import Bundle
    from releasekit.site import Site
    from releasekit.workspace import Workspace

ENGINE_BACK_S = 60.0
"""How long the way back waits for an engine that does not answer, and may hang for half of it."""
TRIES = 3
"""How often the way back is planned anew, as the engine goes away in its midst."""
DONE = {
    "up": "released",
    "rollback": "rolled-back",
    "promote": "released",
    "recover": "recovered",
}
LOOK = "look at `releasekit status`, then `releasekit recover`, or `up` or `rollback` once more"
WAYS_BACK = ("rollback", "abort", "recover")
HINTS = {
    "promote": "`releasekit promote` tries it once more, `releasekit abort` gives it up",
    "abort": "`releasekit abort` once more",
    "recover": "`releasekit recover` once more",
}
"""What to do next where the error itself does not say it."""

_RESULTS = {Interrupted: "interrupted", NeedsPerson: "degraded"}


class Run:
    """A run of the verb `kind` that begins now. `who` asked for it, and from where."""

    def __init__(
        self,
        kind: str,
        project: str,
        release: Release,
        workspace: Workspace,
        events: EventSink,
        who: Mapping[str, str],
    ) -> None:
        self._kind = kind
        self._release = release
        self._workspace = workspace
        self._events = events
        self._who = who
        self._id = run_id(workspace.clock.utc())
        self._began = workspace.clock.now()
        self._downtime = Downtime()
        events(RunStarted(self._id, kind, project, release.tag, release.subject))

    def to(
        self,
        bundle: Bundle,
        mix: Mix,
        site: Site,
        observed: Observed,
        stop: threading.Event,
        *,
        hold: bool = False,
    ) -> Outcome:
        """Bring the project from what is `observed` to `bundle`, until `stop` is set; with `hold`
        only so far that users notice nothing.

        Raises `ReleaseFailed` or `Interrupted` when the previous release serves again, and
        `NeedsPerson` when it does not.
        """
        self._make_room(bundle.project)
        plan = planned(mix, observed, bundle.target(), self._workspace, hold=hold)
        serving = observed.current if hold else bundle.id
        self._events(PlanMade(plan))
        site.mend(observed, partial(_heed, stop))
        if plan.is_empty:
            self._record_well(site, bundle.id, mix)
            return self._ended("nothing-to-do", bundle.id, mix, observed, serving)
        self._record_begin(site, bundle.id, mix)
        try:
            self._runner(site, stop).run(plan, self._id)
            if hold:
                self._record_hold(site, bundle, mix, stop)
        # A bug of ours or a plugin's leaves nothing half-way either.
        except (Exception, KeyboardInterrupt) as error:
            verb = "recovered" if self._kind == "recover" else "released"
            what = f"{short(bundle.id)} was not {verb}"
            at_once = isinstance(error, Breach)
            go_back = partial(self._go_back, site, bundle, mix, observed, at_once=at_once)
            self._fail(site, bundle.id, what, go_back, known(error))
        result = "held" if hold else DONE[self._kind]
        self._record_end(site, result)
        return self._ended(result, bundle.id, mix, observed, serving)

    def abort(
        self,
        held: Target,
        current: Bundle | None,
        mix: Mix,
        site: Site,
        observed: Observed,
        stop: threading.Event,
    ) -> Outcome:
        """End the hold of `held`: its containers go, and `current` serves on.

        Raises `ReleaseFailed` or `Interrupted` when it is held still, and `NeedsPerson` when
        `current` does not serve.
        """
        self._make_room(held.project)
        plan, release = holding.dropped(observed, held, current, mix), held.release
        self._events(PlanMade(plan))
        site.mend(observed, partial(_heed, stop))
        self._record_begin(site, release, mix)
        what, serving = f"{short(release)} is still held", observed.current
        self._take_away(plan, site, stop, release, what, serving)
        self._record_end(site, "aborted")
        return self._ended("aborted", release, mix, observed, observed.current)

    def clear(
        self, plan: Plan, mix: Mix, site: Site, observed: Observed, stop: threading.Event
    ) -> Outcome:
        """Run the `plan` that removes what a release has left that nothing came before.

        Raises `ReleaseFailed` or `Interrupted` when it is not all gone.
        """
        self._make_room(observed.project)
        release = plan.release
        self._events(PlanMade(plan))
        site.mend(observed, partial(_heed, stop))
        if plan.is_empty:
            self._record_well(site, release, mix)
            return self._ended("nothing-to-do", "", mix, observed, "")
        self._record_begin(site, release, mix)
        what = f"{short(release)} has left something still"
        self._take_away(plan, site, stop, release, what, "")
        self._record_end(site, "recovered")
        return self._ended("recovered", "", mix, observed, "")

    def _take_away(
        self, plan: Plan, site: Site, stop: threading.Event, release: str, what: str, serving: str
    ) -> None:
        """Run a plan that only removes what is left of `release`; where it fails that is `what` is
        said, and `serving` is what has to serve."""
        try:
            self._runner(site, stop).run(plan, self._id)
            _require_gone(plan, site.observe())
        except (Exception, KeyboardInterrupt) as error:
            self._fail(site, release, what, lambda: serving, known(error))

    def nothing(self, site: Site, mix: Mix) -> Outcome:
        """End what a run has left open that changed nothing: there is nothing to put right."""
        observed = site.observe()
        current = observed.current
        self._record_well(site, current, mix)
        return self._ended("nothing-to-do", current, mix, observed, current)

    @property
    def _is_way_back(self) -> bool:
        """Whether it brings back what was good: then no full disk stops it."""
        return self._kind in WAYS_BACK

    def _make_room(self, project: str) -> None:
        if self._is_way_back:
            self._workspace.give_way(project, self._events)

    def _runner(self, site: Site, stop: threading.Event) -> Runner:
        runner = site.runner(self._events, stop, self._downtime)
        runner.must_record = not self._is_way_back
        return runner

    def _write(self, site: Site, event: str, run: str, **facts: object) -> None:
        with journals.if_possible(self._events) if self._is_way_back else nullcontext():
            site.journal.write(event, run, **facts)

    @property
    def _seconds(self) -> float:
        return self._workspace.clock.now() - self._began

    def _record_begin(self, site: Site, release: str, mix: Mix) -> None:
        facts = {"kind": self._kind, "release": release, **recorded(mix)}
        commit = {"subject": self._release.subject, "author": self._release.author}
        self._write(site, "begin", self._id, **facts, **commit, **self._who)

    def _record_hold(self, site: Site, bundle: Bundle, mix: Mix, stop: threading.Event) -> None:
        """From this record on it is held, whatever becomes of this process."""
        if stop.is_set():
            raise Interrupted("stopped on request")
        facts = {"release": bundle.id, "strategies": holding.recorded(mix), **self._who}
        site.journal.write("hold", self._id, **facts)

    def _record_well(self, site: Site, release: str, mix: Mix) -> None:
        """One that finds nothing to do ends what a run that was killed has left open; after a run
        whose way back failed it is on record itself: all is well again."""
        records = site.journal.records()
        opened = journals.open_run(records)
        if opened is not None:
            self._write(site, "end", opened["run"], result="killed")
        elif journals.degraded(records) is not None:
            self._record_begin(site, release, mix)
            self._record_end(site, "nothing-to-do")

    def _record_end(self, site: Site, result: str, reason: str = "") -> None:
        """What it came to stays that, also where it cannot be written."""
        facts = {"seconds": self._seconds, "downtime_s": self._downtime.seconds}
        with journals.if_possible(self._events):
            site.journal.write("end", self._id, result=result, reason=reason, **facts)

    def _ended(
        self, result: str, release: str, mix: Mix, before: Observed, serving: str
    ) -> Outcome:
        seconds, downtime = self._seconds, self._downtime.seconds
        self._events(RunEnded(self._id, result, release, serving, seconds))
        return Outcome(result, release, before.current, mix.name, self._id, seconds, downtime)

    def _fail(
        self,
        site: Site,
        failed: str,
        what: str,
        go_back: Callable[[], str],
        error: ReleasekitError,
    ) -> NoReturn:
        """Bring back what served before, which `go_back` names, then raise what that comes to."""
        serving = ""
        try:
            wanted = go_back()
            serving = serving_release(self._observed(site))
            hint = error.hint or HINTS.get(self._kind, "")
            raised = _failure(f"{what}: {error.message}", error, wanted, serving, hint)
        except Exception as second:  # whatever it is, a person has to know
            raised = NeedsPerson(
                f"{error.message}; and the way back failed too: {known(second).message}",
                hint=LOOK,
                reason=error,
            )
        result = _RESULTS.get(type(raised), "failed")
        self._record_end(site, result, error.message)
        ended = RunEnded(self._id, result, failed, serving, self._seconds, error.message)
        self._events(ended)
        raise raised from error

    def _go_back(
        self, site: Site, failed: Bundle, mix: Mix, before: Observed, *, at_once: bool
    ) -> str:
        """Observe anew and run the plan to what was current; its id, "" when nothing was.

        There is no way back from a failed repair of what is current: that stays as it is.
        """
        self._workspace.give_way(failed.project, self._events)
        back = partial(self._once_back, site, failed, mix, before, at_once=at_once)
        for _ in range(TRIES - 1):
            try:
                return back()
            except EngineError as error:  # it restarts: what there is then, nobody knows yet
                self._events(Warned(f"the way back begins anew: {error.message}"))
        return back()

    def _once_back(
        self, site: Site, failed: Bundle, mix: Mix, before: Observed, *, at_once: bool
    ) -> str:
        observed = self._observed(site)
        if observed.current == failed.id:
            return failed.id
        previous = site.store.load(observed.current) if observed.current else None
        if previous is not None:
            site = self._workspace.site(previous)
        site.mend(observed)
        if previous is not None and at_once:
            observed = _as_probed(site, observed, previous)
        plan = way_back(before, observed, failed.id, previous, mix, at_once=at_once)
        self._run_back(site, plan, failed.project)
        return observed.current

    def _observed(self, site: Site) -> Observed:
        """What there is, as soon as the engine tells: one that restarts does so within seconds,
        and a person would do no more than wait for it."""
        found: list[Observed] = []

        def look() -> str:
            try:
                found.append(site.observe())
            except (EngineError, DeadlineExceeded) as error:
                return error.message
            return ""

        wait_until(look, deadline_s=ENGINE_BACK_S, clock=self._workspace.clock)
        return found[-1]

    def _run_back(self, site: Site, plan: Plan, project: str) -> None:
        self._events(RunStarted(self._id, "revert", project, plan.release))
        self._events(PlanMade(plan))
        # Nothing stops the way back: it ends where users are served.
        runner = site.runner(self._events, threading.Event(), self._downtime)
        runner.must_record = runner.heeds_others = False
        runner.run(plan, self._id)


def _heed(stop: threading.Event) -> None:
    if stop.is_set():
        raise Interrupted("stopped on request before anything was changed")


def _as_probed(site: Site, observed: Observed, release: Bundle) -> Observed:
    """`observed` with what runs of `release` and does not answer well as unhealthy: users are to be
    led to the others at once, and not after a wait for it."""
    asked = release.target().asked
    there = [r for r in observed.of(release.id) if r.running and r.service in asked]
    try:
        probes = site.engine.probe(release.id, [(r.service, r.name) for r in there])
    except ReleasekitError:
        return observed
    sick = {name for name, probe in probes.items() if not probe.is_healthy}
    replicas = (
        replace(r, health=Health.UNHEALTHY) if r.name in sick else r for r in observed.replicas
    )
    return replace(observed, replicas=tuple(replicas))


def planned(
    mix: Mix, observed: Observed, target: Target, workspace: Workspace, *, hold: bool
) -> Plan:
    """The checked plan to `target`; with `hold` it stops before the cutover."""
    if not hold:
        return checked_plan(mix, observed, replace(target, bake_s=workspace.bake_s))
    return holding.held_plan(mix, observed, target, preview=workspace.shows_previews)


def run_id(utc: str) -> str:
    """A run's name. It begins with the time, for a reader; nothing is decided by it."""
    return f"{re.sub('[-:]', '', utc[:19])}-{secrets.token_hex(3)}"


def recorded(mix: Mix) -> dict[str, object]:
    """How the journal tells which strategies a run went by."""
    services = {name: chosen.strategy.name for name, chosen in sorted(mix.services.items())}
    return {"strategy": mix.default.strategy.name, **({"services": services} if services else {})}


def _require_gone(plan: Plan, observed: Observed) -> None:
    """Raise `StepFailed` for what the plan was to stop or remove, and is there still: the runner
    only warns of what nobody is served by."""
    stopped = {r.id for step in plan.steps if isinstance(step, Stop) for r in step.replicas}
    removed = {r.id for step in plan.steps if isinstance(step, Remove) for r in step.replicas}
    left = [r.name for r in observed.replicas if r.id in (stopped if r.running else removed)]
    if left:
        raise StepFailed(f"{', '.join(left)} could not be removed")


def _failure(
    what: str, error: ReleasekitError, wanted: str, serving: str, hint: str
) -> ReleasekitError:
    """What it comes to when `wanted` was to serve again, and `serving` does."""
    if wanted and serving != wanted:
        now = f"{short(serving)} serves" if serving else "nothing serves"
        return NeedsPerson(f"{what}; and now {now}", hint=LOOK, reason=error)
    now = f"{short(serving)} serves as before" if wanted else "nothing serves: it was the first"
    if isinstance(error, Interrupted):
        return Interrupted(f"{what}; {now}", hint=hint)
    if isinstance(error, MigrationUnfinished):
        return MigrationUnfinished(f"{what}; {now}", hint=hint, reason=error)
    return ReleaseFailed(f"{what}; {now}", reason=error, serving=serving, hint=hint)
