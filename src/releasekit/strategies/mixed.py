"""Several strategies in one release: each plans its own services, and the plans become one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile

from releasekit.observed import Observed, Upstream
from releasekit.plan import Plan
from releasekit.steps import (
    Announce,
    ConfirmRoute,
    Drain,
    EnsureBacking,
    MarkCurrent,
    Phase,
    Pull,
    Route,
    Start,
    Step,
)
from releasekit.strategies.bake import baked
from releasekit.strategies.base import Options, Strategy, migration, settled_notes
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.slots import only, running
from releasekit.target import Target


@dataclass(frozen=True, slots=True)
class Chosen:
    """A strategy with its options."""

    strategy: Strategy
    options: Options

    @property
    def key(self) -> tuple[str, Options]:
        return self.strategy.name, self.options

    def plan(self, observed: Observed, target: Target) -> Plan:
        return self.strategy.plan(observed, target, self.options)


RECREATE = Chosen(Recreate(), Options())


@dataclass(frozen=True, slots=True)
class Mix:
    """The strategy of a release, and those of the services that have one of their own."""

    default: Chosen
    services: Mapping[str, Chosen] = field(default_factory=dict)

    @classmethod
    def single(cls, strategy: Strategy, options: Options | None = None) -> Mix:
        """One strategy for all services."""
        return cls(Chosen(strategy, options or strategy.options()))

    @property
    def name(self) -> str:
        """The strategies as people read them: "blue-green, worker: recreate"."""
        return self._told({n: chosen.strategy.name for n, chosen in self.services.items()})

    def _told(self, services: Mapping[str, str]) -> str:
        default = self.default.strategy.name
        others = [f"{s}: {name}" for s, name in sorted(services.items()) if name != default]
        return ", ".join([default, *others])

    def of(self, target: Target, service: str) -> Chosen:
        """Who plans for `service`. What may never run twice is always recreated."""
        if not target.service(service).overlaps:
            return RECREATE
        return self.services.get(service, self.default)

    def plan(self, observed: Observed, target: Target) -> Plan:
        """The plan for all services, with the release's migration before all of it, and its bake
        before the commit point; each strategy sees only what is its own."""
        plan = self._planned(observed, target)
        plan = replace(plan, steps=_migrating(plan.steps, observed, target))
        return baked(plan, observed, target)

    def _planned(self, observed: Observed, target: Target) -> Plan:
        parts = self._parts(observed, target)
        settled = settled_notes(target)
        if len(parts) == 1:
            plan = parts[0].chosen.plan(observed, target)
            return replace(plan, notes=(*plan.notes, *settled))
        plans = [
            part.planned(observed, target, has_backing=number == 0)
            for number, part in enumerate(parts)
        ]
        return Plan(
            strategy=self._told(
                {s.name: self.of(target, s.name).strategy.name for s in target.services}
            ),
            release=target.release,
            based_on=observed.fingerprint(),
            steps=_merged(parts, plans, observed, target),
            downtime=tuple(sorted({service for plan in plans for service in plan.downtime})),
            notes=(*dict.fromkeys(note for plan in plans for note in plan.notes), *settled),
        )

    def _parts(self, observed: Observed, target: Target) -> list[_Part]:
        """Who plans for which services: each part after those that it waits for, and of those
        that wait for the same, the ones with downtime last.

        What is left of a service that the release no longer has is somebody's too.
        """
        parts: list[_Part] = []
        for service in (s for wave in target.waves() for s in wave):
            chosen = self.of(target, service.name)
            awaited = [part for part in parts if {*service.after} & {*part.services}]
            # A strategy plans the order of its own services by itself.
            levels = [part.level + (part.chosen.key != chosen.key) for part in awaited]
            _part(parts, chosen, max(levels, default=0)).services.append(service.name)
        for name in sorted(observed.services - {service.name for service in target.services}):
            chosen = self.of(target, name)
            mine = [part for part in parts if part.chosen.key == chosen.key]
            part = mine[-1] if mine else _part(parts, chosen, len(parts))
            part.services.append(name)
        if not parts:
            parts.append(_Part(self.default, 0))
        return sorted(parts, key=lambda part: (part.level, part.chosen.strategy.has_downtime))


@dataclass(slots=True)
class _Part:
    """The services of one strategy."""

    chosen: Chosen
    level: int
    services: list[str] = field(default_factory=list)

    def planned(self, observed: Observed, target: Target, *, has_backing: bool) -> Plan:
        mine = target.only(self.services)
        mine = mine if has_backing else replace(mine, backing=())
        return self.chosen.plan(observed.only(self.services), mine)


def _part(parts: list[_Part], chosen: Chosen, level: int) -> _Part:
    """The part that is `chosen`'s and comes not before `level`: of `parts`, or a new one."""
    for part in parts:
        if part.chosen.key == chosen.key and part.level >= level:
            return part
    parts.append(_Part(chosen, level))
    return parts[-1]


def _migrating(steps: tuple[Step, ...], observed: Observed, target: Target) -> tuple[Step, ...]:
    """`steps` with the migration, if it is due, once what it needs is there."""
    if not steps:
        return ()
    first = tuple(takewhile(lambda step: isinstance(step, Pull | EnsureBacking), steps))
    return (*first, *migration(observed, target), *steps[len(first) :])


def _merged(
    parts: list[_Part], plans: list[Plan], observed: Observed, target: Target
) -> tuple[Step, ...]:
    """The parts' steps as one plan: all that users do not notice first, one commit point, and
    what is old goes last.

    A part whose services wait for another one's begins before that has moved the route, unless
    that starts replicas in its midst.
    """
    prepare: list[tuple[_Part, Step]] = []
    body: list[tuple[_Part, Step]] = []
    settle: list[tuple[_Part, Step]] = []
    starting: set[str] = set()
    for part, plan in zip(parts, plans, strict=True):
        early, midst, late = _cut(plan.steps)
        awaited = {name for s in target.only(part.services).services for name in s.after}
        (body if awaited & starting else prepare).extend((part, step) for step in early)
        body.extend((part, step) for step in midst)
        settle.extend((part, step) for step in late)
        if any(isinstance(step, Start) for step in midst) or awaited & starting:
            starting.update(part.services)
    commits = observed.current != target.release
    mark = (MarkCurrent(target.release, "the commit point"),) if commits else ()
    before = _lifted([*prepare, *body], observed)
    if not observed.serves:
        before = _routed_once(before)
    return (*before, *mark, *_let_go([step for _, step in settle]))


def _cut(steps: tuple[Step, ...]) -> tuple[list[Step], list[Step], list[Step]]:
    """A part's steps before the first that users might notice, those up to the commit point, and
    those after it."""
    early = list(takewhile(lambda step: step.phase is Phase.PREPARE, steps))
    rest = list(steps[len(early) :])
    midst = list(takewhile(lambda step: not isinstance(step, MarkCurrent), rest))
    late = rest[len(midst) + 1 :]
    if len(midst) < len(rest):
        return early, midst, late
    # A repair commits to nothing, but what is old goes last all the same.
    shifts = [n for n, step in enumerate(midst, start=1) if step.phase is not Phase.SETTLE]
    end = max(shifts, default=0)
    return early, midst[:end], midst[end:]


def _lifted(steps: Iterable[tuple[_Part, Step]], observed: Observed) -> list[Step]:
    """Each part's route is a part of the whole one: give each step all of it."""
    there = only(observed.route.upstreams, running(observed.replicas))
    whole = {upstream.service: upstream for upstream in there}
    lifted: list[Step] = []
    for part, step in steps:
        if isinstance(step, Announce | Route | ConfirmRoute):
            for service in part.services:
                whole.pop(service, None)
            whole |= {upstream.service: upstream for upstream in step.upstreams}
            step = replace(step, upstreams=_sorted(whole))
        lifted.append(step)
    return lifted


def _routed_once(steps: list[Step]) -> list[Step]:
    """Only the last of the routes, and nothing announced: nobody is to be spared yet, and nginx
    takes its first route whole or not at all, for the team's files name all services."""
    last = max((n for n, step in enumerate(steps) if isinstance(step, Route)), default=None)
    if last is None:
        return steps
    told = (Announce, Route, ConfirmRoute)
    kept = (last, last + 1)
    return [step for n, step in enumerate(steps) if n in kept or not isinstance(step, told)]


def _sorted(whole: Mapping[str, Upstream]) -> tuple[Upstream, ...]:
    return tuple(upstream for _, upstream in sorted(whole.items()))


def _let_go(steps: Iterable[Step]) -> list[Step]:
    """What is old goes at once: one drain is enough, and comes before every stop."""
    steps = list(steps)
    drains = [step for step in steps if isinstance(step, Drain)]
    longest = max(drains, key=lambda drain: drain.limit_s, default=None)
    others = [step for step in steps if not isinstance(step, Drain)]
    return [*([longest] if longest else []), *others]
