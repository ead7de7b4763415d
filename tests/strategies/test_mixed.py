"""Golden plans of several strategies in one release, and of the order in which services start."""

# ruff: noqa: E501  # a plan is compared as people read it

from __future__ import annotations

import pytest

from releasekit.strategies.base import Strategy
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.mixed import Mix
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import Rolling
from releasekit.target import Service
from tests.strategies.shop import (
    API,
    BLUE_A,
    EMPTY_HOST,
    RECREATED_A,
    THREE_A,
    WEB,
    WEB_3,
    WITH_API,
    WORKER,
    A,
    B,
    target,
)

LATER = Service("worker", after=("web",))
"""A worker that starts once the web is healthy."""
ALONE = Service("worker", after=("web",), overlaps=False)
"""One that may never run twice."""
FIRST, SECOND = Service("api", port=9000), Service("web", port=8080, after=("api",))
"""A web that starts once the api is healthy."""


def mix(**services: Strategy) -> Mix:
    """blue-green, and these strategies for these services."""
    chosen = {name: Mix.single(strategy).default for name, strategy in services.items()}
    return Mix(Mix.single(BlueGreen()).default, chosen)


# One strategy a service


def test_a_web_beside_the_old_one_and_a_worker_in_its_place() -> None:
    golden = """\
blue-green, worker: recreate to bbbbbbb; downtime: worker
1 prepare Start         web x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
2 shift   Stop          shop-releases-worker-blue-1   (recreate stops before it starts)
2 shift   Start         worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert BLUE_A.mixed(mix(worker=Recreate()), target(B, WEB, LATER)) == golden


def test_three_strategies_in_one_release() -> None:
    golden = """\
blue-green, api: rolling, worker: recreate to bbbbbbb; downtime: worker
1 prepare Start         api x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare Announce      shop-releases-api-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-api-green-1   (traffic only for what is proven healthy)
1 prepare Start         web x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-api-green-1 shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         api -> shop-releases-api-green-1; web -> shop-releases-web-blue-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  api -> shop-releases-api-green-1; web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
2 shift   Route         api -> shop-releases-api-green-1; web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  api -> shop-releases-api-green-1; web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
2 shift   Stop          shop-releases-worker-blue-1   (recreate stops before it starts)
2 shift   Start         worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-api-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-api-blue-1   (nothing goes back to it)
3 settle  Stop          shop-releases-web-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert (
        WITH_API.mixed(mix(api=Rolling(), worker=Recreate()), target(B, API, WEB, LATER)) == golden
    )


def test_the_first_release_ever_has_one_route_for_all() -> None:
    golden = """\
blue-green, api: recreate to aaaaaaa; downtime: none
1 prepare EnsureBacking db cache   (not running)
1 prepare Start         web x1 worker x1 of aaaaaaa in blue   (the release to serve)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Start         api x1 of aaaaaaa   (the release to serve)
2 shift   AwaitHealthy  shop-api-1   (done when it is proven healthy)
2 shift   Route         api -> shop-api-1; web -> shop-releases-web-blue-1   (aaaaaaa is healthy)
2 shift   ConfirmRoute  api -> shop-api-1; web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   aaaaaaa   (the commit point)"""
    assert EMPTY_HOST.mixed(mix(api=Recreate()), target(A, API, WEB, WORKER)) == golden


def test_what_may_never_run_twice_is_recreated_whatever_the_strategy() -> None:
    golden = """\
blue-green, worker: recreate to bbbbbbb; downtime: worker
1 prepare Start         web x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
2 shift   Stop          shop-releases-worker-blue-1   (recreate stops before it starts)
2 shift   Start         worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert BLUE_A.mixed(mix(), target(B, WEB, ALONE)) == golden


def test_a_service_that_the_release_no_longer_has_goes_with_the_others() -> None:
    golden = """\
blue-green, worker: recreate to bbbbbbb; downtime: worker
1 prepare Start         web x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
2 shift   Stop          shop-releases-worker-blue-1   (recreate stops before it starts)
2 shift   Start         worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-api-blue-1 shop-releases-web-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert WITH_API.mixed(mix(worker=Recreate()), target(B, WEB, LATER)) == golden


def test_a_repair_touches_only_what_is_missing() -> None:
    golden = """\
blue-green, worker: recreate to aaaaaaa; downtime: none
2 shift   Start         worker x1 of aaaaaaa   (the release to serve)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)"""
    assert (
        BLUE_A.without("shop-releases-worker-blue-1").mixed(
            mix(worker=Recreate()), target(A, WEB, LATER)
        )
        == golden
    )


def test_a_worker_alone_may_change_its_strategy() -> None:
    golden = """\
blue-green, web: recreate to bbbbbbb; downtime: web
2 shift   Stop          shop-web-1   (recreate stops before it starts)
2 shift   Start         web x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
1 prepare Start         worker x1 of bbbbbbb in blue   (the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-blue-1   (it has to work)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Stop          shop-worker-1   (bbbbbbb serves)
3 settle  Remove        shop-worker-1   (nothing goes back to it)"""
    assert RECREATED_A.mixed(mix(web=Recreate()), target(B, WEB, LATER)) == golden


# The order of services


def test_a_worker_starts_once_the_web_is_healthy() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         web x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
1 prepare Start         worker x1 of bbbbbbb in green   (the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BLUE_A.blue_green(target(B, WEB, LATER)) == golden


def test_names_are_announced_before_the_first_wave_is_waited_for() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         api x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-api-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-api-green-1   (traffic only for what is proven healthy)
1 prepare Start         web x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-api-green-1 shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
1 prepare Start         worker x1 of bbbbbbb in green   (the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
2 shift   Route         api -> shop-releases-api-green-1; web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  api -> shop-releases-api-green-1; web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-api-blue-1 shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert WITH_API.blue_green(target(B, FIRST, SECOND, LATER)) == golden


def test_recreate_keeps_the_order_too() -> None:
    golden = """\
recreate to bbbbbbb; downtime: web, worker
2 shift   Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (recreate stops before it starts)
2 shift   Start         web x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   Start         worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert BLUE_A.recreate(target(B, WEB, LATER)) == golden


def test_a_part_that_waits_for_batches_begins_after_them() -> None:
    golden = """\
blue-green, web: rolling to bbbbbbb; downtime: none
1 prepare Start         web x1 of bbbbbbb in green   (1 of 3; the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-blue-1,shop-releases-web-blue-2   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-blue-1,shop-releases-web-blue-2   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-3   (replaced by bbbbbbb)
1 prepare Start         web x2 of bbbbbbb in green   (2 of 3; the release to serve)
1 prepare Announce      shop-releases-web-green-2   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-2   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-blue-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-2   (replaced by bbbbbbb)
1 prepare Start         web x3 of bbbbbbb in green   (3 of 3; the release to serve)
1 prepare Announce      shop-releases-web-green-3   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-3   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (exit 0 of a reload proves nothing)
1 prepare Start         worker x1 of bbbbbbb in green   (the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-blue-2 shop-releases-web-blue-3   (nothing goes back to it)
3 settle  Stop          shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert THREE_A.mixed(mix(web=Rolling()), target(B, WEB_3, LATER)) == golden


def test_services_that_wait_for_each_other_start_together() -> None:
    circle = (Service("web", port=8080, after=("worker",)), Service("worker", after=("web",)))
    assert target(B, *circle).waves() == (circle,)


@pytest.mark.parametrize("to", [A, B])
def test_one_strategy_for_all_plans_as_if_there_were_no_mix(to: str) -> None:
    same = mix(web=BlueGreen(), worker=BlueGreen())
    assert BLUE_A.mixed(same, target(to)) == BLUE_A.blue_green(target(to))


def test_what_counts_as_healthy_because_it_runs_is_said() -> None:
    worker = Service("worker", settle_s=10.0)
    note = "note: worker counts as healthy once it ran 10 s without a restart: nothing asks it"
    for plan in (
        BLUE_A.blue_green(target(B, WEB, worker)),
        BLUE_A.mixed(mix(worker=Rolling()), target(B, WEB, worker)),
    ):
        assert note in plan.splitlines()
