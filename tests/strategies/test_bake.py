"""Golden plans with a bake, and where there is none."""

# ruff: noqa: E501  # a plan is compared as people read it

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from releasekit.check import check_plan
from releasekit.recovery import way_back
from releasekit.steps import Watch
from releasekit.strategies.base import Options
from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
from releasekit.strategies.mixed import Chosen, Mix
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import Rolling, RollingOptions
from releasekit.target import Target
from tests.strategies.shop import (
    ANNOUNCED_B,
    BLUE_A,
    EMPTY_HOST,
    GREEN_B,
    PLAIN_A,
    PREPARED,
    RECREATED_A,
    ROUTED_B,
    THREE_A,
    WARM_B,
    WEB,
    WEB_3,
    WORKER,
    WORKERS_A,
    A,
    B,
    C,
    State,
    names,
    replica,
    replicas,
    target,
)

BAKE_S = 15.0
ROLLING = Chosen(Rolling(), RollingOptions())
BLUE_GREEN = Chosen(BlueGreen(), BlueGreenOptions())
RECREATE = Chosen(Recreate(), Options())


def baked(state: State, to: str, mix: Mix, *services: object) -> str:
    return state.mixed(mix, replace(target(to, *services), bake_s=BAKE_S))  # type: ignore[arg-type]


def test_blue_green_watches_all_of_the_new_release_beside_the_old_one() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         web x1 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
2 shift   Watch         shop-releases-web-green-1 shop-releases-worker-green-1 for 15 s beside shop-releases-web-blue-1   (until here it can be taken back)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert baked(BLUE_A, B, Mix(BLUE_GREEN)) == golden


def test_rolling_keeps_the_last_old_replicas_of_what_users_ask_until_it_was_watched() -> None:
    golden = """\
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (exit 0 of a reload proves nothing)
1 prepare Start         worker x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
2 shift   Watch         shop-releases-web-green-1 shop-releases-web-green-2 shop-releases-web-green-3 shop-releases-worker-green-1 for 15 s beside shop-releases-web-blue-1   (until here it can be taken back)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-blue-2 shop-releases-web-blue-3 shop-releases-worker-blue-1   (nothing goes back to it)"""
    plan = baked(THREE_A, B, Mix(ROLLING), WEB_3, WORKER)
    assert plan.endswith(golden)
    assert plan.count("Watch") == 1


def test_a_recreated_worker_is_watched_with_the_rest() -> None:
    plan = baked(BLUE_A, B, Mix(BLUE_GREEN, {"worker": RECREATE}))
    watch = "Watch         shop-releases-web-green-1 shop-worker-1 for 15 s beside shop-releases-web-blue-1"
    assert plan.count("Watch") == 1
    assert watch in plan


def test_what_nobody_asks_is_watched_too() -> None:
    plan = baked(WORKERS_A, B, Mix(BLUE_GREEN), WORKER)
    assert (
        "Watch         shop-releases-worker-green-1 for 15 s beside shop-releases-worker-blue-1"
        in plan
    )


def test_a_run_that_was_killed_while_it_watched_watches_anew() -> None:
    """With a route of its own: nginx logs for a while only."""
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (nginx logs while it is watched)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
2 shift   Watch         shop-releases-web-green-1 shop-releases-worker-green-1 for 15 s beside shop-releases-web-blue-1   (until here it can be taken back)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert baked(ROUTED_B, B, Mix(BLUE_GREEN)) == golden


@pytest.mark.parametrize(
    ("state", "resumed"), [(BLUE_A, False), (ANNOUNCED_B, False), (ROUTED_B, True)]
)
def test_it_tells_whether_users_were_led_to_its_release_before(state: State, resumed: bool) -> None:
    to = replace(target(B), bake_s=BAKE_S)
    steps = Mix(BLUE_GREEN).plan(state.observed, to).steps
    (watch,) = [step for step in steps if isinstance(step, Watch)]
    assert watch.resumed is resumed


@pytest.mark.parametrize(
    ("state", "to", "chosen"),
    [
        (EMPTY_HOST, A, BLUE_GREEN),
        (PLAIN_A, B, BLUE_GREEN),  # nobody knows what runs there
        (GREEN_B, A, BLUE_GREEN),  # it was good before
        (WARM_B, A, BLUE_GREEN),
        (GREEN_B, B, BLUE_GREEN),  # there is nothing to do
        (RECREATED_A, B, RECREATE),  # nothing old is left
        (BLUE_A, B, RECREATE),
        (BLUE_A.stopped("shop-releases-web-blue-1"), B, BLUE_GREEN),
    ],
)
def test_nothing_is_watched_that_cannot_be_taken_back(
    state: State, to: str, chosen: Chosen
) -> None:
    assert "Watch" not in baked(state, to, Mix(chosen))


def test_without_a_surge_nothing_old_is_left_to_go_back_to() -> None:
    options = RollingOptions(max_surge=0, max_unavailable=2)
    assert "Watch" not in baked(THREE_A, B, Mix(Chosen(Rolling(), options)), WEB_3)


WATCHED = (
    PREPARED.having([replica("web", "blue", A), replica("worker", "blue", A)])
    .having(replica("web", "blue", A, number, running=False) for number in (2, 3))
    .having(replicas(B, "green", web=3))
    .serving(*names("green", 3))
    .committed(A)
)
"""B is watched in the midst of rolling: one replica of A's web still runs."""


def back(*, at_once: bool, chosen: Chosen = ROLLING) -> str:
    stored = Stored(target(A, WEB_3, WORKER))
    plan = way_back(THREE_A.observed, WATCHED.observed, B, stored, Mix(chosen), at_once=at_once)
    assert check_plan(WATCHED.observed, stored.target(), plan) == ()
    return plan.render()


@dataclass(frozen=True)
class Stored:
    to: Target

    def target(self) -> Target:
        return self.to


def test_after_a_breach_what_is_left_of_the_old_release_gets_the_route_first() -> None:
    golden = """\
rolling to aaaaaaa; downtime: none
1 prepare Announce      shop-releases-web-blue-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1   (it takes the traffic back)
2 shift   Route         web -> shop-releases-web-blue-1   (aaaaaaa serves with what is left of it)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
1 prepare Remove        shop-releases-web-blue-2 shop-releases-web-blue-3   (in the way: aaaaaaa)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-green-1 shop-releases-web-green-2 shop-releases-web-green-3   (replaced by aaaaaaa)
1 prepare Start         web x3 of aaaaaaa in blue   (3 of 3; not all of it runs)
1 prepare Announce      shop-releases-web-blue-2 shop-releases-web-blue-3   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-2 shop-releases-web-blue-3   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1,shop-releases-web-blue-2,shop-releases-web-blue-3   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1,shop-releases-web-blue-2,shop-releases-web-blue-3   (exit 0 of a reload proves nothing)
1 prepare AwaitHealthy  shop-releases-worker-blue-1   (it has to work)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-green-1   (replaced by aaaaaaa)
3 settle  Remove        shop-releases-web-green-1 shop-releases-web-green-2 shop-releases-web-green-3 shop-releases-worker-green-1   (nothing goes back to it)"""
    assert back(at_once=True) == golden


def test_after_any_other_failure_what_serves_well_goes_on_meanwhile() -> None:
    first, *_ = (line for line in back(at_once=False).splitlines() if " Route " in line)
    assert "shop-releases-web-blue-1,shop-releases-web-green-1,shop-releases-web-green-2" in first


@pytest.mark.parametrize("chosen", [ROLLING, BLUE_GREEN], ids=["rolling", "blue-green"])
def test_after_a_breach_nothing_slow_comes_before_the_route(chosen: Chosen) -> None:
    _, *steps = back(at_once=True, chosen=chosen).splitlines()
    kinds = [line.split()[2] for line in steps]
    assert kinds[: kinds.index("Route")] == ["Announce", "AwaitHealthy"]


@pytest.mark.parametrize("chosen", [BLUE_GREEN, ROLLING, RECREATE])
@pytest.mark.parametrize(
    "state", [EMPTY_HOST, PLAIN_A, RECREATED_A, BLUE_A, GREEN_B, WARM_B, ROUTED_B]
)
@pytest.mark.parametrize("to", [A, B, C])
def test_a_bake_only_adds_to_a_plan(state: State, to: str, chosen: Chosen) -> None:
    plain = state.mixed(Mix(chosen), target(to, WEB)).splitlines()
    with_bake = baked(state, to, Mix(chosen), WEB).splitlines()
    assert [line for line in with_bake if line in plain] == plain
    added = {line.split()[2] for line in with_bake if line not in plain}
    assert added <= {"Route", "ConfirmRoute", "Watch"}
