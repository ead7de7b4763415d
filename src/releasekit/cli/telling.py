"""Telling what happens in a thread of its own: who stops reading holds up no release."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from releasekit.cli.render import tell
from releasekit.events import unbreakable

if TYPE_CHECKING:
    from releasekit.cli.json_lines import JsonLines
    from releasekit.cli.render import Terminal

PATIENCE_S = 3.0
"""How long a reader may take for a line, at the end, before nobody is thought to read."""

Shown = TypeVar("Shown")


class Telling:
    """What happens in a verb, told by an `output` in order; no call waits for it to be shown.

    A pipe that is full, or a terminal that is stopped, keeps the thread waiting, and what comes
    meanwhile in memory: some lines a second at most. What a verb was asked for that changes nothing
    goes to `answer` itself: who pages through it may take their time.
    """

    def __init__(self, output: Terminal | JsonLines) -> None:
        self.answer = output
        self.event = self.later(output.event)
        self.say = self.later(output.say)
        self.outcome = self.later(output.outcome)
        self.failed = self.later(output.failed)
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._shown = 0
        self._thread = Thread(target=self._show, daemon=True)
        self._thread.start()

    def later(self, show: Callable[[Shown], None]) -> Callable[[Shown], None]:
        """`show` in that thread, until it fails once."""
        safe = unbreakable(show, _broken)
        return lambda shown: self._queue.put(partial(safe, shown))

    def end(self, code: int) -> None:
        """Wait until all is shown; when nobody reads any more, end the process with `code`."""
        self._queue.put(None)
        before = -1
        with suppress(KeyboardInterrupt):  # whoever presses Ctrl-C now waits no longer
            while self._thread.is_alive() and before < self._shown:
                before = self._shown
                self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            os._exit(code)  # Python itself would wait for the stream that the thread writes to

    def _show(self) -> None:
        for show in iter(self._queue.get, None):
            show()
            self._shown += 1


def _broken(error: Exception) -> None:
    tell(f"warning: the rest is not shown: {type(error).__name__}: {error}")
