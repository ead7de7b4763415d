"""What keeps a resolved compose model from being released, and how to mend it. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator

from releasekit.compose.model import Model, Service, binds_of, image_of, one_shots
from releasekit.nginx.render import NAME

_FIXED_ADDRESSES = ("ipv4_address", "ipv6_address", "mac_address")


def unknown_services(model: Model, named: Iterable[str]) -> list[str]:
    """Services that settings refine and that do not exist."""
    return [
        f"[services.{name}]: the compose files have no service {name!r}; {_nearest(model, name)}"
        for name in sorted(named)
        if name not in model["services"]
    ]


def app_problems(model: Model, app: Collection[str], tag: str, tag_variable: str) -> list[str]:
    """Why no strategy can tell one release of `app` from another."""
    variable = f"${{{tag_variable}}}"
    if not app:
        return [
            f"services: nothing to release: no image uses {variable} and no service has `build`; "
            f"write `image: NAME:{variable}` at each service that a release replaces"
        ]
    problems = []
    for name in sorted(app):
        image = model["services"][name].get("image")
        repository, found = image_of(model["services"][name])
        if image is None:
            problems.append(
                f"services.{name}: has `build` but no image name; "
                f"add `image: {model['name']}-{name}:{variable}`"
            )
        elif found != tag:
            problems.append(
                f"services.{name}.image: {image} does not use {variable}, so releases of it cannot "
                f"be told apart; write `image: {repository}:{variable}`"
            )
    return problems


def name_problems(asked: Iterable[str]) -> list[str]:
    """Why nginx can have no upstream called like these services, of which compose takes more."""
    return [
        f"services.{name}: nginx can have no upstream of this name; rename the service so that it "
        "begins with a letter or digit"
        for name in sorted(asked)
        if not NAME.fullmatch(name)
    ]


def slot_problems(model: Model, app: Collection[str]) -> list[str]:
    """Why two releases of `app` cannot run side by side."""
    ends = one_shots(model, app)
    return [
        f"services.{name}.{problem}, or use the strategy `recreate`"
        for name in sorted(app)
        for problem in (
            *_only_one_can_have(name, model["services"][name]),
            *_tied_to_one(model["services"][name]),
            *_waits_for(ends, model["services"][name]),
        )
    ]


def hook_problems(model: Model, app: Collection[str], service: str) -> list[str]:
    """Why no container like one of `service` can run what a release wants run once."""
    if service not in app:
        return [
            f"hooks.pre_release.service: {service!r} is no service that a release replaces; "
            f"there are: {', '.join(sorted(app)) or 'none'}"
        ]
    tied = [t for t in _tied_to_one(model["services"][service]) if "host's network" not in t]
    return [f"hooks.pre_release.service: services.{service}.{problem}" for problem in tied]


def nginx_problems(model: Model, service: str, nginx_dir: str) -> list[str]:
    """Why the nginx in `service` would not see what releasekit writes to `nginx_dir`."""
    if service not in model["services"]:
        others = (name for name, s in model["services"].items() if "nginx" in image_of(s)[0])
        return [
            f"nginx.service: the compose files have no service {service!r}; "
            f"{_nearest(model, service)} With an nginx image: {', '.join(sorted(others)) or 'none'}"
        ]
    line = f"`- ${{RELEASEKIT_NGINX_DIR:-{nginx_dir}}}:/etc/nginx/releasekit:ro`"
    binds = binds_of(model["services"][service])
    # A mounted file is mounted by its inode: after a rename nginx goes on with the old bytes,
    # while `nginx -t` and the reload succeed.
    single = [
        f"services.{service}.volumes: {target} is a single file, and nginx would never see a new "
        f"one; mount the folder: {line}"
        for source, target in binds
        if source.startswith(f"{nginx_dir}/") or (source == nginx_dir and target.endswith(".conf"))
    ]
    if single or any(source == nginx_dir for source, _ in binds):
        return single
    return [f"services.{service}.volumes: nothing mounts {nginx_dir}; add {line}"]


def _nearest(model: Model, name: str) -> str:
    near = difflib.get_close_matches(name, sorted(model["services"]))
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are: {', '.join(sorted(model['services']))}."


def _only_one_can_have(name: str, service: Service) -> Iterator[str]:
    if "container_name" in service:
        yield f"container_name: only one container can be {service['container_name']}; remove it"
    for port in service.get("ports", []):
        if port.get("published"):
            yield (
                f"ports: only one container can publish {port['published']}; write "
                f'`expose: ["{port["target"]}"]` instead, nginx reaches {name} by its name'
            )
    if "mac_address" in service:
        yield "mac_address: only one container can have it; remove it"
    for network, options in (service.get("networks") or {}).items():
        for key in _FIXED_ADDRESSES:
            if key in (options or {}):
                yield f"networks.{network}.{key}: only one container can have it; remove it"


def _tied_to_one(service: Service) -> Iterator[str]:
    if service.get("network_mode") == "host":
        yield "network_mode: two replicas on the host's network want the same port; remove it"
    for key in ("network_mode", "ipc", "pid"):
        mode = service.get(key, "")
        if mode.startswith(("service:", "container:")):
            yield f"{key}: {mode} ties it to one container; remove it"
    if "volumes_from" in service:
        yield "volumes_from: ties it to one container; list the volumes under `volumes`"


def _waits_for(ends: Collection[str], service: Service) -> Iterator[str]:
    for other in sorted(service.get("depends_on", {}).keys() & set(ends)):
        yield (
            f"depends_on.{other}: waits for {other} to end, and what runs in a slot does not end; "
            "run it before the release"
        )
