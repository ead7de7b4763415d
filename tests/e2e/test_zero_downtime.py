"""Blue-green releases under load: no client notices one."""

from __future__ import annotations

import http.client
import threading
from itertools import cycle

import pytest

from tests.e2e.shop import Shop, assert_none_lost, assert_orders_kept, assert_serves

pytestmark = pytest.mark.e2e

ROUNDS = [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
PAUSE_S = 0.02


@pytest.mark.parametrize("rounds", ROUNDS)
def test_releases_under_load_lose_no_request(shop: Shop, rounds: int) -> None:
    second = shop.commit("Say what is new", headline="Strawberries are here")
    before = shop.backing()
    with shop.load() as load:
        for sha, _ in zip(cycle((second, shop.first)), range(rounds), strict=False):
            shop.up(sha).ended(0)
            assert_serves(shop, sha)
    assert_none_lost(shop, load.report)
    assert load.report.releases.keys() == {shop.first, second}
    assert shop.backing() == before


@pytest.mark.parametrize("rounds", ROUNDS)
def test_with_an_old_nginx_only_reused_connections_lose_requests(
    old_shop: Shop, rounds: int
) -> None:
    shop = old_shop
    second = shop.commit("Say what is new", headline="Strawberries are here")
    before = shop.backing()
    with shop.load() as load, FreshOrders(shop) as orders:
        for sha, _ in zip(cycle((second, shop.first)), range(rounds), strict=False):
            shop.up(sha).ended(0)
            assert_serves(shop, sha)
    report = load.report
    assert_orders_kept(shop, report)
    orders.assert_kept()
    lost = {name: count["failed"] for name, count in report.by_class.items()}
    assert lost["fresh"] == lost["slow"] == 0, report.failures
    assert report.failed_by_kind.keys() <= {"eof", "reset"}, report.summary()
    assert all(failure["reused"] for failure in report.failures), report.failures
    assert shop.backing() == before


def test_the_plan_for_an_old_nginx_names_its_limit(old_shop: Shop) -> None:
    sha = old_shop.commit("Say what is new")
    plan = old_shop.releasekit("plan", sha).ended(0).stdout
    assert "note: nginx 1.22." in plan
    assert "closes idle keep-alive connections when it reloads" in plan
    assert "1.27.4 or later does not have this limit" in plan


def test_the_plan_for_a_new_nginx_names_no_limit(shop: Shop) -> None:
    sha = shop.commit("Say what is new")
    assert "note:" not in shop.releasekit("plan", sha).ended(0).stdout


class FreshOrders:
    """Orders during a `with` block, each on a connection of its own."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._answers: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._order)

    def __enter__(self) -> FreshOrders:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _order(self) -> None:
        while not self._stop.wait(PAUSE_S):
            key = f"fresh-{len(self._answers)}"
            try:
                answer = self._shop.ask("/api/orders", {"key": key, "item": "x"})
                self._answers[key] = str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                self._answers[key] = repr(error)

    def assert_kept(self) -> None:
        """Every one was confirmed, and stored once."""
        stored = self._shop.orders()
        assert self._answers
        assert {key: how for key, how in self._answers.items() if how != "201"} == {}
        assert {key for key in self._answers if stored[key] != 1} == set()
