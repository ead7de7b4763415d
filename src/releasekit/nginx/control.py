"""Asks the running nginx what it has loaded, through the private server in the managed file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from releasekit.errors import DeadlineExceeded
from releasekit.nginx import log as logs
from releasekit.nginx.container import Container, ContainerFacts
from releasekit.nginx.render import HOST, Loaded, Passage, parse_route
from releasekit.observed import Route
from releasekit.ports import Answer, Clock, Host
from releasekit.together import each
from releasekit.waiting import wait_until

IN_A_ROW = 3
"""Fresh connections that must agree: old and new workers accept side by side for 100 ms."""
ASK_S = 2.0
THROUGH_S = 5.0
LOG_PART = 32 * 1024
"""Bytes of the log that are asked for at a time: less than a `Host` reads of an answer."""
SETTLE_S = 1.0
"""How long `look` waits for the workers to agree while a reload is under way."""


class ControlServer:
    """The private server of nginx in `container`, whose managed file is in `directory`.

    `facts` are the container's when it was last looked at; everything that asks goes by them.
    """

    def __init__(
        self, host: Host, container: Container, clock: Clock, *, directory: str, port: int
    ) -> None:
        self.port: Final = port
        self.facts = ContainerFacts("nginx")
        self._host = host
        self._container = container
        self._clock = clock
        self._directory = directory

    def inspect(self) -> ContainerFacts:
        self.facts = self._container.inspect()
        return self.facts

    def look(self) -> tuple[Loaded | None, bool]:
        """What is loaded, and whether several fresh connections in a row agree on it."""
        if not self.inspect().is_running:
            return None, True
        said: list[Loaded | None] = []

        def disagree() -> str:
            said[:] = [self.ask() for _ in range(IN_A_ROW)]
            return "" if all(each == said[0] for each in said) else "nginx is reloading"

        try:
            wait_until(disagree, deadline_s=SETTLE_S, clock=self._clock)
        except DeadlineExceeded:
            return said[-1], False
        return said[-1], True

    def ask(self, deadline_s: float = ASK_S) -> Loaded | None:
        answer, body = self._get("/route", HOST, deadline_s)
        return parse_route(body) if answer.status == 200 else None

    def silence(self) -> str:
        """Why nginx, asked in vain, does not tell its route."""
        if not self.facts.is_running:
            return f"{self.facts.name} does not run"
        answer, _ = self._get("/route", HOST, ASK_S)
        return (
            f"nginx does not tell its route at {self.facts.address}:{self.port} "
            f"({_spoken(answer)}): is {self._directory} mounted as a folder, and included in its "
            "http block?"
        )

    def unloaded(self, route: Route) -> str:
        """Why not every fresh connection finds `route` loaded; "" when they do."""
        for _ in range(IN_A_ROW):
            loaded = self.ask()
            if loaded is None:
                self.inspect()
                return self.silence()
            if loaded.route != route:
                return f"nginx still serves the route {loaded.route.generation}"
        return ""

    def unreached(self, passages: Iterable[Passage]) -> str:
        """The first of `passages` that nginx gets no good answer by; "" when there is none."""
        return next(filter(None, each(self._missing, passages)), "")

    def _missing(self, passage: Passage) -> str:
        answer, _ = self._get(passage.path, passage.host, THROUGH_S)
        if answer.status in passage.check.statuses:
            return ""
        what = passage.path.rpartition("/")[2]
        return f"{passage.check.path} of {what} through nginx: {_spoken(answer)}"

    def log(self, offset: int) -> tuple[Answer, str]:
        """A part of the log from this byte on: 206, or 416 when there is no more."""
        part = {"Range": f"bytes={offset}-{offset + LOG_PART - 1}"}
        return self._get(logs.LOCATION, HOST, ASK_S, part)

    def _get(
        self, path: str, host: str, deadline_s: float, headers: Mapping[str, str] | None = None
    ) -> tuple[Answer, str]:
        """Ask on a connection of its own: so any worker may answer."""
        return self._host.http_get(
            self.facts.address,
            self.port,
            path,
            headers={"Host": host, **(headers or {})},
            deadline_s=deadline_s,
        )


def _spoken(answer: Answer) -> str:
    match answer.status:
        case None:
            return answer.detail
        case 502 | 504:
            return f"{answer.status}; nginx may share no network with it"
        case _:
            return f"{answer.status} {answer.detail}".rstrip()
