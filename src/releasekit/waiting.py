"""Every wait of the project: look, pause, look again, until it holds or its time is up."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import RetryError, Retrying, retry_if_result, wait_exponential

from releasekit.errors import DeadlineExceeded
from releasekit.ports import Clock

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5


def wait_until(
    look: Callable[[], str],
    *,
    deadline_s: float,
    clock: Clock,
    on_detail: Callable[[str], None] = lambda _: None,
    longest_pause_s: float = LONGEST_PAUSE_S,
) -> float:
    """Look until `look` returns "" (it holds); otherwise it says what is missing.

    Returns the seconds it took; raises `DeadlineExceeded` with the last word of what was missing.
    The deadline is never overrun by a pause; a `look` needs a deadline of its own.
    """
    began = clock.now()
    detail = ""

    def attempt() -> str:
        nonlocal detail
        detail = look()
        if detail:
            on_detail(detail)
        return detail

    retrying = Retrying(
        retry=retry_if_result(bool),
        wait=wait_exponential(multiplier=FIRST_PAUSE_S, exp_base=1.3, max=longest_pause_s),
        stop=lambda state: clock.now() + state.upcoming_sleep - began >= deadline_s,
        sleep=clock.sleep,
    )
    try:
        retrying(attempt)
    except RetryError:
        raise DeadlineExceeded(f"{detail} (waited {deadline_s:g} s)") from None
    return clock.now() - began
