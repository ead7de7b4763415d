"""For authors of strategies: a host in memory, and a simulator that runs plans on it."""

from releasekit.testing.fakes import (
    App,
    Container,
    FakeClock,
    FakeEngine,
    FakeHost,
    FakeRouter,
    Fault,
    Killed,
    World,
)
from releasekit.testing.simulator import Ended, Simulator

__all__ = [
    "App",
    "Container",
    "Ended",
    "FakeClock",
    "FakeEngine",
    "FakeHost",
    "FakeRouter",
    "Fault",
    "Killed",
    "Simulator",
    "World",
]
