"""`examples/canary`: a package that a stranger could have written, installed and used as one."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import releasekit
from releasekit import testing
from tests.plugins.making import CANARY, pip_install

RELEASEKIT = str(Path(sys.executable).with_name("releasekit"))
PUBLIC = {
    "releasekit": releasekit.__all__,
    "releasekit.steps": None,  # all of it
    "releasekit.testing": testing.__all__,
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pip_install(CANARY, tmp_path_factory.mktemp("canary"))


def run(*argv: str, installed: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "80"}
    return subprocess.run(
        argv, cwd=installed, env=environ, capture_output=True, text=True, timeout=280, check=False
    )


def imported() -> Iterator[tuple[str, str]]:
    """What the package and its tests import of releasekit: modules and names."""
    for path in sorted(CANARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                yield from ((node.module or "", alias.name) for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)


def test_it_uses_public_names_only() -> None:
    used = {(m, n) for m, n in imported() if m.partition(".")[0] == "releasekit"}
    assert used
    for module, name in used:
        assert module in PUBLIC, module
        assert PUBLIC[module] is None or name in PUBLIC[module], name


def test_its_own_tests_pass_as_installed(installed: Path) -> None:
    options = ["-q", "-c", os.devnull, "-p", "no:cacheprovider"]
    done = run(sys.executable, "-m", "pytest", *options, str(CANARY / "tests"), installed=installed)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_listed_with_its_origin_and_options(installed: Path) -> None:
    told = run(RELEASEKIT, "strategies", installed=installed)
    assert (told.returncode, told.stderr) == (0, "")
    assert "canary  (no downtime, from releasekit-canary)\n" in told.stdout
    assert "    steps = [5, 25, 50]\n" in told.stdout
    assert "    pause = 30.0\n" in told.stdout
    result = json.loads(run(RELEASEKIT, "strategies", "--json", installed=installed).stdout)
    (canary,) = [each for each in result["strategies"] if each["name"] == "canary"]
    assert (canary["origin"], canary["problem"]) == ("releasekit-canary", "")
    assert {o["name"]: o["default"] for o in canary["options"]} == {
        "keep_previous": "stopped",
        "steps": [5, 25, 50],
        "pause": 30,
    }
    assert all(option["summary"] for option in canary["options"])


def test_completion_knows_it(installed: Path) -> None:
    environ = {
        "_RELEASEKIT_COMPLETE": "complete_bash",
        "COMP_WORDS": "releasekit up --strategy can",
        "COMP_CWORD": "3",
    }
    assignments = [f"{name}={value}" for name, value in environ.items()]
    done = run("env", *assignments, RELEASEKIT, installed=installed)
    assert done.stdout.split() == ["canary"]
