"""check_plan: interpret a plan step by step and name every invariant that it would break.

It runs before every execution, on built-in plans and on anybody's. What holds is in DESIGN terms:
traffic only for what was proven healthy, nothing in use is stopped, the route is never empty
unless downtime is declared, and the plan ends at its target.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from releasekit.observed import Observed, Upstream
from releasekit.plan import Plan
from releasekit.steps import (
    Announce,
    AwaitHealthy,
    ConfirmRoute,
    Drain,
    EnsureBacking,
    MarkCurrent,
    Pull,
    Remove,
    Route,
    Start,
    Step,
    Stop,
    replica_names,
)
from releasekit.target import Target


@dataclass(frozen=True, slots=True)
class Violation:
    """`rule` that the step with this `number` (1 is the first, 0 the plan's end) would break."""

    rule: str
    number: int
    detail: str

    def __str__(self) -> str:
        where = f"step {self.number}" if self.number else "at the end"
        return f"{where}: {self.rule} ({self.detail})"


def check_plan(observed: Observed, target: Target, plan: Plan) -> tuple[Violation, ...]:
    """Every violation of `plan`, in order; empty when it is safe to run."""
    world = _World.of(observed, target, plan)
    for number, step in enumerate(plan.steps, start=1):
        world.number = number
        world.take(step)
    world.number = 0
    world.end()
    return tuple(world.violations)


@dataclass
class _World:
    """The abstract state: container names, and what is known of them."""

    project: str
    target: Target
    downtime: frozenset[str]
    has_nginx: bool
    running: dict[str, str]  # name -> release
    stopped: set[str]
    healthy: set[str]
    route: tuple[Upstream, ...]
    confirmed: set[str]
    draining: set[str]
    is_confirmed: bool = True
    is_marked: bool = False
    number: int = 0
    violations: list[Violation] = field(default_factory=list)

    @classmethod
    def of(cls, observed: Observed, target: Target, plan: Plan) -> _World:
        nginx = observed.nginx
        return cls(
            project=observed.project,
            target=target,
            downtime=frozenset(plan.downtime),
            has_nginx=nginx is not None,
            running={r.name: r.release for r in observed.replicas if r.running},
            stopped={r.name for r in observed.replicas if not r.running},
            healthy=set(observed.route.names),
            route=observed.route.upstreams,
            confirmed=set(observed.route.names),
            draining=set(),
            is_marked=observed.current == target.release,
        )

    def broken(self, rule: str, detail: str) -> None:
        self.violations.append(Violation(rule, self.number, detail))

    def take(self, step: Step) -> None:
        match step:
            case Pull() | EnsureBacking() | Announce():
                pass
            case Start():
                self._start(step)
            case AwaitHealthy():
                self.healthy |= {name for _, name in step.replicas if name in self.running}
            case Route():
                self._route(step)
            case ConfirmRoute():
                self._confirm(step)
            case Drain():
                self.draining.clear()
            case Stop():
                self._stop(step)
            case Remove():
                self._remove(step)
            case MarkCurrent():
                self._mark(step)
            case _:
                assert_never(step)

    def _start(self, step: Start) -> None:
        for service, count in step.replicas:
            for name in replica_names(self.project, step.slot, service, count):
                there = self.running.get(name)
                if there is not None and there != step.release:
                    self.broken("a running replica of another release is not replaced", name)
                if there is None:
                    self.healthy.discard(name)
                self.running[name] = step.release
                self.stopped.discard(name)

    def _route(self, step: Route) -> None:
        for upstream in step.upstreams:
            if not upstream.replicas:
                self.broken("the route is never empty", upstream.service)
            for name in upstream.replicas:
                if name not in self.running:
                    self.broken("the route names only what runs", name)
                elif name not in self.healthy:
                    self.broken("traffic only for what was proven healthy", name)
        self._dropped(step.upstreams)
        if self.is_marked and not self._is_target(step.upstreams):
            self.broken("the route does not move after the commit point", str(step))
        self.route = step.upstreams
        self.is_confirmed = False

    def _dropped(self, upstreams: Iterable[Upstream]) -> None:
        """What the route leaves out may still be served by nginx's old workers."""
        kept = {name for upstream in upstreams for name in upstream.replicas}
        self.draining |= self.confirmed - kept

    def _is_target(self, upstreams: tuple[Upstream, ...]) -> bool:
        names = {name for upstream in upstreams for name in upstream.replicas}
        return all(self.running.get(name) == self.target.release for name in names)

    def _confirm(self, step: ConfirmRoute) -> None:
        if step.upstreams != self.route:
            self.broken("the route that was applied is the one confirmed", str(step))
        self.confirmed = {name for upstream in self.route for name in upstream.replicas}
        self.is_confirmed = True

    def _stop(self, step: Stop) -> None:
        for replica in step.replicas:
            if replica.service not in self.downtime:
                self._must_be_free(replica.name)
            self.running.pop(replica.name, None)
            self.stopped.add(replica.name)
            self.healthy.discard(replica.name)

    def _must_be_free(self, name: str) -> None:
        routed = {routed for upstream in self.route for routed in upstream.replicas}
        if name in self.confirmed or name in routed:
            self.broken("nothing is stopped that a confirmed route names", name)
        elif not self.is_confirmed:
            self.broken("nothing is stopped before the route is confirmed", name)
        elif name in self.draining:
            self.broken("nothing is stopped that still has requests in flight", name)

    def _remove(self, step: Remove) -> None:
        for replica in step.replicas:
            if replica.name in self.running and self.running[replica.name] == replica.release:
                self.broken("only what was stopped is removed", replica.name)
            self.stopped.discard(replica.name)

    def _mark(self, step: MarkCurrent) -> None:
        if step.release != self.target.release:
            self.broken("only the target is marked as current", step.release)
        if not self.is_confirmed or not self._serves_target():
            self.broken("what is marked as current serves", step.release)
        self.is_marked = True

    def _serves_target(self) -> bool:
        wanted = {service.name for service in self.target.services if service.port is not None}
        if not self.has_nginx or not wanted:
            return all(self._runs(service.name) for service in self.target.services)
        served = {upstream.service for upstream in self.route if upstream.replicas}
        return wanted <= served and self._is_target(self.route)

    def _runs(self, service: str) -> bool:
        return any(
            self.running.get(name) == self.target.release
            for slot in ("", "blue", "green")
            for name in replica_names(self.project, slot, service, 1)
        )

    def end(self) -> None:
        for service in self.target.services:
            if not self._runs(service.name):
                self.broken("the plan ends at its target", f"{service.name} does not run")
        if not self._serves_target():
            self.broken("the plan ends at its target", "the route does not lead to it")
        if not self.is_confirmed:
            self.broken("every route is confirmed", "the last one is not")
        if not self.is_marked:
            self.broken("the plan ends at its target", "it is not marked as current")
