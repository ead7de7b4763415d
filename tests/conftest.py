"""What all tests share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from functools import cache

import pytest

# Here, before anybody imports them: their assertions tell what they compared.
pytest.register_assert_rewrite("tests.contract.nginx_stage", "tests.e2e.lives", "tests.e2e.shop")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """There is no umask in the fault lane: what others cannot read there, releasekit has closed."""
    if not item.get_closest_marker("faults"):
        return (yield)
    before = os.umask(0)
    try:
        return (yield)
    finally:
        os.umask(before)


@pytest.fixture(autouse=True)
def needs_engine(request: pytest.FixtureRequest) -> None:
    """An `e2e` test fails without a Docker engine: skipped, it would prove nothing."""
    if request.node.get_closest_marker("e2e") and (complaint := engine_complaint()):
        pytest.fail(f"no Docker engine answers (`make engine`): {complaint}", pytrace=False)


@cache
def engine_complaint() -> str:
    """What docker says when its engine does not answer, else ""."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""
