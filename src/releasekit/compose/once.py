"""A release's migration: one container that is found again by its name, and stays until somebody
saw how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from releasekit.compose import observe
from releasekit.compose.docker import SLOW_S, Docker
from releasekit.compose.labels import RELEASE
from releasekit.compose.model import Model
from releasekit.compose.transform import slot_model
from releasekit.errors import CommandFailed, DeadlineExceeded, EngineError, StepFailed
from releasekit.ports import LOG_LINES
from releasekit.redact import secrets_in

ONCE = "migration"
"""The service in its model, and what stands where replicas have their slot."""
CHANGED = "the database may have been changed by what it did"


def container_name(project: str) -> str:
    """The name of the one container: two of a project's migrations never run side by side."""
    return f"{project}-{ONCE}"


def once_model(
    model: Model, service: str, command: Iterable[str], release_id: str, project: str
) -> Model:
    """A model whose one service runs `command` in a container like those of `service`: with their
    image, environment, networks and volumes, and under no name or address of theirs."""
    slot = slot_model(model, [service], ONCE, release_id, project, {service: 1})
    like = slot["services"][f"{service}-{ONCE}"]
    kept = {key: value for key, value in like.items() if key != "mac_address"}
    if "networks" in kept:
        kept["networks"] = dict.fromkeys(kept["networks"])
    words = [word.replace("$", "$$") for word in command]
    return {**slot, "services": {ONCE: {**kept, "command": words, "pull_policy": "never"}}}


def run(docker: Docker, model: Model, name: str, deadline_s: float) -> None:
    """Run what `model` (a `once_model`) describes, as the container `name`, to its end.

    Nothing of this process has to live on for that: the engine runs it. Raises `StepFailed` when
    it ended and not well, or never began; after any other error nobody knows how it ended.
    """
    forget(docker, name)
    try:
        options = ["--detach", "--no-deps", "--no-TTY", "--name", name]
        docker.compose(model, ["run", *options, ONCE])
    except (CommandFailed, EngineError) as error:
        if isinstance(error, DeadlineExceeded) or _has_begun(docker, name):
            raise
        forget(docker, name)
        raise StepFailed(f"the migration could not be started: {error.message}") from error
    status = _ended(docker, name, deadline_s)
    tail: dict[str, tuple[str, ...]] = {}
    with suppress(CommandFailed, EngineError):  # how it ended is known
        tail = {} if status == 0 else {name: docker.log_tail(name, LOG_LINES, secrets_in(model))}
        forget(docker, name)
    if status is None:
        problem = f"did not end within {deadline_s:g} s, and was stopped"
    elif status != 0:
        problem = f"ended with status {status}"
    else:
        return
    raise StepFailed(f"the migration {problem}: {CHANGED}", log_tail=tail)


def _has_begun(docker: Docker, name: str) -> bool:
    """Whether anything of it may have run; raises `CommandFailed` or `EngineError` when nobody
    can tell."""
    found = docker.inspect([name])
    state = found[0].state if found else None
    return state is not None and state.status != "created"


def _ended(docker: Docker, name: str, deadline_s: float) -> int | None:
    """Its exit status; None when its time was up, and it was stopped."""
    waiting = ["container", "wait", name]
    try:
        return int(docker.checked(docker.run(waiting, deadline_s=deadline_s), waiting).stdout)
    except DeadlineExceeded:
        with suppress(CommandFailed, EngineError):  # it may have ended at this moment
            docker.do("container", "stop", name)
    docker.checked(docker.run(waiting, deadline_s=SLOW_S), waiting)
    return None


def forget(docker: Docker, name: str) -> None:
    """Remove the container, if there is one; one that runs stays."""
    found = docker.inspect([name])
    if any(RELEASE in observe.labels_of(container) for container in found):
        docker.do("container", "rm", "--volumes", name)


def told(docker: Docker, name: str) -> tuple[str, bool]:
    """What became of it, in words, and whether it runs."""
    found = docker.inspect([name])
    state = found[0].state if found else None
    if state is None:
        return "its container is gone", False
    if state.status == "created":
        return f"its container {name} was not started", False
    if observe.is_up(found[0]):
        return f"its container {name} still runs", True
    return f"its container {name} ended with status {state.exit_code}", False
