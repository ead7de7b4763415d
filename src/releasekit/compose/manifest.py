"""How much a pull has to fetch, as the registry tells before it is begun."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from releasekit.compose.docker import QUICK_S, Docker
from releasekit.errors import DeadlineExceeded

Manifest = Mapping[str, Any]
_LOOPBACK = ("127.", "localhost:")
"""Registries that Docker itself asks without TLS."""


def pull_sizes(docker: Docker, images: Sequence[str]) -> dict[str, int]:
    """The bytes of each image's layers as they are fetched, compressed; without those of which
    the registry does not tell in time."""
    platform = docker.ask("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}").strip()
    sizes = ((image, _size(docker, image, platform)) for image in images)
    return {image: size for image, size in sizes if size is not None}


def _size(docker: Docker, image: str, platform: str) -> int | None:
    manifest = _manifest(docker, image)
    digest = platform_digest(manifest, platform)
    if digest:
        manifest = _manifest(docker, f"{_repository(image)}@{digest}")
    return layers_size(manifest)


def _manifest(docker: Docker, image: str) -> Manifest:
    """What the registry answers; empty when it does not."""
    insecure = ["--insecure"] if image.startswith(_LOOPBACK) else []
    try:
        done = docker.run(["manifest", "inspect", *insecure, image], deadline_s=QUICK_S)
        found = json.loads(done.stdout) if done.status == 0 else {}
    except (DeadlineExceeded, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def platform_digest(manifest: Manifest, platform: str) -> str:
    """Where the manifest for this platform ("linux/amd64") is, in one for several; else ""."""
    for each in manifest.get("manifests") or ():
        of = each.get("platform") or {}
        if f"{of.get('os')}/{of.get('architecture')}" == platform:
            return str(each["digest"])
    return ""


def layers_size(manifest: Manifest) -> int | None:
    """The bytes of its layers; None for what is no image's manifest."""
    layers = manifest.get("layers")
    return sum(int(layer["size"]) for layer in layers) if layers else None


def _repository(image: str) -> str:
    """An image's name without tag and digest; a registry's port is no tag."""
    name = image.partition("@")[0]
    head, _, tag = name.rpartition(":")
    return head if head and "/" not in tag else name
