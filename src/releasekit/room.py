"""Whether a release has room on the host, and what the way back has left when a disk is full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from releasekit import forecasting
from releasekit.bundle import Bundle
from releasekit.compose import manifest, memory
from releasekit.compose.docker import Docker
from releasekit.errors import HostError, NoRoom
from releasekit.events import EventSink, Warned
from releasekit.forecast import Memory
from releasekit.forecast_text import amount, share
from releasekit.observed import Observed
from releasekit.plan import Plan
from releasekit.ports import Free, Host
from releasekit.site import Place

MIB = 1024**2
STATE = Free(32 * MIB, 100)
"""What a release needs where releasekit keeps its state: bundle, journal, nginx's file, reserve."""
ENGINE = Free(200 * MIB, 1_000)
"""What it needs where Docker keeps images and containers, beside what it pulls."""
PULL_INODES = 10_000
"""An image is many small files; no registry tells how many."""
RESERVE = 16 * MIB
"""So much is kept, to be given up when a way back needs it."""
BACK = Free(RESERVE // 2, 10)
"""Where there is less than this, it does."""
MAKE_ROOM = (
    "make room: `docker system df` and `df -i` tell what takes it; "
    "`releasekit rollback` works all the same"
)
TAKES_LESS = (
    "`--strategy rolling` needs less at a time, `--strategy recreate` the least; "
    "`--ignore-memory` releases all the same, if they never take all that they may"
)


@dataclass(frozen=True, slots=True)
class Disk:
    """A filesystem by a path on it: what is free there (None: nobody can tell) and what is needed;
    `why` in words."""

    path: str
    keeps: str
    free: Free | None
    needed: Free
    why: str = ""


def disk_problems(disks: Iterable[Disk]) -> list[str]:
    """What is too full for a release, with the numbers."""
    problems = []
    for disk in disks:
        free, needed, where = disk.free, disk.needed, f"disk: {disk.path}, which keeps {disk.keeps}"
        if free is None:
            continue
        if free.size < needed.size:
            has = f"has {amount(free.size)} free"
            problems.append(f"{where}, {has}; a release needs {amount(needed.size)}{disk.why}")
        if free.inodes is not None and needed.inodes and free.inodes < needed.inodes:
            has = f"has {free.inodes} inodes free"
            problems.append(f"{where}, {has}; a release needs {needed.inodes}")
    return problems


def engine_needs(images: Sequence[str], sizes: Mapping[str, int]) -> tuple[Free, str]:
    """What pulling these images takes at least, of the given sizes as far as they are known, and
    how that is made up."""
    inodes = (ENGINE.inodes or 0) + (PULL_INODES if images else 0)
    pulled = "".join(f"; {amount(sizes[i])} of it to pull {i}" for i in images if i in sizes)
    return Free(ENGINE.size + sum(sizes.values()), inodes), pulled


def memory_problem(found: Memory) -> str:
    """Why what may run at once does not fit, by the limits alone that services are given; "" when
    it does, or nobody knows."""
    limited = [each for each in found.shares if each.estimate == "limit"]
    needed = sum(each.replicas * (each.each or 0) for each in limited)
    if found.available is None or needed <= found.available:
        return ""
    return (
        f"memory: beside what runs, {', '.join(map(share, limited))} may take {amount(needed)}, "
        f"and the host has {amount(found.available)} available: the kernel would kill something"
    )


# On a host


def require_disk(host: Host, docker: Docker, place: Place, images: Sequence[str]) -> None:
    """Raise `NoRoom` when a release that has to pull these images would fill a disk."""
    root = docker.ask("info", "--format", "{{.DockerRootDir}}").strip()
    sizes = manifest.pull_sizes(docker, images) if images else {}
    needed, why = engine_needs(images, sizes)
    disks = (
        Disk(place.state, "releasekit's state", _free(host, place.state), STATE),
        Disk(root, "Docker's images and containers", host.free(root), needed, why),
    )
    _require(disk_problems(disks), MAKE_ROOM)


def require_memory(host: Host, bundle: Bundle, observed: Observed, plan: Plan) -> None:
    """Raise `NoRoom` when `plan` runs more at once than the host has memory for."""
    limits = {name: memory.limit(bundle.model, name) for name in bundle.app}
    shares = forecasting.memory(observed, bundle.target(), plan, limits, {})
    problem = memory_problem(Memory(shares, memory.available(host)))
    _require([problem] if problem else [], TAKES_LESS)


def _require(problems: list[str], hint: str) -> None:
    if problems:
        raise NoRoom("\n".join(problems), hint=hint)


def _free(host: Host, path: str) -> Free | None:
    """What is free where `path` is, or is going to be."""
    known = (host.free(str(each)) for each in (path, *PurePosixPath(path).parents))
    return next((free for free in known if free is not None), None)


def keep_reserve(host: Host, place: Place) -> None:
    """Have files that take room, which a way back finds when the disk is full."""
    there = host.list_dir(place.state)
    for path, size in _reserves(place):
        if PurePosixPath(path).name not in there:
            host.reserve(path, size)


def _reserves(place: Place) -> tuple[tuple[str, int], ...]:
    """(file, bytes) pairs. The second one is for its inode alone: nginx's old file is kept by a
    second name while it is replaced, and some file systems (tmpfs) count names."""
    return (place.reserve, RESERVE), (f"{place.reserve}.inode", 1)


def give_way(host: Host, place: Place, events: EventSink) -> None:
    """Give the reserve up where a way back would have no room without it."""
    free = host.free(place.state)
    is_full = free is not None and (
        free.size < BACK.size or (free.inodes is not None and free.inodes < (BACK.inodes or 0))
    )
    if is_full and PurePosixPath(place.reserve).name in host.list_dir(place.state):
        for path, _ in _reserves(place):
            with suppress(HostError):  # it goes on without
                host.remove(path)
        events(Warned(f"{place.state} is on a full disk: the reserve for a way back is used up"))
