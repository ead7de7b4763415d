"""A plan: the steps from what was observed to a release, printable and comparable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from releasekit.release import short
from releasekit.steps import Step


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order. `downtime` names the services that do not answer meanwhile, `notes` what
    the reader should know before it runs; `based_on` is `Observed.fingerprint()`."""

    strategy: str
    release: str
    based_on: str
    steps: tuple[Step, ...] = ()
    downtime: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not self.steps

    def render(self) -> str:
        """The plan as text: dry run, golden test and log are this, one and the same."""
        head = f"{self.strategy} to {short(self.release)}"
        if self.is_empty:
            return f"{head}: nothing to do"
        downtime = ", ".join(self.downtime) or "none"
        lines = [f"{head}; downtime: {downtime}", *(f"note: {note}" for note in self.notes)]
        return "\n".join([*lines, *map(line, self.steps)])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`; its keys are a promise."""
        return {
            "strategy": self.strategy,
            "release": self.release,
            "based_on": self.based_on,
            "downtime": list(self.downtime),
            "notes": list(self.notes),
            "steps": [
                {
                    "phase": step.phase.name.lower(),
                    "step": type(step).__name__,
                    "what": str(step),
                    "cause": step.cause,
                }
                for step in self.steps
            ],
        }


def line(step: Step) -> str:
    """One step as people read it, with its phase and cause."""
    name = type(step).__name__
    return f"{step.phase} {step.phase.name.lower():<8}{name:<14}{step}   ({step.cause})"
