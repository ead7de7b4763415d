"""The bake: a release that is well at /up and bad to its users is taken back by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from bench.load import Load
from tests.e2e.shop import (
    Ran,
    Shop,
    assert_none_lost,
    assert_orders_kept,
    assert_serves,
    docker,
    free_port,
)

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

BAKE_S = 15.0
BAKE = {"RELEASEKIT_BAKE__DURATION": f"{BAKE_S}s", "RELEASEKIT_BAKE__MAX_ERROR_RATE": "0.05"}
LOG = "/run/releasekit.log"


def warnings(ran: Ran) -> list[str]:
    return [event["message"] for event in ran.events if event["event"] == "warned"]


@pytest.mark.parametrize(
    "strategy", ["blue-green", pytest.param("rolling", marks=pytest.mark.slow)]
)
def test_a_release_that_fails_its_users_is_taken_back_with_the_numbers(
    shop: Shop, strategy: str
) -> None:
    before, sha = shop.running_app(), shop.broken("errors")
    with shop.load() as load:
        ran = shop.up(sha, "--strategy", strategy, **BAKE).ended(1)
    (watched,) = ran.took("Watch")[:1]
    assert watched < BAKE_S / 2
    assert re.search(r"\d+ of \d+ requests failed \(\d+\.\d%\)", ran.result["message"])
    assert "more than max_error_rate 5.0%" in ran.result["message"]
    assert f"{shop.first[:7]} serves as before" in ran.result["message"]

    assert load.report.failed_by_kind.keys() == {"status 500"}, load.report.summary()
    assert {failure["release"] for failure in load.report.failures} == {sha}
    assert_orders_kept(shop, load.report)
    assert_serves(shop, shop.first)
    assert shop.running_app() == before
    assert not [name for name in shop.app() if shop.commit_of(name) == sha]


@pytest.mark.slow
def test_a_release_that_is_slow_is_taken_back_for_its_p95(shop: Shop) -> None:
    sha = shop.broken("slow")
    limit = {"RELEASEKIT_BAKE__DURATION": f"{BAKE_S}s", "RELEASEKIT_BAKE__MAX_P95": "500ms"}
    with Load(shop.url, rate=40, slow=0, only=["fresh"], path="/") as load:
        ran = shop.up(sha, **limit).ended(1)
    (watched,) = ran.took("Watch")[:1]
    assert watched < BAKE_S
    assert re.search(r"slower than max_p95 500 ms; .*, p95 \d{4,} ms", ran.result["message"])
    assert f"{shop.first[:7]} serves as before" in ran.result["message"]
    assert load.report.failed == 0, load.report.summary()
    assert_serves(shop, shop.first)


@pytest.mark.slow
def test_a_good_one_passes_and_nobody_notices(shop: Shop) -> None:
    second = shop.commit("Say what is new", headline="Strawberries are here")
    limits = {
        "RELEASEKIT_BAKE__MAX_P95": "10s",
        "RELEASEKIT_BAKE__DURATION": "4s",
        "RELEASEKIT_BAKE__URL": f"{shop.url}/up",
        "RELEASEKIT_BAKE__RELEASE_HEADER": "X-Release",
    }
    with shop.load() as load:
        ran = shop.up(second, **BAKE | limits).ended(0)
        assert_serves(shop, second)
    assert_none_lost(shop, load.report)
    assert warnings(ran) == []
    told = [e["detail"] for e in ran.events if e["event"] == "step_progress"]
    assert any(re.search(r"0 of \d{3,} requests failed \(0\.0%\), p95 \d+ ms", t) for t in told)
    assert shop.up(shop.first, **BAKE | limits).ended(0).took("Watch") == []  # it was good before


@pytest.fixture
def sealed_log(shop: Shop) -> Iterator[None]:
    """nginx's workers may not read what its master writes."""
    inside = ("exec", f"{shop.name}-nginx-1", "sh", "-c")
    docker(*inside, f"touch {LOG} && chmod 000 {LOG}")
    yield
    docker(*inside, f"rm {LOG}")


@pytest.mark.slow
@pytest.mark.usefixtures("sealed_log")
def test_a_log_that_cannot_be_read_takes_nothing_back_and_is_told(shop: Shop) -> None:
    sha = shop.commit("Say nothing new")
    ran = shop.up(sha, **BAKE | {"RELEASEKIT_BAKE__DURATION": "2s"}).ended(0)
    assert_serves(shop, sha)
    (warning,) = warnings(ran)
    assert f"nginx's log {LOG} cannot be read: it answers 403" in warning


@pytest.mark.slow
def test_a_page_that_did_not_answer_before_takes_nothing_back_and_is_told(shop: Shop) -> None:
    """As from a host that does not reach its own public address."""
    sha, nowhere = shop.commit("Say nothing new"), f"http://127.0.0.1:{free_port()}/up"
    bake = {"RELEASEKIT_BAKE__DURATION": "2s", "RELEASEKIT_BAKE__URL": nowhere}
    ran = shop.up(sha, **bake).ended(0)
    assert_serves(shop, sha)
    (warning,) = warnings(ran)
    assert f"it was so before the release: {nowhere}: Connection refused" in warning


def test_a_limit_that_nginx_would_log_nothing_for_is_refused_with_the_line_to_add(
    shop: Shop,
) -> None:
    sha, before = shop.commit("Say nothing new"), shop.running_app()
    line, config = "include /etc/nginx/releasekit/*.access_log;", "nginx/nginx.conf"
    shop.edit(config, line, "")
    try:
        ran = shop.up(sha, **BAKE).ended(2)
    finally:
        shop.git("checkout", "--", config)
    assert f"add `{line}`" in ran.result["message"]
    assert shop.running_app() == before


@pytest.mark.slow
def test_a_database_that_fails_both_releases_blames_neither(shop: Shop) -> None:
    sha, database = shop.commit("Say nothing new"), f"{shop.name}-postgres-1"
    with shop.running("up", "--json", sha, RELEASEKIT_BAKE__DURATION="8s") as up:
        up.wait_for_step("Watch")
        docker("pause", database)
        try:
            up.wait_for_step("MarkCurrent")
        finally:
            docker("unpause", database)
        ran = up.finish().ended(0)
    assert_serves(shop, sha)
    assert any("but the release before is sick too" in warning for warning in warnings(ran))
