"""The facade that a project's `deploy.py` and the CLI share: the verbs, and what they answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from releasekit import journal as journals
from releasekit import naming
from releasekit.check import checked_plan
from releasekit.errors import UnknownRelease
from releasekit.events import EventSink, ignore, unbreakable
from releasekit.outcome import HistoryEntry, Outcome, Status
from releasekit.plan import Plan
from releasekit.release import Release, short
from releasekit.run import Run, run_id
from releasekit.status import status_of
from releasekit.strategies.mixed import Mix
from releasekit.together import together

if TYPE_CHECKING:
    from releasekit.bundle import Bundle
    from releasekit.settings import Settings
    from releasekit.site import Site
    from releasekit.workspace import Adopted, Workspace


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
        self._events = unbreakable(events)

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
        if dirty and sha is not None:
            raise UnknownRelease(f"{sha} is a commit: `dirty` is for what is checked out")
        if sha is None:
            return Release.from_git(dirty=dirty, path=folder)
        return naming.release_named(sha, folder, lambda: self._workspace.store(self.name).ids())

    def plan(
        self,
        release: Release,
        *,
        strategy: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Plan:
        """What `up` would do; changes nothing."""
        mix = self._mix(strategy, options=options)
        draft = self._workspace.draft(self._immutable(release), mix)
        bundle = self._workspace.pinned(draft).bundle
        site = self._workspace.site(bundle)
        observed = site.observe()
        site.require_route(bundle.target(), observed)
        adopted = self._workspace.adopted(observed, draft)
        known = adopted.known(observed) if adopted else observed
        plan = checked_plan(mix, known, bundle.target())
        if not draft.missing_images:
            return plan
        note = f"not on this host, `up` pulls it first: {', '.join(draft.missing_images)}"
        return replace(plan, notes=(*plan.notes, note))

    def up(
        self,
        release: Release,
        *,
        strategy: str | None = None,
        options: Mapping[str, Any] | None = None,
        stop: threading.Event | None = None,
    ) -> Outcome:
        """Release it. When `stop` is set the run ends at the next safe point.

        `strategy` beats the settings' one for all services that have none of their own there;
        `options` go to each strategy that knows them.

        Raises `ReleaseFailed` (the previous release serves), `Interrupted` (likewise),
        `NeedsPerson`, `Locked`, or a `UsageError` before anything was touched.
        """
        mix = self._mix(strategy, options=options)
        draft = self._workspace.draft(self._immutable(release), mix)
        with self._workspace.locked(draft.project, f"up {short(release.tag)}"):
            run = self._begin("up", draft.project, release)
            pinned = self._workspace.pinned(self._workspace.pulled(draft, self._events))
            site = self._workspace.site(pinned.bundle)
            observed = site.observe()
            site.require_route(pinned.bundle.target(), observed)
            adopted = self._workspace.adopted(observed, draft)
            if adopted is not None:
                self._adopt(adopted, site)
                observed = adopted.known(observed)
            pinned.save(site.store)
            return run.to(pinned.bundle, mix, site, observed, stop or threading.Event())

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
            release = naming.rollback_target(
                to, stack, store.ids(), journals.ever_committed(records)
            )
            bundle = store.load(release)
            if bundle is None:
                raise UnknownRelease(f"{short(release)} is no longer stored on this host")
            mix = self._mix_back(records, stack[-1], bundle)
            run = self._begin("rollback", name, bundle.release)
            site = self._workspace.site(bundle)
            observed, _ = together(site.observe, lambda: self._workspace.require_images(bundle))
            return run.to(bundle, mix, site, observed, stop or threading.Event())

    def status(self) -> Status:
        """What serves now; reads only."""
        return status_of(self._workspace.current_site().observe())

    def history(self) -> tuple[HistoryEntry, ...]:
        """Every run that changed something, newest first."""
        return journals.history(self._workspace.journal(self.name).records())

    def _mix(
        self,
        strategy: str | None,
        services: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Mix:
        from releasekit.choosing import choose

        return choose(self.settings, strategy=strategy, services=services, options=options)

    def _mix_back(self, records: tuple[Mapping[str, Any], ...], current: str, to: Bundle) -> Mix:
        """The strategies that brought what runs now; recreate where only one can run."""
        strategy, services = journals.strategies_of(records, current)
        mix = self._mix(strategy or None, services)
        target = to.target()
        alone = {
            name: "recreate"
            for name in to.app
            if mix.of(target, name).strategy.needs_health and to.must_run_alone(name)
        }
        return self._mix(strategy or None, {**services, **alone}) if alone else mix

    def _immutable(self, release: Release) -> Release:
        naming.require_immutable(release.tag, self.settings.allow_tags)
        return release

    def _adopt(self, adopted: Adopted, site: Site) -> None:
        """Record what plain compose runs as a release: a rollback can then go back to it."""
        bundle, run = adopted.pinned.bundle, run_id(self._workspace.clock.utc())
        adopted.pinned.save(site.store)
        facts = {"kind": "adopt", "release": bundle.id, "strategy": "recreate", **self._who()}
        site.journal.write("begin", run, **facts)
        site.journal.write("commit", run, release=bundle.id)
        site.journal.write("end", run, result="released", seconds=0.0)

    def _begin(self, kind: str, project: str, release: Release) -> Run:
        return Run(kind, project, release, self._workspace, self._events, self._who())

    def _who(self) -> dict[str, str]:
        return naming.who(self._environ, self._workspace.host.name)
