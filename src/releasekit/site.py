"""A project's place on its host: where its state lives, and the adapters that reach it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from releasekit import journal as journals
from releasekit.bundle import Bundle, BundleStore
from releasekit.compose.docker import Docker
from releasekit.compose.engine import ComposeEngine
from releasekit.compose.nginx_container import NginxContainer
from releasekit.errors import SettingsError
from releasekit.events import EventSink
from releasekit.journal import Journal
from releasekit.nginx.router import NginxRouter
from releasekit.observed import Nginx, Observed
from releasekit.ports import Clock, Host
from releasekit.runner import Downtime, Runner
from releasekit.target import Target
from releasekit.together import together


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
    def lock(self) -> str:
        return f"{self.state}/lock"


@dataclass(frozen=True, slots=True)
class Site:
    """The adapters of one project, wired for one release of it."""

    project: str
    clock: Clock
    store: BundleStore
    journal: Journal
    engine: ComposeEngine
    router: NginxRouter | None

    def observe(self) -> Observed:
        """What there is now."""
        records = self.journal.records()
        stack = journals.committed(records)
        (replicas, backing), nginx = together(self.engine.observe, self._observe_nginx)
        return Observed(
            project=self.project,
            replicas=replicas,
            backing=backing,
            nginx=nginx,
            current=stack[-1] if stack else "",
            committed=journals.ever_committed(records),
            held=journals.held(records),
        )

    def require_route(self, target: Target, observed: Observed, *, on_preview: bool) -> None:
        """Raise `SettingsError` when nginx would not load a route to `target`, or would not show
        it `on_preview`: which it does only when it has loaded a route."""
        if self.router is None or observed.nginx is None:
            return
        asked, problem = sorted(target.asked), ""
        if observed.nginx.loaded is None:
            problem = self.router.problem(asked)
        elif on_preview and asked:
            problem = self.router.preview_problem(asked)
        if problem:
            raise SettingsError([problem])

    def _observe_nginx(self) -> Nginx | None:
        return self.router.observe() if self.router is not None else None

    def runner(self, events: EventSink, stop: threading.Event, downtime: Downtime) -> Runner:
        """What executes plans here, until `stop` is set."""
        return Runner(
            self.engine, self.router, self.journal, self.clock, events, stop.is_set, downtime
        )


def wire(host: Host, clock: Clock, place: Place, bundle: Bundle, control_port: int) -> Site:
    """The adapters for `bundle`'s project."""
    docker = Docker(host)
    store = BundleStore(host, place.releases)
    engine = ComposeEngine(host, docker, store, clock, bundle)
    router: NginxRouter | None = None
    if bundle.nginx_service is not None:
        container = NginxContainer(docker, engine, bundle, bundle.nginx_service, place.nginx)
        router = NginxRouter(
            host, container, engine.peers, clock, directory=place.nginx, control_port=control_port
        )
    return Site(bundle.project, clock, store, Journal(host, clock, place.journal), engine, router)
