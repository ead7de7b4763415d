"""What differs between two releases of a service, by names and key paths alone: pure.

A value may be a secret, so none is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from releasekit.bundle import Bundle

_ELSEWHERE = ("build", "environment", "image", "scale")
"""What is told apart from the configuration, or is no part of a release."""
_FILES = ("configs", "secrets")


@dataclass(frozen=True, slots=True)
class Difference:
    """Names, sorted, by what became of them."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.changed or self.gone)

    def __str__(self) -> str:
        words = (("changed", self.changed), ("added", self.added), ("gone", self.gone))
        return ", ".join(f"{name} {word}" for word, names in words for name in names)


@dataclass(frozen=True, slots=True)
class ServiceChanges:
    """How an app service's containers differ from those of another release: whether by their
    image, by names of variables, by key paths of compose's configuration and of the settings,
    and by mounted files, which are named by their paths in the container."""

    service: str
    image: bool = False
    environment: Difference = Difference()
    config: Difference = Difference()
    settings: Difference = Difference()
    files: Difference = Difference()

    @property
    def is_empty(self) -> bool:
        parts = (self.environment, self.config, self.settings, self.files)
        return not self.image and all(part.is_empty for part in parts)


def service_changes(before: Bundle, after: Bundle, name: str) -> ServiceChanges:
    """How `after` runs a service that `before` has too."""
    old, new = before.model["services"][name], after.model["services"][name]
    return ServiceChanges(
        service=name,
        image=before.images.get(name) != after.images.get(name),
        environment=difference(old.get("environment") or {}, new.get("environment") or {}),
        config=difference(_config(before, name), _config(after, name)),
        settings=difference(_settings(before, name), _settings(after, name)),
        files=difference(dict(_mounted(before, name)), dict(_mounted(after, name))),
    )


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """The key paths at which the two differ; what is there as a whole or not, as one path."""
    found = sorted(_paths(before, after, ""))
    by = {word: tuple(path for path, w in found if w == word) for word in ("+", "~", "-")}
    return Difference(by["+"], by["~"], by["-"])


def _paths(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, str]]:
    for key in {*before, *after}:
        path = f"{prefix}{key}"
        if key not in before:
            yield path, "+"
        elif key not in after:
            yield path, "-"
        elif isinstance(before[key], Mapping) and isinstance(after[key], Mapping):
            yield from _paths(before[key], after[key], f"{path}.")
        elif before[key] != after[key]:
            yield path, "~"


def _config(bundle: Bundle, name: str) -> dict[str, Any]:
    """The service's configuration with the definitions that it uses, its lists by what tells
    their items apart."""
    service = bundle.model["services"][name]
    kept = {k: v for k, v in service.items() if v is not None and k not in _ELSEWHERE}
    for key in ("volumes", "ports"):
        if key in kept:
            kept[key] = _by_target(_moved_back(bundle, kept[key], "source"))
    for kind in _FILES:
        if kind in kept:
            uses = [{**use, **bundle.model[kind][use["source"]]} for use in kept[kind]]
            kept[kind] = _by_target(_moved_back(bundle, uses, "file"))
    if "networks" in kept:
        kept["networks"] = {
            key: {**bundle.model["networks"][key], **(options or {})}
            for key, options in kept["networks"].items()
        }
    if "deploy" in kept:  # how many there are is told apart, too
        kept["deploy"] = {k: v for k, v in kept["deploy"].items() if k != "replicas"}
    return kept


def _by_target(items: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        found.setdefault(str(item.get("target", item.get("source"))), []).append(item)
    return found


def _moved_back(
    bundle: Bundle, items: Iterable[Mapping[str, Any]], key: str
) -> list[Mapping[str, Any]]:
    """`items` without the places of copies, which are each release's own."""
    copies = ((item, _copy(bundle, item.get(key))) for item in items)
    return [{**item, key: copy[1]} if copy else item for item, copy in copies]


def _copy(bundle: Bundle, path: object) -> tuple[str, str] | None:
    """(digest, name) of a file that is kept in the bundle; None for any other."""
    folder, _, file = str(path).rpartition("/")
    if not folder.endswith(f"/{bundle.id}/files"):
        return None
    digest, _, name = file.partition("-")
    return digest, name


def _mounted(bundle: Bundle, name: str) -> Iterator[tuple[str, str]]:
    """(path in the container, digest) of the files that the release keeps for this service."""
    service = bundle.model["services"][name]
    found = [(m["target"], m.get("source")) for m in service.get("volumes") or ()]
    found += [
        (_inside(kind, use), bundle.model[kind][use["source"]].get("file"))
        for kind in _FILES
        for use in service.get(kind) or ()
    ]
    for target, source in found:
        copy = _copy(bundle, source)
        if copy:
            yield target, copy[0]


def _inside(kind: str, use: Mapping[str, Any]) -> str:
    """Where compose puts a config or a secret when the file does not say."""
    target = str(use.get("target") or use["source"])
    folder = "/run/secrets/" if kind == "secrets" else "/"
    return target if target.startswith("/") else folder + target


def _settings(bundle: Bundle, name: str) -> dict[str, Any]:
    """What the settings say about the service, by their own keys."""
    service, check = bundle.service(name), bundle.health(name)
    health = {
        "path": check and check.path,
        "statuses": check and check.statuses,
        "host": check and check.host,
        "settle": service.settle_s,
        "timeout": service.health_timeout_s,
    }
    return {
        "port": service.port,
        "drain": service.drain_s,
        "overlap": service.overlaps,
        "health": {key: value for key, value in health.items() if value is not None},
    }
