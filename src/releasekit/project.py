"""The facade that a project's `deploy.py` and the CLI share: the verbs, and what they answer."""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from releasekit import journal as journals
from releasekit import naming
from releasekit.check import check_plan
from releasekit.errors import (
    Interrupted,
    NeedsPerson,
    ReleaseFailed,
    ReleasekitError,
    UnknownRelease,
    UnsafePlan,
)
from releasekit.events import EventSink, PlanMade, RunEnded, RunStarted, ignore
from releasekit.observed import Observed
from releasekit.outcome import HistoryEntry, Outcome, Status
from releasekit.plan import Plan
from releasekit.release import Release, short
from releasekit.runner import Downtime
from releasekit.status import status_of
from releasekit.strategies import registry
from releasekit.strategies.abandon import abandon
from releasekit.strategies.base import Options, Strategy

if TYPE_CHECKING:
    from releasekit.bundle import Bundle
    from releasekit.settings import Settings
    from releasekit.site import Site
    from releasekit.workspace import Adopted, Workspace


@dataclass
class _Run:
    """One run of a verb: what it is about, and what it needs along the way."""

    id: str
    kind: str
    strategy: Strategy
    bundle: Bundle
    site: Site
    began: float
    downtime: Downtime


class Project:
    """One compose application on one host.

    Made by `Project.load()`. It prints nothing, reads no global but what `load` was given, and
    raises `ReleasekitError`s only.
    """

    def __init__(
        self, workspace: Workspace, *, environ: Mapping[str, str], events: EventSink = ignore
    ) -> None:
        self._workspace = workspace
        self._environ = environ
        self._events = events

    @classmethod
    def load(
        cls,
        folder: Path | str = ".",
        *,
        environ: Mapping[str, str] | None = None,
        events: EventSink = ignore,
        **overrides: object,
    ) -> Project:
        """The project in `folder`; `overrides` are settings by name and beat the file.

        `environ` is the caller's environment (default: this process's). Raises `SettingsError`.
        """
        from releasekit.hosts.local import LocalHost, MonotonicClock
        from releasekit.settings import load_settings
        from releasekit.workspace import Workspace

        environ = os.environ if environ is None else environ
        path = Path(folder).resolve()
        settings = load_settings(path, environ=environ, overrides=overrides)
        host, clock = LocalHost(environ), MonotonicClock()
        workspace = Workspace(host, clock, settings, str(path), environ)
        return cls(workspace, environ=environ, events=events)

    @property
    def settings(self) -> Settings:
        return self._workspace.settings

    @property
    def name(self) -> str:
        """Compose's name of the project."""
        return self._workspace.name()

    def release(self, sha: str | None = None, *, dirty: bool = False) -> Release:
        """The release that a person means by `sha` (default: what is checked out).

        Raises `UnknownRelease`, `AmbiguousRelease`, `InvalidRelease` or `DirtyTree`.
        """
        folder = Path(self._workspace.folder)
        if sha is None:
            return Release.from_git(dirty=dirty, path=folder)
        return naming.release_named(sha, folder, lambda: self._workspace.store(self.name).ids())

    def plan(self, release: Release, *, strategy: str | None = None) -> Plan:
        """What `up` would do; changes nothing."""
        chosen = self._strategy(strategy)
        draft = self._workspace.draft(self._immutable(release), chosen)
        bundle = self._workspace.pinned(draft).bundle
        site = self._workspace.site(bundle)
        observed = site.observe()
        adopted = self._workspace.adopted(observed, draft)
        plan = self._checked(chosen, adopted.known(observed) if adopted else observed, bundle)
        if not draft.missing_images:
            return plan
        note = f"not on this host, `up` pulls it first: {', '.join(draft.missing_images)}"
        return replace(plan, notes=(*plan.notes, note))

    def up(
        self,
        release: Release,
        *,
        strategy: str | None = None,
        stop: threading.Event | None = None,
    ) -> Outcome:
        """Release it. When `stop` is set the run ends at the next safe point.

        Raises `ReleaseFailed` (the previous release serves), `Interrupted` (likewise),
        `NeedsPerson`, `Locked`, or a `UsageError` before anything was touched.
        """
        chosen = self._strategy(strategy)
        draft = self._workspace.draft(self._immutable(release), chosen)
        with self._workspace.locked(draft.project, f"up {short(release.tag)}"):
            pinned = self._workspace.pinned(self._workspace.pulled(draft, self._events))
            site = self._workspace.site(pinned.bundle)
            observed = site.observe()
            adopted = self._workspace.adopted(observed, draft)
            if adopted is not None:
                self._adopt(adopted, site)
                observed = adopted.known(observed)
            pinned.save(site.store)
            return self._run("up", chosen, site, pinned.bundle, observed, stop)

    def rollback(self, to: str | None = None, *, stop: threading.Event | None = None) -> Outcome:
        """Go back to the last good release, or to the stored one that `to` is a prefix of.

        The stored bundle is all it needs: no git, no registry, no build, no compose file. It goes
        back by the strategy that brought what runs now. Raises as `up` does.
        """
        name = self.name
        store, journal = self._workspace.store(name), self._workspace.journal(name)
        with self._workspace.locked(name, f"rollback {to or ''}".strip()):
            records = journal.records()
            stack = journals.committed(records)
            release = naming.rollback_target(to, stack, store.ids())
            bundle = store.load(release)
            if bundle is None:
                raise UnknownRelease(f"{short(release)} is no longer stored on this host")
            chosen = self._strategy(journals.strategy_of(records, stack[-1]))
            site = self._workspace.site(bundle)
            return self._run("rollback", chosen, site, bundle, site.observe(), stop)

    def status(self) -> Status:
        """What serves now; reads only."""
        return status_of(self._workspace.current_site().observe())

    def history(self) -> tuple[HistoryEntry, ...]:
        """Every run that changed something, newest first."""
        return journals.history(self._workspace.journal(self.name).records())

    def _strategy(self, name: str | None) -> Strategy:
        return registry.load(name or self.settings.strategy)

    def _immutable(self, release: Release) -> Release:
        naming.require_immutable(release.tag, self.settings.allow_tags)
        return release

    def _checked(self, strategy: Strategy, observed: Observed, bundle: Bundle) -> Plan:
        """The strategy's plan, refused when it would break an invariant."""
        target = bundle.target()
        options = Options(keep_previous=self.settings.keep_previous)
        plan = strategy.plan(observed, target, options)
        violations = check_plan(observed, target, plan)
        if violations:
            found = "; ".join(map(str, violations))
            raise UnsafePlan(f"{strategy.name} made an unsafe plan: {found}")
        return plan

    def _adopt(self, adopted: Adopted, site: Site) -> None:
        """Record what plain compose runs as a release: a rollback can then go back to it."""
        bundle, run = adopted.pinned.bundle, _run_id(self._workspace.clock.utc())
        adopted.pinned.save(site.store)
        facts = {"kind": "adopt", "release": bundle.id, "strategy": "recreate", **self._who()}
        site.journal.write("begin", run, **facts)
        site.journal.write("commit", run, release=bundle.id)
        site.journal.write("end", run, result="released", seconds=0.0)

    def _run(
        self,
        kind: str,
        strategy: Strategy,
        site: Site,
        bundle: Bundle,
        observed: Observed,
        stop: threading.Event | None,
    ) -> Outcome:
        run = _Run(
            _run_id(self._workspace.clock.utc()),
            kind,
            strategy,
            bundle,
            site,
            self._workspace.clock.now(),
            Downtime(),
        )
        plan = self._checked(strategy, observed, bundle)
        self._events(RunStarted(run.id, kind, bundle.project, bundle.id))
        self._events(PlanMade(plan))
        if plan.is_empty:
            return self._ended(run, "nothing-to-do", observed.current)
        self._begin(run)
        try:
            runner = site.runner(self._events, stop or threading.Event(), run.downtime)
            runner.run(plan, run.id)
        except ReleasekitError as error:
            self._revert(run, error)
        return self._ended(run, _DONE[kind], observed.current)

    def _begin(self, run: _Run) -> None:
        release = run.bundle.release
        run.site.journal.write(
            "begin",
            run.id,
            kind=run.kind,
            release=run.bundle.id,
            strategy=run.strategy.name,
            subject=release.subject,
            author=release.author,
            **self._who(),
        )

    def _ended(self, run: _Run, result: str, previous: str) -> Outcome:
        seconds = self._workspace.clock.now() - run.began
        release, downtime = run.bundle.id, run.downtime.seconds
        if result != "nothing-to-do":
            facts = {"result": result, "seconds": seconds, "downtime_s": downtime}
            run.site.journal.write("end", run.id, **facts)
        self._events(RunEnded(run.id, result, release, release, seconds))
        return Outcome(result, release, previous, run.strategy.name, run.id, seconds, downtime)

    def _revert(self, run: _Run, error: ReleasekitError) -> NoReturn:
        """Bring the previous release back, by observing anew and planning to it; then raise."""
        raised: ReleasekitError
        serving, result = "", "interrupted" if isinstance(error, Interrupted) else "failed"
        try:
            serving = self._go_back(run)
            raised = _failure(run.bundle, error, serving)
        except ReleasekitError as second:
            result = "degraded"
            raised = NeedsPerson(
                f"{error.message}; and the way back failed too: {second.message}",
                hint="look at `releasekit status`, then `releasekit up` or `rollback` once more",
            )
        seconds = self._workspace.clock.now() - run.began
        facts = {"result": result, "seconds": seconds, "downtime_s": run.downtime.seconds}
        run.site.journal.write("end", run.id, reason=error.message, **facts)
        self._events(RunEnded(run.id, result, run.bundle.id, serving, seconds, error.message))
        raise raised from error

    def _go_back(self, run: _Run) -> str:
        """The id of what serves in the end; "" when there was nothing before."""
        failed, site = run.bundle, run.site
        observed = site.observe()
        if observed.current == failed.id:
            return failed.id
        previous = site.store.load(observed.current) if observed.current else None
        if previous is None:
            plan = abandon(observed, failed.id)
        else:
            site = self._workspace.site(previous)
            plan = self._checked(run.strategy, site.observe(), previous)
        self._events(RunStarted(run.id, "revert", failed.project, observed.current))
        self._events(PlanMade(plan))
        site.runner(self._events, threading.Event(), run.downtime).run(plan, run.id)
        return observed.current

    def _who(self) -> dict[str, str]:
        return naming.who(self._environ, self._workspace.host.name)


_DONE = {"up": "released", "rollback": "rolled-back"}


def _run_id(utc: str) -> str:
    """Begins with the time, for a reader; nothing is decided by it."""
    return f"{re.sub('[-:]', '', utc[:19])}-{secrets.token_hex(3)}"


def _failure(failed: Bundle, error: ReleasekitError, serving: str) -> ReleasekitError:
    what = f"{short(failed.id)} was not released: {error.message}"
    now = f"{short(serving)} serves as before" if serving else "nothing serves: it was the first"
    if isinstance(error, Interrupted):
        return Interrupted(f"{what}; {now}")
    return ReleaseFailed(f"{what}; {now}", reason=error, serving=serving, hint=error.hint)
