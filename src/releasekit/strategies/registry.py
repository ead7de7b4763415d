"""Strategies by name, the built-in ones through the same door as anybody's: entry points."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from releasekit.errors import StrategyError
from releasekit.strategies.base import Strategy

GROUP = "releasekit.strategies"


@dataclass(frozen=True, slots=True)
class StrategyInfo:
    """A strategy that can be chosen; `origin` is the distribution that brings it."""

    name: str
    origin: str
    summary: str
    has_downtime: bool


def load(name: str) -> Strategy:
    """The strategy called `name`; only its own entry point is loaded.

    Raises `StrategyError` when there is none (it lists those that exist), when two packages claim
    the name, or when it fails to load.
    """
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    if not found:
        raise StrategyError(f"there is no strategy {name!r}", hint=_existing(name))
    if len(found) > 1:
        origins = " and ".join(sorted(_origin(entry) for entry in found))
        raise StrategyError(f"strategy {name!r} comes from {origins}: remove one of them")
    return _load(found[0])


def available() -> tuple[StrategyInfo, ...]:
    """All strategies, by name; raises `StrategyError` for the first that fails to load."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return tuple(
        StrategyInfo(entry.name, _origin(entry), strategy.summary, strategy.has_downtime)
        for entry, strategy in ((entry, _load(entry)) for entry in entries)
    )


def _load(entry: EntryPoint) -> Strategy:
    try:
        strategy: Strategy = entry.load()()
    except Exception as error:  # a plugin may raise anything while it is imported
        raise StrategyError(
            f"strategy {entry.name!r} from {_origin(entry)} failed to load: {error!r}"
        ) from error
    return strategy


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown package"


def _existing(name: str) -> str:
    names = sorted({entry.name for entry in entry_points(group=GROUP)})
    near = difflib.get_close_matches(name, names, n=1)
    question = f"did you mean {near[0]!r}? " if near else ""
    return f"{question}there are: {', '.join(names)}"
