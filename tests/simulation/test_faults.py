"""A failure or a `kill -9` at every step, before, amid and after its effect: no request is lost,
the previous release serves, and the next `up` ends where it should."""

from __future__ import annotations

from functools import partial

import pytest

from releasekit.errors import StepFailed
from releasekit.strategies.base import Strategy
from releasekit.testing import Fault, Simulator
from releasekit.testing.fakes import When
from tests.simulation.starts import STARTS, A, C, Way, assert_serves, run, target_in
from tests.simulation.worlds import STRATEGIES

WHENS: tuple[When, ...] = ("before", "midway", "after")
MOST_STEPS = 14
"""More than any plan and the way back from it have together."""

parametrized = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
everywhere = pytest.mark.parametrize("start", STARTS)


def failed() -> StepFailed:
    return StepFailed("it did not work")


def steps_of(way: Way, strategy: Strategy) -> range:
    simulator = way()
    return range(1, len(simulator.plan(target_in(simulator, C), strategy).steps) + 1)


def has_begun(simulator: Simulator, step: int) -> bool:
    return simulator.world.step >= step


def assert_converges(simulator: Simulator, release: str, strategy: Strategy, story: str) -> None:
    is_first = not simulator.observe().committed
    ended, then = run(simulator, release, strategy)
    story = f"{story}\n{then}"
    assert ended.result in ("done", "nothing-to-do"), story
    if is_first:
        simulator.world.lost.clear()  # nobody was served before
    assert_serves(simulator, release, strategy, story)


def assert_went_back(simulator: Simulator, strategy: Strategy, start: str, story: str) -> None:
    observed = simulator.observe()
    if observed.current == C:
        return  # the record was written all the same: what is left is for the next run
    if observed.current:
        assert_serves(simulator, observed.current, strategy, story)
    if "target" not in start and start != "nothing":
        assert observed.of(C) == (), story


@parametrized
@everywhere
@pytest.mark.parametrize("then", [A, C], ids=["back", "again"])
def test_killed_at_any_step_the_next_run_puts_it_right(
    start: str, strategy: Strategy, then: str
) -> None:
    way = STARTS[start]
    for step in steps_of(way, strategy):
        for when in WHENS:
            simulator = way()
            ended, story = run(simulator, C, strategy, [Fault(step, when)])
            assert ended.result in ("killed", "done"), story
            assert_converges(simulator, then, strategy, story)


@parametrized
@everywhere
def test_after_a_failure_at_any_step_the_previous_release_serves(
    start: str, strategy: Strategy
) -> None:
    way = STARTS[start]
    for step in steps_of(way, strategy):
        for when in WHENS:
            simulator = way()
            ended, story = run(simulator, C, strategy, [Fault(step, when, failed)])
            assert ended.result in ("failed", "done"), story
            if ended.result == "failed":
                assert_went_back(simulator, strategy, start, story)
            assert_converges(simulator, C, strategy, story)


@parametrized
@everywhere
def test_interrupted_at_any_step_the_previous_release_serves(
    start: str, strategy: Strategy
) -> None:
    way = STARTS[start]
    for step in steps_of(way, strategy):
        simulator = way()
        ended, story = run(simulator, C, strategy, is_stopped=partial(has_begun, simulator, step))
        assert ended.result in ("interrupted", "done"), story
        if ended.result == "interrupted":
            assert_went_back(simulator, strategy, start, story)
        assert_converges(simulator, C, strategy, story)


@parametrized
@pytest.mark.parametrize("start", ["plain compose", "two releases", "a warm target", "recreated"])
def test_killed_on_the_way_back_the_next_run_puts_it_right(start: str, strategy: Strategy) -> None:
    way = STARTS[start]
    for step in steps_of(way, strategy):
        for later in range(step + 1, step + MOST_STEPS):
            simulator = way()
            faults = [Fault(step, "after", failed), Fault(later, "midway"), Fault(later, "after")]
            ended, story = run(simulator, C, strategy, faults)
            assert_converges(simulator, C, strategy, story)
            if ended.result != "killed":
                break
