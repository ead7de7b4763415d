"""What the verbs of a project answer with: plain, frozen facts."""

from __future__ import annotations

from dataclasses import dataclass, field

from releasekit.observed import Observed


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended well.

    `result` is "released", "rolled-back", "held", "aborted", "recovered" or "nothing-to-do";
    `release` and `previous` are release ids ("" for none): of a hold that which is held, and that
    which serves.
    `downtime_s` is measured, None when the strategy has none.
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
    `RunEnded` ("degraded": the way back failed too), and of a run that did not end "running" while
    it goes on, else "killed"."""

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
class HeldReplica:
    """A replica of a held release; `address` is a URL on its host, "" while it does not run."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Preview:
    """How a held release is reached through nginx: by a header with the secret, or by a host name
    that begins with it (`<secret>.shop.example`)."""

    header: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hold:
    """A release that is held before its cutover. `since` is UTC in ISO 8601; `preview` is None
    when nginx shows it to nobody."""

    release: str
    since: str
    by: str
    replicas: tuple[HeldReplica, ...] = ()
    preview: Preview | None = None


@dataclass(frozen=True, slots=True)
class Freeze:
    """A lock by hand: nobody releases until it is taken away. `by` whom, from where (`origin`),
    `since` when (UTC in ISO 8601) and why (`message`)."""

    by: str
    origin: str
    since: str
    message: str


@dataclass(frozen=True, slots=True)
class Status:
    """What serves now, and whatever does not fit together."""

    observed: Observed
    live: str
    """The id of the release that gets the traffic; "" when none does."""
    problems: tuple[str, ...] = ()
    held: Hold | None = None
    degraded: bool = False
    """Whether the last run failed, and its way back too: a person has to look, until a run ends
    otherwise."""
    frozen: Freeze | None = None
    running: str = ""
    """The run that goes on, by whom, since when and from where, as people read it; "" for none."""
