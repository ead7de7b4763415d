"""The managed file as it may be shown, also before the replicas that it leads to exist: pure."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace

from releasekit.nginx import mark
from releasekit.nginx.render import FILE, Peer
from releasekit.redact import MASK

_NOWHERE = ipaddress.IPv4Address("240.0.0.0")
"""The first of the addresses that nobody ever has: each stands for one that is not known yet."""
SOME_HOST = str(_NOWHERE)
"""Stands for where the host's connections to nginx will come from."""
_STAND_IN = re.compile(r"\b24[0-9]\.\d+\.\d+\.\d+\b")
_GENERATION = re.compile(r'("generation":")[^"]*')
_SECRET = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")


def placed(peers: Mapping[str, Peer]) -> dict[str, Peer]:
    """`peers`, those without an address with one that stands for it."""
    return {
        name: peer if peer.address else replace(peer, address=str(_NOWHERE + number))
        for number, (name, peer) in enumerate(sorted(peers.items()), start=1)
    }


def shown(text: str, peers: Mapping[str, Peer]) -> str:
    """The managed file's `text`: names where an address stands for one, and neither what every
    writing changes nor the secret of a preview."""
    names = {peer.address: name for name, peer in peers.items()} | {SOME_HOST: "the host"}
    text = _STAND_IN.sub(lambda found: f"<address of {names.get(found[0], found[0])}>", text)
    return _SECRET.sub(MASK, _GENERATION.sub(rf"\g<1>{MASK}", mark.shown(text)))


def difference(before: str, after: str, was: str, becomes: str) -> str:
    """Two texts of the managed file as a unified diff; `was` and `becomes` say which is which."""
    names = (f"nginx: {FILE} {was}", f"nginx: {FILE} {becomes}")
    return "\n".join(
        difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    )
