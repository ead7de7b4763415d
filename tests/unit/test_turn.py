"""Before a run may change anything: its turn, nobody's lock by hand, nothing that a dead run has
left behind, and a journal that can be trusted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from releasekit import freezing
from releasekit.errors import Frozen, HostError, Interrupted, Locked, NeedsPerson, UsageError
from releasekit.events import Event, LockAwaited, Warned
from releasekit.freezing import require_thawed
from releasekit.hosts.local import LocalHost
from releasekit.journal import Journal, committed
from releasekit.observed import Observed
from releasekit.outcome import Freeze
from releasekit.site import Place
from releasekit.testing import FakeClock, FakeHost
from releasekit.turn import ENDED_S, LEFT_BEHIND_S, TELL_EVERY_S, Turn

A, B = "a" * 40 + "~1", "b" * 40 + "~2"
PLACE = Place("/state/shop")
FREEZE = Freeze("kim", "ci-7", "2026-11-20T06:15:09+00:00", "inventory until Monday")


class Host(FakeHost):
    """Its lock is free once `holder` tells nobody any more; commands that were left behind go on
    until `ends_at`, or the moment they are killed, unless they are `undying`."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.who: Callable[[], str] = lambda: ""
        self.ends_at = 0.0
        self.is_undying = False
        self.locked = False

    @contextmanager
    def lock(
        self,
        path: str,
        purpose: str,
        *,
        wait_s: float = 0.0,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> Iterator[None]:
        if path == f"{PLACE.freeze}.lock":
            yield
            return
        assert path == PLACE.lock
        ends = self.clock.now() + wait_s
        while holder := self.who():
            if self.clock.now() >= ends:
                raise Locked(holder)
            on_wait(holder)
            self.clock.sleep(0.1)
        self.locked = True
        yield
        self.locked = False

    def left_behind(self, lock: str) -> tuple[str, ...]:
        assert self.locked
        return ("`docker compose up` (process 7)",) if self.clock.now() < self.ends_at else ()

    def end_left_behind(self, lock: str) -> None:
        if not self.is_undying:
            self.ends_at = self.clock.now()


@dataclass
class Shop:
    """A project, as a `Turn` knows it; `current` is what it sees serving."""

    clock: FakeClock = field(default_factory=FakeClock)
    events: list[Event] = field(default_factory=list)
    current: str = ""
    is_stopped: bool = False

    def __post_init__(self) -> None:
        self.host = Host(self.clock)

    def place(self, project: str) -> Place:
        return PLACE

    def journal(self, project: str) -> Journal:
        return Journal(self.host, self.clock, PLACE.journal)

    def locked(self, project: str, purpose: str, **waiting: Any) -> Any:
        return self.host.lock(PLACE.lock, purpose, **waiting)

    def current_site(self) -> Any:
        return self

    def observe(self) -> Observed:
        return Observed("shop", current=self.current)

    def take(self, *, wait_s: float = 0.0, is_repair: bool = False) -> None:
        """Have the turn, and give it back."""
        workspace: Any = self
        turn = Turn(workspace, "shop", self.events.append, lambda: self.is_stopped)
        with turn.taken("up", wait_s=wait_s, is_repair=is_repair):
            assert self.host.locked
        assert not self.host.locked

    def release(self, *releases: str) -> None:
        journal = self.journal("shop")
        for name in releases:
            journal.write("begin", name, kind="up", release=name)
            journal.write("commit", name, release=name)
            journal.write("end", name, result="released")

    @property
    def told(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]

    @property
    def waits(self) -> list[LockAwaited]:
        return [event for event in self.events if isinstance(event, LockAwaited)]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def freeze(shop: Shop) -> None:
    freezing.freeze(shop.host, PLACE, FREEZE)


# The turn


def test_where_nothing_is_in_the_way_nothing_is_said_or_written(shop: Shop) -> None:
    shop.release(A)
    before = dict(shop.host.files)
    shop.take()
    assert shop.events == []
    assert shop.host.files == before


def test_who_does_not_wait_is_refused_at_once(shop: Shop) -> None:
    shop.host.who = lambda: "locked by kim"
    with pytest.raises(Locked, match="locked by kim"):
        shop.take()
    assert shop.events == []
    assert shop.clock.now() == 0


def test_who_waits_is_told_for_whom_again_when_that_changes_and_every_now_and_then(
    shop: Shop,
) -> None:
    def who() -> str:
        now = shop.clock.now()
        return "kim" if now < 5 else "lee" if now < 5 + 2.5 * TELL_EVERY_S else ""

    shop.host.who = who
    shop.take(wait_s=300)
    assert [wait.holder for wait in shop.waits] == ["kim", "lee", "lee", "lee"]
    assert [round(wait.left_s) for wait in shop.waits] == [300, 295, 280, 265]


def test_a_wait_ends_when_it_is_stopped(shop: Shop) -> None:
    def who() -> str:
        shop.is_stopped = shop.clock.now() > 3
        return "kim"

    shop.host.who = who
    with pytest.raises(Interrupted, match="before anything was changed"):
        shop.take(wait_s=300)
    assert 3 < shop.clock.now() < 4


# Locked by hand


def test_a_lock_by_hand_refuses_whoever_waits_or_not_and_says_by_whom_since_when_and_why(
    shop: Shop,
) -> None:
    freeze(shop)
    told = "^the project is locked by kim from ci-7 since 2026-11-20 06:15 UTC: inventory until"
    for wait_s in (0.0, 300.0):
        with pytest.raises(Frozen, match=told) as caught:
            shop.take(wait_s=wait_s)
        assert "releasekit unlock" in caught.value.hint
    assert shop.clock.now() == 0


def test_a_lock_by_hand_that_comes_during_a_wait_ends_it(shop: Shop) -> None:
    def who() -> str:
        if 3 < shop.clock.now() < 3.15:
            freeze(shop)
        return "kim"

    shop.host.who = who
    with pytest.raises(Frozen):
        shop.take(wait_s=300)
    assert 3 < shop.clock.now() < 4


def test_a_lock_by_hand_that_comes_with_the_turn_is_noticed(shop: Shop) -> None:
    def who() -> str:
        freeze(shop)
        return ""

    shop.host.who = who
    with pytest.raises(Frozen):
        shop.take()


def test_a_repair_is_done_all_the_same(shop: Shop) -> None:
    freeze(shop)
    shop.take(is_repair=True)
    assert shop.events == []


@pytest.mark.parametrize("text", ["", "garbage", "[]", "{}", '{"by": "kim"}', "null"])
def test_a_lock_by_hand_that_cannot_be_read_is_one_all_the_same(shop: Shop, text: str) -> None:
    shop.host.files[PLACE.freeze] = text
    with pytest.raises(Frozen, match="by whom and why cannot be read"):
        require_thawed(shop.host, PLACE)


# Left behind


def test_a_command_that_a_dead_run_left_behind_is_waited_for(shop: Shop) -> None:
    shop.host.ends_at = LEFT_BEHIND_S / 2
    shop.take()
    assert LEFT_BEHIND_S / 2 <= shop.clock.now() < LEFT_BEHIND_S
    first, last = shop.told
    assert "left behind `docker compose up` (process 7)" in first
    assert last == "it has ended by itself"


def test_one_that_does_not_end_is_ended(shop: Shop) -> None:
    shop.host.ends_at = 1e9
    shop.take()
    assert shop.clock.now() <= LEFT_BEHIND_S + 1
    assert shop.told[-1] == "it did not end in that time, and was killed"


def test_one_that_cannot_be_ended_needs_a_person_and_nothing_is_changed(shop: Shop) -> None:
    shop.host.ends_at, shop.host.is_undying = 1e9, True
    with pytest.raises(NeedsPerson, match=r"process 7.*waited 10 s") as caught:
        shop.take()
    assert "nothing was changed" in caught.value.hint
    assert shop.clock.now() <= LEFT_BEHIND_S + ENDED_S + 1


def test_the_wait_for_it_can_be_stopped(shop: Shop) -> None:
    shop.host.ends_at, shop.is_stopped = 1e9, True
    with pytest.raises(Interrupted):
        shop.take()


# The journal


def test_a_journal_that_is_not_whole_is_told_and_goes_on_from_what_serves(shop: Shop) -> None:
    shop.release(A, B)
    shop.current = B
    lines = shop.host.files[PLACE.journal].splitlines(keepends=True)
    shop.host.files[PLACE.journal] = "".join(lines[:3])
    shop.take()
    assert shop.told == [
        "the journal is damaged: its end is missing: record 6 was written",
        "bbbbbbb counts as current: it seems to serve",
    ]
    journal = shop.journal("shop")
    assert journal.read().is_whole
    assert committed(journal.records()) == (A, B)
    shop.events.clear()
    shop.take()
    assert shop.events == []


def test_where_nothing_is_current_nothing_is_committed_to(shop: Shop) -> None:
    shop.release(A, B)
    shop.host.files[PLACE.journal] = shop.host.files[PLACE.journal].replace('"end"', '"fin"', 1)
    shop.take()
    assert shop.told[-1] == "none is current"
    assert committed(shop.journal("shop").records()) == (A, B)


def test_a_full_disk_does_not_keep_a_damaged_journal_from_being_gone_on_from(shop: Shop) -> None:
    def full(path: str, text: str) -> None:
        raise HostError(f"{path}: No space left on device")

    shop.release(A)
    shop.current = A
    shop.host.files[PLACE.journal] = ""
    vars(shop.host)["append"] = full
    shop.take()
    assert shop.told[-1].startswith("not in the journal: ")
    assert shop.host.files[PLACE.journal] == ""


def test_a_journal_that_a_newer_releasekit_wrote_is_left_alone(shop: Shop) -> None:
    shop.release(A)
    newer = json.dumps({"schema": 99, "event": "commit", "run": "x", "release": B})
    shop.host.append(PLACE.journal, f"{newer}\n")
    before = dict(shop.host.files)
    with pytest.raises(UsageError, match=r"newer releasekit.*schema 99.*misread") as caught:
        shop.take()
    assert caught.value.hint.startswith("use that version")
    assert shop.host.files == before


def test_a_lock_by_hand_lasts_until_it_is_ended_and_is_not_made_twice(shop: Shop) -> None:
    assert freezing.frozen(shop.host, PLACE) is None
    assert freezing.thaw(shop.host, PLACE) is None
    freeze(shop)
    assert freezing.frozen(shop.host, PLACE) == FREEZE
    with pytest.raises(Frozen, match="inventory until Monday"):
        freeze(shop)
    assert freezing.thaw(shop.host, PLACE) == FREEZE
    shop.take()


def test_of_two_locks_by_hand_at_once_one_is_refused_and_told_of_the_other(tmp_path: Path) -> None:
    place, both = Place(str(tmp_path / "shop")), threading.Barrier(2)

    class Host(LocalHost):
        """Has whoever looks wait for the other to look as well, for a moment."""

        def read(self, path: str) -> str | None:
            text = super().read(path)
            with suppress(threading.BrokenBarrierError):
                both.wait(timeout=0.5)
            return text

    def lock(message: str) -> str:
        try:
            freezing.freeze(Host({}), place, replace(FREEZE, message=message))
        except Frozen as error:
            return error.message
        return ""

    with ThreadPoolExecutor() as pool:
        one, other = pool.map(lock, ["one", "other"])
    frozen = freezing.frozen(LocalHost({}), place)
    assert frozen is not None
    assert {one, other} == {"", f"the project is {freezing.told(frozen)}"}
