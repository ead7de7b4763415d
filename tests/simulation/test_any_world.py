"""Our own strategies, alone and several in one release, hold what every strategy has to."""

from __future__ import annotations

from typing import ClassVar

import pytest

from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import Rolling, RollingOptions
from releasekit.testing import StrategyContract
from tests.simulation.starts import BLUE_GREEN, RECREATE, ROLLING, WARM

pytestmark = pytest.mark.timeout(120)


class TestBlueGreen(StrategyContract):
    strategy = BlueGreen()
    worlds = 95
    options = (
        BlueGreenOptions(),
        BlueGreenOptions(keep_previous="running"),
        BlueGreenOptions(keep_previous="removed"),
    )


class TestRecreate(StrategyContract):
    strategy = Recreate()
    worlds = 95


class TestRolling(StrategyContract):
    strategy = Rolling()
    worlds = 95
    options = (
        RollingOptions(),
        RollingOptions(max_surge=2, max_unavailable=1),
        RollingOptions(max_surge="25%", max_unavailable="50%"),
        RollingOptions(max_surge=0, max_unavailable=1),
        RollingOptions(max_surge="100%"),
    )


class TestBlueGreenBesideOthers(StrategyContract):
    strategy = BlueGreen()
    worlds = 48
    services: ClassVar = {"worker": RECREATE, "api": ROLLING}


class TestRecreateBesideOthers(StrategyContract):
    strategy = Recreate()
    worlds = 48
    services: ClassVar = {"web": WARM}


class TestRollingBesideOthers(StrategyContract):
    strategy = Rolling()
    worlds = 48
    services: ClassVar = {"web": BLUE_GREEN, "cron": RECREATE}
