"""One strategy per service in one release: each its own way, and all of them there and back."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.lives import Lives
from tests.e2e.shop import Shop, assert_none_lost, assert_serves
from tests.e2e.trio import clients, take_check

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ALL_THREE = "blue-green, api: rolling, worker: recreate"
BOOT_S = 1


def test_each_service_goes_its_own_way_there_and_back(trio: Shop) -> None:
    first, backing, second = trio.live(), trio.backing(), trio.commit("Say what is new")
    with trio.load(slow=0) as load, clients(trio) as of_api, Lives(trio) as lives:
        ran = trio.up(second, SHOP_BOOT_SECONDS=str(BOOT_S)).ended(0)
        assert_serves(trio, second, api=2)
        # The web service needs the api; the worker waits for all that users ask.
        assert began(trio, "web") >= began(trio, "api") + timedelta(seconds=BOOT_S)
        assert began(trio, "worker") >= began(trio, "web") + timedelta(seconds=BOOT_S)
        trio.rollback().ended(0)
        assert_serves(trio, first, api=2)
    assert_none_lost(trio, load.report, slow=False)
    assert of_api.report.failed == 0, of_api.report.summary()
    assert load.report.releases.keys() == of_api.report.releases.keys() == {first, second}
    assert trio.backing() == backing
    assert lives.began(second) == ["api", "api", "web", "worker"]
    assert max(lives.counts("web")) == 2
    assert (min(lives.counts("api")), max(lives.counts("api"))) == (2, 3)
    assert max(lives.counts("worker")) == 1
    assert ran.result["downtime_s"] > 0
    assert [run["strategy"] for run in trio.history()[:2]] == [ALL_THREE, ALL_THREE]


def test_a_worker_that_never_settles_takes_all_the_others_back(trio: Shop) -> None:
    first = trio.live()
    with trio.load(slow=0) as load, clients(trio) as of_api, Lives(trio) as lives:
        ran = trio.up(trio.broken("worker-exit")).ended(1)
        assert_serves(trio, first, api=2)
    assert_none_lost(trio, load.report, slow=False)
    assert of_api.report.failed == 0, of_api.report.summary()
    assert "it crashes: restarted 3 times, last exit status 1" in ran.result["message"]
    assert f"{first[:7]} serves as before" in ran.result["message"]
    assert max(lives.counts("worker")) == 1


def test_the_plan_tells_how_the_worker_starts(stack: Shop, tmp_path: Path) -> None:
    team = stack.checkout(tmp_path / "team")
    sha = team.commit("Say what is new")
    take_check(team)
    team.configure(worker='health = { settle = "3s" }')
    said = team.releasekit("plan", sha).ended(0).stdout
    assert "worker counts as healthy once it ran 3 s without a restart: nothing asks it" in said
    assert "Start         web x1 of" in said
    team.configure("workers_wait = false", worker='health = { settle = "3s" }')
    said = team.releasekit("plan", sha).ended(0).stdout
    assert "Start         web x1 worker x1 of" in said


def began(shop: Shop, service: str) -> datetime:
    """When the last of its running containers was started."""
    running = shop.running_app().values()
    return datetime.fromisoformat(max(c.started for c in running if c.service == service))
