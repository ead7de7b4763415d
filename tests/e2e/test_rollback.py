"""Going back: to what ran, exactly, whatever became of the folder it was made from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.shop import Shop, assert_none_lost, assert_serves, docker

pytestmark = pytest.mark.e2e


def test_it_goes_one_release_back_each_time_or_to_the_one_that_a_prefix_names(
    empty_shop: Shop,
) -> None:
    shop = empty_shop
    second = shop.commit("Say what is new")
    third = shop.commit("Say more")
    for sha in (shop.first, second, third):
        shop.up(sha).ended(0)
    shop.up(shop.broken("exit")).ended(1)

    assert shop.rollback().ended(0).result["result"] == "rolled-back"
    assert_serves(shop, second)
    shop.rollback().ended(0)
    assert_serves(shop, shop.first)

    running = shop.running_app()
    ran = shop.rollback().ended(2)
    assert f"{shop.first[:7]} is the first release" in ran.result["message"]
    assert shop.running_app() == running

    shop.rollback(third[:8]).ended(0)
    assert_serves(shop, third)


def test_an_unknown_prefix_is_answered_with_what_is_stored(shop: Shop) -> None:
    running = shop.running_app()
    ran = shop.rollback("ffffffff").ended(2)
    assert "no stored release begins with 'ffffffff'" in ran.result["message"]
    assert ran.result["hint"].startswith("stored: ")
    assert "`releasekit history` has them all" in ran.result["hint"]
    assert shop.running_app() == running


def test_a_warm_one_only_moves_the_route(shop: Shop, tmp_path: Path) -> None:
    option = "RELEASEKIT_STRATEGIES__BLUE_GREEN__KEEP_PREVIOUS"
    warm = shop.checkout(tmp_path / "warm", **{option: "running"})
    second = warm.commit("Say what is new")
    with shop.load() as load:
        warm.up(second).ended(0)
        web = {name: c for name, c in shop.running_app().items() if "-web-" in name}
        ran = warm.rollback().ended(0)
        assert_serves_beside(warm, second)
    assert_none_lost(shop, load.report)
    assert not [step for step in ran.plan if step["step"] == "Start" and "web" in step["what"]]
    assert {name: c for name, c in shop.running_app().items() if "-web-" in name} == web


def assert_serves_beside(shop: Shop, other: str) -> None:
    """The first release answers and does the jobs; of the `other` the web service waits."""
    assert shop.serving() == shop.first
    assert shop.working() == shop.first
    running = {(r["service"], r["release"][:40]) for r in shop.status()["replicas"] if r["running"]}
    assert running == {("web", shop.first), ("worker", shop.first), ("web", other)}


def test_it_brings_back_the_image_and_the_environment_of_then(shop: Shop, tmp_path: Path) -> None:
    team = shop.checkout(tmp_path / "team")
    team.edit("compose.yaml", "SHOP_FAULT:", "SHOP_FAULT:\n  GREETING: ${GREETING}")
    team.write_env(GREETING="'good $morning'")
    sha = team.commit("Greet")
    team.up(sha).ended(0)
    (before,) = web_of(team, sha)

    team.write_env(GREETING="'good $night'")
    team.up(sha).ended(0)
    (between,) = web_of(team, sha) - {before}
    assert team.environment_of(between)["GREETING"] == "good $night"

    team.rollback().ended(0)
    (after,) = web_of(team, sha) & shop.running_app().keys()
    assert team.environment_of(after)["GREETING"] == "good $morning"
    assert team.environment_of(after)["RELEASE"] == sha


def web_of(shop: Shop, sha: str) -> set[str]:
    """The web containers of this commit's releases."""
    return {n for n in shop.app() if "-web-" in n and shop.commit_of(n).startswith(sha)}


def test_it_needs_neither_compose_file_nor_git_nor_tags(shop: Shop, tmp_path: Path) -> None:
    team = shop.checkout(tmp_path / "team")
    second = team.commit("Say what is new")
    third = team.commit("Say more")
    for sha in (second, third):
        team.up(sha).ended(0)
    image = docker("image", "inspect", "-f", "{{.Id}}", f"shop:{second}").strip()

    (team.folder / "compose.yaml").write_text("services: [")
    shutil.rmtree(team.folder / ".git")
    # A tag more, or `rm` would take the image away from under its stopped container.
    docker("image", "tag", image, f"{team.name}:kept")
    team.images.add(f"{team.name}:kept")
    docker("image", "rm", "--force", f"shop:{second}", f"shop:{third}")
    team.rollback().ended(0)

    assert_serves(team, second)
    images = {shop.app()[name].image for name in shop.running_app()}
    assert images == {image}


def test_an_image_that_is_gone_is_told_before_anything_stops(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    third = shop.commit("Say more")
    for sha in (second, third):
        shop.up(sha, "--strategy", "recreate").ended(0)
    docker("image", "rm", "--force", f"shop:{second}")
    before = shop.containers()
    ran = shop.rollback().ended(2)
    assert f"{second[:7]} cannot come back: its image of web, worker" in ran.result["message"]
    assert f"releasekit up {second[:7]}" in ran.result["hint"]
    assert shop.containers() == before
