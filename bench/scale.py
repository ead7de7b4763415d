"""Blue-green to many replicas of the shop's web, against compose alone."""

from __future__ import annotations

from bench.report import limit, ratio, show
from bench.sides import Floor, Kit, Phases, pair, shas

RATIO = 1.2


def bench(rounds: int, replicas: int) -> list[bool]:
    """Measure it from one replica and from as many, print it, and tell of each whether it held."""
    with pair(web_alone=True) as (kit, floor):
        kit.release(shas(kit)[0])
        floor.hand_over(shas(floor)[0])
        return [compare(kit, floor, before, replicas, rounds) for before in (1, replicas)]


def compare(kit: Kit, floor: Floor, before: int, replicas: int, rounds: int) -> bool:
    """Bring both sides from `before` replicas of one release to `replicas` of the other."""
    theirs: list[Phases] = []
    ours: list[Phases] = []
    for number in range(rounds):
        old, new = number % 2, (number + 1) % 2
        floor.script("floor_scale.sh", shas(floor)[old], before)
        kit.settle(web=f"replicas = {before}")
        kit.release(shas(kit)[old])
        theirs.append(floor.script("floor_scale.sh", shas(floor)[new], replicas))
        kit.settle(web=f"replicas = {replicas}")
        ours.append(kit.release(shas(kit)[new]))
    what = f"from {before} to {replicas} replicas"
    show(f"{what}: compose up --scale", theirs)
    show(f"{what}: blue-green", ours)
    return limit(f"blue-green / compose, {what}", ratio(ours, theirs), RATIO)
