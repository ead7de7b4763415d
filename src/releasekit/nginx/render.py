"""The text of nginx's managed file, from a route; and the route, from what nginx answers. Pure.

Every value that gets into the file passes a grammar of its kind first (`_checked`): in nginx's
language a `;`, a brace, a quote or a `$` in a name would be configuration.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from releasekit.errors import RouteRefused
from releasekit.nginx import log as logs
from releasekit.nginx.language import Directive, written
from releasekit.nginx.language import directive as _d
from releasekit.nginx.mark import marked
from releasekit.nginx.preview import previews, secret, shown, switches
from releasekit.observed import Nginx, Route, Upstream

if TYPE_CHECKING:  # a bundle's names are checked by the grammar that is here
    from releasekit.bundle import HealthCheck

FILE = "releasekit.conf"
HOST = "releasekit.invalid"
"""The control server's name: no request from outside has a reason to carry it."""
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
    log: logs.Log | None = None,
) -> str:
    """The managed file for `route`, whose replicas' `peers` are known by name.

    `spare_idle` False leaves `keepalive_min_timeout` to the user's own http block; `log` is the
    bake's, where there is one. Raises `RouteRefused` for a value that is not of its grammar, and
    for a replica without a peer.
    """
    route = replace(route, upstreams=known(route.upstreams, nginx))
    directives = [
        # An idle keep-alive client that sends just as its worker leaves loses the request. 1 s
        # lost none; every second more delays the drain by as much.
        *([_d("keepalive_min_timeout", "1s")] if spare_idle and nginx.keeps_idle else []),
        *(_upstream(upstream, peers, nginx) for upstream in route.upstreams),
        *(_preview(u, peers, nginx) for u in route.upstreams if u.preview),
        *switches(route),
        *(logs.directives(log) if log else ()),
        # `return` answers before nginx looks at `allow` and `deny`: only `if` guards it.
        _d("geo", "$releasekit__denied", block=_guests(control)),
        _server(route, passages(route, peers, nginx), nginx, control, log),
    ]
    return marked(written(directives))


def placeholder(services: Iterable[str]) -> str:
    """A managed file with an upstream for each of `services` and nothing behind it: enough for a
    test of the files that name them, or their variables."""
    names = [_checked("service", service, NAME) for service in services]
    empty = [_d("upstream", name, block=[_d(*NOBODY)]) for name in names]
    route = Route(tuple(Upstream(name, ()) for name in names))
    return marked(written([*empty, *switches(route)]))


def known(upstreams: Iterable[Upstream], nginx: Nginx) -> tuple[Upstream, ...]:
    """`upstreams` as this nginx can hold them: one that looks no names up keeps no standby."""
    if nginx.resolves:
        return tuple(upstreams)
    return tuple(replace(upstream, standby=()) for upstream in upstreams)


def passages(route: Route, peers: Mapping[str, Peer], nginx: Nginx) -> tuple[Passage, ...]:
    """Every way to ask the replicas that have a check: each by itself, then each upstream.

    nginx chooses which replica of an upstream answers, and leaves out those whose name it cannot
    look up: only asking each of them tells. Left out are upstreams whose replicas' checks differ,
    as between two releases. Those on preview are asked too.
    """
    groups = [
        group
        for u in route.upstreams
        for group in ((u.service, u.service, u.replicas), (u.service, shown(u.service), u.preview))
    ]
    asked = (p for group in groups for p in _passages(*group, peers, nginx))
    return tuple(dict.fromkeys(asked))  # nginx refuses a location that is there twice


def _passages(
    service: str, upstream: str, names: Iterable[str], peers: Mapping[str, Peer], nginx: Nginx
) -> Iterator[Passage]:
    own = [(name, _peer(name, peers)) for name in names]
    for name, peer in own:
        if peer.check:
            yield _passage(service, f"{service}/{name}", target(name, peer, nginx), peer.check)
    shared = {peer.check for _, peer in own}
    check = shared.pop() if len(shared) == 1 else None
    if check:
        yield _passage(service, upstream, upstream, check)


def _passage(service: str, what: str, to: str, check: HealthCheck) -> Passage:
    return Passage(f"/through/{what}", to, check, check.host or service)


def parse_route(body: str) -> Loaded | None:
    """What the control server's answer says; None when it is no answer of this schema."""
    try:
        said = json.loads(body)
        if said["schema"] != SCHEMA:
            return None
        upstreams = tuple(_upstream_said(*pair) for pair in said["upstreams"].items())
        generation = _checked("generation", said["generation"], _GENERATION)
        route = Route(upstreams, generation, said.get("secret", ""))
        return Loaded(replace(route, secret=secret(route)), parse_version(said["version"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, RouteRefused):
        return None


def _upstream_said(service: str, said: dict[str, Any]) -> Upstream:
    upstream = Upstream(
        _checked("service", service, NAME),
        _names(said["replicas"]),
        _names(said["standby"]),
        _names(said.get("preview", [])),
        tuple(said.get("weights", [])),
    )
    _weights(upstream)
    return upstream


def parse_version(said: str) -> tuple[int, ...]:
    """The version in "nginx version: nginx/1.30.6"; () when there is none, which is the oldest."""
    match = _VERSION.search(said)
    return tuple(map(int, match.groups())) if match else ()


# What the file is made of


def _upstream(upstream: Upstream, peers: Mapping[str, Peer], nginx: Nginx) -> Directive:
    # The upstream is named after the service, so that the team's own `proxy_pass http://web;`
    # goes on working. Nor may the zone's name change: only from a zone of the same name does a
    # reload carry the resolved addresses over, and until they are looked up anew it answers 502.
    # So what is on preview waits here too: when its turn came unknown, 30 times under load, 1,585
    # requests failed, and like this none.
    service = _checked("service", upstream.service, NAME)
    weights = [[f"weight={weight}"] for weight in _weights(upstream)]
    waiting = (*upstream.standby, *upstream.preview) if nginx.resolves else ()
    servers = [
        *zip(upstream.replicas, weights or [[]] * len(upstream.replicas), strict=True),
        *((name, ["down"]) for name in dict.fromkeys(waiting)),
    ]
    return _group(service, f"rk_{service}", servers, peers, nginx)


def _preview(upstream: Upstream, peers: Mapping[str, Peer], nginx: Nginx) -> Directive:
    name = shown(upstream.service)
    return _group(name, name, [(replica, []) for replica in upstream.preview], peers, nginx)


def _group(
    name: str,
    zone: str,
    servers: Iterable[tuple[str, Iterable[str]]],
    peers: Mapping[str, Peer],
    nginx: Nginx,
) -> Directive:
    """The upstream `name` of these replicas, each with options of its own."""
    # nginx's default of max_fails, 1, takes a replica out for 10 s after one refused connection:
    # two restarts of one made 30,000 requests fail while the other was well.
    options = ("resolve", "max_fails=0") if nginx.resolves else ("max_fails=0",)
    lines = [
        _d("server", target(replica, _peer(replica, peers), nginx), *options, *own)
        for replica, own in servers
    ]
    body = [_d("zone", zone, ZONE_SIZE)]
    if nginx.resolves:
        # In the upstream, so that a resolver of the user's own is left alone. A failed lookup is
        # tried again only after the timeout.
        body += [_d(*RESOLVER), _d("resolver_timeout", "2s")]
    return _d("upstream", name, block=[*body, *(lines or [_d(*NOBODY)])])


def target(name: str, peer: Peer, nginx: Nginx) -> str:
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


def _server(
    route: Route, asked: Iterable[Passage], nginx: Nginx, control: Control, log: logs.Log | None
) -> Directive:
    server = [
        _d("listen", _port(control.port)),
        _d("server_name", HOST),
        *([_d(*RESOLVER)] if nginx.resolves else []),
        _d("access_log", "off"),
        # What the user's http block may demand of every request, and we cannot give.
        _d("auth_basic", "off"),
        _d("allow", "all"),
        _d("if", "($releasekit__denied)", block=[_d("return", "403")]),
        _d("location", "=", "/route", block=_answer(_told(route))),
        *map(_through, asked),
        *([logs.location(log)] if log else []),
    ]
    return _d("server", block=server)


def _told(route: Route) -> str:
    """The route as JSON; nginx puts its version and the answering worker's pid in."""
    upstreams = {u.service: _upstream_told(u) for u in route.upstreams}
    generation = _checked("generation", route.generation, _GENERATION)
    way = f'"secret":"{secret(route)}",' if previews(route) else ""
    return (
        f'{{"schema":{SCHEMA},"generation":"{generation}","version":"nginx/$nginx_version",'
        f'"pid":$pid,{way}"upstreams":{json.dumps(upstreams, separators=(",", ":"))}}}'
    )


def _upstream_told(upstream: Upstream) -> dict[str, Any]:
    told: dict[str, Any] = {
        "replicas": _names(upstream.replicas),
        "standby": _names(upstream.standby),
    }
    if upstream.preview:
        told["preview"] = _names(upstream.preview)
    if upstream.weights:
        told["weights"] = upstream.weights
    return told


def _answer(text: str) -> Iterator[Directive]:
    """Answer 200 with `text`, in pieces. The variables in it stand in the first piece."""
    yield _d("default_type", "application/json")
    starts = range(0, len(text), LONGEST_PARAMETER)
    for number, start in enumerate(starts):
        yield _d("set", f"$releasekit__{number}", text[start : start + LONGEST_PARAMETER])
    yield _d("return", "200", "".join(f"$releasekit__{number}" for number in range(len(starts))))


def _through(passage: Passage) -> Directive:
    body = [
        # In a variable, so that a name is looked up for the request and not to start nginx.
        _d("set", "$releasekit__to", passage.to),
        _d("proxy_pass", f"http://$releasekit__to{_checked('path', passage.check.path, PATH)}"),
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


def _weights(upstream: Upstream) -> tuple[int, ...]:
    weights = upstream.weights
    whole = all(type(weight) is int and weight > 0 for weight in weights)
    if not whole or (weights and len(weights) != len(upstream.replicas)):
        raise RouteRefused(
            f"the weights {list(weights)!r} do not fit the {len(upstream.replicas)} replicas of "
            f"{upstream.service}: one whole number from 1 for each, or none at all"
        )
    return weights


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
