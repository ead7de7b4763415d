"""One run at a time: who is refused, who waits, who may not; and what a dead run has left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from releasekit.hosts.local import MonotonicClock
from releasekit.waiting import wait_until
from tests.e2e.shop import DEADLINE_S, Running, Shop, assert_serves

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

LEFT = "left behind"


@contextmanager
def a_command_left_behind(shop: Shop, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One that a dead run of this shop seems to have left: whoever has the turn waits for it."""
    shutil.copy("/bin/sleep", folder / "docker")
    environ = {"RELEASEKIT_LOCK": str(shop.lock)}
    with subprocess.Popen([folder / "docker", str(DEADLINE_S)], env=environ) as left:
        try:
            yield left
        finally:
            left.kill()


@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_of_two_at_once_one_has_the_turn_and_the_other_is_refused(
    shop: Shop, tmp_path: Path, rounds: int
) -> None:
    """The one goes on only when the other has ended: they meet in every round."""
    up = ("up", "--json", shop.first)
    for _ in range(rounds):
        with a_command_left_behind(shop, tmp_path) as left:
            with shop.running(*up) as one, shop.running(*up) as other:
                runs = (one, other)
                loser = first_ended(runs)
                winner = next(run for run in runs if run is not loser)
                refused = loser.finish().ended(4).result
                assert refused["error"] == "Locked"
                assert f"(process {winner.pid}): up" in refused["message"]
                left.kill()
                assert winner.finish().ended(0).result["result"] == "nothing-to-do"


def test_who_waits_is_told_for_whom_and_goes_on_the_moment_that_run_ends(
    shop: Shop, tmp_path: Path
) -> None:
    with a_command_left_behind(shop, tmp_path) as left:
        with shop.running("up", "--json", USER="kim", CI_JOB_URL="https://ci.example/7") as first:
            first.wait_for("warned", lambda said: LEFT in said["message"])
            with shop.running("up", "--json", "--wait", "2m") as second:
                said = second.wait_for("lock_awaited")
                whose = f"locked by kim from https://ci.example/7 (process {first.pid}): up"
                assert said["holder"].startswith(whose)
                assert 60 < said["left_s"] <= 120
                assert shop.status()["running"] == said["holder"]
                with shop.running("rollback", "--json", "--wait", "2m") as third:
                    third.wait_for("lock_awaited")
                    third.signal(signal.SIGINT)
                    stopped = third.finish().ended(130).result
                    assert "before anything was changed" in stopped["message"]
                left.kill()
                first.finish().ended(0)
                second.finish().ended(0)
    assert shop.status()["running"] == ""


def test_nobody_waits_longer_than_they_said(shop: Shop, tmp_path: Path) -> None:
    with a_command_left_behind(shop, tmp_path) as left, shop.running("up", "--json") as first:
        first.wait_for("warned", lambda said: LEFT in said["message"])
        refused = shop.up("--wait", "1s").ended(4).result
        assert refused["message"].endswith("(waited 1 s)")
        left.kill()
        first.finish().ended(0)


@pytest.mark.slow
def test_a_project_that_is_locked_by_hand_is_released_by_nobody_until_it_is_unlocked(
    shop: Shop,
) -> None:
    second = shop.commit("Say what is new")
    why = "inventory until Monday"
    locked = shop.releasekit("lock", "-m", why, "--json", USER="kim").ended(0).result["frozen"]
    assert (locked["by"], locked["message"]) == ("kim", why)
    before = shop.app()
    for verb in (["up", second], ["rollback"], ["promote"], ["abort"], ["lock", "-m", "mine"]):
        wait = [] if verb[0] == "lock" else ["--wait", "2m"]
        refused = shop.releasekit(*verb, *wait, "--json").ended(4)
        assert refused.seconds < DEADLINE_S / 2
        assert "locked by kim from" in refused.result["message"]
        assert refused.result["message"].endswith(why)
        assert "releasekit unlock" in refused.result["hint"]
    assert shop.app() == before
    assert shop.status()["frozen"] == locked
    assert why in shop.releasekit("status").ended(0).stdout
    assert shop.releasekit("recover", "--json").ended(0).result["result"] == "nothing-to-do"
    assert shop.releasekit("unlock", "--json").ended(0).result["was"] == locked
    assert shop.status()["frozen"] is None
    assert shop.releasekit("unlock", "--json").ended(0).result["was"] is None
    shop.up(second).ended(0)
    assert_serves(shop, second)


@pytest.mark.parametrize("ends", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_compose_that_outlives_its_killed_run_is_waited_for_or_ended_before_anything_changes(
    shop: Shop, ends: bool
) -> None:
    second, third = shop.commit("Say what is new"), shop.commit("Say more")
    with shop.running("up", "--json", second) as run:
        run.wait_for_step("Start")
        orphans = composes(shop)
        for pid in orphans:
            os.kill(pid, signal.SIGSTOP)  # or else it might be done before the next run begins
        run.signal(signal.SIGKILL)
        run.finish().ended(-signal.SIGKILL)
    try:
        status = shop.status()
        assert any("was cut short amid Start" in problem for problem in status["problems"])
        with shop.running("up", "--json", third) as following:
            said = following.wait_for("warned", lambda said: LEFT in said["message"])
            assert "`docker compose" in said["message"]
            if ends:
                for pid in orphans:
                    os.kill(pid, signal.SIGCONT)
            ran = following.finish().ended(0)
    finally:
        for pid in orphans:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
    told = [event["message"] for event in ran.events if event["event"] == "warned"]
    assert any(("ended by itself" if ends else "was killed") in message for message in told)
    assert not any(is_alive(pid) for pid in orphans)
    assert_serves(shop, third)


def first_ended(runs: tuple[Running, ...]) -> Running:
    """Whichever of them is over first."""
    found: list[Running] = []

    def look() -> str:
        found[:] = [run for run in runs if not is_alive(run.pid)]
        return "" if found else "both go on"

    wait_until(look, deadline_s=DEADLINE_S, clock=MonotonicClock())
    return found[0]


def composes(shop: Shop) -> list[int]:
    """The processes of the `docker compose up` that starts the shop's new containers."""
    found: list[int] = []

    def look() -> str:
        found[:] = [
            int(folder.name)
            for folder in Path("/proc").glob("[0-9]*")
            if {f"{shop.name}-releases", "up"} <= {*words_of(folder)}
        ]
        return "" if len(found) > 1 else "compose did not begin"  # docker, and its plugin

    wait_until(look, deadline_s=DEADLINE_S, clock=MonotonicClock(), longest_pause_s=0.02)
    return found


def words_of(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    """Whether it runs, or could: a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_another_state_than_nginx_mounts_is_refused_and_nothing_is_touched(
    shop: Shop, tmp_path: Path
) -> None:
    """As another user has one, whose lock and journal know nothing of this one's."""
    second, before = shop.commit("Say what is new"), shop.containers()
    elsewhere = replace(shop, state=tmp_path / "state")
    refused = elsewhere.up(second).ended(2)
    assert f"nginx runs without the mount of {elsewhere.nginx_dir}" in refused.result["message"]
    assert shop.containers() == before
    assert_serves(shop, shop.first)
