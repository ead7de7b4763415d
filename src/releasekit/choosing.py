"""From settings and what a caller asks for to the strategies of a release, with their options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from releasekit.errors import StrategyError
from releasekit.settings import Settings
from releasekit.strategies import registry
from releasekit.strategies.base import Strategy
from releasekit.strategies.mixed import Chosen, Mix


def choose(
    settings: Settings,
    *,
    strategy: str | None = None,
    services: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Mix:
    """The strategies to release with: `strategy` instead of the settings', `services` (strategy
    by service) instead of those that have their own there, `options` over all others.

    Raises `StrategyError` for an unknown strategy or option, and for a value that does not fit.
    """
    given = dict(options or {})
    if services is None:
        services = {n: s.strategy for n, s in settings.services.items() if s.strategy is not None}
    refined = {name for name, service in settings.services.items() if service.options}
    default = strategy or settings.strategy
    names = {name: services.get(name, default) for name in sorted({*services, *refined})}
    loaded = {name: registry.load(name) for name in sorted({default, *names.values()})}
    _require_known(given, loaded)

    def chosen(name: str, own: Mapping[str, Any]) -> Chosen:
        planner = loaded[name]
        asked = {key: value for key, value in given.items() if key in planner.options.model_fields}
        values = {**settings.strategies.get(name, {}), **own, **asked}
        return Chosen(planner, _validated(planner, values))

    own = {name: settings.services[name].options for name in names if name in settings.services}
    return Mix(
        chosen(default, {}), {name: chosen(by, own.get(name, {})) for name, by in names.items()}
    )


def _require_known(given: Mapping[str, Any], loaded: Mapping[str, Strategy]) -> None:
    known = {key for strategy in loaded.values() for key in strategy.options.model_fields}
    for key in given:
        if key not in known:
            names = " and ".join(loaded)
            there = ", ".join(sorted(known)) or "none"
            raise StrategyError(f"{names}: no option {key!r}", hint=f"there are: {there}")


def _validated(strategy: Strategy, values: Mapping[str, Any]) -> Any:
    try:
        return strategy.options.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    told = "; ".join(f"{'.'.join(map(str, d['loc'])) or 'options'}: {d['msg']}" for d in details)
    raise StrategyError(f"{strategy.name}: {told}")
