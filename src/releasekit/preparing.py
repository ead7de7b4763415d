"""From a project's files to a release's bundle: resolve, check, pin, store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import Any

from releasekit.bundle import Bundle, BundledMigration, BundledService, BundleStore, HealthCheck
from releasekit.compose import model as models
from releasekit.compose import problems as composed
from releasekit.compose import transform
from releasekit.errors import SettingsError
from releasekit.ports import Host
from releasekit.release import Release
from releasekit.settings import ServiceSettings, Settings
from releasekit.strategies.mixed import Mix
from releasekit.target import Migration, Service, Target

Model = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """A release's resolved model and what was found out about it, before it is pinned."""

    release: Release
    settings: Settings
    folder: str
    model: Model
    app: tuple[str, ...]
    found: Mapping[str, Model] = field(default_factory=dict)
    """What `docker image inspect` says of those of its images that are on the host."""

    @property
    def project(self) -> str:
        return str(self.model["name"])

    @property
    def images(self) -> dict[str, str]:
        """Image reference by app service."""
        return {name: str(self.model["services"][name].get("image", "")) for name in self.app}

    @property
    def image_ids(self) -> dict[str, str]:
        """Image id by app service, of images that are on the host."""
        return {s: str(self.found[i]["Id"]) for s, i in self.images.items() if i in self.found}

    @property
    def missing_images(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.images.values()) - set(self.found)))

    @property
    def nginx_service(self) -> str | None:
        """The nginx in front; None for a project that has none and does not ask for one."""
        if self.settings.nginx is not None:
            return self.settings.nginx.service
        return "nginx" if "nginx" in self.model["services"] else None

    @property
    def migration(self) -> BundledMigration | None:
        hook = self.settings.hooks.pre_release
        if hook is None:
            return None
        return BundledMigration(Migration(hook.service, hook.timeout), hook.run)

    @property
    def services(self) -> tuple[BundledService, ...]:
        services = [self._service(name) for name in self.app]
        after = _after(services, models.app_order(self.model, self.app), self.settings.workers_wait)
        return tuple(
            BundledService(
                replace(service, after=after[service.name]),
                self._check(service.name, service.port),
            )
            for service in services
        )

    def _check(self, name: str, port: int | None) -> HealthCheck | None:
        health = self.settings.services.get(name, ServiceSettings()).health
        if health is None or health.path is None or port is None:
            return None
        return HealthCheck(health.path, health.statuses, health.host)

    def _service(self, name: str) -> Service:
        wanted = self.settings.services.get(name, ServiceSettings())
        health = wanted.health
        return Service(
            name=name,
            replicas=models.replicas(self.model, name)
            if wanted.replicas is None
            else wanted.replicas,
            port=wanted.port or models.exposed_port(self.model, name),
            drain_s=wanted.drain,
            health_timeout_s=health.timeout if health else self._patience_s,
            container_name=str(self.model["services"][name].get("container_name", "")),
            overlaps=wanted.overlap,
            settle_s=health.settle if health else None,
        )

    @property
    def _patience_s(self) -> float:
        """For a service whose limit nobody gave: no longer than for the others, since a release
        waits for the slowest."""
        given = (s.health.timeout for s in self.settings.services.values() if s.health)
        return max(given, default=60.0)


def _after(
    services: Iterable[Service], order: Mapping[str, Set[str]], workers_wait: bool
) -> dict[str, tuple[str, ...]]:
    """For each service those that have to be healthy before it starts: those that it depends on,
    and of a worker all that users ask, unless one of these depends on it."""
    services = tuple(services)
    asked = {service.name for service in services if service.port is not None}
    needed = {name for service in asked for name in order[service]}
    barred = {s.name for s in services if workers_wait} - asked - needed
    return {
        s.name: tuple(sorted({*order[s.name], *(asked if s.name in barred else ())}))
        for s in services
    }


def draft(
    release: Release, settings: Settings, folder: str, model: Model, probe: Model, probe_tag: str
) -> Draft:
    """The draft of `release`; which services are its app services is decided here.

    `probe` is the model with `probe_tag`, which no image has by chance, as `latest` may be the
    database's tag too.
    """
    named = [name for name in settings.services if name in model["services"]]
    everything = Draft(release, settings, folder, model, ())
    app = models.app_services(probe, probe_tag, named)
    released = tuple(name for name in app if name != everything.nginx_service)
    return replace(everything, app=released)


def problems(draft: Draft, mix: Mix, nginx_dir: str) -> list[str]:
    """Everything that keeps `draft` from being released with these strategies."""
    settings, model = draft.settings, draft.model
    found = composed.unknown_services(model, tuple(settings.services))
    found += composed.app_problems(model, draft.app, draft.release.tag, settings.tag_variable)
    beside = _beside(draft, mix)
    found += composed.slot_problems(model, beside)
    if (hook := settings.hooks.pre_release) is not None:
        found += composed.hook_problems(model, draft.app, hook.service)
    found += _without_health(draft, beside) + _without_need_to_settle(draft)
    moved = [b.service.name for b in draft.services if b.service.port and b.service.name in beside]
    if draft.nginx_service is not None:
        found += composed.nginx_problems(model, draft.nginx_service, nginx_dir)
        found += composed.name_problems(b.service.name for b in draft.services if b.service.port)
        found += _without_port(draft, beside)
    elif moved:
        found.append(
            f"{beside[moved[0]]} moves traffic with nginx, and the project has no service "
            "`nginx`: name it (`[nginx] service = …`), or use --strategy recreate"
        )
    return found


def _beside(draft: Draft, mix: Mix) -> dict[str, str]:
    """The services whose next release starts beside the one before, and the strategy of each."""
    target = Target(draft.project, "", tuple(bundled.service for bundled in draft.services))
    chosen = {name: mix.of(target, name).strategy for name in draft.app}
    return {name: strategy.name for name, strategy in chosen.items() if strategy.needs_health}


def _without_health(draft: Draft, beside: Mapping[str, str]) -> list[str]:
    missing = [
        bundled.service
        for bundled in draft.services
        if bundled.service.name in beside
        and bundled.health is None
        and bundled.service.settle_s is None
        and not is_checked(draft, bundled.service.name)
    ]
    return [
        f"services.{service.name}: {beside[service.name]} needs a health check, and there is none: "
        f'give `[services.{service.name}] health = {{ path = "/up" }}` (and `port`) in the '
        "settings, or a `healthcheck:` in the compose file"
        + ("" if service.port else f"; {_SETTLES}")
        for service in missing
    ]


_SETTLES = (
    'or `health = { settle = "10s" }`, if all that can be known of it is that it runs for so long'
)


def _without_need_to_settle(draft: Draft) -> list[str]:
    """Services that say more of their health than that they run."""
    settling = [b.service for b in draft.services if b.service.settle_s is not None]
    return [
        f"services.{service.name}.health.settle: it answers at a port, so ask it there: "
        '`health = { path = "/up" }`, or a `healthcheck:` in the compose file'
        if service.port
        else f"services.{service.name}.health.settle: it has a health check of Docker's: remove "
        "`settle`, or switch the check off (`healthcheck: {disable: true}` in the compose file)"
        for service in settling
        if service.port or is_checked(draft, service.name)
    ]


def _without_port(draft: Draft, beside: Mapping[str, str]) -> list[str]:
    """nginx would go on asking the containers that are stopped."""
    if not beside or any(b.service.port for b in draft.services):
        return []
    name = draft.app[0] if draft.app else "web"
    return [
        f"services: nothing says which service nginx asks, and at which port: give "
        f"`[services.{name}] port = …` in the settings, or `expose:` one port in the compose file"
    ]


def is_checked(draft: Draft, service: str) -> bool:
    """Whether Docker checks its health, as the compose file or its image says."""
    image = draft.found.get(draft.images[service]) or {}
    check = (image.get("Config") or {}).get("Healthcheck") or {}
    has_one = check.get("Test", ["NONE"])[:1] != ["NONE"]
    return models.has_healthcheck(draft.model, service, in_image=has_one)


def pin(draft: Draft, host: Host, store: BundleStore, images: Mapping[str, str]) -> Pinned:
    """The release with its images pinned (image id by app service), not yet stored.

    Config files that app services mount are to be copied beside it, so that a rollback gets them
    back, and they belong to its identity: compose itself calls a changed file "nothing to do".
    """
    sources = [s for s in models.bind_sources(draft.model, draft.app) if host.digest(s)]
    hashes = {source: host.digest(source) or "" for source in sources}
    config = models.config_digest(draft.model, draft.app, images, hashes)
    release = f"{draft.release.tag}~{_digest(config, draft.services)}"
    files = {
        s: f"{store.folder(release)}/files/{hashes[s][:8]}-{PurePath(s).name}" for s in sources
    }
    backing = models.backing_order(draft.model, draft.app)
    bundle = Bundle(
        id=release,
        release=draft.release,
        project=draft.project,
        folder=draft.folder,
        model=transform.with_bind_sources(transform.pinned(draft.model, images), draft.app, files),
        services=draft.services,
        backing=tuple(service for service in backing if service != draft.nginx_service),
        images=images,
        nginx_service=draft.nginx_service,
        migration=draft.migration,
    )
    return Pinned(bundle, files)


def _digest(config: str, services: Iterable[BundledService]) -> str:
    """What tells this release from another one of the same tag: how its containers run, and where
    and how they are asked. Limits of time may change without making another release."""
    asked = [
        (b.service.name, b.service.port, b.service.replicas, b.health and asdict(b.health))
        for b in services
    ]
    return hashlib.sha256(f"{config} {asked}".encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Pinned:
    """A bundle and the files that are copied beside it when it is stored (copy by source)."""

    bundle: Bundle
    files: Mapping[str, str]

    def save(self, store: BundleStore) -> None:
        stored = store.load(self.bundle.id)
        if stored is None or stored.to_json() != self.bundle.to_json():
            store.save(self.bundle, self.files)


def require(problems: list[str]) -> None:
    """Raise `SettingsError` with all `problems`, if there are any."""
    if problems:
        raise SettingsError(problems)
