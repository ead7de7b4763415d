"""Answers for people: data on stdout, progress and messages on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, assert_never

import typer

from releasekit.cli import exits
from releasekit.events import (
    DowntimeMeasured,
    Event,
    LockAwaited,
    PlanMade,
    RunEnded,
    RunStarted,
    StepEnded,
    StepProgress,
    StepStarted,
    Warned,
)
from releasekit.freezing import told
from releasekit.outcome import Freeze, HistoryEntry, Outcome, Status
from releasekit.plan import Plan
from releasekit.redact import clean
from releasekit.release import short
from releasekit.steps import GATES, Pull, Step
from releasekit.strategies.registry import StrategyInfo

if TYPE_CHECKING:
    from releasekit.forecast import Forecast

KINDS = {
    "up": "releasing",
    "promote": "promoting",
    "abort": "removing",
    "rollback": "rolling back to",
    "recover": "recovering",
    "revert": "bringing back",
}
DUMB = {"dumb", "unknown"}
SLOW = (*GATES, Pull)
"""The steps that a log announces: without that it looks stuck."""


class Plain:
    """Progress for logs: a line when a slow step starts and when any ends, with the time so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()

    def say(self, message: str) -> None:
        tell(message)

    def head(self, message: str) -> None:
        """The first line of a run."""
        self.say(message)

    def started(self, event: StepStarted) -> None:
        if isinstance(event.step, SLOW):
            self._tell(event.step, "…")

    def progressed(self, event: StepProgress) -> None:
        """Nothing: a log has no line that could be written over."""

    def ended(self, event: StepEnded) -> None:
        failed = f"failed: {event.error}; " if event.error else ""
        self._tell(event.step, f"({failed}{took(event.seconds)})")

    def close(self) -> None:
        """End whatever still moves."""

    def _tell(self, step: Step, remark: str) -> None:
        name, phase = type(step).__name__, step.phase.name.lower()
        self.say(f"{self._clock() - self._start:6.1f}s  {phase:<8}{name:<14}{step} {remark}")


class Terminal:
    """What a verb answers, as people read it; a terminal gets colours and moving progress."""

    def __init__(self) -> None:
        self._run: RunStarted | None = None

    @cached_property
    def _progress(self) -> Plain:
        if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") in DUMB:
            return Plain()
        from releasekit.cli.animated import Animated

        return Animated()

    def event(self, event: Event) -> None:
        match event:
            case LockAwaited():
                self.say(f"{event.holder}; waiting, {took(event.left_s)} at most")
            case RunStarted():
                self._run = event
            case PlanMade():
                self._head(event.plan)
            case StepStarted():
                self._progress.started(event)
            case StepProgress():
                self._progress.progressed(event)
            case StepEnded():
                self._progress.ended(event)
            case Warned():
                self.say(f"warning: {event.message}")
            case DowntimeMeasured():
                self.say(f"downtime: {event.seconds:.2f} s")
            case RunEnded():
                self._progress.close()
            case _:
                assert_never(event)

    def say(self, message: str) -> None:
        self._progress.say(message)

    def outcome(self, outcome: Outcome) -> None:
        self._progress.close()
        for line in ending(outcome):
            self.say(line)

    def plan(self, forecast: Forecast) -> None:
        from releasekit.cli import tables

        tables.show_plan(forecast)

    def status(self, status: Status, subject: str) -> None:
        from releasekit.cli import tables

        tables.show_status(status, subject)

    def history(self, entries: Sequence[HistoryEntry]) -> None:
        from releasekit.cli import tables

        tables.show_history(entries)

    def strategies(self, strategies: Sequence[StrategyInfo]) -> None:
        from releasekit.cli import tables

        tables.show_strategies(strategies)

    def locked(self, frozen: Freeze) -> None:
        self.say(f"✓ {told(frozen)}")
        self.say("next: releasekit unlock, when that is over")

    def unlocked(self, frozen: Freeze | None) -> None:
        was = "nobody had locked it by hand" if frozen is None else f"it was {told(frozen)}"
        self.say(f"✓ not locked by hand any more: {was}")

    def failed(self, error: BaseException) -> None:
        self._progress.close()
        for line in exits.told(error):
            self.say(line)

    def _head(self, plan: Plan) -> None:
        if self._run is None or plan.is_empty:
            return
        target, doing = short(self._run.release), KINDS.get(self._run.kind, self._run.kind)
        if self._run.subject:
            target += f" ({self._run.subject})"
        self._progress.head(f"{self._run.project}: {doing} {target} with {plan.strategy}")
        for note in plan.notes:
            self.say(f"note: {note}")


def tell(message: str) -> None:
    """Print a message for people. When nobody can read it, that is no reason to stop."""
    with suppress(OSError):
        typer.echo(quoted(message), err=True)


def quoted(text: str) -> str:
    """Foreign text, made harmless: every line after the first is marked as its continuation.

    A CI runner would take a line that begins with `::` for a command.
    """
    return clean(text).replace("\n", "\n  | ")


def ending(outcome: Outcome) -> list[str]:
    """How a run ended well, and how to take it back."""
    release = short(outcome.release)
    if outcome.result in ("nothing-to-do", "recovered") and not outcome.release:
        done = "nothing to do" if outcome.result == "nothing-to-do" else "what was left is gone"
        return [f"✓ {done}: nothing was ever released here"]
    if outcome.result == "nothing-to-do":
        state = "serves" if outcome.release == outcome.previous else "is held already"
        return [f"✓ nothing to do: {release} {state}"]
    serving = f"{short(outcome.previous)} serves" if outcome.previous else "nothing serves yet"
    if outcome.result == "aborted":
        return [f"✓ {release} is held no longer; {took(outcome.seconds)}; {serving}"]
    if outcome.result == "held":
        return [
            f"✓ {release} is healthy, and held; {took(outcome.seconds)}; {serving}",
            "try it: releasekit status tells where it answers",
            "next: releasekit promote, or releasekit abort",
        ]
    measured = outcome.downtime_s
    downtime = "no downtime" if measured is None else f"downtime {measured:.2f} s"
    end = f"✓ {release} serves; {took(outcome.seconds)}, {downtime}"
    if outcome.previous in ("", outcome.release):
        return [end]
    back = ["next: releasekit rollback, if it has to go"] if outcome.result == "released" else []
    return [f"{end}; previous {short(outcome.previous)}", *back]


def took(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return "{} min {} s".format(*divmod(int(seconds), 60))
