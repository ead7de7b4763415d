"""Golden plans of blue-green, from every kind of state."""

# ruff: noqa: E501  # a plan is compared as people read it

from __future__ import annotations

from tests.strategies.shop import (
    ANNOUNCED_B,
    API,
    BLUE_A,
    BOTH,
    CROSSED,
    EMPTY_HOST,
    GREEN_B,
    OLD_NGINX,
    PLAIN,
    PLAIN_A,
    PREPARED,
    RECREATED_A,
    ROUTED_B,
    STARTED_B,
    THREE_A,
    UNKNOWN,
    WARM_B,
    WEB,
    WEB_3,
    WITH_API,
    WORKER,
    WORKERS_A,
    A,
    B,
    C,
    names,
    replicas,
    target,
)

# First releases


def test_the_first_release_ever_starts_everything_and_nginx_last() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare EnsureBacking db cache   (not running)
1 prepare Start         web x1 worker x1 of aaaaaaa in blue   (the release to serve)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (nginx starts with it)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   aaaaaaa   (the commit point)"""
    assert EMPTY_HOST.blue_green(target(A)) == golden


def test_the_first_release_of_workers_alone_needs_no_nginx() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare EnsureBacking db cache   (not running)
1 prepare Start         worker x1 of aaaaaaa in blue   (the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-blue-1   (it has to work)
3 settle  MarkCurrent   aaaaaaa   (the commit point)"""
    assert EMPTY_HOST.without_nginx().blue_green(target(A, WORKER)) == golden


# From one release to the next


def test_the_next_release_starts_beside_the_old_one_and_takes_over() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         web x1 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BLUE_A.blue_green(target(B)) == golden


def test_the_one_after_it_takes_the_slot_of_the_release_before() -> None:
    golden = """\
blue-green to ccccccc; downtime: none
1 prepare Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (in the way: aaaaaaa)
1 prepare Start         web x1 worker x1 of ccccccc in blue   (the release to serve)
1 prepare Announce      shop-releases-web-blue-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (ccccccc is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   ccccccc   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-green-1 shop-releases-worker-green-1   (ccccccc serves)"""
    assert GREEN_B.blue_green(target(C)) == golden


def test_a_release_that_is_live_already_leaves_nothing_to_do() -> None:
    assert GREEN_B.blue_green(target(B)) == "blue-green to bbbbbbb: nothing to do"


def test_the_replicas_that_a_release_asks_for_are_started_in_one_call() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         web x3 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1 shop-releases-web-green-2 shop-releases-web-green-3   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-web-green-2 shop-releases-web-green-3 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BLUE_A.blue_green(target(B, WEB_3, WORKER)) == golden


def test_a_service_that_the_new_release_no_longer_has_is_routed_no_more_and_stopped() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         web x1 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-api-blue-1 shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert WITH_API.blue_green(target(B)) == golden


def test_backing_services_that_do_not_run_are_started_before_anything_else() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare EnsureBacking cache   (not running)
1 prepare Start         web x1 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BLUE_A.with_backing("db").blue_green(target(B)) == golden


def test_workers_alone_are_replaced_without_a_route() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         worker x1 of bbbbbbb in green   (the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Stop          shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert WORKERS_A.blue_green(target(B, WORKER)) == golden


def test_with_keep_previous_removed_nothing_of_the_old_release_is_left() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         web x1 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert BLUE_A.blue_green(target(B), keep="removed") == golden


def test_with_keep_previous_running_the_old_web_waits_and_its_worker_stops() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         web x1 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BLUE_A.blue_green(target(B), keep="running") == golden


# nginx as it is


def test_an_nginx_that_looks_no_names_up_gets_no_announcement_and_a_note() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
note: nginx 1.22.1 closes idle keep-alive connections when it reloads: a client that sends on one at that moment loses its request (about 1 in 30 busy keep-alive connections, and far more of clients that do not look before they reuse one); fresh connections lose none. nginx 1.27.4 or later does not have this limit
note: nginx 1.22.1 does not look names up while it runs: a container that comes back with another address, as after a reboot, is lost until the next release. nginx 1.27.3 or later finds it
1 prepare Start         web x1 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BLUE_A.with_nginx(version=OLD_NGINX).blue_green(target(B)) == golden


def test_an_nginx_that_does_not_run_is_started_by_the_route() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         web x1 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (nginx starts with it)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BLUE_A.with_nginx(running=False, loaded=None).blue_green(target(B)) == golden


# What plain compose started


def test_an_adopted_stack_is_the_old_release_of_the_first_plan() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
note: nginx, which does not know releasekit yet, closes idle keep-alive connections when it reloads: a client that sends on one at that moment loses its request (about 1 in 30 busy keep-alive connections, and far more of clients that do not look before they reuse one); fresh connections lose none
note: in this first release nginx looks the replicas' names up only after its reload, and answers 502 for the milliseconds that takes; later releases lose none of either kind
1 prepare Start         web x1 worker x1 of bbbbbbb in blue   (the release to serve)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-web-1 shop-worker-1   (bbbbbbb serves)
3 settle  Remove        shop-web-1 shop-worker-1   (nothing goes back to it)"""
    assert PLAIN_A.committed(A).blue_green(target(B)) == golden


def test_a_stack_of_an_unknown_release_serves_until_the_new_one_does() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
note: nginx, which does not know releasekit yet, closes idle keep-alive connections when it reloads: a client that sends on one at that moment loses its request (about 1 in 30 busy keep-alive connections, and far more of clients that do not look before they reuse one); fresh connections lose none
note: in this first release nginx looks the replicas' names up only after its reload, and answers 502 for the milliseconds that takes; later releases lose none of either kind
1 prepare Start         web x1 worker x1 of bbbbbbb in blue   (the release to serve)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-web-1 shop-worker-1   (bbbbbbb serves)
3 settle  Remove        shop-web-1 shop-worker-1   (nothing goes back to it)"""
    assert PREPARED.having(replicas(UNKNOWN, PLAIN)).blue_green(target(B)) == golden


def test_an_adopted_release_that_is_released_again_is_only_routed_to() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
note: nginx, which does not know releasekit yet, closes idle keep-alive connections when it reloads: a client that sends on one at that moment loses its request (about 1 in 30 busy keep-alive connections, and far more of clients that do not look before they reuse one); fresh connections lose none
note: in this first release nginx looks the replicas' names up only after its reload, and answers 502 for the milliseconds that takes; later releases lose none of either kind
1 prepare AwaitHealthy  shop-web-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-web-1   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-web-1   (exit 0 of a reload proves nothing)"""
    assert PLAIN_A.committed(A).blue_green(target(A)) == golden


# After the other strategy


def test_after_recreate_the_next_release_takes_over_from_the_plain_names() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         web x1 worker x1 of bbbbbbb in blue   (the release to serve)
1 prepare Announce      shop-releases-web-blue-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-web-1 shop-worker-1   (bbbbbbb serves)
3 settle  Remove        shop-web-1 shop-worker-1   (nothing goes back to it)"""
    assert RECREATED_A.blue_green(target(B)) == golden


def test_a_release_that_recreate_started_stays_where_it_serves() -> None:
    assert RECREATED_A.blue_green(target(A)) == "blue-green to aaaaaaa: nothing to do"


# Rollbacks


def test_a_rollback_starts_the_stopped_containers_of_the_release_before() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare Start         web x1 worker x1 of aaaaaaa in blue   (the release to serve)
1 prepare Announce      shop-releases-web-blue-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   aaaaaaa   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-green-1 shop-releases-worker-green-1   (aaaaaaa serves)"""
    assert GREEN_B.blue_green(target(A)) == golden


def test_a_warm_rollback_moves_the_route_first_and_starts_the_workers_after_it() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare AwaitHealthy  shop-releases-web-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
1 prepare Start         worker x1 of aaaaaaa in blue   (the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-blue-1   (it has to work)
3 settle  MarkCurrent   aaaaaaa   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-green-1   (aaaaaaa serves)"""
    assert WARM_B.blue_green(target(A), keep="running") == golden


def test_a_warm_previous_release_makes_room_for_the_next_one() -> None:
    golden = """\
blue-green to ccccccc; downtime: none
1 prepare Announce      no others   (else nginx goes on with the old address for a while)
1 prepare Stop          shop-releases-web-blue-1   (in the way: aaaaaaa)
1 prepare Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (in the way: aaaaaaa)
1 prepare Start         web x1 worker x1 of ccccccc in blue   (the release to serve)
1 prepare Announce      shop-releases-web-blue-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (ccccccc is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   ccccccc   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-green-1   (ccccccc serves)"""
    assert WARM_B.blue_green(target(C), keep="running") == golden


def test_a_warm_previous_release_that_is_no_longer_wanted_is_stopped() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Announce      no others   (nginx resolves what may get traffic, and no more)
3 settle  Stop          shop-releases-web-blue-1   (bbbbbbb serves)"""
    assert WARM_B.blue_green(target(B)) == golden


# What a run that failed, or was killed, leaves behind


def test_a_half_started_slot_is_completed() -> None:
    half = BLUE_A.having(replicas(B, "green", web=2, worker=0))
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Start         web x3 worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1 shop-releases-web-green-2 shop-releases-web-green-3   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-web-green-2 shop-releases-web-green-3 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert half.blue_green(target(B, WEB_3, WORKER)) == golden


def test_killed_after_the_start_it_is_announced_before_it_is_routed_to() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert STARTED_B.blue_green(target(B)) == golden


def test_killed_after_the_route_it_is_proven_once_more_and_committed_to() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert ROUTED_B.blue_green(target(B)) == golden


def test_killed_after_the_route_the_way_back_is_a_route_too() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare Announce      shop-releases-web-blue-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-green-1 shop-releases-worker-green-1   (aaaaaaa serves)
3 settle  Remove        shop-releases-web-green-1 shop-releases-worker-green-1   (nothing goes back to it)"""
    assert ROUTED_B.blue_green(target(A)) == golden


def test_killed_after_the_route_another_release_takes_the_slot_that_gets_no_traffic() -> None:
    golden = """\
blue-green to ccccccc; downtime: none
1 prepare Drain         at most 30 s   (old workers finish their requests)
1 prepare Stop          shop-releases-web-blue-1 shop-releases-worker-green-1   (in the way: aaaaaaa and bbbbbbb)
1 prepare Remove        shop-releases-web-blue-1 shop-releases-worker-green-1   (in the way: aaaaaaa and bbbbbbb)
1 prepare Start         web x1 of ccccccc in blue   (the release to serve)
1 prepare Start         worker x1 of ccccccc in green   (the release to serve)
1 prepare Announce      shop-releases-web-blue-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (ccccccc is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   ccccccc   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-green-1 shop-releases-worker-blue-1   (ccccccc serves)
3 settle  Remove        shop-releases-web-green-1   (nothing goes back to it)"""
    assert ROUTED_B.blue_green(target(C)) == golden


def test_killed_after_the_commit_the_old_release_is_drained_and_stopped() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert ROUTED_B.committed(A, B).blue_green(target(B)) == golden


def test_the_leftover_of_a_failed_release_makes_room() -> None:
    golden = """\
blue-green to ccccccc; downtime: none
1 prepare Stop          shop-releases-web-green-1 shop-releases-worker-green-1   (in the way: bbbbbbb)
1 prepare Remove        shop-releases-web-green-1 shop-releases-worker-green-1   (in the way: bbbbbbb)
1 prepare Start         web x1 worker x1 of ccccccc in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (ccccccc is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   ccccccc   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (ccccccc serves)"""
    assert STARTED_B.blue_green(target(C)) == golden


def test_a_name_that_nginx_knows_is_forgotten_before_it_is_given_away() -> None:
    golden = """\
blue-green to ccccccc; downtime: none
1 prepare Announce      no others   (else nginx goes on with the old address for a while)
1 prepare Stop          shop-releases-web-green-1 shop-releases-worker-green-1   (in the way: bbbbbbb)
1 prepare Remove        shop-releases-web-green-1 shop-releases-worker-green-1   (in the way: bbbbbbb)
1 prepare Start         web x1 worker x1 of ccccccc in green   (the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (ccccccc is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   ccccccc   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (ccccccc serves)"""
    assert ANNOUNCED_B.blue_green(target(C)) == golden


def test_the_way_back_from_a_release_that_got_no_traffic_moves_no_route() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare Announce      no others   (nginx resolves what may get traffic, and no more)
3 settle  Stop          shop-releases-web-green-1 shop-releases-worker-green-1   (aaaaaaa serves)
3 settle  Remove        shop-releases-web-green-1 shop-releases-worker-green-1   (nothing goes back to it)"""
    assert ANNOUNCED_B.blue_green(target(A)) == golden


# Repairs


def test_three_replicas_instead_of_one_start_beside_it() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare Start         web x3 of aaaaaaa in blue   (not all of it runs)
1 prepare Announce      shop-releases-web-blue-2 shop-releases-web-blue-3   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-web-blue-2 shop-releases-web-blue-3   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1,shop-releases-web-blue-2,shop-releases-web-blue-3   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1,shop-releases-web-blue-2,shop-releases-web-blue-3   (exit 0 of a reload proves nothing)"""
    assert BLUE_A.blue_green(target(A, WEB_3, WORKER)) == golden


def test_one_replica_instead_of_three_drains_the_others() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
2 shift   Route         web -> shop-releases-web-blue-1   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-2 shop-releases-web-blue-3   (aaaaaaa serves)
3 settle  Remove        shop-releases-web-blue-2 shop-releases-web-blue-3   (nothing goes back to it)"""
    assert THREE_A.blue_green(target(A)) == golden


def test_a_worker_that_exited_is_started_again() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare Start         worker x1 of aaaaaaa in blue   (not all of it runs)
1 prepare AwaitHealthy  shop-releases-worker-blue-1   (it has to work)"""
    assert BLUE_A.stopped("shop-releases-worker-blue-1").blue_green(target(A)) == golden


def test_a_replica_that_exited_gets_no_traffic_until_it_is_healthy_again() -> None:
    exited = THREE_A.stopped("shop-releases-web-blue-3")
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare Announce      no others   (else nginx goes on with the old address for a while)
1 prepare Start         web x3 of aaaaaaa in blue   (not all of it runs)
1 prepare Announce      shop-releases-web-blue-3   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-web-blue-2 shop-releases-web-blue-3   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1,shop-releases-web-blue-2,shop-releases-web-blue-3   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1,shop-releases-web-blue-2,shop-releases-web-blue-3   (exit 0 of a reload proves nothing)"""
    assert exited.blue_green(target(A, WEB_3, WORKER)) == golden


def test_a_gap_that_compose_would_not_fill_moves_the_release_to_the_other_slot() -> None:
    gap = THREE_A.without("shop-releases-web-blue-2")
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
    assert gap.blue_green(target(A, WEB_3, WORKER)) == golden


def test_a_release_whose_containers_somebody_removed_is_started_again() -> None:
    gone = PREPARED.serving(*names("blue")).committed(A)
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare Announce      no others   (else nginx goes on with the old address for a while)
1 prepare Start         web x1 worker x1 of aaaaaaa in blue   (not all of it runs)
1 prepare Announce      shop-releases-web-blue-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)"""
    assert gone.blue_green(target(A)) == golden


# Routes that this strategy never leaves behind


def test_when_both_slots_get_traffic_one_is_freed_while_the_other_serves() -> None:
    golden = """\
blue-green to ccccccc; downtime: none
2 shift   Route         web -> shop-releases-web-green-1   (both slots get traffic, and one is needed)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
1 prepare Drain         at most 30 s   (old workers finish their requests)
1 prepare Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (in the way: aaaaaaa)
1 prepare Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (in the way: aaaaaaa)
1 prepare Start         web x1 worker x1 of ccccccc in blue   (the release to serve)
1 prepare Announce      shop-releases-web-blue-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (ccccccc is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   ccccccc   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-green-1 shop-releases-worker-green-1   (ccccccc serves)"""
    assert BOTH.blue_green(target(C)) == golden


def test_when_both_slots_get_traffic_the_target_takes_it_all() -> None:
    golden = """\
blue-green to bbbbbbb; downtime: none
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert BOTH.blue_green(target(B)) == golden


def test_when_each_slot_serves_another_service_each_moves_to_the_other_one() -> None:
    golden = """\
blue-green to ccccccc; downtime: none
1 prepare Start         api x1 of ccccccc in blue   (the release to serve)
1 prepare Start         web x1 of ccccccc in green   (the release to serve)
1 prepare Announce      shop-releases-api-blue-1 shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-api-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1; api -> shop-releases-api-blue-1   (ccccccc is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1; api -> shop-releases-api-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   ccccccc   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-api-green-1 shop-releases-web-blue-1   (ccccccc serves)"""
    assert CROSSED.blue_green(target(C, WEB, API)) == golden
