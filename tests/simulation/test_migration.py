"""Releases that migrate: once, before anything of them starts; a fence when that is cut short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from releasekit.steps import RunOnce
from releasekit.target import Migration
from releasekit.testing import Fault, Killed
from releasekit.testing.found import Start
from releasekit.testing.story import Story
from releasekit.testing.trials import failed, trials
from releasekit.testing.world import When
from tests.simulation.starts import CHOSEN, STARTS, A, C

NAMES = ("nothing", "plain compose", "two releases", "recreated")
WHENS: tuple[When, ...] = ("before", "midway", "after")
each_strategy = pytest.mark.parametrize("strategy", CHOSEN)
each_start = pytest.mark.parametrize("start", NAMES)


def migrating(name: str) -> Start:
    start = STARTS[name]
    targets = start.targets.items()
    return replace(start, targets={k: replace(t, migration=Migration("web")) for k, t in targets})


def story(start: str, strategy: str) -> Story:
    return Story(migrating(start), CHOSEN[strategy])


@each_strategy
@each_start
def test_after_any_fault_at_any_step_the_next_run_puts_it_right(start: str, strategy: str) -> None:
    for trial in trials(story(start, strategy), C):
        trial.must_end_well(C)


@each_strategy
@each_start
@pytest.mark.parametrize("when", WHENS)
def test_cut_short_nothing_goes_on_but_a_rollback(when: When, start: str, strategy: str) -> None:
    told = story(start, strategy)
    plan = told.simulator.plan(told.start.targets[C], told.mix)
    number = next(n for n, step in enumerate(plan.steps, 1) if isinstance(step, RunOnce))
    assert told.run(C, [Fault(number, when, Killed)]).result == "killed", told
    for release in (C, A):
        assert told.run(release).result == "fenced", told
    if told.simulator.current:
        target = told.start.targets[A]
        back = told.simulator.run(target, told.mix, kind="rollback")
        assert back.result in ("done", "nothing-to-do"), told
    assert told.run(C).result == "fenced", told
    assert told.run(C, migration="again").result == "done", told
    told.must_have_arrived(C)


@each_strategy
@each_start
def test_one_that_failed_runs_again_and_the_previous_release_serves_meanwhile(
    start: str, strategy: str
) -> None:
    told = story(start, strategy)
    before = told.simulator.current
    plan = told.simulator.plan(told.start.targets[C], told.mix)
    number = next(n for n, step in enumerate(plan.steps, 1) if isinstance(step, RunOnce))
    assert told.run(C, [Fault(number, "after", failed)]).result == "failed", told
    assert told.simulator.current == before, told
    assert not told.simulator.observe().of(C), told
    told.run(C)
    told.must_have_arrived(C)
    assert [m.release for m in told.world.history if m.what == "migrates"] == [C], told


@each_strategy
def test_what_migrated_and_failed_later_does_not_migrate_again(strategy: str) -> None:
    told = story("two releases", strategy)
    plan = told.simulator.plan(told.start.targets[C], told.mix)
    assert told.run(C, [Fault(len(plan.steps) // 2, "before", failed)]).result == "failed", told
    told.run(C)
    told.must_have_arrived(C)
    assert not [m for m in told.world.history if m.what == "migrates"], told
