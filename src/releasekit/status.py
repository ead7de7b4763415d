"""From what is observed to what a person should know: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from releasekit.observed import Health, Observed, Replica
from releasekit.outcome import HeldReplica, Hold, Preview, Status
from releasekit.release import short

if TYPE_CHECKING:
    from releasekit.nginx.render import Peer

PREVIEW_HEADER = "X-Releasekit-Preview"
"""Where a request through nginx carries the secret of a preview."""


def status_of(observed: Observed, hold: Hold | None = None) -> Status:
    """The live release, the one that is held, and whatever does not fit together."""
    routed = {replica.release for replica in observed.routed()}
    live = routed.pop() if len(routed) == 1 else ""
    if not live and observed.nginx is None:
        live = observed.current
    return Status(observed, live, tuple(_problems(observed, live)), hold)


def hold_of(record: Mapping[str, Any], observed: Observed, peers: Mapping[str, Peer]) -> Hold:
    """The hold that the journal's `record` began; of its replicas those that are `peers`, by name,
    for nobody can ask the others."""
    release = str(record["release"])
    replicas = [replica for replica in sorted(observed.of(release)) if replica.name in peers]
    shown = {name for upstream in observed.route.upstreams for name in upstream.preview}
    secret = observed.route.secret if shown & {replica.name for replica in replicas} else ""
    return Hold(
        release,
        since=str(record.get("at", "")),
        by=str(record.get("by", "")),
        replicas=tuple(HeldReplica(r.name, _url(r, peers[r.name])) for r in replicas),
        preview=Preview(PREVIEW_HEADER, secret) if secret else None,
    )


def _url(replica: Replica, peer: Peer) -> str:
    if not (replica.running and peer.address):
        return ""
    address = f"[{peer.address}]" if ":" in peer.address else peer.address
    return f"http://{address}:{peer.port}"


def serving_release(observed: Observed) -> str:
    """The id of the one release that answers clients, as far as can be told; "" for none.

    Where nginx runs and has no route of ours, as in front of a stack that plain compose started,
    it is the current release, if it runs.
    """
    nginx = observed.nginx
    running = tuple(replica for replica in observed.replicas if replica.running)
    asked = {replica for replica in observed.routed() if replica.running}
    if nginx is None or (nginx.running and nginx.loaded is None):
        asked = {replica for replica in running if replica.release == observed.current}
    releases = {replica.release for replica in asked}
    return releases.pop() if len(releases) == 1 else ""


def _problems(observed: Observed, live: str) -> Iterator[str]:
    releases = {replica.release for replica in observed.routed()}
    if len(releases) > 1:
        yield f"nginx sends traffic to several releases: {', '.join(map(short, sorted(releases)))}"
    if live and live != observed.current:
        recorded = short(observed.current) if observed.current else "nothing"
        yield f"{short(live)} serves, but {recorded} is recorded as current"
    yield from _nginx_problems(observed)
    routed = observed.routed()
    expected = live or observed.current
    for replica in sorted({*routed, *(observed.of(expected) if expected else ())}):
        what = f"{replica.name} gets traffic, but" if replica in routed else replica.name
        if not replica.running:
            yield f"{what} does not run"
        elif replica.health is Health.UNHEALTHY:
            yield f"{what} is unhealthy, as Docker says"
    for backing in observed.backing:
        if not backing.running:
            yield f"backing service {backing.service} does not run"


def _nginx_problems(observed: Observed) -> Iterator[str]:
    nginx = observed.nginx
    if nginx is None or not observed.current:
        return
    if not nginx.running:
        yield "nginx does not run"
    elif nginx.loaded is None:
        yield "nginx does not say which route it serves"
    missing = sorted(observed.route.names - {replica.name for replica in observed.replicas})
    for name in missing:
        yield f"nginx sends traffic to {name}, which does not exist"
