"""What others did to the project's containers since they were observed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from releasekit.compose import labels, observe

if TYPE_CHECKING:
    from python_on_whales.components.container.models import ContainerInspectResult

SHOWN = "\t".join(
    f'{{{{.Label "{label}"}}}}'
    for label in (labels.COMPOSE_PROJECT, labels.RELEASE, labels.COMPOSE_SERVICE)
)
SHOWN = f"{{{{.ID}}}}\t{{{{.Names}}}}\t{SHOWN}"
"""What `docker container ls` is to print of each container."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A container as it was seen. `restarts` are those by Docker itself; `is_always_started`: it
    comes back after a reboot even when it was stopped before."""

    name: str
    service: str
    started: object
    restarts: int
    is_running: bool
    is_always_started: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A container of the project that there is now."""

    id: str
    name: str
    project: str
    release: str
    service: str


def seen(container: ContainerInspectResult) -> Seen:
    state, config = container.state, container.host_config
    policy = config.restart_policy if config is not None else None
    return Seen(
        observe.name_of(container),
        observe.labels_of(container).get(labels.COMPOSE_SERVICE, ""),
        state.started_at if state is not None else None,
        container.restart_count or 0,
        observe.runs(container),
        policy is not None and policy.name == "always",
    )


def listed(text: str) -> list[Listed]:
    """What `docker container ls` printed in the format `SHOWN`."""
    return [Listed(*line.split("\t")) for line in text.splitlines()]


def changes(
    before: Mapping[str, Seen],
    now: Mapping[str, Seen],
    there: Collection[Listed],
    *,
    ours: Collection[str],
    released: Collection[str],
    backed: bool,
) -> Iterator[str]:
    """What somebody else did to the containers of `before`, now that these are `there`, in words.

    This run stopped or removed `ours`, and started the releases in `released` and, if `backed`,
    backing services. That a container ended, or that Docker itself restarted it, is nobody's doing.
    """
    new = [each for each in there if each.id not in before]
    own = {each.name for each in new if each.release in released}
    for key, was in sorted(before.items(), key=lambda item: item[1].name):
        if key in ours or was.name in own:
            continue
        if key not in now:
            yield f"{was.name} was removed"
        elif _was_restarted(was, now[key]):
            yield f"{was.name} was restarted"
    for each in sorted(new, key=lambda each: each.name):
        is_backing = not each.release and backed
        if each.name not in own and not is_backing:
            yield f"{each.name} was created"


def _was_restarted(was: Seen, now: Seen) -> bool:
    is_another_start = was.is_running and now.is_running and was.started != now.started
    return is_another_start and now.restarts <= was.restarts
