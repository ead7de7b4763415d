"""A migration: once per release, before users notice anything, and a fence when it is cut short."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from releasekit.hosts.local import MonotonicClock
from releasekit.waiting import wait_until
from tests.e2e.shop import DEADLINE_S, PASSWORD, Shop, assert_none_lost, assert_serves, docker
from tests.faults.stage import Team
from tests.faults.ways import Way

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

HOOK = """
[hooks]
pre_release = { service = "web", run = ["sh", "/gate/migrate"] }
"""
MIGRATE = """\
echo "$RELEASE begins" >> /gate/log
python3 -m shop migrate || exit 1
while [ -e /gate/closed ]; do sleep 0.1; done
. /gate/ending
echo "$RELEASE ends" >> /gate/log
"""


class Gate:
    """What a migration asks while it runs, and what it wrote down."""

    def __init__(self, shop: Shop) -> None:
        self.folder = shop.folder / "gate"
        self.name = f"{shop.name}-migration"

    def ending(self, commands: str = "") -> None:
        """What it does before it ends well."""
        (self.folder / "ending").write_text(commands)

    def close(self) -> None:
        """It waits for `open`."""
        (self.folder / "closed").touch()

    def open(self) -> None:
        (self.folder / "closed").unlink(missing_ok=True)

    @property
    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, line: str) -> None:
        def look() -> str:
            return "" if line in self.log else f"not {line!r}, but {self.log}"

        wait_until(look, deadline_s=DEADLINE_S, clock=MonotonicClock())

    @property
    def is_there(self) -> bool:
        """Whether its container is."""
        return self.name in docker("container", "ls", "-a", "--format", "{{.Names}}").split()


@pytest.fixture(scope="module")
def migrating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A running shop whose releases migrate."""
    with Shop.opened(tmp_path_factory.mktemp("migration")) as shop:
        gate = shop.folder / "gate"
        gate.mkdir()
        gate.chmod(0o777)
        (gate / "migrate").write_text(MIGRATE)
        (shop.folder / ".gitignore").write_text("gate\n")
        shop.edit(
            "compose.yaml",
            '    expose:\n      - "8080"\n',
            '    expose:\n      - "8080"\n    volumes:\n      - ./gate:/gate\n',
        )
        with (shop.folder / "releasekit.toml").open("a") as settings:
            settings.write(HOOK)
        Gate(shop).ending()
        first = shop.commit("Migrate")
        shop.up(first).ended(0)
        assert Gate(shop).log == [f"{first} begins", f"{first} ends"]
        yield shop


@pytest.fixture
def shop(migrating: Shop) -> Shop:
    """The same, with its gate open, and nothing written down."""
    gate = Gate(migrating)
    gate.open()
    gate.ending()
    (gate.folder / "log").unlink(missing_ok=True)
    return migrating


@pytest.mark.slow
def test_it_runs_once_before_anything_starts_and_no_way_back_runs_it(shop: Shop) -> None:
    gate, before = Gate(shop), shop.serving()
    second = shop.commit("Say what is new")
    with shop.load() as load:
        ran = shop.up(second).ended(0)
        assert ran.steps[:2] == ["RunOnce", "Start"]
        assert gate.log == [f"{second} begins", f"{second} ends"]
        shop.rollback().ended(0)
        assert shop.serving() == before
        shop.up(second).ended(0)
        assert_serves(shop, second)
    assert_none_lost(shop, load.report)
    assert gate.log == [f"{second} begins", f"{second} ends"]
    assert not gate.is_there


@pytest.mark.slow
def test_a_release_that_is_held_has_migrated_and_its_promotion_does_not(shop: Shop) -> None:
    gate, second = Gate(shop), shop.commit("Say what is new")
    assert "RunOnce" in shop.up("--hold", second).ended(0).steps
    assert gate.log == [f"{second} begins", f"{second} ends"]
    promoted = shop.releasekit("promote", "--json").ended(0)
    assert "RunOnce" not in promoted.steps
    assert gate.log == [f"{second} begins", f"{second} ends"]
    assert_serves(shop, second)


def test_one_that_fails_leaves_the_previous_release_and_says_what_it_may_have_changed(
    shop: Shop,
) -> None:
    gate, before, running = Gate(shop), shop.serving(), shop.running_app()
    second = shop.commit("Say what is new")
    gate.ending('echo "no such column, asked as $PGPASSWORD"; exit 7')
    ran = shop.up(second).ended(1)
    assert "ended with status 7: the database may have been changed" in ran.result["message"]
    assert f"{before[:7]} serves as before" in ran.result["message"]
    assert "no such column, asked as •••" in ran.result["log_tail"][gate.name]
    assert PASSWORD not in ran.stdout
    assert shop.running_app() == running
    assert not gate.is_there

    gate.ending()
    shop.up(second).ended(0)
    assert gate.log == [f"{second} begins", f"{second} begins", f"{second} ends"]
    assert_serves(shop, second)


@pytest.mark.slow
def test_one_that_takes_too_long_is_ended(shop: Shop, tmp_path: Path) -> None:
    gate, before = Gate(shop), shop.serving()
    second = shop.commit("Say what is new")
    gate.close()
    hurried = shop.with_environ(RELEASEKIT_HOOKS__PRE_RELEASE__TIMEOUT="2s")
    ran = hurried.up(second).ended(1)
    assert "did not end within 2 s, and was stopped" in ran.result["message"]
    assert f"{before[:7]} serves as before" in ran.result["message"]
    assert gate.log == [f"{second} begins"]
    assert not gate.is_there


@pytest.mark.slow
@pytest.mark.parametrize("decision", ["done", "again"])
def test_cut_short_it_is_a_fence_until_a_person_decides(shop: Shop, decision: str) -> None:
    gate, before = Gate(shop), shop.serving()
    second, third = shop.commit("Say what is new"), shop.commit("Say more")
    gate.close()
    with shop.load() as load:
        with shop.running("up", "--json", second) as up:
            up.wait_for_step("RunOnce")
            gate.wait_for(f"{second} begins")
            up.signal(signal.SIGKILL)
            up.finish().ended(-signal.SIGKILL)
        for args in (["up", second], ["up", third], ["up", "--migration", decision], ["plan"]):
            fenced = shop.releasekit(*args, "--json").ended(3).result
            assert f"its container {gate.name} still runs" in fenced["message"]
        networks = json.loads(docker("inspect", gate.name))[0]["NetworkSettings"]["Networks"]
        assert not [n for n in networks.values() if "web" in (n["Aliases"] or ())]

        gate.open()
        gate.wait_for(f"{second} ends")
        assert docker("wait", gate.name).strip() == "0"
        fenced = shop.up(second).ended(3).result
        assert f"its container {gate.name} ended with status 0" in fenced["message"]
        assert "`releasekit up --migration done`" in fenced["hint"]
        assert "`releasekit up --migration again`" in fenced["hint"]
        assert any("was cut short amid RunOnce" in each for each in shop.status()["problems"])
        recovered = shop.releasekit("recover", "--json").ended(3).result
        assert "was not seen to end" in recovered["message"]
        (problem,) = shop.status()["problems"]
        assert f"the migration of {second[:7]} was not seen to end" in problem
        assert shop.serving() == before

        shop.up(second, "--migration", decision).ended(0)
        assert_serves(shop, second)
    assert_none_lost(shop, load.report)
    once = [f"{second} begins", f"{second} ends"]
    assert gate.log == (once if decision == "done" else [*once, *once])
    assert not gate.is_there
    refused = shop.up(third, "--migration", decision).ended(2).result
    assert refused["message"] == "no migration waits for a decision"


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("how", "status"), [("error", 1), ("kill", -signal.SIGKILL)])
def test_after_a_fault_right_before_it_or_after_it_one_command_puts_it_right_and_it_ran_once(
    shop: Shop, tmp_path: Path, when: str, how: str, status: int
) -> None:
    team, second = Team(shop, Way(()), tmp_path), shop.commit("Say what is new")
    fault = team.fault(second, "RunOnce", when=when, how=how)
    once = [f"{second} begins", f"{second} ends"]
    with shop.load() as load:
        team.up(second, fault).ended(status)
        assert Gate(shop).log == (once if when == "after" else [])
        team.up(second).ended(0)
        assert_serves(shop, second)
    assert_none_lost(shop, load.report)
    assert Gate(shop).log == once


@pytest.mark.slow
def test_over_the_fence_a_rollback_goes_and_the_next_release_does_not(shop: Shop) -> None:
    gate = Gate(shop)
    second, third = shop.commit("Say what is new"), shop.commit("Say more")
    shop.up(second).ended(0)
    gate.close()
    with shop.running("up", "--json", third) as up:
        up.wait_for_step("RunOnce")
        gate.wait_for(f"{third} begins")
        up.signal(signal.SIGKILL)
        up.finish().ended(-signal.SIGKILL)
    docker("rm", "--force", gate.name)
    shop.rollback().ended(0)
    assert shop.serving() != second
    fenced = shop.up(second).ended(3).result
    assert "its container is gone" in fenced["message"]
    gate.open()
    shop.up(second, "--migration", "again").ended(0)
    assert_serves(shop, second)
    assert gate.log == [f"{second} begins", f"{second} ends", f"{third} begins"]
