"""The kill matrix: at every step of every way to release, before its effect and after it, the step
fails, docker hangs, or releasekit is killed. Each time one command puts it right, and where a
release has no downtime no client notices either.

The steps are those of the plan that is made then and there: a new step is in the matrix as soon as
any plan takes it, and one that no plan takes fails `test_every_step_is_tried`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, cycle
from typing import get_args

import pytest

from bench.load import Report
from releasekit.steps import GATES, Step
from tests.e2e.lives import Lives
from tests.e2e.shop import Ran, assert_serves
from tests.faults.child import FORGED
from tests.faults.stage import (
    Fault,
    Pair,
    Team,
    assert_fit,
    assert_orders_kept,
    assert_settled,
    standing,
)
from tests.faults.ways import ELSEWHERE, WAYS

pytestmark = pytest.mark.e2e

LONG_S = 1200
"""Some dozens of releases, on a machine that does other things too."""


@dataclass(frozen=True)
class Case:
    """A fault at one step of a plan."""

    steps: tuple[str, ...]
    number: int
    when: str
    how: str

    @property
    def fault(self) -> Fault:
        return {"step": self.number, "when": self.when, "how": self.how}

    @property
    def is_committed(self) -> bool:
        """Whether the new release is on record when it strikes."""
        commit = self.steps.index("MarkCurrent") + 1
        return self.number > commit or (self.number == commit and self.when == "after")

    @property
    def step(self) -> str:
        return self.steps[self.number - 1]

    def __str__(self) -> str:
        return f"{self.how} {self.when} {self.step} ({self.number})"


def cases(steps: tuple[str, ...], when: str, how: str) -> list[Case]:
    return [Case(steps, number, when, how) for number in range(1, len(steps) + 1)]


def test_every_step_is_tried(pair: Pair) -> None:
    team, _, second = pair
    planned = {step for way in WAYS.values() for step in team.going(way).plan(second)}
    assert planned | ELSEWHERE.keys() == {step.__name__ for step in get_args(Step)}


def test_killed_after_any_effect_one_command_puts_it_right(pair: Pair) -> None:
    team, first, second = standing(pair, "blue-green")
    effects = {step.__name__ for step in get_args(Step)} - {step.__name__ for step in GATES}
    chosen = [c for c in cases(tuple(team.plan(second)), "after", "kill") if c.step in effects]
    assert_put_right((team, first, second), chosen)


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", ["error", "hang", "kill"])
@pytest.mark.parametrize("name", WAYS)
def test_after_any_fault_at_any_step_one_command_puts_it_right(
    pair: Pair, name: str, how: str, when: str
) -> None:
    team, first, second = standing(pair, name)
    chosen = cases(tuple(team.plan(second)), when, how)
    assert_put_right((team, first, second), chosen)


def assert_put_right(pair: Pair, chosen: Iterable[Case]) -> None:
    """Each of these faults, and then the one command, under load."""
    team, first, second = pair
    files = team.files
    with ExitStack() as stack:
        load = stack.enter_context(team.load())
        lives = stack.enter_context(Lives(team.shop))
        shas = cycle((first, second))
        old = next(shas)
        for case, new in zip(chosen, shas, strict=False):
            struck(team, case, old, new)
            team.up(new).ended(0)
            assert_settled(team, new, files)
            old = new
        assert_serves(team.shop, old, web=team.way.replicas)
    assert max(lives.counts("web")) <= team.way.most
    assert_unnoticed(team, load.report)


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize("name", WAYS)
def test_killed_at_any_step_of_the_way_back_one_command_puts_it_right(
    pair: Pair, name: str
) -> None:
    team, first, second = standing(pair, name)
    failing = team.plan(second).index("ConfirmRoute") + 1
    with team.load() as load:
        for number in count(failing + 1):
            team.take_away()
            ran = team.up(second, at(failing, "error"), at(number, "kill"))
            team.up(first).ended(0)
            assert_settled(team, first)
            if ran.status == 1:  # it has no such step any more
                break
            assert ran.status == -9, ran
    assert number > failing + 1
    assert_unnoticed(team, load.report)


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize("name", WAYS)
def test_killed_at_any_step_of_the_recovery_one_more_command_puts_it_right(
    pair: Pair, name: str
) -> None:
    team, first, second = standing(pair, name)
    dying = team.plan(second).index("Start") + 1
    with team.load() as load:
        for number in count(1):
            team.take_away()
            team.up(second, at(dying, "kill")).ended(-9)
            ran = team.up(second, at(number, "kill"))
            team.up(second).ended(0)
            assert_settled(team, second)
            team.up(first).ended(0)
            if ran.status == 0:
                break
            assert ran.status == -9, ran
    assert number > 1
    assert_unnoticed(team, load.report)


def assert_unnoticed(team: Team, report: Report) -> None:
    """No request failed, or none but those that the way to release is honest about."""
    if team.way.has_downtime:
        assert_orders_kept(team.shop, report)
    else:
        assert_fit(team.shop, report)


def at(number: int, how: str) -> Fault:
    return {"step": number, "when": "after", "how": how}


def struck(team: Team, case: Case, old: str, new: str) -> None:
    """Release `new` with this fault: it ends as it should, and says what serves as it is."""
    team.take_away()
    ran = team.up(new, case.fault)
    if case.how == "kill":
        assert ran.status == -9, f"{case}: {ran}"
        return
    serves = team.shop.serving()
    assert ran.status in (0, 1), f"{case}: {ran}"
    assert serves == (new if ran.status == 0 or case.is_committed else old), f"{case}: {ran}"
    if case.how == "error":
        assert_told(case, ran, serves)


def assert_told(case: Case, ran: Ran, serves: str) -> None:
    assert FORGED in ran.stdout, f"{case}: {ran}"
    assert (ran.status == 0) == case.is_committed, f"{case}: {ran}"
    if ran.status:
        assert ran.result["serving"].startswith(serves), f"{case}: {ran}"
