"""From what is there, a release and its plan to what the release would do: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from releasekit.bundle import BundledService
from releasekit.forecast import BackingForecast, BackingState, MemoryShare, ServiceForecast
from releasekit.nginx.draft import difference
from releasekit.nginx.render import Peer
from releasekit.observed import Observed, Replica, Upstream
from releasekit.plan import Plan
from releasekit.steps import Announce, EnsureBacking, Remove, Route, RunOnce, Start, Stop
from releasekit.strategies.mixed import Mix
from releasekit.target import Target


def services(
    observed: Observed, target: Target, mix: Mix, health: Mapping[str, str]
) -> tuple[ServiceForecast, ...]:
    """What becomes of each app service, also of those that the release no longer has."""
    replicas = {service.name: service.replicas for service in target.services}
    return tuple(
        _service(name, observed, target, mix, replicas.get(name), health.get(name, ""))
        for name in (*replicas, *sorted(observed.services - {*replicas}))
    )


def _service(
    name: str, observed: Observed, target: Target, mix: Mix, after: int | None, health: str
) -> ServiceForecast:
    chosen, serving = mix.of(target, name), _serving(observed, name)
    return ServiceForecast(
        service=name,
        before=tuple(sorted({replica.release for replica in serving})),
        after="" if after is None else target.release,
        strategy=chosen.strategy.name,
        replicas=(len(serving), after or 0),
        health=health,
        options=chosen.options.model_dump(mode="json", exclude_defaults=True),
    )


def _serving(observed: Observed, service: str) -> tuple[Replica, ...]:
    """The replicas that users have now: those with traffic; where nginx sends it none, those of
    the current release, or else whatever runs."""
    running = [r for r in observed.replicas if r.service == service and r.running]
    routed = [r for r in running if r.name in observed.route.names]
    current = [r for r in running if r.release == observed.current]
    return tuple(routed or current or running)


def health(bundled: BundledService, has_check: bool) -> str:
    """How a replica counts as healthy, in words; `has_check` is Docker's own of the service."""
    service, check = bundled.service, bundled.health
    limit = f"within {service.health_timeout_s:g} s"
    if check is not None:
        statuses = " or ".join(map(str, check.statuses))
        return f"GET {check.path} on port {service.port} answers {statuses} {limit}"
    if service.settle_s is not None:
        return f"it runs {service.settle_s:g} s without a restart, {limit}; nothing asks it"
    if has_check:
        return f"Docker's health check says so {limit}"
    return "it runs; nothing asks it"


def backing(
    observed: Observed, target: Target, plan: Plan, nginx: str | None, drifted: Collection[str]
) -> tuple[BackingForecast, ...]:
    """What becomes of the backing services; `nginx` is the one in front, `drifted` are those that
    run with another configuration than they have now."""
    starting = {s for step in plan.steps if isinstance(step, EnsureBacking) for s in step.services}
    if nginx and observed.nginx and not observed.nginx.running and final_route(plan) is not None:
        starting.add(nginx)
    there = {container.service for container in observed.backing}
    names = {*target.backing, *there, *([nginx] if nginx else [])}
    return tuple(
        BackingForecast(name, _state(name in starting, name in there, name in drifted))
        for name in sorted(names)
    )


def _state(starts: bool, exists: bool, differs: bool) -> BackingState:
    if starts:
        return "starts as it was" if exists and differs else "starts"
    return "differs" if differs else "as it is"


def memory(
    observed: Observed,
    target: Target,
    plan: Plan,
    limits: Mapping[str, int | None],
    in_use: Mapping[str, int],
) -> tuple[MemoryShare, ...]:
    """What runs more than now when most does: by `limits` of services, else by what their
    replicas have in use, by name."""
    moments = tuple(more_than_now(observed, target, plan))
    estimates = {name: _estimate(name, observed, limits, in_use) for m in moments for name in m}

    def cost(more: Counter[str]) -> tuple[int, int]:
        return sum(n * (estimates[name].each or 0) for name, n in more.items()), more.total()

    most = max(moments, key=cost, default=Counter[str]())
    # What nobody knows may be the most at any other moment.
    unknown: Counter[str] = Counter()
    for more in moments:
        unknown |= Counter({n: count for n, count in more.items() if estimates[n].each is None})
    return tuple(
        replace(estimates[name], replicas=count) for name, count in sorted((most | unknown).items())
    )


def more_than_now(observed: Observed, target: Target, plan: Plan) -> Iterator[Counter[str]]:
    """By how many replicas each service has more than now, after each start and stop."""
    running = {r.name: r.service for r in observed.replicas if r.running}
    now = Counter(running.values())
    for step in plan.steps:
        match step:
            case RunOnce():
                yield Counter([*running.values(), step.service]) - now
                continue
            case Start():
                running |= {name: service for service, name in target.started(step)}
            case Stop() | Remove():
                for replica in step.replicas:
                    running.pop(replica.name, None)
            case _:
                continue
        yield Counter(running.values()) - now


def _estimate(
    name: str, observed: Observed, limits: Mapping[str, int | None], in_use: Mapping[str, int]
) -> MemoryShare:
    limit = limits.get(name)
    if limit is not None:
        return MemoryShare(name, 0, limit, "limit")
    used = [in_use[r.name] for r in observed.replicas if r.service == name and r.name in in_use]
    if used:
        return MemoryShare(name, 0, max(used), "in use")
    return MemoryShare(name, 0, None, "unknown")


def final_route(plan: Plan) -> tuple[Upstream, ...] | None:
    """What nginx is given last; None when it is left alone."""
    given = [step.upstreams for step in plan.steps if isinstance(step, Announce | Route)]
    return given[-1] if given else None


def peers(plan: Plan, target: Target, bundled: Collection[BundledService]) -> dict[str, Peer]:
    """Where the replicas that `plan` starts will answer, as the release says."""
    known = {each.service.name: each for each in bundled}
    return {
        name: Peer(port, check=known[service].health)
        for step in plan.steps
        if isinstance(step, Start)
        for service, name in target.started(step)
        if service in known and (port := known[service].service.port) is not None
    }


def route_diff(now: str, then: str) -> str:
    """nginx's file as it is against the one that is to be, as a unified diff."""
    return difference(now, then, "now", "then")
