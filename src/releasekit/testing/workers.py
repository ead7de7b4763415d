"""nginx in memory: generations of workers, and what each knows of its replicas' addresses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from releasekit.observed import Route

ACCEPT_S = 0.2
"""How long old workers go on accepting connections after a reload."""
LOOKUP_S = 0.003
"""How long nginx does not know the address of a name that is new to it."""
VALID_S = 1.0
"""How long nginx believes an address."""
RETRY_S = 2.0
"""After how long nginx looks up a name again that nobody had."""

FOREVER = float("inf")


class Peers(Protocol):
    """The containers that nginx may ask, by name."""

    def address(self, name: str) -> int | None:
        """Where it answers now; None when it does not run."""
        ...

    def is_well(self, name: str) -> bool:
        """Whether it answers as it should."""
        ...


@dataclass
class Lookup:
    """What nginx knows of a name: its address (None: nobody's), since when, and for how long."""

    address: int | None
    at: float
    valid_s: float

    @classmethod
    def of(cls, address: int | None, at: float) -> Lookup:
        """The answer that nginx gets when it asks now."""
        return cls(address, at, RETRY_S if address is None else VALID_S)

    @property
    def is_pending(self) -> bool:
        """Whether nginx has no answer yet."""
        return self.valid_s == LOOKUP_S

    def refreshed(self, address: int | None, now: float) -> Lookup:
        """What nginx knows when it asks as often as it does, and the address has become this one
        just now, if it is another one."""
        due = self.at + self.valid_s
        if now < due:
            return self
        if now == due or self.is_pending:
            return Lookup.of(address, now)
        return Lookup(self.address, now - (now - self.at) % self.valid_s, self.valid_s)

    def next_change(self, address: int | None) -> float:
        """When nginx learns something new, if nothing else happens."""
        is_known = self.address == address and not self.is_pending
        return FOREVER if is_known else self.at + self.valid_s


@dataclass
class Workers:
    """One generation of nginx's workers: what they serve, and until when they live."""

    route: Route
    lookups: dict[str, Lookup]
    resolves: bool = True
    """Whether they look names up while they run."""
    served_before: frozenset[str] = frozenset()
    """The services that answered before these workers came."""
    is_ours: bool = True
    accepts_until: float = FOREVER
    ends_at: float = FOREVER

    def accepts(self, now: float) -> bool:
        return self.accepts_until > now

    def leave(self, now: float, request_s: float) -> None:
        """Others take over: accept for a moment, and finish the requests under way."""
        self.accepts_until = now + ACCEPT_S
        self.ends_at = now + max(request_s, ACCEPT_S)

    def refresh(self, peers: Peers, now: float) -> None:
        """Look up what is due."""
        if self.resolves and self.accepts(now):
            for name, lookup in self.lookups.items():
                self.lookups[name] = lookup.refreshed(peers.address(name), now)

    def changes(self, peers: Peers, now: float) -> Iterator[float]:
        """When their users may see something else, if nothing happens to the peers."""
        yield self.ends_at
        if self.accepts(now):
            yield self.accepts_until
            if self.resolves:
                for name, lookup in self.lookups.items():
                    yield lookup.next_change(peers.address(name))

    def troubles(self, peers: Peers, now: float) -> Iterator[str]:
        """The requests that fail now, as "service: why"."""
        for upstream in self.route.upstreams:
            if not upstream.replicas and self.is_ours and self.accepts(now):
                yield f"{upstream.service}: nobody serves it"
            for name in upstream.replicas:
                trouble = self._trouble(upstream.service, name, peers, now)
                if trouble:
                    yield f"{upstream.service}: {name} {trouble}"

    def _trouble(self, service: str, name: str, peers: Peers, now: float) -> str:
        address, lookup = peers.address(name), self.lookups[name]
        if not self.accepts(now):
            is_cut = lookup.address not in (None, address)
            return "was stopped with requests in flight" if is_cut else ""
        if lookup.is_pending:
            return "was not looked up yet" if service in self.served_before else ""
        if address is None:
            return "does not run"
        if lookup.address != address:
            return "has another address"
        return "" if peers.is_well(name) else "is not healthy"
