"""What is left to do when a release fails and there is no earlier one to go back to."""

from __future__ import annotations

from releasekit.observed import SLOTS, Observed
from releasekit.plan import Plan
from releasekit.steps import Phase
from releasekit.strategies.base import clear


def abandon(observed: Observed, release: str) -> Plan:
    """Remove the containers of the failed `release`, out of its slot; nothing else is touched.

    They stay when nginx sends them requests: there is no release to send those to instead. What
    runs under the project's own names stays too, for plain compose may have started it.
    """
    failed = [replica for replica in observed.of(release) if replica.slot in SLOTS]
    is_asked = any(replica in failed for replica in observed.routed())
    return Plan(
        strategy="abandon",
        release=release,
        based_on=observed.fingerprint(),
        steps=clear(
            () if is_asked else failed, "it failed, and nothing came before it", Phase.SETTLE
        ),
    )
