"""From what is observed to what a person should know: pure."""

from __future__ import annotations

from collections.abc import Iterator

from releasekit.observed import Health, Observed
from releasekit.outcome import Status
from releasekit.release import short


def status_of(observed: Observed) -> Status:
    """The live release, and whatever does not fit together."""
    routed = {replica.release for replica in observed.routed()}
    live = routed.pop() if len(routed) == 1 else ""
    if not live and observed.nginx is None:
        live = observed.current
    return Status(observed, live, tuple(_problems(observed, live)))


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
