"""The edges of the system, as the core sees them. Strategies see none of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from releasekit.observed import Backing, Nginx, Replica, Upstream


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command did. `status` is None when it is not known how it ended."""

    status: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One health probe's answer: an HTTP status with where it redirects to, or a failure."""

    status: int | None
    detail: str = ""


class Clock(Protocol):
    """Time that only goes forward, in seconds, and the only way to let it pass. `utc` is the wall
    clock, in ISO 8601: for people to read, nothing is decided by it."""

    def utc(self) -> str: ...

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class Host(Protocol):
    """The machine that runs the project: commands, files and connections there."""

    @property
    def name(self) -> str: ...

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        """Run `argv` there, with no shell and no terminal, and return however it ended.

        `env` is laid over the small environment that commands get. Exit status 127 says that it
        cannot be started. Raises `DeadlineExceeded`.
        """
        ...

    def read(self, path: str) -> str | None:
        """The file's text; None when there is none."""
        ...

    def write(self, path: str, text: str, *, mode: int = 0o600) -> None:
        """Write the file as one: either the old or the new text is there, also after a crash.

        Makes missing folders (0700)."""
        ...

    def append(self, path: str, text: str) -> None:
        """Append to the file (0600) and return only when it is on disk."""
        ...

    def digest(self, path: str) -> str | None:
        """The SHA-256 of a regular file's bytes, in hex; None when there is no such file."""
        ...

    def copy(self, source: str, target: str) -> None:
        """Copy a file with its owner and mode, as one: `target` is whole or absent."""
        ...

    def make_dir(self, path: str, *, mode: int = 0o700) -> None: ...

    def remove(self, path: str) -> None:
        """Remove the file if it is there."""
        ...

    def list_dir(self, path: str) -> tuple[str, ...]:
        """The names in a folder, sorted; empty when there is no such folder."""
        ...

    def http_get(
        self,
        address: str,
        port: int,
        path: str,
        *,
        headers: Mapping[str, str],
        deadline_s: float,
    ) -> tuple[Answer, str]:
        """GET from the host, following no redirect and using no proxy: answer, and body's start."""
        ...

    def lock(self, path: str, purpose: str) -> AbstractContextManager[None]:
        """A kernel lock that dies with its holder; raises `Locked` when somebody holds it."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """How one replica is, right now. `is_lost`: it has exited, and waiting on is of no use."""

    is_healthy: bool
    detail: str
    is_lost: bool = False


class Engine(Protocol):
    """Docker and compose, for the containers of one project."""

    def observe(self) -> tuple[tuple[Replica, ...], tuple[Backing, ...]]:
        """The containers there are, running or not."""
        ...

    def pull(self, images: Sequence[str]) -> None: ...

    def ensure_backing(self, release: str, services: Sequence[str]) -> None:
        """Start these backing services as `release` describes them, and wait until they are up
        (healthy, where they tell)."""
        ...

    def start(self, release: str, slot: str, replicas: Sequence[tuple[str, int]]) -> None:
        """Start a stored release's app services, (service, count) pairs, in one call."""
        ...

    def probe(self, release: str, replicas: Sequence[tuple[str, str]]) -> dict[str, Probe]:
        """How these (service, replica) pairs are, at their own addresses."""
        ...

    def stop(self, ids: Sequence[str]) -> None: ...

    def remove(self, ids: Sequence[str]) -> None: ...

    def log_tail(self, name: str, lines: int) -> tuple[str, ...]:
        """The last lines that a container logged, fit to be shown."""
        ...


class Router(Protocol):
    """nginx, for the project's route."""

    def observe(self) -> Nginx: ...

    def problem(self, services: Sequence[str]) -> str:
        """Why nginx would not load a route of `services`, as it is configured; "" if it would."""
        ...

    def apply(self, upstreams: Sequence[Upstream]) -> bool:
        """Write, test and load the route; starts nginx when it does not run.

        Returns whether nginx had to load it: it is left alone when it serves just that. Raises
        `RouteRefused` with the old file back in place.
        """
        ...

    def unconfirmed(self) -> str:
        """What is missing until the applied route is all that nginx serves; "" when it is."""
        ...

    def undrained(self) -> str:
        """What nginx's old workers still do; "" when none is left."""
        ...
