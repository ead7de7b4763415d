"""What stands between a strategy and a release: whatever a plugin does, a plan comes out of it, or
a `StrategyError` that names it and the distribution that brings it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from releasekit.errors import StrategyError
from releasekit.observed import Observed
from releasekit.plan import Plan
from releasekit.strategies.base import Options, Strategy
from releasekit.strategies.shape import misshapen
from releasekit.target import Target

DEADLINE_S = 10.0
"""For each call of a strategy's code: it only thinks, so that milliseconds are the rule."""

OURS = "releasekit"
"""The distribution that brings the built-in strategies."""

T = TypeVar("T")

_FACTS: tuple[tuple[str, type], ...] = (
    ("name", str),
    ("summary", str),
    ("has_downtime", bool),
    ("needs_health", bool),
)


@dataclass(frozen=True, slots=True)
class Named:
    """A strategy by its name and the distribution that brings it, as errors speak of it."""

    name: str
    origin: str

    def __str__(self) -> str:
        return f"strategy {self.name!r} from {self.origin}"

    def error(self, what: str) -> StrategyError:
        return StrategyError(f"{self} {what}", hint=remedy(self.origin))

    def asked(self, call: Callable[[], T], deadline_s: float, failed: str) -> T:
        """What `call` returns in time; raises `StrategyError` for all that it raises."""
        try:
            return timely(call, deadline_s)
        except _Late:
            raise self.error(f"did not answer within {deadline_s:g} s") from None
        except _Raised as raised:
            error = raised.error
            told = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise self.error(f"{failed}: {told}") from error


@dataclass(frozen=True, slots=True, eq=False)
class Guarded:
    """A strategy whose code runs on its own thread, and whose plans are looked at first."""

    name: str
    summary: str
    has_downtime: bool
    needs_health: bool
    options: type[Options]
    defaults: dict[str, Any]
    """Its options as JSON has them."""
    origin: str
    _planner: Strategy = field(repr=False)
    _deadline_s: float = DEADLINE_S

    def plan(self, observed: Observed, target: Target, options: Options) -> Plan:
        def planned() -> tuple[Plan, str]:
            plan = self._planner.plan(observed, target, options)
            return plan, misshapen(plan) or _strayed(plan, self.name, observed, target)

        named = Named(self.name, self.origin)
        plan, problem = named.asked(planned, self._deadline_s, "made no plan")
        if problem:
            raise named.error(f"made no plan: {problem}")
        return plan


def guarded(named: Named, make: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Guarded:
    """The strategy that `make` makes; raises `StrategyError` when it makes none."""

    def made() -> tuple[Any, dict[str, Any], dict[str, Any]]:
        planner = make()
        facts = {fact: getattr(planner, fact) for fact in ("options", "plan", *dict(_FACTS))}
        options = facts["options"]
        is_options = isinstance(options, type) and issubclass(options, Options)
        values = options().model_dump(mode="json", warnings=False) if is_options else {}
        return planner, facts, values

    planner, facts, defaults = named.asked(made, deadline_s, "failed to load")
    if problem := _unfit(facts, named.name):
        raise named.error(f"failed to load: {problem}")
    own = {fact: facts[fact] for fact in (*dict(_FACTS), "options")}
    return Guarded(
        **own, defaults=defaults, origin=named.origin, _planner=planner, _deadline_s=deadline_s
    )


def origin(strategy: Strategy) -> str:
    """The distribution that brings it."""
    return strategy.origin if isinstance(strategy, Guarded) else OURS


def remedy(*origins: str) -> str:
    """What to do about a bad strategy that comes from one of these distributions."""
    return f"choose another strategy, or tell the authors of {' or '.join(origins)}"


def timely(call: Callable[[], T], deadline_s: float) -> T:
    """What `call` returns; raises `_Raised` with what it raised, or `_Late`.

    A thread is all that can be left alone with code that never returns. It keeps no process from
    ending, and whoever waits here can be interrupted.
    """
    returned: list[T] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            returned.append(call())
        except BaseException as error:  # `sys.exit()` in a plugin ends no release
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True, name="strategy")
    thread.start()
    thread.join(deadline_s)
    if raised:
        raise _Raised(raised[0])
    if not returned:
        raise _Late
    return returned[0]


class _Late(Exception):
    pass


class _Raised(Exception):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _unfit(facts: dict[str, Any], name: str) -> str:
    """What is wrong with these attributes of a strategy; "" when nothing is."""
    for fact, kind in _FACTS:
        if not isinstance(facts[fact], kind):
            return f"its `{fact}` is {facts[fact]!r}, and has to be a {kind.__name__}"
    if facts["name"] != name:
        return f"it calls itself {facts['name']!r}: its entry point has to have that name"
    options = facts["options"]
    if not (isinstance(options, type) and issubclass(options, Options)):
        return f"its `options` is {options!r}, and has to be a class made from releasekit.Options"
    if not callable(facts["plan"]):
        return f"its `plan` is {facts['plan']!r}, and has to be a method"
    return ""


def _strayed(plan: Plan, name: str, observed: Observed, target: Target) -> str:
    """Whether it is a plan for something else than was asked."""
    asked = {
        "strategy": name,
        "release": target.release,
        "based_on": observed.fingerprint(),
    }
    for fact, value in asked.items():
        if (given := getattr(plan, fact)) != value:
            return f"its `{fact}` is {given!r}, and has to be {value!r}"
    return ""
