"""One strategy per service in one release: each its own way, and all of them there and back."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.lives import Lives
from tests.e2e.shop import Shop, assert_none_lost, assert_serves
from tests.e2e.trio import clients

pytestmark = pytest.mark.e2e

ALL_THREE = "blue-green, api: rolling, worker: recreate"
BOOT_S = 1


def test_each_service_goes_its_own_way_there_and_back(trio: Shop) -> None:
    first, second = serving(trio), trio.commit("Say what is new")
    backing = trio.backing()
    with trio.load(slow=0) as load, clients(trio) as of_api, Lives(trio) as lives:
        ran = trio.up(second).ended(0)
        assert_serves(trio, second, api=1)
        trio.rollback().ended(0)
        assert_serves(trio, first, api=1)
    assert_none_lost(trio, load.report, slow=False)
    assert of_api.report.failed == 0, of_api.report.summary()
    assert load.report.releases.keys() == of_api.report.releases.keys() == {first, second}
    assert trio.backing() == backing
    assert lives.began(second) == ["api", "web", "worker"]
    assert max(lives.counts("web")) == 2
    assert (min(lives.counts("api")), max(lives.counts("api"))) == (1, 2)
    assert max(lives.counts("worker")) == 1
    assert ran.result["downtime_s"] > 0
    assert [run["strategy"] for run in trio.history()[:2]] == [ALL_THREE, ALL_THREE]


def test_a_worker_that_fails_takes_all_the_others_back(trio: Shop) -> None:
    first = serving(trio)
    with trio.load(slow=0) as load, clients(trio) as of_api, Lives(trio) as lives:
        ran = trio.up(trio.broken("worker-exit")).ended(1)
        assert_serves(trio, first, api=1)
    assert_none_lost(trio, load.report, slow=False)
    assert of_api.report.failed == 0, of_api.report.summary()
    assert f"{first[:7]} serves as before" in ran.result["message"]
    assert max(lives.counts("worker")) == 1


def test_the_worker_starts_once_the_web_is_healthy_unless_told_otherwise(
    shop: Shop, tmp_path: Path
) -> None:
    team = shop.checkout(tmp_path / "team", SHOP_BOOT_SECONDS=str(BOOT_S))
    second = team.commit("Say what is new")
    team.configure(worker='strategy = "recreate"')
    team.up(second).ended(0)
    assert_serves(team, second)
    assert began(team, "worker") >= began(team, "web") + timedelta(seconds=BOOT_S)
    assert team.history()[0]["strategy"] == "blue-green, worker: recreate"

    team.configure("workers_wait = false")
    ran = team.up(shop.first).ended(0)
    assert_serves(team, shop.first)
    started = next(step["what"] for step in ran.plan if step["step"] == "Start")
    assert started.startswith("web x1 worker x1 of ")


def test_a_worker_that_nothing_asks_counts_once_it_settled(shop: Shop, tmp_path: Path) -> None:
    team = shop.checkout(tmp_path / "team")
    unchecked = "    cpus: 0.5\n    healthcheck: { disable: true }\n"
    team.edit("compose.prod.yaml", "    cpus: 0.5\n", unchecked)
    said = team.releasekit("up", team.first).ended(2).stderr
    assert "services.worker: blue-green needs a health check" in said

    team.configure(worker='health = { settle = "1s" }')
    second = team.commit("Say what is new")
    said = team.releasekit("plan", second).ended(0).stdout
    assert "worker counts as healthy once it ran 1 s without a restart: nothing asks it" in said
    ran = team.up(second).ended(0)
    assert ran.took("AwaitHealthy")[-1] >= 1
    assert_serves(team, second)

    ran = team.up(team.broken("worker-exit")).ended(1)
    assert "it crashes: restarted 3 times, last exit status 1" in ran.result["message"]
    assert_serves(team, second)


def serving(shop: Shop) -> str:
    """The commit of the live release."""
    return str(shop.status()["live"]).partition("~")[0]


def began(shop: Shop, service: str) -> datetime:
    """When its running container was started."""
    (started,) = (c.started for c in shop.running_app().values() if c.service == service)
    return datetime.fromisoformat(started)
