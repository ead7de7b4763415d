"""A release that never gets healthy: the previous one serves all the time, and no container of
the sick one is left."""

from __future__ import annotations

import pytest

from releasekit.errors import NeverHealthy
from releasekit.strategies.base import Strategy
from releasekit.strategies.blue_green import BlueGreen
from releasekit.testing import App, Fault
from tests.simulation.starts import STARTS, A, B, C, assert_serves, run, target_in
from tests.simulation.worlds import STRATEGIES

FATES = {
    "never answers": App(fate="sick"),
    "exits": App(0.5, fate="exits"),
    "has a worker that exits": App(0.5, fate="exits", services=frozenset({"worker"})),
}
WITH_PREVIOUS = [start for start in STARTS if start != "nothing" and "target" not in start]

pytestmark = [
    pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name),
    pytest.mark.parametrize("fate", FATES.values(), ids=FATES),
    pytest.mark.parametrize("start", WITH_PREVIOUS),
]


def test_the_previous_release_serves_all_the_time(
    start: str, fate: App, strategy: Strategy
) -> None:
    simulator = STARTS[start]()
    simulator.world.apps = {**simulator.world.apps, C: fate}
    before = [replica for replica in simulator.observe().of(A) if replica.running]
    ended, story = run(simulator, C, strategy)
    assert ended.result == "failed", story
    assert isinstance(ended.error, NeverHealthy), story
    failing = fate.services or {"web", "worker"}
    assert any(service in name for name in ended.error.log_tail for service in failing), story
    assert_serves(simulator, A, strategy, story)
    assert simulator.observe().of(C) == (), story
    if isinstance(strategy, BlueGreen):
        assert [replica for replica in simulator.observe().of(A) if replica.running] == before
    else:
        assert ended.downtime_s is not None, story


def test_killed_while_it_waits_the_next_release_clears_it(
    start: str, fate: App, strategy: Strategy
) -> None:
    simulator = STARTS[start]()
    simulator.world.apps = {**simulator.world.apps, C: fate}
    steps = [
        type(step).__name__ for step in simulator.plan(target_in(simulator, C), strategy).steps
    ]
    ended, story = run(simulator, C, strategy, [Fault(steps.index("AwaitHealthy") + 1, "after")])
    assert ended.result == "killed", story
    ended, then = run(simulator, B, strategy)
    assert ended.result == "done", story + then
    assert_serves(simulator, B, strategy, story + then)
    assert simulator.observe().of(C) == (), story + then
