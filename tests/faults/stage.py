"""The shop, released with something going wrong, and what must be true of it afterwards."""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.load import Load, Report
from releasekit.hosts.local import MonotonicClock
from releasekit.hosts.processes import VARIABLE
from releasekit.waiting import wait_until
from tests.e2e.shop import DEADLINE_S, ROOT, Container, Ran, Running, Shop, docker
from tests.faults.ways import MAIL, WAYS, Way

CHILD = Path(__file__).with_name("child.py")
RATE = 60.0
"""Fast requests a second: some dozen for each moment of a cutover, and time left for the tests."""

CONNECTIONS = 12
"""So few that none idles for longer than nginx keeps one open through a reload."""

Fault = Mapping[str, Any]


@dataclass(frozen=True)
class Team:
    """A team that releases its shop in one way. `tmp` is where its commands put temporary files."""

    shop: Shop
    way: Way
    tmp: Path

    def going(self, way: Way) -> Team:
        return replace(self, way=way)

    def up(self, sha: str, *faults: Fault) -> Ran:
        """Release `sha`, while these things go wrong."""
        with self.running(sha, *faults) as command:
            return command.finish()

    def running(self, sha: str, *faults: Fault, **environ: str) -> Running:
        return self.command("up", "--json", sha, *self.way.args, faults=faults, **environ)

    def command(self, *args: str, faults: Sequence[Fault] = (), **environ: str) -> Running:
        """Any verb of releasekit, while these things go wrong."""
        argv = [sys.executable, str(CHILD), *args]
        path = [str(ROOT), *filter(None, [self.shop.environ.get("PYTHONPATH")])]
        given = {
            "FAULTS": json.dumps(faults),
            "TMPDIR": str(self.tmp),
            "PYTHONPATH": os.pathsep.join(path),
            **self.way.environ,
        }
        return Running(argv, self.shop.folder, self.shop.environment(**given, **environ))

    def plan(self, sha: str) -> list[str]:
        """The names of the steps that releasing `sha` would take now."""
        self.take_away()
        with self.command("plan", "--json", sha, *self.way.args) as command:
            steps = command.finish().ended(0).result["plan"]["steps"]
        return [step["step"] for step in steps]

    def fault(self, sha: str, step: str, **what: object) -> Fault:
        """What goes wrong when releasing `sha` begins its first step of this name."""
        return {"step": self.plan(sha).index(step) + 1, "when": "before", **what}

    def meanwhile(self, sha: str, step: str, *argv: str) -> Fault:
        """A command that somebody runs at that moment."""
        return self.fault(sha, step, how="command", argv=argv)

    def take_away(self) -> None:
        """Make what the plan is to start anew missing."""
        if self.way.lacks:
            docker(
                "container", "rm", "--force", "--volumes", f"{self.shop.name}-{self.way.lacks}-1"
            )

    def replicas(self) -> dict[str, Container]:
        """The containers of the app services that run, by name."""
        running = self.shop.running_app().items()
        return {name: each for name, each in running if each.service != MAIL}

    def load(self) -> Load:
        """Clients of all classes, a slow request always in flight."""
        return Load(self.shop.url, rate=RATE, connections=CONNECTIONS, slow=1)

    @property
    def files(self) -> set[str]:
        """All files that releasekit keeps, and what it left in its folder for temporary ones."""
        return {*self.shop.files(), *(entry.name for entry in self.tmp.iterdir())}


Pair = tuple[Team, str, str]


def standing(pair: Pair, name: str) -> Pair:
    """The team, going this way: the first release serves, and the second was there before."""
    team, first, second = pair
    team = team.going(WAYS[name])
    for sha in (second, first):
        team.up(sha).ended(0)
    return team, first, second


def assert_settled(team: Team, sha: str, files: set[str] | None = None) -> None:
    """`sha` alone serves, and nothing is left behind: no container, lock or process, and no file
    but these `files`."""
    shop = team.shop
    assert shop.serving() == sha
    running = team.replicas()
    assert {shop.commit_of(name) for name in running} == {sha}
    wanted = {"web": team.way.replicas, "worker": 1}
    assert Counter(c.service for c in running.values()) == Counter(wanted)
    assert_no_container_leaked(team)
    assert held_locks(shop.state) == []
    assert files is None or team.files - files == set()
    assert processes_of(shop) == []


def assert_no_container_leaked(team: Team) -> None:
    """Every container has a place of its own, in one of two slots or in the plain project."""
    shop = team.shop
    place = re.compile(rf"{shop.name}-(releases-)?(web|worker)-((blue|green)-)?\d+")
    listed = docker(
        "container", "ls", "-a", "--format", "{{.Names}}", "--filter", f"name={shop.name}"
    )
    backing = {f"{shop.name}-{name}-1" for name in ("nginx", "postgres", "redis", MAIL)}
    strange = [n for n in listed.split() if n not in backing and not place.fullmatch(n)]
    assert strange == []


def held_locks(state: Path) -> list[str]:
    """The lock files that somebody holds."""
    held = []
    for path in state.rglob("*lock*"):
        if not path.is_file():
            continue
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(str(path))
    return held


def processes_of(shop: Shop) -> list[str]:
    """Command lines of what was started under the shop's lock, by whatever run."""
    under = f"{VARIABLE}={shop.lock}"
    return [line for pid, line in command_lines().items() if under in environment_of(pid)]


def environment_of(pid: int) -> str:
    with suppress(OSError):
        return os.fsdecode((Path("/proc") / str(pid) / "environ").read_bytes())
    return ""  # it has ended meanwhile


def command_lines() -> dict[int, str]:
    """The command line of every process, its words apart by NUL."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = os.fsdecode((entry / "cmdline").read_bytes())
            except OSError:
                continue  # it has ended meanwhile
    return found


def assert_fit(shop: Shop, report: Report) -> None:
    """No request of the load failed, and every order is stored just once."""
    assert report.failed == 0, f"{report.summary()}\n{report.failures}"
    assert_orders_kept(shop, report)


def assert_orders_kept(shop: Shop, report: Report) -> None:
    stored = shop.orders()
    assert report.posts["acked"]
    assert {key for key in report.posts["acked"] if stored[key] != 1} == set()
    assert {key for key in report.posts["unacked"] if stored[key] > 1} == set()


def await_serving(shop: Shop, sha: str) -> None:
    """Return when every answer comes from `sha`."""

    def look() -> str:
        seen = {shop.ask().release for _ in range(5)}
        return "" if seen == {sha} else f"{seen} serve"

    wait_until(look, deadline_s=DEADLINE_S, clock=MonotonicClock())
