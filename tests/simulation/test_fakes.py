"""The world in memory loses requests where a real host does: else it would prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from releasekit.errors import CommandFailed, RouteRefused
from releasekit.events import ignore
from releasekit.observed import PLAIN, Nginx, Route, Upstream
from releasekit.runner import Runner
from releasekit.steps import Announce, AwaitHealthy, ConfirmRoute, Drain, Step, Stop
from releasekit.steps import Route as RouteStep
from releasekit.strategies.blue_green import BlueGreen
from releasekit.testing import App, FakeEngine, FakeRouter, Simulator, World
from tests.simulation.starts import BLUE_GREEN, NEW, OLD, WARM, A, B, C, after, target

Change = Callable[[Sequence[Step]], Sequence[Step]]


def run_changed(simulator: Simulator, change: Change) -> list[str]:
    """Run a good plan after a change for the worse; what the users lost."""
    world = simulator.world
    plan = simulator.plan(target(C), BlueGreen())
    runner = Runner(FakeEngine(world), FakeRouter(world), simulator.journal, world.clock, ignore)
    runner.run(replace(plan, steps=tuple(change(plan.steps))), "run")
    return world.lost


def without(*kinds: type[Step]) -> Change:
    return lambda steps: [step for step in steps if not isinstance(step, kinds)]


def stopping_first(steps: Sequence[Step]) -> Sequence[Step]:
    return sorted(steps, key=lambda step: not isinstance(step, Stop))


def test_a_good_plan_loses_nothing() -> None:
    assert run_changed(after((A, BLUE_GREEN), nginx=NEW).simulator(), list) == []


@pytest.mark.parametrize(
    ("change", "loss"),
    [
        (without(AwaitHealthy), "is not healthy"),
        (without(Announce), "was not looked up yet"),
        (without(ConfirmRoute, Drain), "does not run"),
        (without(Drain), "was stopped with requests in flight"),
        (without(RouteStep, ConfirmRoute), "does not run"),
        (stopping_first, "does not run"),
    ],
)
def test_a_careless_plan_loses_requests(change: Change, loss: str) -> None:
    simulator = after((A, BLUE_GREEN), nginx=NEW).simulator()
    lost = run_changed(simulator, change)
    assert any(loss in each for each in lost), lost


def test_a_name_that_stands_for_another_container_goes_to_the_old_address_for_a_while() -> None:
    simulator = after((B, WARM), (A, WARM), nginx=NEW).simulator()
    simulator.world.apps = {release: App(0.0) for release in (A, B, C)}
    lost = run_changed(simulator, without(Announce))
    assert any("has another address" in each for each in lost), lost


def test_an_nginx_that_looks_no_names_up_keeps_a_stale_address() -> None:
    world = World(nginx=OLD)
    world.put("web", "blue", 1, A, running=True)
    world.serve(Route((Upstream("web", ("shop-releases-web-blue-1",)),)))
    container = world.containers["shop-releases-web-blue-1"]
    engine = FakeEngine(world)
    engine.stop([container.id])
    engine.start(A, "blue", [("web", 1)])
    world.lost.clear()
    world.clock.sleep(60)
    assert world.lost == ["web: shop-releases-web-blue-1 has another address"]


def numbers(world: World) -> list[str]:
    return sorted(name.rpartition("-")[2] for name in world.containers)


@pytest.mark.parametrize(
    ("there", "count", "then"),
    [
        ([1, 3], 3, ["1", "3", "4"]),
        ([3, 4], 2, ["3", "4"]),
        ([1, 2, 3], 1, ["1"]),
        ([2], 3, ["2", "3", "4"]),
    ],
)
def test_compose_counts_on_from_the_highest_number(
    there: list[int], count: int, then: list[str]
) -> None:
    world = World()
    for number in there:
        world.put("web", PLAIN, number, A, running=True)
    FakeEngine(world).start(A, PLAIN, [("web", count)])
    assert numbers(world) == then


def test_a_container_that_runs_is_not_removed_and_one_that_is_gone_not_stopped() -> None:
    world = World()
    world.put("web", PLAIN, 1, A, running=True)
    engine = FakeEngine(world)
    with pytest.raises(CommandFailed, match="stop it first"):
        engine.remove([world.containers["shop-web-1"].id])
    with pytest.raises(CommandFailed, match="no such container"):
        engine.stop(["gone"])


def test_a_route_to_a_container_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RouteRefused, match="shop-web-1"):
        FakeRouter(World(nginx=NEW)).apply([Upstream("web", ("shop-web-1",))])


def test_nginx_starts_with_its_first_route() -> None:
    world = World(nginx=Nginx(NEW.version))
    world.put("web", PLAIN, 1, A, running=True)
    router = FakeRouter(world)
    router.apply([Upstream("web", ("shop-web-1",))])
    assert router.observe().running
    assert router.unconfirmed() == ""
    assert world.lost == []
