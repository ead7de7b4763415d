"""What others did to the containers is told from what this run did, and from what just happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from releasekit.compose.meanwhile import Listed, Seen, changes, listed

WEB = Seen("shop-web-blue-1", "web-blue", "06:15:00", 0, is_running=True, is_always_started=False)
DB = Seen("shop-db-1", "db", "06:00:00", 2, is_running=True, is_always_started=True)
BEFORE = {"w": WEB, "d": DB}
NEW = Listed("n", "shop-web-green-1", "shop-releases", "2~b", "web-green")
THERE = (
    Listed("w", WEB.name, "shop-releases", "1~a", "web-blue"),
    Listed("d", DB.name, "shop", "", "db"),
)


def told(
    now: Mapping[str, Seen] | None = None, there: tuple[Listed, ...] = THERE, **did: Any
) -> list[str]:
    by_this_run = {"ours": (), "released": (), "backed": False, **did}
    return list(changes(BEFORE, BEFORE if now is None else now, there, **by_this_run))


def test_nothing() -> None:
    assert told() == []


def test_a_container_that_was_removed() -> None:
    assert told({"w": WEB}, THERE[:1]) == ["shop-db-1 was removed"]
    assert told({"w": WEB}, THERE[:1], ours=["d"]) == []


def test_one_that_was_restarted() -> None:
    by_hand = {**BEFORE, "d": replace(DB, started="06:20:00", restarts=0)}

    assert told(by_hand) == ["shop-db-1 was restarted"]
    assert told(by_hand, ours=["d"]) == []


@pytest.mark.parametrize(
    "change",
    [{"started": "06:20:00", "restarts": 3}, {"is_running": False}],
    ids=["restarted by Docker", "ended"],
)
def test_what_nobody_did(change: dict[str, Any]) -> None:
    """A release that mends what crashes has to go on."""
    assert told({**BEFORE, "d": replace(DB, **change)}) == []


def test_one_that_was_created() -> None:
    assert told(there=(*THERE, NEW)) == ["shop-web-green-1 was created"]
    assert told(there=(*THERE, NEW), released=["2~b"]) == []


def test_a_backing_service_of_this_run() -> None:
    cache = Listed("c", "shop-cache-1", "shop", "", "cache")

    assert told(there=(*THERE, cache)) == ["shop-cache-1 was created"]
    assert told(there=(*THERE, cache), backed=True) == []


def test_one_that_this_run_made_anew() -> None:
    """compose gives it the name of the one before."""
    anew = replace(NEW, name=WEB.name)

    assert told({"d": DB}, (THERE[1], anew), released=["2~b"]) == []
    assert told({"d": DB}, (THERE[1], anew)) == [
        "shop-web-blue-1 was removed",
        "shop-web-blue-1 was created",
    ]


def test_what_docker_lists_is_read() -> None:
    assert listed("n\tshop-web-green-1\tshop-releases\t2~b\tweb-green\n") == [NEW]
    assert listed("c\tshop-cache-1\tshop\t\tcache\n")[0].release == ""
