"""Two at once, Ctrl-C, and the power cord."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.shop import Shop, assert_none_lost, assert_serves, killed

pytestmark = [pytest.mark.e2e, pytest.mark.faults]


@pytest.mark.slow
def test_of_two_releases_at_once_one_is_refused_and_told_by_whom(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    third = shop.commit("Say more")
    with shop.running("up", "--json", second, SHOP_BOOT_SECONDS="3") as winner:
        winner.wait_for_step("AwaitHealthy")
        loser = shop.up(third).ended(4)
        assert f"process {winner.pid}" in loser.result["message"]
        assert f"up {second[:7]}" in loser.result["message"]
        assert shop.releasekit("status").ended(0)
        winner.finish().ended(0)
    assert_serves(shop, second)
    shop.up(third).ended(0)


def test_a_signal_while_it_waits_brings_everything_back(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    running, backing = shop.running_app(), shop.backing()
    with shop.load() as load, shop.running("up", "--json", second, SHOP_BOOT_SECONDS="60") as up:
        up.wait_for_step("AwaitHealthy")
        up.signal(signal.SIGINT)
        ran = up.finish().ended(130)
    assert_none_lost(shop, load.report)
    assert f"{shop.first[:7]} serves as before" in ran.result["message"]
    assert shop.running_app() == running
    assert shop.backing() == backing
    assert not [name for name in shop.app() if shop.commit_of(name) == second]
    assert_serves(shop, shop.first)


def test_killed_in_its_cutover_a_rollback_puts_it_right_too(shop: Shop) -> None:
    second = shop.commit("Say what is new", headline="Strawberries are here")
    shop.up(second).ended(0)
    backing = shop.backing()
    with shop.load() as load:
        killed(shop, shop.first, "ConfirmRoute")
        shop.rollback(second[:8]).ended(0)
        assert_serves(shop, second)
    assert_none_lost(shop, load.report)
    assert shop.backing() == backing
