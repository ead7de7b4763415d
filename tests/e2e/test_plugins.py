"""Strategies of others on a real engine: the canary under load, and plugins that are no good."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.shop import (
    Shop,
    assert_none_lost,
    assert_orders_kept,
    assert_serves,
)
from tests.plugins.making import CANARY, pip_install, write_plugin

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ASKED = 300
"""So many requests tell a share to within some percent."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the canary is installed to."""
    return pip_install(CANARY, tmp_path_factory.mktemp("canary"))


@pytest.fixture
def team(shop: Shop, installed: Path) -> Shop:
    """The shop of a team that has the canary installed."""
    return shop.with_environ(PYTHONPATH=str(installed))


def canary(sha: str, *, pause: float = 4) -> tuple[str, ...]:
    return ("up", "--json", sha, "--strategy", "canary", "--set", f"pause={pause}")


def share(shop: Shop, sha: str) -> float:
    """How much of the traffic this release gets now."""
    seen = Counter(shop.ask().release for _ in range(ASKED))
    return seen[sha] / ASKED


def assert_taken_back(shop: Shop, second: str, before: object) -> None:
    """The first release has all of the traffic, and nothing is left of the second."""
    assert shop.running_app() == before
    assert not [name for name in shop.app() if shop.commit_of(name) == second]
    assert share(shop, shop.first) == 1
    assert_serves(shop, shop.first)


def test_a_canary_climbs_to_all_of_the_traffic_and_nobody_notices(team: Shop) -> None:
    second = team.commit("Say what is new", headline="Strawberries are here")
    backing, shares = team.backing(), []
    with team.load() as load:
        with team.running(*canary(second)) as up:
            for _ in range(3):
                up.wait_for_step("Watch")
                shares.append(share(team, second))
            ran = up.finish().ended(0)
        assert_serves(team, second)
    assert_none_lost(team, load.report)
    assert shares == [
        pytest.approx(0.05, abs=0.05),
        pytest.approx(0.25, abs=0.1),
        pytest.approx(0.50, abs=0.1),
    ]
    assert load.report.releases.keys() == {team.first, second}
    assert team.backing() == backing
    assert ran.result["strategy"] == "canary"
    assert [round(seconds) for seconds in ran.took("Watch")] == [4, 4, 4]
    assert team.history()[0]["strategy"] == "canary"


def test_ctrl_c_amid_the_ladder_takes_all_of_it_back(team: Shop) -> None:
    second = team.commit("Say what is new")
    before = team.running_app()
    with team.load() as load:
        with team.running(*canary(second, pause=8)) as up:
            up.wait_for_step("Watch")
            up.wait_for_step("Watch")
            up.signal(signal.SIGINT)
            ran = up.finish().ended(130)
        assert_taken_back(team, second, before)
    assert_none_lost(team, load.report)
    assert f"{team.first[:7]} serves as before" in ran.result["message"]


def test_killed_amid_the_ladder_the_next_run_takes_all_of_it_back_or_on(team: Shop) -> None:
    second = team.commit("Say what is new")
    before = team.running_app()
    with team.load() as load:
        for sha, then in ((second, team.first), (second, second)):
            with team.running(*canary(sha)) as up:
                up.wait_for_step("Watch")
                up.wait_for_step("Watch")
                up.signal(signal.SIGKILL)
                up.finish().ended(-signal.SIGKILL)
            assert 0.05 < share(team, second) < 0.5
            ran = team.releasekit(*canary(then, pause=0.5)).ended(0)
            assert len(ran.took("Watch")) == (3 if then == second else 0)
            if then == team.first:
                assert_taken_back(team, second, before)
        assert_serves(team, second)
    assert_none_lost(team, load.report)


def test_a_release_that_turns_sick_while_it_is_watched_goes_back(team: Shop) -> None:
    second = team.broken("crash-when-ready")
    before = team.running_app()
    with team.load() as load:
        ran = team.releasekit(*canary(second, pause=60)).ended(1)
        assert_taken_back(team, second, before)
    # Those that were in flight when it died are lost; no more than its share of the traffic.
    assert load.report.failed < 0.01 * load.report.requests, load.report.summary()
    assert_orders_kept(team, load.report)
    assert ran.steps.count("Watch") == 1
    assert f"{team.first[:7]} serves as before" in ran.result["message"]
    assert "web-" in ran.result["message"]


# Plugins that are no good

PLAN = "good = Plugin.plan\ndef plan(self, o, t, options):\n    {}\nPlugin.plan = plan"

BAD = {
    "cannot be imported": ("import nowhere", "failed to load: ModuleNotFoundError"),
    "raises": (PLAN.format("return 1 / 0"), "made no plan: ZeroDivisionError"),
    "returns nonsense": (PLAN.format("return ['Start', 'Stop']"), "made no plan: it returned"),
    "makes odd steps": (
        PLAN.format("return replace(good(self, o, t, options), steps=(Route(None, 'why'),))"),
        "made no plan: its `steps[0].upstreams` is None",
    ),
    "hangs": (
        PLAN.format("import threading; threading.Event().wait()"),
        "did not answer within 10 s",
    ),
    "is unsafe": (
        PLAN.format(
            "p = good(self, o, t, options); "
            "return replace(p, steps=tuple(s for s in p.steps if not isinstance(s, AwaitHealthy)))"
        ),
        ": traffic only for what was proven healthy (",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_plugin_is_named_and_nothing_is_touched(
    shop: Shop, tmp_path: Path, kind: str
) -> None:
    code, told = BAD[kind]
    write_plugin(tmp_path, "bad", code)
    second = shop.commit("Say what is new")
    files, containers = shop.files(), shop.containers()
    team = shop.with_environ(PYTHONPATH=str(tmp_path))
    ran = team.up(second, "--strategy", "bad").ended(2)
    assert told in ran.result["message"]
    assert "bad-plugin" in ran.result["message"] + ran.result["hint"]
    assert (shop.files(), shop.containers()) == (files, containers)
    assert_serves(shop, shop.first)


def test_a_plugin_with_a_built_in_ones_name_is_named_and_nothing_is_touched(
    shop: Shop, tmp_path: Path
) -> None:
    write_plugin(tmp_path, "blue-green", origin="thief")
    second = shop.commit("Say what is new")
    files, containers = shop.files(), shop.containers()
    team = shop.with_environ(PYTHONPATH=str(tmp_path))
    ran = team.up(second, "--strategy", "blue-green").ended(2)
    assert "comes from releasekit and thief" in ran.result["message"]
    assert (shop.files(), shop.containers()) == (files, containers)
    assert "thief" in team.releasekit("strategies").ended(0).stdout
    team.up(second, "--strategy", "rolling").ended(0)


def test_a_plugin_that_fails_on_the_way_back_keeps_nobody_from_it(
    shop: Shop, tmp_path: Path
) -> None:
    code = f"if t.release.startswith('{shop.first}'): 1 / 0\n    return good(self, o, t, options)"
    write_plugin(tmp_path, "bad", PLAN.format(code))
    broken = shop.broken("unready-500")
    before = shop.running_app()
    team = shop.with_environ(PYTHONPATH=str(tmp_path))
    ran = team.up(broken, "--strategy", "bad").ended(1)
    assert f"{shop.first[:7]} serves as before" in ran.result["message"]
    assert shop.running_app() == before
    assert_serves(shop, shop.first)
