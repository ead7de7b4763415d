"""Independent questions asked at the same time: each costs a process or a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, overload

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

AT_ONCE = 8
"""So many of a long list at a time: they share the waiting, and do not swamp a small machine."""


@overload
def together(a: Callable[[], A], b: Callable[[], B], /) -> tuple[A, B]: ...
@overload
def together(a: Callable[[], A], b: Callable[[], B], c: Callable[[], C], /) -> tuple[A, B, C]: ...
def together(*calls: Callable[[], Any]) -> tuple[Any, ...]:
    """What each of `calls` returns, in order; raises what the first of them raised.

    None of them is left running when this returns.
    """
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
    return tuple(future.result() for future in futures)


def each(ask: Callable[[A], B], about: Iterable[A]) -> list[B]:
    """What `ask` returns for each, in order; several are asked at a time, so that one that is
    slow to answer does not hold up the others."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(ask, about))
