"""What a strategy is, and the pieces that strategies share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from releasekit.observed import Observed, Replica
from releasekit.plan import Plan
from releasekit.release import short
from releasekit.steps import EnsureBacking, Phase, Remove, RunOnce, Step, Stop
from releasekit.target import Target

KeepPrevious = Literal["running", "stopped", "removed"]


class Options(BaseModel):
    """A strategy's options: a pydantic model, whose fields are all that may be set.

    Each field has a default, and its docstring is what `releasekit strategies` shows of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Strategy(Protocol):
    """A pure planner: the same arguments give the same plan, any observed state is accepted.

    It does no I/O and asks no clock. `has_downtime` says that services may not answer meanwhile;
    `needs_health` that it moves traffic to replicas that were proven healthy, so that every app
    service needs a health check. `plan` gets an instance of `options`; `target` may be a part of
    a release only, and then `observed` shows that part only.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    has_downtime: ClassVar[bool]
    needs_health: ClassVar[bool]
    options: ClassVar[type[Options]]

    def plan(self, observed: Observed, target: Target, options: Any) -> Plan: ...


def ensure_backing(observed: Observed, target: Target) -> tuple[Step, ...]:
    """Start the backing services that do not run; those that run are never touched."""
    running = {backing.service for backing in observed.backing if backing.running}
    absent = tuple(service for service in target.backing if service not in running)
    return (EnsureBacking(absent, "not running"),) if absent else ()


def migration(observed: Observed, target: Target) -> tuple[Step, ...]:
    """Run the release's migration, unless that was done, or the release was good before."""
    due = target.migration
    if due is None or target.release in observed.committed | observed.migrated:
        return ()
    cause = "once, before anything of it starts"
    return (RunOnce(target.release, due.service, "pre_release", due.timeout_s, cause),)


def clear(replicas: Iterable[Replica], cause: str, phase: Phase) -> tuple[Step, ...]:
    """Stop, where needed, and remove these containers."""
    gone = tuple(sorted(replicas))
    running = tuple(replica for replica in gone if replica.running)
    steps: list[Step] = []
    if running:
        steps.append(Stop(running, cause, phase))
    if gone:
        steps.append(Remove(gone, cause, phase))
    return tuple(steps)


def settled_notes(target: Target) -> tuple[str, ...]:
    """What a plan says of services that nothing asks whether they are healthy."""
    return tuple(
        f"{service.name} counts as healthy once it ran {service.settle_s:g} s without a restart: "
        "nothing asks it"
        for service in target.services
        if service.settle_s is not None and service.replicas
    )


def described(releases: Iterable[str]) -> str:
    """Release ids as one phrase: "3f2a9c1 and 77d0e12"; containers of no known release too."""
    return " and ".join(sorted({short(release) if release else "unknown" for release in releases}))
