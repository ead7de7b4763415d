"""A cutover in a process of its own, which is killed before its n-th operation.

    python -m tests.contract.cutover N WORLD...

Operations are those that the kernel sees: a process that is started, a file of the managed folder
that is opened, renamed, linked or removed; with a negative N only the latter count.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from releasekit.nginx.router import Bake
from releasekit.observed import Upstream
from tests.contract.nginx_stage import DockerContainer, Stage, World, eventually
from tests.faults.killing import OF_FILES, OF_PROCESSES, kill_at


@dataclass(frozen=True)
class Scene:
    """All that another process needs to know of a `World`, and whom to route to."""

    prefix: str
    ports: dict[str, int]
    container: str
    image: str
    folder: str
    replicas: tuple[str, ...]
    log: str
    """Where nginx logs for a bake, "" when there is none."""

    @classmethod
    def of(cls, world: World, upstream: Upstream, log: str = "") -> Scene:
        stage, container = world.stage, world.container
        return cls(
            stage.prefix,
            stage.ports,
            container.name,
            container.image,
            str(world.folder),
            upstream.replicas,
            log,
        )

    @property
    def argv(self) -> str:
        return json.dumps(asdict(self))


def killed_before(operation: int, folder: str) -> None:
    """Have this process killed before its so-manieth operation; none but those on files count when
    it is negative."""

    def is_ours(event: str, args: tuple[Any, ...]) -> bool:
        is_of_file = event in OF_FILES and str(args[0]).startswith(folder)
        return is_of_file or (operation > 0 and event in OF_PROCESSES)

    kill_at(abs(operation), is_ours)


def main(operation: str, text: str) -> None:
    scene = Scene(**json.loads(text))
    container = DockerContainer(scene.container, scene.prefix, scene.image)
    stage = Stage(scene.prefix, scene.prefix, scene.ports)
    bake = Bake(scene.log, 5.0) if scene.log else None
    world = World(stage, container, Path(scene.folder), bake)
    killed_before(int(operation), str(world.managed.parent))
    world.router.apply([Upstream("web", tuple(scene.replicas))])
    eventually(world.router.unconfirmed)


if __name__ == "__main__":
    main(*sys.argv[1:])
