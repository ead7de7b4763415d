"""The way back after a failure: not the reversed steps, but a plan from what is observed now.

Reversing steps forgets the gates: traffic would go to what was never proven healthy again.
"""

from __future__ import annotations

from typing import Protocol

from releasekit.check import checked_plan
from releasekit.observed import Observed
from releasekit.plan import Plan
from releasekit.strategies.abandon import abandon
from releasekit.strategies.mixed import Mix
from releasekit.target import Target


class Earlier(Protocol):
    """A stored release that can be gone back to."""

    def target(self) -> Target: ...


def way_back(
    before: Observed,
    observed: Observed,
    failed: str,
    previous: Earlier | None,
    mix: Mix,
) -> Plan:
    """The plan from what the `failed` release left behind to `previous`, or, for want of one, to
    what was there `before`."""
    if previous is None:
        return abandon(before, observed, failed)
    return checked_plan(mix, observed, previous.target())
