"""A release that is held before its cutover: what of a plan comes before it, and who may go on.

A held release runs beside the one that serves, proven healthy, and no user gets it. What takes
work by itself, such as a worker, does not run yet: it would do real jobs with the new code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any

from releasekit.check import check_plan, checked_plan
from releasekit.errors import Held, StrategyError, UnsafePlan, UsageError
from releasekit.naming import minute, tag_of
from releasekit.observed import Observed, Upstream
from releasekit.options import validated
from releasekit.plan import Plan
from releasekit.recovery import Earlier, way_back
from releasekit.release import short
from releasekit.steps import Announce, AwaitHealthy, Drain, Phase, Start, Step
from releasekit.strategies import registry
from releasekit.strategies.mixed import Chosen, Mix
from releasekit.strategies.slots import only, running
from releasekit.target import Target

NEXT = "`releasekit promote` gives it to the users, `releasekit abort` removes it"
ANEW = "`releasekit abort`, then release it once more"


def held_plan(mix: Mix, observed: Observed, target: Target, *, preview: bool) -> Plan:
    """The plan that brings `target` up and stops before the cutover.

    Raises `UsageError` when these strategies cannot do that, `UnsafePlan` when it would break an
    invariant.
    """
    plan = held(checked_plan(mix, observed, target), observed, target, preview=preview)
    violations = check_plan(observed, target, plan, is_held=True)
    if violations:
        found = "; ".join(map(str, violations))
        raise UnsafePlan(f"the hold would be unsafe: {found}")
    return plan


def held(plan: Plan, observed: Observed, target: Target, *, preview: bool) -> Plan:
    """What of `plan` users do not notice, for the services that nginx asks; with `preview` nginx
    shows them to who knows a secret. Empty when it is held so already, or serves.

    Raises `UsageError` when not all of their replicas come up beside the old ones.
    """
    if plan.is_empty:
        return plan
    prepared = tuple(takewhile(lambda step: step.phase is Phase.PREPARE, plan.steps))
    steps = tuple(kept for step in prepared if (kept := _asked_only(step, target)))
    _require_all(plan, steps, observed, target)
    before = observed.route.upstreams
    there = only(before, running(observed.replicas))
    told = next((s.upstreams for s in reversed(steps) if isinstance(s, Announce)), there)
    loaded = observed.nginx is not None and observed.nginx.loaded is not None
    shown = _shown(told, steps) if preview and loaded else told
    if shown != told:
        steps = (*steps, Announce(shown, "who knows the secret can try it"))
    effects = [step for step in steps if not isinstance(step, Announce | AwaitHealthy)]
    if not effects and {*shown} == {*before}:
        steps = tuple(step for step in steps if isinstance(step, AwaitHealthy))
        steps = () if observed.held == target.release else steps
    notes = tuple(_notes(target, is_shown=loaded or not preview))
    return replace(plan, steps=steps, downtime=(), notes=(*plan.notes, *notes))


def _asked_only(step: Step, target: Target) -> Step | None:
    match step:
        case Start():
            counts = tuple(pair for pair in step.replicas if pair[0] in target.asked)
            return replace(step, replicas=counts) if counts else None
        case AwaitHealthy():
            pairs = tuple(pair for pair in step.replicas if pair[0] in target.asked)
            return replace(step, replicas=pairs) if pairs else None
        case _:
            return step


def _require_all(plan: Plan, steps: Iterable[Step], observed: Observed, target: Target) -> None:
    release = short(target.release)
    if observed.current == target.release:
        raise UsageError(
            f"{release} serves already: there is nothing to hold",
            hint="`releasekit up` repairs what is not as it should be",
        )
    asked = [service for service in target.services if service.name in target.asked]
    if not any(service.replicas for service in asked):
        raise UsageError(
            f"{release} cannot be held: nginx asks none of its services, so there is no cutover"
        )
    for service in asked:
        others = [name for name in service.after if name not in target.asked]
        if others:
            raise UsageError(
                f"{release} cannot be held: {service.name} needs {', '.join(others)}, and what "
                "takes work by itself starts only with the promotion"
            )
    proven = [owner for owner, _ in _proven(steps)]
    missing = [service.name for service in asked if proven.count(service.name) < service.replicas]
    if missing:
        other = "blue-green can hold it: `--strategy blue-green`, or as the service's own strategy"
        raise UsageError(
            f"{release} cannot be held with {plan.strategy}: not all replicas of "
            f"{', '.join(missing)} come up beside those that serve",
            hint=other if plan.strategy != "blue-green" else "release it without `--hold`",
        )


def _proven(steps: Iterable[Step]) -> frozenset[tuple[str, str]]:
    """(service, replica) pairs of what the steps prove healthy."""
    gates = (step for step in steps if isinstance(step, AwaitHealthy))
    return frozenset(pair for gate in gates for pair in gate.replicas)


def _shown(loaded: Iterable[Upstream], steps: Iterable[Step]) -> tuple[Upstream, ...]:
    """`loaded` with what the steps prove on preview, for the services that nginx knows."""
    names: dict[str, list[str]] = {}
    for service, name in sorted(_proven(steps)):
        names.setdefault(service, []).append(name)
    return tuple(
        replace(
            upstream,
            standby=tuple(n for n in upstream.standby if n not in names.get(upstream.service, ())),
            preview=tuple(names.get(upstream.service, ())),
        )
        for upstream in loaded
    )


def _notes(target: Target, *, is_shown: bool) -> Iterable[str]:
    yield f"users get {short(target.release)} only by `releasekit promote`"
    waiting = [service.name for service in target.services if service.name not in target.asked]
    if waiting:
        yield f"starts with the promotion: {', '.join(waiting)}"
    if not is_shown:
        yield "no preview through nginx, which has loaded no route yet: only at its own address"


def dropped(observed: Observed, target: Target, current: Earlier | None, mix: Mix) -> Plan:
    """The plan back from a hold of `target` to the `current` release: nginx forgets it, who tries
    it gets an answer, and its containers go."""
    routed = observed.routed()
    kept = running(r for r in observed.replicas if r.release != target.release or r in routed)
    upstreams = only(observed.route.upstreams, kept)
    nginx = observed.nginx
    first: tuple[Step, ...] = ()
    if nginx is not None and upstreams != observed.route.upstreams:
        nginx = replace(nginx, loaded=replace(observed.route, upstreams=upstreams))
        forget = Announce(upstreams, "nobody is to try it any more")
        drain = Drain(target.drain_s, "old workers finish their requests", Phase.PREPARE)
        first = (forget, drain)
    known = replace(observed, nginx=nginx)
    plan = way_back(Observed(observed.project), known, target.release, current, mix)
    return replace(plan, based_on=observed.fingerprint(), steps=(*first, *plan.steps))


def unheld(observed: Observed) -> Observed:
    """`observed` as if nothing were held; what users get already is."""
    if not observed.held:
        return observed
    route, nginx = observed.route, observed.nginx
    hidden = {r.name for r in observed.of(observed.held)} - route.names
    if nginx is not None and nginx.loaded is not None:
        shown = only(route.upstreams, route.resolved - hidden)
        nginx = replace(nginx, loaded=replace(route, upstreams=shown))
    kept = tuple(r for r in observed.replicas if r.name not in hidden)
    return replace(observed, replicas=kept, nginx=nginx)


def require_free(hold: Mapping[str, Any] | None, wanted: str, doing: str) -> None:
    """Raise `Held` when another release than `wanted`, an id or a tag, is held; `doing` says what
    cannot be done then."""
    if hold is None or wanted in (hold["release"], tag_of(hold["release"])):
        return
    release, since = str(hold["release"]), minute(str(hold.get("at", "")))
    by = f" by {hold['by']}" if hold.get("by") else ""
    again = " with another configuration" if tag_of(wanted) == tag_of(release) else ""
    raise Held(
        f"{short(release)} is held since {since}{by}: {doing}{again} has to wait for its end",
        release=release,
        hint=NEXT,
    )


def mix_over(hold: Mapping[str, Any] | None, release: str, mix: Mix, *, is_asked: bool) -> Mix:
    """`mix`, or what this release is held with where nobody asked for anything else; raises `Held`
    when another one is."""
    require_free(hold, release, f"releasing {short(release)}")
    return mix if hold is None or is_asked else restored(hold.get("strategies"))


def nothing_held() -> UsageError:
    return UsageError(
        "nothing is held",
        hint="`releasekit up --hold` brings a release up and stops before the cutover",
    )


def require_spare(release: str, observed: Observed) -> None:
    """Raise `UsageError` when users would get no answer without this release: its promotion was
    killed, and nothing came before it."""
    if not observed.current and any(r.release == release for r in observed.routed()):
        raise UsageError(
            f"users get {short(release)} already, and there is no other release",
            hint="`releasekit promote` once more",
        )


def recorded(mix: Mix) -> dict[str, Any]:
    """The strategies of a hold with their options, as the journal tells them."""
    return {
        "default": _told(mix.default),
        "services": {name: _told(chosen) for name, chosen in sorted(mix.services.items())},
    }


def _told(chosen: Chosen) -> dict[str, Any]:
    return {
        "strategy": chosen.strategy.name,
        "options": chosen.options.model_dump(mode="json"),
    }


def restored(facts: object) -> Mix:
    """The strategies that `recorded` told; raises `StrategyError` when they are not what they
    were, or whatever was told is something else."""
    match facts:
        case {"default": default, "services": dict(services)}:
            return Mix(_chosen(default), {n: _chosen(told) for n, told in services.items()})
        case _:
            raise StrategyError("it is not on record how the release is held", hint=ANEW)


def _chosen(told: object) -> Chosen:
    match told:
        case {"strategy": str(name), "options": dict(given)}:
            strategy = registry.load(name)
            options, _ = validated(strategy, given)
        case _:
            raise StrategyError("it is not on record how the release is held", hint=ANEW)
    if options is None:
        raise StrategyError(
            f"strategy {strategy.name!r} no longer knows the options that the release is held with",
            hint=ANEW,
        )
    return Chosen(strategy, options)
