"""recreate: stop the old release, start the new one under the project's own names."""

from __future__ import annotations

from typing import ClassVar

from releasekit.observed import PLAIN, Observed
from releasekit.plan import Plan
from releasekit.release import short
from releasekit.steps import (
    AwaitHealthy,
    ConfirmRoute,
    MarkCurrent,
    Phase,
    Remove,
    Route,
    Start,
    Step,
    Stop,
)
from releasekit.strategies.base import Options, ensure_backing
from releasekit.target import Target


class Recreate:
    """Stops, then starts, as plain `docker compose up -d` would; the downtime is measured."""

    name: ClassVar[str] = "recreate"
    summary: ClassVar[str] = "stop the old release, start the new one: a short, measured downtime"
    has_downtime: ClassVar[bool] = True
    needs_health: ClassVar[bool] = False

    def plan(self, observed: Observed, target: Target, options: Options) -> Plan:  # noqa: ARG002
        names = target.names(PLAIN)
        expected = {name for _, name in names}
        new = tuple(r for r in observed.of(target.release) if r.name in expected)
        old = tuple(r for r in observed.replicas if r not in new)
        missing = expected - {r.name for r in new if r.running}
        stopping = tuple(sorted(r for r in old if r.running))
        steps: list[Step] = [*ensure_backing(observed, target)]
        if stopping:
            steps.append(Stop(stopping, "recreate stops before it starts", Phase.SHIFT))
        if missing:
            steps += _start(target, names)
        upstreams = target.upstreams(PLAIN)
        if observed.nginx is not None and (missing or observed.route.upstreams != upstreams):
            steps.append(Route(upstreams, f"{short(target.release)} is healthy"))
            steps.append(ConfirmRoute(upstreams, "exit 0 of a reload proves nothing"))
        if observed.current != target.release:
            steps.append(MarkCurrent(target.release, "the commit point"))
        # Compose itself replaces the stopped containers of the same name.
        gone = tuple(sorted(r for r in old if r.name not in expected))
        if gone:
            steps.append(Remove(gone, "nothing goes back to it"))
        return Plan(
            strategy=self.name,
            release=target.release,
            based_on=observed.fingerprint(),
            steps=tuple(steps),
            downtime=tuple(sorted({r.service for r in stopping})),
        )


def _start(target: Target, names: tuple[tuple[str, str], ...]) -> tuple[Step, ...]:
    counts = target.counts(service.name for service in target.services)
    cause = "done when it is proven healthy"
    return (
        Start(target.release, PLAIN, counts, "the new release", Phase.SHIFT),
        AwaitHealthy(target.release, names, target.health_timeout_s, cause, Phase.SHIFT),
    )
