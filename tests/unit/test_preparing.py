"""What makes a release, and what keeps it from being one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from releasekit.bundle import BundleStore
from releasekit.preparing import Draft, draft, pin, problems
from releasekit.release import Release
from releasekit.settings import Settings
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.recreate import Recreate

TAG = "3f2a9c1" + "0" * 33
NGINX_DIR = "/var/lib/releasekit/shop/nginx"
WEB: dict[str, Any] = {"image": f"shop:{TAG}", "expose": ["8080"], "healthcheck": {"test": ["x"]}}
NGINX = {
    "image": "nginx:1.30",
    "volumes": [{"type": "bind", "source": NGINX_DIR, "target": "/etc/nginx/releasekit"}],
}


class NoFiles:
    """A host on which no file is there."""

    def digest(self, path: str) -> None:
        return None

    def read(self, path: str) -> None:
        return None


def drafted(
    services: Mapping[str, Any], settings: Mapping[str, Any] | None = None, tag: str = TAG
) -> Draft:
    model = {"name": "shop", "services": dict(services)}
    return draft(
        Release(tag), Settings.model_validate(settings or {}), "/srv/shop", model, model, tag
    )


def release_id(settings: Mapping[str, Any], images: Mapping[str, str] | None = None) -> str:
    host: Any = NoFiles()
    made = drafted({"web": WEB, "nginx": NGINX}, settings)
    return pin(made, host, BundleStore(host, "/state"), images or {"web": "sha256:1"}).bundle.id


def test_a_release_is_its_tag_and_a_digest() -> None:
    assert release_id({}).startswith(f"{TAG}~")
    assert release_id({}) == release_id({})


@pytest.mark.parametrize(
    "changed",
    [
        {"services": {"web": {"port": 9090}}},
        {"services": {"web": {"replicas": 3}}},
        {"services": {"web": {"health": {"path": "/up"}}}},
        {"services": {"web": {"health": {"path": "/up", "statuses": [204]}}}},
    ],
)
def test_how_it_is_asked_makes_another_release_of_the_same_tag(changed: dict[str, Any]) -> None:
    """A bundle stored with a wrong port must not come back as the corrected release."""
    assert release_id(changed) != release_id({})


def test_another_image_of_the_same_tag_is_another_release() -> None:
    assert release_id({}, {"web": "sha256:2"}) != release_id({})


def test_limits_of_time_make_no_other_release() -> None:
    assert release_id({"services": {"web": {"drain": "1s"}}}) == release_id({})


def test_nginx_is_no_app_service_even_if_it_is_built() -> None:
    built = {**NGINX, "build": {"context": "nginx"}}

    assert drafted({"web": WEB, "nginx": built}).app == ("web",)


def test_a_tag_that_others_have_too_makes_no_app_service_of_them() -> None:
    model = {"name": "shop", "services": {"web": WEB, "db": {"image": "postgres:latest"}}}
    probe = {"name": "shop", "services": {"web": WEB, "db": {"image": "postgres:latest"}}}
    made = draft(Release("latest"), Settings(), "/srv/shop", model, probe, TAG)

    assert made.app == ("web",)


def test_a_web_without_a_port_is_refused_where_nginx_should_ask_it() -> None:
    """Taken for a worker it would be stopped under nginx's requests."""
    made = drafted({"web": {**WEB, "expose": []}, "nginx": NGINX})

    (problem,) = problems(made, BlueGreen(), NGINX_DIR)

    assert "[services.web] port = …" in problem
    assert problems(made, Recreate(), NGINX_DIR) == []


def test_two_slots_need_an_nginx() -> None:
    (problem,) = problems(drafted({"web": WEB}), BlueGreen(), NGINX_DIR)

    assert "--strategy recreate" in problem


def test_no_health_check_names_both_ways_to_give_one() -> None:
    web = {"image": WEB["image"], "expose": ["8080"]}
    made = drafted({"web": web, "nginx": NGINX})

    (problem,) = problems(made, BlueGreen(), NGINX_DIR)

    assert 'health = { path = "/up" }' in problem
    assert "`healthcheck:` in the compose file" in problem
