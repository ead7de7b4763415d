"""The engine restarts in the midst of a release, and takes all containers with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.shop import ROOT
from tests.faults.own_engine import OwnEngine

LONG_S = 1200


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start an engine of its own")
def test_an_engine_or_a_machine_that_restarts_amid_a_release_serves_and_one_command_ends_well(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("own")  # short: the path of a socket has 107 characters
    program = Path(__file__).with_name("restarts.py")
    with OwnEngine.opened(folder) as engine:
        environ = {**os.environ, "DOCKER_HOST": engine.address, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            engine.inside(sys.executable, str(program), str(folder)),
            env=environ,
            capture_output=True,
            text=True,
            timeout=LONG_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
