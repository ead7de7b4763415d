"""From what `docker inspect` says to replicas, backing services and probes: pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import ceil
from typing import TYPE_CHECKING

from releasekit.baking import Whereabouts
from releasekit.compose.labels import COMPOSE_ONE_OFF, COMPOSE_SERVICE, RELEASE, SERVICE, SLOT
from releasekit.observed import PLAIN, Backing, Health, Replica
from releasekit.ports import Probe

if TYPE_CHECKING:
    from python_on_whales.components.container.models import ContainerInspectResult

LOST_AFTER_RESTARTS = 3
"""A container that Docker had to restart so often is not going to get healthy."""


def replica(container: ContainerInspectResult, app: Collection[str]) -> Replica | None:
    """The container as a replica; None when it is no app service's.

    A label of ours tells, also for a service that the compose file no longer has; a container
    that plain compose started is known by its service.
    """
    labels = labels_of(container)
    service = labels.get(SERVICE) or labels.get(COMPOSE_SERVICE, "")
    if is_one_off(labels) or not (SERVICE in labels or service in app):
        return None
    return Replica(
        service=service,
        slot=labels.get(SLOT, PLAIN),
        name=name_of(container),
        release=labels.get(RELEASE, ""),
        id=str(container.id),
        image=str(container.image),
        running=is_up(container),
        health=health_of(container),
    )


def backing(container: ContainerInspectResult, app: Collection[str]) -> Backing | None:
    """The container as a backing service's; None when it is none."""
    labels = labels_of(container)
    service = labels.get(COMPOSE_SERVICE, "")
    if is_one_off(labels) or SERVICE in labels or service in app:
        return None
    return Backing(service, str(container.id), is_up(container))


def name_of(container: ContainerInspectResult) -> str:
    return str(container.name).lstrip("/")


def labels_of(container: ContainerInspectResult) -> Mapping[str, str]:
    config = container.config
    return (config.labels if config is not None else None) or {}


def addresses(container: ContainerInspectResult) -> dict[str, str]:
    """The container's addresses by network, sorted; only of networks where it has one."""
    settings = container.network_settings
    networks = (settings.networks if settings is not None else None) or {}
    return {name: n.ip_address for name, n in sorted(networks.items()) if n.ip_address}


def whereabouts(container: ContainerInspectResult) -> Whereabouts:
    started = container.state.started_at if container.state is not None else None
    since = started.timestamp() if started is not None else 0.0
    return Whereabouts(tuple(addresses(container).values()), since)


def is_up(container: ContainerInspectResult) -> bool:
    state = container.state
    return state is not None and state.status in ("running", "restarting", "paused")


def health_of(container: ContainerInspectResult) -> Health:
    state = container.state
    health = state.health if state is not None else None
    return Health(health.status) if health is not None and health.status else Health.NONE


def run_of(container: ContainerInspectResult) -> str:
    """What changes with every start of the container."""
    started = container.state.started_at if container.state is not None else None
    return f"{container.id} {started}"


def lost(container: ContainerInspectResult) -> str:
    """Why waiting for this container is of no use; "" when it is not."""
    state = container.state
    restarts = container.restart_count or 0
    if state is None:
        return ""
    if state.oom_killed:
        return "out of memory: the kernel killed it"
    if restarts >= LOST_AFTER_RESTARTS:
        return f"it crashes: restarted {restarts} times, last exit status {state.exit_code}"
    if state.status in ("exited", "dead"):
        return f"it exited with status {state.exit_code}"
    return ""


def docker_health(container: ContainerInspectResult) -> Probe:
    """Docker's own word: its health check, or for want of one that the container runs."""
    health = health_of(container)
    if health not in (Health.HEALTHY, Health.NONE):
        return Probe(False, f"Docker's health check says {health}")
    return Probe(runs(container), f"Docker calls it {_status(container)}")


def settled(container: ContainerInspectResult, ran_s: float, settle_s: float) -> Probe:
    """Whether a container that nothing asks ran long enough, `ran_s` by now, to count as healthy.

    What it has to go is told in quarters: a wait that fails lists all that it was told.
    """
    if not runs(container):
        return Probe(False, f"Docker calls it {_status(container)}")
    left = ceil(4 * (settle_s - ran_s) / settle_s)
    if left > 0:
        return Probe(False, f"it runs, and has to for {settle_s * left / 4:g} s more")
    return Probe(True, f"it ran {settle_s:g} s without a restart")


def runs(container: ContainerInspectResult) -> bool:
    """Whether it runs right now, neither paused nor waiting to be restarted."""
    return _status(container) == "running"


def _status(container: ContainerInspectResult) -> str:
    return container.state.status or "unknown" if container.state is not None else "unknown"


def backing_trouble(container: ContainerInspectResult) -> str:
    """What keeps a backing service from being up, "" if nothing; a job that ended well is up."""
    state = container.state
    if state is not None and state.status == "exited":
        return "" if state.exit_code == 0 else f"it exited with status {state.exit_code}"
    probe = docker_health(container)
    return "" if probe.is_healthy else probe.detail


def is_one_off(labels: Mapping[str, str]) -> bool:
    """A `docker compose run`: somebody's console, not a part of any release."""
    return labels.get(COMPOSE_ONE_OFF) == "True"
