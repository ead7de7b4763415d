"""A migration that began and was not seen to end: what a person is told, and decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from releasekit.errors import MigrationUnfinished, UsageError
from releasekit.naming import minute
from releasekit.observed import Observed
from releasekit.release import short

Decision = Literal["done", "again"]
"""What a person found out: it is complete, or it is to be run once more."""


NEXT = (
    "look at its log (`docker logs`) and at the database; "
    "if it is complete, `releasekit up --migration done` goes on without it; "
    "else `releasekit up --migration again` runs it once more; `releasekit rollback` runs none"
)


def require_decided(
    unfinished: Mapping[str, Any] | None, decision: Decision | None, told: str, *, runs: bool
) -> None:
    """Raise `MigrationUnfinished` while nobody has decided, or it still `runs`; `told` says what
    became of its container. Raises `UsageError` when there is nothing to decide."""
    if unfinished is None:
        if decision is not None:
            raise UsageError(
                "no migration waits for a decision",
                hint=f"leave out `--migration {decision}`",
            )
        return
    if decision is not None and not runs:
        return
    release, since = short(unfinished["release"]), minute(str(unfinished.get("at", "")))
    began = f"began {since} and was not seen to end"
    first = "wait for its end (`docker wait`), then " if runs else ""
    raise MigrationUnfinished(f"the migration of {release} {began}: {told}", hint=f"{first}{NEXT}")


def decided(
    observed: Observed, unfinished: Mapping[str, Any] | None, decision: Decision | None
) -> Observed:
    """`observed` as it is after this decision."""
    if unfinished is None or decision != "done":
        return observed
    return replace(observed, migrated=observed.migrated | {str(unfinished["release"])})
