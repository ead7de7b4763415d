"""The compose model as it is fed back to compose: pinned, moved, in a slot, scaled.

Pure: no argument is changed. Feed a model back by `as_input`, with `--profile '*'`: it holds only
services of enabled profiles, and keeps their `profiles`.

compose decides by a hash of a service's model whether to recreate its container. So a backing
service's model is never touched: one byte more, and the team's next `docker compose up -d`
restarts their database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from releasekit.compose.labels import PROJECT, RELEASE, SERVICE, SLOT
from releasekit.compose.model import (
    FILES,
    Model,
    Service,
    backing_order,
    binds_of,
    changed,
    consistent,
    real,
    replicas,
    used,
    without,
)
from releasekit.observed import PLAIN

_NOT_IN_A_SLOT = ("build", "container_name", "depends_on", "links", "ports", "profiles")
_BEYOND_ASCII = re.compile("[\x7f-\uffff]")


def as_input(model: Model) -> str:
    """`model` as compose reads it: JSON that is YAML as well, which not all JSON is.

    To YAML a raw U+2028 is a line break, and an escaped pair of surrogates, as JSON writes an
    emoji, an error.
    """
    text = json.dumps(model, ensure_ascii=False)
    return _BEYOND_ASCII.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def pinned(model: Model, images: Mapping[str, str]) -> Model:
    """`model` with the image of each service in `images` replaced by a digest or an image's id.

    `pull_policy` goes with it: an id cannot be pulled, and `always` would try.
    """

    def pin(name: str, service: Service) -> Service:
        return {**without(service, "pull_policy"), "image": images[name]}

    return changed(model, images, pin)


def with_nginx_dir(model: Model, placeholder: str, real: str) -> Model:
    """`model` with `real` wherever a bind's source is `placeholder` or lies below it."""

    def move(path: str) -> str:
        is_ours = path == placeholder or path.startswith(f"{placeholder}/")
        return real + path.removeprefix(placeholder) if is_ours else path

    return changed(model, model["services"], lambda _, service: _with_binds(service, move))


def with_bind_sources(model: Model, app: Collection[str], sources: Mapping[str, str]) -> Model:
    """`model` with `app`'s binds, and the files of its configs and secrets, moved as in `sources`.

    A config or secret that a backing service uses too stays, and so does its every bind.
    """

    def move(path: str) -> str:
        return sources.get(path, path)

    backing = backing_order(model, app)
    files = {}
    for kind in FILES:
        own = used(model, kind, app).keys() - used(model, kind, backing).keys()
        known = model.get(kind, {}).items()
        files[kind] = {k: _moved(d, "file", move) if k in own else d for k, d in known}
    return {**changed(model, app, lambda _, service: _with_binds(service, move)), **files}


def plain_model(
    model: Model,
    app: Collection[str],
    release_id: str,
    project: str,
    counts: Mapping[str, int],
) -> Model:
    """`model` under its own names, `app` labelled and scaled; backing services as they are.

    Start `app` from it with `--no-deps`, or compose may recreate a backing service.
    """

    def labelled(name: str, service: Service) -> Service:
        count = counts.get(name, replicas(model, name))
        labels = _labels(project, name, release_id, PLAIN)
        return _scaled(_labelled(without(service, "build"), labels), count)

    return {**changed(consistent(model), app, labelled), "name": project}


def slot_model(
    model: Model,
    app: Collection[str],
    slot: str,
    release_id: str,
    project: str,
    counts: Mapping[str, int],
) -> Model:
    """`app` alone, as `<service>-<slot>` of the compose project `<project>-releases`, on the
    networks and volumes of `project`, where it still answers to its own name."""
    services = {}
    for name in app:
        count = counts.get(name, replicas(model, name))
        labels = _labels(project, name, release_id, slot)
        service = _labelled(_in_slot(name, model["services"][name]), labels)
        services[f"{name}-{slot}"] = _scaled(service, count)
    there = {kind: external(used(model, kind, app)) for kind in ("networks", "volumes")}
    files = {kind: used(model, kind, app) for kind in FILES}
    return {"name": f"{project}-releases", "services": services, **there, **files}


def external(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """These networks or volumes as something that is there, and that compose leaves alone."""
    return {key: {"name": each["name"], "external": True} for key, each in definitions.items()}


def backing_model(model: Model, app: Collection[str]) -> Model:
    """`model` with no replica of `app`: what to start backing services from, without `--no-deps`.

    compose of this age counts `depends_on` to a service's hash, and `--no-deps` takes it out: an
    nginx started that way is recreated by the team's next `docker compose up -d`. A dependency
    scaled to nothing stays in the hash, and is not waited for.

    compose removes what is more than that scale: only for a project without containers of `app`
    under its own name. For others the full model, with `--no-deps`.
    """

    def absent(_: str, service: Service) -> Service:
        return {**_scaled(without(service, "build"), 0), "pull_policy": "never"}

    return changed(consistent(model), app, absent)


def resources_model(model: Model, app: Collection[str]) -> Model:
    """A model whose `up --no-start` creates the networks and volumes of `app`, and no container.

    compose has to create them itself: it refuses a network without its labels, and nobody else
    knows all of its options.
    """
    networks, volumes = (used(model, kind, app) for kind in ("networks", "volumes"))
    placeholder = {
        "image": "scratch",
        "pull_policy": "never",
        "scale": 0,
        "networks": dict.fromkeys(networks),
        "volumes": [{"type": "volume", "source": key, "target": f"/{key}"} for key in volumes],
    }
    services = {"releasekit-resources": placeholder}
    return {"name": model["name"], "services": services, "networks": networks, "volumes": volumes}


# The parts of it


def _labels(project: str, service: str, release_id: str, slot: str) -> dict[str, str]:
    return {
        PROJECT: project,
        SERVICE: service,
        RELEASE: release_id,
        SLOT: slot,
    }


def _labelled(service: Service, labels: Mapping[str, str]) -> Service:
    return {**service, "labels": {**service.get("labels", {}), **labels}}


def _scaled(service: Service, count: int) -> Service:
    """`service` with `count` replicas; compose refuses a `deploy.replicas` that says otherwise."""
    if "deploy" in service:
        service = {**service, "deploy": without(service["deploy"], "replicas")}
    return {**service, "scale": count}


def _in_slot(name: str, service: Service) -> Service:
    kept = without(service, *_NOT_IN_A_SLOT)
    if "networks" not in kept:
        return kept
    networks = {key: _with_alias(options or {}, name) for key, options in kept["networks"].items()}
    return {**kept, "networks": networks}


def _with_alias(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    others = [alias for alias in options.get("aliases", []) if alias != name]
    return {**options, "aliases": [*others, name]}


def _with_binds(service: Service, move: Callable[[str], str]) -> Service:
    if not binds_of(service):
        return service
    mounts = service["volumes"]
    moved = [_moved(m, "source", move) if m["type"] == "bind" else m for m in mounts]
    return {**service, "volumes": moved}


def _moved(item: Mapping[str, Any], key: str, move: Callable[[str], str]) -> Mapping[str, Any]:
    """`item` with the path at `key` where `move` puts it; to the byte the same if it stays."""
    path = real(item.get(key, ""))
    moved = move(path)
    return item if moved == path else {**item, key: moved.replace("$", "$$")}
