"""The nginx service's container: what the router needs of Docker, and what its processes tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from releasekit.ports import Completed

_MASTER = "nginx: master process "
_WORKER = "nginx: worker process"
_LEAVING = "nginx: worker process is shutting down"


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """The nginx container at one moment. `is_running` False: it is absent, stopped or waiting to
    be restarted; then `address` is "" and `pid` 0.

    `gateway` is where the host's connections to it come from: its network's, so known without
    a container too. `pid` is the container's first process, as the host numbers it.
    """

    name: str
    is_running: bool = False
    address: str = ""
    gateway: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the container, as the host numbers it; `title` is its command line."""

    pid: int
    title: str

    @property
    def is_master(self) -> bool:
        return self.title.startswith(_MASTER)

    @property
    def is_leaving(self) -> bool:
        """An old worker that only finishes its requests."""
        return self.title.startswith(_LEAVING)

    @property
    def accepts(self) -> bool:
        """A worker that takes connections."""
        return self.title.startswith(_WORKER) and not self.is_leaving


def same_nginx(processes: Iterable[Process]) -> list[str] | None:
    """The words that start the same nginx on the same files, from its master's title.

    Plain `nginx -t` would test the default configuration, whatever the master was given.
    """
    title = next((p.title for p in processes if p.is_master), None)
    if title is None:
        return None
    program, *words = title.removeprefix(_MASTER).split()
    options = [
        word for flag, value in pairwise(words) if flag in ("-c", "-p") for word in (flag, value)
    ]
    return [program, *options]


class Container(Protocol):
    """The nginx service's container: what the router needs of Docker."""

    def inspect(self) -> ContainerFacts: ...

    @property
    def managed_path(self) -> str:
        """Where nginx sees the managed file."""
        ...

    @property
    def service(self) -> str:
        """Compose's name of it."""
        ...

    def mounted(self) -> Sequence[str] | None:
        """The host's paths that are mounted in it; None when it does not run."""
        ...

    def dump(self, argv: Sequence[str], managed: str, /) -> str:
        """What `nginx -T` prints, with the options of `argv`; `managed` stands for the managed
        file when nginx does not run."""
        ...

    def test(self, argv: Sequence[str], managed: str, /) -> str:
        """What `nginx -t`, with the options of `argv`, does not like of the same files with
        `managed` as the managed one, in a throw-away container; "" when it takes them."""
        ...

    def version(self) -> str:
        """What `nginx -v` prints, in the container or else in its image; "" when neither is."""
        ...

    def execute(self, argv: Sequence[str], *, deadline_s: float) -> Completed:
        """Run `argv` in the running container; raises `DeadlineExceeded`."""
        ...

    def signal(self, name: str) -> None:
        """Send a signal to the container's first process."""
        ...

    def start(self) -> None:
        """Start it now, through compose, also when it waits to be restarted; not wait for it."""
        ...

    def processes(self) -> Sequence[Process]:
        """Its processes; none when it does not run."""
        ...

    def log_tail(self, lines: int) -> tuple[str, ...]:
        """The last lines that it logged, fit to be shown."""
        ...
