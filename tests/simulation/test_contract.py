"""`StrategyContract`: what it tries, and what it says of a strategy that does not hold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releasekit.observed import Route
from releasekit.steps import Announce
from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import RollingOptions
from releasekit.target import Service
from releasekit.testing import Start, StrategyContract
from releasekit.testing.worlds import lived, starts
from tests.simulation.naive import Naive, without
from tests.simulation.starts import BLUE_GREEN, ROLLING


def contract(**facts: object) -> StrategyContract:
    made: StrategyContract = type("Contract", (StrategyContract,), {"worlds": 40, **facts})()
    return made


def test_its_defaults_are_tried_where_no_options_are_given() -> None:
    (chosen,) = contract(strategy=BlueGreen())._chosen
    assert chosen.options == BlueGreenOptions()


def test_options_of_another_strategy_are_no_options() -> None:
    with pytest.raises(AssertionError, match=r"RollingOptions.* is no BlueGreenOptions"):
        contract(strategy=BlueGreen(), options=(RollingOptions(),)).test_it_is_a_strategy()


def test_what_fails_tells_the_world_and_the_plan_and_what_was_lost() -> None:
    naive = Naive(BLUE_GREEN, without(Announce))
    with pytest.raises(AssertionError) as raised:
        contract(strategy=naive).test_a_release_loses_no_request_and_nothing_is_left_to_do()
    told = str(raised.value)
    assert told.startswith("blue-green (BlueGreenOptions(keep_previous='stopped')) in this world:")
    assert "nginx 1.30.6\n" in told
    assert "2 shift   Route " in told
    assert "lost requests: " in told
    assert "was not looked up yet" in told


def test_a_strategy_that_stops_first_has_to_say_so() -> None:
    class Liar(Recreate):
        has_downtime = False

    with pytest.raises(AssertionError, match=r"recreate to .*; downtime: "):
        contract(strategy=Liar()).test_any_state_has_a_plan_and_a_safe_one()


# The worlds that it makes


def routes(start: Start) -> Iterator[Route]:
    yield from (route for route in (start.before, start.route) if route is not None)


def services(start: Start) -> Iterator[Service]:
    yield from (service for target in start.targets.values() for service in target.services)


WHAT: dict[str, Callable[[Start], Iterable[object]]] = {
    "replicas": lambda s: (service.replicas for service in services(s)),
    "chains": lambda s: (len(target.waves()) for target in s.targets.values()),
    "alone": lambda s: (service.overlaps for service in services(s)),
    "settles": lambda s: (service.settle_s is None for service in services(s)),
    "warm-ups": lambda s: (app.warm_up_s for app in s.apps.values()),
    "nginx": lambda s: [s.nginx and s.nginx.version],
    "front": lambda s: [(s.before is not None, s.route is not None, s.is_ours)],
    "weights": lambda s: (u.weights[:2] for r in routes(s) for u in r.upstreams),
    "waiting": lambda s: (bool(u.standby) for r in routes(s) for u in r.upstreams),
    "shown": lambda s: (bool(u.preview) for r in routes(s) for u in r.upstreams),
    "leftovers": lambda s: (each.prefix for each in s.there),
    "unknown": lambda s: (each.release == "" for each in s.there),
    "states": lambda s: ((each.running, each.cold) for each in s.there),
    "slots": lambda s: (each.slot for each in s.there),
    "committed": lambda s: [len(s.committed)],
    "others": lambda s: (chosen.strategy.name for chosen in s.others.values()),
    "history": lambda s: (chosen.strategy.name for _, chosen in s.history),
}
NAMES = {"blue-green", "rolling", "recreate"}
EXPECTED: dict[str, set[object]] = {
    "replicas": {*range(6)},
    "chains": {1, 2, 3},
    "alone": {True, False},
    "settles": {True, False},
    "warm-ups": {0.0, 0.2, 0.5, 1.0},
    "nginx": {(1, 30, 6), (1, 22, 1), None},
    "front": {
        (False, False, True),
        (False, True, True),
        (False, True, False),
        (True, True, True),
        (False, False, False),
    },
    "weights": {(), (19,), (19, 1), (1,), (1, 3)},
    "waiting": {True, False},
    "shown": {True, False},
    "leftovers": {"", "0123456789ab_"},
    "unknown": {True, False},
    "states": {(True, False), (True, True), (False, False)},
    "slots": {"blue", "green", ""},
    "committed": {0, 1, 2, 3},
    "others": NAMES,
    "history": NAMES,
}


def test_its_worlds_are_as_various_as_hosts_are() -> None:
    found: dict[str, set[object]] = {what: set() for what in WHAT}

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.one_of(lived(ROLLING), starts()))
    def look(start: Start) -> None:
        for what, seen in WHAT.items():
            found[what].update(seen(start))

    look()
    for what, expected in EXPECTED.items():
        assert found[what] >= expected, what


def test_the_same_world_is_made_each_time() -> None:
    @settings(derandomize=True, deadline=None, max_examples=50)
    @given(st.one_of(lived(ROLLING), starts()))
    def look(start: Start) -> None:
        assert start.simulator().observe() == start.simulator().observe()

    look()


def test_only_the_contract_needs_hypothesis() -> None:
    program = """
import sys
sys.modules["hypothesis"] = sys.modules["pytest"] = None
from releasekit.testing import App, Simulator, World
try:
    from releasekit.testing import StrategyContract
except ImportError as error:
    assert "hypothesis" in str(error), error
else:
    raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
