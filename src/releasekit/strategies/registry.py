"""Strategies by name, the built-in ones through the same door as anybody's: entry points."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from releasekit.errors import StrategyError
from releasekit.strategies.base import Strategy
from releasekit.strategies.guard import DEADLINE_S, OURS, Guarded, Named, guarded

GROUP = "releasekit.strategies"


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """An option of a strategy; `default` is what JSON has for it."""

    name: str
    default: Any
    summary: str


@dataclass(frozen=True, slots=True)
class StrategyInfo:
    """A strategy that is installed; `origin` is the distribution that brings it. With a `problem`
    it cannot be chosen."""

    name: str
    origin: str
    summary: str = ""
    has_downtime: bool = False
    options: tuple[OptionInfo, ...] = ()
    problem: str = ""


def load(name: str, *, deadline_s: float = DEADLINE_S) -> Strategy:
    """The strategy called `name`, guarded; only its own entry point is loaded.

    Raises `StrategyError` when there is none (it lists those that exist), when two distributions
    claim the name, or when it fails to load. Each call of its code may take so long, and each
    failure of it is a `StrategyError` too, which names it and its origin.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise StrategyError(f"there is no strategy {name!r}", hint=_existing(name))
    if len(found) > 1:
        origins = sorted(map(_origin, found))
        raise StrategyError(
            f"strategy {name!r} comes from {' and '.join(origins)}", hint=_remedy(origins)
        )
    # A protocol's class variables are a guarded strategy's own fields.
    return cast("Strategy", _load(found[0], deadline_s))


def available(*, deadline_s: float = DEADLINE_S) -> tuple[StrategyInfo, ...]:
    """All strategies, by name; what is wrong with one is its `problem`, and raises nothing."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, _origin(entry)))
    claims = Counter(entry.name for entry in entries)
    return tuple(
        _info(entry, deadline_s) if claims[entry.name] == 1 else _claimed(entry, entries)
        for entry in entries
    )


def _load(entry: EntryPoint, deadline_s: float) -> Guarded:
    return guarded(_named(entry), lambda: entry.load()(), deadline_s)


def _info(entry: EntryPoint, deadline_s: float) -> StrategyInfo:
    try:
        strategy = _load(entry, deadline_s)
    except StrategyError as error:
        problem = error.message.removeprefix(f"{_named(entry)} ")
        return StrategyInfo(entry.name, _origin(entry), problem=problem)
    options = tuple(
        OptionInfo(name, strategy.defaults[name], " ".join((field.description or "").split()))
        for name, field in strategy.options.model_fields.items()
    )
    return StrategyInfo(
        entry.name, _origin(entry), strategy.summary, strategy.has_downtime, options
    )


def _claimed(entry: EntryPoint, entries: list[EntryPoint]) -> StrategyInfo:
    """One of several that claim a name: none of them can be had."""
    origins = [_origin(each) for each in entries if each.name == entry.name]
    problem = f"comes from {' and '.join(origins)}: {_remedy(origins)}"
    return StrategyInfo(entry.name, _origin(entry), problem=problem)


def _remedy(origins: list[str]) -> str:
    return f"uninstall {' or '.join(origin for origin in origins if origin != OURS)}"


def _named(entry: EntryPoint) -> Named:
    return Named(entry.name, _origin(entry))


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown package"


def _existing(name: str) -> str:
    names = sorted({entry.name for entry in entry_points(group=GROUP)})
    near = difflib.get_close_matches(name, names, n=1)
    question = f"did you mean {near[0]!r}? " if near else ""
    return f"{question}there are: {', '.join(names)}"
