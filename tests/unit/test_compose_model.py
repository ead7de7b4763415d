"""The compose model on small dicts: what it answers, and what it becomes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from releasekit.compose import model as models
from releasekit.compose import problems, transform
from releasekit.observed import PLAIN
from releasekit.steps import replica_names

TAG = "3f2a9c1" + "0" * 33
NGINX_DIR = "/var/lib/releasekit/shop/nginx"
LINE = f"`- ${{RELEASEKIT_NGINX_DIR:-{NGINX_DIR}}}:/etc/nginx/releasekit:ro`"


def bind(source: str, target: str) -> dict[str, Any]:
    return {"type": "bind", "source": source, "target": target, "bind": {"create_host_path": True}}


def volume(source: str, target: str) -> dict[str, Any]:
    return {"type": "volume", "source": source, "target": target, "volume": {}}


def needs(*names: str, condition: str = "service_started") -> dict[str, Any]:
    return {name: {"condition": condition, "required": True} for name in names}


def model(**services: dict[str, Any]) -> dict[str, Any]:
    return {"name": "shop", "services": services, "networks": {"default": {"name": "shop_default"}}}


def shop() -> dict[str, Any]:
    """A project as compose prints it: web and worker are app services."""
    return {
        "name": "shop",
        "services": {
            "db": {
                "image": "postgres:15",
                "networks": {"back": None},
                "volumes": [volume("data", "/data"), bind("/srv/db.conf", "/db.conf")],
                "secrets": [{"source": "shared", "target": "/run/secrets/shared"}],
            },
            "nginx": {
                "image": "nginx:1.30",
                "depends_on": needs("web"),
                "networks": {"default": None},
                "ports": [{"target": 80, "published": "80", "protocol": "tcp"}],
                "volumes": [bind(NGINX_DIR, "/etc/nginx/releasekit")],
            },
            "web": {
                "image": f"shop:{TAG}",
                "build": {"context": "/src"},
                "container_name": "shop",
                "command": ["serve"],
                "depends_on": needs("db", "worker"),
                "deploy": {"replicas": 3, "resources": {"limits": {"memory": "67108864"}}},
                "environment": {"PASSWORD": "a$$b", "PASSED_ON": None},
                "expose": ["8080"],
                "healthcheck": {"test": ["CMD", "true"]},
                "labels": {"team": "shop"},
                "networks": {"default": None, "back": {"aliases": ["site"], "priority": 1}},
                "ports": [{"target": 8080, "published": "8080", "protocol": "tcp"}],
                "profiles": ["all"],
                "restart": "always",
                "secrets": [
                    {"source": "own", "target": "/run/secrets/own"},
                    {"source": "shared", "target": "/run/secrets/shared"},
                ],
                "volumes": [
                    volume("media", "/media"),
                    {"type": "volume", "target": "/anonymous", "volume": {}},
                    {"type": "tmpfs", "target": "/tmp"},
                    {**bind("/src/app.ini", "/app.ini"), "read_only": True},
                ],
            },
            "worker": {
                "image": f"registry:5000/shop:{TAG}@sha256:{'0' * 64}",
                "network_mode": "none",
                "depends_on": needs("db"),
                "scale": 2,
            },
        },
        "networks": {
            "default": {"name": "shop_default", "ipam": {}},
            "back": {"name": "intranet", "external": True},
        },
        "volumes": {
            "data": {"name": "shop_data"},
            "media": {"name": "shop_media", "driver_opts": {"type": "nfs"}},
        },
        "secrets": {
            "own": {"name": "shop_own", "file": "/src/own$$.txt"},
            "shared": {"name": "shop_shared", "file": "/src/shared.txt"},
        },
    }


APP = ("web", "worker")


class TestAppServices:
    @pytest.mark.parametrize(
        ("service", "is_app"),
        [
            ({"image": f"shop:{TAG}"}, True),
            ({"image": f"localhost:5000/team/shop:{TAG}"}, True),
            ({"image": f"shop:{TAG}@sha256:{'0' * 64}"}, True),
            ({"build": {"context": "."}}, True),
            ({"image": "shop:latest"}, False),
            ({"image": "shop"}, False),
            ({"image": f"shop:v{TAG}"}, False),
            ({"image": f"localhost:5000/{TAG}"}, False),
        ],
    )
    def test_is_what_carries_the_tag_or_is_built(
        self, service: dict[str, Any], is_app: bool
    ) -> None:
        assert models.app_services(model(web=service), TAG) == (("web",) if is_app else ())

    def test_is_what_settings_name_and_no_more(self) -> None:
        plain = {"image": "redis:7"}

        assert models.app_services(model(a=plain, b=plain), TAG, ("b", "nowhere")) == ("b",)

    def test_come_dependencies_first_then_by_name(self) -> None:
        app = {"image": f"shop:{TAG}"}
        found = models.app_services(
            model(a=app | {"depends_on": needs("z", "db")}, b=app, db={"image": "x"}, z=app), TAG
        )

        assert found == ("b", "z", "a")

    def test_backing_services_keep_their_order_across_an_app_service(self) -> None:
        """nginx waits for web, which waits for z: without web z still comes first."""
        chain = model(
            nginx={"depends_on": needs("web")}, web={"depends_on": needs("z")}, z={}, db={}
        )

        assert models.backing_order(chain, ("web",)) == ("db", "z", "nginx")

    def test_a_dependency_on_a_service_of_a_disabled_profile_counts_for_nothing(self) -> None:
        assert models.backing_order(model(a={"depends_on": needs("gone")}), ()) == ("a",)


class TestQuestions:
    @pytest.mark.parametrize(
        ("service", "port"),
        [
            ({}, None),
            ({"expose": ["8080"]}, 8080),
            ({"expose": ["8080/tcp", "9/udp"]}, None),
            ({"expose": [8080]}, 8080),
            ({"expose": ["8080", "8081"]}, None),
            ({"expose": ["8080-8090"]}, None),
            ({"expose": ["8080"], "ports": [{"target": 9090}]}, 8080),
            ({"ports": [{"target": 80, "published": "8000"}, {"target": 80}]}, 80),
            ({"ports": [{"target": 80, "protocol": "tcp"}, {"target": 53, "protocol": "udp"}]}, 80),
            ({"ports": [{"target": 80}, {"target": 443}]}, None),
        ],
    )
    def test_exposed_port(self, service: dict[str, Any], port: int | None) -> None:
        assert models.exposed_port(model(web=service), "web") == port

    @pytest.mark.parametrize(
        ("check", "has_one"),
        [
            (None, False),
            ({"test": ["CMD", "true"]}, True),
            ({"test": ["CMD-SHELL", "curl x"], "interval": "1s"}, True),
            ({"test": ["NONE"]}, False),
            ({"disable": True}, False),
            ({"test": ["CMD", "true"], "disable": True}, False),
            ({"interval": "1s"}, False),
        ],
    )
    def test_has_healthcheck(self, check: dict[str, Any] | None, has_one: bool) -> None:
        service = {} if check is None else {"healthcheck": check}

        assert models.has_healthcheck(model(web=service), "web") is has_one

    @pytest.mark.parametrize(
        ("check", "has_one"),
        [
            (None, True),
            ({"interval": "1s"}, True),
            ({"test": []}, True),
            ({"test": ["NONE"]}, False),
            ({"disable": True}, False),
        ],
    )
    def test_has_the_healthcheck_of_its_image(
        self, check: dict[str, Any] | None, has_one: bool
    ) -> None:
        service = {} if check is None else {"healthcheck": check}

        assert models.has_healthcheck(model(web=service), "web", in_image=True) is has_one

    @pytest.mark.parametrize(
        ("service", "count"),
        [({}, 1), ({"scale": 2}, 2), ({"deploy": {"replicas": 3}}, 3), ({"deploy": {}}, 1)],
    )
    def test_replicas(self, service: dict[str, Any], count: int) -> None:
        assert models.replicas(model(web=service), "web") == count

    def test_app_order_goes_through_backing_services_and_past_absent_ones(self) -> None:
        found = model(
            web={"depends_on": needs("cache", "gone")},
            cache={"depends_on": needs("auth", "db")},
            auth={},
            db={},
        )

        assert models.app_order(found, ("web", "auth")) == {
            "web": frozenset({"auth"}),
            "auth": frozenset(),
        }

    def test_one_shots_are_the_app_services_that_somebody_waits_for_to_end(self) -> None:
        ended = "service_completed_successfully"
        stack = model(
            web={"depends_on": needs("migrate", "seed", condition=ended) | needs("worker")},
            migrate={},
            seed={},
            worker={},
        )

        assert models.one_shots(stack, ("migrate", "web", "worker")) == ("migrate",)

    def test_bind_sources_are_real_paths_of_binds_and_of_files(self) -> None:
        assert models.bind_sources(shop(), APP) == (
            "/src/app.ini",
            "/src/own$.txt",
            "/src/shared.txt",
        )

    def test_what_may_be_written_to_is_no_part_of_a_release(self) -> None:
        stack = model(web={"volumes": [bind("/srv/data/app.db", "/app.db")]})

        assert models.bind_sources(stack, ("web",)) == ()

    def test_app_only_resources_leaves_out_the_shared_and_the_external(self) -> None:
        assert models.app_only_resources(shop(), APP) == ((), ("shop_media",))
        assert models.app_only_resources(shop(), ("nginx", *APP)) == (
            ("shop_default",),
            ("shop_media",),
        )

    @pytest.mark.parametrize(
        ("stderr", "names"),
        [
            ("", ()),
            ('The "FOO" variable is not set. Defaulting to a blank string.', ("FOO",)),
            (
                'time="2026-01-01T00:00:00Z" level=warning msg="The \\"B\\" variable is not set. '
                'Defaulting to a blank string."\n'
                'time="2026-01-01T00:00:00Z" level=warning msg="The \\"A\\" variable is not set. '
                'Defaulting to a blank string."\n'
                'WARN[0000] The "B" variable is not set. Defaulting to a blank string.\n'
                '\x1b[33mWARN\x1b[0m[0000] The "C" variable is not set. Defaulting to a …\r\n',
                ("A", "B", "C"),
            ),
            ('required variable FOO is missing a value: The "FOO" must be set', ()),
        ],
    )
    def test_unset_variables(self, stderr: str, names: tuple[str, ...]) -> None:
        assert models.unset_variables(stderr) == names


IMAGES = {"web": "sha256:1", "worker": "sha256:2"}
FILES = {"/src/app.ini": "abc"}


class TestConfigDigest:
    def digest(self, stack: dict[str, Any]) -> str:
        return models.config_digest(stack, APP, IMAGES, FILES)

    def test_is_the_same_in_any_order_of_keys(self) -> None:
        def turned(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: turned(value[key]) for key in reversed(value)}
            return value

        assert self.digest(turned(shop())) == self.digest(shop())
        assert models.config_digest(
            shop(), APP[::-1], dict(reversed(IMAGES.items())), FILES
        ) == self.digest(shop())

    @pytest.mark.parametrize(
        "path",
        [
            "services db image",
            "services nginx environment",
            "services web build context",
            "services web image",
            "volumes data driver",
        ],
    )
    def test_is_blind_to_what_no_app_service_runs_as(self, path: str) -> None:
        assert self.digest(changed(shop(), path)) == self.digest(shop())

    @pytest.mark.parametrize(
        "path",
        [
            "services web environment PASSWORD",
            "services worker command",
            "networks default driver",
            "volumes media driver",
            "secrets own file",
        ],
    )
    def test_tells_what_app_services_run_as(self, path: str) -> None:
        assert self.digest(changed(shop(), path)) != self.digest(shop())

    def test_tells_images_and_mounted_files(self) -> None:
        digests = {
            models.config_digest(shop(), APP, images, files)
            for images in (IMAGES, IMAGES | {"web": "sha256:3"})
            for files in (FILES, {"/src/app.ini": "abd"})
        }

        assert len(digests) == 4
        assert all(len(digest) == 64 for digest in digests)

    def test_does_not_tell_images_of_backing_services(self) -> None:
        images = IMAGES | {"db": "sha256:4"}

        assert models.config_digest(shop(), APP, images, FILES) == self.digest(shop())


def changed(stack: dict[str, Any], path: str) -> dict[str, Any]:
    *parents, key = path.split()
    item = stack
    for parent in parents:
        item = item[parent]
    item[key] = "other"
    return stack


class TestProblems:
    def test_a_stack_that_is_right_has_none(self) -> None:
        assert problems.app_problems(shop(), APP, TAG, "RELEASE_TAG") == []
        assert problems.unknown_services(shop(), APP) == []
        assert problems.nginx_problems(shop(), "nginx", NGINX_DIR) == []

    def test_an_app_service_that_does_not_use_the_tag(self) -> None:
        stack = model(
            web={"image": "localhost:5000/shop:latest"}, api={"build": {}}, job={"image": "job"}
        )

        assert problems.app_problems(stack, ("web", "job", "api"), TAG, "GIT_SHA") == [
            "services.api: has `build` but no image name; add `image: shop-api:${GIT_SHA}`",
            "services.job.image: job does not use ${GIT_SHA}, so releases of it cannot be told "
            "apart; write `image: job:${GIT_SHA}`",
            "services.web.image: localhost:5000/shop:latest does not use ${GIT_SHA}, so releases "
            "of it cannot be told apart; write `image: localhost:5000/shop:${GIT_SHA}`",
        ]

    def test_no_app_service(self) -> None:
        (problem,) = problems.app_problems(model(db={"image": "x"}), (), TAG, "RELEASE_TAG")

        assert problem.startswith("services: nothing to release: no image uses ${RELEASE_TAG}")
        assert "write `image: NAME:${RELEASE_TAG}`" in problem

    def test_settings_for_a_service_that_is_not_there(self) -> None:
        assert problems.unknown_services(shop(), ("wbe", "web", "xyz")) == [
            "[services.wbe]: the compose files have no service 'wbe'; did you mean web?",
            "[services.xyz]: the compose files have no service 'xyz'; "
            "there are: db, nginx, web, worker.",
        ]

    @pytest.mark.parametrize(
        ("service", "problem"),
        [
            ({"container_name": "x"}, "container_name: only one container can be x; remove it"),
            (
                {"ports": [{"target": 80, "published": "8080"}, {"target": 81}]},
                'ports: only one container can publish 8080; write `expose: ["80"]` instead, '
                "nginx reaches web by its name",
            ),
            (
                {"network_mode": "host"},
                "network_mode: two replicas on the host's network want the same port; remove it",
            ),
            (
                {"network_mode": "service:vpn"},
                "network_mode: service:vpn ties it to one container; remove it",
            ),
            (
                {"network_mode": "container:vpn"},
                "network_mode: container:vpn ties it to one container; remove it",
            ),
            ({"ipc": "service:db"}, "ipc: service:db ties it to one container; remove it"),
            (
                {"volumes_from": ["db"]},
                "volumes_from: ties it to one container; list the volumes under `volumes`",
            ),
            (
                {"networks": {"default": None, "back": {"ipv4_address": "10.0.0.2"}}},
                "networks.back.ipv4_address: only one container can have it; remove it",
            ),
            (
                {"mac_address": "02:42:ac:11:00:02"},
                "mac_address: only one container can have it; remove it",
            ),
        ],
    )
    def test_what_cannot_run_twice(self, service: dict[str, Any], problem: str) -> None:
        assert problems.slot_problems(model(web=service), ("web",)) == [
            f"services.web.{problem}, or use the strategy `recreate`"
        ]

    @pytest.mark.parametrize(
        "service",
        [{}, {"ports": [{"target": 80}]}, {"network_mode": "none"}, {"ipc": "host"}],
    )
    def test_what_can_run_twice(self, service: dict[str, Any]) -> None:
        assert problems.slot_problems(model(web=service), ("web",)) == []

    def test_backing_services_may_have_all_of_that(self) -> None:
        assert problems.slot_problems(shop(), ("worker",)) == []

    def test_an_app_service_that_is_to_end(self) -> None:
        ended = needs("migrate", condition="service_completed_successfully")
        (problem,) = problems.slot_problems(
            model(web={"depends_on": ended}, migrate={}), ("migrate", "web")
        )

        assert problem.startswith("services.web.depends_on.migrate: waits for migrate to end")


class TestNginx:
    def test_no_such_service(self) -> None:
        stack = model(ngnix={"image": "a/nginx:1"}, proxy={"image": "nginx"}, db={"image": "x"})

        assert problems.nginx_problems(stack, "nginx", NGINX_DIR) == [
            "nginx.service: the compose files have no service 'nginx'; did you mean ngnix? "
            "With an nginx image: ngnix, proxy"
        ]

    @pytest.mark.parametrize(
        "mounts",
        [
            [],
            [volume("data", "/etc/nginx/releasekit")],
            [bind("/var/lib/releasekit/other/nginx", "/etc/nginx/releasekit")],
            [bind("/src/nginx.conf", "/etc/nginx/nginx.conf")],
        ],
    )
    def test_the_folder_is_not_mounted(self, mounts: list[dict[str, Any]]) -> None:
        stack = model(nginx={"volumes": mounts})

        assert problems.nginx_problems(stack, "nginx", NGINX_DIR) == [
            f"services.nginx.volumes: nothing mounts {NGINX_DIR}; add {LINE}"
        ]
        assert models.nginx_target(stack, "nginx", NGINX_DIR) is None

    @pytest.mark.parametrize(
        "mount",
        [
            bind(f"{NGINX_DIR}/web.conf", "/etc/nginx/conf.d/web.conf"),
            bind(f"{NGINX_DIR}/web", "/etc/nginx/web"),
            bind(NGINX_DIR, "/etc/nginx/web.conf"),
        ],
    )
    @pytest.mark.parametrize("others", [[], [bind(NGINX_DIR, "/etc/nginx/releasekit")]])
    def test_a_single_file_is_mounted(
        self, mount: dict[str, Any], others: list[dict[str, Any]]
    ) -> None:
        stack = model(nginx={"volumes": [*others, mount]})

        assert problems.nginx_problems(stack, "nginx", NGINX_DIR) == [
            f"services.nginx.volumes: {mount['target']} is a single file, and nginx would never "
            f"see a new one; mount the folder: {LINE}"
        ]

    def test_target_is_found_for_a_folder_with_a_slash_or_a_dollar(self) -> None:
        stack = model(nginx={"volumes": [bind("/srv/a$$b/", "/rk")]})

        assert models.nginx_target(stack, "nginx", "/srv/a$b") == "/rk"
        assert problems.nginx_problems(stack, "nginx", "/srv/a$b") == []

    def test_the_placeholder_is_replaced_wherever_it_is_mounted(self) -> None:
        mounts = [bind("/ph", "/rk"), bind("/ph/a.conf", "/a"), bind("/phx/", "/b")]
        stack = model(nginx={"volumes": mounts}, db={"volumes": [volume("/ph", "/c")]}, web={})
        moved = transform.with_nginx_dir(stack, "/ph", "/srv/a$b")

        assert moved == model(
            nginx={
                "volumes": [
                    bind("/srv/a$$b", "/rk"),
                    bind("/srv/a$$b/a.conf", "/a"),
                    bind("/phx/", "/b"),
                ]
            },
            db={"volumes": [volume("/ph", "/c")]},
            web={},
        )


class TestTransforms:
    def test_pinned_replaces_images_and_what_would_pull_them(self) -> None:
        stack = model(web={"image": "shop:1", "pull_policy": "always"}, db={"image": "x"})

        assert transform.pinned(stack, {"web": "sha256:1"}) == model(
            web={"image": "sha256:1"}, db={"image": "x"}
        )

    def test_bind_sources_move_for_app_services_alone(self) -> None:
        """A secret that the database uses too stays where it is, or the database would get it
        from a release's bundle."""
        paths = ("/src/app.ini", "/src/own$.txt", "/src/shared.txt", "/srv/db.conf")
        moved = transform.with_bind_sources(shop(), APP, {path: f"/b$/{path}" for path in paths})
        expected = shop()
        moved_bind = {**bind("/b$$//src/app.ini", "/app.ini"), "read_only": True}
        expected["services"]["web"]["volumes"][-1] = moved_bind
        expected["secrets"]["own"]["file"] = "/b$$//src/own$$.txt"

        assert moved == expected | {"configs": {}}

    def test_as_input_is_json_that_yaml_reads_alike(self) -> None:
        stack = model(web={"environment": {"A": 'é\u2028\x85\x7f\ufeff🔑"\\ud83d\n'}})
        text = transform.as_input(stack)

        assert '"A": "\\u00e9\\u2028\\u0085\\u007f\\ufeff🔑\\"\\\\ud83d\\n"' in text
        assert json.loads(text) == stack

    def test_plain_model_labels_and_scales_app_services(self) -> None:
        plain = transform.plain_model(shop(), APP, "rel", "shop", {"web": 1})
        labels = {
            "releasekit.project": "shop",
            "releasekit.release": "rel",
            "releasekit.slot": PLAIN,
        }
        web = shop()["services"]["web"]
        del web["build"]

        assert plain["name"] == "shop"
        assert plain["services"]["web"] == web | {
            "labels": {"team": "shop", "releasekit.service": "web", **labels},
            "deploy": {"resources": {"limits": {"memory": "67108864"}}},
            "scale": 1,
        }
        assert plain["services"]["worker"] == shop()["services"]["worker"] | {
            "labels": {"releasekit.service": "worker", **labels},
            "scale": 2,
        }

    def test_slot_model(self) -> None:
        slot = transform.slot_model(shop(), APP, "green", "rel", "shop", {"web": 2, "worker": 1})
        labels = {
            "releasekit.project": "shop",
            "releasekit.release": "rel",
            "releasekit.slot": "green",
        }
        web = shop()["services"]["web"]
        kept = "command environment expose healthcheck image restart secrets volumes".split()

        assert slot == {
            "name": "shop-releases",
            "services": {
                "web-green": {
                    **{key: web[key] for key in kept},
                    "deploy": {"resources": {"limits": {"memory": "67108864"}}},
                    "labels": {"team": "shop", "releasekit.service": "web", **labels},
                    "networks": {
                        "default": {"aliases": ["web"]},
                        "back": {"aliases": ["site", "web"], "priority": 1},
                    },
                    "scale": 2,
                },
                "worker-green": {
                    "image": shop()["services"]["worker"]["image"],
                    "network_mode": "none",
                    "labels": {"releasekit.service": "worker", **labels},
                    "scale": 1,
                },
            },
            "networks": {
                "default": {"name": "shop_default", "external": True},
                "back": {"name": "intranet", "external": True},
            },
            "volumes": {"media": {"name": "shop_media", "external": True}},
            "configs": {},
            "secrets": shop()["secrets"],
        }

    def test_slot_model_of_some_services_asks_for_what_the_file_says_by_default(self) -> None:
        slot = transform.slot_model(shop(), ("web",), "blue", "rel", "shop", {})

        assert list(slot["services"]) == ["web-blue"]
        assert slot["services"]["web-blue"]["scale"] == 3

    def test_names_are_the_ones_that_plans_speak_of(self) -> None:
        slot = transform.slot_model(shop(), ("web",), "green", "rel", "shop", {"web": 2})
        (service,) = slot["services"]

        assert replica_names("shop", "green", "web", 2) == tuple(
            f"{slot['name']}-{service}-{number}" for number in (1, 2)
        )

    def test_backing_model_has_no_replica_of_app_services(self) -> None:
        backing = transform.backing_model(shop(), APP)

        assert [backing["services"][name]["scale"] for name in APP] == [0, 0]
        assert "replicas" not in backing["services"]["web"]["deploy"]
        assert "build" not in backing["services"]["web"]

    @pytest.mark.parametrize(
        "transform",
        [
            lambda stack: transform.plain_model(stack, APP, "rel", "shop", {}),
            lambda stack: transform.backing_model(stack, APP),
            lambda stack: transform.pinned(stack, {"web": "sha256:1"}),
            lambda stack: transform.with_bind_sources(stack, APP, {"/srv/db.conf": "/x"}),
            lambda stack: transform.with_nginx_dir(stack, "/placeholder", "/x"),
        ],
    )
    def test_leave_backing_services_to_the_byte(self, transform: Any) -> None:
        stack = transform(shop())

        assert {k: v for k, v in stack["services"].items() if k not in APP} == {
            k: v for k, v in shop()["services"].items() if k not in APP
        }
        assert stack["networks"] == shop()["networks"]
        assert stack["volumes"] == shop()["volumes"]

    def test_change_nothing_that_they_were_given(self) -> None:
        stack = shop()
        before = copy.deepcopy(stack)
        transform.with_nginx_dir(stack, NGINX_DIR, "/x")
        transform.with_bind_sources(
            transform.pinned(stack, {"web": "x"}), APP, {"/src/app.ini": "/x"}
        )
        transform.plain_model(stack, APP, "rel", "shop", {"web": 7})
        transform.slot_model(stack, APP, "blue", "rel", "shop", {"web": 7})
        transform.backing_model(stack, APP)
        transform.resources_model(stack, APP)

        assert stack == before

    @pytest.mark.parametrize(
        "transform",
        [
            lambda stack: transform.plain_model(stack, ("web",), "rel", "shop", {}),
            lambda stack: transform.backing_model(stack, ("web",)),
        ],
    )
    def test_drop_dependencies_that_compose_would_refuse(self, transform: Any) -> None:
        stack = model(web={}, db={"depends_on": needs("web", "disabled")})

        assert transform(stack)["services"]["db"] == {"depends_on": needs("web")}

    def test_resources_model_has_what_app_services_use_and_no_replica(self) -> None:
        assert transform.resources_model(shop(), APP) == {
            "name": "shop",
            "services": {
                "releasekit-resources": {
                    "image": "scratch",
                    "pull_policy": "never",
                    "scale": 0,
                    "networks": {"back": None, "default": None},
                    "volumes": [{"type": "volume", "source": "media", "target": "/media"}],
                }
            },
            "networks": {
                "back": {"name": "intranet", "external": True},
                "default": {"name": "shop_default", "ipam": {}},
            },
            "volumes": {"media": {"name": "shop_media", "driver_opts": {"type": "nfs"}}},
        }


@pytest.mark.parametrize(
    ("service", "comes_back"),
    [
        ({}, False),
        ({"restart": "no"}, False),
        ({"restart": "on-failure:3"}, False),
        ({"restart": "always"}, True),
        ({"restart": "unless-stopped"}, True),
        ({"deploy": {"restart_policy": {}}}, True),
        ({"deploy": {"restart_policy": {"condition": "on-failure"}}, "restart": "always"}, False),
    ],
)
def test_what_docker_starts_again_after_a_reboot(
    service: dict[str, object], comes_back: bool
) -> None:
    assert models.comes_back({"services": {"web": service}}, "web") is comes_back
