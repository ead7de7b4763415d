"""rolling: the replicas of a service are replaced in batches, each proven before the next."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import ceil, floor
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, model_validator

from releasekit.observed import Observed, Replica, Upstream
from releasekit.plan import Plan
from releasekit.release import short
from releasekit.steps import Announce, Drain, Start, Step, Stop
from releasekit.strategies.bake import is_baked
from releasekit.strategies.base import Options, ensure_backing
from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
from releasekit.strategies.place import Place
from releasekit.strategies.slots import (
    ANNOUNCED,
    SlotPlanner,
    announced,
    limits,
    moved,
    running,
    traffic,
)
from releasekit.target import Target

_PERCENT = re.compile(r"(\d{1,3})%")


def _share(value: object) -> object:
    """A count as it is meant: "2" from a command line is 2, and `true` is none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('must be a whole number or a percentage like "25%"')  # noqa: TRY004
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value


def _known(value: int | str) -> int | str:
    is_percentage = isinstance(value, str) and _PERCENT.fullmatch(value.strip())
    if not is_percentage and (isinstance(value, str) or value < 0):
        raise ValueError('must be a whole number or a percentage like "25%"')
    return value


Share = Annotated[int | str, BeforeValidator(_share), AfterValidator(_known)]


class RollingOptions(Options):
    max_surge: Share = 1
    """How many replicas more than asked for may run meanwhile: a number, or a percentage of them,
    rounded up."""
    max_unavailable: Share = 0
    """How many replicas fewer than asked for may serve meanwhile: a number, or a percentage of
    them, rounded down. One at least always serves."""

    @model_validator(mode="after")
    def _moves(self) -> RollingOptions:
        if not any(amount(share, 100, ceil) for share in (self.max_surge, self.max_unavailable)):
            raise ValueError("max_surge and max_unavailable cannot both be 0")
        return self

    def resolved(self, replicas: int) -> tuple[int, int]:
        """(surge, unavailable) in replicas, rounded as Kubernetes does; never both 0, and one
        replica serves at any time."""
        surge = amount(self.max_surge, replicas, ceil)
        unavailable = amount(self.max_unavailable, replicas, floor) or (0 if surge else 1)
        unavailable = min(unavailable, max(replicas - 1, 0))
        return surge or (0 if unavailable else 1), unavailable


def amount(share: int | str, replicas: int, rounded: Callable[[float], int]) -> int:
    """A share of so many replicas, in replicas."""
    if isinstance(share, int):
        return share
    return rounded(replicas * int(share.strip().removesuffix("%")) / 100)


class Rolling:
    """Replaces replicas in batches: start, prove, move the route, drain, stop, and on."""

    name: ClassVar[str] = "rolling"
    summary: ClassVar[str] = "replace the replicas in batches, each proven healthy before the next"
    has_downtime: ClassVar[bool] = False
    needs_health: ClassVar[bool] = True
    options: ClassVar[type[Options]] = RollingOptions

    def plan(self, observed: Observed, target: Target, options: RollingOptions) -> Plan:
        if observed.nginx is not None and not observed.only(target.asked).serves:
            # Nobody is to be spared yet, and nginx takes its first route whole or not at all.
            at_once = BlueGreenOptions(keep_previous="removed")
            return replace(BlueGreen().plan(observed, target, at_once), strategy=self.name)
        return Plan(
            strategy=self.name,
            release=target.release,
            based_on=observed.fingerprint(),
            steps=_Planner(observed, target, options).steps(),
            downtime=target.silenced,
            notes=limits(observed),
        )


class _Planner(SlotPlanner):
    def __init__(self, observed: Observed, target: Target, options: RollingOptions) -> None:
        super().__init__(observed, target, "removed")
        self.options = options
        # compose starts whatever is there at once, and batches are to be smaller than that.
        resting = [replica for place in self.places for replica in place.own[_upto(place) :]]
        self.in_way = tuple(sorted({*self.in_way, *resting}))
        self.route = {upstream.service: upstream for upstream in self.left}
        """Who gets traffic by now."""
        self.loaded = self.told
        """What nginx has loaded by now."""
        self.stopped: list[Replica] = []

    def steps(self) -> tuple[Step, ...]:
        batches = [
            step
            for wave in self.waves(self.places)
            for place in wave
            for step in self._replaced(place)
        ]
        return (
            *ensure_backing(self.observed, self.target),
            *self.make_room(),
            *self._but_for_the_last_stop(batches),
            *self._finish(),
            *self.settle(self.stopped),
        )

    def _but_for_the_last_stop(self, steps: list[Step]) -> list[Step]:
        """The last old replicas go after the commit point: by then only the new ones serve, and
        nothing is to be taken back because somebody loses patience with a drain, or only by
        starting them again."""
        if not (self.commits and steps and isinstance(steps[-1], Stop)):
            return steps
        last = steps[-1]
        self.stopped = [replica for replica in self.stopped if replica not in last.replicas]
        before = steps[:-1]
        return before[:-1] if before and isinstance(before[-1], Drain) else before

    def _finish(self) -> tuple[Step, ...]:
        """Services that the release no longer has get no more traffic."""
        if self.nginx is None or {*self.loaded} == {*self.final}:
            return ()
        if traffic(self.route.values()) != traffic(self.final):
            return moved(self.final, self.route_cause())
        return (Announce(self.final, "nginx resolves what may get traffic, and no more"),)

    def _replaced(self, place: Place) -> list[Step]:
        """All batches of one service, until the new replicas are all that is left of it."""
        batches = _Batches(self, place)
        steps: list[Step] = []
        if self.commits or batches.is_unfinished:
            while not batches.are_over:
                steps += batches.next()
        is_watched = batches.is_asked and is_baked(self.observed, self.target)
        return self._but_for_the_last_stop(steps) if is_watched else steps

    def announce(self, service: str, names: Iterable[str]) -> tuple[Step, ...]:
        """The route as it is, plus these on standby (see `Announce`)."""
        told = announced(self.route.values(), [(service, name) for name in names])
        if not self.announces or told == self.loaded:
            return ()
        self.loaded = told
        return (Announce(told, ANNOUNCED),)

    def shift(self, upstream: Upstream, cause: str) -> tuple[Step, ...]:
        """Give a service this part of the route."""
        is_missing = not upstream.replicas and upstream.service not in self.target.silenced
        if is_missing or traffic([upstream]) <= traffic(self.route.values()):
            return ()
        self.route[upstream.service] = upstream
        self.loaded = tuple(each for _, each in sorted(self.route.items()))
        return moved(self.loaded, cause)

    def stop(self, place: Place, leaving: tuple[Replica, ...]) -> tuple[Step, ...]:
        """Let go of these replicas, once nobody asks them any more."""
        if not leaving:
            return ()
        self.stopped += leaving
        drains = self.nginx is not None and (place.service.name in self.asked or self.drains)
        drain = Drain(place.service.drain_s, "old workers finish their requests")
        cause = f"replaced by {short(self.target.release)}"
        return (*([drain] if drains else []), Stop(leaving, cause))


class _Batches:
    """The replicas of one service on their way from the old release to the new one."""

    def __init__(self, planner: _Planner, place: Place) -> None:
        self.planner = planner
        self.place = place
        self.service = place.service
        self.is_asked = self.service.name in planner.asked and planner.nginx is not None
        up = running(place.own)
        self.upto = _upto(place)
        """So many of the new names are taken; compose goes on from there."""
        self.has_gaps = len(up) < self.upto
        route = planner.route.get(self.service.name)
        serving = {*route.replicas} if route is not None else set()
        self.ready = {name for name in up if name in serving}
        """The new replicas that are proven and, where users ask, get traffic."""
        old = [r for r in planner.old if r.service == self.service.name and r.running]
        is_serving = {r: r.name in serving or not self.is_asked for r in old}
        self.old = sorted((r for r in old if is_serving[r]), key=_number)
        self.idle = [replica for replica in old if not is_serving[replica]]
        """Old replicas that run and serve nobody: nothing is lost with them."""
        surge, self.unavailable = planner.options.resolved(self.service.replicas)
        self.most = self.service.replicas + surge

    @property
    def is_unfinished(self) -> bool:
        is_served = not self.is_asked or len(self.ready) == self.service.replicas
        return bool(self.old or self.idle or not self.place.is_standing or not is_served)

    @property
    def are_over(self) -> bool:
        return not (self.old or self.idle or len(self.ready) < self.service.replicas)

    def next(self) -> list[Step]:
        """Start what may run beside the others, prove it, move the route, let old ones go."""
        steps = self._start()
        pending = [name for name in self.place.names[: self.upto] if name not in self.ready]
        if pending:
            if self.is_asked:
                steps += self.planner.announce(self.service.name, pending)
            pairs = [(self.service.name, name) for name in pending]
            steps += self.planner.proven([self.place], pairs)
            self.ready.update(pending)
        leaving = self._leaving()
        if self.is_asked:
            new = [name for name in self.place.names if name in self.ready]
            names = (*new, *(replica.name for replica in self.old))
            cause = self.planner.route_cause() if pending else "makes room for new ones"
            steps += self.planner.shift(Upstream(self.service.name, names), cause)
        return [*steps, *self.planner.stop(self.place, leaving)]

    def _start(self) -> list[Step]:
        room = self.most - self.upto - len(self.old) - len(self.idle)
        count = min(self.service.replicas - self.upto, max(room, 0))
        if not (count or self.has_gaps):
            return []
        self.upto, self.has_gaps = self.upto + count, False
        cause = f"{self.upto} of {self.service.replicas}; {self.planner.start_cause}"
        release, slot = self.planner.target.release, self.place.slot
        return [Start(release, slot, ((self.service.name, self.upto),), cause)]

    def _leaving(self) -> tuple[Replica, ...]:
        """The old replicas that can be spared now. The highest numbers go first: compose would
        count on from a higher one when they come back."""
        enough = self.service.replicas - self.unavailable
        spare = min(len(self.old), max(len(self.ready) + len(self.old) - enough, 0))
        leaving = (*self.idle, *self.old[len(self.old) - spare :])
        self.old, self.idle = self.old[: len(self.old) - spare], []
        return leaving


def _upto(place: Place) -> int:
    """The place of the last replica that runs, from 1."""
    up = running(place.own)
    return max((n for n, name in enumerate(place.names, start=1) if name in up), default=0)


def _number(replica: Replica) -> tuple[str, int]:
    """A container's number, as compose counts: 10 comes after 9."""
    number = replica.name.rpartition("-")[2]
    return replica.slot, int(number) if number.isdecimal() else 0
