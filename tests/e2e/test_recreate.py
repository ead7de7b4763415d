"""`recreate`, and the change from one strategy to the other and back."""

from __future__ import annotations

import pytest

from tests.e2e.shop import Shop, assert_none_lost, assert_orders_kept, assert_serves

pytestmark = pytest.mark.e2e

SLACK_S = 0.2


def test_recreate_under_load_prints_the_downtime_that_clients_see(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    third = shop.commit("Say more")
    shop.up(second, "--strategy", "recreate").ended(0)
    backing = shop.backing()
    with shop.load() as load:
        ran = shop.up(third, "--strategy", "recreate").ended(0)
        assert_serves(shop, third)
    report = load.report
    assert report.downtime_s == pytest.approx(ran.result["downtime_s"], abs=SLACK_S), (
        f"{report.summary()}\n{ran}"
    )
    assert_orders_kept(shop, report)
    assert report.releases.keys() == {second, third}
    assert shop.backing() == backing
    assert shop.history()[0]["downtime_s"] == ran.result["downtime_s"]


def test_recreate_leaves_what_plain_compose_would(shop: Shop) -> None:
    sha = shop.commit("Say what is new")
    shop.up(sha, "--strategy", "recreate").ended(0)
    assert shop.app().keys() == {f"{shop.name}-web-1", f"{shop.name}-worker-1"}
    assert "listening on 8080" in shop.compose("logs", "web")
    assert sha in shop.compose("logs", "worker")


def test_recreate_that_fails_brings_the_previous_release_back(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    shop.up(second, "--strategy", "recreate").ended(0)
    ran = shop.up(shop.broken("exit"), "--strategy", "recreate").ended(1)
    assert f"{second[:7]} serves as before" in ran.result["message"]
    assert_serves(shop, second)


def test_strategies_take_turns(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    third = shop.commit("Say more")
    backing = shop.backing()
    with shop.load() as load:
        shop.up(second, "--strategy", "blue-green").ended(0)
    assert_none_lost(shop, load.report)
    shop.up(third, "--strategy", "recreate").ended(0)
    assert_serves(shop, third)
    with shop.load() as load:
        shop.up(second, "--strategy", "blue-green").ended(0)
        assert_serves(shop, second)
    assert_none_lost(shop, load.report)
    assert shop.backing() == backing
