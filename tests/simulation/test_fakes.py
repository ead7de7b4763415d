"""The world in memory loses requests where a real host does: else it would prove nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from releasekit.errors import Breach, CommandFailed, RouteRefused, StepFailed
from releasekit.events import ignore
from releasekit.observed import PLAIN, Nginx, Route, Upstream
from releasekit.plan import Plan
from releasekit.runner import Runner
from releasekit.steps import Announce, AwaitHealthy, ConfirmRoute, Drain, Step, Stop, Watch
from releasekit.steps import Route as RouteStep
from releasekit.strategies.blue_green import BlueGreen
from releasekit.target import Target
from releasekit.testing import App, FakeEngine, FakeRouter, Simulator, World
from releasekit.testing.found import service
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


def serving(*upstreams: Upstream) -> World:
    """Web's first two replicas in blue run, and api's; nginx serves these upstreams."""
    world = World(nginx=NEW)
    for name, number in (("web", 1), ("web", 2), ("api", 1)):
        world.put(name, "blue", number, A, running=True)
    world.serve(Route(upstreams))
    world.look()
    return world


WEB_1, WEB_2 = "shop-releases-web-blue-1", "shop-releases-web-blue-2"
API = Upstream("api", ("shop-releases-api-blue-1",))


def test_nothing_is_lost_by_weights_and_who_has_the_least_of_them_is_asked_too() -> None:
    world = serving(API)
    router = FakeRouter(world)
    router.apply([API, Upstream("web", (WEB_1, WEB_2), weights=(19, 1))])
    world.clock.sleep(10)
    assert world.lost == []
    assert router.observe().loaded is not None
    assert world.workers[-1].route.upstreams[1].shares() == {(WEB_1, 19), (WEB_2, 1)}
    FakeEngine(world).stop([world.containers[WEB_2].id])
    assert world.lost == [f"web: {WEB_2} does not run"]


@pytest.mark.parametrize("weights", [(1,), (1, 1, 1), (0, 1)])
def test_weights_that_do_not_fit_are_refused(weights: tuple[int, ...]) -> None:
    with pytest.raises(RouteRefused, match="do not fit web"):
        FakeRouter(serving(API)).apply([Upstream("web", (WEB_1, WEB_2), weights=weights)])


def test_no_user_sees_what_is_on_preview() -> None:
    world = serving(API, Upstream("web", (WEB_1,)))
    world.put("web", "green", 1, B, running=True)
    world.apps = {B: App(fate="sick")}
    shown = "shop-releases-web-green-1"
    router = FakeRouter(world)
    router.apply([API, Upstream("web", (WEB_1,), preview=(shown,))])
    world.clock.sleep(10)
    assert world.lost == []
    route = world.workers[-1].route
    assert route.secret
    assert shown in route.resolved
    router.apply([API, Upstream("web", (shown,))])
    world.clock.sleep(10)
    assert world.lost == [f"web: {shown} is not healthy"]


def test_a_service_without_replicas_is_lost_and_so_is_one_that_is_left_out() -> None:
    world = serving(API, Upstream("web", (WEB_1,)))
    router = FakeRouter(world)
    router.apply([API, Upstream("web", ())])
    assert world.lost == ["web: nobody serves it"]
    world.clock.sleep(1)
    world.lost.clear()
    router.apply([Upstream("web", (WEB_1,))])
    assert "api: left out of the route" in world.lost


def test_who_gets_sick_after_a_while_fails_the_watch() -> None:
    world = serving(API)
    world.apps = {B: App(0.5, sick_after_s=5.0)}
    simulator = Simulator(world)
    engine = FakeEngine(world)
    engine.start(B, "green", [("web", 1)])
    pairs = (("web", "shop-releases-web-green-1"),)
    runner = Runner(engine, FakeRouter(world), simulator.journal, world.clock, ignore)

    def watched(seconds: float) -> Plan:
        steps = (AwaitHealthy(B, pairs, 8.0, "first"), Watch(B, pairs, seconds, "the bake"))
        return Plan("canary", B, "", steps)

    runner.run(watched(2.0), "run")
    with pytest.raises(Breach, match="shop-releases-web-green-1: GET /up: 503"):
        runner.run(watched(10.0), "run")
    assert 5.0 < world.clock.now() < 8.0


def test_what_settles_is_proven_when_it_ran_for_so_long() -> None:
    world = World(apps={A: App(fate="sick"), B: App(0.5, fate="exits")})
    services = (replace(service("worker"), settle_s=2.0),)
    stored = {release: Target("shop", release, services) for release in (A, B)}
    engine = FakeEngine(world, stored)
    pairs = [("worker", "shop-worker-1")]
    engine.start(A, PLAIN, [("worker", 1)])
    assert not engine.probe(A, pairs)["shop-worker-1"].is_healthy
    world.clock.sleep(2)
    assert engine.probe(A, pairs)["shop-worker-1"].is_healthy  # nothing asks how it is
    engine.stop([world.containers["shop-worker-1"].id])
    engine.start(B, PLAIN, [("worker", 1)])
    world.clock.sleep(1)
    assert engine.probe(B, pairs)["shop-worker-1"].is_lost


def test_what_becomes_of_containers_is_written_down_in_order() -> None:
    world = World(apps={A: App(0.5)})
    engine = FakeEngine(world)
    engine.start(A, PLAIN, [("web", 2)])
    world.clock.sleep(1)
    engine.probe(A, [("web", "shop-web-2")])
    engine.stop([world.containers["shop-web-1"].id])
    assert [(moment.what, moment.name) for moment in world.history] == [
        ("starts", "shop-web-1"),
        ("starts", "shop-web-2"),
        ("proven", "shop-web-2"),
        ("stops", "shop-web-1"),
    ]
    assert world.most == {"web": 2}
    world.forget()
    assert (world.history, world.most) == ([], {"web": 1})


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


def test_compose_goes_on_with_what_a_killed_one_left() -> None:
    """It counts by the container's label, and gives only a new container its proper name."""
    world = World()
    left = world.put("web", PLAIN, 1, A, running=False, prefix="0123456789ab_")
    assert left.name == "0123456789ab_shop-web-1"
    FakeEngine(world).start(A, PLAIN, [("web", 2)])
    assert {*world.containers} == {left.name, "shop-web-2"}
    FakeEngine(world).start(B, PLAIN, [("web", 2)])
    assert {*world.containers} == {"shop-web-1", "shop-web-2"}


def test_compose_does_not_take_a_name_that_is_taken() -> None:
    world = World()
    world.put("web", PLAIN, 1, A, running=True)
    world.put("web", PLAIN, 1, A, running=False, prefix="0123456789ab_")
    with pytest.raises(StepFailed, match="shop-web-1 is already in use"):
        FakeEngine(world).start(B, PLAIN, [("web", 2)])


def test_a_container_has_the_name_that_the_compose_file_gives_it() -> None:
    world, named = World(), replace(service("web"), container_name="shop")
    engine = FakeEngine(world, {A: Target("shop", A, (named,))})
    engine.start(A, PLAIN, [("web", 1)])
    engine.start(A, "blue", [("web", 1)])
    assert {*world.containers} == {"shop", WEB_1}


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
