"""Every error that releasekit raises.

ReleasekitError
├── UsageError                what was asked for cannot be (exit 2)
│   ├── SettingsError         settings, compose file or host do not fit; lists every problem
│   ├── InvalidRelease        no legal or no immutable tag
│   ├── UnknownRelease        no such commit or recorded release; names the near ones
│   ├── AmbiguousRelease      a prefix of several
│   ├── MissingImage          neither on the host nor to be pulled
│   ├── DirtyTree             the tree has changes that no commit holds
│   ├── NoRoom                disk, inodes or memory of the host do not suffice
│   ├── Held                  another release is held before its cutover
│   ├── ForeignChange         somebody else changed what is about to be changed
│   └── StrategyError         unknown, failed to load, or made no plan
│       └── UnsafePlan        a plan that breaks an invariant
├── EngineError               Docker does not answer, or not as needed (exit 2)
├── CommandFailed             a command on the host failed (exit 1)
│   └── DeadlineExceeded      it took too long
├── HostError                 a file on the host cannot be read or written (exit 1)
├── StepFailed                a step of a release failed (exit 1)
│   ├── NeverHealthy          a replica did not become healthy
│   ├── Breach                a release that serves was found bad while it was watched
│   └── RouteRefused          nginx refused the route, or does not serve it
├── ReleaseFailed             the release failed; the previous one serves (exit 1)
├── NeedsPerson               it cannot go on by itself (exit 3)
│   └── MigrationUnfinished   a migration began and was not seen to end
├── Locked                    somebody else's release is under way (exit 4)
│   └── Frozen                somebody locked the project by hand
└── Interrupted               stopped by a signal; the previous release serves (exit 130)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class ReleasekitError(Exception):
    """Base of all. `message` says what failed and why, `hint` what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ReleasekitError):
    exit_code = 2


class SettingsError(UsageError):
    """`problems`: every one that was found, each with its path."""

    def __init__(self, problems: Sequence[str], *, hint: str = "") -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = tuple(problems)


class InvalidRelease(UsageError):
    pass


class UnknownRelease(UsageError):
    pass


class AmbiguousRelease(UsageError):
    pass


class MissingImage(UsageError):
    pass


class DirtyTree(UsageError):
    pass


class NoRoom(UsageError):
    pass


class Held(UsageError):
    """`release` is the id of the one that is held."""

    def __init__(self, message: str, *, release: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.release = release


class ForeignChange(UsageError):
    """Somebody else changed what releasekit is about to change. `difference`: as a unified diff,
    where what it was before is known."""

    def __init__(self, message: str, *, difference: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.difference = difference


class StrategyError(UsageError):
    pass


class UnsafePlan(StrategyError):
    pass


class EngineError(ReleasekitError):
    exit_code = 2


class CommandFailed(ReleasekitError):
    """`status` is the exit status, None when it is not known; `output` what was printed."""

    def __init__(
        self, message: str, *, status: int | None = None, output: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.output = output


class DeadlineExceeded(CommandFailed):
    pass


class HostError(ReleasekitError):
    pass


class StepFailed(ReleasekitError):
    """`log_tail`: the last lines that the failing containers logged, by container name."""

    def __init__(
        self, message: str, *, log_tail: dict[str, tuple[str, ...]] | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.log_tail = log_tail or {}


class NeverHealthy(StepFailed):
    pass


class Breach(StepFailed):
    pass


class RouteRefused(StepFailed):
    pass


class ReleaseFailed(ReleasekitError):
    """`reason` is what went wrong; `serving` the id of what serves now, "" when nothing does."""

    def __init__(
        self, message: str, *, reason: ReleasekitError, serving: str, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.serving = serving


class NeedsPerson(ReleasekitError):
    """`reason`: what went wrong first, where something did."""

    exit_code = 3

    def __init__(
        self, message: str, *, hint: str = "", reason: ReleasekitError | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class MigrationUnfinished(NeedsPerson):
    pass


class Locked(ReleasekitError):
    exit_code = 4


class Frozen(Locked):
    pass


class Interrupted(ReleasekitError):
    exit_code = 130


def known(error: BaseException) -> ReleasekitError:
    """`error` as one of ours, whatever it is; what it was is its cause, for `--debug`."""
    if isinstance(error, ReleasekitError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted")
    ours = StepFailed(f"unexpected: {type(error).__name__}: {error}")
    ours.__cause__ = error
    return ours
