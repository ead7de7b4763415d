"""The compose model: what `docker compose config --format json` printed, and what it says.

Pure: plain data in, plain data out, no argument is changed. The model stays in compose's own
writing (a `$` is `$$`), so that what `compose.transform` makes of it can be fed back to compose as
it is; paths that come in or go out on their own are real paths.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

Model = Mapping[str, Any]
Service = Mapping[str, Any]

FILES = ("configs", "secrets")
_UNSET = re.compile(r'The \\?"([^"\\]+)\\?" variable is not set')


# What the model says


def app_services(model: Model, tag: str, named: Collection[str] = ()) -> tuple[str, ...]:
    """The services that a release replaces, dependencies first: those whose image carries `tag`,
    that have `build`, or that are `named`."""
    return tuple(
        name
        for name, service in _in_order(model)
        if name in named or "build" in service or image_of(service)[1] == tag
    )


def backing_order(model: Model, app: Collection[str]) -> tuple[str, ...]:
    """The services that are not `app`, dependencies first."""
    return tuple(name for name, _ in _in_order(model) if name not in app)


def app_order(model: Model, app: Collection[str]) -> dict[str, frozenset[str]]:
    """For each of `app` all others of them that it depends on, directly or through others."""
    services = consistent(model)["services"]
    found: dict[str, frozenset[str]] = {}
    for name, service in _in_order(model):  # dependencies first
        needed = {n for d in service.get("depends_on", {}) for n in (d, *found[d])}
        found[name] = frozenset(needed)
    return {name: found[name] & {*app} for name in services if name in app}


def exposed_port(model: Model, service: str) -> int | None:
    """The one TCP port that `service` exposes, else the one that its `ports` lead to; None when
    there is none or several. What its image exposes by itself is not visible here."""
    config = model["services"][service]
    exposed = {port.removesuffix("/tcp") for port in map(str, config.get("expose", []))}
    published = (p for p in config.get("ports", []) if p.get("protocol", "tcp") == "tcp")
    ports = exposed or {str(port["target"]) for port in published}
    return int(ports.pop()) if len(ports) == 1 and all(map(str.isdecimal, ports)) else None


def replicas(model: Model, service: str) -> int:
    """How many replicas the compose file itself asks for."""
    config = model["services"][service]
    return int(config.get("scale", config.get("deploy", {}).get("replicas", 1)))


def has_healthcheck(model: Model, service: str, *, in_image: bool = False) -> bool:
    """Whether Docker checks its health: as the compose file says, else as its image does, which
    is not visible here."""
    check = model["services"][service].get("healthcheck", {})
    test = check.get("test") or ([] if in_image else ["NONE"])
    return not check.get("disable") and test[:1] != ["NONE"]


def comes_back(model: Model, service: str) -> bool:
    """Whether Docker starts its containers again after a reboot."""
    config = model["services"][service]
    policy = config.get("deploy", {}).get("restart_policy")
    if policy is not None:
        return policy.get("condition", "any") in ("any", "unless-stopped")
    return config.get("restart") in ("always", "unless-stopped")


def one_shots(model: Model, app: Collection[str]) -> tuple[str, ...]:
    """The services of `app` that another service waits for to end: no replica of them stays."""
    waits = (
        (other, how.get("condition"))
        for service in model["services"].values()
        for other, how in service.get("depends_on", {}).items()
    )
    ends = {other for other, condition in waits if condition == "service_completed_successfully"}
    return tuple(sorted(ends & set(app)))


def bind_sources(model: Model, app: Collection[str]) -> tuple[str, ...]:
    """The files and folders of the host that `app` only reads: its read-only binds, and the files
    of its configs and secrets. What it may write to is data, and no part of a release."""
    mounts = [m for name in app for m in model["services"][name].get("volumes", ())]
    read = [m for m in mounts if m["type"] == "bind" and m.get("read_only")]
    paths = {real(mount["source"]) for mount in read}
    for kind in FILES:
        files = used(model, kind, app).values()
        paths.update(real(definition["file"]) for definition in files if "file" in definition)
    return tuple(sorted(paths))


def app_only_resources(
    model: Model, app: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The real names of the networks and of the volumes that only `app` uses.

    compose does not create them with backing services alone; `resources_model` is how to.
    """
    backing = backing_order(model, app)

    def names(kind: str) -> tuple[str, ...]:
        shared = used(model, kind, backing)
        every = used(model, kind, app).items()
        own = (definition for key, definition in every if key not in shared)
        return tuple(sorted(d["name"] for d in own if not d.get("external")))

    return names("networks"), names("volumes")


def config_digest(
    model: Model,
    app: Collection[str],
    images: Mapping[str, str],
    file_hashes: Mapping[str, str],
) -> str:
    """The identity of what `app` runs as: configuration, images (by service), hashes of mounted
    files (by path) and definitions of what it uses; nothing of a backing service.

    Compute it before sources are moved into a bundle. `build` is left out: it names the checkout
    of the moment, and the image says more.
    """
    services = {name: model["services"][name] for name in app}
    facts = {
        "services": {name: without(s, "build", "image") for name, s in services.items()},
        "images": {name: images.get(name, s.get("image")) for name, s in services.items()},
        "files": dict(file_hashes),
        **{kind: used(model, kind, app) for kind in ("networks", "volumes", *FILES)},
    }
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def unset_variables(stderr: str) -> tuple[str, ...]:
    """The variables that compose warned of as not set: it goes on with blanks, and exits 0."""
    return tuple(sorted(set(_UNSET.findall(stderr))))


def nginx_target(model: Model, service: str, nginx_dir: str) -> str | None:
    """Where `service` sees `nginx_dir`; None when it does not."""
    binds = binds_of(model["services"][service])
    return next((target for source, target in binds if source == nginx_dir), None)


# The parts of it


def _in_order(model: Model) -> Iterator[tuple[str, Service]]:
    """All services, dependencies first, else by name. compose itself has turned `links`,
    `volumes_from` and `network_mode: service:…` into `depends_on`."""
    services = consistent(model)["services"]
    sorter = TopologicalSorter({name: s.get("depends_on", {}) for name, s in services.items()})
    sorter.prepare()
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        yield from ((name, services[name]) for name in ready)
        sorter.done(*ready)


def consistent(model: Model) -> Model:
    """`model` without dependencies on absent services.

    compose prints an optional one on a service of a disabled profile, refuses to read that again,
    and leaves it out of the hash itself.
    """
    present = model["services"].keys()

    def cut(_: str, service: Service) -> Service:
        if service.get("depends_on", {}).keys() <= present:
            return service
        kept = {name: how for name, how in service["depends_on"].items() if name in present}
        return {**service, "depends_on": kept}

    return changed(model, present, cut)


def changed(
    model: Model, names: Collection[str], change: Callable[[str, Service], Service]
) -> Model:
    """`model` with each service of `names` as `change` makes it."""
    services = model["services"].items()
    return {**model, "services": {k: change(k, s) if k in names else s for k, s in services}}


def used(model: Model, kind: str, names: Iterable[str]) -> dict[str, Any]:
    """The definitions of `kind` (networks, volumes, configs, secrets) that services `names` use."""
    keys: set[str] = set()
    for service in (model["services"][name] for name in names):
        uses = service.get(kind) or {}
        if kind == "networks":
            keys.update(uses)
        elif kind == "volumes":
            keys.update(m["source"] for m in uses if m["type"] == "volume" and "source" in m)
        else:
            keys.update(use["source"] for use in uses)
    return {key: model[kind][key] for key in sorted(keys)}


def image_of(service: Service) -> tuple[str, str]:
    """(repository, tag) of the service's image. The port of a registry is no tag."""
    reference = service.get("image", "").partition("@")[0]
    repository, _, tag = reference.rpartition(":")
    return (repository, tag) if repository and "/" not in tag else (reference, "")


def binds_of(service: Service) -> list[tuple[str, str]]:
    """(source, target) of each bind mount, as real paths."""
    binds = (mount for mount in service.get("volumes", []) if mount["type"] == "bind")
    return [(real(bind["source"]), real(bind["target"])) for bind in binds]


def real(path: str) -> str:
    """A path of the model as it is on disk: unescaped, without a slash at its end."""
    return posixpath.normpath(path.replace("$$", "$"))


def without(item: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in keys}
