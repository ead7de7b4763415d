"""Answers for scripts: one JSON object a line on stdout; the last one is the result."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import typer

from releasekit.cli import exits
from releasekit.cli.render import tell
from releasekit.errors import (
    ForeignChange,
    NeedsPerson,
    ReleaseFailed,
    SettingsError,
    StepFailed,
)
from releasekit.events import Event
from releasekit.outcome import Freeze, HistoryEntry, Outcome, Status
from releasekit.plan import Plan
from releasekit.steps import Step
from releasekit.strategies.registry import StrategyInfo

if TYPE_CHECKING:
    from releasekit.forecast import Forecast

SCHEMA = 1
"""Goes up when a key is renamed or removed, or changes its meaning; new keys leave it alone."""


class JsonLines:
    """What `command` answers. Foreign text stays as it is: JSON escapes control characters."""

    def __init__(self, command: str, *, detailed: bool = False) -> None:
        self._command = command
        self._detailed = detailed

    def event(self, event: Event) -> None:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()
        _print(name, **plain(event))

    def say(self, message: str) -> None:
        tell(message)

    def outcome(self, outcome: Outcome) -> None:
        self._result(**plain(outcome))

    def plan(self, forecast: Forecast) -> None:
        code = exits.planned(forecast, detailed=self._detailed)
        self._result(exit_code=code, **forecast.to_dict())

    def status(self, status: Status, subject: str) -> None:
        self._result(status=facts(status) | {"subject": subject})

    def history(self, entries: Sequence[HistoryEntry]) -> None:
        self._result(history=plain(entries))

    def strategies(self, strategies: Sequence[StrategyInfo]) -> None:
        self._result(strategies=plain(strategies))

    def locked(self, frozen: Freeze) -> None:
        self._result(frozen=plain(frozen))

    def unlocked(self, frozen: Freeze | None) -> None:
        self._result(was=plain(frozen))

    def failed(self, error: BaseException) -> None:
        for line in exits.told(error):
            self.say(line)
        self.error(error)

    def error(self, error: BaseException) -> None:
        """The result alone, for an error that has been told."""
        self._result("error", exits.code(error, detailed=self._detailed), **failure(error))

    def _result(self, result: str = "ok", exit_code: int = 0, **data: Any) -> None:
        head = {"command": self._command, "result": result, "exit_code": exit_code}
        _print("result", **(head | data))


def failure(error: BaseException) -> dict[str, Any]:
    """An error as data."""
    data: dict[str, Any] = {
        "error": type(error).__name__,
        "message": exits.message(error),
        "hint": exits.hint(error),
    }
    if isinstance(error, SettingsError):
        data["problems"] = list(error.problems)
    if isinstance(error, ForeignChange):
        data["difference"] = error.difference
    if isinstance(error, StepFailed | ReleaseFailed | NeedsPerson):
        data["log_tail"] = plain(exits.log_tail(error))
    if isinstance(error, ReleaseFailed | NeedsPerson):
        data["reason"] = failure(error.reason) if error.reason else None
    if isinstance(error, ReleaseFailed):
        data["serving"] = error.serving
    return data


def facts(status: Status) -> dict[str, Any]:
    """What serves now, as data."""
    observed, nginx = status.observed, status.observed.nginx
    return {
        "project": observed.project,
        "live": status.live,
        "replicas": plain(observed.replicas),
        "route": {u.service: list(u.replicas) for u in observed.route.upstreams},
        "nginx": nginx
        and {
            "version": ".".join(map(str, nginx.version)),
            "running": nginx.running,
            "draining": nginx.draining,
        },
        "backing": plain(observed.backing),
        "problems": list(status.problems),
        "held": plain(status.held),
        "degraded": status.degraded,
        "frozen": plain(status.frozen),
        "running": status.running,
    }


def plain(value: Any) -> Any:
    """`value` as JSON has it: objects by their fields, steps and plans as in `Plan.to_dict`."""
    match value:
        case Plan():
            return value.to_dict()
        case float():
            return round(value, 3)
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _ if isinstance(value, Step):
            return Plan("", "", "", (value,)).to_dict()["steps"][0]
        case _ if is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def _print(event: str, **data: Any) -> None:
    with suppress(BrokenPipeError):  # who reads no further has seen enough
        typer.echo(json.dumps({"schema": SCHEMA, "event": event} | data))
