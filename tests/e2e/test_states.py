"""Whatever a release finds on the host, it ends where it should, and no client notices."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest

from releasekit.hosts.local import MonotonicClock
from releasekit.waiting import wait_until
from tests.e2e.shop import DEADLINE_S, Shop, assert_none_lost, assert_serves, docker, killed
from tests.e2e.trio import (
    API,
    WORKER,
    add_api,
    add_location,
    clients,
    remove_api,
    remove_location,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SLOT = "releasekit.slot"
OTHER = {"blue": "green", "green": "blue"}


@pytest.fixture
def team(stack: Shop, tmp_path: Path) -> Shop:
    """Another checkout of the running shop, whose settings a test may change."""
    return stack.checkout(tmp_path / "team")


def test_what_plain_compose_started_is_replaced_by_rolling(stack: Shop) -> None:
    second, backing = stack.commit("Say what is new"), stack.backing()
    start_by_compose(stack, stack.first, web=2)
    two = {"RELEASEKIT_SERVICES__WEB__REPLICAS": "2"}
    team = stack.with_environ(RELEASEKIT_STRATEGY="rolling", **two)
    team.up(second).ended(0)
    assert_serves(team, second, web=2)
    with team.load(slow=0) as load:
        team.rollback().ended(0)
        assert_serves(team, stack.first, web=2)
    assert_none_lost(team, load.report, slow=False)
    assert stack.backing() == backing


def test_every_strategy_follows_every_other_whatever_is_in_the_way(team: Shop) -> None:
    """By each of the six ways between the three, from blue-green back to it. A killed compose has
    left two containers behind wherever there is but one place for the release to go."""
    backing, shas = team.backing(), [team.commit("Say what is new"), team.commit("Say more")]

    def release(strategy: str) -> None:
        shas.reverse()
        left = leave(team, strategy)
        team.up(shas[0], "--strategy", strategy).ended(0)
        assert_serves(team, shas[0])
        assert not left & team.app().keys()

    release("blue-green")
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
    sha = team.commit("Say what is new")
    team.configure(strategy="rolling", web="replicas = 3")
    team.up(sha).ended(0)
    (gone,) = (n for n, c in team.running_app().items() if c.service == "web" and n[-1] == "2")
    docker("rm", "--force", gone)
    assert f"nginx sends traffic to {gone}, which does not exist" in team.status()["problems"]
    wait_until(partial(unanswered, team), deadline_s=DEADLINE_S, clock=MonotonicClock())
    with team.load(slow=0) as load:
        team.up(sha).ended(0)
        assert_serves(team, sha, web=3)
    assert_none_lost(team, load.report, slow=False)


def test_another_release_follows_one_that_was_killed_half_way(team: Shop) -> None:
    """Of two that share the traffic, and of a slot of which compose made a part only."""
    team.configure(strategy="rolling", web="replicas = 2")
    first, second, third = (team.commit(f"The {n} thing") for n in ("first", "second", "third"))
    team.up(first).ended(0)
    with team.load(slow=0) as load:
        killed(team, second, "Stop", "Announce")
        assert "nginx sends traffic to several releases" in team.status()["problems"][0]
        team.up(third).ended(0)
        assert_serves(team, third, web=2)

        kill_amid_start(team, second, "--strategy", "blue-green")
        team.up(first, "--strategy", "blue-green").ended(0)
        assert_serves(team, first, web=2)
    assert_none_lost(team, load.report, slow=False)


def test_a_service_is_scaled_to_nothing_and_back(team: Shop) -> None:
    second = team.commit("Say what is new")
    team.configure(worker="replicas = 0")
    team.up(second).ended(0)
    assert_serves(team, second, worker=0)

    team.configure(web="replicas = 0")
    assert "downtime: web" in team.releasekit("plan", second).ended(0).stdout
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
            remove_location(trio)
            trio.configure(strategy=strategy, worker=WORKER)
            trio.up(sha).ended(0)
            assert_serves(trio, sha)

            add_api(trio)
            trio.configure(strategy=strategy, worker=WORKER, api=API.replace("rolling", strategy))
            trio.up(sha).ended(0)
            add_location(trio)
            docker("kill", "--signal=HUP", f"{trio.name}-nginx-1")
            wait_until(partial(unheard, trio), deadline_s=DEADLINE_S, clock=MonotonicClock())
            with clients(trio) as of_api:
                assert_serves(trio, sha, api=2)
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


def leave(shop: Shop, strategy: str) -> set[str]:
    """Two containers of the web service where a release by this strategy goes, one of them
    running, as a killed compose leaves them: one that is to replace another is called
    `<12 hex>_<name>` until that is gone. Their names; none where it has the choice."""
    like = next(n for n, c in shop.running_app().items() if c.service == "web")
    (found,) = json.loads(docker("inspect", like))
    labels = found["Config"]["Labels"]
    project, slot = shop.name, ""
    if strategy != "recreate":
        if not labels[SLOT]:
            return set()  # from its plain name it goes to either slot
        project, slot = f"{shop.name}-releases", OTHER[labels[SLOT]]
    service = "web" + (f"-{slot}" if slot else "")
    labels |= {"com.docker.compose.project": project, "com.docker.compose.service": service}
    options = [f"--label={label}={value}" for label, value in {**labels, SLOT: slot}.items()]
    names = [f"{secrets.token_hex(6)}_{project}-{service}-{number}" for number in (1, 2)]
    for name in names:
        docker("container", "create", "--name", name, *options, found["Image"])
    docker("container", "start", names[-1])
    return {*names}
