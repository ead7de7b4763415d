"""The edges of the system, as the core sees them. Strategies see none of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from releasekit.observed import Backing, Nginx, Replica, Upstream

LOG_LINES = 20
"""How many of the last lines of a container's log are shown when it fails."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command did. `status` is None when it is not known how it ended."""

    status: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Page:
    """What a URL answers, its header names in lower case; `status` None: nobody answered. Then
    `is_unknown` says that this tells nothing: the host could not even ask."""

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""
    is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One health probe's answer: an HTTP status with where it redirects to, or a failure."""

    status: int | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Free:
    """What a filesystem has left for who asks: bytes, and inodes (None: it sets no limit)."""

    size: int
    inodes: int | None


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
        is_stopped: Callable[[], bool] | None = None,
    ) -> Completed:
        """Run `argv` there, with no shell and no terminal, and return however it ended.

        `env` is laid over the small environment that commands get. Exit status 127 says that it
        cannot be started. Raises `DeadlineExceeded`, and `Interrupted` as soon as `is_stopped`;
        nothing of the command runs on then.
        """
        ...

    def read(self, path: str) -> str | None:
        """The file's text; None when there is none."""
        ...

    def tail(self, path: str, size: int) -> str:
        """The text of the file's last `size` bytes, or of all it has; "" when there is none."""
        ...

    def write(self, path: str, text: str, *, mode: int = 0o600, lasting: bool = True) -> None:
        """Write the file as one: either the old or the new text is there, also after a crash; one
        that is not `lasting` may be lost when the power is.

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

    def free(self, path: str) -> Free | None:
        """What is left on the filesystem of a path; None when there is no such path."""
        ...

    def reserve(self, path: str, size: int) -> None:
        """Make a file (0600) that takes up so many bytes of the disk."""
        ...

    def link(self, path: str, name: str) -> None:
        """Give the file a second name, which takes no room on the disk."""
        ...

    def rename(self, path: str, name: str) -> None:
        """Have `name` be this file, in place of any other; on disk when this returns."""
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

    def fetch(self, url: str, *, deadline_s: float) -> Page:
        """GET this http or https URL from the host as anybody would, certificate and all, but
        following no redirect and using no proxy."""
        ...

    def lock(
        self,
        path: str,
        purpose: str,
        *,
        wait_s: float = 0.0,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> AbstractContextManager[None]:
        """A kernel lock that dies with its holder, and that no command inherits.

        While somebody else holds it, it is waited for, for `wait_s` at most: `on_wait` is told by
        whom, for what, since when and from where, several times a second, and what it raises ends
        the wait. Raises `Locked`, which tells the same.
        """
        ...

    def holder(self, path: str) -> str:
        """Who holds the lock now, as people read it; "" for nobody. Never in the way of who
        wants it."""
        ...

    def left_behind(self, lock: str) -> tuple[str, ...]:
        """The commands, as people read them, that were run under this lock and run still, though
        who held it then is gone. Only its holder may ask."""
        ...

    def end_left_behind(self, lock: str) -> None:
        """Have the kernel end these commands; it takes a moment."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """How one replica is, right now. `is_lost`: it has exited, and waiting on is of no use. `run`
    changes with every start of its container, "" when that is not known."""

    is_healthy: bool
    detail: str
    is_lost: bool = False
    run: str = field(default="", compare=False)


class Engine(Protocol):
    """Docker and compose, for the containers of one project."""

    def observe(self) -> tuple[tuple[Replica, ...], tuple[Backing, ...]]:
        """The containers there are, running or not."""
        ...

    def changed(self) -> tuple[str, ...]:
        """What others did to the containers since they were observed, in words."""
        ...

    def pull(self, images: Sequence[str]) -> None: ...

    def ensure_backing(
        self, release: str, services: Sequence[str], on_wait: Callable[[], None] = ...
    ) -> None:
        """Start these backing services as `release` describes them, and wait until they are up
        (healthy, where they tell). What `on_wait` raises, which is called several times a second,
        ends the wait."""
        ...

    def run_once(self, release: str, service: str, deadline_s: float) -> None:
        """Run a stored release's migration to its end, in a container like one of `service`.

        Raises `StepFailed` when it ended and not well, or never began; after any other error
        nobody knows how it ended.
        """
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

    def apply(self, upstreams: Sequence[Upstream], on_wait: Callable[[], None] = ...) -> bool:
        """Write, test and load the route; starts nginx when it does not run. What `on_wait` raises,
        which is called several times a second while another project has its turn with nginx, ends
        the wait.

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
