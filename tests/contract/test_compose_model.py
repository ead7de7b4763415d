"""The compose model against the installed compose: what is fed back means what it says."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from releasekit.compose import model as models
from releasekit.compose import problems, transform
from releasekit.observed import PLAIN
from releasekit.steps import replica_names

pytestmark = pytest.mark.e2e

TAG = "3f2a9c1" + "0" * 33
RELEASE = f"{TAG}.aaaaaaaa"
REDIS = "releasekit-base/redis:7"

NASTY = {
    "DOLLAR": "p$wd",
    "DOLLARS": "$$ $$$ ${HOME} $HOME $(id) $",
    "QUOTES": """it's "so" `x`""",
    "BACKSLASH": "\\ \\n \\\\ \\$ c:\\",
    "NEWLINES": "-----BEGIN-----\nb\r\n\n-----END-----\n",
    "HASH": "a #b # c",
    "UNICODE": "pässwörd 비밀 🔑 \\ud83d",
    "BREAKS": "a\u2028b\u2029c\x85d\x0be\x7ff\ufeff\xa0\u200b",
    "SPACES": "  a\tb  ",
    "EQUALS": "a=b=c",
    "JSON": '{"a": ["$b", "\\"c\\""], "d": null}',
    "YAML": "- a: !x &y *z | > % @",
    "EMPTY": "",
    "NULL": "null",
    "LONG": "x$" * 4096,
}


@dataclass
class Stack:
    """A compose project of its own in a folder of its own."""

    folder: Path
    name: str
    environ: dict[str, str] = field(default_factory=dict)

    def write(self, text: str) -> None:
        (self.folder / "compose.yaml").write_text(f"name: {self.name}\n{text}")

    def docker(self, *args: str, stdin: str = "", ok: bool = True) -> subprocess.CompletedProcess:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("COMPOSE_")}
        done = subprocess.run(
            ["docker", *args],
            input=stdin.encode(),
            capture_output=True,
            cwd=self.folder,
            env={**clean, "RELEASE_TAG": TAG, **self.environ},
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 or not ok, done.stderr.decode()
        return done

    def user(self, *args: str) -> str:
        """What the team's own `docker compose` does with its files."""
        return self.docker("compose", *args).stdout.decode()

    def fed(self, model: Mapping[str, Any], *args: str) -> str:
        """What compose does with a model of ours."""
        feed = ["compose", "-p", str(model["name"]), "--profile", "*", "-f", "-", *args]
        return self.docker(*feed, stdin=transform.as_input(model)).stdout.decode()

    def model(self) -> dict[str, Any]:
        resolved = json.loads(self.user("config", "--format", "json"))
        assert isinstance(resolved, dict)
        return resolved

    def containers(self) -> dict[str, str]:
        """Id by name, of this project and its slots, running or not."""
        found = {}
        for project in (self.name, f"{self.name}-releases"):
            label = f"label=com.docker.compose.project={project}"
            rows = self.docker("ps", "-a", "--filter", label, "--format", "{{.Names}} {{.ID}}")
            found.update(row.split() for row in rows.stdout.decode().splitlines())
        return found

    def hashes(self, model: Mapping[str, Any]) -> dict[str, str]:
        rows = self.fed(model, "config", "--hash", "*").splitlines()
        return dict(row.split() for row in rows)

    def inspect(self, name: str) -> dict[str, Any]:
        (found,) = json.loads(self.docker("inspect", name).stdout)
        assert isinstance(found, dict)
        return found

    def clean(self) -> None:
        """Remove it all; `down -v` would need the files, and leaves anonymous volumes."""
        ids = list(self.containers().values())
        if ids:
            self.docker("rm", "-f", "-v", *ids)
        for kind in ("network", "volume"):
            found = self.docker(kind, "ls", "-q", "--filter", f"name={self.name}_").stdout
            if found:
                self.docker(kind, "rm", *found.decode().split())


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path, f"rk{secrets.token_hex(4)}")
    try:
        yield stack
    finally:
        stack.clean()


SHOP = """
x-idle: &idle {command: [sleep, "600"], init: true, stop_grace_period: 0s}
services:
  web:
    <<: *idle
    image: releasekit-base/redis:7
    build: .
    depends_on: {db: {condition: service_healthy}}
    expose: ["8080"]
    networks: [default, own]
    volumes: ["media:/media", "data:/data"]
  db:
    <<: *idle
    image: releasekit-base/redis:7
    env_file: db.env
    environment: {PASSED_ON: , NEVER_SET: }
    healthcheck: {test: ["CMD", "true"], interval: 1s, start_interval: 100ms, start_period: 9s}
    volumes: ["data:/data"]
    deploy: {resources: {limits: {memory: 64M}}}
  cache:
    <<: *idle
    image: releasekit-base/redis:7
    profiles: [all]
    depends_on:
      db: {condition: service_started}
      off: {condition: service_started, required: false}
  off: {image: nowhere, profiles: [off]}
  nginx:
    <<: *idle
    image: releasekit-base/nginx:1.30
    depends_on: {web: {condition: service_started}, db: {condition: service_healthy}}
    volumes: ["${RELEASEKIT_NGINX_DIR:-/tmp}:/etc/nginx/releasekit:ro"]
volumes: {media: {labels: {a: b}}, data: }
networks: {own: {labels: {a: b}}}
"""
APP = ("web",)
BACKING = ("db", "cache", "nginx")


@pytest.fixture
def shop(stack: Stack) -> Stack:
    (stack.folder / "db.env").write_text("A='x$y'\n")
    stack.environ = {"PASSED_ON": "s$x", "COMPOSE_PROFILES": "all"}
    stack.write(SHOP)
    return stack


def backing_ids(stack: Stack) -> dict[str, str]:
    return {k: v for k, v in stack.containers().items() if "-web-" not in k}


class TestEscaping:
    def test_values_reach_a_container_of_a_slot_to_the_byte(self, stack: Stack) -> None:
        """From `--env-file`, `env_file:` and the environment, over the model, to PID 1."""
        stack.write("""
services:
  web:
    image: releasekit-base/redis:7
    command: [sh, -c, 'exec sleep "$$((600))"']
    init: true
    env_file: web.env
    environment: {INTERPOLATED: "${DOLLARS}", PASSED_ON: }
    labels: {label: "${DOLLARS}"}
    configs: [{source: c, target: /c}]
configs: {c: {content: "${DOLLARS}\\n$${X}"}}
""")
        lines = (f"{key}={_quoted(value)}\n" for key, value in NASTY.items())
        (stack.folder / "web.env").write_text("".join(lines))
        (stack.folder / ".env").write_text(f"DOLLARS={_quoted(NASTY['DOLLARS'])}\n")
        stack.environ = {"PASSED_ON": NASTY["NEWLINES"]}
        slot = transform.slot_model(stack.model(), APP, "green", RELEASE, stack.name, {})
        stack.docker("network", "create", f"{stack.name}_default")
        stack.environ = {}
        (stack.folder / ".env").unlink()

        again = json.loads(stack.fed(slot, "config", "--format", "json"))
        assert (
            again["services"]["web-green"]["environment"]
            == (slot["services"]["web-green"]["environment"])
        )
        stack.fed(slot, "up", "-d", "--no-build", "--pull", "never", "web-green")
        (name,) = replica_names(stack.name, "green", "web", 1)
        environment = stack.docker("exec", name, "cat", "/proc/1/environ").stdout.decode()
        found = dict(pair.split("=", 1) for pair in environment.split("\0") if pair)
        wanted = {**NASTY, "INTERPOLATED": NASTY["DOLLARS"], "PASSED_ON": NASTY["NEWLINES"]}
        assert {key: found.get(key) for key in wanted} == wanted
        assert stack.inspect(name)["Config"]["Labels"]["label"] == NASTY["DOLLARS"]
        content = stack.docker("exec", name, "cat", "/c").stdout.decode()
        assert content == NASTY["DOLLARS"] + "\n${X}"

    def test_unset_variables_are_found_in_what_compose_warns(self, stack: Stack) -> None:
        stack.write('services: {web: {image: x, command: ["${ONE}", "${TWO_2}$ONE"]}}')
        done = stack.docker("compose", "config")
        assert models.unset_variables(done.stderr.decode()) == ("ONE", "TWO_2")

        stack.environ = {"ONE": "", "TWO_2": "x"}
        done = stack.docker("compose", "config")
        assert models.unset_variables(done.stderr.decode()) == ()

    def test_paths_with_a_dollar_are_read_and_written(self, stack: Stack) -> None:
        folder = stack.folder / "a$b"
        folder.mkdir()
        (folder / "old.ini").write_text("old")
        (folder / "new.ini").write_text("new")
        stack.write("""
services:
  web:
    image: releasekit-base/redis:7
    command: [cat, /app.ini, /run/secrets/own, /run/secrets/shared, /c]
    volumes: ["./a$$b/old.ini:/app.ini:ro"]
    secrets: [own, shared]
    configs: [c]
  db: {image: releasekit-base/redis:7, secrets: [shared]}
secrets: {own: {file: "./a$$b/old.ini"}, shared: {file: "./a$$b/old.ini"}}
configs: {c: {file: "./a$$b/old.ini"}}
""")
        old, new = (str(folder / name) for name in ("old.ini", "new.ini"))
        model = stack.model()
        assert models.bind_sources(model, APP) == (old,)

        moved = transform.with_bind_sources(model, APP, {old: new})
        assert models.bind_sources(moved, APP) == (new, old)
        assert stack.fed(moved, "run", "--rm", "--no-deps", "-T", "web") == "newnewoldnew"
        assert stack.hashes(moved)["db"] == stack.hashes(model)["db"]


def _quoted(value: str) -> str:
    for char, escape in (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(char, escape)
    return f'"{value}"'


class TestSlots:
    def test_two_releases_run_beside_the_stack_on_its_networks_and_volumes(
        self, shop: Stack
    ) -> None:
        shop.user("up", "-d", "--no-build")
        before = shop.containers()
        model = shop.model()
        for slot, count in (("blue", 2), ("green", 1)):
            fed = transform.slot_model(model, APP, slot, f"{slot}-id", shop.name, {"web": count})
            shop.fed(fed, "up", "-d", "--no-deps", "--no-build", "--pull", "never")

        names = {*replica_names(shop.name, "blue", "web", 2)}
        names |= {*replica_names(shop.name, "green", "web", 1)}
        assert shop.containers().keys() == before.keys() | names
        (plain,) = replica_names(shop.name, PLAIN, "web", 1)
        (green,) = replica_names(shop.name, "green", "web", 1)
        shop.docker("exec", green, "touch", "/data/green", "/media/green")
        shop.docker("exec", plain, "ls", "/data/green", "/media/green")

        # The team's habit does not see the slots, and starts nothing anew.
        shop.user("up", "-d", "--no-build", "--remove-orphans")
        assert shop.containers().keys() == before.keys() | names
        assert before.items() <= shop.containers().items()

    def test_a_slot_answers_to_its_service_and_carries_labels(self, shop: Stack) -> None:
        shop.fed(transform.resources_model(shop.model(), APP), "up", "--no-start")
        slot = transform.slot_model(shop.model(), APP, "green", RELEASE, shop.name, {"web": 1})
        shop.fed(slot, "up", "-d", "--no-deps", "--no-build", "--pull", "never")
        (name,) = replica_names(shop.name, "green", "web", 1)
        found = shop.inspect(name)

        networks = found["NetworkSettings"]["Networks"]
        assert networks.keys() == {f"{shop.name}_default", f"{shop.name}_own"}
        assert all({"web", name} <= set(n["DNSNames"]) for n in networks.values())
        assert {k: v for k, v in found["Config"]["Labels"].items() if "releasekit" in k} == {
            "releasekit.project": shop.name,
            "releasekit.service": "web",
            "releasekit.release": RELEASE,
            "releasekit.slot": "green",
        }
        volumes = {mount["Name"] for mount in found["Mounts"]}
        assert volumes == {f"{shop.name}_data", f"{shop.name}_media"}

    def test_resources_are_made_as_compose_itself_would(self, shop: Stack) -> None:
        networks, volumes = models.app_only_resources(shop.model(), APP)
        assert (networks, volumes) == ((f"{shop.name}_own",), (f"{shop.name}_media",))
        shop.fed(transform.resources_model(shop.model(), APP), "up", "--no-start")

        assert shop.containers() == {}
        (network,) = json.loads(shop.docker("network", "inspect", *networks).stdout)
        (volume,) = json.loads(shop.docker("volume", "inspect", *volumes).stdout)
        assert network["Labels"]["a"] == volume["Labels"]["a"] == "b"
        done = shop.docker("compose", "up", "-d", "--no-build")
        assert b"already exists" not in done.stderr

    def test_resources_are_made_beside_what_runs(self, shop: Stack) -> None:
        shop.user("up", "-d", "--no-build")
        before = shop.containers()
        model = shop.model()
        model["networks"]["new"] = {"name": f"{shop.name}_new"}
        model["services"]["web"]["networks"]["new"] = None
        shop.fed(transform.resources_model(model, APP), "up", "--no-start")

        assert shop.containers() == before
        shop.docker("network", "inspect", f"{shop.name}_new")

    def test_a_pinned_id_runs_and_is_not_pulled(self, stack: Stack) -> None:
        stack.write("services: {web: {image: nowhere, pull_policy: always, build: .}}")
        image = stack.docker("image", "inspect", "-f", "{{.Id}}", REDIS).stdout.decode().strip()
        pinned = transform.pinned(stack.model(), {"web": image})
        plain = transform.plain_model(pinned, APP, RELEASE, stack.name, {"web": 2})
        stack.fed(plain, "up", "--no-start", "web")

        names = replica_names(stack.name, PLAIN, "web", 2)
        assert stack.containers().keys() == set(names)
        assert {stack.inspect(name)["Image"] for name in names} == {image}

    def test_a_service_comes_after_all_that_compose_itself_would_start_before(
        self, stack: Stack
    ) -> None:
        stack.write("""
x-app: &app {image: "shop:${RELEASE_TAG}"}
services:
  web: {<<: *app, links: [api]}
  api: {<<: *app, depends_on: [cache]}
  cache: {image: releasekit-base/redis:7, depends_on: [auth]}
  auth: {<<: *app}
  side: {<<: *app, network_mode: "service:web"}
  worker: {<<: *app, volumes_from: [auth]}
""")
        model = stack.model()
        assert models.app_order(model, models.app_services(model, TAG)) == {
            "web": {"api", "auth"},
            "api": {"auth"},
            "auth": frozenset(),
            "side": {"web", "api", "auth"},
            "worker": {"auth"},
        }

    def test_what_compose_prints_of_things_that_cannot_run_twice(self, stack: Stack) -> None:
        stack.write("""
services:
  web:
    image: shop:${RELEASE_TAG}
    container_name: web
    ports: ["127.0.0.1:8080:80", "90"]
    networks: {default: {ipv4_address: 10.9.8.7}}
    volumes_from: [db]
    ipc: service:db
    depends_on: {migrate: {condition: service_completed_successfully}}
  host: {image: "shop:${RELEASE_TAG}", network_mode: host}
  side: {image: "shop:${RELEASE_TAG}", network_mode: "service:db"}
  migrate: {image: "shop:${RELEASE_TAG}", healthcheck: {disable: true}}
  db: {image: releasekit-base/redis:7, container_name: db, ports: ["1:1"], network_mode: host}
networks: {default: {ipam: {config: [{subnet: 10.9.8.0/24}]}}}
""")
        model = stack.model()
        app = models.app_services(model, TAG)
        starts = [problem.split(": ")[0] for problem in problems.slot_problems(model, app)]

        assert app == ("host", "migrate", "side", "web")
        assert not models.has_healthcheck(model, "migrate")
        assert sorted(start.removeprefix("services.") for start in starts) == [
            "host.network_mode",
            "side.network_mode",
            "web.container_name",
            "web.depends_on.migrate",
            "web.ipc",
            "web.networks.default.ipv4_address",
            "web.ports",
            "web.volumes_from",
        ]


class TestReplicas:
    """How compose makes, keeps and numbers them: what every planner of replicas rests on."""

    @pytest.fixture
    def slot(self, stack: Stack) -> Slot:
        stack.write("services: {web: {image: releasekit-base/redis:7, stop_grace_period: 0s}}")
        stack.docker("network", "create", f"{stack.name}_default")
        return Slot(stack)

    def test_those_that_run_are_left_alone_when_there_are_to_be_more(self, slot: Slot) -> None:
        before = slot.up(RELEASE, 1)
        after = slot.up(RELEASE, 3)
        assert sorted(after) == [1, 2, 3]
        assert before.items() <= after.items()

    def test_a_new_one_gets_the_number_after_the_highest_and_a_gap_stays(self, slot: Slot) -> None:
        before = slot.up(RELEASE, 3)
        slot.stack.docker("rm", "-f", before.pop(2))
        after = slot.up(RELEASE, 3)
        assert sorted(after) == [1, 3, 4]
        assert before.items() <= after.items()

    def test_a_stopped_one_is_started_again_as_it_is(self, slot: Slot) -> None:
        before = slot.up(RELEASE, 2)
        slot.stack.docker("stop", before[2])
        assert slot.up(RELEASE, 2) == before
        assert slot.stack.inspect(before[2])["State"]["Running"]

    def test_what_exceeds_the_count_is_removed_the_highest_first(self, slot: Slot) -> None:
        before = slot.up(RELEASE, 3)
        assert slot.up(RELEASE, 1) == {1: before[1]}

    def test_those_of_another_release_are_made_anew_under_their_names(self, slot: Slot) -> None:
        before = slot.up(RELEASE, 2)
        after = slot.up(f"{RELEASE}b", 2)
        assert sorted(after) == sorted(before)
        assert not {*before.values()} & {*after.values()}

    def test_one_that_a_killed_compose_did_not_name_yet_counts_as_one(self, slot: Slot) -> None:
        """It is called `<12 hex>_<name>` and keeps that name: nginx would not find it."""
        before = slot.up(RELEASE, 1)
        left = f"{before[1][:12]}_{slot.name(1)}"
        slot.stack.docker("rename", slot.name(1), left)
        slot.up(RELEASE, 1)
        assert slot.stack.containers() == {left: before[1]}


@dataclass
class Slot:
    """The green slot of a stack's web service."""

    stack: Stack

    def name(self, number: int) -> str:
        return replica_names(self.stack.name, "green", "web", number)[-1]

    def up(self, release: str, count: int) -> dict[int, str]:
        """Have so many replicas of this release; the ids of all that are there, by number."""
        model = transform.slot_model(
            self.stack.model(), APP, "green", release, self.stack.name, {"web": count}
        )
        self.stack.fed(model, "up", "-d", "--no-deps", "--no-build", "--pull", "never", "web-green")
        found = self.stack.containers().items()
        return {int(name.rpartition("-")[2]): key for name, key in found}


class TestBackingServicesStay:
    """The team's files and our models give a backing service the same container."""

    def test_when_a_release_comes_between_two_of_the_teams_own(self, shop: Stack) -> None:
        shop.user("up", "-d", "--no-build")
        before = backing_ids(shop)
        plain = transform.plain_model(shop.model(), APP, RELEASE, shop.name, {"web": 2})
        shop.fed(plain, "up", "-d", "--no-deps", "--no-build", "--pull", "never", "web")

        assert backing_ids(shop) == before
        assert {*replica_names(shop.name, PLAIN, "web", 2)} <= shop.containers().keys()
        labels = shop.inspect(f"{shop.name}-web-2")["Config"]["Labels"]
        assert (labels["releasekit.release"], labels["releasekit.slot"]) == (RELEASE, PLAIN)
        # Their next one recreates web, as its files know no label of ours, and with it nginx,
        # which depends on it.
        shop.user("up", "-d", "--no-build")
        after = backing_ids(shop)
        assert [after[f"{shop.name}-{name}-1"] for name in ("db", "cache")] == [
            before[f"{shop.name}-{name}-1"] for name in ("db", "cache")
        ]

    def test_when_the_teams_up_comes_after_a_release(self, shop: Stack) -> None:
        """Also nginx, although it depends on an app service that is not there yet."""
        backing = transform.backing_model(shop.model(), APP)
        for service in models.backing_order(shop.model(), APP):
            shop.fed(backing, "up", "-d", "--no-recreate", service)
        before = shop.containers()
        assert before.keys() == {f"{shop.name}-{service}-1" for service in BACKING}
        labels = {n: shop.inspect(n)["Config"]["Labels"] for n in before}
        assert {n: found["com.docker.compose.config-hash"] for n, found in labels.items()} == {
            f"{shop.name}-{service}-1": shop.hashes(backing)[service] for service in BACKING
        }
        shop.user("up", "-d", "--no-build")

        assert backing_ids(shop) == before

    def test_when_only_some_of_them_are_gone(self, shop: Stack) -> None:
        """The team's web runs: it must not be scaled away, so nginx comes without dependencies."""
        shop.user("up", "-d", "--no-build")
        shop.docker("rm", "-f", f"{shop.name}-nginx-1")
        before = shop.containers()
        full = transform.plain_model(shop.model(), APP, RELEASE, shop.name, {})
        shop.fed(full, "up", "-d", "--no-deps", "--no-recreate", "nginx")

        assert before.items() <= shop.containers().items()
        assert f"{shop.name}-nginx-1" in shop.containers()

    def test_the_nginx_folder_by_variable_and_by_replacement_are_one(self, shop: Stack) -> None:
        real = str(shop.folder / "a$b")
        shop.environ["RELEASEKIT_NGINX_DIR"] = "/run/placeholder"
        ours = transform.with_nginx_dir(shop.model(), "/run/placeholder", real)
        shop.environ["RELEASEKIT_NGINX_DIR"] = real

        assert ours == shop.model()
        assert problems.nginx_problems(ours, "nginx", real) == []
        assert models.nginx_target(ours, "nginx", real) == "/etc/nginx/releasekit"
