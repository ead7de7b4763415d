"""The shop of the golden plans: what may be observed of it, and what a plan then says."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from releasekit.check import check_plan
from releasekit.observed import PLAIN, Backing, Nginx, Observed, Replica, Route, Upstream
from releasekit.steps import replica_names
from releasekit.strategies.base import KeepPrevious, Options, Strategy
from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
from releasekit.strategies.mixed import Mix
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import Rolling, RollingOptions
from releasekit.target import Service, Target

A, B, C = (f"{digit * 40}~{digit * 8}" for digit in "abc")
UNKNOWN = ""

WEB, API, WORKER = Service("web", port=8080), Service("api", port=9000), Service("worker")
WEB_3 = Service("web", replicas=3, port=8080)
NEW_NGINX, OLD_NGINX = (1, 30, 6), (1, 22, 1)
BACKING = ("db", "cache")


def target(release: str, *services: Service) -> Target:
    return Target("shop", release, services or (WEB, WORKER), BACKING)


def names(slot: str, web: int = 1) -> tuple[str, ...]:
    return replica_names("shop", slot, "web", web)


def replicas(
    release: str, slot: str, *, running: bool = True, web: int = 1, worker: int = 1
) -> tuple[Replica, ...]:
    """A release's containers in a slot."""
    return tuple(
        replica(service, slot, release, number, running=running)
        for service, count in (("web", web), ("worker", worker))
        for number in range(1, count + 1)
    )


def replica(
    service: str,
    slot: str,
    release: str,
    number: int = 1,
    *,
    running: bool = True,
    prefix: str = "",
) -> Replica:
    name = prefix + replica_names("shop", slot, service, number)[-1]
    return Replica(service, slot, name, release, id=f"id-{name}", running=running)


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

    def stopped(self, *names: str) -> State:
        return self._running(names, running=False)

    def running(self, *names: str) -> State:
        return self._running(names, running=True)

    def _running(self, names: Collection[str], *, running: bool) -> State:
        changed = (
            replace(r, running=running) if r.name in names else r for r in self.observed.replicas
        )
        return State(replace(self.observed, replicas=tuple(changed)))

    def with_backing(self, *services: str) -> State:
        backing = tuple(Backing(service, f"id-{service}") for service in services)
        return State(replace(self.observed, backing=backing))

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
        return self.planned(BlueGreen(), to, BlueGreenOptions(keep_previous=keep))

    def recreate(self, to: Target) -> str:
        return self.planned(Recreate(), to)

    def rolling(self, to: Target, **options: Any) -> str:
        return self.planned(Rolling(), to, RollingOptions(**options))

    def planned(self, strategy: Strategy, to: Target, options: Options | None = None) -> str:
        return self.mixed(Mix.single(strategy, options), to)

    def mixed(self, mix: Mix, to: Target) -> str:
        plan = mix.plan(self.observed, to)
        assert check_plan(self.observed, to, plan) == ()
        return plan.render()


EMPTY_HOST = State(Observed("shop", nginx=Nginx(NEW_NGINX)))
"""Nothing was ever started."""
PREPARED = State(Observed("shop", nginx=Nginx(NEW_NGINX, running=True))).with_backing(*BACKING)
"""Backing services and nginx run; no app service does."""
PLAIN_A = PREPARED.having(replicas(A, PLAIN))
"""A runs as plain `docker compose up -d` starts it; nginx goes by the team's own files."""
RECREATED_A = PLAIN_A.serving(*names(PLAIN)).committed(A)
"""A serves under plain names: the steady state after recreate."""
BLUE_A = PREPARED.having(replicas(A, "blue")).serving(*names("blue")).committed(A)
"""A serves in blue: the steady state after one release with blue-green."""
GREEN_B = (
    PREPARED.having(replicas(A, "blue", running=False), replicas(B, "green"))
    .serving(*names("green"))
    .committed(A, B)
)
"""B serves in green, A waits in blue, stopped: the steady state after two of them."""
WARM_B = (
    GREEN_B.running(*names("blue")).serving(*names("green"), standby=names("blue")).committed(A, B)
)
"""As before, and A's web waits running: `keep_previous = "running"`."""
STARTED_B = BLUE_A.having(replicas(B, "green"))
"""A serves in blue; B runs in green, and nobody knows yet how well."""
ANNOUNCED_B = STARTED_B.serving(*names("blue"), standby=names("green"))
"""As before, and nginx looks B's names up."""
ROUTED_B = STARTED_B.serving(*names("green")).with_nginx(draining=True)
"""B serves in green, A is drained and still the current release."""
THREE_A = PREPARED.having(replicas(A, "blue", web=3)).serving(*names("blue", 3)).committed(A)
"""A serves in blue with three replicas."""
WITH_API = BLUE_A.having([replica("api", "blue", A)]).with_nginx(
    loaded=Route(
        (Upstream("api", ("shop-releases-api-blue-1",)), Upstream("web", names("blue"))), "7"
    )
)
"""A serves in blue, with an `api` that no other release has."""
WORKERS_A = PREPARED.without_nginx().having(replicas(A, "blue", web=0)).committed(A)
"""A runs in blue and has only workers."""
BOTH = STARTED_B.serving(*names("blue"), *names("green")).committed(A, B)
"""Somebody made nginx serve A and B at once."""
CROSSED = (
    PREPARED.having([replica("web", "blue", A), replica("api", "green", B)])
    .with_nginx(
        loaded=Route(
            (Upstream("api", ("shop-releases-api-green-1",)), Upstream("web", names("blue"))), "7"
        )
    )
    .committed(A, B)
)
"""Somebody made nginx serve A's web and B's api."""
