"""Options of strategies: what is wrong with those that are given, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points

from releasekit.errors import StrategyError
from releasekit.strategies import registry
from releasekit.strategies.base import Options, Strategy
from releasekit.strategies.guard import DEADLINE_S, Named, origin
from releasekit.violations import Path, Violation, checked

Table = Mapping[str, object]


def installed() -> tuple[str, ...]:
    """The names of all strategies; nothing of them is imported."""
    return tuple(sorted({entry.name for entry in entry_points(group=registry.GROUP)}))


def spelled(name: str) -> str:
    """The strategy that a variable means by `name`: BLUE_GREEN is blue-green."""
    alike = {each.lower().replace("-", "_"): each for each in installed()}
    return alike.get(name.lower().replace("-", "_"), name)


def validated(
    strategy: Strategy, values: Mapping[str, object]
) -> tuple[Options | None, tuple[Violation, ...]]:
    """`values` as the options of this strategy, or all that is wrong with them.

    Raises `StrategyError` when the strategy's own code cannot tell.
    """
    return Named(strategy.name, origin(strategy)).asked(
        lambda: checked(strategy.options, values), DEADLINE_S, "failed to check its options"
    )


def violations(settings: Mapping[str, object]) -> Iterator[Violation]:
    """What is wrong with the strategies that these settings name, and with their options.

    Settings of any shape: what is no table, or no text, is for others to refuse.
    """
    there = installed()
    tables, services = _tables(settings.get("strategies")), _tables(settings.get("services"))
    named: dict[Path, object] = {("strategy",): settings.get("strategy")}
    named |= {("services", n, "strategy"): service.get("strategy") for n, service in services}
    named |= {("strategies", name): name for name, _ in tables}
    for path, name in named.items():
        if isinstance(name, str) and name and name not in there:
            near = get_close_matches(name, there, n=1)
            those = f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(there)}"
            yield Violation(path, f"no such strategy; {those}")
    for name, table in tables:
        if name in there:
            yield from _of_table(("strategies", name), name, {}, table)
    for service, refined in services:
        name, own = refined.get("strategy", settings.get("strategy")), refined.get("options")
        if isinstance(own, Mapping) and own and isinstance(name, str) and name in there:
            place = ("services", service, "options")
            yield from _of_table(place, name, dict(tables).get(name, {}), own)


def _of_table(place: Path, strategy: str, below: Table, table: Table) -> Iterator[Violation]:
    """What is wrong with the options in `table`, laid over those `below` it."""
    try:
        loaded = registry.load(strategy)
        _, told = validated(loaded, below)
        _, found = validated(loaded, {**below, **table})
    except StrategyError as error:
        yield Violation(place, error.message)
        return
    for violation in found:
        if violation not in told:
            yield _within(place, violation, strategy)


def _within(place: Path, violation: Violation, strategy: str) -> Violation:
    """The violation of a strategy's options as one of the settings that hold them at `place`."""
    path = (*place, *violation.path)
    if violation.is_unknown and not violation.known:
        return Violation(path, f"{strategy} has no options")
    return Violation(path, violation.words, violation.is_unknown, violation.known)


def _tables(value: object) -> list[tuple[str, Table]]:
    """The tables in a table of tables, by name."""
    items = value.items() if isinstance(value, Mapping) else ()
    return [(n, t) for n, t in items if isinstance(n, str) and isinstance(t, Mapping)]
