"""The managed file: its text, that no value can be configuration, and that it reads back."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from releasekit.bundle import HealthCheck
from releasekit.errors import RouteRefused
from releasekit.nginx.language import quote
from releasekit.nginx.mark import marked
from releasekit.nginx.preview import LONGEST_VARIABLE
from releasekit.nginx.render import (
    LONGEST_PARAMETER,
    Control,
    Loaded,
    Passage,
    Peer,
    parse_route,
    parse_version,
    passages,
    placeholder,
    render,
)
from releasekit.observed import Nginx, Route, Upstream

OLD, NEW = Nginx((1, 22, 1)), Nginx((1, 30, 6))
UP = HealthCheck("/up")
BLUE, GREEN = "shop-releases-web-blue-1", "shop-releases-web-green-1"
PEERS = {BLUE: Peer(8080, "172.18.0.5", UP), GREEN: Peer(9090, "172.18.0.6", UP)}
CONTROL = Control(18745, "172.18.0.1")
ROUTE = Route((Upstream("web", (BLUE,), (GREEN,)),), "4f2a")
SECRET = "00112233445566778899aabbccddeeff"
HELD = Route((Upstream("web", (BLUE,), preview=(GREEN,)),), "4f2a", SECRET)

NEW_TEXT = marked("""\
keepalive_min_timeout 1s;
upstream web {
    zone rk_web 256k;
    resolver 127.0.0.11 valid=1s ipv6=off;
    resolver_timeout 2s;
    server shop-releases-web-blue-1:8080 resolve max_fails=0;
    server shop-releases-web-green-1:9090 resolve max_fails=0 down;
}
map $http_x_releasekit_preview,$host $releasekit_web {
    default web;
}
geo $releasekit__denied {
    default 1;
    127.0.0.1 0;
    172.18.0.1 0;
}
server {
    listen 18745;
    server_name releasekit.invalid;
    resolver 127.0.0.11 valid=1s ipv6=off;
    access_log off;
    auth_basic off;
    allow all;
    if ($releasekit__denied) {
        return 403;
    }
    location = /route {
        default_type application/json;
        set $releasekit__0 '{"schema":1,"generation":"4f2a","version":"nginx/$nginx_version",\
"pid":$pid,"upstreams":{"web":{"replicas":["shop-releases-web-blue-1"],\
"standby":["shop-releases-web-green-1"]}}}';
        return 200 $releasekit__0;
    }
    location = /through/web/shop-releases-web-blue-1 {
        set $releasekit__to shop-releases-web-blue-1:8080;
        proxy_pass http://$releasekit__to/up;
        proxy_set_header Host $http_host;
        proxy_connect_timeout 1s;
        proxy_next_upstream off;
        proxy_cache off;
    }
    location = /through/web {
        set $releasekit__to web;
        proxy_pass http://$releasekit__to/up;
        proxy_set_header Host $http_host;
        proxy_connect_timeout 1s;
        proxy_next_upstream off;
        proxy_cache off;
    }
}
""")

HELD_TEXT = """\
upstream releasekit_preview_web {
    zone releasekit_preview_web 256k;
    resolver 127.0.0.11 valid=1s ipv6=off;
    resolver_timeout 2s;
    server shop-releases-web-green-1:9090 resolve max_fails=0;
}
map $http_x_releasekit_preview,$host $releasekit_web {
    default web;
    ~^00112233445566778899aabbccddeeff, releasekit_preview_web;
    ~,00112233445566778899aabbccddeeff[.] releasekit_preview_web;
}
"""


def body(text: str) -> str:
    """`text` without its mark."""
    return text[text.index("keepalive" if "keepalive" in text else "upstream") :]


class TestText:
    def test_an_nginx_that_looks_names_up(self) -> None:
        """Names, each with its own port; standby replicas are there and get nothing."""
        assert render(ROUTE, PEERS, NEW, CONTROL) == NEW_TEXT

    def test_an_nginx_that_does_not(self) -> None:
        """Addresses; no standby, in the upstream and in what it tells; no newer directive."""
        text = render(ROUTE, PEERS, OLD, CONTROL)

        assert "    server 172.18.0.5:8080 max_fails=0;\n}" in text
        assert '"standby":[]' in text
        for unknown in ("keepalive_min_timeout", "resolve", "172.18.0.6", GREEN):
            assert unknown not in text

    def test_a_user_who_sets_keepalive_min_timeout(self) -> None:
        """It is left out, and nothing else."""
        text = render(ROUTE, PEERS, NEW, CONTROL, spare_idle=False)

        assert body(text) == body(NEW_TEXT).replace("keepalive_min_timeout 1s;\n", "")

    def test_ipv6(self) -> None:
        """An IPv6 address stands in brackets, and plain in `geo`."""
        peers = {BLUE: Peer(80, "fd00:0::5")}
        text = render(Route((Upstream("web", (BLUE,)),), "g"), peers, OLD, Control(1, "fd00::1"))

        assert "server [fd00::5]:80 max_fails=0;" in text
        assert "    fd00::1 0;" in text

    def test_nobody_may_ask(self) -> None:
        """Without a known client only nginx's own container may ask."""
        [guests] = of("geo", tree(render(ROUTE, PEERS, NEW, Control(1))))

        assert list(guests.block) == [Node(("default", "1")), Node(("127.0.0.1", "0"))]

    @pytest.mark.parametrize("nginx", [OLD, NEW])
    def test_no_replicas(self, nginx: Nginx) -> None:
        """nginx starts all the same, and answers 502 for this service."""
        text = render(Route((Upstream("web", ()),), "g"), {}, nginx, CONTROL)

        assert "server 127.0.0.1:9 down;" in text

    def test_a_zone_keeps_its_name(self) -> None:
        """Else no address is carried over to the next generation."""
        later = Route((Upstream("web", (GREEN,)),), "5")
        zones = {tree(render(r, PEERS, NEW, CONTROL))[1].block[0] for r in (ROUTE, later)}

        assert len(zones) == 1

    def test_many_replicas(self) -> None:
        """No parameter gets longer than nginx reads, and no variable is cut in two."""
        route, peers = crowd(services=6, replicas=40)
        nodes = tree(render(route, peers, NEW, CONTROL))

        longest = max(len(word) for node in walk(nodes) for word in node.words)
        assert longest <= LONGEST_PARAMETER
        assert parse_route(told(nodes)) == Loaded(route, NEW.version)


class TestWeights:
    @pytest.mark.parametrize(("nginx", "where"), [(NEW, BLUE), (OLD, "172.18.0.5")])
    def test_each_replica_has_its_share(self, nginx: Nginx, where: str) -> None:
        weighted = Route((Upstream("web", (BLUE, GREEN), weights=(1, 19)),), "g")
        [upstream] = of("upstream", tree(render(weighted, PEERS, nginx, CONTROL)))

        servers = [node.words for node in upstream.block if node.words[0] == "server"]
        assert [words[-1] for words in servers] == ["weight=1", "weight=19"]
        assert servers[0][1] == f"{where}:8080"

    @pytest.mark.parametrize("nginx", [OLD, NEW])
    def test_what_is_loaded_is_told_with_them(self, nginx: Nginx) -> None:
        weighted = Route((Upstream("web", (BLUE, GREEN), weights=(1, 19)),), "g")
        nodes = tree(render(weighted, PEERS, nginx, CONTROL))

        assert parse_route(told(nodes, nginx)) == Loaded(weighted, nginx.version)

    @pytest.mark.parametrize(
        "weights", [(1,), (1, 1, 1), (0, 1), (-1, 1), (1, True), (1, 0.5), (1, "2"), (1, None)]
    )
    def test_refused(self, weights: Any) -> None:
        """Whole numbers from 1, one for each replica; standby replicas have none."""
        upstream = Upstream("web", (BLUE, GREEN), (GREEN,), weights=weights)

        with pytest.raises(RouteRefused, match=r"do not fit the 2 replicas of web: one whole"):
            render(Route((upstream,), "g"), PEERS, NEW, CONTROL)


class TestPreview:
    def test_an_nginx_that_looks_names_up(self) -> None:
        """An upstream of their own, and the way to it; among the live ones they wait, so that
        nginx knows them when their turn comes."""
        text = render(HELD, PEERS, NEW, CONTROL)

        assert HELD_TEXT in text
        assert f"    server {GREEN}:9090 resolve max_fails=0 down;\n}}\n{HELD_TEXT}" in text

    def test_an_nginx_that_does_not(self) -> None:
        """Addresses, and nothing among the live ones."""
        text = render(HELD, PEERS, OLD, CONTROL)

        assert "    server 172.18.0.6:9090 max_fails=0;\n}\nmap" in text
        assert text.count("172.18.0.6") == 2  # in the upstream, and where it is asked

    def test_nothing_is_left_of_it(self) -> None:
        """Without replicas on preview a secret leads nowhere, and is not told."""
        unheld = replace(ROUTE, secret=SECRET)

        assert render(unheld, PEERS, NEW, CONTROL) == NEW_TEXT

    @pytest.mark.parametrize("nginx", [OLD, NEW])
    def test_what_is_loaded_is_told_with_it(self, nginx: Nginx) -> None:
        text = told(tree(render(HELD, PEERS, nginx, CONTROL)), nginx)

        assert parse_route(text) == Loaded(HELD, nginx.version)

    @pytest.mark.parametrize("secret", ["", "0" * 31, "0" * 33, "0" * 31 + "A", ".*" * 16])
    def test_a_secret_that_is_none(self, secret: str) -> None:
        """It is refused, and not told."""
        with pytest.raises(RouteRefused, match="32 hexadecimal digits") as refused:
            render(replace(HELD, secret=secret), PEERS, NEW, CONTROL)

        assert not secret or secret not in refused.value.message

    @pytest.mark.parametrize(
        ("service", "variable"),
        [
            ("web", "$releasekit_web"),
            ("shop.web-2", "$releasekit_shop_web_2"),
            ("Web", "$releasekit_web"),  # to nginx the same as $releasekit_Web
            ("to", "$releasekit_to"),
        ],
    )
    def test_the_name_of_the_variable(self, service: str, variable: str) -> None:
        """It is there before the first release too, and no variable of our own."""
        route = Route((Upstream(service, ()),), "g")
        nodes = tree(render(route, {}, NEW, CONTROL))
        [switch] = of("map", nodes)

        assert switch.words[2] == variable
        assert [n for n in walk(nodes) if n.words[:2] == ("set", variable)] == []
        assert of("map", tree(placeholder([service]))) == [switch]

    @pytest.mark.parametrize("twins", [("my-api", "my_api"), ("web", "Web")])
    def test_two_services_with_one_variable(self, twins: tuple[str, str]) -> None:
        route = Route(tuple(Upstream(service, ()) for service in twins), "g")

        with pytest.raises(RouteRefused, match=f"{twins[0]} and {twins[1]} would share"):
            render(route, {}, NEW, CONTROL)

    def test_a_name_that_nginx_has_no_room_for(self) -> None:
        """Such a service has no variable, so it cannot be on preview."""
        longest = "x" * (LONGEST_VARIABLE - len("releasekit_"))
        variables = [
            of("map", tree(placeholder([service]))) for service in (longest, f"{longest}x")
        ]
        assert list(map(len, variables)) == [1, 0]

        held = replace(HELD, upstreams=(replace(HELD.upstreams[0], service=f"{longest}x"),))
        with pytest.raises(RouteRefused, match="too long"):
            render(held, PEERS, NEW, CONTROL)


class TestPassages:
    def test_each_replica_and_the_upstream(self) -> None:
        """Standby replicas are not asked."""
        both = Route((Upstream("web", (BLUE,)), Upstream("api", (GREEN,), (BLUE,))), "g")

        assert passages(both, PEERS, NEW) == (
            Passage(f"/through/web/{BLUE}", f"{BLUE}:8080", UP, "web"),
            Passage("/through/web", "web", UP, "web"),
            Passage(f"/through/api/{GREEN}", f"{GREEN}:9090", UP, "api"),
            Passage("/through/api", "api", UP, "api"),
        )

    def test_a_preview(self) -> None:
        """Asked as the live ones are, in the name of the service."""
        assert passages(HELD, PEERS, NEW)[2:] == (
            Passage(f"/through/web/{GREEN}", f"{GREEN}:9090", UP, "web"),
            Passage("/through/releasekit_preview_web", "releasekit_preview_web", UP, "web"),
        )

    def test_an_nginx_that_does_not_look_names_up(self) -> None:
        assert passages(ROUTE, PEERS, OLD)[0].to == "172.18.0.5:8080"

    def test_no_check(self) -> None:
        unchecked = {name: replace(peer, check=None) for name, peer in PEERS.items()}

        assert passages(ROUTE, unchecked, NEW) == ()

    def test_two_releases(self) -> None:
        """With different health paths each is asked its own, and the upstream none."""
        mixed = Route((Upstream("web", (BLUE, GREEN)),), "g")
        other = HealthCheck("/healthz", host="shop.example")
        peers = {**PEERS, GREEN: Peer(80, check=other)}

        assert passages(mixed, peers, NEW) == (
            Passage(f"/through/web/{BLUE}", f"{BLUE}:8080", UP, "web"),
            Passage(f"/through/web/{GREEN}", f"{GREEN}:80", other, "shop.example"),
        )


class TestReadingBack:
    @pytest.mark.parametrize("nginx", [OLD, NEW])
    def test_round_trip(self, nginx: Nginx) -> None:
        """What is written as a route is read as that route, less what this nginx cannot hold."""
        standby = (GREEN,) if nginx.resolves else ()
        expected = Route((Upstream("web", (BLUE,), standby),), "4f2a")

        text = told(tree(render(ROUTE, PEERS, nginx, CONTROL)), nginx)
        assert parse_route(text) == Loaded(expected, nginx.version)

    @pytest.mark.parametrize(
        "change",
        [
            {"schema": 2},
            {"generation": 7},
            {"generation": "a b"},
            {"upstreams": []},
            {"upstreams": {"we;b": {"replicas": [], "standby": []}}},
            {"upstreams": {"web": {"replicas": "abc", "standby": []}}},
            {"upstreams": {"web": {"replicas": [1], "standby": []}}},
            {"upstreams": {"web": {"replicas": []}}},
            {"version": None},
            {"secret": ""},
            {"secret": "a b"},
            {"secret": 7},
            {"upstreams": {"web": {"replicas": ["a"], "standby": [], "weights": [0]}}},
            {"upstreams": {"web": {"replicas": ["a"], "standby": [], "weights": [1, 1]}}},
            {"upstreams": {"web": {"replicas": ["a"], "standby": [], "weights": "1"}}},
            {"upstreams": {"web": {"replicas": ["a"], "standby": [], "weights": 1}}},
            {"upstreams": {"web": {"replicas": [], "standby": [], "preview": "abc"}}},
            {"upstreams": {"web": {"replicas": [], "standby": [], "preview": ["a;"]}}},
        ],
    )
    def test_another_schema_or_garbage(self, change: dict[str, Any]) -> None:
        said = json.loads(told(tree(render(HELD, PEERS, NEW, CONTROL))))

        assert parse_route(json.dumps(said)) is not None
        assert parse_route(json.dumps({**said, **change})) is None

    @given(
        st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)
    )
    @example("[" * 20_000)
    def test_any_body(self, body: str) -> None:
        """Whatever answers on that port, it is no route, and no crash."""
        assert parse_route(body) is None

    @pytest.mark.parametrize(
        ("text", "version"),
        [
            ("nginx version: nginx/1.30.6", (1, 30, 6)),
            ("nginx version: nginx/1.22.1 (Ubuntu)", (1, 22, 1)),
            ("nginx version: openresty/1.27.1.2", (1, 27, 1)),
            ("Tengine version: Tengine/3.1.0\nnginx version: nginx/1.24.0", (1, 24, 0)),
            ("Angie version: Angie/1.8.1", ()),
            ("", ()),
        ],
    )
    def test_version(self, text: str, version: tuple[int, ...]) -> None:
        """An unknown one counts as the oldest: it gets only what every nginx knows."""
        assert parse_version(text) == version


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,30}", fullmatch=True)
WELL_FORMED = {
    "service": NAMES,
    "name": NAMES,
    "generation": NAMES,
    "address": st.ip_addresses().map(str),
    "client": st.ip_addresses().map(str) | st.just(""),
    "shown": NAMES,
    "weight": st.integers(1, 2**31),
    "path": st.from_regex(r"/[a-z0-9._~/%?&=+@:,-]{0,30}", fullmatch=True),
    "port": st.integers(1, 65535),
}
SPECIAL = ";{}'\"\\$#%[]() \n\r\t\0é"
"""What means something to nginx, to JSON or to a URL."""


@st.composite
def spoilt(draw: st.DrawFn, well_formed: st.SearchStrategy[Any]) -> str:
    """A well-formed value with one special character in it."""
    value = str(draw(well_formed))
    at = draw(st.integers(0, len(value)))
    return value[:at] + draw(st.sampled_from(SPECIAL)) + value[at:]


HOSTILE = st.text() | st.text(SPECIAL + "aA0._-/", max_size=8)


def values() -> st.SearchStrategy[dict[str, Any]]:
    """Well-formed values, all but one."""
    spoil = {kind: spoilt(well_formed) | HOSTILE for kind, well_formed in WELL_FORMED.items()}
    spoil["address"] |= HOSTILE.map("fe80::1%".__add__)
    mixes = ({**WELL_FORMED, kind: spoil[kind]} for kind in WELL_FORMED)
    return st.one_of(*map(st.fixed_dictionaries, mixes))


def rendered(nginx: Nginx, value: dict[str, Any]) -> str:
    peer = Peer(value["port"], value["address"], HealthCheck(value["path"]))
    peers = dict.fromkeys((value["name"], value["shown"]), peer)
    return render(given_route(value), peers, nginx, Control(18745, value["client"]))


def given_route(value: dict[str, Any]) -> Route:
    return Route(
        (
            Upstream(
                value["service"],
                (value["name"],),
                preview=(value["shown"],),
                weights=(value["weight"],),
            ),
        ),
        value["generation"],
        SECRET,
    )


class TestHostileValues:
    @settings(max_examples=1000, deadline=None)
    @given(st.sampled_from([OLD, NEW]), values())
    def test_a_value_is_refused_or_stays_one_word(
        self, nginx: Nginx, value: dict[str, Any]
    ) -> None:
        """nginx's lexer finds the very structure of a harmless route, with the values in it."""
        assume(value["name"] != value["shown"])  # nobody is live and on preview
        try:
            nodes = tree(rendered(nginx, value))
        except RouteRefused:
            return
        harmless = tree(rendered(nginx, HARMLESS | {"client": value["client"] and "10.0.0.9"}))
        assert shape(nodes) == shape(harmless)
        assert variables(nodes) == variables(harmless)
        assert re.fullmatch(r"\$releasekit_[a-z0-9_]+", of("map", nodes)[0].words[2])
        assert parse_route(told(nodes, nginx)) == Loaded(given_route(value), nginx.version)

    @given(st.sampled_from([OLD, NEW]), st.fixed_dictionaries(WELL_FORMED))
    def test_what_is_well_formed_is_accepted(self, nginx: Nginx, value: dict[str, Any]) -> None:
        assert tree(rendered(nginx, value))

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("service", "web;"),
            ("service", ""),
            ("service", "-v"),
            ("name", "web\n"),
            ("name", "web{}"),
            ("name", 'we"b'),
            ("name", "wéb"),
            ("name", "a" * 256),
            ("shown", "web;"),
            ("generation", '"}'),
            ("generation", "$pid"),
            ("address", "web"),
            ("address", "10.0.0.1;"),
            ("address", "fe80::1%;}"),
            ("client", "0.0.0.0/0"),
            ("path", "up"),
            ("path", "/up;"),
            ("path", "/$http_cookie"),
            ("path", "/up'"),
            ("path", "/up\r\nX: y"),
            ("port", 0),
            ("port", 65536),
            ("port", True),
            ("port", "80"),
        ],
    )
    def test_refused(self, kind: str, value: Any) -> None:
        nginx = OLD if kind == "address" else NEW

        with pytest.raises(RouteRefused, match="cannot be a"):
            rendered(nginx, HARMLESS | {kind: value})

    @given(HOSTILE | spoilt(NAMES))
    def test_quote(self, word: str) -> None:
        """Any word comes out of nginx's lexer as it went in."""
        assert tree(f"x {quote(word)};") == (Node(("x", word)),)

    def test_unknown_replica(self) -> None:
        with pytest.raises(RouteRefused, match="no replica 'shop-releases-web-green-1'"):
            render(ROUTE, {BLUE: PEERS[BLUE]}, NEW, CONTROL)

    def test_no_address(self) -> None:
        with pytest.raises(RouteRefused, match="has no address"):
            render(ROUTE, {BLUE: Peer(80), GREEN: Peer(80)}, OLD, CONTROL)


# A route of many, and nginx's way to read


HARMLESS: dict[str, Any] = {
    "service": "web",
    "name": "web-1",
    "shown": "web-2",
    "weight": 1,
    "generation": "g",
    "address": "10.0.0.1",
    "client": "10.0.0.9",
    "path": "/up",
    "port": 80,
}


def crowd(services: int, replicas: int) -> tuple[Route, dict[str, Peer]]:
    def names(service: int, slot: str) -> tuple[str, ...]:
        return tuple(f"shop-releases-s{service}-{slot}-{n}" for n in range(replicas))

    route = Route(
        tuple(Upstream(f"s{n}", names(n, "blue"), names(n, "green")) for n in range(services)),
        "0123456789abcdef",
    )
    return route, {name: Peer(8080, "10.0.0.1", UP) for name in route.resolved}


@dataclass(frozen=True)
class Node:
    words: tuple[str, ...]
    block: tuple[Node, ...] = ()


def tree(text: str) -> tuple[Node, ...]:
    """`text` as nginx reads it (`ngx_conf_read_token`); raises on what it would refuse."""
    tokens = _tokens(text)
    nodes = _block(tokens, depth=0)
    assert not tokens, "a brace too many"
    return nodes


def walk(nodes: tuple[Node, ...]) -> list[Node]:
    return [each for node in nodes for each in (node, *walk(node.block))]


def of(name: str, nodes: tuple[Node, ...]) -> list[Node]:
    return [node for node in nodes if node.words[0] == name]


def shape(nodes: tuple[Node, ...]) -> list[Any]:
    """The directives with their numbers of words: what no value may change. (Those in `geo` are
    named by values.)"""
    return [
        (n.words[0], len(n.words), len(n.block) if n.words[0] == "geo" else shape(n.block))
        for n in nodes
    ]


def variables(nodes: tuple[Node, ...]) -> list[str]:
    """Those that are used; the one that a map defines is named by a service."""
    used = (word for n in walk(nodes) for word in n.words[: 2 if n.words[0] == "map" else None])
    return [name for word in used for name in re.findall(r"\$\w*", word)]


def told(nodes: tuple[Node, ...], nginx: Nginx = NEW) -> str:
    """What the control server would answer."""
    pieces = {n.words[1]: n.words[2] for n in walk(nodes) if n.words[0] == "set"}
    answer = next(n.words[2] for n in walk(nodes) if n.words[:2] == ("return", "200"))
    for name in sorted(pieces, key=len, reverse=True):
        answer = answer.replace(name, pieces[name])
    version = ".".join(map(str, nginx.version))
    return answer.replace("$nginx_version", version).replace("$pid", "7")


Token = tuple[bool, str]
"""Whether it is a word, and its text."""


def _block(tokens: list[Token], depth: int) -> tuple[Node, ...]:
    nodes: list[Node] = []
    words: list[str] = []
    while tokens:
        is_word, text = tokens.pop(0)
        if is_word:
            words.append(text)
        elif text == "}":
            assert depth, "a brace too many"
            assert not words, "no semicolon"
            return tuple(nodes)
        else:
            assert words, "no directive"
            nodes.append(Node(tuple(words), _block(tokens, depth + 1) if text == "{" else ()))
            words = []
    assert not depth, "a brace too few"
    assert not words, "no semicolon"
    return tuple(nodes)


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char in " \t\r\n":
            at += 1
        elif char == "#":
            at = text.index("\n", at)
        elif char in ";{}":
            tokens.append((False, char))
            at += 1
        elif char in "\"'":
            word, at = _word(text, at + 1, char)
            assert text[at] == char
            assert text[at + 1] in " \t\r\n;{)", "nginx wants a space after a quoted word"
            tokens.append((True, word))
            at += 1
        else:
            word, at = _word(text, at, " \t\r\n;{")
            tokens.append((True, word))
    return tokens


def _word(text: str, at: int, ends: str) -> tuple[str, int]:
    """The word from `at` up to one of `ends`, with nginx's escapes taken out."""
    word = ""
    while text[at] not in ends:
        if text[at] == "\\" and text[at + 1] in "\"'\\":
            at += 1
        elif text[at] == "\\" and text[at + 1] in "trn":
            word += {"t": "\t", "r": "\r", "n": "\n"}[text[at + 1]]
            at += 2
            continue
        elif text[at : at + 2] == "${":
            word += text[at]
            at += 1
        word += text[at]
        at += 1
    return word, at
