"""Whatever a release finds on the host, it ends where it should, and no client notices."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest

from releasekit.hosts.local import MonotonicClock
from releasekit.waiting import wait_until
from tests.e2e.shop import DEADLINE_S, Shop, assert_none_lost, assert_serves, docker, killed
from tests.e2e.trio import SETTINGS, add_api, add_location, clients, remove_api, remove_location

pytestmark = pytest.mark.e2e


@pytest.fixture
def team(shop: Shop, tmp_path: Path) -> Shop:
    """Another checkout of the running shop, whose settings a test may change."""
    return shop.checkout(tmp_path / "team")


def test_what_plain_compose_started_is_replaced_by_rolling(shop: Shop) -> None:
    second, backing = shop.commit("Say what is new"), shop.backing()
    start_by_compose(shop, shop.first, web=2)
    team = shop.with_environ(RELEASEKIT_SERVICES__WEB__REPLICAS="2", RELEASEKIT_STRATEGY="rolling")
    team.up(second).ended(0)
    assert_serves(team, second, web=2)
    with team.load(slow=0) as load:
        team.rollback().ended(0)
        assert_serves(team, shop.first, web=2)
    assert_none_lost(team, load.report, slow=False)
    assert shop.backing() == backing


def test_every_strategy_follows_every_other(team: Shop) -> None:
    """By each of the six ways between the three, from blue-green, where it begins, back to it."""
    second = team.commit("Say what is new")
    backing, shas = team.backing(), cycle((second, team.first))

    def release(strategy: str) -> None:
        sha = next(shas)
        team.up(sha, "--strategy", strategy).ended(0)
        assert_serves(team, sha)

    with team.load(slow=0) as load:
        release("rolling")
    assert_none_lost(team, load.report, slow=False)
    release("recreate")
    with team.load(slow=0) as load:
        release("rolling")
        release("blue-green")
    assert_none_lost(team, load.report, slow=False)
    release("recreate")
    with team.load(slow=0) as load:
        release("blue-green")
    assert_none_lost(team, load.report, slow=False)
    assert team.backing() == backing


def test_a_replica_that_somebody_removed_comes_back(team: Shop) -> None:
    team.configure(strategy="rolling", web="replicas = 2")
    team.up(team.first).ended(0)
    (gone,) = (n for n, c in team.running_app().items() if c.service == "web" and n[-1] == "1")
    docker("rm", "--force", gone)
    assert f"nginx sends traffic to {gone}, which does not exist" in team.status()["problems"]
    wait_until(partial(unanswered, team), deadline_s=DEADLINE_S, clock=MonotonicClock())
    with team.load(slow=0) as load:
        team.up(team.first).ended(0)
        assert_serves(team, team.first, web=2)
    assert_none_lost(team, load.report, slow=False)


def test_another_release_follows_one_that_was_killed_half_way(team: Shop) -> None:
    """Of two that share the traffic, and of a slot of which compose made a part only."""
    team.configure(strategy="rolling", web="replicas = 2")
    second, third = team.commit("Say what is new"), team.commit("Say more")
    team.up(team.first).ended(0)
    with team.load(slow=0) as load:
        killed(team, second, "Stop", "Announce")
        assert "nginx sends traffic to several releases" in team.status()["problems"][0]
        team.up(third).ended(0)
        assert_serves(team, third, web=2)

        kill_amid_start(team, second, "--strategy", "blue-green")
        team.up(team.first, "--strategy", "blue-green").ended(0)
        assert_serves(team, team.first, web=2)
    assert_none_lost(team, load.report, slow=False)


@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
def test_what_a_killed_compose_left_behind_makes_way(team: Shop, strategy: str) -> None:
    """Before it has its name, a container that replaces another is called `<12 hex>_<name>`."""
    second = team.commit("Say what is new")
    team.up(team.first, "--strategy", strategy).ended(0)
    if strategy == "rolling":
        (slot,) = {"blue", "green"} - {name.split("-")[-2] for name in team.running_app()}
        stem = f"{team.name}-releases-web-{slot}"
        labels = {"releasekit.slot": slot, "com.docker.compose.service": f"web-{slot}"}
    else:
        stem, labels = f"{team.name}-web", {}
    stopped = leave(team, f"{stem}-1", labels)
    running = leave(team, f"{stem}-2", labels, runs=True)
    with team.load(slow=0) as load:
        team.up(second, "--strategy", strategy).ended(0)
        assert_serves(team, second)
    if strategy == "rolling":
        assert_none_lost(team, load.report, slow=False)
    assert not {stopped, running} & team.app().keys()


def test_a_service_is_scaled_to_nothing_and_back(team: Shop) -> None:
    second = team.commit("Say what is new")
    team.configure(worker="replicas = 0")
    team.up(second).ended(0)
    assert_serves(team, second, worker=0)

    team.configure(web="replicas = 0")
    plan = team.releasekit("plan", second).ended(0).stdout
    assert "downtime: web" in plan
    team.up(second).ended(0)
    assert team.ask().status == 502
    assert {c.service for c in team.running_app().values()} == {"worker"}

    team.configure()
    team.up(second).ended(0)
    assert_serves(team, second)


def test_a_service_is_taken_out_of_the_files_and_put_in_again(trio: Shop) -> None:
    second, third = trio.commit("Say what is new"), trio.commit("Say more")
    with trio.load(slow=0) as load:
        for strategy, sha in (("rolling", second), ("blue-green", third)):
            remove_api(trio)
            trio.configure(strategy=strategy)
            remove_location(trio)
            trio.up(sha).ended(0)
            assert_serves(trio, sha)

            add_api(trio)
            trio.configure(strategy=strategy, api=SETTINGS.replace("rolling", strategy))
            trio.up(sha).ended(0)
            add_location(trio)
            docker("kill", "--signal=HUP", f"{trio.name}-nginx-1")
            wait_until(partial(unheard, trio), deadline_s=DEADLINE_S, clock=MonotonicClock())
            with clients(trio) as of_api:
                assert_serves(trio, sha, api=1)
            assert of_api.report.failed == 0
            assert of_api.report.releases.keys() == {sha}
    assert_none_lost(trio, load.report, slow=False)


def start_by_compose(shop: Shop, sha: str, *, web: int) -> None:
    """As if nobody had ever released it: plain compose runs it, and there is no state."""
    docker("rm", "--force", *shop.app())
    for path in (shop.state / shop.name).iterdir():
        if path.is_dir() and path != shop.nginx_dir:
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    (shop.nginx_dir / "releasekit.conf").unlink()
    shop.compose("up", "-d", "--wait", "--scale", f"web={web}", tag=sha)
    docker("kill", "--signal=HUP", f"{shop.name}-nginx-1")


def unanswered(shop: Shop) -> str:
    """What of more requests than replicas has no answer: nginx asks the one that is gone until it
    looks its name up again, a second later."""
    statuses = [shop.ask().status for _ in range(10)]
    return "" if set(statuses) == {200} else f"{statuses}"


def unheard(shop: Shop) -> str:
    """What is missing until nginx passes requests on to the api."""
    status = shop.ask("/side/api/release").status
    return "" if status == 200 else f"{status}"


def kill_amid_start(shop: Shop, sha: str, *args: str) -> None:
    """Release `sha`, and kill that when compose has made the first of its containers."""
    before = shop.app().keys()

    def look() -> str:
        return "" if shop.app().keys() - before else "compose made none"

    with shop.running("up", "--json", sha, *args) as up:
        up.wait_for_step("Start")
        wait_until(look, deadline_s=DEADLINE_S, clock=MonotonicClock())
        up.signal(signal.SIGKILL)


def leave(shop: Shop, name: str, labels: dict[str, str], *, runs: bool = False) -> str:
    """A container of the web service as a killed compose leaves one behind; its name."""
    (like,) = (n for n, c in shop.running_app().items() if c.service == "web")
    (found,) = json.loads(docker("inspect", like))
    told = {**found["Config"]["Labels"], **labels}
    left = f"{secrets.token_hex(6)}_{name}"
    options = [f"--label={label}={value}" for label, value in told.items()]
    docker("container", "create", "--name", left, *options, found["Image"])
    if runs:
        docker("container", "start", left)
    return left
