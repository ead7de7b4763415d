"""What somebody else changed is noticed, told, and not overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.e2e.shop import Shop, assert_serves, docker, killed

pytestmark = [pytest.mark.e2e, pytest.mark.faults]


def test_an_edited_nginx_file_stops_everything_until_it_is_adopted(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    shop.up(second).ended(0)
    file = shop.nginx_dir / "releasekit.conf"
    theirs = file.read_text().replace("max_fails=0", "max_fails=0 max_conns=50", 1)
    file.write_text(theirs)
    before = (shop.containers(), shop.files())

    (problem,) = shop.status()["problems"]
    assert "edited by hand" in problem
    assert "max_conns=50" in problem
    assert "max_conns=50" in shop.releasekit("plan", "--json", shop.first).ended(0).result["edited"]
    assert "up --adopt" in shop.releasekit("plan", shop.first).ended(0).stdout
    for refused in (shop.up(shop.first), shop.rollback()):
        refused.ended(2)
        assert refused.result["error"] == "ForeignChange"
        assert "max_conns=50" in refused.result["difference"]
        assert "`--adopt`" in refused.result["hint"]
    said = shop.releasekit("up", shop.first).ended(2).stderr
    assert "+    server " in said
    assert (shop.containers(), shop.files()) == before

    shop.rollback("--adopt").ended(0)

    assert_serves(shop, shop.first)
    (copy,) = (shop.nginx_dir.parent / "edited").iterdir()
    assert copy.read_text() == theirs
    assert copy.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_adopted_where_there_is_nothing_else_to_do(shop: Shop) -> None:
    file = shop.nginx_dir / "releasekit.conf"
    file.write_text(f"{file.read_text()}# by hand\n")

    shop.up("--adopt", shop.first).ended(0)

    assert "by hand" not in file.read_text()
    assert_serves(shop, shop.first)


@pytest.mark.slow
def test_what_a_killed_run_wrote_is_nobody_elses(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    for step in ("Announce", "AwaitHealthy", "Route", "ConfirmRoute"):
        killed(shop, second, step)
        assert "by hand" not in json.dumps(shop.status()["problems"])
        shop.up(shop.first).ended(0)
    assert_serves(shop, shop.first)


def old(shop: Shop, service: str) -> str:
    """The container of the release that serves."""
    (name,) = (
        name
        for name, each in shop.running_app().items()
        if each.service == service and shop.commit_of(name) == shop.first
    )
    return name


def restart_what_serves(shop: Shop) -> str:
    web = old(shop, "web")
    docker("restart", web)
    return f"{web} was restarted"


def remove_the_worker(shop: Shop) -> str:
    worker = old(shop, "worker")
    docker("rm", "--force", worker)
    return f"{worker} was removed"


def restart_the_cache(shop: Shop) -> str:
    docker("restart", f"{shop.name}-redis-1")
    return f"{shop.name}-redis-1 was restarted"


def run_compose(shop: Shop) -> str:
    shop.compose("up", "--detach", "--no-build", "--no-deps", "worker", tag=shop.first)
    return f"{shop.name}-worker-1 was created"


@pytest.mark.slow
@pytest.mark.parametrize(
    "interfere", [restart_what_serves, remove_the_worker, restart_the_cache, run_compose]
)
def test_what_is_done_by_hand_while_a_release_is_on_stops_it_before_the_cutover(
    shop: Shop, interfere: Callable[[Shop], str]
) -> None:
    second = shop.commit("Say what is new")
    with shop.running("up", "--json", second, SHOP_BOOT_SECONDS="8") as up:
        up.wait_for_step("AwaitHealthy")
        change = interfere(shop)
        ran = up.finish().ended(1)

    assert change in ran.result["message"]
    assert ran.result["reason"]["error"] == "ForeignChange"
    assert "ConfirmRoute" not in ran.steps  # the route itself was refused before it was applied
    assert shop.serving() == shop.first
    shop.up(second).ended(0)
    assert_serves(shop, second)
