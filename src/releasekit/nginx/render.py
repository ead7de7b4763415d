"""The text of nginx's managed file, from a route; and the route, from what nginx answers. Pure.

Every value that gets into the file passes a grammar of its kind first (`_checked`): in nginx's
language a `;`, a brace, a quote or a `$` in a name would be configuration.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from releasekit.bundle import HealthCheck
from releasekit.errors import RouteRefused
from releasekit.observed import Nginx, Route, Upstream

FILE = "releasekit.conf"
HOST = "releasekit.invalid"
"""The control server's name: no request from outside has a reason to carry it."""
HEADER = "# Managed by releasekit, do not edit: the next release writes it anew.\n"
SCHEMA = 1

RESOLVER = ("resolver", "127.0.0.11", "valid=1s", "ipv6=off")
"""Docker's own, which every network of a compose project has."""
ZONE_SIZE = "256k"
"""Holds some hundred replicas, each with its resolved addresses."""
LONGEST_PARAMETER = 2000
"""nginx reads a parameter into a buffer of 4096 bytes and refuses a longer one."""
NOBODY = ("server", "127.0.0.1:9", "down")
"""Stands in an upstream without replicas: nginx refuses an empty one, and would not start; so
it answers 502 for this service alone."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_GENERATION = re.compile(r"[A-Za-z0-9_.-]{1,128}")
PATH = re.compile(r"/[A-Za-z0-9._~/%?&=+@:,-]{0,1023}")
_BARE = re.compile(r"[A-Za-z0-9_./:=@%,?&+~$()\[\]-]+")
_VERSION = re.compile(r"\b(?:nginx|openresty)/(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a replica answers nginx. `address`, on a network that nginx shares, is only needed
    by an nginx that does not look names up while it runs. `check` None: it is not asked."""

    port: int
    address: str = ""
    check: HealthCheck | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """The private server that tells what nginx has loaded: its port, and who may ask it besides
    nginx's own container: the address that the host's connections come from ("": nobody)."""

    port: int
    client: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A health check that is asked through nginx: `path` of the control server passes it on to
    `to`, a replica's own address or a service's upstream. `host` is the Host header to send."""

    path: str
    to: str
    check: HealthCheck
    host: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the running nginx says of itself."""

    route: Route
    version: tuple[int, ...]


def render(
    route: Route,
    peers: Mapping[str, Peer],
    nginx: Nginx,
    control: Control,
    *,
    spare_idle: bool = True,
) -> str:
    """The managed file for `route`, whose replicas' `peers` are known by name.

    `spare_idle` False leaves `keepalive_min_timeout` to the user's own http block. Raises
    `RouteRefused` for a value that is not of its grammar, and for a replica without a peer.
    """
    route = Route(known(route.upstreams, nginx), route.generation)
    directives = [
        # An idle keep-alive client that sends just as its worker leaves loses the request. 1 s
        # lost none; every second more delays the drain by as much.
        *([_d("keepalive_min_timeout", "1s")] if spare_idle and nginx.keeps_idle else []),
        *(_upstream(upstream, peers, nginx) for upstream in route.upstreams),
        # `return` answers before nginx looks at `allow` and `deny`: only `if` guards it.
        _d("geo", "$releasekit_denied", block=_guests(control)),
        _server(route, passages(route, peers, nginx), nginx, control),
    ]
    return HEADER + "".join(f"{line}\n" for top in directives for line in top.lines())


def placeholder(services: Iterable[str]) -> str:
    """A managed file with an upstream for each of `services` and nothing behind it: enough for a
    test of the files that name them."""
    blocks = (_d("upstream", _checked("name", s, NAME), block=[_d(*NOBODY)]) for s in services)
    return HEADER + "".join(f"{line}\n" for block in blocks for line in block.lines())


def known(upstreams: Iterable[Upstream], nginx: Nginx) -> tuple[Upstream, ...]:
    """`upstreams` as this nginx can hold them: one that looks no names up keeps no standby."""
    if nginx.resolves:
        return tuple(upstreams)
    return tuple(Upstream(u.service, u.replicas) for u in upstreams)


def passages(route: Route, peers: Mapping[str, Peer], nginx: Nginx) -> tuple[Passage, ...]:
    """Every way to ask the replicas that have a check: each by itself, then each upstream.

    nginx chooses which replica of an upstream answers, and leaves out those whose name it cannot
    look up: only asking each of them tells. Left out are upstreams whose replicas' checks differ,
    as between two releases.
    """
    found: list[Passage] = []
    for upstream in route.upstreams:
        own = [(name, _peer(name, peers)) for name in upstream.replicas]
        found += [
            _passage(f"{upstream.service}/{name}", _target(name, peer, nginx), peer.check)
            for name, peer in own
            if peer.check
        ]
        shared = {peer.check for _, peer in own}
        check = shared.pop() if len(shared) == 1 else None
        if check:
            found.append(_passage(upstream.service, upstream.service, check))
    return tuple(found)


def _passage(what: str, to: str, check: HealthCheck) -> Passage:
    return Passage(f"/through/{what}", to, check, check.host or what.partition("/")[0])


def parse_route(body: str) -> Loaded | None:
    """What the control server's answer says; None when it is no answer of this schema."""
    try:
        said = json.loads(body)
        if said["schema"] != SCHEMA:
            return None
        upstreams = tuple(
            Upstream(_checked("name", service, NAME), _names(u["replicas"]), _names(u["standby"]))
            for service, u in said["upstreams"].items()
        )
        generation = _checked("generation", said["generation"], _GENERATION)
        return Loaded(Route(upstreams, generation), parse_version(said["version"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, RouteRefused):
        return None


def parse_version(text: str) -> tuple[int, ...]:
    """The version in "nginx version: nginx/1.30.6"; () when there is none, which is the oldest."""
    match = _VERSION.search(text)
    return tuple(map(int, match.groups())) if match else ()


# What the file is made of


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive of nginx's language; `block` None ends it with a semicolon."""

    words: tuple[str, ...]
    block: tuple[Directive, ...] | None = None

    def lines(self, indent: str = "") -> Iterator[str]:
        head = indent + " ".join(map(quote, self.words))
        if self.block is None:
            yield f"{head};"
            return
        yield f"{head} {{"
        for inner in self.block:
            yield from inner.lines(f"{indent}    ")
        yield f"{indent}}}"


def quote(word: str) -> str:
    """`word` as nginx's lexer gives it back. Quotes do not keep `$name` from being a variable."""
    if _BARE.fullmatch(word):
        return word
    return "'" + word.replace("\\", r"\\").replace("'", r"\'") + "'"


def _d(*words: str, block: Iterable[Directive] | None = None) -> Directive:
    return Directive(words, None if block is None else tuple(block))


def _upstream(upstream: Upstream, peers: Mapping[str, Peer], nginx: Nginx) -> Directive:
    # The upstream is named after the service, so that the team's own `proxy_pass http://web;`
    # goes on working. Nor may the zone's name change: only from a zone of the same name does a
    # reload carry the resolved addresses over, and until they are looked up anew it answers 502.
    service = _checked("service", upstream.service, NAME)
    # nginx's default of max_fails, 1, takes a replica out for 10 s after one refused connection:
    # two restarts of one made 30,000 requests fail while the other was well.
    options = ("resolve", "max_fails=0") if nginx.resolves else ("max_fails=0",)
    servers = [
        _d("server", _target(name, _peer(name, peers), nginx), *options, *down)
        for names, down in ((upstream.replicas, ()), (upstream.standby, ("down",)))
        for name in names
    ]
    body = [_d("zone", f"rk_{service}", ZONE_SIZE)]
    if nginx.resolves:
        # In the upstream, so that a resolver of the user's own is left alone. A failed lookup is
        # tried again only after the timeout.
        body += [_d(*RESOLVER), _d("resolver_timeout", "2s")]
    return _d("upstream", service, block=[*body, *(servers or [_d(*NOBODY)])])


def _target(name: str, peer: Peer, nginx: Nginx) -> str:
    """Where nginx connects to for a replica: its name where it looks names up, else its address."""
    host = _checked("name", name, NAME)
    if not nginx.resolves:
        if not peer.address:
            raise RouteRefused(f"{name} has no address on a network that nginx shares")
        address = _address(peer.address)
        host = f"[{address}]" if ":" in address else address
    return f"{host}:{_port(peer.port)}"


def _guests(control: Control) -> Iterator[Directive]:
    yield _d("default", "1")
    yield _d("127.0.0.1", "0")
    if control.client:
        yield _d(_address(control.client), "0")


def _server(route: Route, asked: Iterable[Passage], nginx: Nginx, control: Control) -> Directive:
    server = [
        _d("listen", _port(control.port)),
        _d("server_name", HOST),
        *([_d(*RESOLVER)] if nginx.resolves else []),
        _d("access_log", "off"),
        # What the user's http block may demand of every request, and we cannot give.
        _d("auth_basic", "off"),
        _d("allow", "all"),
        _d("if", "($releasekit_denied)", block=[_d("return", "403")]),
        _d("location", "=", "/route", block=_answer(_told(route))),
        *map(_through, asked),
    ]
    return _d("server", block=server)


def _told(route: Route) -> str:
    """The route as JSON; nginx puts its version and the answering worker's pid in."""
    upstreams = {
        u.service: {"replicas": _names(u.replicas), "standby": _names(u.standby)}
        for u in route.upstreams
    }
    generation = _checked("generation", route.generation, _GENERATION)
    return (
        f'{{"schema":{SCHEMA},"generation":"{generation}","version":"nginx/$nginx_version",'
        f'"pid":$pid,"upstreams":{json.dumps(upstreams, separators=(",", ":"))}}}'
    )


def _answer(text: str) -> Iterator[Directive]:
    """Answer 200 with `text`, in pieces. The variables in it stand in the first piece."""
    yield _d("default_type", "application/json")
    starts = range(0, len(text), LONGEST_PARAMETER)
    for number, start in enumerate(starts):
        yield _d("set", f"$releasekit_{number}", text[start : start + LONGEST_PARAMETER])
    yield _d("return", "200", "".join(f"$releasekit_{number}" for number in range(len(starts))))


def _through(passage: Passage) -> Directive:
    body = [
        # In a variable, so that a name is looked up for the request and not to start nginx.
        _d("set", "$releasekit_to", passage.to),
        _d("proxy_pass", f"http://$releasekit_to{_checked('path', passage.check.path, PATH)}"),
        _d("proxy_set_header", "Host", "$http_host"),
        _d("proxy_connect_timeout", "1s"),
        _d("proxy_next_upstream", "off"),
        _d("proxy_cache", "off"),
    ]
    return _d("location", "=", passage.path, block=body)


# The grammars


def _checked(kind: str, value: Any, grammar: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not grammar.fullmatch(value):
        raise RouteRefused(f"{value!r} cannot be a {kind} in nginx's configuration")
    return value


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise RouteRefused(f"{values!r} is no list of names")
    return tuple(_checked("name", value, NAME) for value in values)


def _port(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise RouteRefused(f"{value!r} cannot be a port in nginx's configuration")
    return str(value)


def _address(value: str) -> str:
    """`value` in its canonical form. An IPv6 zone ("%eth0") is free text, so it is refused."""
    try:
        if "%" not in value:
            return str(ipaddress.ip_address(value))
    except (ValueError, TypeError):
        pass
    raise RouteRefused(f"{value!r} cannot be an address in nginx's configuration")


def _peer(name: str, peers: Mapping[str, Peer]) -> Peer:
    try:
        return peers[name]
    except KeyError:
        raise RouteRefused(f"there is no replica {name!r} to route to") from None
