"""How many worlds all that was, and in what time: the last of these files, by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from releasekit.testing import SIMULATED

LEAST = 10_000
MOST_S = 60.0


def test_ten_thousand_worlds_are_simulated_in_a_minute(
    request: pytest.FixtureRequest, spent: float
) -> None:
    """Only when all of these tests run: a selection of them simulates less."""
    collected = {item.path for item in request.session.items}
    here = {*Path(__file__).parent.glob("test_*.py")}
    if not here <= collected or request.config.option.keyword or request.config.option.lf:
        pytest.skip("not all of the simulation runs")
    assert SIMULATED["worlds"] >= LEAST
    assert spent < MOST_S
