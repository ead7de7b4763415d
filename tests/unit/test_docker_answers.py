"""What docker's answers mean: its versions, its complaints, its references."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from releasekit.baking import Whereabouts
from releasekit.bundle import Bundle, BundledService, BundleStore, HealthCheck
from releasekit.compose.docker import Docker, compose_argv, version_tuple
from releasekit.compose.engine import ComposeEngine
from releasekit.compose.nginx_container import NginxContainer
from releasekit.errors import CommandFailed, DeadlineExceeded, EngineError, Interrupted
from releasekit.ports import Completed, Probe
from releasekit.release import Release
from releasekit.settings import Settings
from releasekit.strategies.mixed import Mix
from releasekit.strategies.recreate import Recreate
from releasekit.target import Service
from releasekit.testing import FakeClock, FakeHost
from releasekit.workspace import Workspace
from tests.unit.scripted import Script


def docker(status: int, stdout: str = "", stderr: str = "") -> Docker:
    """One whose every command answers this."""
    return Docker(Script(docker=Completed(status, stdout, stderr)))


@pytest.mark.parametrize(
    ("stderr", "message", "hint"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket at "
            "unix:///var/run/docker.sock",
            "no permission to talk to the Docker engine",
            "usermod -aG docker",
        ),
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. "
            "Is the docker daemon running?",
            "the Docker engine does not answer",
            "systemctl start docker",
        ),
        (
            'error during connect: Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.47/containers/json": '
            "EOF",
            "the Docker engine does not answer",
            "systemctl start docker",
        ),
        (
            "read unix @->/run/docker.sock: read: connection reset by peer",
            "the Docker engine does not answer",
            "systemctl start docker",
        ),
        (
            "Error response from daemon: server is shutting down",
            "the Docker engine does not answer",
            "systemctl start docker",
        ),
        (
            "docker: 'compose' is not a docker command.",
            "docker has no compose plugin",
            "docker-compose-plugin",
        ),
    ],
)
def test_a_complaint_about_the_engine_says_which_of_the_three_and_what_helps(
    stderr: str, message: str, hint: str
) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        docker(1, stderr=stderr).ask("container", "ls")

    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "complaint",
    [
        "write /x: no space left on device",
        "read tcp 10.0.0.2:44:->10.0.0.9:443: read: connection reset by peer",
    ],
)
def test_any_other_failure_keeps_dockers_own_words(complaint: str) -> None:
    with pytest.raises(CommandFailed, match=complaint) as caught:
        docker(1, stderr=f"{complaint}\n").do("image", "pull", "x")

    assert caught.value.status == 1


def test_a_missing_docker_is_named() -> None:
    with pytest.raises(EngineError, match="docker is not installed"):
        docker(127, stderr="docker: No such file or directory").require_compose()


@pytest.mark.parametrize("version", ["1.29.2", "2.20.2", "v2.23.3-desktop.1"])
def test_an_old_compose_is_refused_with_both_versions(version: str) -> None:
    with pytest.raises(EngineError, match=r"too old: 2\.24 or later"):
        docker(0, stdout=f"{version}\n").require_compose()


@pytest.mark.parametrize("version", ["2.24.0", "v2.26.1-ds1", "5.5.0"])
def test_a_new_compose_is_taken(version: str) -> None:
    docker(0, stdout=f"{version}\n").require_compose()


def test_versions_compare_as_numbers() -> None:
    assert version_tuple("2.26.1-ds1") == (2, 26, 1)
    assert version_tuple("10.0") > version_tuple("9.9")
    assert version_tuple("dev") == ()


def test_images_that_are_not_there_are_left_out() -> None:
    there = [{"Id": "sha256:1", "RepoTags": ["shop:1"], "RepoDigests": None}]
    answer = docker(1, stdout=json.dumps(there), stderr="Error: No such image: shop:2")

    assert list(answer.images(["docker.io/library/shop:1", "shop:2"])) == [
        "docker.io/library/shop:1"
    ]


def test_a_failing_compose_command_tells_no_secret() -> None:
    model = {
        "name": "shop",
        "services": {"web": {"environment": {"DB_PASSWORD": "correct-horse-battery"}}},
    }
    refusing = docker(15, stderr="invalid value correct-horse-battery")

    with pytest.raises(CommandFailed) as caught:
        refusing.compose(model, ["up"])

    assert "correct-horse" not in caught.value.message + caught.value.output


def test_global_options_come_before_the_command() -> None:
    argv = compose_argv(files=("a", "b"), project="p", profiles=("*",), env_files=("e",))

    assert argv == (
        "docker compose --file a --file b --profile * --env-file e --project-name p".split()
    )


# What is asked, and what is made of it


NGINX_DIR = "/state/shop/nginx"


def bundle(**nginx: object) -> Bundle:
    mount = {"type": "bind", "source": NGINX_DIR, "target": "/etc/nginx/releasekit"}
    web = {"image": "shop:1", "environment": {"DB_PASSWORD": "correct-horse-battery"}}
    return Bundle(
        id="1~a",
        release=Release("1"),
        project="shop",
        folder="/srv/shop",
        model={
            "name": "shop",
            "services": {"web": web, "nginx": {"image": "nginx", "volumes": [mount], **nginx}},
            "networks": {},
        },
        services=(BundledService(Service("web", port=8080), HealthCheck("/up")),),
        backing=(),
        images={"web": "sha256:1"},
        nginx_service="nginx",
    )


def engine(host: FakeHost, **nginx: object) -> ComposeEngine:
    return ComposeEngine(
        host, Docker(host), BundleStore(host, "/r"), FakeClock(), bundle(**nginx), set
    )


def nginx_of(host: FakeHost, **nginx: object) -> NginxContainer:
    bundled = bundle(**nginx)
    return NginxContainer(Docker(host), engine(host), bundled, "nginx", NGINX_DIR)


def containers(*items: Mapping[str, object]) -> Completed:
    return Completed(0, json.dumps(items), "")


def late() -> DeadlineExceeded:
    return DeadlineExceeded("`docker compose --file -` did not end within 600 s")


def test_a_deadline_that_passes_says_what_was_waited_for() -> None:
    host = Script(compose=late())
    up = ["up", "-d", "--pull=never", "web-green", "worker-green"]
    with pytest.raises(DeadlineExceeded) as caught:
        Docker(host).compose({"name": "shop"}, up)
    assert caught.value.message == (
        "`docker compose up web-green worker-green` did not end within 600 s"
    )

    with pytest.raises(
        DeadlineExceeded, match="`docker image pull nginx` did not end within 600 s"
    ):
        Docker(Script(pull=late())).pull("nginx")


@pytest.mark.parametrize(
    "stderr",
    [
        "Error response from daemon: No such container: shop-nginx-1",
        "Error response from daemon: container 039fe65a4b38 is not running",
        "Error response from daemon: Container 039fe65a4b38 is restarting, wait until the "
        "container is running",
    ],
)
def test_an_nginx_that_does_not_run_has_no_processes(stderr: str) -> None:
    assert nginx_of(Script(top=Completed(1, "", stderr))).processes() == ()


def test_processes_that_docker_does_not_tell_are_not_none() -> None:
    with pytest.raises(CommandFailed, match="i/o timeout"):
        nginx_of(Script(top=Completed(1, "", "dial unix: i/o timeout"))).processes()


def test_anonymous_volumes_go_only_with_containers_of_a_release() -> None:
    labels = {"releasekit.release": "1~a"}
    host = Script(inspect=containers({"Id": "a", "Config": {"Labels": labels}}, {"Id": "b"}))

    engine(host).remove(["a", "b"])

    assert [argv[2:] for argv in host.asked if "rm" in argv] == [
        ["rm", "--volumes", "a"],
        ["rm", "b"],
    ]


def test_an_unhealthy_answer_tells_no_secret_not_even_its_start() -> None:
    networks = {"shop": {"IPAddress": "172.18.0.2"}}
    web = {"Id": "a", "Name": "/web-1", "NetworkSettings": {"Networks": networks}}
    host = Script(inspect=containers({**web, "State": {"Status": "running"}}))
    host.files["/r/1~a/bundle.json"] = bundle().to_json()
    host.body = "x" * 70 + "\x1b[31m\n correct-horse-battery " + "y" * 100

    probe = engine(host).probe("1~a", [("web", "web-1")])["web-1"]

    assert probe.detail == f"GET /up on port 8080: 500 {'x' * 70} ••• yyyyy"


SETTLING = Service("worker", health_timeout_s=60.0, settle_s=10.0)


class Settling:
    """An engine, and a worker's container that nothing asks."""

    def __init__(self) -> None:
        self.host, self.clock = Script(), FakeClock()
        found = replace(bundle(), services=(BundledService(SETTLING),))
        self.engine = ComposeEngine(
            self.host, Docker(self.host), BundleStore(self.host, "/r"), self.clock, found, set
        )

    def probe(
        self, after_s: float = 0.0, *, status: str = "running", started: int = 0, key: str = "a"
    ) -> Probe:
        """What it is taken for when that much time has passed."""
        self.clock.sleep(after_s)
        state = {"Status": status, "StartedAt": f"2026-11-20T06:15:{started:02}Z", "ExitCode": 1}
        facts = {"Id": key, "Name": "/worker-1", "RestartCount": started, "State": state}
        self.host.answers = {"inspect": containers(facts)}
        return self.engine.probe("1~a", [("worker", "worker-1")])["worker-1"]


def test_a_wait_for_a_backing_service_ends_when_it_is_asked_to() -> None:
    labels = {"com.docker.compose.service": "db"}
    state = {"Status": "running", "Health": {"Status": "starting"}}
    db = {"Id": "d", "Name": "/shop-db-1", "Config": {"Labels": labels}, "State": state}
    host = Script(ls=Completed(0, "d shop\n", ""), inspect=containers(db))
    host.files["/r/1~a/bundle.json"] = bundle().to_json()
    asked: list[int] = []

    def stop() -> None:
        asked.append(1)
        if len(asked) > 3:
            raise Interrupted("stopped on request")

    with pytest.raises(Interrupted):
        engine(host).ensure_backing("1~a", ["db"], stop)


def test_a_service_that_nothing_asks_is_healthy_once_it_ran_so_long() -> None:
    worker = Settling()

    assert worker.probe() == Probe(False, "it runs, and has to for 10 s more")
    assert worker.probe(2.0) == Probe(False, "it runs, and has to for 10 s more")
    assert worker.probe(2.0) == Probe(False, "it runs, and has to for 7.5 s more")
    assert worker.probe(5.9) == Probe(False, "it runs, and has to for 2.5 s more")
    assert worker.probe(0.1) == Probe(True, "it ran 10 s without a restart")
    assert worker.probe(500.0).is_healthy


def test_a_restart_begins_the_time_anew() -> None:
    worker = Settling()
    worker.probe()

    assert not worker.probe(9.9, started=1).is_healthy
    assert not worker.probe(9.9, started=1).is_healthy
    assert worker.probe(0.1, started=1).is_healthy


def test_every_start_is_a_run_of_its_own() -> None:
    worker = Settling()
    runs = [worker.probe().run, worker.probe(5.0).run, worker.probe(started=1).run]
    assert runs[0] == runs[1] != runs[2]
    assert worker.probe(started=1, key="b").run not in runs


def test_a_container_is_found_at_all_its_addresses_since_it_was_started() -> None:
    host = Script()
    engine = ComposeEngine(host, Docker(host), BundleStore(host, "/r"), FakeClock(), bundle(), set)
    networks = {"a": {"IPAddress": "10.1.0.2"}, "b": {"IPAddress": "10.2.0.2"}, "c": {}}
    state = {"Status": "running", "StartedAt": "2026-11-20T06:15:00Z"}
    facts = {"Id": "a", "Name": "/web-1", "State": state, "NetworkSettings": {"Networks": networks}}
    host.answers = {"inspect": containers(facts)}
    since = datetime(2026, 11, 20, 6, 15, tzinfo=UTC).timestamp()
    assert engine.whereabouts(["web-1"]) == (Whereabouts(("10.1.0.2", "10.2.0.2"), since),)


def test_another_container_of_the_same_name_begins_the_time_anew() -> None:
    worker = Settling()
    worker.probe()

    assert not worker.probe(10.0, key="b").is_healthy
    assert worker.probe(10.0, key="b").is_healthy


@pytest.mark.parametrize("status", ["restarting", "paused", "created"])
def test_what_does_not_run_does_not_settle(status: str) -> None:
    worker = Settling()

    assert worker.probe(status=status) == Probe(False, f"Docker calls it {status}")
    assert worker.probe(20.0) == Probe(False, "it runs, and has to for 10 s more")


def test_what_settled_once_is_no_longer_healthy_when_it_goes() -> None:
    worker = Settling()
    worker.probe()
    assert worker.probe(10.0).is_healthy

    assert worker.probe(status="exited") == Probe(False, "it exited with status 1", is_lost=True)


def test_what_crashes_over_and_over_is_not_waited_for_to_settle() -> None:
    probe = Settling().probe(started=3)

    assert probe == Probe(False, "it crashes: restarted 3 times, last exit status 1", is_lost=True)


def test_a_trial_of_nginx_s_configuration_leaves_no_container() -> None:
    host = Script(inspect=containers(), compose=late())

    assert nginx_of(host).dump(["nginx"], "") == ""

    name = host.asked[-2][host.asked[-2].index("--name") + 1]
    assert name.startswith("shop-nginx-check-")
    assert host.asked[-1] == ["docker", "container", "rm", "--force", name]


@pytest.mark.parametrize(
    ("command", "ends"),
    [
        (None, ["nginx", "nginx", "-T"]),
        (["nginx", "-c", "/etc/x"], ["nginx", "nginx", "-c", "/etc/x", "-T"]),
        (["sh", "-c", "prepare; nginx"], ["--entrypoint", "nginx", "nginx", "-T"]),
    ],
)
def test_a_trial_runs_nginx_whatever_the_service_runs(
    command: list[str] | None, ends: list[str]
) -> None:
    host = Script(inspect=containers())

    nginx_of(host, command=command).dump(["nginx"], "")

    assert host.asked[-2][-len(ends) :] == ends


def test_a_trial_behind_a_script_runs_the_program_that_the_master_is() -> None:
    openresty = ["/usr/local/openresty/bin/openresty", "-c", "/etc/x"]
    host = Script(compose=Completed(0, "the configuration file /etc/x syntax is ok", ""))

    nginx_of(host, command=["sh", "-c", "prepare; openresty"]).test(openresty, "")

    (asked,) = [argv for argv in host.asked if "--entrypoint" in argv]
    program, *options = openresty
    assert asked[-6:] == ["--entrypoint", program, "nginx", *options, "-t"]


def test_a_trial_that_compose_refuses_says_why_and_no_secret() -> None:
    said = "services.nginx.environment.DB_PASSWORD: s3cret-hunter2 is no number"
    host = Script(compose=Completed(15, "", said))

    complaint = nginx_of(host, environment={"DB_PASSWORD": "s3cret-hunter2"}).test(["nginx"], "")

    assert complaint.startswith("services.nginx.environment.DB_PASSWORD: ")
    assert "hunter2" not in complaint


def test_what_a_running_container_mounts_is_told() -> None:
    mounts = [{"Type": "bind", "Source": "/state/shop/nginx", "Destination": "/etc/nginx/x"}]
    running = {"Id": "a", "Mounts": mounts, "State": {"Status": "running"}}

    assert nginx_of(Script(inspect=containers(running))).mounted() == ("/state/shop/nginx",)
    assert nginx_of(Script(inspect=containers())).mounted() is None


def test_a_missing_docker_is_not_taken_for_a_fault_of_the_files() -> None:
    host = Script(compose=Completed(127, "", "docker: No such file or directory"))
    workspace = Workspace(host, FakeClock(), Settings(), "/srv/shop", {})

    with pytest.raises(EngineError, match="docker is not installed"):
        workspace.draft(Release("1"), Mix.single(Recreate()))


def test_a_half_stored_release_is_none() -> None:
    host = FakeHost()
    host.files |= {"/r/1~a/bundle.json": "{}", "/r/2~b/files/shop.conf": ""}

    assert BundleStore(host, "/r").ids() == ("1~a",)


def test_what_is_stopped_is_started_by_no_reboot() -> None:
    """Docker starts what restarts `always` with itself, stopped or not."""
    policies = {"a": "always", "b": "unless-stopped", "c": ""}
    items = [
        {"Id": key, "Name": f"/{key}", "HostConfig": {"RestartPolicy": {"Name": policy}}}
        for key, policy in policies.items()
    ]
    listed = Completed(0, "".join(f"{key} shop\n" for key in policies), "")
    host = Script(ls=listed, inspect=containers(*items))
    observer = engine(host)
    observer.observe()

    observer.stop([*policies])

    changes = [argv[2:] for argv in host.asked if {"update", "stop"} & {*argv}]
    assert changes == [["update", "--restart=unless-stopped", "a"], ["stop", "a", "b", "c"]]


def test_what_this_run_does_is_no_change_by_others() -> None:
    """Nor what becomes of nginx, which is asked itself."""
    label = "com.docker.compose.service"
    items = [
        {"Id": key, "Name": f"/{name}", "Config": {"Labels": {label: service}}}
        for key, name, service in (("a", "web", "web"), ("n", "nginx", "nginx"))
    ]
    host = Script(ls=Completed(0, "a shop\nn shop\n", ""), inspect=containers(*items))
    observer = engine(host)
    observer.observe()
    shown = "s\tstranger\tshop\t\tcache\nn2\tnginx\tshop\t\tnginx\no\tother\tother\t\tweb\n"
    gone = Completed(1, "[]", "Error: No such container: a")
    host.answers = {"ls": Completed(0, shown, ""), "inspect": gone}

    assert observer.changed() == ("web was removed", "stranger was created")
    observer.stop(["a"])
    assert observer.changed() == ("stranger was created",)


def test_logs_that_docker_does_not_tell_in_time_are_none() -> None:
    """They only explain a failure, and must not take its place."""
    late = Docker(Script(logs=DeadlineExceeded("`docker logs` did not end within 10 s")))
    assert late.log_tail("shop-web-1", 20, frozenset()) == ()


@pytest.mark.parametrize("status", [0, 1])
def test_an_engine_that_goes_away_is_not_what_compose_says(status: int) -> None:
    away = docker(status, stderr="Cannot connect to the Docker daemon at unix:///x. Is it running?")
    model = {"name": "shop", "services": {}}
    if status == 0:  # nginx may print what it likes
        assert "Cannot connect" in away.compose_said(model, ["run"])
        return
    with pytest.raises(EngineError):
        away.compose_said(model, ["run"])
