"""What may happen to a run, and how it has to end then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from releasekit.errors import StepFailed
from releasekit.migrating import Decision
from releasekit.steps import EnsureBacking, Remove, RunOnce, Start, Step, Stop
from releasekit.testing.simulator import Ended
from releasekit.testing.story import Story
from releasekit.testing.world import App, Fault, Killed, When

Error = Callable[[], BaseException]

FATES: tuple[Literal["sick", "exits"], ...] = ("sick", "exits")
DECISIONS: Mapping[When, Decision] = {"before": "again", "midway": "again", "after": "done"}
"""What a person finds out of a migration that was killed then."""
ON_THE_WAY_BACK = 3
"""So many steps after a failure the process is killed too."""


@dataclass(frozen=True)
class Trial:
    """A run to `release` with these faults, or stopped once this step has begun."""

    story: Story
    release: str
    faults: Sequence[Fault] = ()
    stopped_at: int | None = None
    is_sick: bool = False
    """The release is sick until the run after it."""

    def must_end_well(self, then: str) -> Ended:
        """Unless it was killed, the new release serves or the previous one does, and then nothing
        is left to do nor of what failed; and the run after it to release `then` ends there.

        Returns how the run ended that this happened to.
        """
        story, before = self.story, self.story.simulator.current
        is_new = not _is_there(story, self.release)
        ended = story.run(self.release, self.faults, self._is_stopped)
        story.must(ended.result != "degraded", "the way back failed")
        if ended.result in ("failed", "interrupted"):
            now = story.simulator.current
            is_one = now in (before, self.release)  # a commit's record may be written all the same
            story.must(is_one, "something else is current")
            if now == before != self.release:
                self._must_be_back(now, is_new=is_new)
        if self.is_sick:
            story.world.apps = story.start.apps
        self._must_go_on(then)
        story.must_have_arrived(then)
        return ended

    def _must_go_on(self, then: str) -> None:
        """A migration that was cut short is a fence: nothing happens until a person decided. Its
        effect was there only if the process was killed after it."""
        story, decision = self.story, None
        if story.simulator.unfinished is not None:
            story.must(story.run(then).result == "fenced", "it went on over a migration")
            story.must(not story.world.history, "something was touched")
            decision = DECISIONS[self.faults[0].when]
        story.run(then, migration=decision)

    def _must_be_back(self, previous: str, *, is_new: bool) -> None:
        """All of the previous release is, if there is one, and nothing is left of what failed,
        unless it was good before or users get nothing else."""
        if previous:
            self.story.must_be_done(previous)
        observed = self.story.simulator.observe()
        is_alone = not previous and bool(observed.routed())
        if is_new and self.release not in observed.committed and not is_alone:
            self.story.must(not observed.of(self.release), "something is left of what failed")

    def _is_stopped(self) -> bool:
        return self.stopped_at is not None and self.story.world.step >= self.stopped_at


def _is_there(story: Story, release: str) -> bool:
    return any(c.release == release for c in story.world.containers.values())


def failed() -> StepFailed:
    return StepFailed("it did not work")


def trials(
    story: Story, release: str, kinds: Sequence[Error] = (Killed, failed)
) -> Iterator[Trial]:
    """Every fault of these kinds at every step of the plan to `release`, each in a world of its
    own; a failure also with a kill on the way back, and as a stop on request."""
    plan = story.simulator.plan(story.start.targets[release], story.mix)
    for number, step in enumerate(plan.steps, start=1):
        for when, error in product(_moments(step), kinds):
            yield Trial(story.again(), release, [Fault(number, when, error)])
        if failed in kinds:
            later = Fault(number + ON_THE_WAY_BACK, "after")
            yield Trial(story.again(), release, [Fault(number, "after", failed), later])
            yield Trial(story.again(), release, stopped_at=number)


def _moments(step: Step) -> tuple[When, ...]:
    has_midst = isinstance(step, Start | Stop | Remove | EnsureBacking | RunOnce)
    return ("before", "midway", "after") if has_midst else ("before", "after")


def sick_trials(story: Story, release: str) -> Iterator[Trial]:
    """Every way for `release` to be sick, where nothing of it is there yet."""
    if _is_there(story, release):
        return
    good = story.start.apps[release]
    for services in (None, frozenset({"worker", "cron"})):
        for fate in FATES:
            app = App(good.warm_up_s, fate, services)
            yield Trial(story.again({release: app}), release, is_sick=True)
    for after_s in (1.0, 4.0, 40.0):
        sick = story.again({release: App(good.warm_up_s, sick_after_s=good.warm_up_s + after_s)})
        # While it is found out, some of its users are.
        sick.forgiven = ("is not healthy",)
        yield Trial(sick, release, is_sick=True)
