"""check_plan: interpret a plan step by step and name every invariant that it would break.

It runs before every execution, on built-in plans and on anybody's. What holds is in DESIGN terms:
traffic only for what was proven healthy, nothing in use is stopped, the route is never empty
unless downtime is declared, and the plan ends at its target.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import assert_never

from releasekit.errors import UnsafePlan
from releasekit.observed import PLAIN, SLOTS, Observed, Replica, Upstream
from releasekit.plan import Plan
from releasekit.release import short
from releasekit.steps import (
    Announce,
    AwaitHealthy,
    ConfirmRoute,
    Drain,
    EnsureBacking,
    MarkCurrent,
    Phase,
    Pull,
    Remove,
    Route,
    RunOnce,
    Start,
    Step,
    Stop,
    Watch,
)
from releasekit.strategies.base import migration
from releasekit.strategies.guard import origin, remedy
from releasekit.strategies.mixed import Mix
from releasekit.strategies.place import in_order
from releasekit.strategies.slots import only
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


def checked_plan(mix: Mix, observed: Observed, target: Target) -> Plan:
    """The plan of these strategies; raises `UnsafePlan` when it would break an invariant."""
    return checked(mix.plan(observed, target), mix, observed, target)


def checked(plan: Plan, mix: Mix, observed: Observed, target: Target) -> Plan:
    """`plan`, which these strategies made; raises likewise."""
    violations = check_plan(observed, target, plan)
    if violations:
        found = "; ".join(map(str, violations))
        makers = {origin(each.strategy) for each in (mix.default, *mix.services.values())}
        raise UnsafePlan(f"{mix.name} made an unsafe plan: {found}", hint=remedy(*sorted(makers)))
    return plan


def check_plan(
    observed: Observed, target: Target, plan: Plan, *, is_held: bool = False
) -> tuple[Violation, ...]:
    """Every violation of `plan`, in order; empty when it is safe to run. One that is held stops
    before the cutover, and need not end at its target."""
    world = _World.of(observed, target, plan)
    for number, step in enumerate(plan.steps, start=1):
        world.number = number
        world.take(step)
    world.number = 0
    if not is_held:
        world.end()
    return tuple(world.violations)


@dataclass
class _World:
    """The abstract state: container names, and what is known of them."""

    target: Target
    downtime: frozenset[str]
    has_nginx: bool
    running: dict[str, str]  # name -> release
    places: dict[str, tuple[str, str]]  # name -> service and slot, of all that is there
    there: frozenset[Replica]  # what may be stopped
    healthy: set[str]
    route: tuple[Upstream, ...]
    confirmed: set[str]
    draining: set[str]
    replaced: dict[str, frozenset[str]]  # service -> what of other releases served it at first
    backing: set[str]  # what runs of it
    due: tuple[Step, ...]  # the migration, until it ran
    unproven: set[str] = field(default_factory=set)  # started and not yet awaited
    has_served: bool = True  # before this plan
    is_confirmed: bool = True
    is_marked: bool = False
    has_marked: bool = False  # by a step of this plan
    is_noticed: bool = False  # by users
    number: int = 0
    violations: list[Violation] = field(default_factory=list)

    @classmethod
    def of(cls, observed: Observed, target: Target, plan: Plan) -> _World:
        nginx, names = observed.nginx, observed.route.names
        running = {r.name: r.release for r in observed.replicas if r.running}
        return cls(
            target=target,
            downtime=frozenset(plan.downtime),
            has_nginx=nginx is not None,
            running=running,
            places={r.name: (r.service, r.slot) for r in observed.replicas},
            there=frozenset(observed.replicas),
            healthy=set(names),
            route=only(observed.route.upstreams, running),
            confirmed=set(names),
            # Old workers do not tell whom they ask.
            draining=set(running) - names if nginx is not None and nginx.draining else set(),
            replaced={
                service: frozenset(
                    r.name
                    for r in observed.routed()
                    if r.service == service and r.running and r.release != target.release
                )
                for service in observed.services
            },
            backing={backing.service for backing in observed.backing if backing.running},
            due=migration(observed, target),
            has_served=observed.serves,
            is_marked=observed.current == target.release,
        )

    def broken(self, rule: str, detail: str) -> None:
        self.violations.append(Violation(rule, self.number, detail))

    def take(self, step: Step) -> None:  # noqa: C901  # a case a step
        match step:
            case Pull():
                pass
            case EnsureBacking():
                self._ensure_backing(step)
            case RunOnce():
                self._run_once(step)
            case Start():
                self._start(step)
            case Announce():
                self._announce(step)
            case AwaitHealthy():
                self._await(step)
            case Route():
                self._route(step)
            case ConfirmRoute():
                self._confirm(step)
            case Watch():
                self._watch(step)
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
        self.is_noticed = self.is_noticed or step.phase is not Phase.PREPARE

    def _ensure_backing(self, step: EnsureBacking) -> None:
        for service in set(step.services) - set(self.target.backing):
            self.broken("only backing services of the target are ensured", service)
        self.backing |= {*step.services}

    def _run_once(self, step: RunOnce) -> None:
        if step not in self.due:
            self.broken("a migration runs once, and only the target's own", str(step))
        if missing := {*self.target.backing} - self.backing:
            self.broken("a migration has its backing services", ", ".join(sorted(missing)))
        if self.is_noticed:
            self.broken("a migration comes before anything that users notice", str(step))
        self.due = ()

    def _start(self, step: Start) -> None:
        if step.release != self.target.release:
            self.broken("only the target's own services start", short(step.release))
        if self.due:
            self.broken("nothing starts before the migration of its release", str(step))
        for pair in step.replicas:
            service, _ = pair
            if all(service != known.name for known in self.target.services):
                self.broken("only the target's own services start", service)
            started = self.target.started(replace(step, replicas=(pair,)))
            names = [name for _, name in started]
            there = {name for name, place in self.places.items() if place == (service, step.slot)}
            if not there <= set(names) or in_order(names, there) != there:
                self.broken("compose numbers a slot's replicas from 1, without a gap", service)
            self._must_be_next(service)
            for name in names:
                self._start_one(name, step)
                self.places[name] = (service, step.slot)
            self._must_run_once(service)

    def _must_be_next(self, service: str) -> None:
        """What a service comes after is there and proven before it starts."""
        for earlier in self.target.service(service).after:
            names = {name for name, (owner, _) in self.places.items() if owner == earlier}
            if earlier in self._missing(self.running) or names & self.unproven:
                self.broken("a service starts after those it needs are healthy", earlier)

    def _must_run_once(self, service: str) -> None:
        releases = {
            self.running[name]
            for name, (owner, _) in self.places.items()
            if owner == service and name in self.running
        }
        if not self.target.service(service).overlaps and len(releases) > 1:
            self.broken("what may not overlap runs in one release only", service)

    def _start_one(self, name: str, step: Start) -> None:
        there = self.running.get(name)
        if there is not None and there != step.release:
            self.broken("a running replica of another release is not replaced", name)
        if there is None:
            self.healthy.discard(name)
            self.unproven.add(name)
        self.running[name] = step.release

    def _await(self, step: AwaitHealthy) -> None:
        names = {name for _, name in step.replicas}
        proven = {name for name in names if self.running.get(name) == step.release}
        self.healthy |= proven
        self.unproven -= proven

    def _announce(self, step: Announce) -> None:
        self._must_be_weighed(step.upstreams)
        before, after = ({*_weighed(route)} for route in (self.route, step.upstreams))
        if {share for share in before ^ after if share[1] in self.running}:
            self.broken("an announcement moves no traffic", str(step))
        self._must_be_fit_to_show(step.upstreams)
        self.route = step.upstreams

    def _must_be_fit_to_show(self, upstreams: tuple[Upstream, ...]) -> None:
        for name in sorted({name for u in upstreams for name in u.preview} - self.healthy):
            self.broken("only what was proven healthy is shown on preview", name)

    def _must_be_weighed(self, upstreams: tuple[Upstream, ...]) -> None:
        for u in upstreams:
            if u.weights and (len(u.weights) != len(u.replicas) or min(u.weights) < 1):
                self.broken("each replica has a weight, from 1", u.service)

    def _route(self, step: Route) -> None:
        self._must_be_weighed(step.upstreams)
        self._must_be_fit_to_show(step.upstreams)
        for _, name in _pairs(step.upstreams):
            if name not in self.running:
                self.broken("the route names only what runs", name)
            elif name not in self.healthy:
                self.broken("traffic only for what was proven healthy", name)
        for service in sorted(self._served() - {s for s, _ in _pairs(step.upstreams)}):
            self.broken("the route is never empty", service)
        # What the route leaves out may still be asked by nginx's old workers.
        self.draining |= self.confirmed - _names(step.upstreams)
        if self.has_marked and not self._is_target(step.upstreams):
            self.broken("the route does not move after the commit point", str(step))
        self.route = step.upstreams
        self.is_confirmed = False

    def _watch(self, step: Watch) -> None:
        for service in sorted({service for service, _ in step.replicas}):
            replaced = self.replaced.get(service, frozenset())
            if replaced and not replaced & self.running.keys():
                self.broken("what is watched can still be taken back", service)
        for _, name in step.beside:
            if self.running.get(name) != step.previous:
                self.broken("what is watched can still be taken back", name)

    @property
    def _wanted(self) -> set[str]:
        """The services that users ask and that have replicas."""
        return {*self.target.asked} - {*self.target.silenced}

    def _served(self) -> set[str]:
        """The services that have to be in the route: those that are, and in the first one all.

        The team's own files name all services: nginx takes a first route whole or not at all.
        """
        if not self.has_served:
            return self._wanted - self.downtime
        served = {s for s, name in _pairs(self.route) if name in self.running}
        return (served & self.target.asked) - self.downtime

    def _is_target(self, upstreams: tuple[Upstream, ...]) -> bool:
        return all(self.running.get(name) == self.target.release for name in _names(upstreams))

    def _confirm(self, step: ConfirmRoute) -> None:
        if step.upstreams != self.route:
            self.broken("the route that was applied is the one confirmed", str(step))
        self.confirmed = _names(self.route)
        self.is_confirmed = True

    def _must_be_known(self, step: Stop | Remove) -> None:
        """The runner goes by the id, and what is judged here by the name: both as observed."""
        for replica in step.replicas:
            if replica not in self.there:
                self.broken("only observed replicas are stopped or removed", replica.name)

    def _stop(self, step: Stop) -> None:
        self._must_be_known(step)
        for replica in step.replicas:
            if replica.service not in self.downtime:
                self._must_be_free(replica.name)
            self.running.pop(replica.name, None)
            self.healthy.discard(replica.name)

    def _must_be_free(self, name: str) -> None:
        if name in self.confirmed | _names(self.route):
            self.broken("nothing is stopped that a confirmed route names", name)
        elif not self.is_confirmed:
            self.broken("nothing is stopped before the route is confirmed", name)
        elif name in self.draining:
            self.broken("nothing is stopped that still has requests in flight", name)

    def _remove(self, step: Remove) -> None:
        self._must_be_known(step)
        for replica in step.replicas:
            if self.running.get(replica.name) == replica.release:
                self.broken("only what was stopped is removed", replica.name)
            elif replica.name not in self.running:
                self.places.pop(replica.name, None)

    def _mark(self, step: MarkCurrent) -> None:
        if step.release != self.target.release:
            self.broken("only the target is marked as current", step.release)
        if not self.is_confirmed or not self._serves_target():
            self.broken("what is marked as current serves", step.release)
        for service in self._missing(self.healthy):
            self.broken("what is marked as current was proven healthy", service)
        self.is_marked = self.has_marked = True

    def _serves_target(self) -> bool:
        if not self.has_nginx:
            return not self._missing(self.running)
        served = {service for service, _ in _pairs(self.route)}
        return self._wanted <= served and self._is_target(self.route)

    def _missing(self, names: Collection[str]) -> list[str]:
        """The target's services that have not all their replicas among `names`, in any slot."""
        ready = {name for name in names if self.running.get(name) == self.target.release}
        rows = [dict.fromkeys(self.target.names(slot)) for slot in (PLAIN, *SLOTS)]
        complete = {
            service.name
            for service in self.target.services
            for row in rows
            if ready >= {name for owner, name in row if owner == service.name}
        }
        return [service.name for service in self.target.services if service.name not in complete]

    def end(self) -> None:
        if self.due:
            self.broken("the plan ends at its target", "its migration did not run")
        for service in self._missing(self.running):
            self.broken("the plan ends at its target", f"{service} does not run")
        if not self._serves_target():
            self.broken("the plan ends at its target", "the route does not lead to it")
        if not self.is_confirmed:
            self.broken("every route is confirmed", "the last one is not")
        if not self.is_marked:
            self.broken("the plan ends at its target", "it is not marked as current")


def _pairs(upstreams: Iterable[Upstream]) -> Iterator[tuple[str, str]]:
    """(service, replica) pairs of what gets traffic."""
    return ((u.service, name) for u in upstreams for name in u.replicas)


def _weighed(upstreams: Iterable[Upstream]) -> Iterator[tuple[str, str, int]]:
    """(service, replica, weight) of what gets traffic."""
    for upstream in upstreams:
        weights = upstream.weights or (1,) * len(upstream.replicas)
        for name, weight in zip(upstream.replicas, weights, strict=False):
            yield upstream.service, name, weight


def _names(upstreams: Iterable[Upstream]) -> set[str]:
    return {name for _, name in _pairs(upstreams)}
