"""What a plan says is true, tells no secret, and nothing is touched for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from releasekit.forecasting import route_diff
from releasekit.nginx.draft import shown
from tests.e2e.shop import Ran, Shop, docker

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
SECRETS = ("hunter2-hunter2", "0ther-secret", "tok-9f8e7d6c")


def snapshot(shop: Shop) -> tuple[object, ...]:
    """All that a plan must leave as it is; the lock too, which names its last holder."""
    lock = shop.state / shop.name / "lock"
    images = ["releasekit-base/*", *sorted(shop.images)]
    return (
        shop.containers(),
        shop.files(),
        lock.read_text() if lock.exists() else None,
        [path.stat().st_mtime_ns for path in sorted(shop.state.rglob("*"))],
        [docker("image", "ls", "-q", "--filter", f"reference={each}") for each in images],
        [shop.ids(kind) for kind in ("network", "volume")],
    )


def planned(shop: Shop, *args: str) -> dict[str, Any]:
    """What `plan` says as JSON; as text it tells no secret either, and neither touches anything."""
    before = snapshot(shop)
    said = shop.releasekit("plan", "--json", *args).ended(0)
    text = shop.releasekit("plan", *args).ended(0)
    assert snapshot(shop) == before
    for ran in (said, text):
        assert_discreet(ran)
    assert said.result["plan"]["steps"] == [] or said.result["route"] in text.stdout
    return said.result


def assert_discreet(ran: Ran) -> None:
    for secret in SECRETS:
        assert secret not in ran.stdout + ran.stderr, ran


def managed(shop: Shop) -> str:
    """nginx's file, as a plan may show it."""
    file = shop.nginx_dir / "releasekit.conf"
    return shown(file.read_text() if file.exists() else "", {})


def backing(told: dict[str, Any]) -> dict[str, str]:
    return {each["service"]: each["state"] for each in told["backing"]}


def test_it_tells_all_of_a_release_and_touches_nothing(shop: Shop, tmp_path: Path) -> None:
    team = shop.checkout(tmp_path / "team")
    team.write_env(API_TOKEN=SECRETS[2])
    (team.folder / "app.toml").write_text(f"key = '{SECRETS[0]}'\n")
    environment = "      SHOP_DRAIN_SECONDS: 30"
    team.edit(
        "compose.yaml",
        environment,
        "      SHOP_DRAIN_SECONDS: 31\n      API_TOKEN: ${API_TOKEN}\n"
        "    volumes: [./app.toml:/etc/app.toml:ro]",
    )
    team.edit("compose.prod.yaml", "    mem_limit: 256m", "    mem_limit: 300m\n    init: true")
    # The user's own `docker compose up -d` would restart redis for it; no release ever does.
    team.edit("compose.yaml", '"--appendonly", "yes"', f'"--requirepass", "{SECRETS[1]}"')
    second = team.commit("Say what is new", headline="Strawberries are here")
    told = planned(team, second)

    first, to = told["current"], told["plan"]["release"]
    assert (first.partition("~")[0], to.partition("~")[0]) == (shop.first, second)
    # Of other releases too that are still there.
    assert told["subjects"].items() >= {first: "Open the shop", to: "Say what is new"}.items()
    web, worker = told["services"]
    assert web == {
        "service": "web",
        "from": [first],
        "to": to,
        "strategy": "blue-green",
        "options": {},
        "replicas": {"before": 1, "after": 1},
        "health": "GET /up on port 8080 answers 200 within 30 s",
    }
    assert worker["health"] == "Docker's health check says so within 30 s"
    nothing: dict[str, list[str]] = {"added": [], "changed": [], "gone": []}
    assert told["changes"] == [
        {
            "service": "web",
            "image": True,
            "environment": {**nothing, "added": ["API_TOKEN"], "changed": ["SHOP_DRAIN_SECONDS"]},
            "config": {"added": ["init", "volumes"], "changed": ["mem_limit"], "gone": []},
            "settings": nothing,
            "files": {**nothing, "added": ["/etc/app.toml"]},
        },
        {
            "service": "worker",
            "image": True,
            **dict.fromkeys(("environment", "config", "settings", "files"), nothing),
        },
    ]
    # From another folder, nginx would mount another one.
    assert backing(told) == {"nginx": "differs", "postgres": "as it is", "redis": "differs"}
    memory = told["memory"]
    assert memory["needed_bytes"] == (300 + 128) * MIB
    assert memory["available_bytes"] > memory["needed_bytes"]
    assert memory["fits"] is True
    assert told["pulls"] == []
    text = team.releasekit("plan", second).ended(0).stdout
    assert "backing   nginx, redis: config differs from what runs, left alone\n" in text
    assert "          environment: SHOP_DRAIN_SECONDS changed, API_TOKEN added\n" in text

    now = managed(shop)
    team.up(second).ended(0)
    assert route_diff(now, managed(shop)) == told["route"]


def test_right_after_a_release_nothing_seems_to_differ(shop: Shop) -> None:
    """Whatever started the backing services: a release, or the team's own compose."""
    told = planned(shop, shop.first)

    assert told["plan"]["steps"] == []
    assert backing(told) == dict.fromkeys(("nginx", "postgres", "redis"), "as it is")
    assert told["changes"] is not None
    assert shop.releasekit("plan", shop.first, "--detailed-exitcode").status == 0


@pytest.fixture
def old_shop(tmp_path: Path) -> Iterator[Shop]:
    """Nothing of it runs, and its nginx looks no names up."""
    with Shop.opened(tmp_path / "old", nginx="1.22") as shop:
        yield shop


@pytest.mark.slow
def test_before_the_first_release_everything_is_new(old_shop: Shop) -> None:
    shop = old_shop
    told = planned(shop)

    assert not shop.state.exists()
    assert (told["current"], told["adopted"], told["changes"]) == ("", False, None)
    assert backing(told) == dict.fromkeys(("nginx", "postgres", "redis"), "starts")
    assert told["memory"]["needed_bytes"] == (256 + 128) * MIB
    web = f"{shop.name}-releases-web-blue-1"
    assert f"+    server <address of {web}>:8080 max_fails=0;" in told["route"]
    assert "from  nothing: this is the first release" in shop.releasekit("plan").stdout

    now = managed(shop)
    shop.up().ended(0)
    address = json.loads(docker("inspect", web))[0]["NetworkSettings"]["Networks"]
    (network,) = address.values()
    then = managed(shop).replace(f"{network['IPAddress']}:8080", f"<address of {web}>:8080")
    then = then.replace(f"{network['Gateway']} 0;", "<address of the host> 0;")
    assert route_diff(now, then) == told["route"]


@pytest.mark.slow
def test_after_recreate_nothing_seems_to_differ_either(empty_shop: Shop) -> None:
    """nginx starts beside the team's own containers: without its dependencies, which compose
    counts to its configuration."""
    shop = empty_shop
    shop.edit("compose.prod.yaml", "    mem_limit: 128m\n    cpus: 0.5", "    cpus: 0.5")
    first = shop.commit("Limit less")
    shop.up("--strategy", "recreate").ended(0)
    told = planned(shop, first)
    assert told["plan"]["steps"] == []
    assert backing(told) == dict.fromkeys(("nginx", "postgres", "redis"), "as it is")

    second = shop.commit("Say what is new", headline="Strawberries are here")
    told = planned(shop, second, "--strategy", "recreate")
    assert told["plan"]["downtime"] == ["web", "worker"]
    assert (told["memory"]["needed_bytes"], told["memory"]["services"]) == (0, [])

    told = planned(shop, second)
    web, worker = told["memory"]["services"]
    assert (web["each_bytes"], web["estimate"]) == (256 * MIB, "limit")
    assert worker["estimate"] == "in use"
    stats = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", f"{shop.name}-worker-1")
    used = float(stats.partition("MiB")[0]) * MIB
    assert worker["each_bytes"] == pytest.approx(used, rel=0.2)


@pytest.mark.slow
def test_a_stack_that_plain_compose_started_is_told_as_it_is(empty_shop: Shop) -> None:
    shop = empty_shop
    shop.compose("up", "-d", "--wait", tag=shop.first)
    shop.edit("releasekit.toml", 'path = "/up"', f'path = "/up?token={SECRETS[2]}"')
    second = shop.commit("Say what is new", headline="Strawberries are here")
    told = planned(shop, second)

    assert (told["current"].partition("~")[0], told["adopted"]) == (shop.first, True)
    assert [service["from"] for service in told["services"]] == [[told["current"]]] * 2
    assert told["changes"] is None
    assert told["services"][0]["health"].startswith("GET /up?token=••• on port 8080")
    assert "/up?token=•••;" in told["route"]
    assert backing(told) == dict.fromkeys(("nginx", "postgres", "redis"), "as it is")
    assert shop.releasekit("plan", second, "--detailed-exitcode").status == 2


@pytest.mark.slow
def test_without_an_nginx_there_is_no_route(empty_shop: Shop) -> None:
    shop = empty_shop
    for file, section in (
        ("compose.yaml", r"\n  nginx:.*?(?=\nvolumes:)"),
        ("compose.prod.yaml", r"\n  nginx:.*"),
        ("releasekit.toml", r"\n\[nginx\].*"),
    ):
        path = shop.folder / file
        path.write_text(re.sub(section, "\n", path.read_text(), flags=re.DOTALL))
    sha = shop.commit("Do without nginx")
    told = planned(shop, sha, "--strategy", "recreate")

    assert told["route"] == ""
    assert backing(told) == dict.fromkeys(("postgres", "redis"), "starts")


@pytest.mark.slow
def test_an_image_that_is_not_there_yet_would_be_pulled_first(shop: Shop, tmp_path: Path) -> None:
    team = shop.checkout(tmp_path / "team")
    team.git("commit", "--quiet", "--allow-empty", "-m", "Not built yet")
    sha = team.git("rev-parse", "HEAD")

    assert planned(team)["pulls"] == [f"shop:{sha}"]
