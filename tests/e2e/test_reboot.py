"""After a reboot the last release serves without releasekit, or what does not is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from releasekit.hosts.local import MonotonicClock
from releasekit.waiting import wait_until
from tests.e2e.shop import DEADLINE_S, Shop, assert_serves, docker

pytestmark = [pytest.mark.e2e, pytest.mark.faults]


def address(container: str) -> str:
    (network,) = json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


@contextmanager
def rebooted(shop: Shop) -> Iterator[dict[str, str]]:
    """All that ran was down at once and is up again, nginx first and the others the other way
    round, each at another address than before; yields their addresses from before."""
    running = sorted(name for name, each in shop.containers().items() if each.is_running)
    nginx = f"{shop.name}-nginx-1"
    before = {name: address(name) for name in running}
    docker("kill", *running)
    strangers: list[str] = []
    try:
        # Whoever comes first gets the lowest address that is free.
        for number in range(2):
            strangers.append(f"{shop.name}-stranger-{number}")
            image = f"releasekit-base/nginx:{shop.nginx}"
            options = ["--detach", "--network", f"{shop.name}_default", "--name", strangers[-1]]
            docker("run", *options, image)
        for name in (nginx, *(name for name in reversed(running) if name != nginx)):
            docker("start", name)
        wait_until(
            lambda: "" if health(f"{shop.name}-postgres-1") == "healthy" else "not yet",
            deadline_s=DEADLINE_S,
            clock=MonotonicClock(),
        )
        after = {name: address(name) for name in running}
        moved = [name for name in running if "web" in name and after[name] != before[name]]
        assert moved, (before, after)
        yield before
    finally:
        docker("rm", "--force", *strangers)


def await_serving(shop: Shop, sha: str) -> None:
    def look() -> str:
        try:
            answer = shop.ask()
        except OSError as error:
            return str(error)
        return "" if answer.release == sha else f"status {answer.status}"

    wait_until(look, deadline_s=DEADLINE_S, clock=MonotonicClock())


def test_after_a_reboot_the_last_release_serves(shop: Shop) -> None:
    """By itself, wherever the containers came up, and in whatever order."""
    second = shop.commit("Say what is new")
    shop.up(second).ended(0)
    stopped = {name for name, each in shop.app().items() if not each.is_running}

    with rebooted(shop):
        await_serving(shop, second)
        assert_serves(shop, second)

    assert {name for name, each in shop.app().items() if not each.is_running} == stopped


@pytest.mark.slow
def test_an_nginx_that_looks_no_names_up_needs_a_release_after_it(old_shop: Shop) -> None:
    """Where addresses changed: status says so, and the same release once more puts it right."""
    shop = old_shop
    second = shop.commit("Say what is new")
    shop.up(second).ended(0)

    with rebooted(shop):
        assert shop.status()["live"] != second
        assert any("nginx sends nothing to" in problem for problem in shop.status()["problems"])
        shop.up(second).ended(0)
        assert_serves(shop, second)


@pytest.mark.slow
def test_what_was_stopped_for_good_comes_back_with_no_reboot(empty_shop: Shop) -> None:
    """Docker starts what is to restart `always`, stopped or not, when it starts itself: an old
    worker would take jobs with old code."""
    shop = empty_shop
    path = shop.folder / "compose.prod.yaml"
    path.write_text(path.read_text().replace("restart: unless-stopped", "restart: always"))
    shop.up(shop.commit("Always restart")).ended(0)
    running = shop.running_app()
    assert {policy(name) for name in running} == {"always"}

    shop.up(shop.commit("Say what is new")).ended(0)

    stopped = [name for name, each in shop.app().items() if not each.is_running]
    assert {*stopped} == {*running}
    assert {policy(name) for name in stopped} == {"unless-stopped"}
    assert {policy(name) for name in shop.running_app()} == {"always"}


def health(container: str) -> str:
    return str(json.loads(docker("inspect", container))[0]["State"]["Health"]["Status"])


def policy(container: str) -> str:
    return str(json.loads(docker("inspect", container))[0]["HostConfig"]["RestartPolicy"]["Name"])
