"""A release that never gets healthy: users notice nothing, and whoever asked for it learns why."""

from __future__ import annotations

from functools import partial

import pytest

from tests.e2e.shop import Ran, Shop, assert_none_lost, assert_serves

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

slow = partial(pytest.param, marks=pytest.mark.slow)
CRASHES = "it crashes: restarted 3 times, last exit status 1"
HEALTH_S = 3.0
CRASHES_S = 10.0
"""Time enough for a container that lives for a second to crash four times."""
GIVE_UP_S = 20.0
"""More than that: to start, to notice, to clean up, on a machine that is busy."""


@pytest.mark.parametrize(
    ("fault", "service", "why", "logged"),
    [
        ("unready-500", "web", "GET /up on port 8080: 500", "500 GET /up: broken"),
        ("exit", "web", CRASHES, "cannot start"),
    ],
)
def test_under_load_it_loses_no_request(
    shop: Shop, fault: str, service: str, why: str, logged: str
) -> None:
    sha = shop.broken(fault)
    with shop.load() as load:
        refused(shop, sha, service, why, logged)
    assert_none_lost(shop, load.report)
    assert load.report.releases.keys() == {shop.first}


@pytest.mark.parametrize(
    ("fault", "service", "why", "logged"),
    [
        ("worker-unready", "worker", "Docker's health check says starting", "at work"),
        slow("unready-301", "web", "GET /up on port 8080: 301 to /", "listening on 8080"),
        slow("unready-hang", "web", "GET /up on port 8080: no answer in time", "listening on 8080"),
        slow("unready-flapping", "web", "GET /up on port 8080: 200, then ", "500 GET /up: broken"),
        slow("crash-loop", "web", CRASHES, ""),
        slow("worker-exit", "worker", CRASHES, "cannot start"),
    ],
)
def test_it_is_refused_with_the_reason(
    shop: Shop, fault: str, service: str, why: str, logged: str
) -> None:
    sha = shop.broken(fault)
    with shop.load(slow=0) as load:
        refused(shop, sha, service, why, logged)
    assert load.report.failed == 0, load.report.summary()


def refused(shop: Shop, sha: str, service: str, why: str, logged: str) -> Ran:
    """Try to release `sha`: in vain, with all that a person needs to know, and without a trace."""
    running, backing = shop.running_app(), shop.backing()
    limit = CRASHES_S if "crashes" in why else HEALTH_S
    ran = shop.up(sha, RELEASEKIT_SERVICES__WEB__HEALTH__TIMEOUT=f"{limit}s").ended(1)
    assert ran.seconds < limit + GIVE_UP_S
    assert why in ran.result["message"]
    assert f"{shop.first[:7]} serves as before" in ran.result["message"]
    assert ran.result["serving"].startswith(shop.first)
    (lines,) = (ls for name, ls in ran.result["log_tail"].items() if f"-{service}-" in name)
    assert logged in "\n".join(lines)
    assert why in ran.stderr
    assert logged in ran.stderr

    assert_serves(shop, shop.first)
    assert shop.running_app() == running
    assert shop.backing() == backing
    assert not [name for name in shop.app() if shop.commit_of(name).startswith(sha)]
    assert shop.history()[0]["result"] == "failed"
    assert why in shop.history()[0]["reason"]
    return ran
