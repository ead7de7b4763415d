"""What is left to do when a release fails and there is no earlier one to go back to."""

from __future__ import annotations

from releasekit.observed import Observed
from releasekit.plan import Plan
from releasekit.steps import Phase
from releasekit.strategies.base import clear


def abandon(observed: Observed, release: str) -> Plan:
    """Remove the containers of the failed `release`; nothing else is touched."""
    return Plan(
        strategy="abandon",
        release=release,
        based_on=observed.fingerprint(),
        steps=clear(observed.of(release), "it failed, and nothing came before it", Phase.SETTLE),
    )
