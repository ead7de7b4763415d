"""Errors: as people read them, and as exit codes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from releasekit.errors import (
    CommandFailed,
    ForeignChange,
    NeedsPerson,
    ReleaseFailed,
    ReleasekitError,
    SettingsError,
    StepFailed,
)

if TYPE_CHECKING:
    from releasekit.forecast import Forecast

OUTPUT_LINES = 20
CHANGES = 2
"""With `--detailed-exitcode`: there is something to do."""


def code(error: BaseException, *, detailed: bool = False) -> int:
    """The exit code that `error` ends the command with; if `detailed`, no error's is that of a
    plan with something to do."""
    found = error.exit_code if isinstance(error, ReleasekitError) else 1
    return 1 if detailed and found == CHANGES else found


def planned(forecast: Forecast, *, detailed: bool) -> int:
    """The exit code that a plan ends with; if `detailed`, whether there is something to do."""
    return CHANGES if detailed and not forecast.is_empty else 0


def hint(error: BaseException) -> str:
    """What to do next; "" when nobody knows."""
    if not isinstance(error, ReleasekitError):
        return "run again with --debug for the traceback"
    return error.hint or getattr(reason_of(error), "hint", "")


def message(error: BaseException) -> str:
    """What failed and why."""
    if isinstance(error, ReleasekitError):
        return error.message
    return f"unexpected: {type(error).__name__}: {error}".removesuffix(": ")


def reason_of(error: BaseException) -> BaseException:
    """What went wrong first, where `error` tells what that came to."""
    reason = error.reason if isinstance(error, ReleaseFailed | NeedsPerson) else None
    return reason or error


def log_tail(error: BaseException) -> dict[str, tuple[str, ...]]:
    """What the failing containers logged last, by name; of a failed release, its reason's."""
    reason = reason_of(error)
    return reason.log_tail if isinstance(reason, StepFailed) else {}


def told(error: BaseException) -> Iterator[str]:
    """All that a person needs to know of `error`, line by line."""
    problems = error.problems if isinstance(error, SettingsError) else [message(error)]
    for problem in problems:
        yield f"error: {problem}"
    yield from _details(error)
    if hint(error):
        yield f"next: {hint(error)}"


def _details(error: BaseException) -> Iterator[str]:
    reason = reason_of(error)
    if message(reason) not in message(error):
        yield f"because: {message(reason)}"
    if isinstance(reason, ForeignChange):
        yield from _quoted("the difference", reason.difference.splitlines())
    for name, lines in log_tail(error).items():
        yield from _quoted(f"last log lines of {name}", lines)
    if isinstance(reason, CommandFailed):
        yield from _quoted("its output", reason.output.splitlines()[-OUTPUT_LINES:])


def _quoted(title: str, lines: tuple[str, ...] | list[str]) -> Iterator[str]:
    """Foreign text, indented. GitHub obeys `::commands::` in what a job prints: not in this."""
    if not lines:
        return
    yield f"{title}:"
    token = secrets.token_hex(16) if os.environ.get("GITHUB_ACTIONS") else ""
    if token:
        yield f"::stop-commands::{token}"
    yield from (f"  | {line}" for line in lines)
    if token:
        yield f"::{token}::"
