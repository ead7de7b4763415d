"""Counts what is simulated, and how long that takes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from releasekit.testing import SIMULATED

SPENT = {"seconds": 0.0}
"""In tests that simulate worlds; of this process's own time: what else the machine does has no
say."""


@pytest.fixture(autouse=True)
def timed() -> Iterator[None]:
    began, worlds = time.process_time(), SIMULATED["worlds"]
    yield
    if SIMULATED["worlds"] > worlds:
        SPENT["seconds"] += time.process_time() - began


@pytest.fixture
def spent() -> float:
    return SPENT["seconds"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if SIMULATED["worlds"]:
        terminalreporter.write_line(
            f"simulated {SIMULATED['worlds']:,} worlds and {SIMULATED['runs']:,} runs in them, "
            f"in {SPENT['seconds']:.1f} s"
        )
