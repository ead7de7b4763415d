"""`ports.Router` for an nginx that runs as a compose service."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol

from releasekit.errors import CommandFailed, DeadlineExceeded, EngineError, RouteRefused
from releasekit.nginx.include import include_problem
from releasekit.nginx.render import (
    FILE,
    HOST,
    Control,
    Loaded,
    Passage,
    Peer,
    known,
    parse_route,
    parse_version,
    passages,
    placeholder,
    render,
)
from releasekit.observed import Nginx, Route, Upstream
from releasekit.ports import Answer, Clock, Completed, Host
from releasekit.together import together
from releasekit.waiting import wait_until

IN_A_ROW = 3
"""Fresh connections that must agree: old and new workers accept side by side for 100 ms."""
ASK_S = 2.0
THROUGH_S = 5.0
TEST_S = 15.0
"""For `nginx -t`, which looks up the names that the user's files hold."""
BOOT_S = 15.0
SETTLE_S = 1.0
"""How long `observe` waits for the workers to agree while a reload is under way."""
LOG_LINES = 20

_MASTER = "nginx: master process "
_WORKER = "nginx: worker process"
_LEAVING = "nginx: worker process is shutting down"
_TWICE = '"keepalive_min_timeout" directive is duplicate'

_STAMP = re.compile(r".*\[emerg\] (\d+#\d+: )?")

_HINTS = (
    ("duplicate upstream", "that upstream is releasekit's now: remove it from your own files"),
    ("may not have port", "leave the port out of proxy_pass: releasekit knows it"),
)


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
    ppid: int
    title: str


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

    def dump(self, argv: Sequence[str], preview: str) -> str:
        """What `nginx -T` prints, with the options of `argv`; `preview` stands for the managed
        file when nginx does not run."""
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


@dataclass(frozen=True, slots=True)
class _Applied:
    """What is to be confirmed: the route, and that nginx reaches what it leads to."""

    route: Route
    passages: tuple[Passage, ...]


class NginxRouter:
    """Writes the managed file, and believes only what the running nginx says.

    An exit status of 0 of `nginx -t`, of a reload or of a signal proves nothing: a master that
    cannot take a new configuration goes on with the old one, and says so only in its log. So
    the file carries a generation, and a private server in it that tells the generation.

    With `server NAME resolve`, the workers look up a name that is new only after a reload, and
    answer 502 for the 1 to 3 ms that takes: 50 to 130 of 100,000 requests in 20 cutovers. A name
    that the configuration before held, if only as `down`, has its address carried over (nginx's
    `ngx_http_upstream_zone_preresolve`), and none were lost. That is what `steps.Announce` is:
    an `apply` with the new replicas on standby.

    `directory` is the host's folder that nginx includes; `peers` tells where replicas, by
    name, answer, and leaves out those that do not exist.
    """

    def __init__(
        self,
        host: Host,
        container: Container,
        peers: Callable[[Sequence[str]], Mapping[str, Peer]],
        clock: Clock,
        *,
        directory: str,
        control_port: int,
    ) -> None:
        self._host = host
        self._container = container
        self._peers = peers
        self._clock = clock
        self._directory = directory
        self._path = f"{directory}/{FILE}"
        self._port = control_port
        self._facts = ContainerFacts("nginx")
        self._version: tuple[int, ...] | None = None
        self._nginx: list[str] | None = None
        self._applied: _Applied | None = None
        self._before: frozenset[int] = frozenset()
        """The workers that accepted when the applied route was loaded."""

    def observe(self) -> Nginx:
        loaded, agree = self._look()
        processes = self._container.processes()
        self._know(processes)
        leaving = any(p.title.startswith(_LEAVING) for p in processes)
        return Nginx(
            version=self._version_of(loaded),
            running=self._facts.is_running,
            loaded=loaded.route if loaded else None,
            draining=leaving or not agree,
        )

    def problem(self, services: Sequence[str]) -> str:
        """Why nginx would not load a route of `services`, as its configuration is; "" if it would.

        It asks for nothing while nginx tells a route: then it has loaded one.
        """
        if self._look()[0] is not None:
            return ""
        return self._unmounted() or include_problem(
            self._container.dump(self._nginx or ["nginx"], placeholder(services)),
            self._container.managed_path,
            services,
        )

    def _unmounted(self) -> str:
        """Why the nginx that runs would never see the managed file: it was created before the
        compose file mounted the folder."""
        mounted = self._container.mounted()
        if mounted is None or any(map(self._is_directory, mounted)):
            return ""
        return (
            f"nginx runs without the mount of {self._directory}: once, "
            f"`docker compose up -d {self._container.service}`"
        )

    def _is_directory(self, path: str) -> bool:
        """Whether `path` on the host is the managed folder, by this name or through a link."""
        if path == self._directory:
            return True
        same = ["test", path, "-ef", self._directory]
        return self._host.run(same, deadline_s=ASK_S).status == 0

    def apply(self, upstreams: Sequence[Upstream]) -> bool:
        names = sorted(Route(tuple(upstreams)).resolved)
        (loaded, _), peers = together(self._look, lambda: self._peers(names))
        nginx = Nginx(self._version_of(loaded))
        route = Route(known(upstreams, nginx), secrets.token_hex(8))
        draft = partial(
            _texts, peers=peers, nginx=nginx, control=Control(self._port, self._facts.gateway)
        )
        self._before = frozenset()
        same = Route(route.upstreams, loaded.route.generation) if loaded else route
        # A reload of the very bytes that nginx runs would only close idle keep-alive connections.
        is_loaded = loaded is not None and self._host.read(self._path) in draft(same)
        if is_loaded:
            route = same
        else:
            self._put(draft(route), self._load if self._facts.is_running else self._boot)
        self._applied = _Applied(route, passages(route, peers, nginx))
        return not is_loaded

    def unconfirmed(self) -> str:
        if self._applied is None:
            return "no route was applied"
        return (
            self._unloaded(self._applied)
            or self._still_accepting()
            or self._unreached(self._applied)
        )

    def undrained(self) -> str:
        try:
            workers = self._container.processes()
        except (CommandFailed, EngineError) as error:
            # A warning would let the next step stop what they may still need.
            return f"old nginx workers cannot be counted: {error.message}"
        left = [p for p in workers if p.pid in self._before or p.title.startswith(_LEAVING)]
        return f"old nginx workers with requests to finish: {len(left)}" if left else ""

    # What nginx says

    def _look(self) -> tuple[Loaded | None, bool]:
        """What is loaded, and whether several fresh connections in a row agree on it."""
        self._facts = self._container.inspect()
        if not self._facts.is_running:
            return None, True
        said: list[Loaded | None] = []

        def disagree() -> str:
            said[:] = [self._ask() for _ in range(IN_A_ROW)]
            return "" if all(each == said[0] for each in said) else "nginx is reloading"

        try:
            wait_until(disagree, deadline_s=SETTLE_S, clock=self._clock)
        except DeadlineExceeded:
            return said[-1], False
        return said[-1], True

    def _ask(self) -> Loaded | None:
        answer, body = self._get("/route", HOST, ASK_S)
        return parse_route(body) if answer.status == 200 else None

    def _get(self, path: str, host: str, deadline_s: float) -> tuple[Answer, str]:
        """Ask the control server, on a connection of its own: so any worker may answer."""
        return self._host.http_get(
            self._facts.address, self._port, path, headers={"Host": host}, deadline_s=deadline_s
        )

    def _version_of(self, loaded: Loaded | None) -> tuple[int, ...]:
        if loaded is not None:
            return loaded.version
        if self._version is None:
            self._version = parse_version(self._container.version())
        return self._version

    # What is missing until the route is confirmed, cheap questions first

    def _unloaded(self, applied: _Applied) -> str:
        for _ in range(IN_A_ROW):
            loaded = self._ask()
            if loaded is None:
                self._facts = self._container.inspect()
                return self._silence()
            if loaded.route != applied.route:
                return f"nginx still serves the route {loaded.route.generation}"
        return ""

    def _silence(self) -> str:
        if not self._facts.is_running:
            return f"{self._facts.name} does not run"
        answer, _ = self._get("/route", HOST, ASK_S)
        return (
            f"nginx does not tell its route at {self._facts.address}:{self._port} "
            f"({_spoken(answer)}): is {self._directory} mounted as a folder, and included in its "
            "http block?"
        )

    def _still_accepting(self) -> str:
        count = len(_accepting(self._container.processes()) & self._before)
        return f"old nginx workers that still accept connections: {count}" if count else ""

    def _unreached(self, applied: _Applied) -> str:
        for passage in applied.passages:
            answer, _ = self._get(passage.path, passage.host, THROUGH_S)
            if answer.status not in passage.check.statuses:
                what = passage.path.rpartition("/")[2]
                return f"{passage.check.path} of {what} through nginx: {_spoken(answer)}"
        return ""

    # How the file gets there

    def _put(self, texts: Iterable[str], try_out: Callable[[], str]) -> None:
        """Have nginx run the first of `texts` that it takes, or put the old file back.

        Only in place can a text be tested together with the user's own files. A releasekit that
        is killed between the write and the end of the test leaves a text that was not tested; it
        does harm only if nginx would refuse it and restarts before the next `apply`.
        """
        old = self._host.read(self._path)
        try:
            self._try_each(texts, try_out)
        except BaseException:
            self._restore(old)
            raise

    def _try_each(self, texts: Iterable[str], try_out: Callable[[], str]) -> None:
        complaint = ""
        for text in texts:
            self._write(text)
            complaint = try_out()
            if _TWICE not in complaint:
                break
        if complaint:
            raise self._refusal(complaint)

    def _write(self, text: str) -> None:
        # Readable for an nginx that does not run as root; there are only names in it.
        self._host.make_dir(self._directory, mode=0o755)
        self._host.write(self._path, text, mode=0o644)

    def _restore(self, old: str | None) -> None:
        if old is None:
            self._host.remove(self._path)
        else:
            self._write(old)

    def _load(self) -> str:
        """Test the configuration and have the master load it; what is wrong, or ""."""
        if self._nginx is None:
            self._know(self._container.processes())
        nginx = self._nginx or ["nginx"]
        complaint, processes = together(
            lambda: self._run([*nginx, "-t"]), self._container.processes
        )
        if complaint:
            return complaint
        self._before = _accepting(processes)
        if not any(p.title.startswith(_MASTER) and p.pid == self._facts.pid for p in processes):
            # A signal to the container reaches its first process, and a shell there ignores it.
            return self._run([*nginx, "-s", "reload"])
        self._container.signal("HUP")
        return ""

    def _know(self, processes: Sequence[Process]) -> None:
        """Learn from the master's title how to start the same nginx for a test."""
        titles = (p.title for p in processes if p.title.startswith(_MASTER))
        self._nginx = next(map(_same_nginx, titles), None)

    def _run(self, argv: Sequence[str]) -> str:
        done = self._container.execute(argv, deadline_s=TEST_S)
        if done.status == 0:
            return ""
        return done.stderr.strip() or done.stdout.strip() or f"exit status {done.status}"

    def _boot(self) -> str:
        """Start nginx and wait until it tells the route; what is wrong, or ""."""
        self._container.start()

        def look() -> str:
            self._facts = self._container.inspect()
            return self._silence() if self._facts.is_running and self._ask() is None else ""

        try:
            wait_until(look, deadline_s=BOOT_S, clock=self._clock, longest_pause_s=0.1)
        except DeadlineExceeded as error:
            return error.message
        if self._facts.is_running:
            return ""
        return "\n".join([*self._container.log_tail(LOG_LINES), "nginx does not start"])

    def _refusal(self, complaint: str) -> RouteRefused:
        lines = complaint.splitlines()
        gist = next((line for line in reversed(lines) if "[emerg]" in line), lines[-1])
        gist = _STAMP.sub("", gist)
        whose = "releasekit's own file" if f"/{FILE}:" in gist else "the project's own file"
        hint = next((hint for sign, hint in _HINTS if sign in gist), "")
        return RouteRefused(
            f"nginx does not take the route: {gist}" + (f" ({whose})" if " in /" in gist else ""),
            log_tail={self._facts.name: tuple(lines[-LOG_LINES:])},
            hint=hint,
        )


def _spoken(answer: Answer) -> str:
    match answer.status:
        case None:
            return answer.detail
        case 502 | 504:
            return f"{answer.status}; nginx may share no network with it"
        case _:
            return f"{answer.status} {answer.detail}".rstrip()


def _texts(
    route: Route, *, peers: Mapping[str, Peer], nginx: Nginx, control: Control
) -> tuple[str, ...]:
    """The file for `route`, the preferred text first. The other one is for an http block with a
    `keepalive_min_timeout` of its own: nginx takes no second."""
    both = (render(route, peers, nginx, control, spare_idle=spare) for spare in (True, False))
    return tuple(dict.fromkeys(both))


def _same_nginx(title: str) -> list[str]:
    """The words that start the same nginx on the same files, from its master's title.

    Plain `nginx -t` would test the default configuration, whatever the master was given.
    """
    program, *words = title.removeprefix(_MASTER).split()
    options = [
        word for flag, value in pairwise(words) if flag in ("-c", "-p") for word in (flag, value)
    ]
    return [program, *options]


def _accepting(processes: Iterable[Process]) -> frozenset[int]:
    """The workers that accept connections."""
    return frozenset(
        p.pid for p in processes if p.title.startswith(_WORKER) and not p.title.startswith(_LEAVING)
    )
