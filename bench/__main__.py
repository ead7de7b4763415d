"""`make bench`: releasekit against the floor, a hand-written script, side by side in one run.

Both release the same shop on the same engine in turn, so that whatever else the machine does hits
both. What counts is the ratio of what each adds to the app's own boot: the wall time of a release
minus the median time that the script waited for health. Exit 1 when a limit is broken.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.e2e.shop import RELEASEKIT, Shop, docker

ROUNDS = 7
FLOOR = Path(__file__).with_name("floor.sh")
FLOOR_YAML = Path(__file__).with_name("floor.yaml")

OWN_COST_RATIO = 1.5
WARM_ROLLBACK_S = 1.0
HELP_S = 0.2
STATUS_S = 0.6

Phases = dict[str, list[float]]


def main() -> int:
    """Measure everything, print it, and tell whether every limit held."""
    with tempfile.TemporaryDirectory() as folder:
        kit_folder, floor_folder = Path(folder, "kit"), Path(folder, "floor")
        kit_folder.mkdir()
        floor_folder.mkdir()
        with Settled.opened(kit_folder) as kit, Shop.opened(floor_folder) as floor:
            settle(kit)
            ours, theirs = releases(kit, floor)
            rollback = warm_rollback(kit)
            help_s = median_of([str(RELEASEKIT), "--help"], kit)
            status_s = median_of([str(RELEASEKIT), "status"], kit)
    boot = statistics.median(theirs["boot"])
    own, least = (statistics.median(phases["wall"]) - boot for phases in (ours, theirs))
    show("floor", theirs)
    show("releasekit", ours)
    print(f"\nthe app's own boot, taken off both: {boot:.2f} s")
    print(f"own cost: floor {least:.2f} s, releasekit {own:.2f} s")
    checks = [
        limit("own cost of a release / the floor's", own / least, OWN_COST_RATIO),
        limit("warm rollback, command to confirmed route, s", rollback, WARM_ROLLBACK_S),
        limit("releasekit --help, s", help_s, HELP_S),
        limit("releasekit status, s", status_s, STATUS_S),
    ]
    return 0 if all(checks) else 1


class Settled(Shop):
    """A shop whose settings are all in its file, as a team's are, and none in variables."""

    def environment(self, **environ: str) -> dict[str, str]:
        everything = super().environment(**environ)
        given = {name: v for name, v in everything.items() if not name.startswith("RELEASEKIT_")}
        return {**given, **self.environ}


def settle(kit: Shop) -> None:
    path = kit.folder / "releasekit.toml"
    own = f'project = "{kit.name}"\nstate_dir = "{kit.state}"\n'
    path.write_text(own + path.read_text())


def releases(kit: Shop, floor: Shop) -> tuple[Phases, Phases]:
    """Release both shops in turn, the same two commits to and fro, and time each phase."""
    ours: Phases = defaultdict(list)
    theirs: Phases = defaultdict(list)
    shas = [
        [shop.git("rev-parse", "main"), shop.commit("Say what is new", headline="New")]
        for shop in (kit, floor)
    ]
    kit.up(shas[0][0]).ended(0)
    hand_over(floor, shas[1][0])
    for number in range(1, ROUNDS + 1):
        add(theirs, release_floor(floor, shas[1], number))
        add(ours, release_kit(kit, shas[0][number % 2]))
    stop_floor(floor)
    return ours, theirs


def hand_over(floor: Shop, sha: str) -> None:
    """Bring the floor's stack up, and let the script alone release it from here on."""
    floor.up(sha).ended(0)
    docker("rm", "--force", *floor.app())
    (floor.nginx_dir / "releasekit.conf").unlink()
    release_floor(floor, [sha], 0)


def stop_floor(floor: Shop) -> None:
    for slot in ("blue", "green"):
        label = f"label=com.docker.compose.project={floor.name}-floor-{slot}"
        if found := docker("ps", "-aq", "--filter", label).split():
            docker("rm", "--force", *found)


def release_floor(floor: Shop, shas: list[str], number: int) -> dict[str, float]:
    slots = ("blue", "green")
    old = slots[(number - 1) % 2] if number else "none"
    argv = [str(FLOOR), shas[number % len(shas)], old, slots[number % 2]]
    given = {"NGINX_DIR": str(floor.nginx_dir), "FLOOR_YAML": str(FLOOR_YAML)}
    env = {**os.environ, "PROJECT": floor.name, **given}
    began = time.perf_counter()
    done = subprocess.run(
        argv, cwd=floor.folder, env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    wall = time.perf_counter() - began
    phases = {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}
    return {**phases, "wall": wall}


def release_kit(kit: Shop, sha: str) -> dict[str, float]:
    ran = kit.up(sha).ended(0)
    phases: dict[str, float] = defaultdict(float)
    for event in ran.events:
        if event["event"] == "step_ended":
            phases[event["step"]["step"]] += event["seconds"]
    return {"before, after": ran.seconds - sum(phases.values()), **phases, "wall": ran.seconds}


def warm_rollback(kit: Shop) -> float:
    """Seconds from the command to the confirmed route, the previous release still running."""
    path = kit.folder / "releasekit.toml"
    path.write_text('keep_previous = "running"\n' + path.read_text())
    shas = [kit.git("rev-parse", ref) for ref in ("main~1", "main")]
    taken = []
    for _ in range(5):
        for sha in shas:
            kit.up(sha).ended(0)
        taken.append(seconds_to_confirmed_rollback(kit))
    return statistics.median(taken)


def seconds_to_confirmed_rollback(shop: Shop) -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        [RELEASEKIT, "rollback", "--json"],
        cwd=shop.folder,
        env=shop.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as command:
        assert command.stdout is not None
        taken = 0.0
        for line in command.stdout:
            event = json.loads(line)
            if event["event"] == "step_ended" and event["step"]["step"] == "ConfirmRoute":
                taken = time.perf_counter() - began
    assert command.returncode == 0, "the rollback failed"
    assert taken, "the rollback confirmed no route"
    return taken


def median_of(argv: list[str], shop: Shop, rounds: int = 10) -> float:
    """The median seconds that a command takes."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(
            argv, cwd=shop.folder, env=shop.environment(), check=True, capture_output=True
        )
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def add(phases: Phases, measured: dict[str, float]) -> None:
    for name, seconds in measured.items():
        phases[name].append(seconds)


def show(title: str, phases: Phases) -> None:
    print(f"\n{title}, median (least - most) of {ROUNDS} releases")
    for name, taken in phases.items():
        print(
            f"  {name:<14}{statistics.median(taken):7.3f} s  ({min(taken):.3f} - {max(taken):.3f})"
        )


def limit(what: str, measured: float, most: float) -> bool:
    holds = measured <= most
    verdict = "ok" if holds else "TOO SLOW"
    print(f"{what:<46}{measured:6.2f}  at most {most:.2f}  {verdict}")
    return holds


if __name__ == "__main__":
    sys.exit(main())
