"""The ways to release that faults are tried in: together they take every step there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAIL = "mail"
"""A backing service that nobody asks, so that it can be taken away under load."""


@dataclass(frozen=True)
class Way:
    """A way to release: `up` with these arguments and variables."""

    args: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    replicas: int = 1
    """Of web."""
    most: int = 2
    """So many replicas of web run at any time."""
    has_downtime: bool = False
    lacks: str = ""
    """A backing service that is missing before each release."""


WATCHED = (
    """
    import os

    class Plugin(Plugin):
        def plan(self, observed, target, options):
            plan = super().plan(observed, target, options)
            if target.release == observed.current:
                return plan  # a way back waits for nothing
            steps, seconds = [], float(os.environ.get("WATCH_SECONDS", "1"))
            for step in plan.steps:
                steps.append(step)
                if isinstance(step, ConfirmRoute):
                    health = [s for s in steps if isinstance(s, AwaitHealthy)]
                    shown = tuple(r for s in health for r in s.replicas)
                    steps.append(Watch(target.release, shown, seconds, "it has to stay well"))
            return replace(plan, steps=tuple(steps))
    """,
)
"""blue-green of a plugin that watches the new release before it lets go of the old one."""

TWO = {"RELEASEKIT_SERVICES__WEB__REPLICAS": "2"}

WAYS = {
    "blue-green": Way(("--strategy", "blue-green", "--set", "keep_previous=removed"), lacks=MAIL),
    "rolling": Way(("--strategy", "rolling"), TWO, replicas=2, most=3),
    "recreate": Way(("--strategy", "recreate"), most=1, has_downtime=True),
    "watched": Way(("--strategy", "watched")),
}

MOMENTS = ("Start", "AwaitHealthy", "Route", "ConfirmRoute", "MarkCurrent", "Stop")
"""Steps of a blue-green release at which something happens to the engine."""

ELSEWHERE = {"Pull": "tests/faults/test_pull.py", "RunOnce": "tests/e2e/test_migration.py"}
"""Steps whose faults are tried in another place: the first comes before there is a plan; the
second, cut short, waits for a person, and not for one command."""
