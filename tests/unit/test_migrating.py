"""A migration that was not seen to end: a person decides, and nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from releasekit.errors import MigrationUnfinished, UsageError
from releasekit.migrating import Decision, decided, require_decided
from releasekit.observed import Observed

A = "a" * 40 + "~0a"
UNFINISHED: Mapping[str, Any] = {"release": A, "at": "2026-11-20T06:15:09.000+00:00"}
DECISIONS: tuple[Decision, ...] = ("done", "again")
each_decision = pytest.mark.parametrize("decision", DECISIONS)


def test_nobody_has_to_decide_what_ended() -> None:
    require_decided(None, None, "", runs=False)


@each_decision
def test_what_ended_cannot_be_decided(decision: Decision) -> None:
    with pytest.raises(UsageError, match="no migration waits for a decision") as caught:
        require_decided(None, decision, "", runs=False)
    assert f"--migration {decision}" in caught.value.hint


def test_without_a_decision_it_says_what_to_check_and_the_two_commands() -> None:
    with pytest.raises(MigrationUnfinished) as caught:
        require_decided(UNFINISHED, None, "its container is gone", runs=False)
    assert caught.value.message == (
        "the migration of aaaaaaa began 2026-11-20 06:15 UTC and was not seen to end: "
        "its container is gone"
    )
    assert caught.value.exit_code == 3
    for command in ("up --migration done", "up --migration again", "rollback"):
        assert f"`releasekit {command}`" in caught.value.hint
    assert "at the database" in caught.value.hint


@each_decision
def test_what_still_runs_cannot_be_decided_yet(decision: Decision) -> None:
    with pytest.raises(MigrationUnfinished, match="still runs") as caught:
        require_decided(UNFINISHED, decision, "its container still runs", runs=True)
    assert caught.value.hint.startswith("wait for its end")


@each_decision
def test_once_it_ended_it_goes_on_as_decided(decision: Decision) -> None:
    require_decided(UNFINISHED, decision, "its container is gone", runs=False)
    migrated = decided(Observed("shop"), UNFINISHED, decision).migrated
    assert migrated == ({A} if decision == "done" else set())


def test_where_nothing_was_decided_nothing_changes() -> None:
    assert decided(Observed("shop"), None, None) == Observed("shop")
