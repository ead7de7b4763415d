"""What the verbs of a project answer with: plain, frozen facts."""

from __future__ import annotations

from dataclasses import dataclass

from releasekit.observed import Observed


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an `up` or `rollback` ended well.

    `result` is "released", "rolled-back" or "nothing-to-do"; `release` and `previous` are release
    ids ("" for none); `downtime_s` is measured, None when the strategy has none.
    """

    result: str
    release: str
    previous: str
    strategy: str
    run: str
    seconds: float
    downtime_s: float | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One run as the journal tells it. `started` is UTC in ISO 8601; `result` is that of
    `RunEnded` ("degraded": the way back failed too), and of a run that did not end "running" for
    the newest and "killed" for any other."""

    number: int
    run: str
    kind: str
    release: str
    subject: str
    author: str
    by: str
    origin: str
    strategy: str
    started: str
    seconds: float | None
    result: str
    reason: str = ""
    downtime_s: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What serves now, and whatever does not fit together."""

    observed: Observed
    live: str
    """The id of the release that gets the traffic; "" when none does."""
    problems: tuple[str, ...] = ()
