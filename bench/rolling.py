"""Rolling over many replicas of the web, against a hand-written loop with the same batch size."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report import limit, ratio, show
from bench.sides import Floor, Kit, Phases, pair

RATIO = 1.3


def bench(rounds: int, replicas: int, surges: Iterable[int]) -> list[bool]:
    """Measure with each of these batch sizes, print it, and tell of each whether it held."""
    with pair(web_alone=True) as (kit, floor):
        floor.hand_over()
        floor.release("floor_rolling.sh", replicas, replicas)
        kit.settle(web=f"replicas = {replicas}")
        kit.release()
        return [compare(kit, floor, surge, rounds, replicas) for surge in surges]


def compare(kit: Kit, floor: Floor, surge: int, rounds: int, replicas: int) -> bool:
    """Release both shops in turn."""
    options = f"max_surge = {surge}\nmax_unavailable = 0"
    kit.settle('strategy = "rolling"', f"replicas = {replicas}", f"[strategies.rolling]\n{options}")
    theirs: list[Phases] = []
    ours: list[Phases] = []
    for _ in range(rounds):
        theirs.append(floor.release("floor_rolling.sh", replicas, surge))
        ours.append(kit.release())
    what = f"{replicas} replicas, {surge} at a time"
    show(f"{what}: hand-written loop", theirs)
    show(f"{what}: rolling", ours)
    return limit(f"rolling / hand-written loop, {what}", ratio(ours, theirs), RATIO)
