"""A release as it is kept on the host: everything a rollback needs, and nothing from elsewhere."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from releasekit.compose.problems import slot_problems
from releasekit.errors import NeedsPerson, UsageError
from releasekit.ports import Host
from releasekit.release import Release
from releasekit.target import Migration, Service, Target

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """An HTTP check at the replica's own address: GET `path`, any of `statuses` is healthy."""

    path: str
    statuses: tuple[int, ...] = (200,)
    host: str | None = None


@dataclass(frozen=True, slots=True)
class BundledService:
    """An app service with what a release decided about it. `health` None: Docker's own check."""

    service: Service
    health: HealthCheck | None = None


@dataclass(frozen=True, slots=True)
class BundledMigration:
    """A release's migration with the command that it is."""

    migration: Migration
    run: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A stored release: `model` is the resolved compose model with its images pinned.

    `id` is the tag and a digest of all that makes this release differ from another one of the
    same tag: its app services' configuration, environment, mounted files and images.
    """

    id: str
    release: Release
    project: str
    folder: str
    model: Mapping[str, Any]
    services: tuple[BundledService, ...]
    backing: tuple[str, ...]
    images: Mapping[str, str]
    """Image id by app service."""
    nginx_service: str | None = None
    migration: BundledMigration | None = None

    def target(self) -> Target:
        services = tuple(bundled.service for bundled in self.services)
        migration = self.migration.migration if self.migration is not None else None
        return Target(self.project, self.id, services, self.backing, migration)

    def health(self, service: str) -> HealthCheck | None:
        return next((b.health for b in self.services if b.service.name == service), None)

    def service(self, name: str) -> Service:
        return next(b.service for b in self.services if b.service.name == name)

    def must_run_alone(self, service: str) -> bool:
        """Whether this release of `service` cannot run beside another: it was recreated."""
        port = self.service(service).port
        has_no_route = port is not None and self.nginx_service is None
        return has_no_route or bool(slot_problems(self.model, [service]))

    def networks(self, service: str | None) -> tuple[str, ...]:
        """The real names of the networks that `service` is on."""
        used = self.model["services"].get(service, {}).get("networks") or {}
        return tuple(sorted(self.model["networks"][name]["name"] for name in used))

    @property
    def app(self) -> tuple[str, ...]:
        return tuple(bundled.service.name for bundled in self.services)

    def to_json(self) -> str:
        return json.dumps({"schema": SCHEMA, **dataclasses.asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Bundle:
        """Raises `NeedsPerson` for a bundle that this version cannot read."""
        try:
            data = json.loads(text)
            schema = data.pop("schema")
            data["release"] = Release(**data["release"])
            data["services"] = tuple(_service(item) for item in data["services"])
            data["backing"] = tuple(data["backing"])
            data["migration"] = _migration(data.get("migration"))
            bundle = cls(**data)
        except (ValueError, KeyError, TypeError, UsageError) as error:
            raise NeedsPerson(f"a stored release cannot be read: {error!r}") from error
        if schema != SCHEMA:
            raise NeedsPerson(f"release {bundle.id} was stored by another version of releasekit")
        return bundle


def _service(item: Mapping[str, Any]) -> BundledService:
    health = item["health"]
    if health is not None:
        health = HealthCheck(health["path"], tuple(health["statuses"]), health["host"])
    after = tuple(item["service"].get("after", ()))
    return BundledService(Service(**{**item["service"], "after": after}), health)


def _migration(item: Mapping[str, Any] | None) -> BundledMigration | None:
    if item is None:  # none, or a bundle from before there were any
        return None
    return BundledMigration(Migration(**item["migration"]), tuple(item["run"]))


class BundleStore:
    """The bundles of one project, under `<folder>/<id>/`; files in them hold secrets: 0600."""

    def __init__(self, host: Host, folder: str) -> None:
        self._host = host
        self._folder = folder

    def folder(self, release: str) -> str:
        return f"{self._folder}/{release}"

    def save(self, bundle: Bundle, files: Mapping[str, str]) -> None:
        """Store `bundle`, and copies of `files` (copy by source). The bundle comes last: a half
        stored release is none."""
        for source, target in files.items():
            self._host.copy(source, target)
        self._host.write(f"{self.folder(bundle.id)}/bundle.json", bundle.to_json())

    def load(self, release: str) -> Bundle | None:
        text = self._host.read(f"{self.folder(release)}/bundle.json")
        return None if text is None else Bundle.from_json(text)

    def ids(self) -> tuple[str, ...]:
        """The releases that are stored whole."""
        names = self._host.list_dir(self._folder)
        return tuple(n for n in names if "bundle.json" in self._host.list_dir(self.folder(n)))
