"""blue-green: the new release starts beside the old one, and the route moves at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from releasekit.observed import Observed
from releasekit.plan import Plan
from releasekit.steps import Announce, Step
from releasekit.strategies.base import KeepPrevious, Options, ensure_backing
from releasekit.strategies.place import Place
from releasekit.strategies.slots import ANNOUNCED, SlotPlanner, announced, limits, moved
from releasekit.target import Target


class BlueGreenOptions(Options):
    keep_previous: KeepPrevious = "stopped"
    """What becomes of the previous release's containers after the cutover. "running" makes a
    rollback a mere change of the route, and costs their memory."""


class BlueGreen:
    """Starts the release in the free slot, moves the route when it is healthy, then lets go."""

    name: ClassVar[str] = "blue-green"
    summary: ClassVar[str] = "start beside the old release, switch nginx when healthy, drain, stop"
    has_downtime: ClassVar[bool] = False
    needs_health: ClassVar[bool] = True
    options: ClassVar[type[Options]] = BlueGreenOptions

    def plan(self, observed: Observed, target: Target, options: BlueGreenOptions) -> Plan:
        return Plan(
            strategy=self.name,
            release=target.release,
            based_on=observed.fingerprint(),
            steps=_Planner(observed, target, options.keep_previous).steps(),
            downtime=target.silenced,
            notes=limits(observed),
        )


class _Planner(SlotPlanner):
    def steps(self) -> tuple[Step, ...]:
        first, then = self._order()
        return (
            *ensure_backing(self.observed, self.target),
            *self.make_room(),
            *self._prepare(first),
            *self._shift(),
            *(step for wave in self.waves(then) for step in self._bring_up(wave)),
            *self.settle(),
        )

    def _order(self) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
        """What comes before the route moves, and what after it.

        To a good release that waits for nothing but traffic the users go at once, as they may be
        under pressure; its workers come right after.
        """
        routed = tuple(place for place in self.places if place.service.name in self.asked)
        is_good = self.target.release in self.observed.committed
        if self.shifts and is_good and all(place.is_standing for place in routed):
            return routed, tuple(place for place in self.places if place not in routed)
        return self.places, ()

    def _bring_up(self, wave: tuple[Place, ...]) -> tuple[Step, ...]:
        return (*self.start(wave), *self.await_healthy(wave))

    def _prepare(self, places: Iterable[Place]) -> tuple[Step, ...]:
        """Bring these up, wave by wave, and have nginx look their names up meanwhile."""
        steps: list[Step] = []
        told, soon = self.told, []
        for wave in self.waves(places):
            steps += self.start(wave)
            soon += [(place.service.name, name) for place in wave for name in place.names]
            next_told = announced(self.left, soon)
            if self.shifts and self.announces and next_told != told:
                steps.append(Announce(next_told, ANNOUNCED))
                told = next_told
            steps += self.await_healthy(wave)
        return tuple(steps)

    def _shift(self) -> tuple[Step, ...]:
        if self.shifts:
            return moved(self.final, self.route_cause())
        if self.nginx is not None and self.told != self.final:
            return (Announce(self.final, "nginx resolves what may get traffic, and no more"),)
        return ()
