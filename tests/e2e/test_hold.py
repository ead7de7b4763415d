"""A release that is held: who knows the way can try it, and no user gets it before that."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.shop import Shop, assert_none_lost, assert_serves, docker

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def previewing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A running shop whose nginx asks by the variable, and shows what is held."""
    with Shop.opened(tmp_path_factory.mktemp("hold")) as shop:
        shop.edit(
            "nginx/nginx.conf", "proxy_pass http://web;", "proxy_pass http://$releasekit_web;"
        )
        shop.edit("releasekit.toml", "[nginx]\n", "[nginx]\npreview = true\n")
        shop.commit("Show what is held")
        shop.up(shop.first).ended(0)
        yield shop


@pytest.fixture
def shop(previewing: Shop) -> Shop:
    """The same: its first release serves, and nothing is held."""
    if previewing.status()["held"]:
        previewing.releasekit("abort").ended(0)
    previewing.up(previewing.first).ended(0)
    return previewing


def release_at(url: str, **headers: str) -> str:
    """The release that answers there."""
    where = urlsplit(url)
    assert where.hostname
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    try:
        connection.request("GET", "/api/release", headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        return answer.getheader("X-Release", "")
    finally:
        connection.close()


def hold(shop: Shop, sha: str) -> dict[str, Any]:
    """Hold it; what `status` then says of it."""
    assert shop.up("--hold", sha).ended(0).result["result"] == "held"
    status = shop.status()
    assert status["problems"] == []
    assert status["live"].startswith(shop.first)
    assert status["held"]["release"].startswith(sha)
    held: dict[str, Any] = status["held"]
    return held


def verb(shop: Shop, name: str) -> dict[str, Any]:
    return shop.releasekit(name, "--json").ended(0).result


def test_who_knows_the_way_tries_it_users_do_not_notice_and_its_promotion_loses_none(
    shop: Shop,
) -> None:
    second = shop.commit("Say what is new", headline="Strawberries are here")
    backing = shop.backing()
    plan = shop.releasekit("up", "--hold", "--plan", second).ended(0).stdout
    assert f"on preview: {shop.name}-releases-web-" in plan
    assert "MarkCurrent" not in plan
    with shop.load() as load:
        ran = shop.up("--hold", second).ended(0)
        held = shop.status()["held"]
        secret = held["preview"]["secret"]
        assert [release_at(each["address"]) for each in held["replicas"]] == [second]
        ways = (
            {held["preview"]["header"]: secret},
            {"Host": f"{secret}.shop.example"},
        )
        for way in ways:
            assert {release_at(shop.url, **way) for _ in range(5)} == {second}
        others: tuple[dict[str, str], ...] = (
            {},
            {"X-Releasekit-Preview": secret[:-1]},
            {"X-Releasekit-Preview": f"{secret}0"},
            {"Host": f"{secret}"},
            {"Host": f"shop.{secret}.example"},
        )
        assert {release_at(shop.url, **other) for other in others} == {shop.first}
        assert shop.working() == shop.first
    assert_none_lost(shop, load.report)
    assert load.report.releases.keys() == {shop.first}
    promotion = shop.releasekit("plan", second).ended(0).stdout
    assert "MarkCurrent" in promotion
    assert_secret(shop, secret, ran.stdout + ran.stderr + promotion)

    told = shop.releasekit("status").ended(0).stdout
    assert f"try it: {held['replicas'][0]['name']} {held['replicas'][0]['address']}" in told
    assert f"with the header X-Releasekit-Preview: {secret}" in told
    assert f"as {secret}.<your domain>" in told

    with shop.load() as load:
        promoted = verb(shop, "promote")
        assert_serves(shop, second)
    assert_none_lost(shop, load.report)
    assert promoted["result"] == "released"
    assert promoted["previous"].startswith(shop.first)
    assert shop.status()["held"] is None
    assert {release_at(shop.url, **way) for way in ways} == {second}
    runs = [(each["kind"], each["result"]) for each in shop.history()[:2]]
    assert runs == [("promote", "released"), ("up", "held")]
    assert shop.backing() == backing


def assert_secret(shop: Shop, secret: str, said: str) -> None:
    """Only nginx's own file knows it, and `status`, which asks nginx."""
    logs = docker("logs", f"{shop.name}-nginx-1")
    journal = (shop.state / shop.name / "journal.jsonl").read_text()
    assert secret not in said + logs + journal


def test_aborted_it_is_gone_and_nobody_noticed(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    before, running = shop.containers(), shop.running_app()
    with shop.load() as load:
        secret = hold(shop, second)["preview"]["secret"]
        aborted = verb(shop, "abort")
    assert_none_lost(shop, load.report)
    assert load.report.releases.keys() == {shop.first}
    assert aborted["result"] == "aborted"
    assert aborted["release"].startswith(second)
    assert shop.running_app() == running
    assert not [name for name in shop.app() if shop.commit_of(name) == second]
    assert before.items() >= shop.containers().items()
    assert release_at(shop.url, **{"X-Releasekit-Preview": secret}) == shop.first
    assert_serves(shop, shop.first)
    for name in ("abort", "promote"):
        assert shop.releasekit(name, "--json").ended(2).result["message"] == "nothing is held"


def test_anything_else_is_refused_over_it_and_touches_nothing(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    third = shop.commit("Say more")
    hold(shop, second)
    before, files = shop.containers(), shop.files()
    for args in (["up", third], ["up", "--hold", third], ["plan", third], ["rollback"]):
        refused = shop.releasekit(*args, "--json").ended(2).result
        assert refused["error"] == "Held"
        assert f"{second[:7]} is held since " in refused["message"]
        assert "`releasekit promote`" in refused["hint"]
        assert "`releasekit abort`" in refused["hint"]
    assert shop.up("--hold", second).ended(0).result["result"] == "nothing-to-do"
    assert (shop.containers(), shop.files()) == (before, files)

    shop.up(second).ended(0)
    assert_serves(shop, second)
    assert shop.status()["held"] is None


@pytest.mark.slow
def test_what_was_held_and_removed_by_hand_comes_back_with_its_promotion(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    with shop.load() as load:
        held = hold(shop, second)
        docker("rm", "--force", *[each["name"] for each in held["replicas"]])
        assert shop.status()["held"]["replicas"] == []
        verb(shop, "promote")
        assert_serves(shop, second)
    assert_none_lost(shop, load.report)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["Route", "Drain"])
def test_killed_in_its_promotion_the_same_command_ends_it(shop: Shop, step: str) -> None:
    second = shop.commit("Say what is new")
    with shop.load() as load:
        hold(shop, second)
        with shop.running("promote", "--json") as promotion:
            promotion.wait_for_step(step)
            promotion.signal(signal.SIGKILL)
            promotion.finish().ended(-signal.SIGKILL)
        verb(shop, "promote")
        assert_serves(shop, second)
    assert_none_lost(shop, load.report)


@pytest.mark.slow
def test_what_does_not_get_healthy_is_not_held_and_leaves_nothing(shop: Shop) -> None:
    broken = shop.broken("exit")
    running = shop.running_app()
    ran = shop.up("--hold", broken).ended(1)
    assert f"{shop.first[:7]} serves as before" in ran.result["message"]
    assert shop.running_app() == running
    assert shop.status()["held"] is None
    assert_serves(shop, shop.first)


def test_a_preview_that_nobody_would_see_is_refused_before_anything_is_touched(
    stack: Shop, tmp_path: Path
) -> None:
    team = stack.checkout(tmp_path / "team", RELEASEKIT_NGINX__PREVIEW="true")
    second, before = team.commit("Say what is new"), team.containers()
    ran = team.up("--hold", second).ended(2)
    assert "nginx passes nothing to $releasekit_web" in ran.result["message"]
    assert "`proxy_pass http://$releasekit_web;`" in ran.result["message"]
    assert team.containers() == before


@pytest.mark.slow
def test_a_first_release_can_be_held_too(empty_shop: Shop) -> None:
    shop = empty_shop
    shop.up("--hold").ended(0)
    held = shop.status()["held"]
    assert held["preview"] is None
    assert [release_at(each["address"]) for each in held["replicas"]] == [shop.first]
    assert verb(shop, "abort")["result"] == "aborted"
    assert shop.app() == {}

    shop.up("--hold").ended(0)
    verb(shop, "promote")
    assert_serves(shop, shop.first)
