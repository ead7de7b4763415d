"""How much memory containers may take, take now, and could take: compose, the kernel, the host."""

from __future__ import annotations

import re
from collections.abc import Sequence

from releasekit.compose.docker import Docker
from releasekit.compose.model import Model
from releasekit.compose.observe import name_of
from releasekit.ports import Host

_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)
_CGROUPS = "/sys/fs/cgroup"


def limit(model: Model, service: str) -> int | None:
    """The most that a container of `service` may take, in bytes; None when nothing limits it."""
    config = model["services"][service]
    deploy = config.get("deploy") or {}
    reserved = (deploy.get("resources") or {}).get("limits") or {}
    given = config.get("mem_limit") or reserved.get("memory")
    return int(given) or None if given is not None else None


def available(host: Host) -> int | None:
    """What the host can give without swapping, in bytes; None when it does not tell."""
    found = _AVAILABLE.search(host.read("/proc/meminfo") or "")
    return int(found[1]) * 1024 if found else None


def in_use(host: Host, docker: Docker, names: Sequence[str]) -> dict[str, int]:
    """What these containers take now, by name and in bytes, as `docker stats` tells it; without
    those of which the host's kernel tells nothing.

    From the kernel, because `docker stats` needs two seconds for a number that is there at once.
    """
    found: dict[str, int] = {}
    for container in docker.inspect(names):
        pid = container.state.pid if container.state is not None else None
        used = _used(host, pid, str(container.id)) if pid else None
        if used is not None:
            found[name_of(container)] = used
    return found


def _used(host: Host, pid: int, container: str) -> int | None:
    """The memory of a container's control group, but for the files that are only cached."""
    lines = (host.read(f"/proc/{pid}/cgroup") or "").splitlines()
    groups = {of: path for _, of, path in (line.split(":", 2) for line in lines)}
    legacy = next((path for of, path in groups.items() if "memory" in of.split(",")), None)
    path = legacy or groups.get("", "")
    if container not in path:  # an engine elsewhere, whose process ids are not this host's
        return None
    if legacy:
        folder, total, cached = f"{_CGROUPS}/memory{path}", "memory.usage_in_bytes", "total_"
    else:
        folder, total, cached = f"{_CGROUPS}{path}", "memory.current", ""
    taken = host.read(f"{folder}/{total}")
    if taken is None:
        return None
    spare = re.search(
        rf"^{cached}inactive_file (\d+)$", host.read(f"{folder}/memory.stat") or "", re.MULTILINE
    )
    return max(int(taken) - (int(spare[1]) if spare else 0), 0)
