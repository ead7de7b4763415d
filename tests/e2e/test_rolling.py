"""Rolling releases under load: replicas make way for new ones in batches, and no client notices."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.lives import Lives
from tests.e2e.shop import (
    Shop,
    assert_none_lost,
    assert_orders_kept,
    assert_serves,
    docker,
    killed,
)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def team(stack: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A checkout of the shop that releases by rolling."""
    team = stack.checkout(tmp_path_factory.mktemp("rolling") / "team")
    team.configure(strategy="rolling")
    team.commit("Roll")
    return team


@pytest.fixture
def three(team: Shop) -> Shop:
    """Three replicas serve."""
    return standing(team, 3)


@pytest.fixture
def two(team: Shop) -> Shop:
    """Two replicas serve."""
    return standing(team, 2)


def standing(team: Shop, replicas: int) -> Shop:
    scaled(team, replicas)
    team.up(team.first).ended(0)
    return team


def scaled(team: Shop, replicas: int) -> None:
    team.configure(strategy="rolling", web=f"replicas = {replicas}")


def test_under_load_no_request_is_lost(three: Shop) -> None:
    team, first, backing = three, three.live(), three.backing()
    second = team.commit("Say what is new", headline="Strawberries are here")
    with team.load() as load, Lives(team) as lives:
        ran = team.up(second).ended(0)
        assert_serves(team, second, web=3)
    assert_none_lost(team, load.report)
    assert load.report.releases.keys() == {first, second}
    assert team.backing() == backing
    assert (min(lives.counts("web")), max(lives.counts("web"))) == (3, 4)
    assert [len(names) for names in ran.routes("web")] == [3, 3, 3]


@pytest.mark.slow
def test_behind_an_old_nginx_only_reused_connections_lose_requests(old_shop: Shop) -> None:
    shop, second, third = old_shop, old_shop.commit("Say what is new"), old_shop.commit("Say more")
    two = {"RELEASEKIT_SERVICES__WEB__REPLICAS": "2"}
    with shop.load(slow=0) as load:
        for sha in (second, third):
            shop.up(sha, RELEASEKIT_STRATEGY="rolling", **two).ended(0)
            assert_serves(shop, sha, web=2)
    report = load.report
    assert_orders_kept(shop, report, slow=False)
    assert report.by_class["fresh"]["failed"] == 0, report.failures
    assert report.failed_by_kind.keys() <= {"eof", "reset"}, report.summary()
    assert all(failure["reused"] for failure in report.failures), report.failures


@pytest.mark.slow
def test_after_a_breach_the_route_goes_back_at_once(three: Shop) -> None:
    team, first = three, three.live()
    sha = team.broken("errors")
    bake = {"RELEASEKIT_BAKE__DURATION": "15s", "RELEASEKIT_BAKE__MAX_ERROR_RATE": "0.05"}
    with team.load() as load:
        ran = team.up(sha, **bake).ended(1)
    steps = ran.steps[ran.steps.index("Watch") + 1 :]
    assert steps[: steps.index("ConfirmRoute") + 1] == [
        "Announce",
        "AwaitHealthy",
        "Route",
        "ConfirmRoute",
    ]
    # What is left of the old release, then all of it.
    assert [len(names) for names in ran.routes("web")[-2:]] == [1, 3]
    assert load.report.failed_by_kind.keys() == {"status 500"}, load.report.summary()
    assert_orders_kept(team, load.report)
    assert_serves(team, first, web=3)


@pytest.mark.slow
def test_the_number_of_replicas_may_change_with_the_release(three: Shop) -> None:
    team, first, before = three, three.live(), 3
    second = team.commit("Say what is new")
    with team.load(slow=0) as load:
        for sha, after, surge, unavailable, least, most in (
            (second, 4, "50%", "25%", 3, 6),
            (first, 2, "2", "1", 1, 4),
        ):
            scaled(team, after)
            with Lives(team) as lives:
                options = (f"max_surge={surge}", f"max_unavailable={unavailable}")
                ran = team.up(sha, *(arg for one in options for arg in ("--set", one))).ended(0)
            assert_serves(team, sha, web=after)
            assert lives.counts("web")[0] == before
            assert min(lives.counts("web")) >= least
            assert max(lives.counts("web")) <= most
            assert min(map(len, ran.routes("web"))) >= least
            before = after
    assert_none_lost(team, load.report, slow=False)


def test_what_fails_in_its_first_or_second_batch_is_taken_back(two: Shop) -> None:
    team, first, running = two, two.live(), two.running_app()
    second, unfit = team.commit("Say what is new"), team.broken("unready-500")
    with team.load(slow=0) as load:
        ran = team.up(unfit, RELEASEKIT_SERVICES__WEB__HEALTH__TIMEOUT="1s").ended(1)
        assert f"{first[:7]} serves as before" in ran.result["message"]
        assert team.running_app() == running

        with second_replica_taken(team) as name:
            ran = team.up(second).ended(1)
        assert f'"/{name}" is already in use' in ran.result["message"]
        assert f"{first[:7]} serves as before" in ran.result["message"]
        assert_serves(team, first, web=2)
    assert_none_lost(team, load.report, slow=False)
    assert load.report.releases.keys() == {first, second}


@pytest.mark.slow
def test_interrupted_between_two_batches_it_goes_back(two: Shop) -> None:
    team, first = two, two.live()
    second = team.commit("Say what is new")
    with team.load(slow=0) as load, team.running("up", "--json", second) as up:
        for _ in range(2):
            up.wait_for_step("Start")
        up.signal(signal.SIGINT)
        ran = up.finish().ended(130)
    assert_none_lost(team, load.report, slow=False)
    assert f"{first[:7]} serves as before" in ran.result["message"]
    assert_serves(team, first, web=2)


@pytest.mark.slow
def test_killed_between_two_batches_it_is_finished_or_taken_back(two: Shop) -> None:
    team, first = two, two.live()
    second = team.commit("Say what is new")
    with team.load(slow=0) as load:
        killed(team, second, "Stop", "ConfirmRoute")
        team.up(second).ended(0)
        assert_serves(team, second, web=2)
        killed(team, first, "Stop", "Start")
        team.rollback(second[:8]).ended(0)
        assert_serves(team, second, web=2)
    assert_none_lost(team, load.report, slow=False)


@contextmanager
def second_replica_taken(shop: Shop) -> Iterator[str]:
    """Somebody else's container has the name of the next release's second replica."""
    (slot,) = {"blue", "green"} - {name.split("-")[-2] for name in shop.running_app()}
    name = f"{shop.name}-releases-web-{slot}-2"
    docker("container", "create", "--name", name, "releasekit-base/redis:7")
    try:
        yield name
    finally:
        docker("container", "rm", name)
