"""The time that services do not answer, where a plan says that they may not."""

from __future__ import annotations

from dataclasses import dataclass

from releasekit.plan import Plan
from releasekit.steps import Phase, Step, Stop


@dataclass
class Downtime:
    """A stopwatch for it; it outlives a failed plan, for it goes on until the previous release
    serves again."""

    seconds: float | None = None
    since: float | None = None

    def heed(self, step: Step, plan: Plan, now: float) -> None:
        """Begin with the first stop of a service that the plan declares down."""
        if not isinstance(step, Stop) or step.phase is Phase.SETTLE:
            return
        if self.since is None and {r.service for r in step.replicas} & {*plan.downtime}:
            self.since = now

    def end(self, now: float) -> float | None:
        """All of it, if that went on until now; None when nothing was down."""
        if self.since is None:
            return None
        self.seconds = (self.seconds or 0.0) + now - self.since
        self.since = None
        return self.seconds
