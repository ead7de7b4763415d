"""Every docker command of releasekit, and what its answers mean.

python-on-whales reads what docker tells of containers. Its runner is not used: it inherits
standard input (compose would ask its questions there), has no deadline, and inspects one
container a call. The host runs the commands instead, here as anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from releasekit.compose.transform import as_input
from releasekit.errors import CommandFailed, DeadlineExceeded, EngineError
from releasekit.ports import Completed, Host
from releasekit.redact import clean, redact, secrets_in

if TYPE_CHECKING:
    from python_on_whales.components.container.models import ContainerInspectResult

QUICK_S = 30.0
"""Deadline of what only asks."""
LOG_S = 10.0
"""Deadline of what only explains a failure."""
SLOW_S = 600.0
"""Deadline of what starts, stops or fetches."""
OLDEST_COMPOSE = (2, 24)
LAST_LINES = 3
"""How many lines of what a command printed are told."""
_AWAY = re.compile(
    r"cannot connect to the docker daemon"
    r"|failed to connect to the docker"  # from version 28.4 on
    # It goes away in the midst of an answer; a registry may do that too, but by no socket.
    r"|error during connect"
    r"|(read|write) unix .*(connection reset by peer|broken pipe|eof)"
    r"|daemon.*shutting down"
)
"""How docker says that its engine does not answer, or no more."""


class Docker:
    """Docker and compose commands on `host`, each with a deadline; failures are ours."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def ask(self, *args: str) -> str:
        """Run `docker <args>`, which only asks; its standard output."""
        return self.checked(self.run(args, deadline_s=QUICK_S), args).stdout

    def do(self, *args: str) -> None:
        """Run `docker <args>`, which changes something."""
        self.checked(self.run(args, deadline_s=SLOW_S), args)

    def run(self, args: Sequence[str], *, deadline_s: float, stdin: str = "") -> Completed:
        """Run `docker <args>` and return how it ended, whatever it is."""
        with _awaited(args, deadline_s):
            return self._host.run(["docker", *args], deadline_s=deadline_s, stdin=stdin)

    def compose(
        self, model: Mapping[str, Any], args: Sequence[str], *, deadline_s: float = SLOW_S
    ) -> str:
        """Run `docker compose <args>` on a resolved model; its standard output."""
        done = self._run_compose(model, args, deadline_s)
        if done.status != 0:
            # Compose quotes what it does not like, and the model holds secrets.
            done = replace(done, stderr=redact(done.stderr, secrets_in(model)))
        return self.checked(done, ["compose", *args]).stdout

    def compose_said(self, model: Mapping[str, Any], args: Sequence[str]) -> str:
        """All that `docker compose <args>` prints, however it ends; it may have to pull first.

        Raises `EngineError` when the engine does not answer."""
        done = self._run_compose(model, args, SLOW_S)
        gone = engine_problem(done.stderr) if done.status else None
        if gone is not None:
            raise gone
        return done.stdout + done.stderr

    def _run_compose(
        self, model: Mapping[str, Any], args: Sequence[str], deadline_s: float
    ) -> Completed:
        """The model goes over standard input: no file with its secrets stays behind."""
        # The model holds only services of profiles that were enabled when it was resolved.
        command = compose_argv(files=("-",), project=str(model["name"]), profiles=("*",))
        with _awaited(["compose", *args], deadline_s):
            return self._host.run(
                [*command, *args],
                deadline_s=deadline_s,
                stdin=as_input(model),
                # The slots' project holds one slot's services at a time; the other's are no
                # orphans.
                env={"COMPOSE_IGNORE_ORPHANS": "true", "COMPOSE_PROGRESS": "quiet"},
            )

    def inspect(self, names: Sequence[str]) -> tuple[ContainerInspectResult, ...]:
        """The containers with these names or ids that exist, in one call."""
        from python_on_whales.components.container.models import ContainerInspectResult

        if not names:
            return ()
        # Exit 1 when one of them is gone: the others are printed all the same.
        done = self.run(["container", "inspect", *names], deadline_s=QUICK_S)
        if done.status != 0 and "no such container" not in done.stderr.lower():
            self.checked(done, ["container", "inspect"])
        return tuple(ContainerInspectResult(**item) for item in json.loads(done.stdout or "[]"))

    def log_tail(self, name: str, lines: int, secrets: frozenset[str]) -> tuple[str, ...]:
        """The last lines that a container logged, without these secrets and fit to be shown; none
        where Docker does not tell in time, for what explains a failure must not take its place."""
        logs = ["container", "logs", "--tail", str(lines), name]
        try:
            done = self.run(logs, deadline_s=LOG_S)
        except DeadlineExceeded:
            return ()
        return tuple(redact(clean(done.stdout + done.stderr), secrets).splitlines()[-lines:])

    def pull(self, image: str, is_stopped: Callable[[], bool] | None = None) -> None:
        """Fetch an image; raises `Interrupted` as soon as `is_stopped`, for a pull may take
        minutes, and leaves nothing to finish or to undo."""
        command = ["image", "pull", "--quiet", image]
        with _awaited(command, SLOW_S):
            argv = ["docker", *command]
            done = self._host.run(argv, deadline_s=SLOW_S, is_stopped=is_stopped)
        self.checked(done, command)

    def preload(self) -> None:
        """Import python-on-whales, which takes 0.1 s, while a command is waited for."""
        import python_on_whales.components.container.models  # noqa: F401

    def images(self, references: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """`docker image inspect` of those references that are on the host."""
        found: dict[str, Mapping[str, Any]] = {}
        if not references:
            return found
        done = self.run(["image", "inspect", *references], deadline_s=QUICK_S)
        if done.status != 0 and "no such image" not in done.stderr.lower():
            self.checked(done, ["image", "inspect"])
        items = json.loads(done.stdout or "[]")
        for reference in references:
            for item in items:
                names = (item["Id"], *(item["RepoTags"] or ()), *(item["RepoDigests"] or ()))
                if _familiar(reference) in names:
                    found[reference] = item
        return found

    def checked(self, done: Completed, args: Sequence[str]) -> Completed:
        """`done`, or the error that its failure means."""
        if done.status == 0:
            return done
        complaint = done.stderr.strip() or done.stdout.strip()
        engine = engine_problem(complaint)
        if engine is not None:
            raise engine
        raise CommandFailed(
            f"`docker {' '.join(args[:3])}` failed: {last_lines(complaint)}",
            status=done.status,
            output=complaint,
        )

    def require_compose(self) -> None:
        """Raise `EngineError` unless Compose v2 is there and new enough."""
        done = self.run(["compose", "version", "--short"], deadline_s=QUICK_S)
        if done.status == 127:
            raise EngineError(
                "docker is not installed", hint="https://docs.docker.com/engine/install"
            )
        if done.status != 0:
            raise engine_problem(done.stderr) or _no_compose()
        version = done.stdout.strip().lstrip("v")
        if version_tuple(version) < OLDEST_COMPOSE:
            needed = ".".join(map(str, OLDEST_COMPOSE))
            raise EngineError(
                f"Docker Compose {version} is too old: {needed} or later is needed",
                hint="upgrade the package docker-compose-plugin (or docker-compose-v2)",
            )


def compose_argv(
    *,
    files: Sequence[str] = (),
    project: str | None = None,
    profiles: Sequence[str] = (),
    env_files: Sequence[str] = (),
) -> list[str]:
    """`docker compose` with its global options."""
    options = [("--file", files), ("--profile", profiles), ("--env-file", env_files)]
    given = [word for flag, values in options for value in values for word in (flag, value)]
    return ["docker", "compose", *given, *(["--project-name", project] if project else [])]


@contextmanager
def _awaited(args: Sequence[str], deadline_s: float) -> Iterator[None]:
    """Have a deadline that passes say what was waited for: the command's words, no options."""
    try:
        yield
    except DeadlineExceeded:
        words = [word for word in args if not word.startswith("-")][:6]
        raise DeadlineExceeded(
            f"`docker {' '.join(words)}` did not end within {deadline_s:g} s"
        ) from None


def _familiar(reference: str) -> str:
    """An image reference as docker shows it: without the parts that go without saying."""
    for prefix in ("docker.io/library/", "docker.io/"):
        reference = reference.removeprefix(prefix)
    is_tagged = ":" in reference.rpartition("/")[2]
    return reference if is_tagged else f"{reference}:latest"


def version_tuple(version: str) -> tuple[int, ...]:
    """ "2.26.1-ds1" -> (2, 26, 1); what is no number ends it."""
    numbers = []
    for part in version.replace("-", ".").replace("+", ".").split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def engine_problem(complaint: str) -> EngineError | None:
    """What docker's complaint says about the engine itself, None when it is about the command."""
    text = complaint.lower()
    if "permission denied" in text and "docker" in text and "sock" in text:
        return EngineError(
            "no permission to talk to the Docker engine",
            hint="run as root, or: sudo usermod -aG docker $USER (then log in again)",
        )
    if _AWAY.search(text):
        return EngineError(
            "the Docker engine does not answer", hint="start it: sudo systemctl start docker"
        )
    if "is not a docker command" in text or "unknown command: docker compose" in text:
        return _no_compose()
    return None


def _no_compose() -> EngineError:
    return EngineError(
        "docker has no compose plugin (Compose v1, `docker-compose`, is too old)",
        hint="install the package docker-compose-plugin (or docker-compose-v2)",
    )


def last_lines(text: str) -> str:
    """The end of what a command printed: where compose says what is wrong."""
    return " / ".join(line.strip() for line in text.splitlines()[-LAST_LINES:] if line.strip())
