"""The lock by hand: nobody releases, until a person says so."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from releasekit.errors import Frozen
from releasekit.naming import minute
from releasekit.outcome import Freeze

if TYPE_CHECKING:
    from releasekit.ports import Host
    from releasekit.site import Place

UNKNOWN = Freeze(by="", origin="", since="", message="")
"""A lock by hand that does not say what it is for. It is one all the same."""
WAIT_S = 10.0
"""To write a lock by hand takes no time."""
HINT = "`releasekit unlock`, when that is over"


def frozen(host: Host, place: Place) -> Freeze | None:
    """The lock by hand of the project there; None when there is none."""
    text = host.read(place.freeze)
    if text is None:
        return None
    try:
        facts = json.loads(text)
        return Freeze(**{name: str(facts[name]) for name in asdict(UNKNOWN)})
    except (ValueError, KeyError, TypeError):
        return UNKNOWN


def freeze(host: Host, place: Place, freeze: Freeze) -> None:
    """Have it there, whatever becomes of this process or machine; raises `Frozen` when there is
    one already, also one that somebody makes at the same moment."""
    with host.lock(f"{place.freeze}.lock", "lock by hand", wait_s=WAIT_S):
        require_thawed(host, place)
        host.write(place.freeze, json.dumps(asdict(freeze), ensure_ascii=False) + "\n")


def thaw(host: Host, place: Place) -> Freeze | None:
    """End it; what it was."""
    was = frozen(host, place)
    host.remove(place.freeze)
    return was


def require_thawed(host: Host, place: Place) -> None:
    """Raise `Frozen` when there is a lock by hand."""
    found = frozen(host, place)
    if found is not None:
        raise Frozen(f"the project is {told(found)}", hint=HINT)


def told(freeze: Freeze) -> str:
    """Who locked it, from where, since when and why."""
    if not freeze.by:
        return "locked by hand; by whom and why cannot be read"
    since = minute(freeze.since)
    return f"locked by {freeze.by} from {freeze.origin} since {since}: {freeze.message}"
