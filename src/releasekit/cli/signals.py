"""Signals that end a process: the first asks a release to end well, the second ends it."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    # A signal that is ignored (`nohup`, a shell's background job) stays so.
    before = {n: h for n in SIGNALS if (h := signal.getsignal(n)) is not signal.SIG_IGN}
    with heeded(lambda number: heed(number, stop, say)):
        for number in before:
            signal.signal(number, lambda *_: None)
        try:
            yield stop
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def heeded(on_signal: Callable[[int], None]) -> Iterator[None]:
    """Have each signal that has a handler told to `on_signal`, in a thread.

    The main thread may be anywhere: in the midst of a lock that `on_signal` needs too, or about to
    sleep and, in a gap that Python has there, not waking for the signal.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # as `set_wakeup_fd` wants it

    def read() -> None:
        with os.fdopen(reader, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                on_signal(number[0])

    threading.Thread(target=read, daemon=True).start()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)


def heed(number: int, stop: threading.Event, say: Callable[[str], None]) -> None:
    """Do what a signal asks for, told by whether there was one before."""
    if number not in SIGNALS:
        return
    if stop.is_set():
        leave()
    try:
        say(STOPPING)
    finally:
        stop.set()


def leave() -> None:
    """End at once: an exception would only be one more thing to clean up after.

    Nothing is lost: every line that was printed is flushed, every journal entry is on disk, the
    lock dies with the process, and the next run finds the state as it is and puts it right.
    """
    if os.isatty(2) and select.select([], [2], [], 0)[1]:  # a terminal may be stopped
        os.write(2, SHOW_CURSOR)
    os._exit(130)
