"""A stack that plain `docker compose up -d` started is taken over as it runs."""

from __future__ import annotations

import sys

import pytest

from tests.e2e.shop import Shop, assert_none_lost, assert_orders_kept, assert_serves

pytestmark = pytest.mark.e2e

LIMIT = {"eof", "reset"}
"""How a request fails that is sent on a connection which nginx closes at that moment."""
LOOK_UP_S = 0.1
"""For names that nginx looks up for the first time: milliseconds, on a machine that is busy."""


def test_it_is_taken_over_under_load_and_can_be_gone_back_to(empty_shop: Shop) -> None:
    shop = empty_shop
    second = shop.commit("Say what is new", headline="Strawberries are here")
    shop.compose("up", "-d", "--wait", tag=shop.first)
    assert shop.serving() == shop.first
    plan = shop.releasekit("plan", second).ended(0).stdout
    assert "note: nginx, which does not know releasekit yet, closes idle keep-alive" in plan
    backing = shop.backing()
    with shop.load() as load:
        shop.up(second).ended(0)
        assert_serves(shop, second)
    report = load.report
    # The configuration that nginx had could not spare idle connections in its last reload, and
    # knew no name: what the plan's notes say, and no more.
    assert_orders_kept(shop, report)
    others = [f for f in report.failures if not (f["reused"] and f["kind"] in LIMIT)]
    assert {f["kind"] for f in others} <= {"status 502"}, report
    assert not others or others[-1]["start"] - others[0]["start"] < LOOK_UP_S, report
    assert report.releases.keys() == {shop.first, second}
    assert shop.backing() == backing
    with shop.load() as load:
        shop.rollback().ended(0)
        assert_serves(shop, shop.first)
    assert_none_lost(shop, load.report)
    assert shop.backing() == backing


DYING = """
import os, signal, sys
from releasekit.cli import main
from releasekit.journal import Journal

write = Journal.write

def dying(self, event, run, **facts):
    if event == "commit":
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, event, run, **facts)

Journal.write = dying
sys.exit(main())
"""
"""`releasekit`, until it is about to commit to anything."""


@pytest.mark.slow
def test_killed_while_it_is_taken_over_it_serves_on_and_the_next_release_takes_it_over(
    empty_shop: Shop,
) -> None:
    shop = empty_shop
    second = shop.commit("Say what is new", headline="Strawberries are here")
    shop.compose("up", "-d", "--wait", tag=shop.first)
    before = shop.app()
    shop.run(sys.executable, "-c", DYING, "up", "--json", second).ended(-9)
    with shop.load() as load:
        shop.releasekit("recover").ended(0)
    assert_none_lost(shop, load.report)
    assert shop.app() == before
    shop.up(second).ended(0)
    assert_serves(shop, second)
    shop.rollback().ended(0)
    assert_serves(shop, shop.first)
