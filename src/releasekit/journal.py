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

OF_A_RELEASE = ("commit", "hold")
"""The records that decide what a release is taken for."""


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
    is_of_release = record.get("event") in OF_A_RELEASE
    needed = ("event", "run", "release") if is_of_release else ("event", "run")
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
        strategy=_strategies(begin),
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


def cut_short(records: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The record of the hold whose promotion, the newest run, was killed: whether or not it had
    committed to the release by then."""
    holds: dict[str, Mapping[str, Any]] = {}
    newest: Mapping[str, Any] | None = None
    for record in records:
        match record["event"]:
            case "hold":
                holds[record["release"]] = record
            case "begin":
                newest = record
            case "end":
                newest = None
            case _:
                pass
    if newest is None or newest.get("kind") != "promote":
        return None
    return holds.get(str(newest.get("release")))


def strategies_of(
    records: Iterable[Mapping[str, Any]], release: str
) -> tuple[str, Mapping[str, str]]:
    """The strategy of the run that last committed to `release` ("": none is known), and those
    that services had instead."""
    records = tuple(records)
    runs = [r["run"] for r in records if r["event"] == "commit" and r["release"] == release]
    begins = {r["run"]: r for r in records if r["event"] == "begin"}
    return _chosen(begins.get(runs[-1], {}) if runs else {})


def _chosen(begin: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    services = begin.get("services")
    known = services if isinstance(services, dict) else {}
    return str(begin.get("strategy", "")), {str(k): str(v) for k, v in known.items()}


def _strategies(begin: Mapping[str, Any]) -> str:
    """As people read them: "blue-green, worker: recreate"."""
    default, services = _chosen(begin)
    others = [f"{service}: {name}" for service, name in services.items() if name != default]
    return ", ".join([default, *sorted(others)])
