"""From settings and what a caller asks for to the strategies of a release, with their options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from releasekit.bundle import Bundle
from releasekit.errors import StrategyError
from releasekit.events import EventSink, Warned
from releasekit.options import validated
from releasekit.settings import Settings
from releasekit.strategies import registry
from releasekit.strategies.base import Strategy
from releasekit.strategies.mixed import Chosen, Mix
from releasekit.violations import Violation


def choose(
    settings: Settings,
    *,
    strategy: str | None = None,
    services: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Mix:
    """The strategies to release with: `strategy` instead of the settings', `services` (strategy
    by service) instead of those that have their own there, `options` over all others, for each
    strategy that knows them.

    Raises `StrategyError` for an unknown strategy, and with everything that is wrong with options.
    """
    given = options or {}
    default = strategy or settings.strategy
    own = {n: s.strategy for n, s in settings.services.items() if s.strategy is not None}
    refined = {name: default for name, service in settings.services.items() if service.options}
    names = {**refined, **(own if services is None else services)}
    loaded = {name: registry.load(name) for name in sorted({default, *names.values()})}
    problems = dict.fromkeys(_unknown(given, loaded.values()))

    def chosen(name: str, refined: Mapping[str, Any]) -> Chosen:
        planner = loaded[name]
        asked = {key: value for key, value in given.items() if key in planner.options.model_fields}
        values = {**settings.strategies.get(name, {}), **refined, **asked}
        found, wrong = validated(planner, values)
        problems.update(dict.fromkeys(_told(name, violation) for violation in wrong))
        return Chosen(planner, found or planner.options())

    mix = Mix(
        chosen(default, {}),
        {
            service: chosen(name, _refined(settings, service, name))
            for service, name in sorted(names.items())
        },
    )
    if problems:
        raise StrategyError("; ".join(problems))
    return mix


def choose_back(
    settings: Settings, brought: tuple[str, Mapping[str, str]], to: Bundle, events: EventSink
) -> Mix:
    """The strategies that `brought` what runs now, to go back to `to`: recreate where only one can
    run, blue-green where a plugin is no longer there, as users cannot wait until that is mended."""
    strategy, services = brought
    try:
        mix = choose(settings, strategy=strategy or None, services=services)
    except StrategyError as error:
        events(Warned(f"{error.message}; it goes back with blue-green"))
        strategy, services = "blue-green", {}
        mix = choose(settings, strategy=strategy, services=services)
    target = to.target()
    alone = {
        name: "recreate"
        for name in to.app
        if mix.of(target, name).strategy.needs_health and to.must_run_alone(name)
    }
    if not alone:
        return mix
    return choose(settings, strategy=strategy or None, services={**services, **alone})


def _refined(settings: Settings, service: str, strategy: str) -> Mapping[str, Any]:
    """The service's own options; they are for the strategy that settings give it, and no other."""
    found = settings.services.get(service)
    is_meant = found is not None and (found.strategy or settings.strategy) == strategy
    return found.options if found is not None and is_meant else {}


def _unknown(given: Iterable[str], loaded: Iterable[Strategy]) -> Iterable[str]:
    """The options that no strategy of the release knows, each with those that exist."""
    known = {strategy.name: sorted(strategy.options.model_fields) for strategy in loaded}
    names = sorted({name for options in known.values() for name in options})
    for option in given:
        if option in names:
            continue
        near = get_close_matches(option, names, n=1)
        there = "; ".join(
            f"{strategy} has {', '.join(options) or 'no options'}"
            for strategy, options in known.items()
        )
        yield f"{option}: unknown option; " + (f'did you mean "{near[0]}"?' if near else there)


def _told(strategy: str, violation: Violation) -> str:
    return f"{'.'.join([strategy, *map(str, violation.path)])}: {violation.words}"
