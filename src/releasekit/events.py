"""What happens during a run, as data. The runner emits these; renderers subscribe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from releasekit.plan import Plan
from releasekit.steps import Step


@dataclass(frozen=True, slots=True)
class LockAwaited:
    """Another run is waited for: `holder` says by whom it is, for what, since when and from where;
    told again when that changes, and every now and then. `left_s` is how long it may go on."""

    holder: str
    left_s: float


@dataclass(frozen=True, slots=True)
class RunStarted:
    """`kind` is "up", "promote", "abort", "rollback", "recover" or "revert"; `release` a tag or
    an id, `subject` its commit's."""

    run: str
    kind: str
    project: str
    release: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class PlanMade:
    plan: Plan


@dataclass(frozen=True, slots=True)
class StepStarted:
    number: int
    total: int
    step: Step


@dataclass(frozen=True, slots=True)
class StepProgress:
    """What a step that takes a while is waiting for."""

    step: Step
    detail: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    """`error` is "" when the step did what it should."""

    number: int
    total: int
    step: Step
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that does not stop the run and that a person should know."""

    message: str


@dataclass(frozen=True, slots=True)
class DowntimeMeasured:
    """How long the project's services did not answer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RunEnded:
    """`result` is "released", "rolled-back", "held", "aborted", "recovered", "nothing-to-do",
    "failed", "interrupted", or "degraded" when the way back failed too. A run that was killed has
    no such event."""

    run: str
    result: str
    release: str
    serving: str
    seconds: float
    reason: str = ""


Event = (
    LockAwaited
    | RunStarted
    | PlanMade
    | StepStarted
    | StepProgress
    | StepEnded
    | Warned
    | DowntimeMeasured
    | RunEnded
)
EventSink = Callable[[Event], None]
Shown = TypeVar("Shown")


def ignore(_: object) -> None:
    """The sink of a caller that wants no events."""


def unbreakable(
    sink: Callable[[Shown], None], on_break: Callable[[Exception], None] = ignore
) -> Callable[[Shown], None]:
    """`sink`, switched off for good once it fails, which `on_break` is told: who only watches
    stops no release."""
    is_broken = False

    def emit(shown: Shown) -> None:
        nonlocal is_broken
        if is_broken:
            return
        try:
            sink(shown)
        except Exception as error:  # whatever a caller's function raises
            is_broken = True
            on_break(error)

    return emit
