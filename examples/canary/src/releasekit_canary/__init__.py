"""canary: a few users get the new release first, and more of them while it stays well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from math import gcd
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from releasekit import BlueGreen, BlueGreenOptions, Observed, Options, Plan, Target, Upstream
from releasekit.steps import Announce, AwaitHealthy, ConfirmRoute, Route, Step, Stop, Watch

__all__ = ["Canary", "CanaryOptions"]


def _parts(value: object) -> object:
    """A command line and a variable have commas to say a list."""
    return value.split(",") if isinstance(value, str) else value


def _ascending(steps: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ValueError("must ascend")
    return steps


Percentages = Annotated[
    tuple[Annotated[int, Field(ge=1, le=99)], ...],
    BeforeValidator(_parts),
    AfterValidator(_ascending),
]


class CanaryOptions(BlueGreenOptions):
    steps: Percentages = (5, 25, 50)
    """The new release's shares of the requests before it gets all, in percent, ascending."""
    pause: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30
    """For how many seconds the new release is watched at each of them; 0 does not watch."""


class Canary:
    """blue-green, whose one step of all traffic from the old release to the new is a ladder.

    What comes before and after it is blue-green's: all new replicas are proven healthy and known
    to nginx before the first request, and the old ones run until nobody asks them. So a way back
    needs nothing of its own either: it is a plan to the release before, which goes at once.
    """

    name: ClassVar[str] = "canary"
    summary: ClassVar[str] = (
        "give the new release a few of the requests, and more while it stays well"
    )
    has_downtime: ClassVar[bool] = False
    needs_health: ClassVar[bool] = True
    options: ClassVar[type[Options]] = CanaryOptions

    def plan(self, observed: Observed, target: Target, options: CanaryOptions) -> Plan:
        plan = replace(BlueGreen().plan(observed, target, options), strategy=self.name)
        moves = [(n, step) for n, step in enumerate(plan.steps) if isinstance(step, Route)]
        # A release that was good before needs no trial, and whoever goes back to it no delay.
        if not moves or target.release in observed.committed:
            return plan
        number, last = moves[-1]
        before, after = plan.steps[:number], plan.steps[number:]
        ladder = _Ladder(observed, target, options, before, last.upstreams)
        return replace(plan, steps=(*before, *ladder.steps(), *after))


class _Ladder:
    """The way of the traffic from the old replicas to those that get it in the end."""

    def __init__(
        self,
        observed: Observed,
        target: Target,
        options: CanaryOptions,
        before: tuple[Step, ...],
        final: tuple[Upstream, ...],
    ) -> None:
        self.release = target.release
        self.options = options
        self.final = final
        gates = [step for step in before if isinstance(step, AwaitHealthy)]
        self.proven = tuple(pair for gate in gates for pair in gate.replicas)
        gone = {r.name for step in before if isinstance(step, Stop) for r in step.replicas}
        old = {
            replica.name
            for replica in observed.replicas
            if replica.running and replica.release != target.release and replica.name not in gone
        }
        told = [step.upstreams for step in before if isinstance(step, Announce | Route)]
        loaded = told[-1] if told else observed.route.upstreams
        self.old = {u.service: tuple(n for n in u.replicas if n in old) for u in loaded}
        """Who of the old release serves each service now."""

    def steps(self) -> Iterator[Step]:
        if not any(map(self._is_shared, self.final)):
            return
        for percent in self.options.steps:
            upstreams = self._at(percent)
            yield Route(upstreams, f"{percent} % of the requests are for the new release")
            yield ConfirmRoute(upstreams, "exit 0 of a reload proves nothing")
            if self.options.pause:
                cause = f"it goes on only while it is well at {percent} %"
                yield Watch(self.release, self.proven, self.options.pause, cause)

    def _is_shared(self, upstream: Upstream) -> bool:
        """Whether both releases have replicas for it: a new service has nobody to share with."""
        return bool(upstream.replicas and self.old.get(upstream.service))

    def _at(self, percent: int) -> tuple[Upstream, ...]:
        """Who gets traffic while the new release has this share of it."""
        shares = {upstream.service: self._shared(upstream, percent) for upstream in self.final}
        for service, old in self.old.items():
            # The old release may ask it, until nobody asks the old release.
            if old and service not in shares:
                shares[service] = Upstream(service, old)
        return tuple(upstream for _, upstream in sorted(shares.items()))

    def _shared(self, upstream: Upstream, percent: int) -> Upstream:
        old, new = self.old.get(upstream.service, ()), upstream.replicas
        if not (old and new):
            return replace(upstream, replicas=old or new, standby=_without(upstream.standby, old))
        # One new replica counts as much as all the old ones take together, and the other way round.
        each_old, each_new = _lowest((100 - percent) * len(new), percent * len(old))
        return Upstream(
            upstream.service,
            (*old, *new),
            standby=_without(upstream.standby, old),
            weights=(each_old,) * len(old) + (each_new,) * len(new),
        )


def _lowest(one: int, other: int) -> tuple[int, int]:
    """The same ratio in the lowest terms."""
    divisor = gcd(one, other)
    return one // divisor, other // divisor


def _without(names: Iterable[str], gone: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in {*gone})
