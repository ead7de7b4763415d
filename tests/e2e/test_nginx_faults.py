"""nginx is restarted in the middle of a release, or does not take it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from releasekit.hosts.local import MonotonicClock
from releasekit.waiting import wait_until
from tests.e2e.shop import DEADLINE_S, Shop, assert_serves, docker

pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.slow]


@pytest.mark.parametrize(
    "step", ["Start", "Announce", "AwaitHealthy", "Route", "ConfirmRoute", "MarkCurrent", "Drain"]
)
def test_restarted_in_each_phase(shop: Shop, step: str) -> None:
    """It comes back with what it served, and the release arrives, or the one before serves."""
    second = shop.commit("Say what is new")
    nginx = f"{shop.name}-nginx-1"
    with shop.running("up", "--json", second, SHOP_BOOT_SECONDS="2") as up:
        up.wait_for_step(step)
        docker("restart", nginx)
        ran = up.finish()

    assert ran.status in (0, 1), ran
    assert_serves(shop, second if ran.status == 0 else shop.first)
    docker("restart", nginx)
    await_answer(shop)
    assert_serves(shop, second if ran.status == 0 else shop.first)
    shop.up(second).ended(0)
    assert_serves(shop, second)


def test_a_reload_that_the_master_does_not_take(shop: Shop) -> None:
    """Somebody has its port: the release fails, and nginx would start with what it serves."""
    second = shop.commit("Say what is new")
    nginx, config = f"{shop.name}-nginx-1", shop.folder / "nginx" / "nginx.conf"
    before = config.read_text()
    docker("exec", "--detach", nginx, "nc", "-l", "-p", "81")
    config.write_text(before.replace("listen 80 default", "listen 81;\n        listen 80 default"))
    try:
        failed = shop.up(second).ended(1)
    finally:
        config.write_text(before)
    assert "nginx still serves the route" in failed.result["message"]
    assert_serves(shop, shop.first)

    docker("restart", nginx)

    await_answer(shop)
    assert_serves(shop, shop.first)


AWAY = """\
#!/bin/sh
case "$*" in *"-s reload")
    if [ -e {once} ]; then {then}; else mv {there} {once}; fi
esac
exec {docker} "$@"
"""
"""A docker that takes nginx's working directory away as it is reloaded first, without which no new
worker starts."""


@pytest.mark.parametrize(("comes_back", "status"), [(True, 1), (False, 3)])
def test_workers_that_cannot_start(
    shop: Shop, tmp_path: Path, comes_back: bool, status: int
) -> None:
    """Nobody is served. With the old file somebody is: exit 1. If not, that is for a person."""
    second = shop.commit("Say what is new")
    config, there = shop.folder / "nginx" / "nginx.conf", shop.folder / "nginx" / "there"
    before, once = config.read_text(), there.with_name("gone")
    docker_program = tmp_path / "docker"
    docker_program.write_text(
        AWAY.format(
            once=once,
            there=there,
            then=f"[ -e {there} ] || cp -r {once} {there}" if comes_back else ":",
            docker=shutil.which("docker"),
        )
    )
    docker_program.chmod(0o755)
    there.mkdir()
    config.write_text(f"working_directory /etc/shop-nginx/there;\n{before}")
    try:
        failed = shop.with_environ(PATH=f"{tmp_path}:{os.environ['PATH']}").up(second)
        if comes_back:
            assert_serves(shop, shop.first)
    finally:
        config.write_text(before)
        for folder in (there, once):
            shutil.rmtree(folder, ignore_errors=True)
        docker("restart", f"{shop.name}-nginx-1")
    assert "no worker left that accepts connections" in failed.ended(status).result["message"]

    await_answer(shop)
    shop.up(shop.first).ended(0)
    assert_serves(shop, shop.first)


def await_answer(shop: Shop) -> None:
    def look() -> str:
        try:
            return "" if shop.ask().status == 200 else "not yet"
        except OSError as error:
            return str(error)

    wait_until(look, deadline_s=DEADLINE_S, clock=MonotonicClock())
