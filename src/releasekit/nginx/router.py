"""`ports.Router` for an nginx that runs as a compose service."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from releasekit.errors import CommandFailed, EngineError, ReleasekitError
from releasekit.nginx import log as logs
from releasekit.nginx import mark
from releasekit.nginx.container import Container, Process
from releasekit.nginx.control import ControlServer
from releasekit.nginx.draft import SOME_HOST, difference, placed, shown
from releasekit.nginx.include import include_problem, log_problem, preview_problem
from releasekit.nginx.log import Log
from releasekit.nginx.managed import ManagedFile, edited
from releasekit.nginx.preview import previews
from releasekit.nginx.render import (
    Control,
    Loaded,
    Passage,
    Peer,
    known,
    parse_version,
    passages,
    placeholder,
    render,
    target,
)
from releasekit.nginx.request_log import RequestLog
from releasekit.observed import Nginx, Route, Upstream
from releasekit.ports import Clock, Host
from releasekit.together import together

CONFIRM_S = 20.0
"""From the cutover to its confirmation, at most."""
PREPARE_S = 100.0
"""From the first route of a run to the cutover: what the next route needs not to be loaded for."""


@dataclass(frozen=True, slots=True)
class Bake:
    """That nginx logs at `path`, in its container, while a release is watched for `seconds`."""

    path: str
    seconds: float


@dataclass(frozen=True, slots=True)
class _Applied:
    """What is to be confirmed: the route, and that nginx reaches what it leads to."""

    route: Route
    passages: tuple[Passage, ...]


class NginxRouter:
    """Writes the managed file, and believes only what the running nginx says.

    An exit status of 0 of `nginx -t`, of a reload or of a signal proves nothing: a master that
    cannot take a new configuration goes on with the old one, and says so only in its log. So
    the file carries a generation, and a private server in it that tells the generation.

    With `server NAME resolve`, the workers look up a name that is new only after a reload, and
    answer 502 for the 1 to 3 ms that takes: 50 to 130 of 100,000 requests in 20 cutovers. A name
    that the configuration before held, if only as `down`, has its address carried over (nginx's
    `ngx_http_upstream_zone_preresolve`), and none were lost. That is what `steps.Announce` is:
    an `apply` with the new replicas on standby.

    `directory` is the host's folder that nginx includes, `lock` the file that everybody on the host
    locks who reloads an nginx; `peers` tells where replicas, by
    name, answer, and leaves out those that do not exist.
    """

    def __init__(
        self,
        host: Host,
        container: Container,
        peers: Callable[[Sequence[str]], Mapping[str, Peer]],
        clock: Clock,
        *,
        directory: str,
        control_port: int,
        lock: str,
        bake: Bake | None = None,
    ) -> None:
        self._container = container
        self._peers = peers
        self._clock = clock
        self._bake = bake
        self._control = ControlServer(
            host, container, clock, directory=directory, port=control_port
        )
        self.requests = RequestLog(self._control, container, bake.path if bake else "")
        """What nginx logs while a release is watched."""
        self._file = ManagedFile(
            host, container, self._control, clock, directory=directory, lock=lock
        )
        self._version: tuple[int, ...] | None = None
        self._applied: _Applied | None = None
        self._is_drained = False
        """Whether no old worker was left when the applied route was confirmed: none comes back."""

    def observe(self) -> Nginx:
        loaded, agree = self._control.look()
        processes = self._container.processes()
        self._file.know(processes)
        nginx = Nginx(
            version=self._version_of(loaded),
            running=self._control.facts.is_running,
            loaded=loaded.route if loaded else None,
            draining=any(p.is_leaving for p in processes) or not agree,
        )
        return replace(nginx, loaded=self._reached(nginx), edited=self._edited(nginx))

    def _reached(self, nginx: Nginx) -> Route | None:
        """What is loaded, without the replicas that moved away from the addresses that an nginx
        which looks no names up goes on with: by now they may be somebody else's."""
        if nginx.loaded is None or nginx.resolves:
            return nginx.loaded
        text = self._file.read() or ""
        if mark.generation(text) != nginx.loaded.generation:
            return nginx.loaded
        try:
            peers = self._peers(sorted(nginx.loaded.names))
        except ReleasekitError:
            return nginx.loaded
        there = {name: target(name, peer, nginx) for name, peer in peers.items() if peer.address}
        return nginx.loaded.without({n for n, to in there.items() if f" {to} " not in text})

    def _edited(self, nginx: Nginx) -> str:
        """How the managed file differs from what is loaded, where somebody edited it."""
        text = self._file.read()
        if text is None or mark.is_whole(text):
            return ""
        if nginx.loaded is None:
            return "what it was cannot be told: nginx does not tell its route"
        try:
            theirs, ours = self.draft(nginx.loaded.upstreams, {}, nginx)
        except ReleasekitError as error:
            return f"what it was cannot be told: {error.message}"
        return difference(ours, theirs, "as it was written", "as it is") or "its first lines differ"

    def require_own(self, nginx: Nginx) -> None:
        """Raise `ForeignChange` when somebody edited the managed file, as was observed."""
        if nginx.edited:
            raise edited(self._file.path, nginx.edited)

    def adopt(self, copy: str) -> None:
        """Keep a copy of the managed file, and let it be replaced, whoever edited it."""
        self._file.adopt(copy)

    def mend(self, on_wait: Callable[[], None] = lambda: None) -> None:
        """Have the file lead where the route leads that nginx has loaded.

        It does not after a run that was killed, or a master that did not take a route: nginx would
        start with another one than it runs. A file that somebody edited is left alone, and so is
        one whose replicas are gone: nothing but another route puts that right.
        """
        facts = self._control.facts
        if not (facts.is_running or self._control.inspect().is_running):
            return
        text, loaded = self._file.read(), self._control.ask()
        if loaded is None or (text is not None and not self._file.is_own(text)):
            return
        is_loaded = text is not None and mark.generation(text) == loaded.route.generation
        if is_loaded and mark.is_whole(text or ""):
            return
        if loaded.route.resolved <= self._peers(sorted(loaded.route.resolved)).keys():
            self.apply(loaded.route.upstreams, on_wait)

    def log_problem(self) -> str:
        """Why nginx, as it is configured, would log nothing for the bake; "" if it would."""
        if self._bake is None:
            return ""
        dump = self._container.dump(self._file.nginx, "")
        return log_problem(dump, self._container.managed_path)

    def unmounted(self) -> str:
        """Why the nginx that runs would never see the managed file; "" when it sees it."""
        return self._file.unmounted()

    def problem(self, services: Sequence[str]) -> str:
        """Why nginx would not load a route of `services`, as its configuration is; "" if it would.

        It asks for nothing while nginx tells a route: then it has loaded one.
        """
        if self._control.look()[0] is not None:
            return ""
        is_there = not self._control.facts.is_running or self._file.read() is not None
        return self._file.unmounted() or include_problem(
            self._container.dump(self._file.nginx, placeholder(services)),
            self._container.managed_path,
            services if is_there else (),
        )

    def preview_problem(self, services: Sequence[str]) -> str:
        """Why nginx, as it is configured, would show no preview of `services`; "" if it would."""
        dump = self._container.dump(self._file.nginx, placeholder(services))
        return preview_problem(dump, self._container.managed_path, services)

    def apply(
        self, upstreams: Sequence[Upstream], on_wait: Callable[[], None] = lambda: None
    ) -> bool:
        names = sorted(Route(tuple(upstreams)).resolved)
        (loaded, _), peers = together(self._control.look, lambda: self._peers(names))
        nginx = Nginx(self._version_of(loaded))
        route = _route(known(upstreams, nginx), loaded)
        file = self._file.read()
        log = self._log(file)
        draft = partial(
            _texts,
            peers=peers,
            nginx=nginx,
            control=Control(self._control.port, self._control.facts.gateway),
            log=log,
        )
        self._file.replaced, self._is_drained = frozenset(), False
        same = replace(route, generation=loaded.route.generation) if loaded else route
        # A reload of the very bytes that nginx runs would only close idle keep-alive connections.
        is_loaded = loaded is not None and file in draft(same)
        if is_loaded:
            route = same
        else:
            self._file.put(draft(route), route.secret, logs.text(log) if log else "", on_wait)
        before = loaded.route.names if loaded is not None and not is_loaded else frozenset[str]()
        self._applied = _Applied(route, _new(passages(route, peers, nginx), route, before))
        return not is_loaded

    def _log(self, file: str | None) -> Log | None:
        """The log of the route that is to be applied over this `file`: one that is written already
        goes on, for it tells of the release before. None where nginx could not write it."""
        if self._bake is None or not self._control.facts.is_running:
            return None
        now = datetime.fromisoformat(self._clock.utc()).timestamp()
        log, ends = logs.found(file or "", self._bake.path), now + self._bake.seconds
        if log.is_open(now) and log.is_open(ends + CONFIRM_S):
            return log
        can_write = log.is_open(now) or self.requests.empty()
        return log.until(now, ends + PREPARE_S) if can_write else None

    def draft(
        self, upstreams: Sequence[Upstream], starting: Mapping[str, Peer], nginx: Nginx
    ) -> tuple[str, str]:
        """The managed file as it is, and as `apply` would write it for this observed nginx, both
        fit to be shown; "" when there is none. `starting` tells where those replicas answer that
        are still to be started.

        Raises `RouteRefused` for a replica that is neither there nor to be started.
        """
        now = self._file.read() or ""
        there = self._peers(sorted(Route(tuple(upstreams)).resolved - starting.keys()))
        peers = placed({**there, **starting})
        facts = self._control.facts
        log = logs.found(now, self._bake.path) if self._bake else None
        client = facts.gateway or ("" if facts.is_running else SOME_HOST)
        texts = _texts(
            _route(known(upstreams, nginx), None),
            peers=peers,
            nginx=nginx,
            control=Control(self._control.port, client),
            log=log,
        )
        spares = not now or "keepalive_min_timeout" in now
        return shown(now, peers), shown(texts[0] if spares else texts[-1], peers)

    def unconfirmed(self) -> str:
        """What is missing until the applied route is all that nginx serves, cheap questions
        first."""
        if self._applied is None:
            return "no route was applied"
        return (
            self._control.unloaded(self._applied.route)
            or self._still_accepting()
            or self._control.unreached(self._applied.passages)
        )

    def _still_accepting(self) -> str:
        old = self._old_workers()
        self._is_drained = not old
        count = sum(p.accepts for p in old)
        return f"old nginx workers that still accept connections: {count}" if count else ""

    def undrained(self) -> str:
        if self._is_drained:
            return ""
        try:
            old = self._old_workers()
        except (CommandFailed, EngineError) as error:
            # A warning would let the next step stop what they may still need.
            return f"old nginx workers cannot be counted: {error.message}"
        return f"old nginx workers with requests to finish: {len(old)}" if old else ""

    def _old_workers(self) -> list[Process]:
        replaced = self._file.replaced
        return [p for p in self._container.processes() if p.pid in replaced or p.is_leaving]

    def _version_of(self, loaded: Loaded | None) -> tuple[int, ...]:
        if loaded is not None:
            return loaded.version
        if self._version is None:
            self._version = parse_version(self._container.version())
        return self._version


def _route(upstreams: tuple[Upstream, ...], loaded: Loaded | None) -> Route:
    """A new generation. What is loaded keeps its secret, so that a preview's address stays."""
    route = Route(upstreams, secrets.token_hex(8))
    if not previews(route):
        return route
    secret = loaded.route.secret if loaded else ""
    return replace(route, secret=secret or secrets.token_hex(16))


def _new(asked: Iterable[Passage], route: Route, before: frozenset[str]) -> tuple[Passage, ...]:
    """The passages to replicas that had no traffic `before`.

    The others are what this route may lead away from: one that turned sick would stop the way
    back from it.
    """
    shared = {u.service for u in route.upstreams if before & {*u.replicas}}
    return tuple(p for p in asked if p.path.rpartition("/")[2] not in before | shared)


def _texts(
    route: Route,
    *,
    peers: Mapping[str, Peer],
    nginx: Nginx,
    control: Control,
    log: Log | None,
) -> tuple[str, ...]:
    """The file for `route`, the preferred text first. The other one is for an http block with a
    `keepalive_min_timeout` of its own: nginx takes no second."""
    both = (
        render(route, peers, nginx, control, spare_idle=spare, log=log) for spare in (True, False)
    )
    return tuple(dict.fromkeys(both))
