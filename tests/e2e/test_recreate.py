"""`recreate`: a short downtime, told as it is."""

from __future__ import annotations

import pytest

from tests.e2e.shop import Shop, assert_orders_kept, assert_serves

pytestmark = pytest.mark.e2e

SLACK_S = 0.2


@pytest.mark.parametrize("before", ["recreate", pytest.param("blue-green", marks=pytest.mark.slow)])
def test_the_downtime_that_is_printed_is_what_clients_see(shop: Shop, before: str) -> None:
    second = shop.commit("Say what is new")
    third = shop.commit("Say more")
    shop.up(second, "--strategy", before).ended(0)
    backing = shop.backing()
    with shop.load() as load:
        ran = shop.up(third, "--strategy", "recreate").ended(0)
        assert_serves(shop, third)
    report = load.report
    # Requests that wait for an address where nobody is, and then fail or are answered after all,
    # give clients two answers: how long none was good, and when one could not have been. And if
    # the new replica happens to get the address of the old one, nginx reaches it a moment before
    # it is told to.
    seen = sorted((report.longest_gap_s, report.downtime_s))
    printed = ran.result["downtime_s"]
    slack = SLACK_S + report.lag_s
    early = sum(ran.took("Route")) + sum(ran.took("ConfirmRoute"))
    told = f"{report.summary()}\n{report}\n{ran}"
    assert seen[0] - slack < printed < seen[1] + slack + early, told
    assert shop.history()[0]["downtime_s"] == printed
    assert_orders_kept(shop, report)
    assert report.releases.keys() == {second, third}
    assert shop.backing() == backing


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
