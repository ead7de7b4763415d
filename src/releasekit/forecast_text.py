"""A forecast as people read it: short sections, the plan's own text among them. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from releasekit.compose.changes import ServiceChanges
from releasekit.forecast import BackingState, Forecast, Memory, MemoryShare, ServiceForecast
from releasekit.release import short

WIDTH = 80
_BACKING: dict[BackingState, str] = {
    "differs": "config differs from what runs, left alone",
    "starts": "will be started",
    "starts as it was": "will be started as it was created, which differs from its config now",
    "as it is": "left alone",
}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def sections(forecast: Forecast) -> dict[str, tuple[str, ...]]:
    """The lines of each section, by its name; the plan's and nginx's are as they are, all others
    at most `WIDTH` wide, as far as names allow."""
    found = {
        "release": _release(forecast),
        "services": _titled("services", _services(forecast.services)),
        "changes": _titled(f"changes since {short(forecast.current)}", _changes(forecast)),
        "effects": _titled("effects", _effects(forecast)),
        "plan": tuple(forecast.plan.render().splitlines()),
        "route": tuple(forecast.route.splitlines()),
        "edited": _edited(forecast.edited),
    }
    return {name: lines for name, lines in found.items() if lines}


def _edited(difference: str) -> tuple[str, ...]:
    if not difference:
        return ()
    title = "nginx's file was edited by hand: `up` stops at it, `up --adopt` takes it over"
    return (title, *difference.splitlines())


def _titled(title: str, lines: Iterable[str]) -> tuple[str, ...]:
    lines = tuple(lines)
    return (title, *(f"  {line}" for line in lines)) if lines else ()


def _release(forecast: Forecast) -> tuple[str, ...]:
    plan = forecast.plan
    new = _named(forecast, plan.release)
    if forecast.current == plan.release:
        rows = [("release", f"{new}, the current one")]
    else:
        rows = [("from", _origin(forecast)), ("to", new)]
    return (forecast.project, *(_cut(f"  {line}") for line in _aligned(rows)))


def _origin(forecast: Forecast) -> str:
    if not forecast.current:
        return "nothing: this is the first release"
    named = _named(forecast, forecast.current)
    return f"{named} (started by plain docker compose)" if forecast.is_adopted else named


def _named(forecast: Forecast, release: str) -> str:
    return f"{short(release)} {forecast.subjects.get(release, '')}".rstrip()


# The sections


def _services(services: Iterable[ServiceForecast]) -> Iterator[str]:
    services = tuple(services)
    rows = [(s.service, _way(s), _replicas(*s.replicas), _strategy(s)) for s in services]
    indent = " " * (max((len(s.service) for s in services), default=0) + 2)
    for service, line in zip(services, _aligned(rows), strict=True):
        yield line
        if service.health:
            yield from _wrapped(f"healthy: {service.health}", indent, indent)


def _way(service: ServiceForecast) -> str:
    before = " and ".join(short(release) or "unknown" for release in service.before)
    if not service.after:
        return f"{before or 'leftovers'} -> gone"
    if service.before == (service.after,):
        return f"{before} stays"
    return f"{before or 'new'} -> {short(service.after)}"


def _replicas(before: int, after: int) -> str:
    number = f"{before} -> {after}" if before and before != after else f"{after}"
    return f"{number} replica{'' if number == '1' else 's'}"


def _strategy(service: ServiceForecast) -> str:
    options = [f"{name}={value}" for name, value in sorted(service.options.items())]
    return ", ".join([service.strategy, *options])


def _changes(forecast: Forecast) -> Iterator[str]:
    if forecast.is_empty or forecast.current in ("", forecast.plan.release):
        return
    if forecast.is_adopted:
        yield "not known: plain docker compose does not record what it started"
    elif forecast.changes is None:
        yield "not known: that release is no longer stored"
    else:
        yield from _hanging((c.service, line) for c in forecast.changes for line in _change(c))


def _change(change: ServiceChanges) -> Iterator[str]:
    if change.is_empty:
        yield "nothing"
    if change.image:
        yield "image changed"
    for name, difference in (
        ("environment", change.environment),
        ("config", change.config),
        ("settings", change.settings),
        ("files", change.files),
    ):
        if not difference.is_empty:
            yield f"{name}: {difference}"


def _effects(forecast: Forecast) -> Iterator[str]:
    rows: list[tuple[str, str]] = []
    if not forecast.is_empty:
        rows.append(("downtime", _downtime(forecast.plan.downtime)))
        rows += [("memory", line) for line in _memory(forecast.memory)]
    rows += [("backing", line) for line in _backing(forecast)]
    if forecast.stay_down:
        names = ", ".join(forecast.stay_down)
        rows.append(("reboot", f"nothing starts {names} again: no `restart: unless-stopped`"))
    if forecast.pulls:
        rows.append(("images", f"not on this host, pulled first: {', '.join(forecast.pulls)}"))
    return _hanging(rows)


def _downtime(services: tuple[str, ...]) -> str:
    if not services:
        return "none"
    return f"{', '.join(services)}: stopped for a while, which is measured and told"


def _memory(memory: Memory) -> Iterator[str]:
    there = "" if memory.available is None else f"; {amount(memory.available)} available"
    if not memory.shares:
        yield f"no more than now{there}"
        return
    yield f"{_needed(memory)} beside what runs{there}"
    yield ", ".join(map(share, memory.shares))
    if memory.fits is False:
        yield "warning: that does not fit: the kernel would kill something"


def _needed(memory: Memory) -> str:
    if not memory.needed:
        return "unknown how much"
    bounds = {"unknown": "at least", "in use": "about", "limit": "at most"}
    estimates = {share.estimate for share in memory.shares}
    bound = next(word for estimate, word in bounds.items() if estimate in estimates)
    return f"{bound} {amount(memory.needed)}"


def share(found: MemoryShare) -> str:
    """A service's part of the memory, in words."""
    if found.each is None:
        return f"{found.service} {found.replicas} x unknown"
    return f"{found.service} {found.replicas} x {amount(found.each)} ({found.estimate})"


def _backing(forecast: Forecast) -> Iterator[str]:
    for state in _BACKING:
        names = [b.service for b in forecast.backing if b.state == state]
        if names:
            yield f"{', '.join(names)}: {_BACKING[state]}"


def amount(size: int) -> str:
    """Bytes as people say them."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.{int(unit > 0 and value < 10)}f} {_UNITS[unit]}"


# Lines


def _aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Each row as one line, its columns two spaces apart."""
    rows = tuple(rows)
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    return ["".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _hanging(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """(name, text) rows, each text wrapped beside its name, which is not told twice in a row."""
    rows = tuple(rows)
    width = max((len(name) for name, _ in rows), default=0) + 2
    told = ""
    for name, text in rows:
        yield from _wrapped(text, f"{'' if name == told else name:<{width}}", " " * width)
        told = name


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH - 2,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
