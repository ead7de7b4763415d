"""A failure, an interruption or a `kill -9` at every step, before, amid and after its effect: no
request is lost, the previous release serves, and the next run ends where it should."""

from __future__ import annotations

import pytest

from releasekit.testing import Fault, Killed
from releasekit.testing.story import Story
from releasekit.testing.trials import Trial, failed, trials
from tests.simulation.starts import CHOSEN, STARTS, A, C

MOST_STEPS = 14
"""More than any plan and the way back from it have together."""


each_strategy = pytest.mark.parametrize("strategy", CHOSEN)
each_start = pytest.mark.parametrize("start", STARTS)


@each_strategy
@each_start
def test_after_any_fault_at_any_step_the_next_run_puts_it_right(start: str, strategy: str) -> None:
    for trial in trials(Story(STARTS[start], CHOSEN[strategy]), C):
        trial.must_end_well(C)


@each_strategy
@each_start
def test_killed_at_any_step_the_previous_release_puts_it_right(start: str, strategy: str) -> None:
    for trial in trials(Story(STARTS[start], CHOSEN[strategy]), C, kinds=[Killed]):
        trial.must_end_well(A)


@each_strategy
@pytest.mark.parametrize("start", ["plain compose", "two releases", "a warm target", "recreated"])
def test_killed_at_any_step_of_the_way_back_the_next_run_puts_it_right(
    start: str, strategy: str
) -> None:
    story = Story(STARTS[start], CHOSEN[strategy])
    plan = story.simulator.plan(story.start.targets[C], story.mix)
    for step in range(1, len(plan.steps) + 1):
        for later in range(step + 1, step + MOST_STEPS):
            faults = [Fault(step, "after", failed), Fault(later, "midway"), Fault(later, "after")]
            trial = Trial(story.again(), C, faults)
            if trial.must_end_well(C).result != "killed":
                break
