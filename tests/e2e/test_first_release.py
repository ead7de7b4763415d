"""The first release on a machine that has never seen one, and what `up` leaves alone."""

from __future__ import annotations

import re
import stat
from datetime import datetime
from pathlib import Path

import pytest

from tests.e2e.shop import Shop, assert_serves, docker

pytestmark = pytest.mark.e2e


def test_it_starts_everything_and_nginx_with_its_route(empty_shop: Shop) -> None:
    shop = empty_shop
    ran = shop.up().ended(0)
    assert ran.result["result"] == "released"
    assert ran.result["previous"] == ""
    assert_serves(shop, shop.first)

    route = shop.nginx_dir / "releasekit.conf"
    nginx = shop.backing()[f"{shop.name}-nginx-1"]
    assert route.stat().st_mtime < datetime.fromisoformat(nginx.started).timestamp()
    assert nginx.restarts == 0
    assert stat.S_IMODE((shop.state / shop.name).stat().st_mode) == 0o700
    secret = [path for path in shop.state.rglob("*") if path.is_file() and path != route]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    telling = {path.name for path in (route, *secret) if "s3cret" in path.read_text()}
    assert telling == {"bundle.json"}


def test_a_first_one_that_fails_leaves_no_app_container_and_the_next_may_be_a_rolling_one(
    empty_shop: Shop,
) -> None:
    shop = empty_shop
    ran = shop.up(shop.broken("exit")).ended(1)
    assert "nothing serves: it was the first" in ran.result["message"]
    assert shop.app() == {}

    shop.configure(strategy="rolling", web="replicas = 2")
    ran = shop.up(shop.first).ended(0)
    assert ran.steps.count("Route") == 1
    assert_serves(shop, shop.first, web=2)


def test_an_nginx_without_the_include_is_refused_first(empty_shop: Shop) -> None:
    shop = empty_shop
    shop.edit("nginx/nginx.conf", "include /etc/nginx/releasekit/*.conf;", "")
    ran = shop.up(shop.first).ended(2)
    assert "does not include /etc/nginx/releasekit" in ran.result["message"]
    assert "`include /etc/nginx/releasekit/*.conf;` to `http { }`" in ran.result["message"]
    assert shop.containers() == {}


def test_a_second_up_of_the_same_commit_touches_nothing(shop: Shop) -> None:
    before = shop.containers(), shop.files()
    ran = shop.up(shop.first).ended(0)
    assert ran.result["result"] == "nothing-to-do"
    assert (shop.containers(), shop.files()) == before
    assert "nothing to do" in shop.releasekit("up", shop.first).ended(0).stderr


def test_a_dirty_tree_is_refused(shop: Shop, tmp_path: Path) -> None:
    team = shop.checkout(tmp_path / "team")
    team.edit("shop/page.html", "</body>", "<p>soon</p></body>")
    before = shop.containers(), shop.files()
    ran = team.up().ended(2)
    assert "shop/page.html" in ran.result["message"]
    assert "--dirty" in ran.result["hint"]
    assert (shop.containers(), shop.files()) == before


def test_a_dirty_tree_is_released_by_an_image_of_its_own(shop: Shop, tmp_path: Path) -> None:
    team = shop.checkout(tmp_path / "team")
    team.edit("shop/page.html", "</body>", "<p>soon</p></body>")
    ran = team.up("--dirty").ended(2)
    (image,) = re.findall(r"shop:[0-9a-f]{40}-dirty-[0-9a-f]{12}", ran.result["message"])
    assert f"docker build -t {image} ." in ran.result["hint"]

    docker("image", "tag", f"shop:{team.first}", image)
    team.images.add(image)
    team.up("--dirty").ended(0)
    assert f"shop:{team.status()['live']}".startswith(image)
