"""For authors of strategies: a host in memory, a simulator that runs plans on it, and the tests
that every strategy has to pass. The last need `pip install releasekit[testing]`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from releasekit.testing.fakes import FakeEngine, FakeHost, FakeRouter
from releasekit.testing.found import Start, There
from releasekit.testing.simulator import SIMULATED, Ended, Simulator
from releasekit.testing.world import App, Container, FakeClock, Fault, Killed, Moment, World

if TYPE_CHECKING:
    from releasekit.testing.contract import StrategyContract
    from releasekit.testing.story import Story
    from releasekit.testing.trials import Trial

__all__ = [
    "SIMULATED",
    "App",
    "Container",
    "Ended",
    "FakeClock",
    "FakeEngine",
    "FakeHost",
    "FakeRouter",
    "Fault",
    "Killed",
    "Moment",
    "Simulator",
    "Start",
    "Story",
    "StrategyContract",
    "There",
    "Trial",
    "World",
]

_HOMES = {
    "Story": "story",
    "StrategyContract": "contract",
    "Trial": "trials",
}
"""The modules that need hypothesis: they are imported when they are asked for (PEP 562)."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"releasekit.testing.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'releasekit.testing' has no attribute {name!r}")
