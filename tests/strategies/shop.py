"""The shop of the golden plans: what may be observed of it, and what a plan then says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from releasekit.check import check_plan
from releasekit.observed import PLAIN, Backing, Nginx, Observed, Replica, Route, Upstream
from releasekit.steps import replica_names
from releasekit.strategies.base import KeepPrevious, Options
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.recreate import Recreate
from releasekit.target import Service, Target

A, B, C = (f"{digit * 40}~{digit * 8}" for digit in "abc")
UNKNOWN = ""

WEB, WORKER = Service("web", replicas=2, port=8080), Service("worker")
NEW_NGINX, OLD_NGINX = (1, 30, 6), (1, 22, 1)
BACKING = ("db", "cache")


def target(release: str, *services: Service) -> Target:
    return Target("shop", release, services or (WEB, WORKER), BACKING)


def names(slot: str, web: int = 2) -> tuple[str, ...]:
    return replica_names("shop", slot, "web", web)


def replicas(
    release: str, slot: str, *, running: bool = True, web: int = 2, worker: int = 1
) -> tuple[Replica, ...]:
    """A release's containers in a slot."""
    return tuple(
        Replica(service, slot, name, release, id=f"id-{name}", running=running)
        for service, count in (("web", web), ("worker", worker))
        for name in replica_names("shop", slot, service, count)
    )


def route(*names: str, standby: Iterable[str] = ()) -> Route:
    return Route((Upstream("web", names, tuple(standby)),), "7")


@dataclass(frozen=True)
class State:
    """What is observed, built up piece by piece."""

    observed: Observed

    def having(self, *groups: Iterable[Replica]) -> State:
        there = tuple(replica for group in groups for replica in group)
        return State(replace(self.observed, replicas=(*self.observed.replicas, *there)))

    def without(self, *gone: str) -> State:
        left = tuple(r for r in self.observed.replicas if r.name not in gone)
        return State(replace(self.observed, replicas=left))

    def stopped(self, *stopped: str) -> State:
        changed = (
            replace(r, running=False) if r.name in stopped else r for r in self.observed.replicas
        )
        return State(replace(self.observed, replicas=tuple(changed)))

    def serving(self, *names: str, standby: Iterable[str] = ()) -> State:
        return self.with_nginx(loaded=route(*names, standby=standby))

    def committed(self, *releases: str) -> State:
        """These releases were committed to; the last one is current."""
        current = releases[-1] if releases else ""
        return State(replace(self.observed, current=current, committed=frozenset(releases)))

    def with_nginx(self, **facts: object) -> State:
        nginx = self.observed.nginx or Nginx(NEW_NGINX, running=True)
        return State(replace(self.observed, nginx=replace(nginx, **facts)))  # type: ignore[arg-type]

    def without_nginx(self) -> State:
        return State(replace(self.observed, nginx=None))

    def blue_green(self, to: Target, keep: KeepPrevious = "stopped") -> str:
        return self._planned(BlueGreen(), to, Options(keep))

    def recreate(self, to: Target) -> str:
        return self._planned(Recreate(), to, Options())

    def _planned(self, strategy: BlueGreen | Recreate, to: Target, options: Options) -> str:
        plan = strategy.plan(self.observed, to, options)
        assert check_plan(self.observed, to, plan) == ()
        return plan.render()


_UP = tuple(Backing(service, f"id-{service}") for service in BACKING)

EMPTY = State(Observed("shop"))
"""Nothing was ever started."""
PREPARED = State(Observed("shop", backing=_UP, nginx=Nginx(NEW_NGINX, running=True)))
"""Backing services and nginx run; no app service does."""
PLAIN_A = PREPARED.having(replicas(A, PLAIN))
"""A runs as plain `docker compose up -d` starts it; nginx goes by the team's own files."""
BLUE_A = PREPARED.having(replicas(A, "blue")).serving(*names("blue")).committed(A)
"""A serves in blue: the steady state after a blue-green release."""
GREEN_B = (
    PREPARED.having(replicas(A, "blue", running=False), replicas(B, "green"))
    .serving(*names("green"))
    .committed(A, B)
)
"""B serves in green, and A waits in blue, stopped: the steady state after two of them."""
