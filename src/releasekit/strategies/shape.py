"""Whether a plan is made of what its types say: Python asks nobody who makes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from math import isfinite
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from releasekit.observed import PLAIN, SLOTS
from releasekit.plan import Plan
from releasekit.steps import Start

LONGEST = 60

Check = Callable[[Any], None]
"""Raises `_Misfit` for a value that is not as it has to be."""


def misshapen(plan: object) -> str:
    """What is wrong with the first part of `plan` that is not as its type says; "" when all is.

    Numbers are counts and durations: they are finite, and not below 0.
    """
    if type(plan) is not Plan:
        return f"it returned {_shown(plan)}, and has to return a Plan"
    try:
        _check(Plan)(plan)
    except _Misfit as misfit:
        return f"its `{misfit.where.removeprefix('.')}` is {misfit.what}"
    for number, step in enumerate(plan.steps):
        if isinstance(step, Start) and step.slot not in (PLAIN, *SLOTS):
            return f"its `steps[{number}].slot` is {_shown(step.slot)}, and there is no such slot"
    return ""


class _Misfit(Exception):
    """`what` a value is and should be; `where` grows on the way up to the plan."""

    def __init__(self, value: object, wanted: str) -> None:
        super().__init__()
        self.what = f"{_shown(value)}, and has to be {wanted}"
        self.where = ""


@cache
def _check(kind: Any) -> Check:
    if isinstance(kind, UnionType):
        return _one_of(get_args(kind), "a step")
    if isinstance(kind, type) and is_dataclass(kind):
        return _one_of((kind,), f"a {kind.__name__}")
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        return _all(first) if others == [Ellipsis] else _each((first, *others))
    if kind in (int, float):
        return _number(kind)
    return _instance(kind)


def _one_of(kinds: tuple[Any, ...], wanted: str) -> Check:
    """Of exactly one of these dataclasses: in a subclass nothing has to mean the same."""
    checks = {kind: _fields(kind) for kind in kinds}

    def check(value: Any) -> None:
        if (own := checks.get(type(value))) is None:
            raise _Misfit(value, wanted)
        for name, inner in own:
            try:
                inner(getattr(value, name))
            except _Misfit as misfit:
                misfit.where = f".{name}{misfit.where}"
                raise

    return check


def _fields(kind: Any) -> tuple[tuple[str, Check], ...]:
    hints = get_type_hints(kind)
    return tuple((field.name, _check(hints[field.name])) for field in fields(kind))


def _all(kind: Any) -> Check:
    inner = _check(kind)

    def check(value: Any) -> None:
        if type(value) is not tuple:
            raise _Misfit(value, "a tuple")
        if kind is str and {*map(type, value)} <= {str}:
            return  # of such are most, and they are long
        for number, each in enumerate(value):
            _at(number, inner, each)

    return check


def _each(kinds: tuple[Any, ...]) -> Check:
    inner = [_check(kind) for kind in kinds]

    def check(value: Any) -> None:
        if type(value) is not tuple or len(value) != len(inner):
            raise _Misfit(value, f"a tuple of {len(inner)}")
        for number, each in enumerate(value):
            _at(number, inner[number], each)

    return check


def _at(number: int, check: Check, value: Any) -> None:
    try:
        check(value)
    except _Misfit as misfit:
        misfit.where = f"[{number}]{misfit.where}"
        raise


def _number(kind: type) -> Check:
    def check(value: Any) -> None:
        is_number = type(value) in (int, kind) and isfinite(value)
        if not is_number or value < 0:
            raise _Misfit(value, "a number from 0")

    return check


def _instance(kind: type) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, kind):
            raise _Misfit(value, f"a {kind.__name__}")

    return check


def _shown(value: object) -> str:
    """A few words of it; the `repr` of anything else would be the plugin's code once more."""
    if value is None or type(value) in (str, int, float, bool):
        text = repr(value)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"a {type(value).__name__}"
