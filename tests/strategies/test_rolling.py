"""Golden plans of rolling, from every kind of state."""

# ruff: noqa: E501  # a plan is compared as people read it

from __future__ import annotations

from releasekit.target import Service
from tests.strategies.shop import (
    BLUE_A,
    BOTH,
    EMPTY_HOST,
    GREEN_B,
    OLD_NGINX,
    PLAIN_A,
    PREPARED,
    RECREATED_A,
    STARTED_B,
    THREE_A,
    WEB,
    WEB_3,
    WITH_API,
    WORKER,
    WORKERS_A,
    A,
    B,
    C,
    names,
    replica,
    replicas,
    target,
)

WEB_2, WEB_4, WEB_0 = (Service("web", replicas=n, port=8080) for n in (2, 4, 0))
TWO_A = PREPARED.having(replicas(A, "blue", web=2)).serving(*names("blue", 2)).committed(A)
"""A serves in blue with two replicas."""
FOUR_A = (
    PREPARED.having(replicas(A, "blue", web=4, worker=0)).serving(*names("blue", 4)).committed(A)
)
"""A serves in blue with four replicas, and has no worker."""
HALF_WAY = (
    PREPARED.having(replicas(A, "blue", web=2), replicas(B, "green", worker=0))
    .serving(*names("green"), names("blue")[0])
    .stopped(names("blue", 2)[1])
    .committed(A)
)
"""A run from A to B was killed after its first batch of two."""


# Batches


def test_each_batch_is_proven_before_the_next_begins() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         web x1 of bbbbbbb in green   (1 of 2; the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-blue-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-2   (replaced by bbbbbbb)
1 prepare Start         web x2 of bbbbbbb in green   (2 of 2; the release to serve)
1 prepare Announce      shop-releases-web-green-2   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-2   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1   (replaced by bbbbbbb)
1 prepare Start         worker x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-blue-2 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert TWO_A.rolling(target(B, WEB_2, WORKER)) == golden


def test_one_replica_is_replaced_by_one_beside_it() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         web x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert BLUE_A.rolling(target(B, WEB)) == golden


def test_a_surge_in_percent_is_rounded_up() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         web x2 of bbbbbbb in green   (2 of 4; the release to serve)
1 prepare Announce      shop-releases-web-green-1 shop-releases-web-green-2   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-web-green-2   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-blue-1,shop-releases-web-blue-2   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-blue-1,shop-releases-web-blue-2   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-3 shop-releases-web-blue-4   (replaced by bbbbbbb)
1 prepare Start         web x4 of bbbbbbb in green   (4 of 4; the release to serve)
1 prepare Announce      shop-releases-web-green-3 shop-releases-web-green-4   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-3 shop-releases-web-green-4   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3,shop-releases-web-green-4   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3,shop-releases-web-green-4   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-web-blue-2   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-blue-2 shop-releases-web-blue-3 shop-releases-web-blue-4   (nothing goes back to it)"""
    assert FOUR_A.rolling(target(B, WEB_4), max_surge="30%") == golden


def test_without_a_surge_the_old_ones_make_room() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
2 shift   Route         web -> shop-releases-web-blue-1,shop-releases-web-blue-2   (makes room for new ones)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1,shop-releases-web-blue-2   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-3 shop-releases-web-blue-4   (replaced by bbbbbbb)
1 prepare Start         web x2 of bbbbbbb in green   (2 of 4; the release to serve)
1 prepare Announce      shop-releases-web-green-1 shop-releases-web-green-2   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-web-green-2   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-web-blue-2   (replaced by bbbbbbb)
1 prepare Start         web x4 of bbbbbbb in green   (4 of 4; the release to serve)
1 prepare Announce      shop-releases-web-green-3 shop-releases-web-green-4   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-3 shop-releases-web-green-4   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3,shop-releases-web-green-4   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3,shop-releases-web-green-4   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-blue-2 shop-releases-web-blue-3 shop-releases-web-blue-4   (nothing goes back to it)"""
    assert FOUR_A.rolling(target(B, WEB_4), max_surge=0, max_unavailable=2) == golden


def test_one_replica_at_least_serves_whatever_may_be_unavailable() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         web x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert BLUE_A.rolling(target(B, WEB), max_surge=0, max_unavailable="100%") == golden


def test_more_replicas_than_before_are_all_the_surge_there_is() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         web x2 of bbbbbbb in green   (2 of 3; the release to serve)
1 prepare Announce      shop-releases-web-green-1 shop-releases-web-green-2   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-web-green-2   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-blue-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-2   (replaced by bbbbbbb)
1 prepare Start         web x3 of bbbbbbb in green   (3 of 3; the release to serve)
1 prepare Announce      shop-releases-web-green-3   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-3   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-blue-2 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert TWO_A.rolling(target(B, WEB_3)) == golden


def test_fewer_replicas_than_before_leave_first() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
2 shift   Route         web -> shop-releases-web-blue-1,shop-releases-web-blue-2   (makes room for new ones)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1,shop-releases-web-blue-2   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-3 shop-releases-web-blue-4   (replaced by bbbbbbb)
1 prepare Start         web x1 of bbbbbbb in green   (1 of 2; the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-blue-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-2   (replaced by bbbbbbb)
1 prepare Start         web x2 of bbbbbbb in green   (2 of 2; the release to serve)
1 prepare Announce      shop-releases-web-green-2   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-2   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-blue-2 shop-releases-web-blue-3 shop-releases-web-blue-4   (nothing goes back to it)"""
    assert FOUR_A.rolling(target(B, WEB_2)) == golden


def test_a_release_that_is_live_leaves_nothing_to_do() -> None:
    assert THREE_A.rolling(target(A, WEB_3, WORKER)) == "rolling to aaaaaaa: nothing to do"


# From any state


def test_the_first_release_ever_starts_at_once() -> None:
    golden = """\
rolling to aaaaaaa; downtime: none
1 prepare EnsureBacking db cache   (not running)
1 prepare Start         web x3 worker x1 of aaaaaaa in blue   (the release to serve)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-web-blue-2 shop-releases-web-blue-3 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1,shop-releases-web-blue-2,shop-releases-web-blue-3   (nginx starts with it)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1,shop-releases-web-blue-2,shop-releases-web-blue-3   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   aaaaaaa   (the commit point)"""
    assert EMPTY_HOST.rolling(target(A, WEB_3, WORKER)) == golden


def test_a_stack_that_plain_compose_started_is_replaced_at_once() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
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
    assert PLAIN_A.committed(A).rolling(target(B)) == golden


def test_a_slot_that_was_half_started_is_gone_on_from() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         web x2 of bbbbbbb in green   (2 of 2; the release to serve)
1 prepare Announce      shop-releases-web-green-1 shop-releases-web-green-2   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-web-green-2   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1   (replaced by bbbbbbb)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert STARTED_B.rolling(target(B, WEB_2, WORKER)) == golden


def test_a_killed_run_goes_on_where_it_was() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         web x2 of bbbbbbb in green   (2 of 2; the release to serve)
1 prepare Announce      shop-releases-web-green-2   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-2   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1   (replaced by bbbbbbb)
1 prepare Start         worker x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-blue-2 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert HALF_WAY.rolling(target(B, WEB_2, WORKER)) == golden


def test_a_killed_run_goes_back_in_batches_too() -> None:
    golden = """\
rolling to aaaaaaa; downtime: none
1 prepare Remove        shop-releases-web-blue-2   (in the way: aaaaaaa)
1 prepare Start         web x2 of aaaaaaa in blue   (2 of 2; not all of it runs)
1 prepare Announce      shop-releases-web-blue-2   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-2   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1,shop-releases-web-blue-2   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1,shop-releases-web-blue-2   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-green-1   (replaced by aaaaaaa)
3 settle  Remove        shop-releases-web-green-1   (nothing goes back to it)"""
    assert HALF_WAY.rolling(target(A, WEB_2, WORKER)) == golden


def test_mixed_releases_give_way_to_a_third() -> None:
    golden = """\
rolling to ccccccc; downtime: none
2 shift   Route         web -> shop-releases-web-green-1   (both slots get traffic, and one is needed)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
1 prepare Drain         at most 30 s   (old workers finish their requests)
1 prepare Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (in the way: aaaaaaa)
1 prepare Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (in the way: aaaaaaa)
1 prepare Start         web x1 of ccccccc in blue   (1 of 1; the release to serve)
1 prepare Announce      shop-releases-web-blue-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (ccccccc is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-green-1   (replaced by ccccccc)
1 prepare Start         worker x1 of ccccccc in blue   (1 of 1; the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-blue-1   (it has to work)
3 settle  MarkCurrent   ccccccc   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-green-1   (ccccccc serves)
3 settle  Remove        shop-releases-web-green-1 shop-releases-worker-green-1   (nothing goes back to it)"""
    assert BOTH.rolling(target(C)) == golden


def test_a_replica_removed_by_hand_is_replaced_with_all_others() -> None:
    golden = """\
rolling to aaaaaaa; downtime: none
1 prepare Start         web x2 of aaaaaaa in green   (2 of 3; not all of it runs)
1 prepare Announce      shop-releases-web-green-1 shop-releases-web-green-2   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1 shop-releases-web-green-2   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-blue-1   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-3   (replaced by aaaaaaa)
1 prepare Start         web x3 of aaaaaaa in green   (3 of 3; not all of it runs)
1 prepare Announce      shop-releases-web-green-3   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-3   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1,shop-releases-web-green-2,shop-releases-web-green-3   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1   (replaced by aaaaaaa)
1 prepare Start         worker x1 of aaaaaaa in green   (1 of 1; not all of it runs)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
3 settle  Stop          shop-releases-worker-blue-1   (replaced by aaaaaaa)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-web-blue-3 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert THREE_A.without(names("blue", 3)[1]).rolling(target(A, WEB_3, WORKER)) == golden


def test_the_last_replica_removed_by_hand_is_simply_started() -> None:
    golden = """\
rolling to aaaaaaa; downtime: none
1 prepare Announce      no others   (else nginx goes on with the old address for a while)
1 prepare Start         web x3 of aaaaaaa in blue   (3 of 3; not all of it runs)
1 prepare Announce      shop-releases-web-blue-3   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-3   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1,shop-releases-web-blue-2,shop-releases-web-blue-3   (aaaaaaa is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1,shop-releases-web-blue-2,shop-releases-web-blue-3   (exit 0 of a reload proves nothing)"""
    assert THREE_A.without(names("blue", 3)[2]).rolling(target(A, WEB_3, WORKER)) == golden


def test_what_a_killed_compose_left_is_removed() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Stop          0123456789ab_shop-releases-web-green-1   (in the way: bbbbbbb)
1 prepare Remove        0123456789ab_shop-releases-web-green-1   (in the way: bbbbbbb)
1 prepare Start         web x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert (
        BLUE_A.having([replica("web", "green", B, prefix="0123456789ab_")]).rolling(target(B, WEB))
        == golden
    )


def test_a_service_that_the_release_no_longer_has_loses_its_route_last() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         web x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare Announce      shop-releases-web-green-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         api -> shop-releases-api-blue-1; web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  api -> shop-releases-api-blue-1; web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-api-blue-1 shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-api-blue-1 shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert WITH_API.rolling(target(B, WEB)) == golden


def test_replicas_0_silence_a_service_and_say_so() -> None:
    golden = """\
rolling to bbbbbbb; downtime: web
2 shift   Route         web -> nobody   (makes room for new ones)
2 shift   ConfirmRoute  web -> nobody   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1   (replaced by bbbbbbb)
1 prepare Start         worker x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert BLUE_A.rolling(target(B, WEB_0, WORKER)) == golden


def test_workers_alone_need_no_route() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         worker x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-green-1   (it has to work)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Stop          shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert WORKERS_A.rolling(target(B, WORKER)) == golden


# After another strategy


def test_after_recreate_the_plain_replicas_are_the_old_ones() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
1 prepare Start         web x2 of bbbbbbb in blue   (2 of 2; the release to serve)
1 prepare Announce      shop-releases-web-blue-1 shop-releases-web-blue-2   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-web-blue-2   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1,shop-releases-web-blue-2   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1,shop-releases-web-blue-2   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-web-1   (replaced by bbbbbbb)
1 prepare Start         worker x1 of bbbbbbb in blue   (1 of 1; the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-blue-1   (it has to work)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-worker-1   (bbbbbbb serves)
3 settle  Remove        shop-web-1 shop-worker-1   (nothing goes back to it)"""
    assert RECREATED_A.rolling(target(B, WEB_2, WORKER)) == golden


def test_after_blue_green_what_it_kept_makes_room() -> None:
    golden = """\
rolling to ccccccc; downtime: none
1 prepare Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (in the way: aaaaaaa)
1 prepare Start         web x1 of ccccccc in blue   (1 of 1; the release to serve)
1 prepare Announce      shop-releases-web-blue-1   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  shop-releases-web-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (ccccccc is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-green-1   (replaced by ccccccc)
1 prepare Start         worker x1 of ccccccc in blue   (1 of 1; the release to serve)
1 prepare AwaitHealthy  shop-releases-worker-blue-1   (it has to work)
3 settle  MarkCurrent   ccccccc   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-worker-green-1   (ccccccc serves)
3 settle  Remove        shop-releases-web-green-1 shop-releases-worker-green-1   (nothing goes back to it)"""
    assert GREEN_B.rolling(target(C, WEB, WORKER)) == golden


def test_an_nginx_that_looks_no_names_up_needs_no_announcement() -> None:
    golden = """\
rolling to bbbbbbb; downtime: none
note: nginx 1.22.1 closes idle keep-alive connections when it reloads: a client that sends on one at that moment loses its request (about 1 in 30 busy keep-alive connections, and far more of clients that do not look before they reuse one); fresh connections lose none. nginx 1.27.4 or later does not have this limit
note: nginx 1.22.1 does not look names up while it runs: a container that comes back with another address, as after a reboot, is lost until the next release. nginx 1.27.3 or later finds it
1 prepare Start         web x1 of bbbbbbb in green   (1 of 1; the release to serve)
1 prepare AwaitHealthy  shop-releases-web-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-green-1   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> shop-releases-web-green-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)
3 settle  Remove        shop-releases-web-blue-1 shop-releases-worker-blue-1   (nothing goes back to it)"""
    assert BLUE_A.with_nginx(version=OLD_NGINX).rolling(target(B, WEB)) == golden
