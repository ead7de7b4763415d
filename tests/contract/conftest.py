"""The stage of nginx's contract tests."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from releasekit.observed import Upstream
from tests.contract.nginx_stage import (
    BACKEND,
    NEW,
    OLD,
    USER,
    DockerContainer,
    Stage,
    World,
    docker,
    remove,
    serve,
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    prefix = f"rk-test-{secrets.token_hex(4)}"
    networks = [prefix, f"{prefix}-far"]
    stage = Stage(prefix, prefix, {})
    try:
        for network in networks:
            docker("network", "create", network)
        # Two releases need not listen on the same port.
        for name, port, network in (
            (stage.blue, 8080, prefix),
            (stage.green, 9090, prefix),
            (stage.far, 8080, f"{prefix}-far"),
        ):
            stage.ports[name] = port
            folder = tmp_path_factory.mktemp(name)
            (folder / "default.conf").write_text(BACKEND % (port, "x" * 3000))
            serve(name, network, folder)
        yield stage
    finally:
        remove(*stage.ports)
        subprocess.run(["docker", "network", "rm", *networks], capture_output=True, timeout=60)


@pytest.fixture(params=[NEW, pytest.param(OLD, marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, stage: Stage, tmp_path: Path) -> Iterator[World]:
    image = f"releasekit-base/nginx:{request.param}"
    container = DockerContainer(f"{stage.prefix}-nginx", stage.network, image)
    for name in ("conf.d", "releasekit"):
        (tmp_path / name).mkdir()
    world = World(stage, container, tmp_path)
    world.user_file(USER)
    world.create()
    try:
        yield world
    finally:
        remove(container.name)


@pytest.fixture
def blue(world: World) -> Upstream:
    return Upstream("web", (world.stage.blue,))


@pytest.fixture
def green(world: World) -> Upstream:
    return Upstream("web", (world.stage.green,))


@pytest.fixture
def far(world: World) -> Upstream:
    return Upstream("web", (world.stage.far,))
