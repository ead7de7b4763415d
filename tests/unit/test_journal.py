"""The journal: every record is kept, nothing torn or foreign confuses it, and the order tells."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from releasekit.chain import SCHEMA
from releasekit.journal import (
    Journal,
    committed,
    cut_short,
    degraded,
    ever_committed,
    held,
    history,
    hold,
    migrated,
    open_run,
    strategies_of,
    unfinished,
)
from releasekit.testing import FakeClock, FakeHost
from tests.unit.conftest import PATH

A, B, C, D = "abcd"


def run(journal: Journal, release: str, kind: str = "up", *, strategy: str = "blue-green") -> str:
    """A run that ends well."""
    name = f"run-{len(journal.records())}"
    journal.write("begin", name, kind=kind, release=release, strategy=strategy)
    journal.write("commit", name, release=release)
    journal.write("end", name, result="released", seconds=2.5)
    return name


def rollback(journal: Journal, release: str) -> str:
    return run(journal, release, "rollback")


def fail(journal: Journal, result: str) -> None:
    """A run that ends like this."""
    journal.write("begin", f"run-{result}", kind="up", release=B)
    journal.write("end", f"run-{result}", result=result, reason="not healthy")


@pytest.mark.parametrize("result", ["released", "nothing-to-do", "failed", "aborted"])
def test_a_run_whose_way_back_failed_counts_until_one_ends_otherwise(
    journal: Journal, result: str
) -> None:
    run(journal, A)
    assert degraded(journal.records()) is None
    fail(journal, "degraded")
    assert degraded(journal.records()) == "not healthy"
    journal.write("begin", "killed", kind="up", release=C)
    assert degraded(journal.records()) == "not healthy"
    fail(journal, result)
    assert degraded(journal.records()) is None


# Records


def test_what_is_written_is_read_back_in_order(journal: Journal) -> None:
    journal.write("begin", "run-1", release=A, subject="장바구니")
    journal.write("end", "run-1", result="released")
    first, second = journal.records()
    at = "2026-01-01T00:00:00+00:00"
    assert first == {
        "schema": SCHEMA,
        "seq": 1,
        "prev": "",
        "event": "begin",
        "run": "run-1",
        "at": at,
        "release": A,
        "subject": "장바구니",
    }
    assert len(second["prev"]) == 32
    assert second == {
        "schema": SCHEMA,
        "seq": 2,
        "prev": second["prev"],
        "event": "end",
        "run": "run-1",
        "at": at,
        "result": "released",
    }


def test_each_record_is_one_line_that_people_can_read(journal: Journal, host: FakeHost) -> None:
    journal.write("begin", "run-1", subject="two\nlines, 장바구니")
    (line,) = (host.read(PATH) or "").splitlines()
    assert json.loads(line)["subject"] == "two\nlines, 장바구니"
    assert "장바구니" in line


def test_no_journal_yet_has_no_records(journal: Journal) -> None:
    assert journal.records() == ()


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "\n\n",
        "garbage",
        "null",
        "[1]",
        '"begin"',
        "{}",
        '{"schema": 1}',
        '{"schema": 1, "event": "begin"}',
        '{"schema": 1, "event": "begin", "run": ["list"]}',
        '{"schema": 1, "event": "commit", "run": "run-0"}',
        '{"schema": 2, "event": "commit", "run": "run-0", "release": "z"}',
        '{"schema": 2, "seq": "7", "prev": "", "event": "commit", "run": "run-0", "release": "z"}',
        '{"schema": 2, "seq": 7, "prev": 0, "event": "commit", "run": "run-0", "release": "z"}',
        '{"schema": 3, "event": "commit", "run": "run-0", "release": "z"}',
        '{"schema": true, "event": "commit", "run": "run-0", "release": "z"}',
        '{"event": "commit", "run": "run-0", "release": "z"}',
        '{"schema": 1, "event": "commit", "run": "run-0", "rel',
        "\x00\x00\x00\x00",
    ],
)
def test_a_line_that_is_torn_or_foreign_is_passed_over(
    journal: Journal, host: FakeHost, foreign: str
) -> None:
    run(journal, A)
    host.append(PATH, f"{foreign}\n")
    run(journal, B)
    assert committed(journal.records()) == (A, B)
    assert len(history(journal.records())) == 2


@pytest.mark.parametrize("glued", ["", '{"schema": 1, "event": "step", "run": "run-9"}\n'])
def test_a_record_after_one_that_was_torn_by_a_power_cut_is_not_lost_with_it(
    journal: Journal, host: FakeHost, glued: str
) -> None:
    run(journal, A)
    host.append(PATH, '{"schema": 1, "event": "step", "run": "run-9", "wha' + glued)
    run(journal, B)
    assert committed(journal.records()) == (A, B)
    assert strategies_of(journal.records(), B) == ("blue-green", {})


@settings(derandomize=True)
@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
@example("a\u2028b\x85c\u2029d\x1ce", {})
@example('{"schema": 1, "event": "commit", "run": "x", "release": "y"}', {})
def test_no_text_in_a_record_can_break_it_or_forge_another(
    subject: str, facts: dict[str, str | int | None]
) -> None:
    journal = Journal(FakeHost(), FakeClock(), PATH)
    journal.write("begin", "run-1", subject=subject, facts=facts)
    journal.write("commit", "run-1", release=A)
    first, second = journal.records()
    assert (first["subject"], first["facts"]) == (subject, facts)
    assert (first["schema"], second["release"]) == (SCHEMA, A)
    assert journal.read().is_whole


# What was committed to


def test_releases_pile_up_and_the_last_one_is_current(journal: Journal) -> None:
    for release in (A, B, C):
        run(journal, release)
    assert committed(journal.records()) == (A, B, C)


def test_a_run_that_failed_committed_to_nothing(journal: Journal) -> None:
    run(journal, A)
    journal.write("begin", "run-9", kind="up", release=B)
    journal.write("end", "run-9", result="failed")
    assert committed(journal.records()) == (A,)
    assert ever_committed(journal.records()) == {A}


def test_a_rollback_of_a_rollback_goes_one_release_further(journal: Journal) -> None:
    for release in (A, B, C):
        run(journal, release)
    rollback(journal, B)
    assert committed(journal.records()) == (A, B)
    rollback(journal, A)
    assert committed(journal.records()) == (A,)


def test_a_rollback_to_an_older_one_takes_back_all_that_came_after_it(journal: Journal) -> None:
    for release in (A, B, C, D):
        run(journal, release)
    rollback(journal, A)
    assert committed(journal.records()) == (A,)
    assert ever_committed(journal.records()) == {A, B, C, D}


def test_a_release_that_was_rolled_back_from_can_be_gone_forward_to(journal: Journal) -> None:
    for release in (A, B):
        run(journal, release)
    rollback(journal, A)
    rollback(journal, B)
    assert committed(journal.records()) == (A, B)


def test_released_once_more_an_older_one_comes_after_all_others(journal: Journal) -> None:
    for release in (A, B, C, A):
        run(journal, release)
    assert committed(journal.records()) == (B, C, A), "a rollback goes to what ran before: C"


def test_after_a_rollback_the_next_release_follows_the_one_that_was_gone_back_to(
    journal: Journal,
) -> None:
    for release in (A, B):
        run(journal, release)
    rollback(journal, A)
    run(journal, C)
    assert committed(journal.records()) == (A, C)


def test_the_strategies_of_a_release_is_the_one_that_brought_it_last(journal: Journal) -> None:
    run(journal, A, strategy="recreate")
    assert strategies_of(journal.records(), A) == ("recreate", {})
    run(journal, B)
    run(journal, A, "rollback", strategy="blue-green")
    assert strategies_of(journal.records(), A) == ("blue-green", {})
    assert strategies_of(journal.records(), C) == ("", {})


def test_the_strategies_that_services_had_instead_are_told_too(journal: Journal) -> None:
    services = {"worker": "recreate", "api": "rolling"}
    journal.write("begin", "1", kind="up", release=A, strategy="blue-green", services=services)
    journal.write("commit", "1", release=A)
    journal.write("begin", "2", kind="up", release=B, strategy="rolling", services="torn")
    journal.write("commit", "2", release=B)

    assert strategies_of(journal.records(), A) == ("blue-green", services)
    assert strategies_of(journal.records(), B) == ("rolling", {})
    told = [entry.strategy for entry in history(journal.records())]
    assert told == ["rolling", "blue-green, api: rolling, worker: recreate"]


# What is held


def hold_up(journal: Journal, release: str, *, by: str = "kim") -> None:
    name = f"run-{len(journal.records())}"
    journal.write("begin", name, kind="up", release=release)
    journal.write("hold", name, release=release, by=by)
    journal.write("end", name, result="held")


def end(journal: Journal, kind: str, release: str, result: str, *, commits: bool = False) -> None:
    name = f"run-{len(journal.records())}"
    journal.write("begin", name, kind=kind, release=release)
    if commits:
        journal.write("commit", name, release=release)
    journal.write("end", name, result=result)


def test_nothing_is_held_until_somebody_holds_it(journal: Journal) -> None:
    run(journal, A)
    journal.write("begin", "run-9", kind="up", release=B)
    assert held(journal.records()) == ""
    assert hold(journal.records()) is None


def test_a_hold_tells_its_release_and_by_whom_and_commits_to_nothing(journal: Journal) -> None:
    run(journal, A)
    hold_up(journal, B)
    found = hold(journal.records())
    assert found is not None
    assert (found["release"], found["by"]) == (B, "kim")
    assert held(journal.records()) == B
    assert committed(journal.records()) == (A,)


def test_held_once_more_the_last_record_counts(journal: Journal) -> None:
    hold_up(journal, B)
    hold_up(journal, B, by="alex")
    assert (hold(journal.records()) or {})["by"] == "alex"


@pytest.mark.parametrize(
    ("kind", "release", "result", "commits", "left"),
    [
        ("promote", B, "released", True, ""),
        ("up", B, "released", True, ""),
        ("abort", B, "aborted", False, ""),
        ("promote", B, "failed", False, B),
        ("promote", B, "degraded", True, ""),
        ("abort", B, "failed", False, B),
        ("up", C, "failed", False, B),
    ],
)
def test_a_hold_ends_when_its_release_is_committed_to_or_aborted(
    journal: Journal, kind: str, release: str, result: str, *, commits: bool, left: str
) -> None:
    hold_up(journal, B)
    end(journal, kind, release, result, commits=commits)
    assert held(journal.records()) == left


def test_a_torn_hold_is_none(journal: Journal, host: FakeHost) -> None:
    host.append(PATH, '{"schema": 1, "event": "hold", "run": "run-1"}\n')
    assert held(journal.records()) == ""


@pytest.mark.parametrize("commits", [True, False])
def test_a_promotion_that_was_killed_can_go_on(journal: Journal, *, commits: bool) -> None:
    hold_up(journal, B)
    assert cut_short(journal.records()) is None
    journal.write("begin", "run-9", kind="promote", release=B)
    if commits:
        journal.write("commit", "run-9", release=B)
    assert (cut_short(journal.records()) or {})["release"] == B
    journal.write("end", "run-9", result="released")
    assert cut_short(journal.records()) is None


def test_only_the_newest_run_can_be_cut_short(journal: Journal) -> None:
    hold_up(journal, B)
    journal.write("begin", "run-9", kind="promote", release=B)
    journal.write("commit", "run-9", release=B)
    journal.write("begin", "run-10", kind="up", release=C)
    assert cut_short(journal.records()) is None


# History


def test_history_is_newest_first_whatever_the_clock_said(journal: Journal, host: FakeHost) -> None:
    for number, at in enumerate(("2026-03-01", "1970-01-01", "2025-01-01"), start=1):
        record = {"schema": 1, "event": "begin", "run": f"run-{number}", "at": at}
        host.append(PATH, json.dumps(record) + "\n")
    entries = history(journal.records())
    assert [(entry.number, entry.started) for entry in entries] == [
        (3, "2025-01-01"),
        (2, "1970-01-01"),
        (1, "2026-03-01"),
    ]


def test_an_entry_tells_who_what_and_how_it_ended(journal: Journal) -> None:
    facts = {"release": A, "strategy": "recreate", "subject": "Fix", "author": "Kim"}
    journal.write("begin", "run-1", kind="up", by="deploy", origin="ci-7", **facts)
    end = {"result": "failed", "reason": "never healthy", "seconds": 61.5, "downtime_s": 60.25}
    journal.write("end", "run-1", **end)
    (entry,) = history(journal.records())
    assert (entry.run, entry.kind, entry.release, entry.strategy) == ("run-1", "up", A, "recreate")
    assert (entry.subject, entry.author, entry.by, entry.origin) == (
        "Fix",
        "Kim",
        "deploy",
        "ci-7",
    )
    assert (entry.result, entry.reason, entry.seconds, entry.downtime_s) == (
        "failed",
        "never healthy",
        61.5,
        60.25,
    )


def test_a_run_that_never_ended_is_running(journal: Journal) -> None:
    journal.write("begin", "run-1", kind="up", release=A)
    (entry,) = history(journal.records())
    assert (entry.result, entry.seconds, entry.downtime_s) == ("running", None, None)


def test_only_the_newest_run_can_be_running(journal: Journal) -> None:
    journal.write("begin", "run-1", kind="up", release=A)
    journal.write("begin", "run-2", kind="up", release=B)
    assert [entry.result for entry in history(journal.records())] == ["running", "killed"]


def test_steps_and_commits_are_no_entries(journal: Journal) -> None:
    run(journal, A)
    journal.write("step", "run-0", state="begin", step="Start")
    assert len(history(journal.records())) == 1


# The run that is open


def test_a_run_that_has_no_end_is_unfinished_until_it_has_one_or_another_begins(
    journal: Journal,
) -> None:
    assert open_run(journal.records()) is None
    run(journal, A)
    assert open_run(journal.records()) is None
    journal.write("begin", "run-7", kind="up", release=B)
    journal.write("step", "run-7", state="begin")
    opened = open_run(journal.records())
    assert opened is not None
    assert opened["release"] == B
    journal.write("end", "run-6", result="released")
    assert open_run(journal.records()) == opened
    run(journal, C)
    assert open_run(journal.records()) is None
    journal.write("begin", "run-8", kind="up", release=B)
    journal.write("end", "run-8", result="killed")
    assert open_run(journal.records()) is None


# Migrations


def test_a_release_has_migrated_once_that_is_recorded_as_done(journal: Journal) -> None:
    for release, state in ((A, "done"), (B, "failed"), (C, "begins")):
        journal.write("migration", "run-1", release=release, state=state)
    assert migrated(journal.records()) == {A}


@pytest.mark.parametrize("state", ["done", "failed", "again"])
def test_a_migration_without_an_end_is_unfinished(journal: Journal, state: str) -> None:
    assert unfinished(journal.records()) is None
    journal.write("migration", "run-1", release=A, state="begins")
    found = unfinished(journal.records())
    assert found is not None
    assert found["release"] == A
    rollback(journal, B)
    assert unfinished(journal.records()) == found
    journal.write("migration", "run-1", release=A, state=state)
    assert unfinished(journal.records()) is None


def test_a_record_of_a_migration_that_does_not_say_whose_is_passed_over(journal: Journal) -> None:
    journal.write("migration", "run-1", state="begins")
    assert unfinished(journal.records()) is None


def test_a_record_that_is_written_while_somebody_reads_damages_nothing(
    journal: Journal, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write("begin", "run-1", kind="up", release=A)
    read = host.read

    def meanwhile(path: str) -> str | None:
        text = read(path)
        monkeypatch.setattr(host, "read", read)
        journal.write("step", "run-1", state="begin", number=1, step="Start", what="web x1")
        return text

    monkeypatch.setattr(host, "read", meanwhile)
    assert journal.read().is_whole
    assert journal.read().is_whole
