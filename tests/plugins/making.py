"""Plugins as pip leaves them: installed for real, or written as a folder that looks like it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from secrets import token_hex
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
CANARY = ROOT / "examples" / "canary"

HEAD = """
from releasekit import BlueGreen, Options, Plan
from releasekit.steps import *
from dataclasses import replace

class Plugin:
    name = {name!r}
    summary = "does what it is told"
    has_downtime = False
    needs_health = True
    options = Options

    def plan(self, observed, target, options):
        good = BlueGreen().plan(observed, target, BlueGreen.options())
        return replace(good, strategy=self.name)
"""


def pip_install(source: Path, into: Path) -> Path:
    """Build the distribution in `source` and install it into a folder, from nothing but here."""
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", *options]
    done = subprocess.run(
        [*command, "--target", str(into), str(source)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return into


def write_plugin(
    folder: Path, name: str, *changes: str, origin: str = "", entry: str = ":Plugin"
) -> Path:
    """A distribution in `folder` whose strategy is `Plugin` as `HEAD` has it, then changed by
    these lines of Python; `entry` is what its entry point names in the module."""
    origin = origin or f"{name}-plugin"
    # A module of its own: one that hangs while it is imported keeps its name in this process.
    module = f"{origin}_{token_hex(4)}".replace("-", "_")
    folder.mkdir(parents=True, exist_ok=True)
    code = [HEAD.format(name=name), *map(dedent, changes)]
    (folder / f"{module}.py").write_text("\n".join(code))
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {origin}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[releasekit.strategies]\n{name} = {module}{entry}\n")
    return folder
