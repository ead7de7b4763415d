"""Garbage in a record of the journal: whatever reads it goes on, and misleads nobody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from releasekit import chain, journal
from releasekit.chain import SCHEMA, Reading
from releasekit.cli.json_lines import JsonLines
from releasekit.cli.render import Terminal
from releasekit.errors import StrategyError
from releasekit.holding import require_free, restored
from releasekit.observed import Observed
from releasekit.outcome import Status
from releasekit.status import hold_of, journal_problems, status_of

A, B = "1a" * 20 + "~0a0a0a0a", "2b" * 20 + "~0b0b0b0b"
CHOSEN = {"strategy": "blue-green", "options": {}}
WHO = {"at": "2026-11-20T06:15:09+00:00", "by": "kim", "origin": "ci-7"}
WAYS: dict[str, Any] = {"strategies": {"default": CHOSEN, "services": {"api": CHOSEN}}}
RECORDS: tuple[dict[str, Any], ...] = (
    {"event": "begin", "run": "1", "kind": "up", "release": A, "subject": "fix", "author": "Kim"},
    {"event": "migration", "run": "1", "release": A, "state": "begin"},
    {"event": "commit", "run": "1", "release": A},
    {"event": "end", "run": "1", "result": "degraded", "reason": "why", "seconds": 2.5},
    {"event": "hold", "run": "2", "release": B, **WAYS},
    {"event": "end", "run": "2", "result": "held", "seconds": 2.5, "downtime_s": 0.5},
    {"event": "begin", "run": "3", "kind": "promote", "release": B, "services": {"api": "rolling"}},
    {"event": "step", "run": "3", "state": "begin", "step": "Route"},
)
KEYS = [
    (number, key) for number, record in enumerate(RECORDS) for key in {**record, **WHO, "prev": ""}
]
GARBAGE = (
    *(None, True, -1, 10**400, float("nan"), float("inf"), [], [[]], {}, {"default": []}),
    *("", "x", "\0", "../" * 20, "x" * 5000, "\ud800", "\x1b[2J\n", "0001-01-01T00:00+23:59"),
)


def edited(number: int, key: str, value: object) -> Reading:
    """A journal in which the record of this number was made to have this value there."""
    text, before = "", ""
    for at, facts in enumerate(RECORDS, start=1):
        line = before = chain.linked(before, at, {**WHO, **facts})
        if at - 1 == number:
            line = json.dumps(json.loads(line) | {key: value})
        text += f"{line}\n"
    return chain.read(text)


def status(reading: Reading) -> Status:
    records, observed = reading.records, Observed("shop")
    held = journal.hold(records)
    found = status_of(
        observed,
        hold_of(held, observed, {}) if held else None,
        journal.unfinished(records),
        journal.degraded(records),
    )
    problems = (*found.problems, *journal_problems(reading, is_running=False))
    return replace(found, problems=problems)


def decided(records: tuple[Mapping[str, Any], ...]) -> None:
    """All that a run goes by."""
    held = journal.hold(records) or journal.cut_short(records)
    stack = journal.committed(records)
    journal.strategies_of(records, stack[-1] if stack else "")
    journal.strategies_in(journal.open_run(records) or {})
    journal.migrated(records)
    require_free(held, held["release"] if held else "", "a release")
    told = held.get("strategies") if held else None
    if told != WAYS["strategies"]:  # which is not looked for each time
        with pytest.raises(StrategyError):
            restored(told)


@pytest.mark.parametrize(("number", "key"), KEYS)
def test_garbage_in_any_key_of_any_record_is_read_shown_and_decided_by(
    number: int, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    readings = [edited(number, key, value) for value in GARBAGE]
    for reading in readings:
        decided(reading.records)
    # All of them at once: to lay out a table takes time.
    entries = [entry for reading in readings for entry in journal.history(reading.records)]
    found = [status(reading) for reading in readings]
    problems = tuple(problem for each in found for problem in each.problems)
    for output in (Terminal(), JsonLines("status")):
        output.history(entries)
        output.status(replace(found[0], problems=problems), "")
        for held in {each.held for each in found}:
            output.status(Status(Observed("shop"), "", held=held), "")
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("{"):
            json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("value", [v for v in GARBAGE if v != "x"], ids=repr)
def test_a_record_of_what_can_be_no_release_counts_for_nothing(value: object) -> None:
    (commit,) = (n for n, record in enumerate(RECORDS) if record["event"] == "commit")
    reading = edited(commit, "release", value)

    assert journal.committed(reading.records) == ()
    assert reading.problems


def test_nothing_of_it_is_garbage() -> None:
    assert edited(0, "schema", SCHEMA).is_whole
