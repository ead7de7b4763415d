"""What is asked for, on stdout: plans, and what there is and was as small tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from rich.table import Table
from rich.text import Text

from releasekit.cli.console import Screen
from releasekit.cli.render import took
from releasekit.observed import Nginx, Replica, Route
from releasekit.outcome import HistoryEntry, Status
from releasekit.plan import Plan
from releasekit.redact import clean
from releasekit.release import short
from releasekit.strategies.registry import StrategyInfo

UNLIMITED = 10_000
"""The width of what is not a terminal: `grep` and `awk` want a row to be one line, whole."""

GOOD = {"released", "rolled-back", "healthy", "yes"}
BAD = {"failed", "degraded", "interrupted", "stopped", "unhealthy"}

Row = TypeVar("Row")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column that is there when the terminal is at least `width` wide; the first to shrink when
    it `gives`."""

    name: str
    width: int
    of: Callable[[Row], str]
    gives: bool = False


HISTORY: tuple[Column[HistoryEntry], ...] = (
    Column("#", 40, lambda entry: str(entry.number)),
    Column("release", 0, lambda entry: short(entry.release)),
    Column("subject", 60, lambda entry: entry.subject, gives=True),
    Column("author", 160, lambda entry: entry.author),
    Column("by", 120, lambda entry: entry.by),
    Column("from", 160, lambda entry: entry.origin),
    Column("strategy", 120, lambda entry: entry.strategy),
    Column("started", 60, lambda entry: local_time(entry.started)),
    Column("took", 100, lambda entry: "" if entry.seconds is None else took(entry.seconds)),
    Column("result", 0, lambda entry: entry.result),
    Column("reason", 100, lambda entry: entry.reason, gives=True),
)
STRATEGIES: tuple[Column[StrategyInfo], ...] = (
    Column("strategy", 0, lambda strategy: strategy.name),
    Column("downtime", 0, lambda strategy: "some" if strategy.has_downtime else "none"),
    Column("from", 80, lambda strategy: strategy.origin),
    Column("summary", 40, lambda strategy: strategy.summary, gives=True),
)


def replica_columns(route: Route) -> tuple[Column[Replica], ...]:
    """What to show of a replica while nginx serves `route`."""

    def traffic(replica: Replica) -> str:
        waits = "standby" if replica.name in route.resolved else "no"
        return "yes" if replica.name in route.names else waits

    return (
        Column("service", 100, lambda replica: replica.service),
        Column("replica", 0, lambda replica: replica.name, gives=True),
        Column("release", 80, lambda replica: short(replica.release) or "-"),
        Column("slot", 80, lambda replica: replica.slot or "-"),
        Column("state", 40, lambda replica: _state(replica.running)),
        Column("health", 60, lambda replica: str(replica.health)),
        Column("traffic", 0, traffic),
    )


def show_history(entries: Sequence[HistoryEntry]) -> None:
    _show(_screen(), HISTORY, entries)


def show_strategies(strategies: Sequence[StrategyInfo]) -> None:
    _show(_screen(), STRATEGIES, strategies)


def show_status(status: Status, subject: str) -> None:
    screen, observed = _screen(), status.observed
    screen.print(_serving(status, subject))
    if observed.replicas:
        _show(screen, replica_columns(observed.route), sorted(observed.replicas))
    for upstream in observed.route.upstreams:
        screen.print(_text(f"route: {upstream.service} -> {', '.join(upstream.replicas)}"))
    screen.print(_text(f"nginx: {_nginx(observed.nginx)}"))
    for container in sorted(observed.backing):
        screen.print(_text(f"backing: {container.service} {_state(container.running)}"))
    for problem in status.problems:
        screen.print(_text(f"problem: {problem}", "yellow"))


def show_plan(plan: Plan) -> None:
    """The plan's own text, line for line; a terminal may break lines but drops nothing."""
    screen = _screen()
    for number, line in enumerate(plan.render().splitlines()):
        text = _text(line, "" if number else "bold")
        text.highlight_regex(r"^note:", "yellow")
        text.highlight_regex(r"   \(.*\)$", "dim")
        screen.print(text, soft_wrap=True)


def local_time(started: str) -> str:
    """UTC in ISO 8601 as a clock on the wall here shows it; anything else as it is."""
    try:
        return datetime.fromisoformat(started).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return started


def _serving(status: Status, subject: str) -> Text:
    observed = status.observed
    releases = [status.live] if status.live else sorted({r.release for r in observed.routed()})
    names = " and ".join(short(release) or "an unknown release" for release in releases)
    about = f" ({subject})" if subject else ""
    slots = sorted({r.slot for r in observed.routed() if r.slot})
    place = f", {' and '.join(slots)}" if slots else ""
    return _text(f"{observed.project} serves {names or 'nothing'}{about}{place}", "bold")


def _nginx(nginx: Nginx | None) -> str:
    if nginx is None:
        return "none"
    version = ".".join(map(str, nginx.version))
    silent = " (does not say what it serves)" if nginx.running and nginx.loaded is None else ""
    draining = " (old workers still serve)" if nginx.draining else ""
    return f"{version} {_state(nginx.running)}{silent}{draining}"


def _state(is_running: bool) -> str:
    return "running" if is_running else "stopped"


def _show(screen: Screen, columns: Iterable[Column[Row]], rows: Iterable[Row]) -> None:
    shown = [column for column in columns if screen.width >= column.width]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in shown:
        table.add_column(column.name, no_wrap=not column.gives, overflow="ellipsis")
    for row in rows:
        table.add_row(*(_cell(column.of(row)) for column in shown))
    screen.print(table)


def _cell(text: str) -> Text:
    """One line, whatever is in it: a row that is too long ends in an ellipsis."""
    cell = _text(" ".join(text.split()), no_wrap=True)
    cell.stylize("green" if text in GOOD else "red" if text in BAD else "")
    return cell


def _text(text: str, style: str = "", *, no_wrap: bool = False) -> Text:
    return Text(clean(text), style, no_wrap=no_wrap, overflow="ellipsis" if no_wrap else None)


def _screen() -> Screen:
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return Screen(width=None if is_terminal or "COLUMNS" in os.environ else UNLIMITED)
