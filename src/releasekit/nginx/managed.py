"""The managed file in its folder: written, tested with the user's own files, and loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from releasekit.errors import DeadlineExceeded, ForeignChange, HostError, RouteRefused
from releasekit.nginx import log as logs
from releasekit.nginx import mark
from releasekit.nginx.container import Container, Process, same_nginx
from releasekit.nginx.control import ASK_S, ControlServer
from releasekit.nginx.render import FILE
from releasekit.ports import LOG_LINES, Clock, Host
from releasekit.redact import redact
from releasekit.together import together
from releasekit.waiting import wait_until

TEST_S = 15.0
"""For `nginx -t`, which looks up the names that the user's files hold."""
BOOT_S = 15.0
OUTAGE_S = 1.0
"""For the first answer of what was loaded, which takes 30 ms: so soon an outage is noticed."""
PROMPT_S = 0.25
TURN_S = 60.0
"""For another project's turn with nginx."""

_TWICE = '"keepalive_min_timeout" directive is duplicate'
_NOTHING = "# no route yet\n"
_EMERG = "[emerg]"
"""How nginx itself says that it does not take a configuration."""
_STAMP = re.compile(r".*\[emerg\] (\d+#\d+: )?")

_HINTS = (
    ("duplicate upstream", "that upstream is releasekit's now: remove it from your own files"),
    ("may not have port", "leave the port out of proxy_pass: releasekit knows it"),
    ("host not found in upstream", "if it is a service's name: is releasekit's folder included?"),
    (
        'unknown log format "releasekit"',
        f"include releasekit's *.conf before its {logs.PATTERN}",
    ),
    (
        'unknown "releasekit_',
        "there is one for each service with a port, `_` standing for all but letters and digits: "
        "is releasekit's folder included?",
    ),
)


def sweep(host: Host, directory: str) -> None:
    """Remove what a run that was killed left beside the files in `directory`."""
    for name in host.list_dir(directory):
        if name.startswith((f".{FILE}.", f".{logs.FILE}.")):
            host.remove(f"{directory}/{name}")


def edited(path: str, difference: str = "") -> ForeignChange:
    """What a managed file at `path` comes to that somebody edited."""
    return ForeignChange(
        f"{path} is not as releasekit wrote it: it was edited by hand",
        difference=difference,
        hint="the same with `--adopt` keeps a copy of it, and writes the file anew",
    )


class ManagedFile:
    """The file in the host's folder `directory`, that nginx in `container` includes.

    `lock` is the host's file that everybody locks who reloads an nginx. `replaced` are the workers
    that accepted when it was last loaded.
    """

    def __init__(
        self,
        host: Host,
        container: Container,
        control: ControlServer,
        clock: Clock,
        *,
        directory: str,
        lock: str,
    ) -> None:
        self.replaced: frozenset[int] = frozenset()
        self._host = host
        self._container = container
        self._control = control
        self._clock = clock
        self._directory = directory
        self.path = f"{directory}/{FILE}"
        self._log_path = f"{directory}/{logs.FILE}"
        self._lock = lock
        self._adopted: str | None = None
        self._is_master_first = False
        """Whether the container's first process is nginx's master."""
        self._is_reloaded = False
        """Whether it may have loaded the text that is being put in place."""
        self._nginx: list[str] | None = None

    @property
    def nginx(self) -> list[str]:
        """The words that start the nginx that runs, as far as they are known."""
        return self._nginx or ["nginx"]

    def know(self, processes: Sequence[Process]) -> None:
        """Learn from the master's title how to start the same nginx for a test."""
        self._nginx = same_nginx(processes)

    def read(self) -> str | None:
        return self._host.read(self.path)

    def unmounted(self) -> str:
        """Why the nginx that runs would never see the file: it was created before the compose
        file mounted the folder, or with another one; "" when it sees it, or does not run."""
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

    def put(
        self,
        texts: Iterable[str],
        secret: str,
        log: str = "",
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """Have nginx run the first of `texts` that it takes, or put the old file back; `log` is
        the file for the team's `access_log`s, "" for none.

        At every moment nginx would start with the file that is in place. One that differs from
        the old one in nothing that nginx could refuse (`mark.shape`) is written at once; any other
        is tested in a throw-away container first. In place each is tested once more, as what runs
        may have other files than it would start with.

        Raises `RouteRefused` with nginx's own words, less the `secret` that is in `texts`;
        `ForeignChange` when somebody edited the old file; `Locked` when other projects on this
        host do not come to an end with nginx.
        """
        # An nginx that two projects share tests the files of both.
        turn = self._host.lock(
            self._lock, "reloading nginx", wait_s=TURN_S, on_wait=lambda _: on_wait()
        )
        with turn:
            sweep(self._host, self._directory)
            old = self.read()
            if old is not None and not self.is_own(old):
                raise edited(self.path)
            complaint = self._try_each(texts, old, log)
        if complaint:
            raise self._refusal(redact(complaint, frozenset({secret})))

    def is_own(self, text: str) -> bool:
        """Whether `text` of the file is as releasekit wrote it, or was adopted."""
        return text == self._adopted or mark.is_whole(text)

    def adopt(self, copy: str) -> None:
        """Keep a copy of the file as it is, and let it be replaced, whoever edited it."""
        self._adopted = self.read()
        if self._adopted is not None:
            self._host.write(copy, self._adopted)

    def _try_each(self, texts: Iterable[str], old: str | None, log: str) -> str:
        """What nginx does not like of the last one tried; "" when it runs it."""
        known = mark.shape(old) if old is not None and mark.is_whole(old) else None
        complaint = ""
        for text in sorted(texts, key=lambda text: mark.shape(text) != known):
            complaint = "" if mark.shape(text) == known else self._refused_elsewhere(text, old)
            if not complaint:
                complaint = self._refused_in_place(text, old, log)
            if _TWICE not in complaint:
                break
        return complaint

    def _refused_elsewhere(self, text: str, old: str | None) -> str:
        complaint = self._container.test(self.nginx, text)
        if not complaint or not self._control.facts.is_running:
            return complaint
        if _EMERG not in complaint:
            why = complaint.splitlines()[-1]
            return f"{complaint}\nits test in a container of its own failed: {why}"
        # If nginx refuses what runs as well, it tells nothing of this text.
        said = self._container.test(self.nginx, old or _NOTHING)
        return "" if _EMERG in said else complaint

    def _refused_in_place(self, text: str, old: str | None, log: str) -> str:
        before, self._is_reloaded = f"{self._directory}/.{FILE}.before", False
        old_log = self._host.read(self._log_path) or ""
        if old is not None:
            self._host.link(self.path, before)
        try:
            self._write(text, log)
            complaint = self._load(text) if self._control.facts.is_running else self._boot()
        except BaseException:
            self._restore(before, old, old_log)
            with suppress(Exception):  # what was raised says why
                if self._is_reloaded:
                    self._reload()
            raise
        if complaint:
            self._restore(before, old, old_log)
            if self._is_reloaded:
                self._reload()
        elif old is not None:
            self._host.remove(before)
        return complaint

    def _write(self, text: str, log: str) -> None:
        # Readable for an nginx that does not run as root. No other user of the host gets at the
        # secret of a preview: the project's state, which this folder is a part of, is 0700.
        self._host.make_dir(self._directory, mode=0o755)
        # The log's format is in the managed file: nginx would start with that alone, never
        # without it.
        if not log:
            self._host.remove(self._log_path)
        self._host.write(self.path, text, mode=0o644)
        self._write_log(log)

    def _write_log(self, log: str) -> None:
        if log and self._host.read(self._log_path) != log:
            self._host.write(self._log_path, log, mode=0o644)

    def _restore(self, before: str, old: str | None, old_log: str) -> None:
        """Put the old file back, which has to work on a full disk too."""
        if not old_log:
            self._host.remove(self._log_path)
        if old is None:
            self._host.remove(self.path)
            return
        self._host.rename(before, self.path)
        self._host.remove(before)  # what is one file by two names a rename leaves as it is
        with suppress(HostError):  # nginx starts without it
            self._write_log(old_log)

    def _load(self, text: str) -> str:
        """Test the configuration and have the master load it; what is wrong, or ""."""
        if self._nginx is None:
            self.know(self._container.processes())
        complaint, processes = together(
            lambda: self._run([*self.nginx, "-t"]), self._container.processes
        )
        if complaint:
            return complaint
        self.replaced = frozenset(p.pid for p in processes if p.accepts)
        self._is_master_first = any(
            p.is_master and p.pid == self._control.facts.pid for p in processes
        )
        self._is_reloaded = True  # also where nobody knows, for no answer comes
        complaint = self._reload()
        self._is_reloaded = not complaint
        return complaint or self._outage(mark.generation(text))

    def _reload(self) -> str:
        complaint = self._run([*self.nginx, "-s", "reload"])
        if complaint and self._is_master_first:
            # It has its pid in a place of its own. Docker's signal is the last resort: a container
            # that got any counts as stopped by hand, and with `restart: unless-stopped` it would
            # not come back with the engine. To a shell as the first process it means nothing.
            self._container.signal("HUP")
            return ""
        return complaint

    def _outage(self, generation: str) -> str:
        """Why nobody is served since the reload to `generation`, "" when somebody is.

        A master whose new workers die lets go of the old ones all the same. One that has not come
        to its new configuration in this time serves with the old one, and is not our matter here.
        """
        outage = ""

        def look() -> str:
            nonlocal outage
            loaded = self._control.ask(PROMPT_S)
            if loaded is None and not any(p.accepts for p in self._container.processes()):
                log = self._container.log_tail(LOG_LINES)
                outage = "\n".join([*log, "nginx has no worker left that accepts connections"])
                return ""
            is_new = loaded is not None and loaded.route.generation == generation
            return "" if is_new else "nginx does not serve it yet"

        with suppress(DeadlineExceeded):
            wait_until(look, deadline_s=OUTAGE_S, clock=self._clock, longest_pause_s=0.02)
        return outage

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
        gist = next((line for line in reversed(lines) if _EMERG in line), lines[-1])
        gist = _STAMP.sub("", gist)
        whose = "releasekit's own file" if f"/{FILE}:" in gist else "the project's own file"
        hint = next((hint for sign, hint in _HINTS if sign in gist), "")
        return RouteRefused(
            f"nginx does not take the route: {gist}" + (f" ({whose})" if " in /" in gist else ""),
            log_tail={self._control.facts.name: tuple(lines[-LOG_LINES:])},
            hint=hint,
        )
