"""What naive strategies get wrong is named by `check_plan`, or lost by users in the simulator, and
found by the contract that all strategies have to hold. A way back that undoes steps is unsafe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import Phase, settings

from releasekit.check import check_plan
from releasekit.errors import ReleasekitError
from releasekit.events import ignore
from releasekit.observed import Observed
from releasekit.plan import Plan
from releasekit.recovery import Earlier, way_back
from releasekit.runner import Runner
from releasekit.steps import (
    ConfirmRoute,
    MarkCurrent,
    Remove,
    Route,
    Start,
    Step,
    Stop,
)
from releasekit.strategies.mixed import Chosen, Mix
from releasekit.target import Target
from releasekit.testing import FakeEngine, FakeRouter, Fault, StrategyContract
from releasekit.testing.story import Story
from releasekit.testing.trials import failed, trials
from tests.simulation.naive import BUGS, Bug, Naive, watched
from tests.simulation.starts import BLUE_GREEN, NEW, ROLLING, A, C, after, target

WayBack = Callable[..., Plan]

each_bug = pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)


def in_order(release: str) -> Target:
    """Its worker starts after its web."""
    web, worker = target(release).services
    return replace(target(release), services=(web, replace(worker, after=("web",))))


SERVED = after((A, BLUE_GREEN), nginx=NEW)
START = replace(SERVED, targets={release: in_order(release) for release in SERVED.targets})
"""A serves with two replicas of web; and a worker runs."""


def planned(bug: Bug, observed: Observed) -> Plan:
    return Mix.single(Naive(bug.good, bug.spoil), bug.good.options).plan(observed, in_order(C))


def broken(observed: Observed, target: Target, plan: Plan) -> set[tuple[str, type[Step] | None]]:
    """The rules that it breaks, each with the kind of the step that does."""
    return {
        (violation.rule, type(plan.steps[violation.number - 1]) if violation.number else None)
        for violation in check_plan(observed, target, plan)
    }


@each_bug
def test_check_plan_says_the_rule_and_the_step(bug: Bug) -> None:
    observed = START.simulator().observe()
    plan = planned(bug, observed)
    found = broken(observed, in_order(C), plan)
    assert (bug.rule, bug.kind) in found if bug.rule else not found, plan.render()


@each_bug
def test_the_simulator_shows_what_users_lose(bug: Bug) -> None:
    simulator = START.simulator()
    world = simulator.world
    plan = planned(bug, simulator.observe())
    engine, router = FakeEngine(world, simulator.stored), FakeRouter(world)
    try:
        Runner(engine, router, simulator.journal, world.clock, ignore).run(plan, "run")
    except ReleasekitError:
        assert not bug.loss, plan.render()
    world.clock.sleep(10)
    lost = [each for each in world.lost if bug.loss in each]
    assert lost if bug.loss else not world.lost, plan.render()


# The contract finds them


@pytest.fixture
def is_not_shrunk() -> Iterator[None]:
    """That it fails is enough: not how little it takes."""
    settings.register_profile("found", phases=[Phase.generate])
    settings.load_profile("found")
    yield
    settings.load_profile("default")


def contract_of(chosen: Chosen, spoiled: Naive | None = None) -> StrategyContract:
    facts = {"strategy": spoiled or chosen.strategy, "options": (chosen.options,), "worlds": 40}
    contract: StrategyContract = type("Contract", (StrategyContract,), facts)()
    return contract


def held(contract: StrategyContract) -> None:
    """All of its tests, as pytest runs them."""
    for name in dir(contract):
        if name.startswith("test_"):
            getattr(contract, name)()


@pytest.mark.usefixtures("is_not_shrunk")
@each_bug
def test_the_contract_finds_it(bug: Bug) -> None:
    with pytest.raises(AssertionError) as raised:
        held(contract_of(bug.good, Naive(bug.good, bug.spoil)))
    told = (bug.rule, bug.loss, *bug.told)
    assert any(each in str(raised.value) for each in told if each), raised.value


@pytest.mark.usefixtures("is_not_shrunk")
@pytest.mark.parametrize("rule", ["may not overlap", "started while"])
def test_the_contract_finds_that_two_releases_overlap(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever plans several strategies has to keep those apart."""
    monkeypatch.setattr(Mix, "of", lambda mix, _, service: mix.services.get(service, mix.default))
    if rule == "started while":
        monkeypatch.setattr("releasekit.testing.simulator.checked_plan", Mix.plan)
    with pytest.raises(AssertionError, match=rule):
        held(contract_of(BLUE_GREEN))


@pytest.mark.usefixtures("is_not_shrunk")
def test_a_bake_before_the_commit_point_holds() -> None:
    held(contract_of(BLUE_GREEN, Naive(BLUE_GREEN, watched)))


# The way back


def undo(
    before: Observed, observed: Observed, failed: str, _: Earlier | None, mix: Mix, **__: bool
) -> Plan:
    """Every step of the plan that was run, taken back in reverse. What was not run yet has nothing
    to be taken back."""
    plan = mix.plan(before, in_order(failed))
    steps = [back for step in reversed(plan.steps) for back in undone(step, before, observed)]
    return replace(plan, release=before.current, steps=tuple(steps))


def undone(step: Step, before: Observed, observed: Observed) -> Iterator[Step]:
    there = {replica.name: replica for replica in observed.replicas}
    match step:
        case Start():
            own = [r for r in observed.of(step.release) if r.service in dict(step.replicas)]
            if own:
                yield Stop(tuple(r for r in own if r.running), "undo")
                yield Remove(tuple(own), "undo")
        case Route() if observed.route.upstreams != before.route.upstreams:
            yield Route(before.route.upstreams, "undo")
            yield ConfirmRoute(before.route.upstreams, "undo")
        case Stop():
            for r in step.replicas:
                if r.name not in there or not there[r.name].running:
                    count = sum(old.service == r.service for old in before.replicas)
                    yield Start(r.release, r.slot, ((r.service, count),), "undo")
        case _:
            pass


def lost_on(chosen: Chosen, way: WayBack) -> dict[int, list[str]]:
    """What users lose when the release fails after each of its steps and goes that way back."""
    lost = {}
    mix = Mix(chosen)
    steps = START.simulator().plan(in_order(C), mix).steps
    commit = next(n for n, step in enumerate(steps, start=1) if isinstance(step, MarkCurrent))
    for step in range(1, commit):
        simulator = START.simulator()
        simulator.way_back = way
        simulator.run(in_order(C), mix, faults=[Fault(step, "after", failed)])
        simulator.world.clock.sleep(10)
        lost[step] = simulator.world.lost
    return lost


@pytest.mark.parametrize("chosen", [BLUE_GREEN, ROLLING], ids=["blue-green", "rolling"])
def test_to_undo_steps_in_reverse_is_unsafe_and_to_plan_back_is_not(chosen: Chosen) -> None:
    rules: set[str] = set()

    def undone(
        before: Observed, observed: Observed, failed: str, _: Earlier | None, mix: Mix, **__: bool
    ) -> Plan:
        plan = undo(before, observed, failed, _, mix)
        rules.update(rule for rule, _ in broken(observed, in_order(A), plan))
        return plan

    naive, ours = lost_on(chosen, undone), lost_on(chosen, way_back)
    assert not any(ours.values())
    assert any(naive.values())
    assert rules >= {
        "nothing is stopped that still has requests in flight",
        "traffic only for what was proven healthy",
    }


@pytest.mark.parametrize("chosen", [BLUE_GREEN, ROLLING], ids=["blue-green", "rolling"])
def test_the_trials_of_the_contract_find_that_steps_are_undone(chosen: Chosen) -> None:
    story = Story(START, chosen)
    story.simulator.way_back = undo

    def end_well() -> None:
        for trial in trials(story, C):
            trial.must_end_well(C)

    with pytest.raises(AssertionError, match="lost requests: web"):
        end_well()
