"""The record of runs on the host: JSON lines, each on disk before the run goes on.

It tells history, and which releases were committed to. What runs and what nginx serves is not
read from here: that is observed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from releasekit.outcome import HistoryEntry
from releasekit.ports import Clock, Host

SCHEMA = 1


class Journal:
    """One project's journal at `path` on `host`."""

    def __init__(self, host: Host, clock: Clock, path: str) -> None:
        self._host = host
        self._clock = clock
        self._path = path

    def write(self, event: str, run: str, **facts: object) -> None:
        """Append one line; it is on disk when this returns."""
        record = {"schema": SCHEMA, "event": event, "run": run, "at": self._clock.utc(), **facts}
        self._host.append(self._path, json.dumps(record, ensure_ascii=False) + "\n")

    def records(self) -> tuple[Mapping[str, Any], ...]:
        """Every record that can be understood; what is torn or foreign is passed over."""
        text = self._host.read(self._path) or ""
        # Not `splitlines`: a commit's subject may hold a U+2028.
        return tuple(record for line in text.split("\n") if (record := _parse(line)))


def _parse(line: str) -> Mapping[str, Any] | None:
    """The record in `line`, which may stand after one that was torn before its line's end."""
    try:
        record = json.loads(line[max(line.rfind('{"schema": '), 0) :])
    except ValueError:
        return None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        return None
    return record if _is_whole(record) else None


def _is_whole(record: Mapping[str, Any]) -> bool:
    needed = ("event", "run", "release") if record.get("event") == "commit" else ("event", "run")
    return all(isinstance(record.get(key), str) for key in needed)


def history(records: Iterable[Mapping[str, Any]]) -> tuple[HistoryEntry, ...]:
    """The runs, newest first, by their order in the journal and never by a clock.

    Of those that have no end only the newest may be running: the lock lets no second one begin.
    """
    began = [record for record in records if record["event"] == "begin"]
    ended = {record["run"]: record for record in records if record["event"] == "end"}
    killed = {"result": "killed"}
    entries = [
        _entry(number, begin, ended.get(begin["run"], killed if number < len(began) else {}))
        for number, begin in enumerate(began, start=1)
    ]
    return tuple(reversed(entries))


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
        strategy=str(begin.get("strategy", "")),
        started=str(begin.get("at", "")),
        seconds=end.get("seconds"),
        result=str(end.get("result", "running")),
        reason=str(end.get("reason", "")),
        downtime_s=end.get("downtime_s"),
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


def strategies_of(
    records: Iterable[Mapping[str, Any]], release: str
) -> tuple[str, Mapping[str, str]]:
    """The strategy of the run that last committed to `release` ("": none is known), and those
    that services had instead."""
    records = tuple(records)
    runs = [r["run"] for r in records if r["event"] == "commit" and r["release"] == release]
    begins = {r["run"]: r for r in records if r["event"] == "begin"}
    began = begins.get(runs[-1], {}) if runs else {}
    services = began.get("services")
    known = services if isinstance(services, dict) else {}
    return str(began.get("strategy", "")), {str(k): str(v) for k, v in known.items()}
