"""From any world to any release: the plan is safe, it loses no request, and it ends there."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from releasekit.check import check_plan
from releasekit.errors import StepFailed
from releasekit.events import Warned
from releasekit.strategies.base import Strategy
from releasekit.target import Target
from releasekit.testing import Fault, Killed, Simulator
from tests.simulation.worlds import RELEASES, STRATEGIES, Start, starts

pytestmark = pytest.mark.timeout(120)


EXAMPLES = settings(
    derandomize=True,
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
A_STRATEGY = st.sampled_from(STRATEGIES)
A_RELEASE = st.sampled_from(RELEASES)
FAULTS = st.builds(
    Fault,
    st.integers(1, 20),
    st.sampled_from(("before", "midway", "after")),
    st.sampled_from((Killed, partial(StepFailed, "it did not work"))),
)


def lost(simulator: Simulator, targets: Iterable[Target]) -> list[str]:
    """The requests that failed, of services that all these releases have."""
    common = set.intersection(*({service.name for service in t.services} for t in targets))
    return [each for each in simulator.world.lost if each.partition(":")[0] in common]


@EXAMPLES
@given(starts(is_healthy=False), A_STRATEGY, A_RELEASE, st.randoms(use_true_random=False))
def test_any_state_has_a_plan_and_always_the_same(
    start: Start, strategy: Strategy, release: str, chance: random.Random
) -> None:
    observed, target = start.simulator().observe(), start.targets[release]
    simulator = start.simulator()
    mix = simulator.mix(strategy)
    plan = mix.plan(observed, target)
    shuffled = list(observed.replicas)
    chance.shuffle(shuffled)
    again = mix.plan(replace(observed, replicas=tuple(shuffled)), target)
    assert plan == again
    assert plan.render() == again.render()


@EXAMPLES
@given(starts(is_healthy=False), A_STRATEGY, A_RELEASE)
def test_no_plan_is_unsafe(start: Start, strategy: Strategy, release: str) -> None:
    observed, target = start.simulator().observe(), start.targets[release]
    plan = start.simulator().mix(strategy).plan(observed, target)
    assert check_plan(observed, target, plan) == (), plan.render()


@EXAMPLES
@given(starts(), A_STRATEGY, A_RELEASE)
def test_it_ends_at_its_target_and_has_nothing_left_to_do(
    start: Start, strategy: Strategy, release: str
) -> None:
    simulator, target = start.simulator(), start.targets[release]
    world, before = simulator.world, simulator.observe()
    ended = simulator.run(target, strategy)
    plan = "\n".join(plan.render() for plan in ended.plans)
    assert ended.result in ("done", "nothing-to-do"), (plan, ended.error)
    assert [e for e in ended.events if isinstance(e, Warned)] == [], plan
    assert simulator.observe().current == release
    assert simulator.plan(target, strategy).render().endswith("nothing to do"), plan
    assert {*before.backing} <= {*world.backing.values()}
    if not strategy.has_downtime or not ended.plans[0].downtime:
        assert lost(simulator, [target]) == [], plan


@EXAMPLES
@given(starts(), A_STRATEGY, A_RELEASE, A_RELEASE, st.lists(FAULTS, min_size=1, max_size=2))
def test_whatever_happens_to_one_run_the_next_one_puts_it_right(
    start: Start, strategy: Strategy, release: str, then: str, faults: list[Fault]
) -> None:
    simulator = start.simulator()
    world, before = simulator.world, simulator.observe()
    first = simulator.run(start.targets[release], strategy, faults=faults)
    second = simulator.run(start.targets[then], strategy)
    story = "\n".join(plan.render() for plan in (*first.plans, *second.plans))
    assert second.result in ("done", "nothing-to-do"), (story, first.error, second.error)
    assert simulator.observe().current == then
    assert simulator.plan(start.targets[then], strategy).is_empty, story
    assert {*before.backing} <= {*world.backing.values()}
    if not strategy.has_downtime:
        assert lost(simulator, start.targets.values()) == [], story
