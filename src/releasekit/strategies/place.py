"""Where a release goes: for each of its services the slot with the least in the way."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import takewhile

from releasekit.observed import PLAIN, SLOTS, Observed, Replica
from releasekit.target import Service, Target


@dataclass(frozen=True, slots=True)
class Place:
    """One service of a release in one slot: what of it is there, and what else is."""

    service: Service
    slot: str
    names: tuple[str, ...]
    own: tuple[Replica, ...]
    """The release's own containers that compose goes on from."""
    others: tuple[Replica, ...]

    @property
    def is_standing(self) -> bool:
        """Whether every replica runs."""
        return {r.name for r in self.own if r.running} == {*self.names}


def places(observed: Observed, target: Target) -> tuple[Place, ...]:
    """A place for each service: where it stands, or all in a slot that is free, or each where
    the least is in its way.

    The last comes of something else than releasekit moving a part of the route. A release that
    stands under the project's own names as a whole stays there.
    """
    slots = [*SLOTS, PLAIN] if stands_plain(observed, target) else [*SLOTS]
    rows = {slot: row(observed, target, slot) for slot in slots}
    costs = {slot: [_cost(observed, place) for place in rows[slot]] for slot in slots}
    total = {slot: [sum(column) for column in zip(*costs[slot], strict=True)] for slot in slots}
    best = min(slots, key=lambda slot: total[slot])
    apart = tuple(
        min(choice, key=lambda place: (_cost(observed, place), place.slot != best))
        for choice in zip(*rows.values(), strict=True)
    )
    is_free = not any(total[best][:IN_USE])
    return rows[best] if is_free and not all(p.is_standing for p in apart) else apart


def row(observed: Observed, target: Target, slot: str) -> tuple[Place, ...]:
    """The whole release in one slot."""
    return tuple(_place(observed, target, service, slot) for service in target.services)


def stands_plain(observed: Observed, target: Target) -> bool:
    """Whether the release runs under the project's own names, all of it."""
    places = row(observed, target, PLAIN)
    return bool(places) and all(place.is_standing for place in places)


def in_order(names: Iterable[str], there: Collection[str]) -> frozenset[str]:
    """Those of `names` that compose goes on from: the first ones, as far as they are `there`.

    It gives a new replica the number after the highest, so a gap is never filled, and it removes
    what exceeds the count.
    """
    return frozenset(takewhile(lambda name: name in there, names))


def _place(observed: Observed, target: Target, service: Service, slot: str) -> Place:
    names = target.replicas(service, slot)
    there = sorted(r for r in observed.replicas if (r.service, r.slot) == (service.name, slot))
    kept = in_order(names, {r.name for r in there if r.release == target.release})
    own = tuple(r for r in there if r.name in kept)
    return Place(service, slot, names, own, tuple(r for r in there if r.name not in kept))


IN_USE = 2
"""So many numbers at the start of a cost count what must not be stopped now."""


def _cost(observed: Observed, place: Place) -> tuple[int, ...]:
    """What it takes to have the service there, the worst first: replicas with traffic that are
    in the way, those of the current release, replicas to start; then how little is there."""
    routed = observed.route.names
    in_way = [r for r in place.others if r.running] if not place.is_standing else []
    return (
        sum(r.name in routed for r in in_way),
        sum(r.release == observed.current for r in in_way),
        len(place.names) - sum(r.running for r in place.own),
        -sum(r.name in routed for r in place.own),
        -len(place.own),
    )
