"""Golden plans of recreate, from every kind of state."""

# ruff: noqa: E501  # a plan is compared as people read it

from __future__ import annotations

from tests.strategies.shop import (
    BLUE_A,
    BOTH,
    EMPTY_HOST,
    GREEN_B,
    OLD_NGINX,
    PLAIN,
    PLAIN_A,
    PREPARED,
    RECREATED_A,
    UNKNOWN,
    WEB_3,
    WORKER,
    A,
    B,
    C,
    names,
    replica,
    replicas,
    target,
)

# First releases


def test_the_first_release_ever_starts_everything_under_plain_names() -> None:
    golden = """\
recreate to aaaaaaa; downtime: none
1 prepare EnsureBacking db cache   (not running)
2 shift   Start         web x1 worker x1 of aaaaaaa   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   aaaaaaa   (the commit point)"""
    assert EMPTY_HOST.recreate(target(A)) == golden


def test_without_nginx_it_is_done_when_it_is_healthy() -> None:
    golden = """\
recreate to aaaaaaa; downtime: none
1 prepare EnsureBacking db cache   (not running)
2 shift   Start         worker x1 of aaaaaaa   (the release to serve)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   aaaaaaa   (the commit point)"""
    assert EMPTY_HOST.without_nginx().recreate(target(A, WORKER)) == golden


# From one release to the next


def test_the_next_release_stops_the_old_one_first_and_compose_replaces_it() -> None:
    golden = """\
recreate to bbbbbbb; downtime: web, worker
2 shift   Stop          shop-web-1 shop-worker-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert RECREATED_A.recreate(target(B)) == golden


def test_a_release_that_is_live_already_leaves_nothing_to_do() -> None:
    assert RECREATED_A.recreate(target(A)) == "recreate to aaaaaaa: nothing to do"


def test_backing_services_are_started_before_anything_is_stopped() -> None:
    golden = """\
recreate to bbbbbbb; downtime: web, worker
1 prepare EnsureBacking cache   (not running)
2 shift   Stop          shop-web-1 shop-worker-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert RECREATED_A.with_backing("db").recreate(target(B)) == golden


def test_three_replicas_instead_of_one_replace_it() -> None:
    golden = """\
recreate to bbbbbbb; downtime: web, worker
2 shift   Stop          shop-web-1 shop-worker-1   (recreate stops before it starts)
2 shift   Start         web x3 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1 shop-web-2 shop-web-3   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1,shop-web-2,shop-web-3   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1,shop-web-2,shop-web-3   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert RECREATED_A.recreate(target(B, WEB_3, WORKER)) == golden


def test_one_replica_instead_of_three_removes_what_compose_would_count_on_from() -> None:
    three = PREPARED.having(replicas(A, PLAIN, web=3)).serving(*names(PLAIN, 3)).committed(A)
    golden = """\
recreate to bbbbbbb; downtime: web, worker
2 shift   Stop          shop-web-1 shop-web-2 shop-web-3 shop-worker-1   (recreate stops before it starts)
2 shift   Remove        shop-web-2 shop-web-3   (compose would count on from it)
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert three.recreate(target(B)) == golden


def test_a_service_that_the_new_release_no_longer_has_is_removed() -> None:
    golden = """\
recreate to bbbbbbb; downtime: api, web, worker
2 shift   Stop          shop-api-1 shop-web-1 shop-worker-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Remove        shop-api-1   (nothing goes back to it)"""
    assert RECREATED_A.having([replica("api", PLAIN, A)]).recreate(target(B)) == golden


def test_workers_alone_are_replaced() -> None:
    plain = PREPARED.without_nginx().having(replicas(A, PLAIN, web=0)).committed(A)
    golden = """\
recreate to bbbbbbb; downtime: worker
2 shift   Stop          shop-worker-1   (recreate stops before it starts)
2 shift   Start         worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert plain.recreate(target(B, WORKER)) == golden


# nginx as it is


def test_an_old_nginx_makes_no_difference() -> None:
    golden = """\
recreate to bbbbbbb; downtime: web, worker
2 shift   Stop          shop-web-1 shop-worker-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert RECREATED_A.with_nginx(version=OLD_NGINX).recreate(target(B)) == golden


def test_an_nginx_that_does_not_run_is_started_by_the_route() -> None:
    golden = """\
recreate to bbbbbbb; downtime: web, worker
2 shift   Stop          shop-web-1 shop-worker-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert RECREATED_A.with_nginx(running=False, loaded=None).recreate(target(B)) == golden


# What plain compose started


def test_an_adopted_stack_is_replaced() -> None:
    golden = """\
recreate to bbbbbbb; downtime: web, worker
2 shift   Stop          shop-web-1 shop-worker-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert PLAIN_A.committed(A).recreate(target(B)) == golden


def test_a_stack_of_an_unknown_release_is_replaced() -> None:
    golden = """\
recreate to bbbbbbb; downtime: web, worker
2 shift   Stop          shop-web-1 shop-worker-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert PREPARED.having(replicas(UNKNOWN, PLAIN)).recreate(target(B)) == golden


# After the other strategy


def test_after_blue_green_both_slots_are_cleared() -> None:
    golden = """\
recreate to ccccccc; downtime: web, worker
2 shift   Stop          shop-releases-web-green-1 shop-releases-worker-green-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of ccccccc   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (ccccccc is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   ccccccc   (the commit point)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-green-1 shop-releases-worker-blue-1 shop-releases-worker-green-1   (nothing goes back to it)"""
    assert GREEN_B.recreate(target(C)) == golden


def test_a_release_that_serves_in_a_slot_is_not_stopped_to_be_started_elsewhere() -> None:
    assert BLUE_A.recreate(target(A)) == "recreate to aaaaaaa: nothing to do"


def test_a_release_that_serves_in_a_slot_is_repaired_there() -> None:
    golden = """\
recreate to aaaaaaa; downtime: none
1 prepare Start         worker x1 of aaaaaaa in blue   (not all of it runs)
1 prepare AwaitHealthy  shop-releases-worker-blue-1   (it has to work)"""
    assert BLUE_A.stopped("shop-releases-worker-blue-1").recreate(target(A)) == golden


# What a run that failed, or was killed, leaves behind


def test_killed_after_the_stop_it_goes_on_with_the_start() -> None:
    stopped = RECREATED_A.stopped("shop-web-1", "shop-worker-1")
    golden = """\
recreate to bbbbbbb; downtime: none
2 shift   Start         web x1 worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert stopped.recreate(target(B)) == golden


def test_killed_after_the_start_it_goes_on_with_the_route() -> None:
    started = PREPARED.having(replicas(B, PLAIN)).committed(A)
    golden = """\
recreate to bbbbbbb; downtime: none
1 prepare AwaitHealthy  shop-web-1 shop-worker-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert started.recreate(target(B)) == golden


def test_a_half_started_release_is_completed() -> None:
    half = PREPARED.having(replicas(B, PLAIN, worker=0)).committed(A)
    golden = """\
recreate to bbbbbbb; downtime: none
2 shift   Start         worker x1 of bbbbbbb   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)"""
    assert half.recreate(target(B)) == golden


def test_the_way_back_stops_the_failed_release_and_starts_the_old_one() -> None:
    failed = PREPARED.having(replicas(B, PLAIN)).serving(*names(PLAIN)).committed(A)
    golden = """\
recreate to aaaaaaa; downtime: web, worker
2 shift   Stop          shop-web-1 shop-worker-1   (recreate stops before it starts)
2 shift   Start         web x1 worker x1 of aaaaaaa   (the release to serve)
2 shift   AwaitHealthy  shop-web-1   (done when it is proven healthy)
2 shift   Route         web -> shop-web-1   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)
2 shift   AwaitHealthy  shop-worker-1   (done when it is proven healthy)"""
    assert failed.recreate(target(A)) == golden


def test_leftovers_beside_the_live_release_are_cleared_without_downtime() -> None:
    golden = """\
recreate to aaaaaaa; downtime: none
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (aaaaaaa serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert RECREATED_A.having(replicas(B, "blue")).recreate(target(A)) == golden


def test_when_both_slots_get_traffic_both_are_stopped() -> None:
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
