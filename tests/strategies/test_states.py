"""Golden plans from states that no strategy leaves behind by itself, for those that have none of
their own in the other files."""

# ruff: noqa: E501  # a plan is compared as people read it

from __future__ import annotations

from releasekit.target import Service
from tests.strategies.shop import (
    BLUE_A,
    BOTH,
    GREEN_B,
    RECREATED_A,
    STARTED_B,
    THREE_A,
    WEB,
    WEB_3,
    WITH_API,
    WORKER,
    A,
    B,
    C,
    names,
    replica,
    target,
)

WEB_0, WORKER_0 = Service("web", replicas=0, port=8080), Service("worker", replicas=0)
LEFT = "0123456789ab_"
"""compose renames a container that it is about to replace: killed then, it leaves that behind."""


# Leftovers of a killed compose


def test_blue_green_removes_what_a_killed_compose_left_in_its_slot() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Stop          0123456789ab_shop-releases-web-green-1   (in the way: bbbbbbb)
1 prepare Remove        0123456789ab_shop-releases-web-green-1   (in the way: bbbbbbb)
1 prepare Start         web x1 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BLUE_A.having([replica("web", "green", B, prefix=LEFT)]).blue_green(target(B)) == golden


def test_blue_green_removes_what_a_killed_compose_left_beside_it() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
3 settle  Remove        0123456789ab_shop-releases-web-green-1   (nothing goes back to it)"""
    assert (
        GREEN_B.having([replica("web", "green", A, prefix=LEFT, running=False)]).blue_green(
            target(B)
        )
        == golden
    )


def test_recreate_removes_what_a_killed_compose_left() -> None:
    golden = """\
recreate to bbbbbbb; downtime: web, worker
2 shift   Stop          0123456789ab_shop-web-1 shop-web-1 shop-worker-1   (recreate stops before it starts)
2 shift   Remove        0123456789ab_shop-web-1   (compose would count on from it)
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert RECREATED_A.having([replica("web", "", "", prefix=LEFT)]).recreate(target(B)) == golden


# Replicas 0


def test_blue_green_silences_a_service_and_says_so() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: web
1 prepare Start         worker x1 of bbbbbbb in green   (the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
2 shift   Route         web -> nobody   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> nobody   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BLUE_A.blue_green(target(B, WEB_0, WORKER)) == golden


def test_recreate_silences_a_service_and_says_so() -> None:
    golden = """\
recreate to bbbbbbb; downtime: web, worker
2 shift   Stop          shop-web-1 shop-worker-1   (recreate stops before it starts)
2 shift   Remove        shop-web-1   (compose would count on from it)
2 shift   Start         worker x1 of bbbbbbb   (the release to serve)
2 shift   Route         web -> nobody   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> nobody   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert RECREATED_A.recreate(target(B, WEB_0, WORKER)) == golden


def test_a_worker_scaled_to_nothing_is_simply_gone() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         web x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BLUE_A.blue_green(target(B, WEB, WORKER_0)) == golden


def test_a_worker_scaled_to_nothing_is_simply_gone_by_rolling() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         web x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1   (replaced by bbbbbbb)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert BLUE_A.rolling(target(B, WEB, WORKER_0)) == golden


def test_nothing_is_left_to_do_for_a_service_without_replicas() -> None:
    assert (
        BLUE_A.without("shop-releases-worker-blue-1").blue_green(target(A, WEB, WORKER_0))
        == "blue-green to aaaaaaa: nothing to do"
    )


# Replicas removed by hand


def test_blue_green_replaces_all_when_one_in_the_midst_was_removed() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare Start         web x3 worker x1 of aaaaaaa in green   (not all of it runs)
1 prepare Announce      shop-releases-web-green-1 shop-releases-web-green-2 shop-releases-web-green-3   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-web-green-2 shop-releases-web-green-3 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-web-blue-3 shop-releases-worker-blue-1   (aaaaaaa serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-blue-3 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert THREE_A.without(names("blue", 3)[1]).blue_green(target(A, WEB_3, WORKER)) == golden


def test_recreate_replaces_what_was_removed() -> None:
    golden = """\
recreate to aaaaaaa; downtime: none
2 shift   Start         web x1 of aaaaaaa   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)"""
    assert RECREATED_A.without("shop-web-1").recreate(target(A)) == golden


# Mixed releases and half-started slots


def test_recreate_clears_a_half_started_slot() -> None:
    golden = """\
recreate to bbbbbbb; downtime: web, worker
2 shift   Stop          shop-releases-web-blue-1 shop-releases-web-green-1 shop-releases-worker-blue-1 shop-releases-worker-green-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-green-1 shop-releases-worker-blue-1 shop-releases-worker-green-1   (nothing goes back to it)"""
    assert STARTED_B.recreate(target(B)) == golden


def test_recreate_clears_two_slots_that_serve() -> None:
    golden = """\
recreate to ccccccc; downtime: web, worker
2 shift   Stop          shop-releases-web-blue-1 shop-releases-web-green-1 shop-releases-worker-blue-1 shop-releases-worker-green-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of ccccccc   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (ccccccc is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   ccccccc   (the commit point)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-green-1 shop-releases-worker-blue-1 shop-releases-worker-green-1   (nothing goes back to it)"""
    assert BOTH.recreate(target(C)) == golden


# Services added and removed


def test_a_service_that_is_new_is_started_and_routed_by_rolling() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         api x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare AwaitHealthy  shop-releases-api-green-1   (traffic only for what is proven healthy)
2 shift   Route         api -> shop-releases-api-green-1; web -> shop-releases-web-blue-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  api -> shop-releases-api-green-1; web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
1 prepare Start         web x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         api -> shop-releases-api-green-1; web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  api -> shop-releases-api-green-1; web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1   (replaced by bbbbbbb)
1 prepare Start         worker x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert BLUE_A.rolling(target(B, Service("api", port=9000), WEB, WORKER)) == golden


def test_a_service_that_is_new_is_started_and_routed_by_blue_green() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         api x1 web x1 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-api-green-1 shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         api -> shop-releases-api-green-1; web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  api -> shop-releases-api-green-1; web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BLUE_A.blue_green(target(B, Service("api", port=9000), WEB, WORKER)) == golden


def test_a_service_that_is_gone_is_stopped_by_recreate() -> None:
    golden = """\
recreate to bbbbbbb; downtime: api, web, worker
2 shift   Stop          shop-releases-api-blue-1 shop-releases-web-blue-1 shop-releases-worker-blue-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Remove        shop-releases-api-blue-1 shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert WITH_API.recreate(target(B)) == golden
