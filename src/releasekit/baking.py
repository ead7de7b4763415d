"""The bake: from nginx's lines to a release's numbers, and from those to a judgement. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

FORMAT = "$msec|$status|$request_time|$upstream_addr|$upstream_status|$upstream_response_time"
"""One line a request: nothing of who asks, nor for what."""

SHARE = 0.95
"""Of the requests that were answered at least as fast as their p95."""
WORSE = 2.0
"""A release is to blame when it is so many times as sick as a sick one before it."""

_BETWEEN = re.compile(r", | : ")
_SWITCHED = 101


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that nginx asked the replica at `address`, logged `at` so many seconds of the epoch.
    `status` is 0 when its client left before
    an answer; `ms` is None for a connection that became a websocket, and may last for hours."""

    address: str
    status: int
    ms: int | None
    at: float

    @property
    def failed(self) -> bool:
        return self.status >= 500


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The addresses of a replica, that are its own `since` so many seconds of the epoch."""

    addresses: tuple[str, ...]
    since: float


Tally = Counter[tuple[bool, int | None]]
"""How often an attempt failed or not, and took so many milliseconds: nginx's own resolution."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a release's replicas answered. `p95_s` is None when no answer had a time."""

    requests: int = 0
    errors: int = 0
    p95_s: float | None = None

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    def __str__(self) -> str:
        p95 = "" if self.p95_s is None else f", p95 {self.p95_s * 1000:.0f} ms"
        return f"{self.errors} of {self.requests} requests failed ({self.error_rate:.1%}){p95}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too much, None for no limit. The p95 is limited in seconds, or by a factor of that
    of the release before. Fewer than `min_requests` tell nothing."""

    max_error_rate: float | None = None
    max_p95_s: float | None = None
    max_p95_factor: float | None = None
    min_requests: int = 50

    @property
    def are_any(self) -> bool:
        limits = (self.max_error_rate, self.max_p95_s, self.max_p95_factor)
        return any(limit is not None for limit in limits)


class Judgement(Enum):
    FINE = "fine"
    BREACH = "breach"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement; `why` has the numbers."""

    judgement: Judgement
    why: str


FINE = Verdict(Judgement.FINE, "")


def attempts(line: str) -> tuple[Attempt, ...]:
    """What a line says, an attempt for each replica that nginx asked: none when it answered by
    itself. Raises `ValueError` for what is no line of this format."""
    at, *fields = line.split("|")
    if len(fields) != FORMAT.count("|"):
        raise ValueError("not a line of nginx's log for releasekit")
    columns = [_BETWEEN.split(field) for field in fields[2:]]
    rows = zip(*columns, strict=True)
    return tuple(_attempt(float(at), *row) for row in rows if row[0] != "-")


def _attempt(at: float, address: str, status: str, seconds: str) -> Attempt:
    code = 0 if status == "-" else int(status)
    is_timed = seconds != "-" and code != _SWITCHED
    ms = round(float(seconds) * 1000) if is_timed else None
    return Attempt(_host(address), code, ms, at)


def _host(address: str) -> str:
    """The address without its port, an IPv6 one without its brackets."""
    return address.rpartition(":")[0].strip("[]")


def tally(lines: Iterable[str], replicas: Iterable[Whereabouts]) -> Tally:
    """What these lines say of these replicas together."""
    since = {address: replica.since for replica in replicas for address in replica.addresses}
    known = (attempt for attempt in _attempts(lines) if attempt.address in since)
    # Docker gives an address that gets free to the next container.
    return Counter((each.failed, each.ms) for each in known if each.at >= since[each.address])


def _attempts(lines: Iterable[str]) -> Iterator[Attempt]:
    """A line that is cut off tells nothing: the disk was full, or the log was emptied."""
    for line in lines:
        try:
            yield from attempts(line)
        except ValueError:
            continue


def numbers(tally: Tally) -> Numbers:
    times: Counter[int] = Counter()
    for (_, ms), count in tally.items():
        if ms is not None:
            times[ms] += count
    errors = sum(count for (failed, _), count in tally.items() if failed)
    return Numbers(tally.total(), errors, _quantile(times, SHARE))


def _quantile(times: Counter[int], share: float) -> float | None:
    """The smallest time, in seconds, that at least this share of `times` does not exceed."""
    wanted, seen = share * times.total(), 0
    for ms in sorted(times):
        seen += times[ms]
        if seen >= wanted:
            return ms / 1000
    return None


def judge(limits: Limits, new: Numbers, old: Numbers) -> Verdict:
    """Whether `new` breaks a limit, and `old`, the release before, does not explain it."""
    if not limits.are_any:
        return Verdict(Judgement.FINE, str(new))
    if new.requests < limits.min_requests:
        why = f"{new.requests} requests tell too little (min_requests is {limits.min_requests})"
        return Verdict(Judgement.INCONCLUSIVE, why)
    found = (_errors(limits, new, old), _slowness(limits, new, old))
    for judgement in (Judgement.BREACH, Judgement.INCONCLUSIVE):
        said = [
            f"{verdict.why}; {_told(new, old)}"
            for verdict in found
            if verdict.judgement is judgement
        ]
        if said:
            return Verdict(judgement, said[0])
    return Verdict(Judgement.FINE, str(new))


def _told(new: Numbers, old: Numbers) -> str:
    return f"{new}; the release before: {old}" if old.requests else str(new)


def _errors(limits: Limits, new: Numbers, old: Numbers) -> Verdict:
    most = limits.max_error_rate
    if most is None or new.error_rate <= most:
        return FINE
    what = f"more than max_error_rate {most:.1%}"
    is_known = old.requests >= limits.min_requests
    return _blamed(what, new.error_rate, most, old.error_rate if is_known else None)


def _slowness(limits: Limits, new: Numbers, old: Numbers) -> Verdict:
    before = old.p95_s if old.requests >= limits.min_requests else None
    if limits.max_p95_factor is not None:
        return _slower(limits.max_p95_factor, new, before)
    most = limits.max_p95_s
    if most is None or new.p95_s is None or new.p95_s <= most:
        return FINE
    return _blamed(f"slower than max_p95 {most * 1000:.0f} ms", new.p95_s, most, before)


def _slower(factor: float, new: Numbers, before: float | None) -> Verdict:
    if before is None:
        why = f"max_p95 {factor:g}x has nothing to compare with: too few requests to the old one"
        return Verdict(Judgement.INCONCLUSIVE, why)
    # nginx counts in milliseconds: from 0 to 1 is no factor.
    most = max(before, 0.001) * factor
    if new.p95_s is None or new.p95_s <= most:
        return FINE
    return Verdict(Judgement.BREACH, f"slower than max_p95 {factor:g}x, {most * 1000:.0f} ms")


def _blamed(what: str, new: float, most: float, old: float | None) -> Verdict:
    """`new` is over its limit: that is its fault unless `old` was over it too, nearly as much."""
    if old is not None and most < old and new <= WORSE * old:
        return Verdict(Judgement.INCONCLUSIVE, f"{what}, and so was the release before")
    return Verdict(Judgement.BREACH, what)
