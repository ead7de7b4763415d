"""What makes a release, and what keeps it from being one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasekit.bundle import BundleStore
from releasekit.preparing import Draft, draft, pin, problems
from releasekit.release import Release
from releasekit.settings import Settings
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.mixed import Chosen, Mix
from releasekit.strategies.recreate import Recreate
from releasekit.target import Migration, Service, Target

TAG = "3f2a9c1" + "0" * 33
NGINX_DIR = "/var/lib/releasekit/shop/nginx"
WEB: dict[str, Any] = {"image": f"shop:{TAG}", "expose": ["8080"], "healthcheck": {"test": ["x"]}}
NGINX = {
    "image": "nginx:1.30",
    "volumes": [{"type": "bind", "source": NGINX_DIR, "target": "/etc/nginx/releasekit"}],
}

WORKER: dict[str, Any] = {"image": f"shop:{TAG}"}
BLUE_GREEN = Mix.single(BlueGreen())
RECREATED = Chosen(Recreate(), Recreate.options())


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


HOOK = {"pre_release": {"service": "web", "run": ["bin/migrate"], "timeout": 5}}


def hooked(web: Mapping[str, Any] = WEB, **hook: Any) -> list[str]:
    settings = {"hooks": {"pre_release": {**HOOK["pre_release"], **hook}}}
    return problems(drafted({"web": web, "nginx": NGINX}, settings), BLUE_GREEN, NGINX_DIR)


def test_a_migration_is_stored_with_its_command_and_planners_know_where_it_runs() -> None:
    host: Any = NoFiles()
    made = drafted({"web": WEB, "nginx": NGINX}, {"hooks": HOOK})
    bundle = pin(made, host, BundleStore(host, "/state"), {"web": "sha256:1"}).bundle
    assert bundle.target().migration == Migration("web", 5.0)
    assert bundle.migration is not None
    assert bundle.migration.run == ("bin/migrate",)
    assert type(bundle).from_json(bundle.to_json()) == bundle


def test_a_migration_makes_no_other_release() -> None:
    assert release_id({"hooks": HOOK}) == release_id({})


@pytest.mark.parametrize("service", ["wep", "nginx"])
def test_a_migration_runs_in_a_service_of_the_release(service: str) -> None:
    (problem,) = hooked(service=service)
    assert problem.startswith(f"hooks.pre_release.service: {service!r} is no service that")
    assert problem.endswith("there are: web")


def test_a_migration_runs_in_no_service_that_shares_anothers_network() -> None:
    tied = "hooks.pre_release.service: services.web.network_mode"
    problems = hooked({**WEB, "network_mode": "service:nginx"})
    assert [problem for problem in problems if problem.startswith(tied)]


def test_a_migration_may_run_on_the_hosts_network_or_beside_published_ports() -> None:
    ports = [{"target": 8080, "published": "80"}]
    for web in ({**WEB, "network_mode": "host"}, {**WEB, "ports": ports}):
        assert not [p for p in hooked(web) if p.startswith("hooks")]


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

    (problem,) = problems(made, BLUE_GREEN, NGINX_DIR)

    assert "[services.web] port = …" in problem
    assert problems(made, Mix.single(Recreate()), NGINX_DIR) == []


def test_two_slots_need_an_nginx() -> None:
    (problem,) = problems(drafted({"web": WEB}), BLUE_GREEN, NGINX_DIR)

    assert "--strategy recreate" in problem


def test_no_health_check_names_both_ways_to_give_one() -> None:
    web = {"image": WEB["image"], "expose": ["8080"]}
    made = drafted({"web": web, "nginx": NGINX})

    (problem,) = problems(made, BLUE_GREEN, NGINX_DIR)

    assert 'health = { path = "/up" }' in problem
    assert "`healthcheck:` in the compose file" in problem


# What a service waits for


def needs(*names: str) -> dict[str, Any]:
    return {"depends_on": {name: {"condition": "service_started"} for name in names}}


def after(
    services: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> dict[str, tuple[str, ...]]:
    made = drafted(services, settings).services
    return {bundled.service.name: bundled.service.after for bundled in made}


def test_workers_start_once_all_that_users_ask_is_healthy() -> None:
    services = {"web": WEB, "api": WEB, "worker": WORKER, "clock": WORKER}

    assert after(services) == {
        "api": (),
        "web": (),
        "clock": ("api", "web"),
        "worker": ("api", "web"),
    }


def test_workers_that_need_not_wait_do_not() -> None:
    services = {"web": WEB, "worker": WORKER, "clock": {**WORKER, **needs("worker")}}

    assert after(services, {"workers_wait": False}) == {
        "web": (),
        "worker": (),
        "clock": ("worker",),
    }


def test_a_service_waits_for_those_it_depends_on_also_through_others() -> None:
    services = {
        "web": {**WEB, **needs("api")},
        "api": {**WEB, **needs("db")},
        "db": {"image": "postgres:15", **needs("auth")},
        "auth": WEB,
    }

    assert after(services) == {"web": ("api", "auth"), "api": ("auth",), "auth": ()}


def test_a_web_that_depends_on_a_worker_does_not_wait_for_itself() -> None:
    services = {"web": {**WEB, **needs("worker")}, "worker": WORKER, "clock": WORKER}

    assert after(services) == {"worker": (), "web": ("worker",), "clock": ("web",)}


def test_webs_that_depend_on_each_other_s_workers_do_not_wait_in_a_circle() -> None:
    services = {
        "web": {**WEB, **needs("worker")},
        "api": {**WEB, **needs("clock")},
        "worker": WORKER,
        "clock": WORKER,
    }

    assert after(services) == {"web": ("worker",), "api": ("clock",), "worker": (), "clock": ()}


@given(
    asked=st.sets(st.integers(0, 5)),
    edges=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda e: e[0] < e[1])),
)
def test_whatever_depends_on_what_nothing_waits_in_a_circle(
    asked: set[int], edges: set[tuple[int, int]]
) -> None:
    services = {
        f"s{n}": {
            **(WEB if n in asked else WORKER),
            **needs(*(f"s{e}" for f, e in edges if f == n)),
        }
        for n in range(6)
    }
    made = drafted(services).services
    target = Target("shop", "", tuple(bundled.service for bundled in made))

    started: set[str] = set()
    for wave in target.waves():
        assert all({*service.after} <= started for service in wave)
        started |= {service.name for service in wave}


# Services that nginx sends nothing


def worker(
    settings: Mapping[str, Any], mix: Mix = BLUE_GREEN, *, image: Any = None, **compose: Any
) -> list[str]:
    """What is wrong with a release of a web and of a worker with these settings."""
    services = {"web": WEB, "nginx": NGINX, "worker": {"image": f"worker:{TAG}", **compose}}
    made = drafted(services, {"services": {"worker": settings}})
    found = {f"worker:{TAG}": {"Id": "sha256:2", "Config": {"Healthcheck": image}}}
    return problems(replace(made, found=found), mix, NGINX_DIR)


def test_a_worker_that_nothing_asks_needs_that_somebody_says_so() -> None:
    (problem,) = worker({})

    assert problem.startswith("services.worker: blue-green needs a health check")
    assert '`health = { settle = "10s" }`' in problem
    assert worker({"health": {"settle": "10s"}}) == []


def test_what_a_worker_s_settings_say_is_what_a_release_knows_of_it() -> None:
    said = {"health": {"settle": "10s", "timeout": "20s"}, "overlap": False, "replicas": 0}
    made = drafted({"worker": WORKER}, {"services": {"worker": said}})

    (bundled,) = made.services

    assert bundled.health is None
    assert bundled.service == Service(
        "worker", replicas=0, health_timeout_s=20.0, overlaps=False, settle_s=10.0
    )


@pytest.mark.parametrize(
    "checked",
    [
        {"healthcheck": {"test": ["CMD", "true"]}},
        {"image": {"Test": ["CMD", "true"]}},
        {"image": {"Test": ["CMD", "true"]}, "healthcheck": {"interval": "1s"}},
    ],
)
def test_a_worker_that_docker_checks_need_not_settle(checked: dict[str, Any]) -> None:
    (problem,) = worker({"health": {"settle": "10s"}}, **checked)

    assert problem.startswith("services.worker.health.settle: it has a health check of Docker's")
    assert worker({}, **checked) == []


@pytest.mark.parametrize(
    "unchecked",
    [
        {"image": {"Test": ["NONE"]}},
        {"image": {"Test": ["CMD", "true"]}, "healthcheck": {"disable": True}},
        {"image": {"Test": ["CMD", "true"]}, "healthcheck": {"test": ["NONE"]}},
    ],
)
def test_a_check_that_is_switched_off_is_none(unchecked: dict[str, Any]) -> None:
    (problem,) = worker({}, **unchecked)

    assert "needs a health check" in problem
    assert worker({"health": {"settle": "10s"}}, **unchecked) == []


@pytest.mark.parametrize("mix", [BLUE_GREEN, Mix.single(Recreate())])
def test_what_can_be_asked_does_not_just_settle(mix: Mix) -> None:
    (problem,) = worker({"port": 8080, "health": {"settle": "10s"}}, mix)

    assert problem.startswith("services.worker.health.settle: it answers at a port, so ask it")


@pytest.mark.parametrize(
    ("settings", "mix"),
    [
        ({"overlap": False}, BLUE_GREEN),
        ({}, Mix(BLUE_GREEN.default, {"worker": RECREATED})),
    ],
)
def test_a_worker_that_is_recreated_may_be_what_cannot_run_twice(
    settings: dict[str, Any], mix: Mix
) -> None:
    assert worker(settings, mix, container_name="worker") == []
    assert worker({}, BLUE_GREEN, container_name="worker") != []


# Names


@pytest.mark.parametrize("name", ["_web", "-web", ".web"])
def test_a_name_that_nginx_cannot_have_is_refused_before_anything_is_touched(name: str) -> None:
    (problem,) = problems(drafted({name: WEB, "nginx": NGINX}), BLUE_GREEN, NGINX_DIR)

    assert problem == (
        f"services.{name}: nginx can have no upstream of this name; rename the service so that it "
        "begins with a letter or digit"
    )


def test_a_worker_may_be_called_as_compose_lets_it() -> None:
    said = {"services": {"_worker": {"health": {"settle": "10s"}}}}
    made = drafted({"web": WEB, "_worker": WORKER, "nginx": NGINX}, said)

    assert problems(made, BLUE_GREEN, NGINX_DIR) == []
