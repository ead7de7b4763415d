"""The two sides of a comparison: a shop that releasekit releases, and one that a script does.

Each releases its three commits in turn. With two, blue-green would find the containers of the
next release stopped in its slot, and only had to start them.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, cycle, pairwise
from pathlib import Path

from tests.e2e.shop import RELEASEKIT, Shop, docker

HERE = Path(__file__).parent
DEADLINE_S = 600.0
SLOTS = ("blue", "green")
SETTINGS = """\
project = "{name}"
state_dir = "{state}"
compose = ["compose.yaml", "compose.prod.yaml"]
env_file = "shop.env"
{top}

[services.web]
port = 8080
health = {{ path = "/up", timeout = "120s" }}
{web}

{tables}
"""

Phases = dict[str, float]
"""Seconds by what they were spent on, and "wall": all of them."""


class Side(Shop):
    @cached_property
    def commits(self) -> Iterator[str]:
        """What is to be released, one after the other."""
        return cycle(self.git("rev-parse", "main~2", "main~1", "main").split())


class Kit(Side):
    """Its settings are all in its file, as a team's are, and none in variables."""

    def environment(self, **environ: str) -> dict[str, str]:
        everything = super().environment(**environ)
        given = {name: v for name, v in everything.items() if not name.startswith("RELEASEKIT_")}
        return {**given, **self.environ}

    def settle(self, top: str = "", web: str = "", tables: str = "") -> None:
        """Have these settings beside those that never change."""
        text = SETTINGS.format(name=self.name, state=self.state, top=top, web=web, tables=tables)
        (self.folder / "releasekit.toml").write_text(text)

    def release(self) -> Phases:
        began = time.perf_counter()
        argv = [RELEASEKIT, "up", "--json", next(self.commits)]
        said = output(argv, self.folder, self.environment())
        wall = time.perf_counter() - began
        phases: Phases = defaultdict(float)
        for event in map(json.loads, said.splitlines()):
            if event["event"] == "step_ended":
                phases[event["step"]["step"]] += event["seconds"]
        return {"before, after": wall - sum(phases.values()), **phases, "wall": wall}


class Floor(Side):
    """It was brought up by releasekit once; scripts alone release it from then on."""

    @cached_property
    def slots(self) -> Iterator[tuple[str, str]]:
        """The old and the new one of each release."""
        return pairwise(chain(["none"], cycle(SLOTS)))

    def hand_over(self) -> None:
        self.up(next(self.commits)).ended(0)
        docker("rm", "--force", *self.app())
        (self.nginx_dir / "releasekit.conf").unlink()

    def release(self, script: str, *arguments: object) -> Phases:
        """Run a script that releases the next commit from one slot to the other."""
        return self.run_script(script, next(self.commits), *next(self.slots), *arguments)

    def scale(self, replicas: int) -> Phases:
        """Run the script that has compose bring the next commit up in place."""
        return self.run_script("floor_scale.sh", next(self.commits), replicas)

    def run_script(self, script: str, *arguments: object) -> Phases:
        given = {"NGINX_DIR": str(self.nginx_dir), "FLOOR_YAML": str(HERE / "floor.yaml")}
        argv = [str(HERE / script), *map(str, arguments)]
        began = time.perf_counter()
        said = output(argv, self.folder, {**os.environ, "PROJECT": self.name, **given})
        wall = time.perf_counter() - began
        phases: Phases = defaultdict(float)
        for phase, seconds in map(str.split, said.splitlines()):
            phases[phase] += float(seconds)
        return {**phases, "wall": wall}

    def remove(self) -> None:
        for slot in SLOTS:
            label = f"label=com.docker.compose.project={self.name}-floor-{slot}"
            if found := docker("ps", "-aq", "--filter", label).split():
                docker("rm", "--force", *found)
        super().remove()


@contextmanager
def pair(*, web_alone: bool = False) -> Iterator[tuple[Kit, Floor]]:
    """Both sides, with their commits built and nothing running yet; gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        for side in ("kit", "floor"):
            Path(folder, side).mkdir()
        with Kit.opened(Path(folder, "kit")) as kit, Floor.opened(Path(folder, "floor")) as floor:
            for shop in (kit, floor):
                if web_alone:
                    shop.edit("compose.yaml", "  worker:\n", '  worker:\n    profiles: ["none"]\n')
                    shop.edit("releasekit.toml", "[services.worker]\n", "")
                for word in ("new", "newer", "newest"):
                    shop.commit(f"Say what is {word}", headline=word)
            kit.settle()
            yield kit, floor


def output(argv: list[str], folder: Path, environ: dict[str, str]) -> str:
    """Run it; its standard output."""
    done = subprocess.run(
        argv,
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout
