"""`kill -9` of a process by itself, at a moment that nobody else could hit."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

OF_FILES = {"open", "os.link", "os.mkdir", "os.remove", "os.rename"}
OF_PROCESSES = {"subprocess.Popen"}


def kill_at(
    number: int, is_operation: Callable[[str, tuple[Any, ...]], bool], after_s: float = 0.0
) -> None:
    """Die before the operation of this number, or so long after it began; of the events that
    Python's audit tells, those that `is_operation` are counted."""
    numbers = count(1)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if not is_operation(event, args) or next(numbers) != number:
            return
        if not after_s:
            die()
        threading.Timer(after_s, die).start()

    sys.addaudithook(hook)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
