"""What is left to do when a release fails and there is no earlier one to go back to."""

from __future__ import annotations

from releasekit.observed import Observed
from releasekit.plan import Plan
from releasekit.steps import Phase
from releasekit.strategies.base import clear


def abandon(before: Observed, observed: Observed, release: str) -> Plan:
    """Remove what the failed `release` started; what was there `before` is not touched.

    It stays when nginx sends it requests: there is no release to send those to instead.
    """
    earlier = {replica.id for replica in before.replicas}
    failed = [replica for replica in observed.of(release) if replica.id not in earlier]
    is_asked = any(replica in failed for replica in observed.routed())
    return Plan(
        strategy="abandon",
        release=release,
        based_on=observed.fingerprint(),
        steps=clear(
            () if is_asked else failed, "it failed, and nothing came before it", Phase.SETTLE
        ),
    )
