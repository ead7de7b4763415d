"""What is cleared when a release fails and none came before it."""

# ruff: noqa: E501  # a plan is compared as people read it

from __future__ import annotations

from releasekit.observed import PLAIN
from releasekit.strategies.abandon import abandon
from tests.strategies.shop import PREPARED, RECREATED_A, UNKNOWN, A, B, State, names, replicas


def rendered(state: State, release: str, before: State = PREPARED) -> str:
    return abandon(before.observed, state.observed, release).render()


def test_the_containers_of_the_failed_release_are_removed_and_nothing_else() -> None:
    state = PREPARED.having(replicas(UNKNOWN, PLAIN), replicas(B, "green"))
    golden = """\
abandon to bbbbbbb; downtime: none
3 settle  Stop          shop-releases-web-green-1 shop-releases-worker-green-1   (it failed, and nothing came before it)
3 settle  Remove        shop-releases-web-green-1 shop-releases-worker-green-1   (it failed, and nothing came before it)"""
    assert rendered(state, B) == golden


def test_what_nginx_sends_requests_to_stays() -> None:
    state = PREPARED.having(replicas(UNKNOWN, PLAIN), replicas(B, "green")).serving(*names("green"))
    assert rendered(state, B) == "abandon to bbbbbbb: nothing to do"


def test_what_was_there_before_stays() -> None:
    """Plain compose may have started a container of this very release."""
    state = RECREATED_A.with_nginx(loaded=None)
    assert rendered(state, A, before=state) == "abandon to aaaaaaa: nothing to do"


def test_a_first_recreate_leaves_nothing_behind() -> None:
    golden = """\
abandon to aaaaaaa; downtime: none
3 settle  Stop          shop-web-1 shop-worker-1   (it failed, and nothing came before it)
3 settle  Remove        shop-web-1 shop-worker-1   (it failed, and nothing came before it)"""
    assert rendered(RECREATED_A.with_nginx(loaded=None), A) == golden


def test_a_release_that_started_nothing_leaves_nothing_to_do() -> None:
    assert rendered(PREPARED, B) == "abandon to bbbbbbb: nothing to do"
