"""What the strategy plans, and how releases with it end."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest
from pydantic import ValidationError
from releasekit_canary import Canary, CanaryOptions

from releasekit import Nginx, Observed, Plan, ReleasekitError, Service, Target
from releasekit.steps import ConfirmRoute, Route, Watch
from releasekit.testing import App, Ended, Fault, Killed, Simulator, StrategyContract, World

OLD, NEW = "a" * 40, "b" * 40
WEB, API, WORKER = Service("web", port=8080), Service("api", port=9000), Service("worker")

LADDER = """\
canary to bbbbbbb; downtime: none
1 prepare Start         web x1 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1*19,shop-releases-web-green-1*1   (5 % of the requests are for the new release)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1*19,shop-releases-web-green-1*1   (exit 0 of a reload proves nothing)
2 shift   Watch         shop-releases-web-green-1 shop-releases-worker-green-1 for 30 s   (it goes on only while it is well at 5 %)
2 shift   Route         web -> shop-releases-web-blue-1*3,shop-releases-web-green-1*1   (25 % of the requests are for the new release)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1*3,shop-releases-web-green-1*1   (exit 0 of a reload proves nothing)
2 shift   Watch         shop-releases-web-green-1 shop-releases-worker-green-1 for 30 s   (it goes on only while it is well at 25 %)
2 shift   Route         web -> shop-releases-web-blue-1*1,shop-releases-web-green-1*1   (50 % of the requests are for the new release)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1*1,shop-releases-web-green-1*1   (exit 0 of a reload proves nothing)
2 shift   Watch         shop-releases-web-green-1 shop-releases-worker-green-1 for 30 s   (it goes on only while it is well at 50 %)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""  # noqa: E501


COMMIT = LADDER[: LADDER.index("MarkCurrent")].count("\n")
"""The number of the step that nobody takes back."""


class TestContract(StrategyContract):
    """All that a strategy has to hold, in any world."""

    strategy = Canary()
    options = (
        CanaryOptions(),
        CanaryOptions(steps=(10,), pause=0, keep_previous="running"),
    )


# The plan


def released(release: str, *services: Service) -> Target:
    return Target("shop", release, services or (WEB, WORKER))


def serving(*services: Service, apps: dict[str, App] | None = None) -> Simulator:
    """The old release serves, brought by the same strategy."""
    simulator = Simulator(World(apps=apps or {}, nginx=Nginx((1, 30, 6))))
    assert simulator.run(released(OLD, *services), Canary()).result == "done"
    simulator.world.clock.sleep(10)  # nothing is left of nginx's old workers
    return simulator


def planned(observed: Observed, target: Target, **options: object) -> Plan:
    return Canary().plan(observed, target, CanaryOptions.model_validate(options))


def shares(route: Route, service: str) -> Fraction:
    """How much of a service's traffic the new release gets; it is started in green."""
    (upstream,) = (each for each in route.upstreams if each.service == service)
    weights = dict(upstream.shares())
    new = sum(weight for name, weight in weights.items() if "-green-" in name)
    return Fraction(new, sum(weights.values()))


def routes(plan: Plan) -> list[Route]:
    return [step for step in plan.steps if isinstance(step, Route)]


def test_the_new_release_climbs_a_ladder_to_all_of_the_traffic() -> None:
    assert planned(serving().observe(), released(NEW)).render() == LADDER


@pytest.mark.parametrize("old", range(1, 6))
@pytest.mark.parametrize("new", range(1, 6))
def test_the_shares_are_right_for_any_number_of_replicas(old: int, new: int) -> None:
    observed = serving(Service("web", old, 8080)).observe()
    plan = planned(observed, released(NEW, Service("web", new, 8080)))
    expected = [Fraction(percent, 100) for percent in (5, 25, 50, 100)]
    assert [shares(route, "web") for route in routes(plan)] == expected


def test_all_services_climb_at_once() -> None:
    observed = serving(WEB, Service("api", 3, 9000)).observe()
    plan = planned(observed, released(NEW, Service("web", 2, 8080), API), steps=(10, 60))
    assert [shares(route, "api") for route in routes(plan)] == [
        shares(route, "web") for route in routes(plan)
    ]
    assert [shares(route, "web") for route in routes(plan)] == [
        Fraction(1, 10),
        Fraction(3, 5),
        Fraction(1),
    ]


def test_a_new_service_has_nobody_to_share_with() -> None:
    plan = planned(serving(WEB).observe(), released(NEW, WEB, API))
    assert [shares(route, "api") for route in routes(plan)] == [Fraction(1)] * 4


def test_a_service_that_goes_is_there_until_nobody_needs_it() -> None:
    plan = planned(serving(WEB, API).observe(), released(NEW, WEB))
    named = [[upstream.service for upstream in route.upstreams] for route in routes(plan)]
    assert named == [["api", "web"]] * 3 + [["web"]]


def test_every_route_is_confirmed_before_it_is_watched() -> None:
    plan = planned(serving().observe(), released(NEW))
    kinds = [type(step) for step in plan.steps if isinstance(step, Route | ConfirmRoute | Watch)]
    assert kinds == [*[Route, ConfirmRoute, Watch] * 3, Route, ConfirmRoute]


def test_without_a_pause_nothing_is_watched() -> None:
    plan = planned(serving().observe(), released(NEW), pause=0)
    assert len(routes(plan)) == 4
    assert not [step for step in plan.steps if isinstance(step, Watch)]


def test_the_first_release_gets_all_at_once() -> None:
    observed = Simulator(World(nginx=Nginx((1, 30, 6)))).observe()
    assert len(routes(planned(observed, released(NEW)))) == 1


def test_a_release_that_was_good_before_gets_all_at_once() -> None:
    simulator = serving()
    assert simulator.run(released(NEW), Canary()).result == "done"
    plan = planned(simulator.observe(), released(OLD))
    assert [str(step) for step in routes(plan)] == ["web -> shop-releases-web-blue-1"]
    assert not [step for step in plan.steps if isinstance(step, Watch)]


# The run


def ending(simulator: Simulator, faults: Sequence[Fault] = (), **options: object) -> Ended:
    """How the release of NEW ends."""
    simulator.options = CanaryOptions.model_validate(options)
    return simulator.run(released(NEW), Canary(), faults=faults)


def assert_only_the_old_one_is_left(simulator: Simulator, *, may_lose: bool = False) -> None:
    observed = simulator.observe()
    assert observed.current == OLD
    assert observed.route.names == {"shop-releases-web-blue-1"}
    assert {replica.release for replica in observed.replicas} == {OLD}
    assert may_lose or simulator.world.lost == []


def test_a_good_release_ends_with_all_of_the_traffic() -> None:
    simulator = serving()
    began = simulator.world.clock.now()
    assert ending(simulator, pause=60).result == "done"
    assert simulator.world.clock.now() - began > 3 * 60
    assert simulator.observe().route.names == {"shop-releases-web-green-1"}
    assert simulator.world.lost == []


def test_a_release_that_turns_sick_while_it_is_watched_loses_all_of_it() -> None:
    simulator = serving(apps={NEW: App(sick_after_s=45)})
    began = simulator.world.clock.now()
    assert ending(simulator).result == "failed"
    assert 45 <= simulator.world.clock.now() - began < 60  # while it had 25 %
    # Who asked it just then has lost a request.
    assert_only_the_old_one_is_left(simulator, may_lose=True)


@pytest.mark.parametrize("when", ["before", "midway", "after"])
@pytest.mark.parametrize("step", range(1, COMMIT))
def test_a_failure_at_any_step_takes_all_of_it_back(step: int, when: str) -> None:
    simulator = serving()
    broken = lambda: ReleasekitError("it does not work")  # noqa: E731
    ended = ending(simulator, [Fault(step, when, broken)])  # type: ignore[arg-type]
    if ended.result == "done":  # this step has no such moment
        return
    assert ended.result == "failed"
    assert_only_the_old_one_is_left(simulator)


@pytest.mark.parametrize("step", range(1, COMMIT + 1))
def test_after_a_kill_at_any_step_the_old_release_takes_all_of_it_back(step: int) -> None:
    simulator = serving()
    assert ending(simulator, [Fault(step, "before", Killed)]).result in ("killed", "done")
    if simulator.observe().current == NEW:
        return
    assert simulator.run(released(OLD), Canary()).result in ("done", "nothing-to-do")
    assert_only_the_old_one_is_left(simulator)


@pytest.mark.parametrize("step", range(1, COMMIT + 1))
def test_after_a_kill_at_any_step_the_new_release_can_try_again(step: int) -> None:
    simulator = serving()
    ending(simulator, [Fault(step, "before", Killed)])
    assert ending(simulator).result in ("done", "nothing-to-do")
    assert simulator.observe().route.names == {"shop-releases-web-green-1"}
    assert simulator.world.lost == []


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"steps": (0,)},
        {"steps": (100,)},
        {"steps": (25, 5)},
        {"steps": (5, 5)},
        {"steps": "5,many"},
        {"pause": -1},
        {"pause": "inf"},
        {"pauses": 3},
        {"keep_previous": "maybe"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CanaryOptions.model_validate(options)


def test_options_may_be_text_as_a_command_line_has_them() -> None:
    options = CanaryOptions.model_validate({"steps": "10, 50", "pause": "2.5"})
    assert (options.steps, options.pause) == ((10, 50), 2.5)
