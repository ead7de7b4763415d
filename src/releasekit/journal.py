"""The record of runs on the host: JSON lines, each on disk before the run goes on.

It tells history, and which releases were committed to. What runs and what nginx serves is not
read from here: that is observed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from releasekit import chain
from releasekit.chain import MEND, Reading
from releasekit.errors import HostError
from releasekit.events import EventSink, Warned
from releasekit.observed import Observed
from releasekit.outcome import HistoryEntry
from releasekit.ports import Clock, Host

TAIL_BYTES = 64 * 1024
"""So much of the journal's end holds its last line, or else all of it is read."""

_LONGEST_S = 1e9
"""No run takes so long."""


class Journal:
    """One project's journal at `path` on `host`. Who writes holds the project's lock."""

    def __init__(self, host: Host, clock: Clock, path: str) -> None:
        self._host = host
        self._clock = clock
        self._path = path
        self._head = f"{path}.head"

    def write(self, event: str, run: str, **facts: object) -> None:
        """Append one line; it is on disk when this returns."""
        text = self._host.tail(self._path, TAIL_BYTES)
        before = _last_line(text)
        # Only where the whole line is there, and tells its number.
        last = chain.number_of(before) if len(before) + 1 < len(text) else 0
        if not last:
            text = self._host.read(self._path) or ""
            before, last = _last_line(text), chain.read(text).last
        self._append(event, run, facts, text, before, last)

    def read(self) -> Reading:
        """What it says, whatever has become of it."""
        head = self._host.read(self._head) or ""  # first: an older head is as true
        return chain.read(self._host.read(self._path) or "", head)

    def records(self) -> tuple[Mapping[str, Any], ...]:
        """Every record that can be understood; what is torn or foreign is passed over."""
        return self.read().records

    def mend(self, run: str, found: Sequence[str]) -> None:
        """Record what was `found` wrong with the lines so far; they are not found wrong again."""
        text, head = self._host.read(self._path) or "", self._host.read(self._head) or ""
        last = max(chain.read(text).last, chain.count_of(head))
        self._append(MEND, run, {"found": list(found)}, text, _last_line(text), last)

    def _append(
        self, event: str, run: str, facts: Mapping[str, object], text: str, before: str, last: int
    ) -> None:
        record = {"event": event, "run": run, "at": self._clock.utc(), **facts}
        line = chain.linked(before, last + 1, record)
        first = "\n" if text and not text.endswith("\n") else ""  # ends a line that was torn
        self._host.append(self._path, f"{first}{line}\n")
        # Of steps there are many, and the next record of a release tells of them as well.
        lasting = event != "step"
        with suppress(HostError):  # the record is there, and an older head is as true
            self._host.write(self._head, chain.head_of(line, last + 1), lasting=lasting)


@contextmanager
def if_possible(events: EventSink) -> Iterator[None]:
    """Write to a journal within this where nothing may stop because the disk is full: that it is
    not written is told instead."""
    try:
        yield
    except HostError as error:
        events(Warned(f"not in the journal: {error.message}"))


def _last_line(text: str) -> str:
    return text.rstrip("\n").rpartition("\n")[2]


def history(
    records: Iterable[Mapping[str, Any]], *, is_running: bool = True
) -> tuple[HistoryEntry, ...]:
    """The runs, newest first, by their order in the journal and never by a clock.

    Of those that have no end the newest runs still if any `is_running`: the lock lets no second
    one begin. The others were killed.
    """
    began = [record for record in records if record["event"] == "begin"]
    ended = {record["run"]: record for record in records if record["event"] == "end"}
    killed, running = {"result": "killed"}, len(began) if is_running else 0
    entries = [
        _entry(number, begin, ended.get(begin["run"], {} if number == running else killed))
        for number, begin in enumerate(began, start=1)
    ]
    return tuple(reversed(entries))


def degraded(records: Iterable[Mapping[str, Any]]) -> str | None:
    """Why the last run that ended needed a way back that failed too; None when it did not come to
    that."""
    last: Mapping[str, Any] = {}
    for record in records:
        if record["event"] == "end":
            last = record
    return str(last.get("reason", "")) if last.get("result") == "degraded" else None


def _entry(number: int, begin: Mapping[str, Any], end: Mapping[str, Any]) -> HistoryEntry:
    return HistoryEntry(
        number=number,
        run=begin["run"],
        kind=str(begin.get("kind", "")),
        release=str(begin.get("release", "")),
        subject=str(begin.get("subject", "")),
        author=str(begin.get("author", "")),
        by=str(begin.get("by", "")),
        origin=str(begin.get("origin", "")),
        strategy=_strategies(begin),
        started=str(begin.get("at", "")),
        seconds=_seconds(end.get("seconds")),
        result=str(end.get("result", "running")),
        reason=str(end.get("reason", "")),
        downtime_s=_seconds(end.get("downtime_s")),
    )


def _seconds(value: object) -> float | None:
    """None for what is no duration; a file that was damaged may have any value."""
    if isinstance(value, int | float) and 0 <= value < _LONGEST_S:
        return float(value)
    return None


def recalled(observed: Observed, records: Sequence[Mapping[str, Any]]) -> Observed:
    """`observed` with what only the journal knows."""
    return replace(
        observed,
        current=next(reversed(committed(records)), ""),
        committed=ever_committed(records),
        held=held(records),
        migrated=migrated(records),
    )


def committed(records: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The ids of the releases that were committed to and not rolled back from, oldest first.

    The last one is the current release, the one before it is where a rollback goes. A rollback
    takes back what came after its target: a second rollback goes one release further, and never
    to the one that was just left. Released once more, a release comes after all others.
    """
    stack: list[str] = []
    kinds: dict[str, str] = {}
    for record in records:
        if record["event"] == "begin":
            kinds[record["run"]] = str(record.get("kind", ""))
        elif record["event"] == "commit":
            release = record["release"]
            if release in stack and kinds.get(record["run"]) == "rollback":
                del stack[stack.index(release) + 1 :]
            else:
                stack = [*(earlier for earlier in stack if earlier != release), release]
    return tuple(stack)


def ever_committed(records: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The ids of all releases that were ever committed to."""
    return frozenset(str(r["release"]) for r in records if r["event"] == "commit")


def hold(records: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The record of the release that is held before its cutover; None when there is none.

    A hold ends when its release is committed to, or when it is aborted.
    """
    found: Mapping[str, Any] | None = None
    for record in records:
        match record["event"]:
            case "hold":
                found = record
            case "commit" if found is not None and record["release"] == found["release"]:
                found = None
            case "end" if record.get("result") == "aborted":
                found = None
            case _:
                pass
    return found


def held(records: Iterable[Mapping[str, Any]]) -> str:
    """The id of the release that is held before its cutover; "" when there is none."""
    found = hold(records)
    return str(found["release"]) if found is not None else ""


def migrated(records: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The ids of the releases whose migration ended well, or was said to have, by a person."""
    ended = (r for r in records if r["event"] == "migration" and r.get("state") == "done")
    return frozenset(str(record["release"]) for record in ended)


def unfinished(records: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The record of the migration that began and did not end, and of which no person has said how
    it is to go on; None when there is none."""
    newest = None
    for record in records:
        newest = record if record["event"] == "migration" else newest
    return newest if newest is not None and newest.get("state") == "begins" else None


def cut_short(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The record of the hold whose promotion, the newest run, was killed: whether or not it had
    committed to the release by then."""
    opened = open_run(records) or {}
    if opened.get("kind") != "promote":
        return None
    holds = {record["release"]: record for record in records if record["event"] == "hold"}
    return holds.get(str(opened.get("release")))


def open_run(records: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The begin of the newest run, if that has no end: it goes on, or it was cut short."""
    newest: Mapping[str, Any] | None = None
    for record in records:
        if record["event"] == "begin":
            newest = record
        elif record["event"] == "end" and newest is not None and record["run"] == newest["run"]:
            newest = None
    return newest


def strategies_of(
    records: Iterable[Mapping[str, Any]], release: str
) -> tuple[str, Mapping[str, str]]:
    """The strategy of the run that last committed to `release` ("": none is known), and those
    that services had instead."""
    records = tuple(records)
    runs = [r["run"] for r in records if r["event"] == "commit" and r["release"] == release]
    begins = {r["run"]: r for r in records if r["event"] == "begin"}
    return strategies_in(begins.get(runs[-1], {}) if runs else {})


def strategies_in(begin: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    """The strategy of the run that began so, and those that services had instead."""
    services = begin.get("services")
    known = services if isinstance(services, dict) else {}
    return str(begin.get("strategy", "")), {str(k): str(v) for k, v in known.items()}


def _strategies(begin: Mapping[str, Any]) -> str:
    """As people read them: "blue-green, worker: recreate"."""
    default, services = strategies_in(begin)
    others = [f"{service}: {name}" for service, name in services.items() if name != default]
    return ", ".join([default, *sorted(others)])
