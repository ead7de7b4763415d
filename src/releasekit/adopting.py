"""A stack that plain `docker compose up -d` started: it is taken over as a release, as it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from releasekit.bundle import BundleStore
from releasekit.journal import Journal
from releasekit.observed import PLAIN, Observed, Replica
from releasekit.preparing import Pinned

KIND = "adopt"
"""The kind of the run that an adoption is in the journal: it changes nothing else."""


def strangers(observed: Observed) -> list[Replica]:
    """The replicas to take over: what plain compose runs before the first `up`.

    What it started since then is a stray, not what serves.
    """
    if observed.current:
        return []
    return [r for r in observed.replicas if not r.release and r.slot == PLAIN and r.running]


@dataclass(frozen=True, slots=True)
class Adopted:
    """A release that plain compose started, taken over as it runs."""

    pinned: Pinned

    def known(self, observed: Observed) -> Observed:
        """`observed` as it will be once this is recorded."""
        bundle = self.pinned.bundle
        replicas = tuple(
            replace(r, release=bundle.id)
            if not r.release and bundle.images.get(r.service) == r.image
            else r
            for r in observed.replicas
        )
        committed = observed.committed | {bundle.id}
        return replace(
            observed,
            replicas=tuple(sorted(replicas)),
            current=observed.current or bundle.id,
            committed=committed,
        )

    def record(
        self, store: BundleStore, journal: Journal, run: str, who: Mapping[str, str]
    ) -> None:
        """Write it down, in the name of this run: a rollback can then go back to it.

        Cut short before its commit, it is as if it had not begun.
        """
        release = self.pinned.bundle.id
        self.pinned.save(store)
        journal.write("begin", run, kind=KIND, release=release, strategy="recreate", **who)
        journal.write("commit", run, release=release)
        journal.write("end", run, result="released", seconds=0.0)
