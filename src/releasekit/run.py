"""One run of a verb: from its plan to its outcome, and after a failure back to what served."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from releasekit.check import checked_plan
from releasekit.errors import (
    Interrupted,
    NeedsPerson,
    ReleaseFailed,
    ReleasekitError,
    StepFailed,
)
from releasekit.events import EventSink, PlanMade, RunEnded, RunStarted
from releasekit.observed import Observed
from releasekit.outcome import Outcome
from releasekit.plan import Plan
from releasekit.recovery import way_back
from releasekit.release import Release, short
from releasekit.runner import Downtime
from releasekit.status import serving_release
from releasekit.strategies.mixed import Mix

if TYPE_CHECKING:
    from releasekit.bundle import Bundle
    from releasekit.site import Site
    from releasekit.workspace import Workspace

DONE = {"up": "released", "rollback": "rolled-back"}
LOOK = "look at `releasekit status`, then `releasekit up` or `rollback` once more"

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
    ) -> Outcome:
        """Bring the project from what is `observed` to `bundle`, until `stop` is set.

        Raises `ReleaseFailed` or `Interrupted` when the previous release serves again, and
        `NeedsPerson` when it does not.
        """
        plan = checked_plan(mix, observed, bundle.target())
        self._events(PlanMade(plan))
        if plan.is_empty:
            return self._ended("nothing-to-do", bundle, mix, observed)
        self._record_begin(site, bundle, mix)
        try:
            site.runner(self._events, stop, self._downtime).run(plan, self._id)
        except KeyboardInterrupt:
            self._revert(site, bundle, mix, observed, Interrupted("interrupted"))
        except Exception as error:  # a bug of ours or a plugin's leaves nothing half-way either
            self._revert(site, bundle, mix, observed, _known(error))
        result = DONE[self._kind]
        self._record_end(site, result)
        return self._ended(result, bundle, mix, observed)

    @property
    def _seconds(self) -> float:
        return self._workspace.clock.now() - self._began

    def _record_begin(self, site: Site, bundle: Bundle, mix: Mix) -> None:
        facts = {"kind": self._kind, "release": bundle.id, **recorded(mix)}
        commit = {"subject": self._release.subject, "author": self._release.author}
        site.journal.write("begin", self._id, **facts, **commit, **self._who)

    def _record_end(self, site: Site, result: str, reason: str = "") -> None:
        facts = {"seconds": self._seconds, "downtime_s": self._downtime.seconds}
        site.journal.write("end", self._id, result=result, reason=reason, **facts)

    def _ended(self, result: str, bundle: Bundle, mix: Mix, before: Observed) -> Outcome:
        seconds, downtime = self._seconds, self._downtime.seconds
        self._events(RunEnded(self._id, result, bundle.id, bundle.id, seconds))
        return Outcome(
            result, bundle.id, before.current, mix.name, self._id, seconds, downtime
        )

    def _revert(
        self,
        site: Site,
        failed: Bundle,
        mix: Mix,
        before: Observed,
        error: ReleasekitError,
    ) -> NoReturn:
        """Bring the release that ran `before` back, then raise what that comes to."""
        serving = ""
        try:
            wanted = self._go_back(site, failed, mix, before)
            serving = serving_release(site.observe())
            raised = _failure(failed, error, wanted, serving)
        except Exception as second:  # whatever it is, a person has to know
            raised = NeedsPerson(
                f"{error.message}; and the way back failed too: {_known(second).message}",
                hint=LOOK,
                reason=error,
            )
        result = _RESULTS.get(type(raised), "failed")
        with suppress(ReleasekitError):  # of a full disk: what is raised says it all
            self._record_end(site, result, error.message)
        ended = RunEnded(self._id, result, failed.id, serving, self._seconds, error.message)
        self._events(ended)
        raise raised from error

    def _go_back(self, site: Site, failed: Bundle, mix: Mix, before: Observed) -> str:
        """Observe anew and run the plan to what was current; its id, "" when nothing was.

        There is no way back from a failed repair of what is current: that stays as it is.
        """
        observed = site.observe()
        if observed.current == failed.id:
            return failed.id
        previous = site.store.load(observed.current) if observed.current else None
        if previous is not None:
            site = self._workspace.site(previous)
        plan = way_back(before, observed, failed.id, previous, mix)
        self._run_back(site, plan, failed.project)
        return observed.current

    def _run_back(self, site: Site, plan: Plan, project: str) -> None:
        self._events(RunStarted(self._id, "revert", project, plan.release))
        self._events(PlanMade(plan))
        # Nothing stops the way back: it ends where users are served.
        runner = site.runner(self._events, threading.Event(), self._downtime)
        runner.must_record = False
        runner.run(plan, self._id)


def run_id(utc: str) -> str:
    """A run's name. It begins with the time, for a reader; nothing is decided by it."""
    return f"{re.sub('[-:]', '', utc[:19])}-{secrets.token_hex(3)}"


def recorded(mix: Mix) -> dict[str, object]:
    """How the journal tells which strategies a run went by."""
    services = {name: chosen.strategy.name for name, chosen in sorted(mix.services.items())}
    return {"strategy": mix.default.strategy.name, **({"services": services} if services else {})}


def _known(error: Exception) -> ReleasekitError:
    if isinstance(error, ReleasekitError):
        return error
    known = StepFailed(f"unexpected: {type(error).__name__}: {error}")
    known.__cause__ = error  # for `--debug`
    return known


def _failure(failed: Bundle, error: ReleasekitError, wanted: str, serving: str) -> ReleasekitError:
    """What it comes to when `wanted` was to serve again, and `serving` does."""
    what = f"{short(failed.id)} was not released: {error.message}"
    if wanted and serving != wanted:
        now = f"{short(serving)} serves" if serving else "nothing serves"
        return NeedsPerson(f"{what}; and now {now}", hint=LOOK, reason=error)
    now = f"{short(serving)} serves as before" if wanted else "nothing serves: it was the first"
    if isinstance(error, Interrupted):
        return Interrupted(f"{what}; {now}")
    return ReleaseFailed(f"{what}; {now}", reason=error, serving=serving, hint=error.hint)
