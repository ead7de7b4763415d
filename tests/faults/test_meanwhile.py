"""What others do in the midst of a release, and what becomes of a container that was healthy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.shop import docker
from tests.faults.stage import Pair, assert_fit, assert_settled, standing
from tests.faults.ways import MOMENTS

pytestmark = pytest.mark.e2e

slow = pytest.mark.slow
AWAY_S = 3


@slow
def test_a_tag_that_moves_meanwhile_moves_nothing(pair: Pair) -> None:
    """What was looked at is what runs: images are pinned by their digests."""
    team, first, second = standing(pair, "watched")
    image = image_of(second)
    tag = ("docker", "image", "tag", f"shop:{first}", f"shop:{second}")
    moved = team.meanwhile(second, "Start", *tag)
    try:
        team.up(second, moved).ended(0)
    finally:
        docker("image", "tag", image, f"shop:{second}")
    assert_settled(team, second)


@slow
def test_a_tag_that_moved_since_the_plan_is_another_release(pair: Pair) -> None:
    team, first, second = standing(pair, "watched")
    image = image_of(second)
    docker("image", "tag", f"shop:{first}", f"shop:{second}")
    try:
        moved = team.up(second).ended(0).result["release"]
    finally:
        docker("image", "tag", image, f"shop:{second}")
    assert team.shop.serving() == first
    assert team.up(second).ended(0).result["release"] != moved
    assert_settled(team, second)


def image_of(sha: str) -> str:
    return docker("image", "inspect", "--format", "{{.Id}}", f"shop:{sha}").strip()


@slow
def test_an_image_of_another_commit_that_answers_200_is_taken_back(pair: Pair) -> None:
    """It is healthy, and what users get is not what was asked for: the public page tells."""
    team, first, second = standing(pair, "blue-green")
    shop = team.shop
    wrong = shop.commit("Mistaken for another")
    docker("image", "tag", f"shop:{first}", f"shop:{wrong}")
    asked = {
        "RELEASEKIT_BAKE__DURATION": "1s",
        "RELEASEKIT_BAKE__URL": f"{shop.url}/api/release",
        "RELEASEKIT_BAKE__RELEASE_HEADER": "X-Release",
    }
    team.up(second).ended(0)
    with team.load() as load:
        with team.running(wrong, **asked) as up:
            ran = up.finish().ended(1)
        assert f"{second[:7]} serves as before" in ran.result["message"]
        assert_settled(team, second)
    assert_fit(shop, load.report)


@slow
@pytest.mark.parametrize("fault", ["crash-when-ready", "oom-when-ready"])
def test_what_breaks_after_it_was_healthy_is_taken_back_while_it_is_watched(
    pair: Pair, fault: str
) -> None:
    team, first, _ = standing(pair, "watched")
    sick = team.shop.broken(fault)
    with team.running(sick, WATCH_SECONDS="60") as up:
        ran = up.finish().ended(1)
    assert f"{first[:7]} serves as before" in ran.result["message"]
    assert "Watch" in ran.steps
    assert_settled(team, first)


@slow
@pytest.mark.parametrize("step", MOMENTS)
def test_an_engine_that_goes_away_for_good_is_told_and_one_command_puts_it_right(
    pair: Pair, step: str, tmp_path: Path
) -> None:
    """The containers run on, as they do with `live-restore`; docker answers nothing any more."""
    team, _, second = standing(pair, "watched")
    gone = team.meanwhile(second, step, "rm", str(engine(tmp_path)))
    with team.load() as load:
        with team.running(second, gone, **reached(tmp_path)) as up:
            ran = up.finish()
        assert ran.status in (0, 3), ran
        assert ran.status == 0 or "does not answer" in ran.result["message"]
        team.up(second).ended(0)
        assert_settled(team, second)
    assert_fit(team.shop, load.report)


@slow
@pytest.mark.parametrize("step", MOMENTS)
def test_an_engine_that_restarts_is_waited_for(pair: Pair, step: str, tmp_path: Path) -> None:
    """Whatever the run comes to, it needs nobody: the previous release serves, or the new one."""
    team, first, second = standing(pair, "watched")
    socket = engine(tmp_path)
    script = f"mv {socket} {socket}.away; (sleep {AWAY_S}; mv {socket}.away {socket}) >&- 2>&- &"
    with team.load() as load:
        away = team.meanwhile(second, step, "sh", "-c", script)
        with team.running(second, away, **reached(tmp_path)) as up:
            ran = up.finish()
        assert ran.status in (0, 1), ran
        assert team.shop.serving() == (first if ran.status else second)
        team.up(second).ended(0)
        assert_settled(team, second)
    assert_fit(team.shop, load.report)


def engine(folder: Path) -> Path:
    """A way to the engine that can be taken away without touching the engine."""
    host = docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").strip()
    socket = folder / "docker.sock"
    socket.symlink_to(host.removeprefix("unix://"))
    return socket


def reached(folder: Path) -> dict[str, str]:
    return {"DOCKER_HOST": f"unix://{folder}/docker.sock"}
