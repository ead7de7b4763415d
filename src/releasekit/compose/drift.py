"""Which backing services run with another configuration than the compose files now give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from releasekit.compose import model as models
from releasekit.compose import transform
from releasekit.compose.docker import Docker
from releasekit.compose.labels import (
    COMPOSE_HASH,
    COMPOSE_ONE_OFF,
    COMPOSE_PROJECT,
    COMPOSE_SERVICE,
)
from releasekit.together import together

_SHOWN = " ".join(
    f'{{{{or (.Label "{label}") "-"}}}}'
    for label in (COMPOSE_SERVICE, COMPOSE_HASH, COMPOSE_ONE_OFF)
)
_NAMESPACES = ("network_mode", "ipc", "pid")


def drifted(docker: Docker, model: models.Model, app: tuple[str, ...]) -> frozenset[str]:
    """The services other than `app` that the next `docker compose up -d` would recreate, as
    compose itself decides: by the hash of their configuration that their containers carry."""
    wanted = {name for name in models.backing_order(model, app) if _is_comparable(model, name)}
    if not wanted:
        return frozenset()
    project = str(model["name"])
    model = transform.plain_model(model, (), "", project, {})
    running, hashes = together(
        lambda: _running(docker, project), lambda: _hashes(docker, model, wanted)
    )
    differing = {name for name in wanted & running.keys() if running[name] != {hashes[name]}}
    # A release starts one with `--no-deps` where it must not scale the team's own containers
    # (`ComposeEngine.up_backing`), and compose then hashes it without what it depends on.
    alone = _hashes(docker, _without_dependencies(model, differing), differing)
    return frozenset(name for name in differing if running[name] != {alone[name]})


def _is_comparable(model: models.Model, name: str) -> bool:
    """compose puts ids of containers into what it hashes of a service that shares another's
    namespace or volumes, and `config --hash` does not."""
    service = model["services"][name]
    shares = any(str(service.get(key, "")).startswith("service:") for key in _NAMESPACES)
    return not shares and "volumes_from" not in service


def _running(docker: Docker, project: str) -> dict[str, set[str]]:
    """The hashes that the project's containers carry, by service."""
    found: dict[str, set[str]] = {}
    for line in docker.ask(
        "container", "ls", "--all", "--filter", f"label={COMPOSE_PROJECT}={project}",
        "--format", _SHOWN,
    ).splitlines():  # fmt: skip
        service, told, is_one_off = line.split()
        if is_one_off != "True":
            found.setdefault(service, set()).add(told)
    return found


def _hashes(docker: Docker, model: Mapping[str, Any], names: set[str]) -> dict[str, str]:
    """The hash that compose gives each of these services now."""
    if not names:
        return {}
    said = docker.compose(model, ["config", "--hash", ",".join(sorted(names))])
    return dict(_pair(line) for line in said.splitlines())


def _pair(line: str) -> tuple[str, str]:
    name, _, told = line.partition(" ")
    return name, told


def _without_dependencies(model: models.Model, names: set[str]) -> models.Model:
    services = {
        name: {k: v for k, v in service.items() if k != "depends_on" or name not in names}
        for name, service in model["services"].items()
    }
    return {**model, "services": services}
