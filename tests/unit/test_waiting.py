"""Waiting: it ends when it holds, and never later than it may."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releasekit.errors import DeadlineExceeded
from releasekit.testing import FakeClock
from releasekit.waiting import FIRST_PAUSE_S, LONGEST_PAUSE_S, wait_until


class Pauses(FakeClock):
    """A clock that remembers how it was slept on."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        super().sleep(seconds)


def test_what_holds_already_is_not_waited_for() -> None:
    clock = Pauses()
    assert wait_until(lambda: "", deadline_s=10, clock=clock) == 0
    assert clock.taken == []


def test_it_looks_again_until_it_holds_and_tells_how_long_that_took() -> None:
    clock = FakeClock()
    took = wait_until(lambda: "" if clock.now() >= 3 else "not yet", deadline_s=10, clock=clock)
    assert took == clock.now()
    assert 3 <= took <= 3 + LONGEST_PAUSE_S


def test_pauses_grow_to_the_longest_one() -> None:
    clock = Pauses()
    with pytest.raises(DeadlineExceeded):
        wait_until(lambda: "no", deadline_s=20, clock=clock, longest_pause_s=0.3)
    assert clock.taken[0] == FIRST_PAUSE_S
    assert clock.taken == sorted(clock.taken)
    assert clock.taken[-1] == 0.3


def test_every_missing_thing_is_told_and_the_last_one_is_the_error() -> None:
    clock, told = FakeClock(), []
    details = iter(("a", "b", "c"))
    last = "c"

    def look() -> str:
        return next(details, last)

    with pytest.raises(DeadlineExceeded) as raised:
        wait_until(look, deadline_s=1, clock=clock, on_detail=told.append)
    assert told[:3] == ["a", "b", "c"]
    assert raised.value.message == "c (waited 1 s)"


def test_what_a_look_raises_is_not_swallowed() -> None:
    def look() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wait_until(look, deadline_s=1, clock=FakeClock())


def test_it_looks_once_even_when_there_is_no_time() -> None:
    assert wait_until(lambda: "", deadline_s=0, clock=FakeClock()) == 0
    with pytest.raises(DeadlineExceeded):
        wait_until(lambda: "no", deadline_s=0, clock=FakeClock())


@settings(derandomize=True, deadline=None)
@given(deadline_s=st.floats(0, 60), longest_pause_s=st.floats(0.05, 5), look_s=st.floats(0, 0.5))
def test_no_pause_overruns_the_deadline(
    deadline_s: float, longest_pause_s: float, look_s: float
) -> None:
    clock, began = FakeClock(), [0.0]

    def look() -> str:
        began.append(clock.now())
        clock.sleep(look_s)
        return "no"

    with pytest.raises(DeadlineExceeded):
        wait_until(look, deadline_s=deadline_s, clock=clock, longest_pause_s=longest_pause_s)
    assert began[-1] <= deadline_s, "the last look began in time"
    assert clock.now() >= deadline_s - longest_pause_s, "and it did not give up long before"
