"""Signals that end a process: the first asks a release to end well, the second ends it."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOPPING = (
    "stopping: bringing the previous release back, or finishing what is on record already "
    "(again: leave at once)"
)
SHOW_CURSOR = b"\x1b[?25h\n"


@contextmanager
def stopping(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """An event that the first signal sets, once it said so; the second ends the process with 130.

    `say` must not wait for anybody to read it.
    """
    stop = threading.Event()

    def announce() -> None:
        try:
            say(STOPPING)
        finally:
            stop.set()

    def first(_number: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, leave)
        # In a thread: whatever this signal interrupted may hold the lock of the event or of stderr.
        threading.Thread(target=announce).start()

    # A signal that is ignored (`nohup`, a shell's background job) stays so.
    before = {n: h for n in SIGNALS if (h := signal.getsignal(n)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, first)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(_number: int, _frame: FrameType | None) -> None:
    """End at once: an exception would only be one more thing to clean up after.

    Nothing is lost: every line that was printed is flushed, every journal entry is on disk, the
    lock dies with the process, and the next run finds the state as it is and puts it right.
    """
    if os.isatty(2) and select.select([], [2], [], 0)[1]:  # a terminal may be stopped
        os.write(2, SHOW_CURSOR)
    os._exit(130)
