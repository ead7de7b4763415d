"""Rolling over many replicas of the web, against a hand-written loop with the same batch size."""

from __future__ import annotations

from bench.report import limit, ratio, show
from bench.sides import SLOTS, Floor, Kit, Phases, pair, shas

RATIO = 1.3


def bench(rounds: int, replicas: int, surges: tuple[int, ...]) -> list[bool]:
    """Measure with each of these batch sizes, print it, and tell of each whether it held."""
    with pair(web_alone=True) as (kit, floor):
        kit.settle(web=f"replicas = {replicas}")
        kit.release(shas(kit)[0])
        floor.hand_over(shas(floor)[0])
        floor.script("floor_rolling.sh", shas(floor)[0], "none", SLOTS[0], replicas, replicas)
        count = 0
        held = []
        for surge in surges:
            theirs, ours = compare(kit, floor, surge, range(count, count + rounds), replicas)
            count += rounds
            what = f"{replicas} replicas, {surge} at a time"
            show(f"rolling, {what}: hand-written loop", theirs)
            show(f"rolling, {what}: releasekit", ours)
            taken = ratio(ours, theirs)
            held.append(limit(f"rolling / hand-written loop, {what}", taken, RATIO))
    return held


def compare(
    kit: Kit, floor: Floor, surge: int, numbers: range, replicas: int
) -> tuple[list[Phases], list[Phases]]:
    """Release both shops in turn; the floor's runs and ours."""
    options = f"max_surge = {surge}\nmax_unavailable = 0"
    kit.settle('strategy = "rolling"', f"replicas = {replicas}", f"[strategies.rolling]\n{options}")
    theirs: list[Phases] = []
    ours: list[Phases] = []
    for number in numbers:
        slots = SLOTS[number % 2], SLOTS[(number + 1) % 2]
        sha = shas(floor)[(number + 1) % 2]
        theirs.append(floor.script("floor_rolling.sh", sha, *slots, replicas, surge))
        ours.append(kit.release(shas(kit)[(number + 1) % 2]))
    return theirs, ours
