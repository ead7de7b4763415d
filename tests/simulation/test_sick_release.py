"""A release that is sick: the previous one serves all the time, and no container of it is left."""

from __future__ import annotations

import pytest

from releasekit.errors import NeverHealthy
from releasekit.testing import App, Fault
from releasekit.testing.story import Story
from releasekit.testing.trials import Trial, sick_trials
from tests.simulation.starts import BLUE_GREEN, CHOSEN, RECREATE, STARTS, WARM, A, B, C

FATES = {
    "never answers": App(fate="sick"),
    "exits": App(0.5, fate="exits"),
    "has a worker that exits": App(0.5, fate="exits", services=frozenset({"worker"})),
}
WITH_PREVIOUS = [start for start in STARTS if start != "nothing" and "target" not in start]

each_start = pytest.mark.parametrize("start", WITH_PREVIOUS)
each_fate = pytest.mark.parametrize("fate", FATES.values(), ids=FATES)


@pytest.mark.parametrize("strategy", CHOSEN)
@each_start
def test_the_previous_release_serves_all_the_time(start: str, strategy: str) -> None:
    for trial in sick_trials(Story(STARTS[start], CHOSEN[strategy]), C):
        trial.must_end_well(B)


@pytest.mark.parametrize("strategy", CHOSEN)
@each_start
@each_fate
def test_killed_while_it_waits_the_next_release_clears_it(
    start: str, fate: App, strategy: str
) -> None:
    story = Story(STARTS[start], CHOSEN[strategy]).again({C: fate})
    steps = story.simulator.plan(story.start.targets[C], story.mix).steps
    waits = [type(step).__name__ for step in steps].index("AwaitHealthy") + 1
    ended = Trial(story, C, [Fault(waits, "after")], is_sick=True).must_end_well(B)
    assert ended.result == "killed", story
    assert story.simulator.observe().of(C) == (), story


@each_start
@each_fate
def test_who_failed_is_told_with_the_end_of_its_log(start: str, fate: App) -> None:
    story = Story(STARTS[start], BLUE_GREEN).again({C: fate})
    error = story.run(C).error
    assert isinstance(error, NeverHealthy), story
    failing = fate.services or {"web", "worker"}
    assert any(service in name for name in error.log_tail for service in failing), story


@pytest.mark.parametrize("chosen", [BLUE_GREEN, WARM], ids=["stopped", "running"])
@each_start
@each_fate
def test_beside_blue_green_the_old_containers_run_on(start: str, fate: App, chosen: object) -> None:
    story = Story(STARTS[start], chosen).again({C: fate})  # type: ignore[arg-type]
    before = [replica for replica in story.simulator.observe().of(A) if replica.running]
    assert story.run(C).result == "failed", story
    after = [replica for replica in story.simulator.observe().of(A) if replica.running]
    assert after == before, story


@each_start
@each_fate
def test_the_downtime_of_recreate_goes_on_until_the_previous_release_serves(
    start: str, fate: App
) -> None:
    story = Story(STARTS[start], RECREATE).again({C: fate})
    ended = story.run(C)
    assert ended.result == "failed", story
    assert ended.downtime_s is not None, story
