"""How much a pull has to fetch, as the registry tells before it is begun."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from releasekit.compose.docker import Docker
from releasekit.errors import DeadlineExceeded

Manifest = Mapping[str, Any]
ASK_S = 5.0
"""It is worth no long wait: the pull itself tells when there is no room."""
_LOOPBACK = ("127.", "localhost:")
"""Registries that Docker itself asks without TLS."""


def pull_sizes(docker: Docker, images: Sequence[str]) -> dict[str, int]:
    """The bytes of each image's layers as they are fetched, compressed; without those of which
    the registry does not tell in time."""
    platform = docker.ask("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}").strip()
    found: dict[str, int] = {}
    with suppress(DeadlineExceeded):  # who does not answer is not asked again
        for image in images:
            size = _size(docker, image, platform)
            found |= {image: size} if size is not None else {}
    return found


def _size(docker: Docker, image: str, platform: str) -> int | None:
    manifest = _manifest(docker, image)
    digest = platform_digest(manifest, platform)
    if digest:
        manifest = _manifest(docker, f"{_repository(image)}@{digest}")
    return layers_size(manifest)


def _manifest(docker: Docker, image: str) -> Manifest:
    """What the registry answers; empty when it has no such image, or tells nobody."""
    insecure = ["--insecure"] if image.startswith(_LOOPBACK) else []
    done = docker.run(["manifest", "inspect", *insecure, image], deadline_s=ASK_S)
    try:
        found = json.loads(done.stdout) if done.status == 0 else {}
    except ValueError:
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
