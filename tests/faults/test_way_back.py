"""A way back that fails: said loudly, tried once, and over as soon as a run ends well."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.faults.stage import Fault, Pair, Team, assert_settled, standing

pytestmark = pytest.mark.e2e

Commands = list[list[str]]


def previous_release_gone(team: Team) -> Commands:
    """Its containers and its image are removed: it cannot run again."""
    names = list(team.replicas())
    image = team.shop.containers()[names[0]].image
    removed = ["docker", "container", "rm", "--force", *names]
    return [removed, ["docker", "image", "rm", "--force", image]]


def nginx_misconfigured(team: Team) -> Commands:
    """Somebody breaks the team's own nginx configuration: it loads nothing any more."""
    return [["sh", "-c", f"echo broken >>{team.shop.folder}/nginx/nginx.conf"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "meanwhile",
    [previous_release_gone, nginx_misconfigured],
)
def test_a_way_back_that_fails_is_loud_and_stays_so_until_a_run_ends_well(
    pair: Pair, meanwhile: Callable[[Team], Commands]
) -> None:
    team, first, second = standing(pair, "watched")
    shop = team.shop
    doomed = shop.commit("This one will be missed")
    team.up(doomed).ended(0)

    ran = team.up(second, *failing(team, second, meanwhile(team))).ended(3)
    assert "the way back failed too" in ran.result["message"]
    # It is tried once, and leaves users with what serves them.
    kinds = [event["kind"] for event in ran.events if event["event"] == "run_started"]
    assert kinds == ["up", "revert"]
    assert shop.serving() == second

    for _ in range(2):  # to look changes nothing
        status = shop.status()
        assert status["degraded"]
        assert status["problems"][0].startswith("degraded: ")
    assert shop.history()[0]["result"] == "degraded"

    shop.git("checkout", "--", "nginx")
    team.up(second).ended(0)
    assert shop.status()["degraded"] is False
    team.up(first).ended(0)
    assert_settled(team, first)


def failing(team: Team, sha: str, commands: Sequence[Sequence[str]]) -> list[Fault]:
    """These commands run when the new release has all the traffic, and then it fails."""
    error = team.fault(sha, "ConfirmRoute", when="after", how="error")
    return [*({**error, "how": "command", "argv": argv} for argv in commands), error]
