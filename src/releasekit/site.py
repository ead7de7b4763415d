"""A project's place on its host: where its state lives, and the adapters that reach it."""

from __future__ import annotations

import posixpath
import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from releasekit import journal as journals
from releasekit.bundle import Bundle, BundleStore
from releasekit.compose.docker import Docker
from releasekit.compose.engine import ComposeEngine
from releasekit.compose.nginx_container import NginxContainer
from releasekit.downtime import Downtime
from releasekit.errors import SettingsError
from releasekit.events import EventSink
from releasekit.journal import Journal
from releasekit.nginx.render import FILE
from releasekit.nginx.router import Bake, NginxRouter
from releasekit.observed import Nginx, Observed
from releasekit.ports import Clock, Host
from releasekit.runner import Runner
from releasekit.settings import BakeSettings, NginxSettings
from releasekit.status import by_sight
from releasekit.target import Target
from releasekit.together import together
from releasekit.watching import Judge, PublicCheck, Requests


@dataclass(frozen=True, slots=True)
class Place:
    """The folders and files of one project's state on the host. `state` is 0700: bundles and
    journal are nobody else's business."""

    state: str

    @property
    def nginx(self) -> str:
        return f"{self.state}/nginx"

    @property
    def journal(self) -> str:
        return f"{self.state}/journal.jsonl"

    @property
    def releases(self) -> str:
        return f"{self.state}/releases"

    @property
    def reserve(self) -> str:
        return f"{self.state}/reserve"

    @property
    def lock(self) -> str:
        return f"{self.state}/lock"

    @property
    def nginx_lock(self) -> str:
        """Of all projects whose state is beside this one: two may share an nginx."""
        return f"{posixpath.dirname(self.state)}/nginx.lock"

    @property
    def edited(self) -> str:
        """Where copies of nginx's file go that somebody edited."""
        return f"{self.state}/edited"

    @property
    def freeze(self) -> str:
        """The lock by hand: a file, which outlives processes and reboots."""
        return f"{self.state}/freeze.json"


@dataclass(frozen=True, slots=True)
class Site:
    """The adapters of one project, wired for one release of it."""

    project: str
    host: Host
    clock: Clock
    store: BundleStore
    journal: Journal
    engine: ComposeEngine
    router: NginxRouter | None
    bake: BakeSettings
    place: Place

    def observe(self) -> Observed:
        """What there is now. What is current is taken from what serves where the journal cannot
        be trusted."""
        reading = self.journal.read()
        (replicas, backing), nginx = together(self.engine.observe, self._observe_nginx)
        seen = Observed(self.project, replicas, backing, nginx)
        observed = journals.recalled(seen, reading.records)
        return observed if reading.is_whole else by_sight(observed)

    def require_route(self, target: Target, observed: Observed, *, on_preview: bool) -> None:
        """Raise `SettingsError` when nginx would not load a route to `target`, would not show it
        `on_preview`, which it does only when it has loaded a route, or would log nothing for a
        bake that goes by its log."""
        if self.router is None or observed.nginx is None:
            return
        asked, problem = sorted(target.asked), ""
        if observed.nginx.loaded is None:
            problem = self.router.problem(asked)
        elif unmounted := self.router.unmounted():  # what it tells, another's state has made
            problem = unmounted
        elif on_preview and asked:
            problem = self.router.preview_problem(asked)
        if not problem and observed.nginx.running:
            problem = self.router.log_problem()
        if problem:
            raise SettingsError([problem])

    def require_own(self, observed: Observed, *, adopt: bool = False) -> str:
        """Raise `ForeignChange` when somebody edited nginx's file; with `adopt` it is kept as a
        copy, whose path this returns, and may be replaced."""
        if self.router is None or observed.nginx is None or not observed.nginx.edited:
            return ""
        if not adopt:
            self.router.require_own(observed.nginx)
        copy = f"{self.place.edited}/{FILE}.{re.sub('[^0-9T]', '', self.clock.utc()[:23])}"
        self.router.adopt(copy)
        return copy

    def mend(self, observed: Observed, on_wait: Callable[[], None] = lambda: None) -> None:
        """Have nginx's file lead where the route leads that nginx serves, if anything does. What
        `on_wait` raises ends a wait for nginx."""
        if self.router is not None and observed.nginx is not None and observed.nginx.running:
            self.router.mend(on_wait)

    def _observe_nginx(self) -> Nginx | None:
        return self.router.observe() if self.router is not None else None

    def runner(self, events: EventSink, stop: threading.Event, downtime: Downtime) -> Runner:
        """What executes plans here, until `stop` is set."""
        page = self._page()
        return Runner(
            self.engine,
            self.router,
            self.journal,
            self.clock,
            events,
            stop.is_set,
            downtime,
            lambda: self._judges(page),
            page.look_before if page is not None else lambda _: None,
        )

    def _page(self) -> PublicCheck | None:
        """The public page, as the settings want it. All watches of a run share what it was."""
        if not self.bake.duration or self.bake.url is None:
            return None
        header = self.bake.release_header or ""
        return PublicCheck(self.host, self.bake.url, self.bake.statuses, header)

    def _judges(self, page: PublicCheck | None) -> tuple[Judge, ...]:
        """Who judges a release that is watched, as the settings want it, `page` with them; the
        others are new ones every time."""
        if not self.bake.duration:
            return ()
        found: list[Judge] = []
        if self.router is not None and self.bake.limits.are_any:
            requests = self.router.requests
            found.append(Requests(self.bake.limits, requests, self.engine.whereabouts))
        if page is not None:
            found.append(page)
        return tuple(found)


def wire(
    host: Host,
    clock: Clock,
    place: Place,
    bundle: Bundle,
    nginx: NginxSettings,
    bake: BakeSettings,
) -> Site:
    """The adapters for `bundle`'s project."""
    docker = Docker(host)
    store = BundleStore(host, place.releases)
    journal = Journal(host, clock, place.journal)

    def committed() -> Collection[str]:
        """Where the journal cannot be trusted, what is stored has to do."""
        reading = journal.read()
        return journals.ever_committed(reading.records) if reading.is_whole else store.ids()

    engine = ComposeEngine(host, docker, store, clock, bundle, committed)
    router: NginxRouter | None = None
    if bundle.nginx_service is not None:
        container = NginxContainer(docker, engine, bundle, bundle.nginx_service, place.nginx)
        logs_for_s = bake.duration if bake.limits.are_any else None
        router = NginxRouter(
            host,
            container,
            engine.peers,
            clock,
            directory=place.nginx,
            control_port=nginx.control_port,
            lock=place.nginx_lock,
            bake=Bake(nginx.bake_log, logs_for_s) if logs_for_s else None,
        )
    return Site(bundle.project, host, clock, store, journal, engine, router, bake, place)
