"""A real registry with a password, on loopback, behind a wire that can be cut."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import shutil
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import bcrypt

from releasekit.hosts.local import MonotonicClock
from releasekit.waiting import wait_until
from tests.e2e.shop import DEADLINE_S, docker, free_port, run

IMAGE = "releasekit-base/registry:2"
USER = "team"


class Wire(socketserver.ThreadingTCPServer):
    """Passes connections on to `port`, as long as `limit` says.

    None is for ever; a number is so many bytes of all answers together, and then they are `stuck`,
    or cut, and nobody answers any more.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Passage)
        self.port = port
        self.limit: int | None = None
        self.sticks = False
        self.is_over = threading.Event()
        """Whether the limit was reached."""
        self.mended = threading.Event()

    def cut_after(self, limit: int, *, sticks: bool = False) -> None:
        self.is_over.clear()
        self.mended.clear()
        self.limit, self.sticks = limit, sticks

    def mend(self) -> None:
        self.limit = None
        self.mended.set()

    def takes(self, count: int) -> bool:
        """Whether so many bytes of an answer get through; waits where they stick."""
        if self.limit is None:
            return True
        self.limit -= count
        if self.limit >= 0:
            return True
        self.is_over.set()
        if self.sticks:
            self.mended.wait(DEADLINE_S)
        return False


class Passage(socketserver.BaseRequestHandler):
    server: Wire

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as upstream:
            asking = threading.Thread(target=self._ask, args=(upstream,), daemon=True)
            asking.start()
            with suppress(OSError):
                while (data := upstream.recv(65536)) and self.server.takes(len(data)):
                    self.request.sendall(data)
            for end in (self.request, upstream):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            asking.join()

    def _ask(self, upstream: socket.socket) -> None:
        with suppress(OSError):
            while data := self.request.recv(65536):
                upstream.sendall(data)


@dataclass(frozen=True)
class Registry:
    """Its `address`, the `wire` to it, and a `password` of its one user."""

    address: str
    wire: Wire
    password: str
    folder: Path

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Registry]:
        password, port = secrets.token_urlsafe(16), free_port()
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()
        (folder / "htpasswd").write_text(f"{USER}:{hashed}\n")
        auth = {"": "htpasswd", "_HTPASSWD_REALM": "shop", "_HTPASSWD_PATH": "/auth/htpasswd"}
        given = [f"--env=REGISTRY_AUTH{name}={value}" for name, value in auth.items()]
        mount, publish = f"--volume={folder}:/auth:ro", f"--publish=127.0.0.1:{port}:5000"
        container = docker("run", "--detach", mount, publish, *given, IMAGE).strip()
        wire = Wire(port)
        serving = threading.Thread(target=wire.serve_forever, daemon=True)
        serving.start()
        try:
            registry = cls(f"127.0.0.1:{wire.server_address[1]}", wire, password, folder)
            wait_until(registry.trouble, deadline_s=DEADLINE_S, clock=MonotonicClock())
            yield registry
        finally:
            wire.mend()
            wire.shutdown()
            wire.server_close()
            docker("container", "rm", "--force", "--volumes", container)

    def trouble(self) -> str:
        """Why it does not answer yet; "" when it does."""
        connection = http.client.HTTPConnection(self.address, timeout=5)
        try:
            connection.request("GET", "/v2/")
            status = connection.getresponse().status
            return "" if status == 401 else f"the registry answers {status}"
        except (OSError, http.client.HTTPException) as error:
            return f"the registry does not answer: {error}"
        finally:
            connection.close()

    def login(self, password: str) -> str:
        """A folder for DOCKER_CONFIG that logs in with this password."""
        folder = self.folder / f"docker-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        config = folder / "config.json"
        config.touch(mode=0o600)
        config.write_text(json.dumps({"auths": {self.address: {"auth": auth}}}))
        plugins = Path.home() / ".docker" / "cli-plugins"
        if plugins.is_dir():  # compose, where it is the user's own
            shutil.copytree(plugins, folder / "cli-plugins")
        return str(folder)

    def push(self, image: str) -> None:
        """Move a local image to it: afterwards it is nowhere else."""
        reference = f"{self.address}/{image}"
        docker("image", "tag", image, reference)
        login = self.login(self.password)
        run(["docker", "--config", login, "image", "push", "--quiet", reference])
        docker("image", "rm", "--force", reference, image)
