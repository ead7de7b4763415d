"""Releases with a bake: whatever happens at any step, and when the new one turns sick in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from releasekit.errors import Breach
from releasekit.events import StepEnded
from releasekit.steps import Announce, AwaitHealthy, Route, Start, Watch
from releasekit.strategies.mixed import Chosen
from releasekit.testing import App, Fault, found
from releasekit.testing.story import Story
from releasekit.testing.trials import Trial, trials
from tests.simulation.starts import BLUE_GREEN, ROLLING, STARTS, A, C, target

BAKE_S = 6.0
WATCHED = ["two releases", "two releases, old nginx"]

each_start = pytest.mark.parametrize("start", WATCHED)
each_strategy = pytest.mark.parametrize(
    "chosen", [BLUE_GREEN, ROLLING], ids=["blue-green", "rolling"]
)


def baking(start: str, web: int = 2) -> found.Start:
    """That world, with so many replicas of the web."""
    known = STARTS[start]
    targets = {key: replace(target(key, replicas=web), bake_s=BAKE_S) for key in known.targets}
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


def sick(start: str, chosen: Chosen, web: int) -> Story:
    """A story in which C turns sick while it is watched."""
    story = Story(baking(start, web), chosen)
    after_s = until_watched(Story(baking(start, web), chosen)) + 1.0
    story = story.again({C: App(story.start.apps[C].warm_up_s, sick_after_s=after_s)})
    story.forgiven = ("is not healthy",)  # until it is found out, some of its users are unlucky
    return story


@each_strategy
@each_start
@pytest.mark.parametrize("web", [1, 2, 3])
def test_one_that_turns_sick_while_it_is_watched_is_taken_back_at_once(
    start: str, chosen: Chosen, web: int
) -> None:
    story = sick(start, chosen, web)
    ended = story.run(C)
    assert isinstance(ended.error, Breach), story
    assert ended.result == "failed", story
    story.must_be_done(A)
    _, back = ended.plans
    kinds = [type(step) for step in back.steps]
    first = back.steps[kinds.index(Route)]
    assert {*kinds[: kinds.index(Route)]} <= {Announce, AwaitHealthy}, story
    assert isinstance(first, Route)
    left = {r.name for r in story.simulator.observe().of(A)}
    assert {name for upstream in first.upstreams for name in upstream.replicas} <= left, story


@each_strategy
@each_start
def test_killed_at_any_step_of_that_way_back_the_next_run_puts_it_right(
    start: str, chosen: Chosen
) -> None:
    whole = sick(start, chosen, 3)
    plan, back = whole.run(C).plans
    watched = [type(step) for step in plan.steps].index(Watch) + 1
    for number in range(watched + 1, watched + 1 + len(back.steps)):
        trial = Trial(sick(start, chosen, 3), C, [Fault(number, "after")], is_sick=True)
        assert trial.must_end_well(A).result == "killed", number
