"""The way back after a failure: not the reversed steps, but a plan from what is observed now.

Reversing steps forgets the gates: traffic would go to what was never proven healthy again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from releasekit.check import checked, checked_plan
from releasekit.errors import StrategyError
from releasekit.observed import Health, Observed, Upstream
from releasekit.plan import Plan
from releasekit.release import short
from releasekit.steps import Announce, AwaitHealthy, ConfirmRoute, Step
from releasekit.strategies.abandon import abandon
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.guard import OURS, origin
from releasekit.strategies.mixed import Chosen, Mix
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.slots import ANNOUNCED, announced, moved, traffic
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
    *,
    at_once: bool = False,
) -> Plan:
    """The plan from what the `failed` release left behind to `previous`, or, for want of one, to
    what was there `before`.

    With `at_once` no more users are to get what failed: the route goes first to what still runs
    of `previous`, however little that is. Otherwise what serves well goes on with it meanwhile.

    It goes by the strategies of `mix`, and where a plugin fails now, without it. nginx's file is
    left alone that somebody edited, unless the traffic has to go elsewhere.
    """
    observed = _without_waiting(observed)
    if previous is None:
        return abandon(before, observed, failed)
    target = previous.target()
    first = _relief(observed, target) if at_once else ()
    try:
        return _planned(first, mix, observed, target)
    except StrategyError:
        own = Mix(_own(mix.default), {name: _own(each) for name, each in mix.services.items()})
        return _planned(first, own, observed, target)


def _planned(first: tuple[Step, ...], mix: Mix, observed: Observed, target: Target) -> Plan:
    """The plan of these strategies, going on from where the steps `first` lead, if that is safe."""
    if observed.nginx is not None and first and isinstance(first[-1], ConfirmRoute):
        route = replace(observed.route, upstreams=first[-1].upstreams)
        then = replace(observed, nginx=replace(observed.nginx, loaded=route, draining=True))
        with suppress(StrategyError):
            plan = mix.plan(then, target)
            plan = replace(plan, based_on=observed.fingerprint(), steps=(*first, *plan.steps))
            return checked(plan, mix, observed, target)
    return checked_plan(mix, observed, target)


def _relief(observed: Observed, target: Target) -> tuple[Step, ...]:
    """Prove what runs of `target`, and give it the route alone; where nothing of a service does,
    its part of the route stays as it is."""
    up = [r for r in observed.of(target.release) if r.running and r.health is not Health.UNHEALTHY]
    left = {s: tuple(r.name for r in up if r.service == s) for s in target.asked}
    before = observed.route.upstreams
    after = tuple(
        Upstream(u.service, left[u.service]) if left.get(u.service) else u for u in before
    )
    if traffic(after) == traffic(before):
        return ()
    pairs = tuple((u.service, name) for u in before for name in left.get(u.service, ()))
    told = announced(before, pairs)
    is_known = all(replica.release for replica in observed.routed())
    announces = observed.nginx is not None and observed.nginx.resolves and is_known
    return (
        *((Announce(told, ANNOUNCED),) if announces and told != before else ()),
        AwaitHealthy(target.release, pairs, target.health_timeout_s, "it takes the traffic back"),
        *moved(after, f"{short(target.release)} serves with what is left of it"),
    )


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
