"""The managed file in its folder: written, tested with the user's own files, and loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from releasekit.errors import DeadlineExceeded, RouteRefused
from releasekit.nginx.container import Container, Process, same_nginx
from releasekit.nginx.control import ASK_S, ControlServer
from releasekit.nginx.render import FILE
from releasekit.ports import Clock, Host
from releasekit.redact import redact
from releasekit.together import together
from releasekit.waiting import wait_until

TEST_S = 15.0
"""For `nginx -t`, which looks up the names that the user's files hold."""
BOOT_S = 15.0
LOG_LINES = 20

_TWICE = '"keepalive_min_timeout" directive is duplicate'
_STAMP = re.compile(r".*\[emerg\] (\d+#\d+: )?")

_HINTS = (
    ("duplicate upstream", "that upstream is releasekit's now: remove it from your own files"),
    ("may not have port", "leave the port out of proxy_pass: releasekit knows it"),
    ("host not found in upstream", "if it is a service's name: is releasekit's folder included?"),
    (
        'unknown "releasekit_',
        "there is one for each service with a port, `_` standing for all but letters and digits: "
        "is releasekit's folder included?",
    ),
)


class ManagedFile:
    """The file in the host's folder `directory`, that nginx in `container` includes.

    `replaced` are the workers that accepted when it was last loaded.
    """

    def __init__(
        self,
        host: Host,
        container: Container,
        control: ControlServer,
        clock: Clock,
        *,
        directory: str,
    ) -> None:
        self.replaced: frozenset[int] = frozenset()
        self._host = host
        self._container = container
        self._control = control
        self._clock = clock
        self._directory = directory
        self._path = f"{directory}/{FILE}"
        self._nginx: list[str] | None = None

    @property
    def nginx(self) -> list[str]:
        """The words that start the nginx that runs, as far as they are known."""
        return self._nginx or ["nginx"]

    def know(self, processes: Sequence[Process]) -> None:
        """Learn from the master's title how to start the same nginx for a test."""
        self._nginx = same_nginx(processes)

    def read(self) -> str | None:
        return self._host.read(self._path)

    def unmounted(self) -> str:
        """Why the nginx that runs would never see the file: it was created before the compose
        file mounted the folder; "" when it sees it, or does not run."""
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

    def put(self, texts: Iterable[str], secret: str) -> None:
        """Have nginx run the first of `texts` that it takes, or put the old file back.

        Only in place can a text be tested together with the user's own files. A releasekit that
        is killed between the write and the end of the test leaves a text that was not tested; it
        does harm only if nginx would refuse it and restarts before the next `put`.

        Raises `RouteRefused` with nginx's own words, less the `secret` that is in `texts`.
        """
        try_out = self._load if self._control.facts.is_running else self._boot
        old = self.read()
        try:
            self._try_each(texts, secret, try_out)
        except BaseException:
            self._restore(old)
            raise

    def _try_each(self, texts: Iterable[str], secret: str, try_out: Callable[[], str]) -> None:
        complaint = ""
        for text in texts:
            self._write(text)
            complaint = try_out()
            if _TWICE not in complaint:
                break
        if complaint:
            raise self._refusal(redact(complaint, frozenset({secret})))

    def _write(self, text: str) -> None:
        # Readable for an nginx that does not run as root. No other user of the host gets at the
        # secret of a preview: the project's state, which this folder is a part of, is 0700.
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
            self.know(self._container.processes())
        complaint, processes = together(
            lambda: self._run([*self.nginx, "-t"]), self._container.processes
        )
        if complaint:
            return complaint
        self.replaced = frozenset(p.pid for p in processes if p.accepts)
        complaint = self._run([*self.nginx, "-s", "reload"])
        if complaint and any(p.is_master and p.pid == self._control.facts.pid for p in processes):
            # It has its pid in a place of its own. Docker's signal is the last resort: a container
            # that got any counts as stopped by hand, and with `restart: unless-stopped` it would
            # not come back with the engine. To a shell as the first process it means nothing.
            self._container.signal("HUP")
            return ""
        return complaint

    def _run(self, argv: Sequence[str]) -> str:
        done = self._container.execute(argv, deadline_s=TEST_S)
        if done.status == 0:
            return ""
        return done.stderr.strip() or done.stdout.strip() or f"exit status {done.status}"

    def _boot(self) -> str:
        """Start nginx and wait until it tells the route; what is wrong, or ""."""
        self._container.start()

        def look() -> str:
            is_running = self._control.inspect().is_running
            return self._control.silence() if is_running and self._control.ask() is None else ""

        try:
            wait_until(look, deadline_s=BOOT_S, clock=self._clock, longest_pause_s=0.1)
        except DeadlineExceeded as error:
            return error.message
        if self._control.facts.is_running:
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
            log_tail={self._control.facts.name: tuple(lines[-LOG_LINES:])},
            hint=hint,
        )
