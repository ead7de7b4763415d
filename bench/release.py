"""What a blue-green release of the shop costs, against a script, and the quick commands.

What counts is the ratio of what each adds to the app's own boot: the wall time of a release minus
the median time that the script waited for health.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Iterator

from bench.report import limit, median, show
from bench.sides import Floor, Kit, Phases, pair
from tests.e2e.shop import RELEASEKIT

OWN_COST_RATIO = 1.5
WARM_ROLLBACK_S = 1.0
HELP_S = 0.2
STATUS_S = 0.6

ORDERS = {"web-first": "true", "together": "false"}
"""The script's name of the order in which services start, and releasekit's `workers_wait`."""


def bench(rounds: int) -> list[bool]:
    """Measure everything, print it, and tell of each limit whether it held."""
    with pair() as (kit, floor):
        runs = releases(kit, floor, rounds)
        rollback = warm_rollback(kit)
        help_s = median_of([RELEASEKIT, "--help"], kit)
        status_s = median_of([RELEASEKIT, "status"], kit)
    return [
        *(own_cost(order, *runs[order]) for order in ORDERS),
        limit("warm rollback, command to confirmed route, s", rollback, WARM_ROLLBACK_S),
        limit("releasekit --help, s", help_s, HELP_S),
        limit("releasekit status, s", status_s, STATUS_S),
    ]


def releases(kit: Kit, floor: Floor, rounds: int) -> dict[str, tuple[list[Phases], list[Phases]]]:
    """Release both shops in turn, in either order of services; (floor's, ours) by order."""
    floor.hand_over()
    for _ in range(2):  # the second one leaves what any later one finds
        floor.release("floor.sh", "together")
        kit.release()
    runs: dict[str, tuple[list[Phases], list[Phases]]] = {order: ([], []) for order in ORDERS}
    for _ in range(rounds):
        for order, waits in ORDERS.items():
            theirs, ours = runs[order]
            theirs.append(floor.release("floor.sh", order))
            kit.settle(f"workers_wait = {waits}")
            ours.append(kit.release())
    return runs


def own_cost(order: str, theirs: list[Phases], ours: list[Phases]) -> bool:
    boot = median(theirs, "boot")
    own, least = median(ours) - boot, median(theirs) - boot
    show(f"{order}: floor", theirs)
    show(f"{order}: releasekit", ours)
    print(f"\nthe app's own boot, taken off both: {boot:.2f} s")
    print(f"own cost: floor {least:.2f} s, releasekit {own:.2f} s")
    return limit(f"own cost of a release / the floor's, {order}", own / least, OWN_COST_RATIO)


def warm_rollback(kit: Kit) -> float:
    """Seconds from the command to the confirmed route, the previous release still running."""
    kit.settle(tables='[strategies.blue-green]\nkeep_previous = "running"')
    taken = []
    for _ in range(5):
        for _ in range(2):
            kit.release()
        taken.append(seconds_to_confirmed_rollback(kit))
    return statistics.median(taken)


def seconds_to_confirmed_rollback(kit: Kit) -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        [RELEASEKIT, "rollback", "--json"],
        cwd=kit.folder,
        env=kit.environment(),
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


def median_of(argv: list[str], kit: Kit, rounds: int = 10) -> float:
    """The median seconds that a command takes."""
    return statistics.median(seconds(argv, kit, rounds))


def seconds(argv: list[str], kit: Kit, rounds: int) -> Iterator[float]:
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(argv, cwd=kit.folder, env=kit.environment(), check=True, capture_output=True)
        yield time.perf_counter() - began
