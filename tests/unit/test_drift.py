"""Which backing services run with another configuration than they have now, and what containers
take of the host's memory: what Docker and the kernel are asked, and what their answers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from releasekit.compose.drift import drifted
from releasekit.compose.memory import in_use

Services = dict[str, dict[str, Any]]
DB = {"image": "db:1"}


def hashed(service: Mapping[str, Any]) -> str:
    """As compose does it: the whole configuration counts, and what it depends on."""
    return repr(sorted(service.items())).replace(" ", "")


class Docker:
    """compose with containers that were started from these (service, configuration) pairs."""

    def __init__(self, *running: tuple[str, Mapping[str, Any]], one_off: bool = False) -> None:
        self._rows = [f"{name} {hashed(service)} {one_off}" for name, service in running]
        self.asked: list[str] = []

    def ask(self, *args: str) -> str:
        assert "label=com.docker.compose.project=shop" in args
        return "\n".join(self._rows)

    def compose(self, model: Mapping[str, Any], args: Sequence[str]) -> str:
        assert args[:2] == ["config", "--hash"]
        self.asked.append(args[2])
        names = args[2].split(",")
        return "\n".join(f"{name} {hashed(model['services'][name])}" for name in names)


def found(docker: Docker, services: Services) -> set[str]:
    any_docker: Any = docker
    model = {"name": "shop", "services": {"web": {"image": "shop:1"}, **services}}
    return set(drifted(any_docker, model, ("web",)))


def test_what_runs_as_it_is_written_is_not_told() -> None:
    assert found(Docker(("db", DB)), {"db": DB}) == set()


def test_what_was_started_with_another_configuration_is_told() -> None:
    assert found(Docker(("db", DB)), {"db": {**DB, "command": ["x"]}}) == {"db"}


def test_one_of_several_containers_is_enough() -> None:
    other = {**DB, "command": ["x"]}

    assert found(Docker(("db", DB), ("db", other)), {"db": DB}) == {"db"}


def test_what_does_not_run_cannot_differ() -> None:
    assert found(Docker(), {"db": DB}) == set()


def test_a_console_of_somebody_s_is_not_the_service() -> None:
    assert found(Docker(("db", {"image": "old"}), one_off=True), {"db": DB}) == set()


def test_what_was_started_without_its_dependencies_is_the_same() -> None:
    nginx = {"image": "nginx", "depends_on": {"web": {"condition": "service_started"}}}

    assert found(Docker(("nginx", {"image": "nginx"})), {"nginx": nginx}) == set()
    assert found(Docker(("nginx", {"image": "old"})), {"nginx": nginx}) == {"nginx"}


def test_a_dependency_of_a_disabled_profile_does_not_count() -> None:
    """compose leaves it out of the hash, and refuses to read it again."""
    absent = {"condition": "service_started", "required": False}
    services = {"db": {**DB, "depends_on": {"absent": absent}}}

    assert found(Docker(("db", {**DB, "depends_on": {}})), services) == set()


@pytest.mark.parametrize(
    "shares",
    [
        {"network_mode": "service:db"},
        {"ipc": "service:db"},
        {"pid": "service:db"},
        {"volumes_from": ["db"]},
    ],
)
def test_what_shares_with_another_container_cannot_be_told(shares: dict[str, Any]) -> None:
    """compose puts the other one's id into the hash of the container."""
    docker = Docker(("db", DB), ("exporter", {"image": "x"}))

    assert found(docker, {"db": DB, "exporter": {"image": "x", **shares}}) == set()
    assert docker.asked == ["db"]


def test_without_backing_services_nothing_is_asked() -> None:
    docker = Docker()

    assert found(docker, {}) == set()
    assert docker.asked == []


# --- memory ---------------------------------------------------------------------------------------

ID = "9056364db31f5609adfd6be9d06adcf6"
V1 = {
    "/proc/7/cgroup": f"9:cpu,memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/docker/{ID}\n",
    f"/sys/fs/cgroup/memory/docker/{ID}/memory.usage_in_bytes": "1000\n",
    f"/sys/fs/cgroup/memory/docker/{ID}/memory.stat": "inactive_file 1\ntotal_inactive_file 300\n",
}
SCOPE = f"/system.slice/docker-{ID}.scope"
V2 = {
    "/proc/7/cgroup": f"0::{SCOPE}\n",
    f"/sys/fs/cgroup{SCOPE}/memory.current": "1000\n",
    f"/sys/fs/cgroup{SCOPE}/memory.stat": "anon 1\ninactive_file 400\nfile 2\n",
}


@pytest.mark.parametrize(
    ("files", "pid", "used"),
    [
        (V1, 7, {"web-1": 700}),
        (V2, 7, {"web-1": 600}),
        ({**V2, f"/sys/fs/cgroup{SCOPE}/memory.stat": None}, 7, {"web-1": 1000}),
        ({**V2, f"/sys/fs/cgroup{SCOPE}/memory.current": None}, 7, {}),
        # Of an engine elsewhere: this host's process 7 is another one, or there is none.
        ({"/proc/7/cgroup": "0::/user.slice\n"}, 7, {}),
        ({}, 7, {}),
        # The container does not run.
        (V1, 0, {}),
    ],
)
def test_what_a_container_uses_is_what_it_cannot_give_back(
    files: Mapping[str, str | None], pid: int, used: dict[str, int]
) -> None:
    host: Any = SimpleNamespace(read=files.get)
    container = SimpleNamespace(id=ID, name="/web-1", state=SimpleNamespace(pid=pid))
    docker: Any = SimpleNamespace(inspect=lambda names: [container])

    assert in_use(host, docker, ["web-1"]) == used
