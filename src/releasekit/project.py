"""The facade that a project's `deploy.py` and the CLI share: the verbs, and what they answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from releasekit import journal as journals
from releasekit import naming
from releasekit.errors import UnknownRelease
from releasekit.events import EventSink, Warned, ignore, unbreakable
from releasekit.outcome import Freeze, HistoryEntry, Outcome, Status
from releasekit.release import Release, short
from releasekit.target import Target
from releasekit.together import together

if TYPE_CHECKING:
    from releasekit.bundle import Bundle
    from releasekit.forecast import Forecast
    from releasekit.migrating import Decision
    from releasekit.observed import Observed
    from releasekit.run import Run
    from releasekit.settings import Settings
    from releasekit.site import Site
    from releasekit.strategies.mixed import Mix
    from releasekit.workspace import Workspace


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
        hold: bool = False,
        migration: Decision | None = None,
    ) -> Forecast:
        """What `up` would do; changes nothing."""
        from releasekit.holding import mix_over
        from releasekit.migrating import decided
        from releasekit.run import planned
        from releasekit.survey import Survey

        mix = self._mix(strategy, options=options)
        draft = self._workspace.draft(self._immutable(release), mix)
        unfinished = self._workspace.unfinished(draft.project, migration)
        bundle = self._workspace.pinned(draft).bundle
        site = self._workspace.site(bundle)
        survey = Survey(self._workspace.host, site, draft, bundle)
        observed, facts = together(site.observe, survey.facts)
        self._require_route(site, bundle, observed, hold=hold)
        adopted = self._workspace.adopted(observed, draft)
        known = adopted.known(observed) if adopted else observed
        known = decided(known, unfinished, migration)
        held, is_asked = self._held(draft.project), bool(strategy or options)
        mix = mix_over(held, bundle.id, mix, is_asked=is_asked)
        plan = planned(mix, known, bundle.target(), self._workspace, hold=hold)
        return survey.forecast(plan, mix, known, facts, is_adopted=adopted is not None)

    def up(
        self,
        release: Release,
        *,
        strategy: str | None = None,
        options: Mapping[str, Any] | None = None,
        hold: bool = False,
        migration: Decision | None = None,
        ignore_memory: bool = False,
        adopt: bool = False,
        wait: float = 0.0,
        stop: threading.Event | None = None,
    ) -> Outcome:
        """Release it. When `stop` is set the run ends at the next safe point.

        While another run goes on it waits up to `wait` seconds for its turn; not for the end of a
        lock by hand.

        `strategy` beats the settings' one for all services that have none of their own there;
        `options` go to each strategy that knows them. With `hold` it comes up and is proven
        healthy, and no user gets it before `promote`, or another `up` of the same. `migration` is
        what a person found out of one that was not seen to end: it is "done", or to run "again".
        With `ignore_memory` it may run more at once than the host has memory for.
        `adopt` takes an nginx file over that somebody edited by hand, and keeps a copy of it.

        Raises `ReleaseFailed` (the previous release serves), `Interrupted` (likewise),
        `NeedsPerson` (before anything was touched where a migration was not seen to end),
        `Locked`, or a `UsageError` before anything was touched: `Held` when another release is
        held, `ForeignChange` when somebody edited nginx's file, `NoRoom` when disk, inodes or
        memory do not suffice.
        """
        from releasekit import room
        from releasekit.holding import mix_over, require_free
        from releasekit.migrating import decided
        from releasekit.run import planned, run_id

        ends = stop or threading.Event()
        mix = self._mix(strategy, options=options)
        draft = self._workspace.draft(self._immutable(release), mix)
        self._workspace.require_disk(draft)
        with self._turn(draft.project, f"up {short(release.tag)}", wait, stop):
            held = self._held(draft.project)
            require_free(held, release.tag, f"releasing {short(release.tag)}")
            unfinished = self._workspace.unfinished(draft.project, migration)
            run = self._begin("up", draft.project, release)
            pulled = self._workspace.pulled(draft, self._events, ends.is_set)
            pinned = self._workspace.pinned(pulled)
            is_asked = bool(strategy or options)
            mix = mix_over(held, pinned.bundle.id, mix, is_asked=is_asked)
            site = self._workspace.site(pinned.bundle)
            observed = site.observe()
            self._require_own(site, observed, adopt=adopt)
            self._require_route(site, pinned.bundle, observed, hold=hold)
            adopted = self._workspace.adopted(observed, draft)
            known = adopted.known(observed) if adopted is not None else observed
            known = decided(known, unfinished, migration)
            # A plan that is refused is refused before anything is written.
            plan = planned(mix, known, pinned.bundle.target(), self._workspace, hold=hold)
            if not ignore_memory:
                room.require_memory(self._workspace.host, pinned.bundle, known, plan)
            room.keep_reserve(self._workspace.host, self._workspace.place(draft.project))
            if adopted is not None:
                run_of_it = run_id(self._workspace.clock.utc())
                adopted.record(site.store, site.journal, run_of_it, self._who())
            if unfinished is not None and migration is not None:
                self._workspace.decide(draft.project, unfinished, migration, self._who())
            pinned.save(site.store)
            return run.to(pinned.bundle, mix, site, known, ends, hold=hold)

    def promote(
        self, *, adopt: bool = False, wait: float = 0.0, stop: threading.Event | None = None
    ) -> Outcome:
        """Give the users the release that is held, with the strategies that it is held with.

        The stored bundle is all it needs; what of it does not run any more is started. Raises as
        `up` does, and `UsageError` when nothing is held.
        """
        from releasekit.holding import nothing_held, restored

        name = self.name
        store, journal = self._workspace.store(name), self._workspace.journal(name)
        with self._turn(name, "promote", wait, stop):
            records = journal.records()
            held = journals.hold(records) or journals.cut_short(records)
            if held is None:
                raise nothing_held()
            bundle = store.load(held["release"])
            if bundle is None:
                raise UnknownRelease(
                    f"{short(held['release'])} is held, and no longer stored on this host",
                    hint="`releasekit abort`, then release it once more",
                )
            self._workspace.unfinished(name, None)
            mix = restored(held.get("strategies"))
            run = self._begin("promote", name, bundle.release)
            site = self._workspace.site(bundle)
            observed, _ = together(site.observe, lambda: self._workspace.require_images(bundle))
            self._require_own(site, observed, adopt=adopt)
            return run.to(bundle, mix, site, observed, stop or threading.Event())

    def abort(
        self, *, adopt: bool = False, wait: float = 0.0, stop: threading.Event | None = None
    ) -> Outcome:
        """End the hold: what is held is removed, and what serves goes on serving.

        Raises `UsageError` when nothing is held, `ReleaseFailed` or `Interrupted` when it is held
        still, and `NeedsPerson`.
        """
        from releasekit.holding import nothing_held, require_spare

        name = self.name
        store, journal = self._workspace.store(name), self._workspace.journal(name)
        with self._turn(name, "abort", wait, stop):
            records = journal.records()
            held = journals.held(records)
            if not held:
                raise nothing_held()
            stack, bundle = journals.committed(records), store.load(held)
            current = store.load(stack[-1]) if stack else None
            brought = journals.strategies_of(records, stack[-1]) if stack else ("", {})
            mix = self._mix_back(brought, current) if current else self._mix(None)
            known = current or bundle
            site = self._workspace.site(known) if known else self._workspace.current_site()
            observed = site.observe()
            self._require_own(site, observed, adopt=adopt)
            require_spare(held, observed)
            release = bundle.release if bundle else Release(naming.tag_of(held))
            run = self._begin("abort", name, release)
            target = bundle.target() if bundle else Target(name, held, ())
            return run.abort(target, current, mix, site, observed, stop or threading.Event())

    def rollback(
        self,
        to: str | None = None,
        *,
        adopt: bool = False,
        wait: float = 0.0,
        stop: threading.Event | None = None,
    ) -> Outcome:
        """Go back to the last good release, or to the stored one that `to` is a prefix of.

        The stored bundle is all it needs: no git, no registry, no build, no compose file. It goes
        back by the strategy that brought what runs now. Raises as `up` does, and `Held` when any
        release is held.
        """
        from releasekit.holding import require_free

        name = self.name
        store, journal = self._workspace.store(name), self._workspace.journal(name)
        with self._turn(name, f"rollback {to or ''}".strip(), wait, stop):
            records = journal.records()
            require_free(journals.hold(records), "", "a rollback")
            stack = journals.committed(records)
            release = naming.rollback_target(
                to, stack, store.ids(), journals.ever_committed(records)
            )
            bundle = store.load(release)
            if bundle is None:
                raise UnknownRelease(f"{short(release)} is no longer stored on this host")
            if release not in journals.ever_committed(records):
                self._workspace.unfinished(name, None)  # it would migrate
            mix = self._mix_back(journals.strategies_of(records, stack[-1]), bundle)
            run = self._begin("rollback", name, bundle.release)
            site = self._workspace.site(bundle)
            observed, _ = together(site.observe, lambda: self._workspace.require_images(bundle))
            self._require_own(site, observed, adopt=adopt)
            return run.to(bundle, mix, site, observed, stop or threading.Event())

    def recover(
        self, *, adopt: bool = False, wait: float = 0.0, stop: threading.Event | None = None
    ) -> Outcome:
        """Put right what a run that was cut short has left, or what else has happened to the
        release that was last committed to: that one serves afterwards, and nothing is left over.

        What is held stays held, unless it is in the way. It is done also while the project is
        locked by hand: users get no other release by it. Raises as `up` does, `NeedsPerson` for a
        migration that was not seen to end also when all else is right.
        """
        from releasekit.recovering import Recovery

        name = self.name
        with self._turn(name, "recover", wait, stop, is_repair=True):
            require_own = partial(self._require_own, adopt=adopt)
            recovery = Recovery(self._workspace, name, self._begin, self._mix_back, require_own)
            outcome = recovery.done(stop or threading.Event())
            self._workspace.unfinished(name, None)
            return outcome

    def lock(self, message: str) -> Freeze:
        """Have nobody release until `unlock`, whatever becomes of this process or machine: `up`,
        `promote`, `abort` and `rollback` raise `Frozen`. A run that goes on is not stopped.

        Raises `Frozen` when it is locked by hand already.
        """
        from releasekit import freezing

        frozen = Freeze(**self._who(), since=self._workspace.clock.utc(), message=message)
        freezing.freeze(self._workspace.host, self._workspace.place(self.name), frozen)
        return frozen

    def unlock(self) -> Freeze | None:
        """End the lock by hand, whoever made it; what it was, None when there was none."""
        from releasekit import freezing

        return freezing.thaw(self._workspace.host, self._workspace.place(self.name))

    def status(self) -> Status:
        """What serves now; reads only."""
        from releasekit.overview import overview

        return overview(self._workspace)

    def history(self) -> tuple[HistoryEntry, ...]:
        """Every run that changed something, newest first."""
        reading, running = self._workspace.reading(self.name)
        return journals.history(reading.records, is_running=bool(running))

    def _mix(
        self,
        strategy: str | None,
        services: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Mix:
        from releasekit.choosing import choose

        return choose(self.settings, strategy=strategy, services=services, options=options)

    def _mix_back(self, brought: tuple[str, Mapping[str, str]], to: Bundle) -> Mix:
        from releasekit.choosing import choose_back

        return choose_back(self.settings, brought, to, self._events)

    def _turn(
        self,
        project: str,
        purpose: str,
        wait_s: float,
        stop: threading.Event | None,
        *,
        is_repair: bool = False,
    ) -> AbstractContextManager[None]:
        from releasekit.turn import Turn

        is_stopped = stop.is_set if stop is not None else lambda: False
        turn = Turn(self._workspace, project, self._events, is_stopped)
        return turn.taken(purpose, wait_s=wait_s, is_repair=is_repair)

    def _held(self, project: str) -> Mapping[str, Any] | None:
        return journals.hold(self._workspace.journal(project).records())

    def _require_route(self, site: Site, bundle: Bundle, observed: Observed, *, hold: bool) -> None:
        """Raise `SettingsError` when nginx would not load a route to it, or not show its hold."""
        on_preview = hold and self._workspace.shows_previews
        site.require_route(bundle.target(), observed, on_preview=on_preview)

    def _immutable(self, release: Release) -> Release:
        naming.require_immutable(release.tag, self.settings.allow_tags)
        return release

    def _require_own(self, site: Site, observed: Observed, *, adopt: bool = False) -> None:
        copy = site.require_own(observed, adopt=adopt)
        if copy:
            self._events(Warned(f"nginx's file was edited by hand: it is kept as {copy}"))

    def _begin(self, kind: str, project: str, release: Release) -> Run:
        from releasekit.run import Run

        return Run(kind, project, release, self._workspace, self._events, self._who())

    def _who(self) -> dict[str, str]:
        return naming.who(self._environ, self._workspace.host.name)
