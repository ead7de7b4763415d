"""Blue-green to many replicas of the shop's web, against compose alone."""

from __future__ import annotations

from bench.report import limit, ratio, show
from bench.sides import Floor, Kit, Phases, pair

RATIO = 1.2


def bench(rounds: int, replicas: int) -> list[bool]:
    """Measure it from one replica and from as many, print it, and tell of each whether it held."""
    with pair(web_alone=True) as (kit, floor):
        floor.hand_over()
        return [compare(kit, floor, before, replicas, rounds) for before in (1, replicas)]


def compare(kit: Kit, floor: Floor, before: int, replicas: int, rounds: int) -> bool:
    """Bring both sides from `before` replicas of a release to `replicas` of the next."""
    theirs: list[Phases] = []
    ours: list[Phases] = []
    for _ in range(rounds):
        floor.scale(before)
        kit.settle(web=f"replicas = {before}")
        for _ in range(2 if before != replicas or not ours else 0):
            kit.release()  # twice: what waits stopped is to be as many
        theirs.append(floor.scale(replicas))
        kit.settle(web=f"replicas = {replicas}")
        ours.append(kit.release())
    what = f"from {before} to {replicas} replicas"
    show(f"{what}: compose up --scale", theirs)
    show(f"{what}: blue-green", ours)
    return limit(f"blue-green / compose, {what}", ratio(ours, theirs), RATIO)
