"""What is asked for, on stdout: plans, and what there is and was as small tables."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from rich.table import Table
from rich.text import Text

from releasekit.cli.console import Screen
from releasekit.cli.render import took
from releasekit.forecast import Forecast
from releasekit.forecast_text import sections
from releasekit.freezing import told
from releasekit.observed import Nginx, Replica, Route
from releasekit.outcome import HistoryEntry, Hold, Status
from releasekit.redact import clean
from releasekit.release import short
from releasekit.strategies.registry import StrategyInfo

UNLIMITED = 10_000
"""The width of what is not a terminal: `grep` and `awk` want a row to be one line, whole."""

GOOD = {"released", "rolled-back", "recovered", "healthy", "yes"}
BAD = {"failed", "degraded", "interrupted", "killed", "stopped", "unhealthy"}

_WARNS = (r"\bwarning:.*", r"config differs from what runs|differs from its config now", "^note:")
_HIGHLIGHTS = {
    "effects": tuple((pattern, "yellow") for pattern in _WARNS),
    "plan": (*((pattern, "yellow") for pattern in _WARNS), (r"   \(.*\)$", "dim")),
    "route": ((r"^\+.*", "green"), (r"^-.*", "red"), (r"^@@.*", "cyan")),
}
"""What stands out in the sections of a plan."""

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


def replica_columns(route: Route) -> tuple[Column[Replica], ...]:
    """What to show of a replica while nginx serves `route`."""
    shown = {name for upstream in route.upstreams for name in upstream.preview}

    def traffic(replica: Replica) -> str:
        if replica.name in route.names:
            return "yes"
        if replica.name in shown:
            return "preview"
        return "standby" if replica.name in route.resolved else "no"

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
    """Each with its options below it: what they mean is too long for a row."""
    screen = _screen()
    for number, strategy in enumerate(strategies):
        if number:
            screen.print()
        screen.print(_headed(strategy))
        _paragraph(screen, strategy.summary, 2)
        if strategy.problem:
            _paragraph(screen, f"problem: {strategy.problem}", 2, "yellow")
        for option in strategy.options:
            # JSON and TOML write the same.
            _paragraph(screen, f"{option.name} = {json.dumps(option.default)}", 4)
            _paragraph(screen, option.summary, 8, "dim")


def show_status(status: Status, subject: str) -> None:
    screen, observed = _screen(), status.observed
    screen.print(_serving(status, subject))
    if status.running:
        screen.print(_text(f"a run goes on: {status.running}"), soft_wrap=True)
    if status.frozen is not None:
        screen.print(_text(told(status.frozen), "yellow"), soft_wrap=True)
    if observed.replicas:
        _show(screen, replica_columns(observed.route), sorted(observed.replicas))
    for upstream in observed.route.upstreams:
        screen.print(_text(f"route: {upstream.service} -> {', '.join(upstream.replicas)}"))
    if status.held is not None:
        for line in _held(status.held):
            screen.print(_text(line), soft_wrap=True)
    screen.print(_text(f"nginx: {_nginx(observed.nginx)}"))
    for container in sorted(observed.backing):
        screen.print(_text(f"backing: {container.service} {_state(container.running)}"))
    for problem in status.problems:
        screen.print(_text(f"problem: {problem}", "yellow"))


def show_plan(forecast: Forecast) -> None:
    """The forecast's own text, line for line; a terminal may break lines but drops nothing."""
    screen = _screen()
    for number, (name, lines) in enumerate(sections(forecast).items()):
        if number:
            screen.print()
        for line in lines:
            text = _text(line, "bold" if line == lines[0] else "")
            for pattern, style in _HIGHLIGHTS.get(name, ()):
                text.highlight_regex(pattern, style)
            screen.print(text, soft_wrap=True)


def local_time(started: str) -> str:
    """UTC in ISO 8601 as a clock on the wall here shows it; anything else as it is."""
    try:
        return datetime.fromisoformat(started).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):  # the year 1 is over before it began, somewhere
        return started


def _headed(strategy: StrategyInfo) -> Text:
    downtime = "" if strategy.problem else f"{'some' if strategy.has_downtime else 'no'} downtime, "
    origin = _text(f"  ({downtime}from {strategy.origin})", "not bold")
    return _text(strategy.name, "bold").append_text(origin)


def _paragraph(screen: Screen, text: str, indent: int, style: str = "") -> None:
    """`text` as so many lines as it takes, each of them indented."""
    margin = " " * indent
    for line in textwrap.wrap(
        clean(text), screen.width, initial_indent=margin, subsequent_indent=margin
    ):
        screen.print(_text(line, style))


def _serving(status: Status, subject: str) -> Text:
    observed = status.observed
    releases = [status.live] if status.live else sorted({r.release for r in observed.routed()})
    names = " and ".join(short(release) or "an unknown release" for release in releases)
    about = f" ({subject})" if subject else ""
    slots = sorted({r.slot for r in observed.routed() if r.slot})
    place = f", {' and '.join(slots)}" if slots else ""
    return _text(f"{observed.project} serves {names or 'nothing'}{about}{place}", "bold")


def _held(hold: Hold) -> Iterator[str]:
    """What is held, how to try it, and what comes next."""
    by = f" by {hold.by}" if hold.by else ""
    yield (
        f"held: {short(hold.release)} since {local_time(hold.since)}{by}; "
        "next: releasekit promote, or releasekit abort"
    )
    for replica in hold.replicas:
        yield f"try it: {replica.name} {replica.address or 'does not run'}"
    if hold.preview is not None:
        secret = hold.preview.secret
        yield f"try it: through nginx with the header {hold.preview.header}: {secret}"
        yield f"try it: through nginx as {secret}.<your domain>"


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
