"""What was measured, as it is printed and judged."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.sides import Phases


def median(runs: Sequence[Phases], phase: str = "wall") -> float:
    return statistics.median(run.get(phase, 0.0) for run in runs)


def ratio(ours: Sequence[Phases], theirs: Sequence[Phases]) -> float:
    """The median of how much longer ours took than the run of theirs right before it."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(our["wall"] / their["wall"] for our, their in pairs)


def show(title: str, runs: Sequence[Phases]) -> None:
    """Every phase of these runs, in the order in which they came first."""
    print(f"\n{title}, median (least - most) of {len(runs)} releases")
    for name in dict.fromkeys(name for run in runs for name in run):
        taken = [run.get(name, 0.0) for run in runs]
        print(
            f"  {name:<14}{statistics.median(taken):7.3f} s  ({min(taken):.3f} - {max(taken):.3f})"
        )


def limit(what: str, measured: float, most: float) -> bool:
    """Print it with its limit; whether that holds."""
    holds = measured <= most
    verdict = "ok" if holds else "TOO SLOW"
    print(f"{what:<62}{measured:6.2f}  at most {most:.2f}  {verdict}", flush=True)
    return holds
