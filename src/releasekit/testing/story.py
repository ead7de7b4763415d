"""One world and the releases in it, with what has to hold after each, whatever happened."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from releasekit import journal as journals
from releasekit.errors import UnsafePlan
from releasekit.events import Warned
from releasekit.migrating import Decision
from releasekit.observed import PLAIN, SLOTS
from releasekit.release import short
from releasekit.strategies.mixed import Chosen
from releasekit.target import Target
from releasekit.testing.found import Start
from releasekit.testing.simulator import SIMULATED, Ended, Simulator
from releasekit.testing.world import App, Fault, Moment


class Story:
    """What happens in the world of `start`, with `chosen` for all services that have no other
    strategy. Each failing expectation tells all of it."""

    def __init__(self, start: Start, chosen: Chosen, simulator: Simulator | None = None) -> None:
        self.start = start
        self.chosen = chosen
        self.mix = start.mix(chosen)
        self.simulator = simulator or start.simulator()
        self.world = self.simulator.world
        self.backing = dict(self.world.backing)
        self.notes: list[str] = []
        self.runs: list[_Run] = []
        self.downtime: set[str] = set()
        """The services that may lose requests: a plan said so, or they did before."""
        self.expected: list[Target] = []
        """The releases that were to serve."""
        self.forgiven: tuple[str, ...] = ()
        """The ends of what may be lost all the same."""
        self.world.look()
        self._excuse(self.world.lost)

    def again(self, apps: Mapping[str, App] | None = None) -> Story:
        """The same from here on, in a world of its own; `apps` of these releases behave
        otherwise."""
        simulator = pickle.loads(pickle.dumps(self.simulator))  # noqa: S301  # our own, and fast
        story = Story(self.start, self.chosen, simulator)
        apps = apps or {}
        story.world.apps = {**story.world.apps, **apps}
        story.notes = [f"{short(release)} behaves as {app}" for release, app in apps.items()]
        return story

    def run(
        self,
        release: str,
        faults: Sequence[Fault] = (),
        is_stopped: Callable[[], bool] = lambda: False,
        migration: Decision | None = None,
    ) -> Ended:
        """Bring the world to `release`; what holds for any run is asserted."""
        __tracebackhide__ = True
        SIMULATED["worlds"] += not self.runs
        world, target = self.world, self.start.targets[release]
        previous = self.simulator.stored.get(self.simulator.current)
        self.expected += [target, *([previous] if previous is not None else [])]
        world.history.clear()
        world.most.clear()
        is_due = self._is_due(target) and migration != "done"
        had = {c.name: (c.service, c.release) for c in world.containers.values() if c.running}
        try:
            ended = self.simulator.run(
                target, self.mix, faults=faults, is_stopped=is_stopped, migration=migration
            )
        except UnsafePlan as error:
            unsafe = self.mix.plan(self.simulator.observe(), target).render()
            raise AssertionError(f"{self}\n\n{unsafe}\n\n{error.message}") from None
        for plan in ended.plans:
            self.downtime.update(plan.downtime)
        self.runs.append(_Run(ended, release, world.step, faults))
        back = previous if len(ended.plans) > 1 else None
        self._must_have_spared_the_host(target, back, had)
        self._must_have_kept_the_order(target, had)
        self._must_have_migrated(target, ended, is_due=is_due)
        self.must(self.backing.items() <= world.backing.items(), "backing services were touched")
        self.must(not (lost := self.lost), f"lost requests: {'; '.join(lost)}")
        return ended

    @property
    def lost(self) -> list[str]:
        """The requests that failed and should not have: of services that all these releases have
        and that no plan declares down."""
        common = set.intersection(*({*target.asked} for target in self.expected))
        served = common - self.downtime
        lost = (each for each in self.world.lost if not each.endswith(self.forgiven))
        return [each for each in lost if each.partition(":")[0] in served]

    def _excuse(self, lost: Iterable[str]) -> None:
        self.downtime.update(each.partition(":")[0] for each in lost)

    def must(self, holds: bool, what: str) -> None:
        """Fail with the whole story unless it `holds`."""
        __tracebackhide__ = True
        if not holds:
            raise AssertionError(f"{self}\n\n{what}")

    def __str__(self) -> str:
        name, options = self.chosen.strategy.name, self.chosen.options
        head = "\n".join([f"{name} ({options!r}) in this world:", str(self.start), *self.notes])
        return "\n\n".join([head, *map(str, self.runs)])

    # What has to hold

    def must_have_arrived(self, release: str) -> None:
        """The last run ended at `release`, all of it, and nothing is left to do."""
        last = self.runs[-1].ended
        is_done = last.result in ("done", "nothing-to-do")
        self.must(is_done, f"{short(release)} was not released")
        self.must(self.simulator.current == release, f"{short(release)} is not current")
        self.must(not _warnings(last), "nothing went wrong, and there was a warning")
        self.must_be_done(release)

    def must_be_done(self, release: str) -> None:
        """Nothing is left to do for `release`: it runs once, and no other does its jobs."""
        target = self.start.targets[release]
        left = self.mix.plan(self.simulator.observe(), target)
        self.must(left.is_empty, f"there is something left to do:\n{left.render()}")
        running = [c for c in self.world.containers.values() if c.running]
        own = Counter(c.service for c in running if c.release == release)
        wanted = Counter({service.name: service.replicas for service in target.services})
        self.must(own == wanted, f"of it run {dict(own)}, and not {dict(wanted)}")
        for c in running:
            # Only what nginx asks may wait beside it, for a warm rollback.
            is_fine = c.release == release or c.service in target.asked
            self.must(is_fine, f"{c.name} of {short(c.release) or 'unknown'} still runs")

    def _must_have_spared_the_host(
        self, target: Target, back: Target | None, had: Mapping[str, tuple[str, str]]
    ) -> None:
        """Never did more replicas run than the old and the new ones together; the old ones are
        those that ran before, and on the way `back` those of that release where it is not whole."""
        for service in target.services:
            names = {name for name, (owner, _) in had.items() if owner == service.name}
            old = len(names)
            if back is not None and not _is_whole(back, service.name, names):
                old += back.service(service.name).replicas
            most = self.world.most[service.name]
            self.must(
                most <= old + service.replicas,
                f"{most} replicas of {service.name} ran at once, of {old} old and "
                f"{service.replicas} new ones",
            )

    def _must_have_kept_the_order(self, target: Target, up: dict[str, tuple[str, str]]) -> None:
        """What a service comes after ran, all of it, and was proven before it started; and what
        may not overlap started when no other release of it ran."""
        ready = {name for name, (_, release) in up.items() if release == target.release}
        for moment in self.world.history:
            name = moment.name
            match moment.what:
                case "proven":
                    ready |= {name} if moment.release == target.release else set()
                case "stops" | "exits":
                    # What exits after it was proven is nothing that a plan can know.
                    ready -= {name} if moment.what == "stops" else set()
                    up.pop(name, None)
                case "starts":
                    self._must_be_its_turn(moment, target, up, ready)
                    up[name] = (moment.service, moment.release)
                case "migrates":
                    pass

    def _is_due(self, target: Target) -> bool:
        """Whether the release has a migration that did not end well yet, and was never current."""
        records = self.simulator.journal.records()
        good = journals.ever_committed(records) | journals.migrated(records)
        return target.migration is not None and target.release not in good

    def _must_have_migrated(self, target: Target, ended: Ended, *, is_due: bool) -> None:
        """Its migration ran if it was due, once, and before anything of it started; nobody
        else's did."""
        history = self.world.history
        ran = [moment.release for moment in history if moment.what == "migrates"]
        allowed = [target.release] if is_due else []
        self.must(ran in ([], allowed), f"migrated: {', '.join(map(short, ran))}")
        if is_due:
            own = (m for m in history if m.release == target.release)
            first = next((m.what for m in own if m.what in ("migrates", "starts")), "migrates")
            self.must(first == "migrates", "it started before its migration")
            self.must(bool(ran) or ended.result != "done", "its migration did not run")

    def _must_be_its_turn(
        self, moment: Moment, target: Target, up: Mapping[str, tuple[str, str]], ready: Set[str]
    ) -> None:
        service = target.service(moment.service)
        others = [n for n, (s, r) in up.items() if s == service.name and r != moment.release]
        if not service.overlaps:
            self.must(not others, f"{moment.name} started while {', '.join(others)} ran")
        if moment.release != target.release:
            return
        for earlier in map(target.service, service.after):
            names = [{*target.replicas(earlier, slot)} for slot in (*SLOTS, PLAIN)]
            is_ready = any(those <= ready for those in names)
            self.must(is_ready, f"{moment.name} started before {earlier.name} was healthy")


def _is_whole(release: Target, service: str, names: Set[str]) -> bool:
    """Whether these are all replicas of a service, in one slot."""
    described = release.service(service)
    return any({*release.replicas(described, slot)} == names for slot in (*SLOTS, PLAIN))


@dataclass(frozen=True, slots=True)
class _Run:
    """What was run, and how it ended."""

    ended: Ended
    release: str
    steps: int
    faults: Sequence[Fault]

    def __str__(self) -> str:
        """As a person reads it, its result first."""
        ended = self.ended
        lines = [f"{ended.result}: {short(self.release)}, after {self.steps} steps"]
        lines += [f"a fault {f.when} step {f.step}: {f.error()!r}" for f in self.faults]
        errors = (ended.error, ended.way_back_error)
        lines += [f"failed: {error!r}" for error in errors if error is not None]
        lines += [f"warned: {each}" for each in _warnings(ended)]
        return "\n".join([*lines, *(plan.render() for plan in ended.plans)])


def _warnings(ended: Ended) -> list[str]:
    return [event.message for event in ended.events if isinstance(event, Warned)]
