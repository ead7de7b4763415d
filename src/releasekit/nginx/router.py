"""`ports.Router` for an nginx that runs as a compose service."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from releasekit.errors import CommandFailed, EngineError
from releasekit.nginx.container import Container, Process
from releasekit.nginx.control import ControlServer
from releasekit.nginx.draft import SOME_HOST, placed, shown
from releasekit.nginx.include import include_problem, preview_problem
from releasekit.nginx.managed import ManagedFile
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
)
from releasekit.observed import Nginx, Route, Upstream
from releasekit.ports import Clock, Host
from releasekit.together import together


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

    `directory` is the host's folder that nginx includes; `peers` tells where replicas, by
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
    ) -> None:
        self._container = container
        self._peers = peers
        self._control = ControlServer(
            host, container, clock, directory=directory, port=control_port
        )
        self._file = ManagedFile(host, container, self._control, clock, directory=directory)
        self._version: tuple[int, ...] | None = None
        self._applied: _Applied | None = None
        self._is_drained = False
        """Whether no old worker was left when the applied route was confirmed: none comes back."""

    def observe(self) -> Nginx:
        loaded, agree = self._control.look()
        processes = self._container.processes()
        self._file.know(processes)
        return Nginx(
            version=self._version_of(loaded),
            running=self._control.facts.is_running,
            loaded=loaded.route if loaded else None,
            draining=any(p.is_leaving for p in processes) or not agree,
        )

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

    def apply(self, upstreams: Sequence[Upstream]) -> bool:
        names = sorted(Route(tuple(upstreams)).resolved)
        (loaded, _), peers = together(self._control.look, lambda: self._peers(names))
        nginx = Nginx(self._version_of(loaded))
        route = _route(known(upstreams, nginx), loaded)
        draft = partial(
            _texts,
            peers=peers,
            nginx=nginx,
            control=Control(self._control.port, self._control.facts.gateway),
        )
        self._file.replaced, self._is_drained = frozenset(), False
        same = replace(route, generation=loaded.route.generation) if loaded else route
        # A reload of the very bytes that nginx runs would only close idle keep-alive connections.
        is_loaded = loaded is not None and self._file.read() in draft(same)
        if is_loaded:
            route = same
        else:
            self._file.put(draft(route), route.secret)
        before = loaded.route.names if loaded is not None and not is_loaded else frozenset[str]()
        self._applied = _Applied(route, _new(passages(route, peers, nginx), route, before))
        return not is_loaded

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
        client = facts.gateway or ("" if facts.is_running else SOME_HOST)
        texts = _texts(
            _route(known(upstreams, nginx), None),
            peers=peers,
            nginx=nginx,
            control=Control(self._control.port, client),
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
    route: Route, *, peers: Mapping[str, Peer], nginx: Nginx, control: Control
) -> tuple[str, ...]:
    """The file for `route`, the preferred text first. The other one is for an http block with a
    `keepalive_min_timeout` of its own: nginx takes no second."""
    both = (render(route, peers, nginx, control, spare_idle=spare) for spare in (True, False))
    return tuple(dict.fromkeys(both))
