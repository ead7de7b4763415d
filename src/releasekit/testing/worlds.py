"""Worlds to release in, for property tests: any mixture of containers, any route, any record.

It needs hypothesis: `pip install releasekit[testing]`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, permutations, product
from typing import Any, TypeVar

from hypothesis import strategies as st

from releasekit.observed import PLAIN, SLOTS, Nginx, Route, Upstream
from releasekit.steps import replica_names
from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
from releasekit.strategies.mixed import Chosen
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import Rolling, RollingOptions
from releasekit.target import Migration, Target
from releasekit.testing.found import BACKING, PORTS, PROJECT, Start, There, service
from releasekit.testing.world import App

RELEASES = tuple(f"{digit * 40}~{digit * 8}" for digit in "abc")
NGINX_VERSIONS = ((1, 30, 6), (1, 22, 1))
REPLICAS = (1, 2, 3, 0, 1, 2, 3, 4, 5)
WARM_UPS_S = (0.0, 0.2, 0.5, 1.0)
SETTLES_S = (None, 0.3)
ORDERS: tuple[Mapping[str, tuple[str, ...]], ...] = (
    {},
    {"worker": ("web", "api"), "cron": ("web", "api")},
    {"api": ("web",)},
    {"web": ("api",), "worker": ("api", "web"), "cron": ("worker",)},
    {"web": ("worker",)},
)
"""What starts after what."""
ALONE: tuple[tuple[str, ...], ...] = ((), ("cron",), ("cron", "worker"), ("web",))
"""The services that may not run twice."""
BUILT_IN: tuple[Chosen, ...] = (
    Chosen(BlueGreen(), BlueGreenOptions()),
    Chosen(BlueGreen(), BlueGreenOptions(keep_previous="running")),
    Chosen(Rolling(), RollingOptions()),
    Chosen(Rolling(), RollingOptions(max_surge="50%", max_unavailable=1)),
    Chosen(Recreate(), Recreate.options()),
)
OTHERS: tuple[tuple[str, ...], ...] = ((), (), (), ("worker",), ("web",), ("api", "cron"))
"""The services that have a strategy of their own."""


# How they are drawn

T = TypeVar("T")
A_BYTE = range(256)


def _picked(*choices: Sequence[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """One of each of these, in a single draw: so thousands of worlds are made in seconds."""

    def pick(drawn: bytes) -> tuple[Any, ...]:
        numbers = (int.from_bytes(drawn[i : i + 2]) for i in range(0, len(drawn), 2))
        return tuple(c[n % len(c)] for c, n in zip(choices, numbers, strict=True))

    size = 2 * len(choices)
    return st.binary(min_size=size, max_size=size).map(pick)


def _some(those: Sequence[T], number: int, least: int = 1) -> tuple[T, ...]:
    """Some of these, in their order, as a number says it."""
    mask = least + number % (2 ** len(those) - least)
    return tuple(each for i, each in enumerate(those) if mask >> i & 1)


# Releases


@st.composite
def releases(draw: st.DrawFn, *, has_nginx: bool) -> dict[str, Target]:
    """Three releases of one project, each with all or some of its services."""
    names = sorted(PORTS) if has_nginx else [n for n, port in PORTS.items() if port is None]
    order, alone, settle_s = draw(_picked(ORDERS, ALONE, SETTLES_S))
    targets = {}
    for release in RELEASES:
        number, *counts = draw(_picked(A_BYTE, *[REPLICAS] * len(names)))
        chosen = names if number % 2 else _some(names, number // 2)
        services = tuple(
            replace(
                service(name, count),
                after=tuple(sorted({*order.get(name, ())} & {*chosen})),
                overlaps=name not in alone,
                settle_s=settle_s if PORTS[name] is None else None,
            )
            for name, count in zip(names, counts, strict=True)
            if name in chosen
        )
        migration = Migration(chosen[0]) if number % 3 == 0 else None
        targets[release] = Target(PROJECT, release, services, BACKING, migration)
    return targets


def applications() -> st.SearchStrategy[dict[str, App]]:
    return _picked(*[WARM_UPS_S] * len(RELEASES)).map(
        lambda those: dict(zip(RELEASES, map(App, those), strict=True))
    )


def others() -> st.SearchStrategy[dict[str, Chosen]]:
    """A strategy of their own for some services."""
    return _picked(OTHERS, BUILT_IN).map(lambda drawn: dict.fromkeys(*drawn))


# Containers

NUMBERS = ((1,), (1, 2), (1, 2, 3), (2,), (1, 3), (1, 2, 3, 4, 5))
"""Which replicas of a service are there: with gaps, as somebody's `docker rm` leaves them."""
STATES = ((True, False), (False, False), (True, True))
"""Whether a container runs, and whether it is cold."""
_Group = tuple[tuple[int, str, bool, bool], ...]


def _groups(releases: Iterable[str]) -> tuple[_Group, ...]:
    """What may be there of one service in one slot: nothing, in two of five cases."""
    mixtures = [*((r,) for r in releases), *permutations(releases, 2)]
    states = [*((s,) for s in STATES), *permutations(STATES, 2)]
    groups = [
        tuple((n, r, *s) for n, r, s in zip(numbers, cycle(those), cycle(state), strict=False))
        for numbers, those, state in product(NUMBERS, mixtures, states)
    ]
    return (*[()] * (2 * len(groups) // 3), *groups)


PLACES = tuple(product((*SLOTS, PLAIN), sorted(PORTS)))
GROUPS = {**dict.fromkeys(SLOTS, _groups(RELEASES)), PLAIN: _groups([*RELEASES, ""])}
LEFTOVERS = (
    *[None] * 10,
    *(
        There(name, slot, 1, release, running, prefix="0123456789ab_")
        for slot, name in PLACES
        for release in RELEASES[:2]
        for running in (False, True)
    ),
)


def containers() -> st.SearchStrategy[tuple[There, ...]]:
    def placed(drawn: tuple[Any, ...]) -> tuple[There, ...]:
        leftover, *groups = drawn
        found = [
            There(name, slot, *each)
            for (slot, name), group in zip(PLACES, groups, strict=True)
            for each in group
        ]
        return (*found, *([leftover] if leftover else []))

    return _picked(LEFTOVERS, *(GROUPS[slot] for slot, _ in PLACES)).map(placed)


# What nginx serves

WEIGHTS = ((), (), (19, 1), (1, 3))
FRONTS = ("ours", "draining", "foreign", "down")


@st.composite
def routes(draw: st.DrawFn, names: Mapping[str, Sequence[str]], nginx: Nginx) -> Route:
    """Per service some of these names get traffic, and some of the others wait or are shown."""
    upstreams = []
    numbers = range(2**16)
    for each, those in sorted(names.items()):
        if those:
            number, other, weights, is_shown = draw(
                _picked(numbers, numbers, WEIGHTS, (False, False, True))
            )
            chosen = _some(those, number)
            waiting = _some([name for name in those if name not in chosen], other, least=0)
            upstreams.append(
                Upstream(
                    each,
                    chosen,
                    standby=waiting if nginx.resolves and not is_shown else (),
                    preview=waiting if is_shown else (),
                    weights=tuple(w for _, w in zip(chosen, cycle(weights), strict=False)),
                )
            )
    secret = "way" if any(upstream.preview for upstream in upstreams) else ""
    return Route(tuple(upstreams), "7", secret)


@st.composite
def _fronted(draw: st.DrawFn, start: Start, nginx: Nginx, *, is_healthy: bool) -> Start:
    names = _fit(start.there, is_healthy=is_healthy)
    match draw(st.sampled_from(FRONTS)):
        case "down":
            return replace(start, nginx=nginx)
        case "foreign":
            route = _foreign(start.there, names)
            return replace(start, nginx=nginx, route=route, is_ours=False)
        case "ours":
            return replace(start, nginx=nginx, route=draw(routes(names, nginx)))
        case _:
            before, route = draw(routes(names, nginx)), draw(routes(names, nginx))
            return replace(start, nginx=nginx, before=before, route=route)


def _fit(there: Iterable[There], *, is_healthy: bool) -> dict[str, list[str]]:
    """The names that a route may have, per service that users ask."""
    names: dict[str, list[str]] = {name: [] for name, port in PORTS.items() if port is not None}
    for each in there:
        is_fit = each.running and not each.cold and each.release != ""
        if each.service in names and (is_fit or not is_healthy):
            names[each.service].append(each.name)
    if not is_healthy:
        for name, those in names.items():
            those.extend(n for n in replica_names(PROJECT, "blue", name, 2) if n not in those)
    return names


def _foreign(there: Iterable[There], services: Collection[str]) -> Route:
    """The route of a team's own files: to the first replicas of plain compose."""
    plain = [There(name, PLAIN, 1, "") for name in services]
    up = {each.name for each in there if each.running and not each.cold}
    return Route(tuple(Upstream(each.service, (each.name,)) for each in plain if each.name in up))


# Worlds

VERSIONS = (*NGINX_VERSIONS, *NGINX_VERSIONS, None)
COMMITTED = tuple(some for count in range(4) for some in permutations(RELEASES, count))


@st.composite
def starts(draw: st.DrawFn, *, is_healthy: bool = True) -> Start:
    """Any world. `is_healthy`: the route, if there is one, leads to what is healthy."""
    version, committed, backing = draw(_picked(VERSIONS, COMMITTED, (BACKING, ())))
    start = Start(
        targets=draw(releases(has_nginx=version is not None)),
        apps=draw(applications()),
        there=draw(containers()),
        committed=committed,
        backing=backing,
        others=draw(others()),
    )
    if version is None:
        return start
    return draw(_fronted(start, Nginx(version), is_healthy=is_healthy))


@st.composite
def lived(draw: st.DrawFn, *chosen: Chosen) -> Start:
    """A world in which nothing but releases happened, by the built-in strategies and these: none,
    one or two, on an empty host or one that plain compose serves."""
    version, backing, rest_s, is_plain = draw(
        _picked(VERSIONS, (BACKING, ()), (0.0, 10.0), (False, True))
    )
    targets = draw(releases(has_nginx=version is not None))
    run = _picked(RELEASES, (*BUILT_IN, *chosen, *chosen))
    start = Start(
        targets,
        draw(applications()),
        nginx=Nginx(version) if version else None,
        backing=backing,
        others=draw(others()),
        history=tuple(draw(st.lists(run, max_size=2))),
        rest_s=rest_s,
    )
    if not is_plain:
        return start
    first = targets[RELEASES[0]]
    there = tuple(
        There(each.name, PLAIN, number, first.release)
        for each in first.services
        for number in range(1, each.replicas + 1)
    )
    route = _foreign(there, sorted(first.asked)) if version else None
    return replace(start, there=there, route=route, is_ours=False)
