"""The way back after a failure: not the reversed steps, but a plan from what is observed now.

Reversing steps forgets the gates: traffic would go to what was never proven healthy again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from releasekit.check import checked_plan
from releasekit.errors import StrategyError
from releasekit.observed import Observed
from releasekit.plan import Plan
from releasekit.strategies.abandon import abandon
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.guard import OURS, origin
from releasekit.strategies.mixed import Chosen, Mix
from releasekit.strategies.recreate import Recreate
from releasekit.target import Target


class Earlier(Protocol):
    """A stored release that can be gone back to."""

    def target(self) -> Target: ...


def way_back(
    before: Observed,
    observed: Observed,
    failed: str,
    previous: Earlier | None,
    mix: Mix,
) -> Plan:
    """The plan from what the `failed` release left behind to `previous`, or, for want of one, to
    what was there `before`.

    It goes by the strategies of `mix`, and where a plugin fails now, without it. nginx's file is
    left alone that somebody edited, unless the traffic has to go elsewhere.
    """
    observed = _without_waiting(observed)
    if previous is None:
        return abandon(before, observed, failed)
    try:
        return checked_plan(mix, observed, previous.target())
    except StrategyError:
        own = Mix(_own(mix.default), {name: _own(each) for name, each in mix.services.items()})
        return checked_plan(own, observed, previous.target())


def _without_waiting(observed: Observed) -> Observed:
    """`observed` as if nobody waited in an nginx whose file somebody edited: that they do harms
    nobody, and the file is not ours to change."""
    nginx = observed.nginx
    if nginx is None or not nginx.edited:
        return observed
    route = observed.route
    upstreams = tuple(replace(u, standby=(), preview=()) for u in route.upstreams)
    return replace(observed, nginx=replace(nginx, loaded=replace(route, upstreams=upstreams)))


def _own(chosen: Chosen) -> Chosen:
    """A built-in strategy instead of a plugin's, for users cannot wait until that is mended."""
    strategy = chosen.strategy
    if origin(strategy) == OURS:
        return chosen
    return Mix.single(BlueGreen() if strategy.needs_health else Recreate()).default
