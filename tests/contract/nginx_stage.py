"""A stage for contract tests of nginx: real containers, backends that answer with their colour, and
users that ask all the time."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from releasekit.bundle import HealthCheck
from releasekit.hosts.local import LocalHost, MonotonicClock
from releasekit.nginx.container import Container, ContainerFacts, Process
from releasekit.nginx.include import GOOD
from releasekit.nginx.render import FILE, Peer
from releasekit.nginx.router import Bake, NginxRouter
from releasekit.observed import Route, Upstream
from releasekit.ports import Completed
from releasekit.waiting import wait_until

NEW, OLD = "1.30", "1.22"
VERSIONS = {NEW: (1, 30), OLD: (1, 22)}
CLOCK = MonotonicClock()
CONTROL_PORT = 18745
UP = HealthCheck("/up", host="shop.example")

USER = """\
include /etc/nginx/releasekit/*.conf;
server {
    listen 80;
    location / {
        proxy_pass http://web;
    }
}
"""
SWITCHING = """\
include /etc/nginx/releasekit/*.conf;
server {
    listen 80 default_server;
    return 421;
}
server {
    listen 80;
    server_name shop.example *.preview.shop.example;
    location / {
        proxy_pass http://$releasekit_web;
        proxy_set_header X-Path ours;
    }
}
"""
MAIN = "events {} http { include /etc/nginx/conf.d/*.conf; }\n"
BACKEND = """\
server {
    listen %d;
    location / { return 200 $hostname; }
    location /up { if ($http_host != shop.example) { return 421; } return 200 well; }
    location /slow { limit_rate 1000; return 200 %s; }
    location /echo {
        proxy_pass http://unix:/tmp/sink;
        add_header X-Said "$hostname $http_x_path $request_method $request_uri $request_body";
    }
}
server { listen unix:/tmp/sink; return 204; }
"""


def docker(*args: str) -> str:
    done = subprocess.run(["docker", *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"docker {' '.join(args)}: {done.stderr}"
    return done.stdout.strip()


def inspect(name: str) -> dict[str, Any] | None:
    done = subprocess.run(
        ["docker", "container", "inspect", name], capture_output=True, text=True, timeout=60
    )
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found[0] if found else None


def eventually(look: Callable[[], str], deadline_s: float = 15.0) -> float:
    return wait_until(look, deadline_s=deadline_s, clock=CLOCK, longest_pause_s=0.05)


def is_reload(argv: Sequence[str]) -> bool:
    return tuple(argv[-2:]) == ("-s", "reload")


class DockerContainer:
    """`Container` with nothing but the docker program."""

    def __init__(
        self, name: str, network: str, image: str, folder: str = "/etc/nginx/releasekit"
    ) -> None:
        self.name = name
        self.network = network
        self.image = image
        self.folder = folder
        self.managed_path = f"{folder}/{FILE}"

    def inspect(self) -> ContainerFacts:
        found = inspect(self.name)
        state: dict[str, Any] = found["State"] if found else {"Status": "absent"}
        if found is None or state["Status"] != "running":
            [config] = json.loads(docker("network", "inspect", self.network))[0]["IPAM"]["Config"]
            return ContainerFacts(self.name, gateway=config["Gateway"])
        network = found["NetworkSettings"]["Networks"][self.network]
        return ContainerFacts(
            self.name, True, network["IPAddress"], network["Gateway"], state["Pid"]
        )

    service = "nginx"

    def mounted(self) -> Sequence[str] | None:
        found = inspect(self.name)
        if found is None or found["State"]["Status"] != "running":
            return None
        return [mount["Source"] for mount in found["Mounts"]]

    def dump(self, argv: Sequence[str], managed: str) -> str:
        if self.inspect().is_running:
            done = self.execute([*argv, "-T"], deadline_s=60)
            return done.stdout + done.stderr
        return self._tried(argv, managed, "-T")

    def test(self, argv: Sequence[str], managed: str) -> str:
        said = self._tried(argv, managed, "-t")
        return "" if GOOD in said else said

    def _tried(self, argv: Sequence[str], managed: str, flag: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / FILE).write_text(managed)
            return self.another(*argv, flag, mount=f"{folder}:{self.folder}:ro")

    def another(self, *argv: str, mount: str = "") -> str:
        """What this prints in a throw-away container with the same files, and this mount."""
        mounts = ["--volumes-from", self.name, *(["-v", mount] if mount else [])]
        ran = subprocess.run(
            ["docker", "run", "--rm", "--network", self.network, *mounts, self.image, *argv],
            capture_output=True,
            text=True,
            timeout=60,
        )
        return ran.stdout + ran.stderr

    def version(self) -> str:
        done = subprocess.run(
            ["docker", "run", "--rm", "--entrypoint", "nginx", self.image, "-v"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stderr

    def execute(self, argv: Sequence[str], *, deadline_s: float) -> Completed:
        done = subprocess.run(
            ["docker", "exec", self.name, *argv], capture_output=True, text=True, timeout=deadline_s
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    def lose_reload(self, argv: Sequence[str], *, deadline_s: float) -> Completed:
        """`execute`, where a reload is asked for and never comes."""
        if is_reload(argv):
            return Completed(0, "", "")
        return DockerContainer.execute(self, argv, deadline_s=deadline_s)

    def signal(self, name: str) -> None:
        docker("kill", "--signal", name, self.name)

    def start(self) -> None:
        docker("restart", self.name)

    def processes(self) -> Sequence[Process]:
        done = subprocess.run(
            ["docker", "top", self.name, "-o", "pid,args"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        rows = (line.split(None, 1) for line in done.stdout.splitlines()[1:])
        return [Process(int(pid), title) for pid, title in rows]

    def log_tail(self, lines: int) -> tuple[str, ...]:
        done = subprocess.run(
            ["docker", "logs", "--tail", str(lines), self.name],
            capture_output=True,
            text=True,
            timeout=60,
        )
        return tuple((done.stdout + done.stderr).splitlines())


@dataclass(frozen=True)
class Stage:
    """A network with three backends that answer with their colour; `far` shares no network."""

    prefix: str
    network: str
    ports: dict[str, int]

    @property
    def blue(self) -> str:
        return f"{self.prefix}-web-blue-1"

    @property
    def green(self) -> str:
        return f"{self.prefix}-web-green-1"

    @property
    def far(self) -> str:
        return f"{self.prefix}-web-far-1"

    def peers(self, names: Sequence[str]) -> dict[str, Peer]:
        addresses = {name: address(name) for name in names if name in self.ports}
        return {name: Peer(self.ports[name], ip, UP) for name, ip in addresses.items()}


def address(name: str) -> str:
    found = inspect(name)
    assert found is not None
    [network] = found["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def serve(name: str, network: str, folder: Path) -> None:
    colour = name.split("-")[-2]
    mount = f"{folder}:/etc/nginx/conf.d:ro"
    image = "releasekit-base/nginx:1.30"
    docker(
        *("run", "-d", "--name", name, "--hostname", colour, "--network", network),
        *("--stop-signal", "SIGTERM", "-v", mount, image),
    )


def remove(*names: str) -> None:
    subprocess.run(["docker", "rm", "-f", "-v", *names], capture_output=True, timeout=60)


@dataclass
class World:
    """An nginx container that was created and not started, and the router in front of it."""

    stage: Stage
    container: DockerContainer
    folder: Path
    router: NginxRouter = field(init=False)
    bake: Bake | None = None

    def __post_init__(self) -> None:
        self.router = self.new_router(self.container)

    def new_router(self, container: Container) -> NginxRouter:
        """A router of another run: it knows nothing."""
        host = LocalHost(os.environ)
        return NginxRouter(
            host,
            container,
            self.stage.peers,
            CLOCK,
            directory=str(self.folder / "releasekit"),
            control_port=CONTROL_PORT,
            lock=self.lock,
            bake=self.bake,
        )

    def second(self) -> NginxRouter:
        """The router of another project, whose folder the same nginx includes."""
        folder, first = self.folder / "conf.d" / "second", self.container
        folder.mkdir()
        return NginxRouter(
            LocalHost(os.environ),
            DockerContainer(first.name, first.network, first.image, "/etc/custom/second"),
            self.stage.peers,
            CLOCK,
            directory=str(folder),
            control_port=CONTROL_PORT + 1,
            lock=self.lock,
        )

    @property
    def lock(self) -> str:
        return str(self.folder / "nginx.lock")

    @property
    def managed(self) -> Path:
        return self.folder / "releasekit" / FILE

    @property
    def resolves(self) -> bool:
        return self.container.image.endswith("1.30")

    def user_file(self, text: str, name: str = "default.conf") -> None:
        (self.folder / "conf.d" / name).write_text(text)

    def create(self, *command: str) -> None:
        mounts = [
            f"{self.folder / 'conf.d'}:/etc/nginx/conf.d:ro",
            f"{self.folder / 'conf.d'}:/etc/custom:ro",
            f"{self.folder / 'releasekit'}:/etc/nginx/releasekit:ro",
        ]
        docker(
            *("create", "--name", self.container.name, "--network", self.stage.network),
            *(word for mount in mounts for word in ("-v", mount)),
            *(self.container.image, *command),
        )

    def serve(self, *upstreams: Upstream) -> float:
        """Apply a route and wait until it is confirmed; the seconds that it took."""
        began = CLOCK.now()
        self.router.apply(upstreams)
        eventually(self.router.unconfirmed)
        return CLOCK.now() - began

    def workers(self) -> list[int]:
        return [p.pid for p in self.container.processes() if "worker" in p.title]

    def answer(self, path: str = "/", **headers: str) -> str:
        """What a user gets: the colour that answers."""
        return get(self.container.inspect().address, path, **headers)

    def colour(self, upstream: Upstream) -> str:
        return "blue" if self.stage.blue in upstream.replicas else "green"

    @property
    def loaded(self) -> Route:
        """What nginx tells to a run that knows nothing."""
        loaded = self.new_router(self.container).observe().loaded
        assert loaded is not None
        return loaded


def get(address: str, path: str, **headers: str) -> str:
    connection = http.client.HTTPConnection(address, 80, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("GET", path, headers={"Connection": "close", **sent})
        response = connection.getresponse()
        body = response.read().decode()
        return body if response.status == 200 else f"status {response.status}"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()


class Hammer:
    """Users on fresh connections, as fast as they are answered."""

    def __init__(self, address: str, users: int = 3) -> None:
        self._address = address
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._use) for _ in range(users)]
        self.answers: list[str] = []

    def _use(self) -> None:
        while not self._stop.is_set():
            self.answers.append(get(self._address, "/"))

    def __enter__(self) -> Hammer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, count: int = 300) -> None:
        """Return when so many more requests were answered."""
        until = len(self.answers) + count
        eventually(lambda: "" if len(self.answers) >= until else "too few answers")

    @property
    def failed(self) -> list[str]:
        return [answer for answer in self.answers if answer not in ("blue", "green")]
