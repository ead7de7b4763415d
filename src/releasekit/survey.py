"""What a forecast asks the host besides what is observed. It only reads."""

from __future__ import annotations

from dataclasses import dataclass

from releasekit import forecasting
from releasekit.bundle import Bundle
from releasekit.compose import memory
from releasekit.compose.changes import ServiceChanges, service_changes
from releasekit.compose.docker import Docker
from releasekit.compose.drift import drifted
from releasekit.compose.model import comes_back
from releasekit.errors import RouteRefused
from releasekit.forecast import Forecast, Memory, MemoryShare
from releasekit.observed import Observed
from releasekit.plan import Plan
from releasekit.ports import Host
from releasekit.preparing import Draft, is_checked
from releasekit.redact import redact, secrets_in
from releasekit.site import Site
from releasekit.strategies.mixed import Mix


@dataclass(frozen=True, slots=True)
class Facts:
    """What is asked while containers and nginx are observed."""

    drifted: frozenset[str]
    """The backing services that run with another configuration than they have now."""
    available: int | None
    """The host's memory that nobody uses, in bytes."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Of the release that `draft` became, at its `site`."""

    host: Host
    site: Site
    draft: Draft
    bundle: Bundle

    def facts(self) -> Facts:
        bundle = self.bundle
        return Facts(
            drifted(Docker(self.host), bundle.model, bundle.app), memory.available(self.host)
        )

    def forecast(
        self, plan: Plan, mix: Mix, observed: Observed, facts: Facts, *, is_adopted: bool
    ) -> Forecast:
        """What `plan` comes to, which `mix` made of `observed`; `is_adopted`: what is current was
        started by plain compose, and is not recorded yet."""
        bundle, target = self.bundle, self.bundle.target()
        releases = {replica.release for replica in observed.replicas} | {observed.current}
        stored = {each: self.site.store.load(each) for each in releases if each}
        known = {each: found for each, found in stored.items() if found is not None}
        current = known.get(observed.current)
        known[bundle.id] = bundle
        served = (*bundle.app, *((bundle.nginx_service,) if bundle.nginx_service else ()))
        health = {
            bundled.service.name: self._redacted(
                forecasting.health(bundled, is_checked(self.draft, bundled.service.name))
            )
            for bundled in bundle.services
        }
        return Forecast(
            project=bundle.project,
            plan=plan,
            current=observed.current,
            is_adopted=is_adopted,
            subjects={each: found.release.subject for each, found in known.items()},
            services=forecasting.services(observed, target, mix, health),
            changes=_changes(current, bundle) if current is not None else None,
            route=self._redacted(self._route(plan, observed)),
            memory=Memory(self._memory(plan, observed), facts.available),
            backing=forecasting.backing(
                observed, target, plan, bundle.nginx_service, facts.drifted
            ),
            edited=self._redacted(observed.nginx.edited if observed.nginx else ""),
            stay_down=tuple(name for name in served if not comes_back(bundle.model, name)),
            pulls=self.draft.missing_images,
        )

    def _memory(self, plan: Plan, observed: Observed) -> tuple[MemoryShare, ...]:
        target, model = self.bundle.target(), self.bundle.model
        limits = {name: memory.limit(model, name) for name in self.bundle.app}
        moments = forecasting.more_than_now(observed, target, plan)
        unlimited = {name for more in moments for name in more if limits.get(name) is None}
        running = [r.name for r in observed.replicas if r.running and r.service in unlimited]
        in_use = memory.in_use(self.host, Docker(self.host), running)
        return forecasting.memory(observed, target, plan, limits, in_use)

    def _route(self, plan: Plan, observed: Observed) -> str:
        upstreams = forecasting.final_route(plan)
        if upstreams is None or self.site.router is None or observed.nginx is None:
            return ""
        peers = forecasting.peers(plan, self.bundle.target(), self.bundle.services)
        try:
            now, then = self.site.router.draft(upstreams, peers, observed.nginx)
        except RouteRefused as error:
            return f"nginx's file cannot be shown: {error.message}"
        return forecasting.route_diff(now, then)

    def _redacted(self, text: str) -> str:
        """Secrets are no part of a forecast; one may still be in the path of a health check."""
        return redact(text, secrets_in(self.bundle.model) | secrets_in({"text": text}))


def _changes(before: Bundle, after: Bundle) -> tuple[ServiceChanges, ...]:
    """How the services that both have differ."""
    return tuple(service_changes(before, after, name) for name in after.app if name in before.app)
