"""After a crash one command puts it right, whatever was cut short and whatever the journal says."""

from __future__ import annotations

import json

import pytest

from tests.e2e.shop import Ran, Shop, assert_none_lost, assert_serves, docker, killed

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

DAMAGES = ("cut", "edited", "garbage")


def recover(shop: Shop) -> Ran:
    return shop.releasekit("recover", "--json").ended(0)


@pytest.mark.parametrize(
    ("step", "is_committed"),
    [
        ("ConfirmRoute", False),
        ("Drain", True),
        pytest.param("Announce", False, marks=pytest.mark.slow),
        pytest.param("AwaitHealthy", False, marks=pytest.mark.slow),
        pytest.param("Route", False, marks=pytest.mark.slow),
        pytest.param("MarkCurrent", False, marks=pytest.mark.slow),
    ],
)
def test_what_was_committed_to_serves_after_a_recovery_and_no_client_notices(
    shop: Shop, step: str, is_committed: bool
) -> None:
    second, backing = shop.commit("Say what is new"), shop.backing()
    with shop.load() as load:
        killed(shop, second, step)
        (problem,) = (p for p in shop.status()["problems"] if "cut short" in p)
        assert f"`up {second[:7]}`" in problem
        assert "releasekit recover" in problem
        assert shop.history()[0]["result"] == "killed"

        assert recover(shop).result["result"] == "recovered"
        wanted = second if is_committed else shop.first
        assert_serves(shop, wanted)
        there = shop.containers()
        again = recover(shop)
        assert again.result["result"] == "nothing-to-do"
        assert again.steps == []
        assert shop.containers() == there
    assert_none_lost(shop, load.report)
    assert shop.backing() == backing
    assert [(e["kind"], e["result"]) for e in shop.history()[:2]] == [
        ("recover", "recovered"),
        ("up", "killed"),
    ]


def test_where_all_is_well_there_is_nothing_to_do(shop: Shop) -> None:
    files, there = shop.files(), shop.containers()
    ran = recover(shop)
    assert ran.result["result"] == "nothing-to-do"
    assert (shop.files(), shop.containers()) == (files, there)


@pytest.mark.slow
def test_a_container_that_somebody_removed_comes_back(shop: Shop) -> None:
    (gone,) = (n for n, c in shop.running_app().items() if c.service == "worker")
    docker("rm", "--force", gone)
    assert recover(shop).result["result"] == "recovered"
    assert_serves(shop, shop.first)


@pytest.mark.slow
def test_a_release_that_is_held_is_held_still(shop: Shop) -> None:
    second = shop.commit("Say what is new")
    shop.up("--hold", second).ended(0)
    held = shop.status()["held"]
    assert recover(shop).result["result"] == "nothing-to-do"
    assert shop.status()["held"] == held
    shop.releasekit("abort").ended(0)
    assert_serves(shop, shop.first)


@pytest.mark.slow
def test_the_first_release_of_all_leaves_nothing_or_is_brought_to_its_end(empty_shop: Shop) -> None:
    shop = empty_shop
    nothing = recover(shop).result
    assert (nothing["result"], nothing["release"]) == ("nothing-to-do", "")
    killed(shop, shop.first, "AwaitHealthy")
    assert recover(shop).result["result"] == "recovered"
    assert shop.app() == {}
    assert recover(shop).result["result"] == "nothing-to-do"
    killed(shop, shop.first, "MarkCurrent")
    assert recover(shop).result["result"] == "recovered"
    assert_serves(shop, shop.first)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    ["emptied", *DAMAGES],
)
def test_a_damaged_journal_is_told_and_what_serves_counts(shop: Shop, damage: str) -> None:
    """The end that is lost is that of the newest release: it serves all the same, and is what a
    failed one goes back to."""
    second = shop.commit("Say what is new")
    shop.up(second).ended(0)
    lines = shop.journal.read_text().splitlines(keepends=True)
    begin = max(n for n, line in enumerate(lines) if '"event": "begin"' in line)
    shop.journal.write_text(
        {
            "emptied": "",
            "cut": "".join(lines[:begin]) + lines[begin][:50],
            "edited": "".join(lines).replace('"commit", "run"', '"remark", "run"'),
            "garbage": "\x00\xff\n" * 9,
        }[damage]
    )
    status = shop.status()
    assert status["live"].startswith(second)
    assert any(problem.startswith("journal: ") for problem in status["problems"])

    failed = shop.up(shop.broken("exit")).ended(1)
    assert any("the journal is damaged" in e.get("message", "") for e in failed.events)
    assert failed.result["serving"].startswith(second)
    assert_serves(shop, second)
    assert recover(shop).result["result"] == "nothing-to-do"


def test_a_journal_of_a_newer_releasekit_is_not_misread(shop: Shop) -> None:
    text = shop.journal.read_text()
    newer = {"schema": 99, "event": "commit", "run": "x", "release": "y"}
    shop.journal.write_text(text + json.dumps(newer) + "\n")
    try:
        assert any("newer releasekit (schema 99)" in p for p in shop.status()["problems"])
        for verb in (["up"], ["rollback"], ["recover"]):
            refused = shop.releasekit(*verb, "--json").ended(2).result
            assert "newer releasekit" in refused["message"]
            assert refused["hint"].startswith("use that version")
    finally:
        shop.journal.write_text(text)
    assert_serves(shop, shop.first)
