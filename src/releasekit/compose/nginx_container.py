"""The nginx service's container: `nginx.container.Container` on Docker and compose."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from releasekit.bundle import Bundle
from releasekit.compose import labels, observe
from releasekit.compose import model as models
from releasekit.compose.docker import QUICK_S, SLOW_S, Docker
from releasekit.compose.engine import ComposeEngine
from releasekit.compose.trial import trial_model
from releasekit.errors import DeadlineExceeded
from releasekit.nginx.container import ContainerFacts, Process
from releasekit.nginx.include import GOOD
from releasekit.nginx.render import FILE
from releasekit.ports import Completed
from releasekit.redact import redact, secrets_in
from releasekit.together import together

if TYPE_CHECKING:
    from python_on_whales.components.container.models import ContainerInspectResult


_NOT_UP = ("is not running", "is restarting", "no such container")
"""How `docker top` says that there are no processes."""


class NginxContainer:
    """The container of the nginx service in `bundle`'s model."""

    def __init__(
        self, docker: Docker, engine: ComposeEngine, bundle: Bundle, service: str, directory: str
    ) -> None:
        self._docker = docker
        self._engine = engine
        self._bundle = bundle
        self._service = service
        self._directory = directory
        self._name = f"{bundle.project}-{service}-1"

    def inspect(self) -> ContainerFacts:
        container = self._container()
        if container is None:
            return ContainerFacts(self._name, gateway=self._gateway())
        self._name = observe.name_of(container)
        state = container.state
        if state is None or state.status != "running":
            return ContainerFacts(self._name, gateway=self._gateway())
        address, gateway = _reachable(container)
        return ContainerFacts(self._name, True, address, gateway, state.pid or 0)

    def version(self) -> str:
        container = self._container()
        if container is not None and observe.is_up(container):
            done = self.execute(["nginx", "-v"], deadline_s=QUICK_S)
        else:
            image = self._bundle.model["services"][self._service]["image"]
            argv = ["run", "--rm", "--network", "none", "--entrypoint", "nginx", image, "-v"]
            done = self._docker.run(argv, deadline_s=SLOW_S)  # it may have to pull first
        return done.stdout + done.stderr

    @property
    def service(self) -> str:
        return self._service

    def mounted(self) -> tuple[str, ...] | None:
        container = self._container()
        if container is None or not observe.is_up(container):
            return None
        return tuple(str(mount.source) for mount in container.mounts or ())

    def dump(self, argv: Sequence[str], preview: str) -> str:
        """What `nginx -T`, with the options of `argv`, prints: in the running container, or else
        in a throw-away one with the same files and `preview` as the managed one; "" when that
        does not end in time."""
        container = self._container()
        if container is not None and observe.is_up(container):
            done = self.execute([*argv, "-T"], deadline_s=QUICK_S)
            return done.stdout + done.stderr
        return self._tried(argv, preview, "-T")

    def test(self, argv: Sequence[str], managed: str) -> str:
        """What `nginx -t`, with the options of `argv`, does not like of the service's files with
        `managed` as the managed one, in a throw-away container; "" when it takes them."""
        networks, volumes = together(lambda: self._there("network"), lambda: self._there("volume"))
        said = self._tried(argv, managed, "-t", networks=networks, volumes=volumes)
        if GOOD in said:
            return ""
        # compose quotes what it does not like, and the model holds secrets.
        return redact(said, secrets_in(self._bundle.model)).strip() or "it did not end"

    def _there(self, kind: str) -> list[str]:
        return self._docker.ask(kind, "ls", "--format", "{{.Name}}").split()

    def _tried(
        self,
        argv: Sequence[str],
        managed: str,
        flag: str,
        *,
        networks: Collection[str] = (),
        volumes: Collection[str] = (),
    ) -> str:
        """What nginx prints in a throw-away container with `managed`; "" when it does not end."""
        model = trial_model(
            self._bundle.model,
            self._service,
            self._directory,
            managed,
            networks=networks,
            volumes=volumes,
        )
        name = f"{self._bundle.project}-nginx-check-{secrets.token_hex(4)}"
        run = ["run", "--rm", "--no-deps", "--no-TTY", "--name", name]
        command = model["services"][self._service].get("command") or ["nginx"]
        if command[0] == "nginx":
            run += [self._service, *command, flag]
        else:  # a script of the user's, which would not know the flag and might never end
            run += ["--entrypoint", argv[0], self._service, *argv[1:], flag]
        try:
            return self._docker.compose_said(model, run)
        except DeadlineExceeded:
            return ""
        finally:
            # A compose that was killed at its deadline leaves it behind.
            with suppress(DeadlineExceeded):
                self._docker.run(["container", "rm", "--force", name], deadline_s=QUICK_S)

    @property
    def managed_path(self) -> str:
        """Where nginx sees the managed file."""
        target = models.nginx_target(self._bundle.model, self._service, self._directory)
        return f"{target}/{FILE}"

    def execute(self, argv: Sequence[str], *, deadline_s: float) -> Completed:
        return self._docker.run(["container", "exec", self._name, *argv], deadline_s=deadline_s)

    def signal(self, name: str) -> None:
        self._docker.do("container", "kill", "--signal", name, self._name)

    def start(self) -> None:
        self._engine.up_backing(self._bundle.model, self._service)

    def processes(self) -> Sequence[Process]:
        top = ["container", "top", self._name, "-eo", "pid,args"]
        done = self._docker.run(top, deadline_s=QUICK_S)
        if done.status != 0 and any(sign in done.stderr.lower() for sign in _NOT_UP):
            return ()
        # "None" because docker did not answer would pass for "all old workers are gone".
        self._docker.checked(done, top)
        rows = (line.split(None, 1) for line in done.stdout.splitlines()[1:])
        return tuple(Process(int(row[0]), row[1]) for row in rows if len(row) == 2)

    def log_tail(self, lines: int) -> tuple[str, ...]:
        return self._engine.log_tail(self._name, lines)

    def _container(self) -> ContainerInspectResult | None:
        """The service's container: by its name, which asks Docker once, else by its labels."""
        found = self._docker.inspect([self._name])
        if found:
            return found[0]
        ids = self._docker.ask(
            "container", "ls", "-aq",
            "--filter", f"label={labels.COMPOSE_PROJECT}={self._bundle.project}",
            "--filter", f"label={labels.COMPOSE_SERVICE}={self._service}",
        ).split()  # fmt: skip
        return next(iter(self._docker.inspect(ids[:1])), None)

    def _gateway(self) -> str:
        """Where the host's connections will come from, while there is no container to ask."""
        networks = self._bundle.networks(self._service)
        done = self._docker.run(
            ["network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", *networks[:1]],
            deadline_s=QUICK_S,
        )
        return done.stdout.strip() if done.status == 0 else ""


def _reachable(container: ContainerInspectResult) -> tuple[str, str]:
    """The container's address and gateway on a network that the host is on too: an internal one
    has no gateway."""
    settings = container.network_settings
    networks = (settings.networks if settings is not None else None) or {}
    pairs = [(n.ip_address or "", n.gateway or "") for _, n in sorted(networks.items())]
    return next((pair for pair in pairs if all(pair)), (pairs or [("", "")])[0])
