"""Golden plans of releases that migrate: once, first, whatever the strategy."""

# ruff: noqa: E501  # a plan is compared as people read it

from __future__ import annotations

from dataclasses import replace

import pytest

from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.mixed import Mix
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import Rolling
from releasekit.target import Migration, Target
from tests.strategies.shop import (
    BLUE_A,
    EMPTY_HOST,
    GREEN_B,
    RECREATED_A,
    STARTED_B,
    A,
    B,
    State,
    target,
)

MIXED = Mix(Mix.single(BlueGreen()).default, {"worker": Mix.single(Recreate()).default})
MIXES = {
    "blue-green": Mix.single(BlueGreen()),
    "rolling": Mix.single(Rolling()),
    "recreate": Mix.single(Recreate()),
    "mixed": MIXED,
}
ONCE = (
    "1 prepare RunOnce       pre_release in web of bbbbbbb   (once, before anything of it starts)"
)
each_mix = pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)


def migrating(release: str) -> Target:
    return replace(target(release), migration=Migration("web"))


def migrated(state: State, *releases: str) -> State:
    return State(replace(state.observed, migrated=frozenset(releases)))


def test_the_first_release_has_its_backing_services_first() -> None:
    golden = """\
blue-green to aaaaaaa; downtime: none
1 prepare EnsureBacking db cache   (not running)
1 prepare RunOnce       pre_release in web of aaaaaaa   (once, before anything of it starts)
1 prepare Start         web x1 worker x1 of aaaaaaa in blue   (the release to serve)
1 prepare AwaitHealthy  shop-releases-web-blue-1 shop-releases-worker-blue-1   (traffic only for what is proven healthy)
2 shift   Route         web -> shop-releases-web-blue-1   (nginx starts with it)
2 shift   ConfirmRoute  web -> shop-releases-web-blue-1   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   aaaaaaa   (the commit point)"""
    assert EMPTY_HOST.blue_green(migrating(A)) == golden


def test_recreate_migrates_before_it_stops_anything() -> None:
    golden = f"""\
recreate to bbbbbbb; downtime: web, worker
{ONCE}
2 shift   Stop          shop-web-1 shop-worker-1   (recreate stops before it starts)"""
    assert RECREATED_A.recreate(migrating(B)).startswith(golden)


@each_mix
@pytest.mark.parametrize("state", [BLUE_A, RECREATED_A, STARTED_B])
def test_it_is_there_once_and_comes_first_whatever_the_strategy(state: State, mix: Mix) -> None:
    lines = state.mixed(mix, migrating(B)).splitlines()
    assert [line for line in lines if "RunOnce" in line] == [ONCE]
    steps = [line for line in lines[1:] if not line.startswith("note: ")]
    assert steps[0] == ONCE


@each_mix
def test_without_it_the_plan_is_the_same(mix: Mix) -> None:
    with_it = BLUE_A.mixed(mix, migrating(B)).splitlines()
    assert [line for line in with_it if line != ONCE] == BLUE_A.mixed(mix, target(B)).splitlines()


@each_mix
def test_what_has_migrated_does_not_again(mix: Mix) -> None:
    assert "RunOnce" not in migrated(BLUE_A, B).mixed(mix, migrating(B))


@each_mix
def test_a_release_that_was_good_before_does_not_migrate(mix: Mix) -> None:
    assert "RunOnce" not in GREEN_B.mixed(mix, migrating(A))


@each_mix
def test_what_serves_does_not_migrate(mix: Mix) -> None:
    assert "RunOnce" not in GREEN_B.mixed(mix, migrating(B))
