"""The bake: a plan that watches the new release before what it replaces is let go. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from releasekit.observed import Observed, Replica
from releasekit.plan import Plan
from releasekit.steps import Announce, MarkCurrent, Route, Start, Step, Stop, Watch
from releasekit.strategies.slots import moved
from releasekit.target import Target

CAUSE = "until here it can be taken back"


def is_baked(observed: Observed, target: Target) -> bool:
    """Whether the target is to be watched; what was good before is not."""
    return bool(target.bake_s and observed.current) and target.release not in observed.committed


def baked(plan: Plan, observed: Observed, target: Target) -> Plan:
    """`plan` with the target's bake right before its commit point.

    There is none where nothing of the current release that users ask runs by then, as with
    recreate: it could not be taken back.
    """
    steps = plan.steps
    at = next((n for n, step in enumerate(steps) if isinstance(step, MarkCurrent)), len(steps))
    if at == len(steps) or not is_baked(observed, target):
        return plan
    left = _left(observed, steps[:at])
    asked = target.asked or {service.name for service in target.services}
    beside = [r for r in left if r.release == observed.current and r.service in asked]
    if not beside:
        return plan
    gone = _replaced(observed, observed.replicas, target) - _replaced(observed, left, target)
    new = {pair for pair in _new(left, steps[:at], target) if pair[0] not in gone}
    pairs = tuple(sorted((r.service, r.name) for r in beside))
    served = observed.route.names
    watch = Watch(
        target.release,
        tuple(sorted(new)),
        target.bake_s,
        CAUSE,
        observed.current,
        pairs,
        resumed=any(r.release == target.release and r.name in served for r in observed.replicas),
    )
    return replace(plan, steps=(*steps[:at], *_logged(observed, steps[:at]), watch, *steps[at:]))


def _left(observed: Observed, steps: Iterable[Step]) -> tuple[Replica, ...]:
    """What of the observed replicas runs after these steps."""
    stopped = {r.name for step in steps if isinstance(step, Stop) for r in step.replicas}
    return tuple(r for r in observed.replicas if r.running and r.name not in stopped)


def _replaced(observed: Observed, replicas: Iterable[Replica], target: Target) -> set[str]:
    """The services of those of these replicas that the target takes the traffic from."""
    routed = observed.route.names
    old = (r for r in replicas if r.running and r.release != target.release)
    return {replica.service for replica in old if replica.name in routed}


def _new(
    left: Iterable[Replica], steps: Iterable[Step], target: Target
) -> Iterable[tuple[str, str]]:
    """(service, replica) pairs of the target's replicas that run after these steps."""
    for replica in left:
        if replica.release == target.release:
            yield replica.service, replica.name
    for step in steps:
        if isinstance(step, Start):
            yield from target.started(step)


def _logged(observed: Observed, steps: Sequence[Step]) -> tuple[Step, ...]:
    """nginx logs for the bake since its last route: one that was moved by a run that was killed
    is given to it once more."""
    if observed.nginx is None or any(isinstance(step, Route) for step in steps):
        return ()
    told = [step.upstreams for step in steps if isinstance(step, Announce)]
    return moved([observed.route.upstreams, *told][-1], "nginx logs while it is watched")
