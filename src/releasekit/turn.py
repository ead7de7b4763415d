"""A run's turn: one at a time, not while the project is locked by hand, and only once what a dead
run has left behind can change nothing any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from releasekit import journal as journals
from releasekit.errors import DeadlineExceeded, Interrupted, NeedsPerson, UsageError
from releasekit.events import EventSink, LockAwaited, Warned
from releasekit.freezing import require_thawed
from releasekit.ports import Host
from releasekit.release import short
from releasekit.run import run_id
from releasekit.status import told
from releasekit.waiting import wait_until
from releasekit.workspace import Workspace

TELL_EVERY_S = 15.0
LEFT_BEHIND_S = 20.0
"""How long a command that a dead run has left behind may go on: cut off it leaves more to do."""
ENDED_S = 10.0


@dataclass(frozen=True, slots=True)
class Turn:
    """Who wants to change something in `project`, and when they want to no longer."""

    workspace: Workspace
    project: str
    events: EventSink
    is_stopped: Callable[[], bool]

    @contextmanager
    def taken(self, purpose: str, *, wait_s: float, is_repair: bool) -> Iterator[None]:
        """Have the turn for as long as the block runs, waiting `wait_s` for it at most.

        Raises `Locked`; `Frozen`, which nobody waits for, unless it `is_repair`; `Interrupted`
        when it is stopped before anything was changed; `UsageError` when a newer releasekit wrote
        the journal.
        """
        host, place = self.workspace.host, self.workspace.place(self.project)

        def require_free() -> None:
            if not is_repair:
                require_thawed(host, place)

        wait = _Wait(self, wait_s, require_free)
        require_free()
        with self.workspace.locked(self.project, purpose, wait_s=wait_s, on_wait=wait.heard):
            require_free()
            self._clear(host, place.lock)
            self._mend()
            yield

    def stop_on_request(self) -> None:
        if self.is_stopped():
            raise Interrupted("stopped on request, before anything was changed")

    def _clear(self, host: Host, lock: str) -> None:
        """Wait for the commands that a dead run has left behind, and end those that go on."""
        left = host.left_behind(lock)
        if not left:
            return
        a_run = "a run that was killed has left behind"
        self.events(Warned(f"{a_run} {', '.join(left)}: it may take {LEFT_BEHIND_S:g} s more"))

        def look() -> str:
            self.stop_on_request()
            return ", ".join(host.left_behind(lock))

        clock = self.workspace.clock
        try:
            wait_until(look, deadline_s=LEFT_BEHIND_S, clock=clock)
            self.events(Warned("it has ended by itself"))
            return
        except DeadlineExceeded:
            host.end_left_behind(lock)
        try:
            wait_until(look, deadline_s=ENDED_S, clock=clock)
        except DeadlineExceeded as error:
            raise NeedsPerson(
                f"{a_run} what cannot be ended: {error.message}",
                hint="end it as root, or restart the machine; nothing was changed",
            ) from error
        self.events(Warned("it did not end in that time, and was killed"))

    def _mend(self) -> None:
        """Tell what is wrong with the journal, and record it with what serves now: that is what
        the next plan goes by."""
        journal = self.workspace.journal(self.project)
        reading = journal.read()
        if reading.newer:
            raise UsageError(
                f"a newer releasekit has written the journal of {self.project} (schema "
                f"{reading.newer}): this one might misread what is current",
                hint="use that version; `releasekit status` shows what serves",
            )
        if not reading.problems:
            return
        seen = self.workspace.current_site().observe().current
        stack = journals.committed(reading.records)
        for problem in told(reading.problems):
            self.events(Warned(f"the journal is damaged: {problem}"))
        what = f"{short(seen)} counts as current: it seems to serve" if seen else "none is current"
        self.events(Warned(what))
        run = run_id(self.workspace.clock.utc())
        with journals.if_possible(self.events):  # a rollback has to go on, and can
            journal.mend(run, told(reading.problems))
            if seen and seen != (stack[-1] if stack else ""):
                journal.write("commit", run, release=seen)


@dataclass
class _Wait:
    """Tells of a wait for the lock what is new, and every now and then that it goes on."""

    turn: Turn
    wait_s: float
    require_free: Callable[[], None]
    told: str = ""

    def __post_init__(self) -> None:
        self.began = self.said = self.turn.workspace.clock.now()

    def heard(self, holder: str) -> None:
        self.turn.stop_on_request()
        self.require_free()
        now = self.turn.workspace.clock.now()
        if self.wait_s and (holder != self.told or now - self.said >= TELL_EVERY_S):
            left = max(self.wait_s - (now - self.began), 0.0)
            self.turn.events(LockAwaited(holder, left))
            self.told, self.said = holder, now
