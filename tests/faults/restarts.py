"""A shop on an engine of its own that is restarted, or whose whole machine goes down, in the midst
of a release: run inside the engine's network, as `python restarts.py FOLDER`."""

from __future__ import annotations

import sys
from itertools import cycle
from pathlib import Path

from releasekit.hosts.local import MonotonicClock
from releasekit.waiting import wait_until
from tests.e2e.shop import Shop
from tests.faults.own_engine import OwnEngine
from tests.faults.stage import Fault, Team, assert_settled
from tests.faults.ways import MOMENTS, Way

BOOT_S = 60.0


def main(folder: Path) -> None:
    engine = OwnEngine.at(folder)
    with Shop.opened(folder) as opened:
        shop = opened.with_environ(DOCKER_HOST=engine.address)
        tmp = folder / "tmp"
        tmp.mkdir()
        team = Team(shop, Way(("--strategy", "blue-green")), tmp)
        shas = [shop.first, shop.commit("Say what is new")]
        for sha in shas:
            team.up(sha).ended(0)
        turns = cycle(shas)
        for step in MOMENTS:
            restarted(team, engine, next(turns), step)
            gone_down(team, engine, next(turns), step)
            sys.stderr.write(f"{step}: well\n")


def restarted(team: Team, engine: OwnEngine, sha: str, step: str) -> None:
    """The engine restarts, and with it all containers: whatever the run comes to, one command ends
    well."""
    ran = team.up(sha, restart(team, engine, sha, step))
    assert ran.status in (0, 1, 3), ran
    assert_settled_after(team, engine, sha)


def gone_down(team: Team, engine: OwnEngine, sha: str, step: str) -> None:
    """releasekit goes down too, as with the machine's power: when the engine is back a release
    serves without releasekit being run, and one command ends well."""
    fault = restart(team, engine, sha, step)
    team.up(sha, fault, {**fault, "how": "kill"}).ended(-9)
    assert_settled_after(team, engine, sha)


def assert_settled_after(team: Team, engine: OwnEngine, sha: str) -> None:
    engine.wait()
    await_answers(team.shop)
    team.up(sha).ended(0)
    assert_settled(team, sha)


def restart(team: Team, engine: OwnEngine, sha: str, step: str) -> Fault:
    program = Path(__file__).with_name("own_engine.py")
    argv = [sys.executable, str(program), "restart", str(engine.folder)]
    return team.meanwhile(sha, step, *argv)


def await_answers(shop: Shop) -> None:
    """Return when users are served again, by one release."""

    def look() -> str:
        try:
            answers = [shop.ask() for _ in range(5)]
        except OSError as error:
            return f"nobody answers: {error}"
        heard = {(answer.status, answer.release) for answer in answers}
        return "" if len(heard) == 1 and answers[0].status == 200 else f"{heard} answer"

    wait_until(look, deadline_s=BOOT_S, clock=MonotonicClock())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
