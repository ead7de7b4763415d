"""What is asked for, on stdout: plans, and what there is and was as small tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.table import Table
from rich.text import Text

from releasekit.cli.console import Screen
from releasekit.cli.render import took
from releasekit.observed import Nginx, Observed, Replica
from releasekit.outcome import HistoryEntry, Status
from releasekit.plan import Plan
from releasekit.redact import clean
from releasekit.release import short
from releasekit.strategies.registry import StrategyInfo

UNLIMITED = 10_000
"""The width of what is not a terminal: `grep` and `awk` want a row to be one line, whole."""

GOOD = {"released", "rolled-back", "nothing-to-do", "running", "healthy", "yes"}
BAD = {"failed", "interrupted", "stopped", "unhealthy"}


@dataclass(frozen=True, slots=True)
class Column:
    """One of the history's columns, shown when the terminal is at least `width` wide."""

    name: str
    width: int
    of: Callable[[HistoryEntry], str]


HISTORY = (
    Column("#", 0, lambda entry: str(entry.number)),
    Column("release", 0, lambda entry: short(entry.release)),
    Column("subject", 80, lambda entry: entry.subject),
    Column("author", 160, lambda entry: entry.author),
    Column("by", 120, lambda entry: entry.by),
    Column("from", 160, lambda entry: entry.origin),
    Column("strategy", 100, lambda entry: entry.strategy),
    Column("started", 60, lambda entry: local_time(entry.started)),
    Column("took", 60, lambda entry: "" if entry.seconds is None else took(entry.seconds)),
    Column("result", 0, lambda entry: entry.result),
    Column("reason", 40, lambda entry: entry.reason),
)


def show_history(entries: Sequence[HistoryEntry]) -> None:
    screen = _screen()
    columns = [column for column in HISTORY if screen.width >= column.width]
    rows = ([column.of(entry) for column in columns] for entry in entries)
    screen.print(_table([column.name for column in columns], rows))


def show_status(status: Status, subject: str) -> None:
    screen, observed = _screen(), status.observed
    screen.print(_serving(status, subject))
    if observed.replicas:
        rows = (_replica(observed, replica) for replica in sorted(observed.replicas))
        headers = ["service", "replica", "release", "slot", "state", "health", "traffic"]
        screen.print(_table(headers, rows))
    for upstream in observed.route.upstreams:
        screen.print(_text(f"route: {upstream.service} -> {', '.join(upstream.replicas)}"))
    screen.print(_text(f"nginx: {_nginx(observed.nginx)}"))
    for container in sorted(observed.backing):
        screen.print(_text(f"backing: {container.service} {_state(container.running)}"))
    for problem in status.problems:
        screen.print(_text(f"problem: {problem}", "yellow"))


def show_strategies(strategies: Iterable[StrategyInfo]) -> None:
    rows = ([s.name, "some" if s.has_downtime else "none", s.origin, s.summary] for s in strategies)
    _screen().print(_table(["strategy", "downtime", "from", "summary"], rows))


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
    project = status.observed.project
    if not status.live:
        return _text(f"{project}: nothing serves", "bold")
    slots = {r.slot for r in status.observed.routed() if r.release == status.live and r.slot}
    place = "".join(f", {slot}" for slot in sorted(slots))
    about = f" ({subject})" if subject else ""
    return _text(f"{project}: {short(status.live)}{about} serves{place}", "bold")


def _replica(observed: Observed, replica: Replica) -> list[str]:
    route = observed.route
    waits = "standby" if replica.name in route.resolved else "no"
    return [
        replica.service,
        replica.name,
        short(replica.release) or "-",
        replica.slot or "-",
        _state(replica.running),
        str(replica.health),
        "yes" if replica.name in route.names else waits,
    ]


def _nginx(nginx: Nginx | None) -> str:
    if nginx is None:
        return "none"
    version = ".".join(map(str, nginx.version))
    silent = " (does not say what it serves)" if nginx.running and nginx.loaded is None else ""
    draining = " (old workers still serve)" if nginx.draining else ""
    return f"{version} {_state(nginx.running)}{silent}{draining}"


def _state(is_running: bool) -> str:
    return "running" if is_running else "stopped"


def _table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(*headers, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


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
