"""Releases with a bake: whatever happens at any step, and when the new one turns sick in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from releasekit.errors import NeverHealthy
from releasekit.events import StepEnded
from releasekit.steps import Start, Watch
from releasekit.strategies.mixed import Chosen
from releasekit.testing import App, found
from releasekit.testing.story import Story
from releasekit.testing.trials import trials
from tests.simulation.starts import BLUE_GREEN, ROLLING, STARTS, A, C

BAKE_S = 6.0
WATCHED = ["two releases", "two releases, old nginx"]

each_start = pytest.mark.parametrize("start", WATCHED)
each_strategy = pytest.mark.parametrize(
    "chosen", [BLUE_GREEN, ROLLING], ids=["blue-green", "rolling"]
)


def baking(start: str) -> found.Start:
    known = STARTS[start]
    targets = {key: replace(target, bake_s=BAKE_S) for key, target in known.targets.items()}
    return replace(known, targets=targets)


@each_strategy
@each_start
def test_after_any_fault_at_any_step_the_next_run_puts_it_right(start: str, chosen: Chosen) -> None:
    story = Story(baking(start), chosen)
    plan = story.simulator.plan(story.start.targets[C], story.mix)
    assert any(isinstance(step, Watch) for step in plan.steps)
    for trial in trials(story, C):
        trial.must_end_well(C)


def until_watched(story: Story) -> float:
    """How long the first replica of a release runs before that is watched, when all goes well."""
    ended = [event for event in story.run(C).events if isinstance(event, StepEnded)]
    kinds = [type(event.step) for event in ended]
    between = ended[kinds.index(Start) + 1 : kinds.index(Watch)]
    return sum(event.seconds for event in between)


@each_strategy
@each_start
def test_one_that_turns_sick_while_it_is_watched_is_taken_back(start: str, chosen: Chosen) -> None:
    story = Story(baking(start), chosen)
    after_s = until_watched(Story(baking(start), chosen)) + 1.0
    story = story.again({C: App(story.start.apps[C].warm_up_s, sick_after_s=after_s)})
    story.forgiven = ("is not healthy",)  # until it is found out, some of its users are unlucky
    ended = story.run(C)
    assert isinstance(ended.error, NeverHealthy), story
    assert ended.result == "failed", story
    story.must_be_done(A)
