"""The two sides of a comparison: a shop that releasekit releases, and one that a script does."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
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


class Kit(Shop):
    """A shop whose settings are all in its file, as a team's are, and none in variables."""

    def environment(self, **environ: str) -> dict[str, str]:
        everything = super().environment(**environ)
        given = {name: v for name, v in everything.items() if not name.startswith("RELEASEKIT_")}
        return {**given, **self.environ}

    def settle(self, top: str = "", web: str = "", tables: str = "") -> None:
        """Have these settings beside those that never change."""
        text = SETTINGS.format(name=self.name, state=self.state, top=top, web=web, tables=tables)
        (self.folder / "releasekit.toml").write_text(text)

    def release(self, sha: str) -> Phases:
        began = time.perf_counter()
        done = timed([RELEASEKIT, "up", "--json", sha], self.folder, self.environment())
        wall = time.perf_counter() - began
        phases: Phases = defaultdict(float)
        for event in map(json.loads, done.splitlines()):
            if event["event"] == "step_ended":
                phases[event["step"]["step"]] += event["seconds"]
        return {"before, after": wall - sum(phases.values()), **phases, "wall": wall}


class Floor(Shop):
    """A shop that releasekit brought up once, and that scripts alone release from then on."""

    def hand_over(self, sha: str) -> None:
        self.up(sha).ended(0)
        docker("rm", "--force", *self.app())
        (self.nginx_dir / "releasekit.conf").unlink()

    def script(self, name: str, *arguments: object) -> Phases:
        given = {"NGINX_DIR": str(self.nginx_dir), "FLOOR_YAML": str(HERE / "floor.yaml")}
        began = time.perf_counter()
        said = timed(
            [str(HERE / name), *map(str, arguments)],
            self.folder,
            {**os.environ, "PROJECT": self.name, **given},
        )
        wall = time.perf_counter() - began
        phases: Phases = defaultdict(float)
        for phase, seconds in map(str.split, said.splitlines()):
            phases[phase] += float(seconds)
        return {**phases, "wall": wall}

    def clear(self) -> None:
        """Remove what the scripts started."""
        for slot in SLOTS:
            label = f"label=com.docker.compose.project={self.name}-floor-{slot}"
            if found := docker("ps", "-aq", "--filter", label).split():
                docker("rm", "--force", *found)

    def remove(self) -> None:
        self.clear()
        super().remove()


@contextmanager
def pair(*, web_alone: bool = False) -> Iterator[tuple[Kit, Floor]]:
    """Both sides, each with two commits and nothing running yet; gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        for side in ("kit", "floor"):
            Path(folder, side).mkdir()
        with Kit.opened(Path(folder, "kit")) as kit, Floor.opened(Path(folder, "floor")) as floor:
            for shop in (kit, floor):
                if web_alone:
                    shop.edit("compose.yaml", "  worker:\n", '  worker:\n    profiles: ["none"]\n')
                    shop.edit("releasekit.toml", "[services.worker]\n", "")
                    shop.commit("Have no worker")
                shop.commit("Say what is new", headline="New")
            kit.settle()
            yield kit, floor


def shas(shop: Shop) -> tuple[str, str]:
    """The two commits that are released to and fro."""
    return shop.git("rev-parse", "main~1"), shop.git("rev-parse", "main")


def timed(argv: list[str], folder: Path, environ: dict[str, str]) -> str:
    """Run what is measured; its standard output."""
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
