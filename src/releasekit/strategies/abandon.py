"""What is left to do when a release fails and there is no earlier one to go back to."""

from __future__ import annotations

from releasekit.observed import Observed
from releasekit.plan import Plan
from releasekit.steps import Phase
from releasekit.strategies.base import clear


def abandon(observed: Observed, release: str) -> Plan:
    """Remove the containers of the failed `release`; nothing else is touched.

    One that nginx sends requests to stays where something else runs: that is of no release that
    could be routed to, so the failed one is all that answers.
    """
    failed = observed.of(release)
    is_alone = not any(r.running for r in observed.replicas if r.release != release)
    gone = [r for r in failed if is_alone or r.name not in observed.route.names]
    return Plan(
        strategy="abandon",
        release=release,
        based_on=observed.fingerprint(),
        steps=clear(gone, "it failed, and nothing came before it", Phase.SETTLE),
    )
