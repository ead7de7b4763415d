"""From what is observed to what a person should know: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from releasekit.chain import Reading
from releasekit.journal import open_run
from releasekit.observed import Health, Observed, Replica
from releasekit.outcome import HeldReplica, Hold, Preview, Status
from releasekit.release import short

if TYPE_CHECKING:
    from releasekit.nginx.render import Peer

LOOK = "see what serves, then `releasekit recover`, or `up` or `rollback` once more"
MOST_TOLD = 3
"""Problems of a journal that are told one by one."""
PREVIEW_HEADER = "X-Releasekit-Preview"
"""Where a request through nginx carries the secret of a preview."""


def status_of(
    observed: Observed,
    hold: Hold | None = None,
    unfinished: Mapping[str, Any] | None = None,
    degraded: str | None = None,
) -> Status:
    """The live release, the one that is held, and whatever does not fit together; `unfinished` is
    the record of a migration that was not seen to end, `degraded` why the last run needed a way
    back that failed too."""
    routed = {replica.release for replica in observed.routed()}
    live = routed.pop() if len(routed) == 1 else ""
    if not live and observed.nginx is None:
        live = observed.current
    problems = tuple(_problems(observed, live))
    if unfinished is not None:
        release = short(unfinished["release"])
        open_end = f"the migration of {release} was not seen to end: `releasekit up` says more"
        problems = (*problems, open_end)
    if degraded is not None:
        told = f"degraded: {degraded}; and the way back failed too; {LOOK}"
        problems = (told, *problems)
    return Status(observed, live, problems, hold, degraded=degraded is not None)


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


def by_sight(observed: Observed) -> Observed:
    """`observed` with the one release that answers as the current one, whatever is recorded: for
    want of an nginx the one that runs. Where that is not clear, what is recorded stays."""
    asked = observed.routed() if observed.nginx is not None else observed.replicas
    releases = {replica.release for replica in asked if replica.running}
    (seen,) = releases if len(releases) == 1 else {""}
    if not seen:
        return observed
    return replace(observed, current=seen, committed=observed.committed | {seen})


def journal_problems(reading: Reading, *, is_running: bool) -> Iterator[str]:
    """What a person should know of the journal, and of a run in it that was cut short."""
    yield from (f"journal: {problem}" for problem in told(reading.problems))
    if reading.torn:
        yield f"journal: {reading.torn}"
    if not reading.is_whole:
        yield "journal: what is current was taken from what serves"
    opened = None if is_running else open_run(reading.records)
    if opened is not None:
        yield (
            f"{_named(opened)} was cut short{_place(opened, reading.records)}: "
            "`releasekit recover` puts that right, and so does the next `up` or `rollback`"
        )


def told(problems: Sequence[str]) -> list[str]:
    """The first of many, and how many more there are."""
    more = len(problems) - MOST_TOLD
    return [*problems[:MOST_TOLD], *([f"and {more} more like that"] if more > 0 else [])]


def _named(begin: Mapping[str, Any]) -> str:
    what = f"`{begin.get('kind', 'run')} {short(str(begin.get('release', '')))}`"
    return f"{what} by {begin['by']}" if begin.get("by") else what


def _place(begin: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> str:
    steps = [r for r in records if r["run"] == begin["run"] and r["event"] == "step"]
    if not steps:
        return ""
    last = steps[-1]
    return f" {'amid' if last.get('state') == 'begin' else 'after'} {last.get('step', 'a step')}"


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
    yield from _unserved(observed, expected)
    for replica in sorted({*routed, *(observed.of(expected) if expected else ())}):
        what = f"{replica.name} gets traffic, but" if replica in routed else replica.name
        if not replica.running:
            yield f"{what} does not run"
        elif replica.health is Health.UNHEALTHY:
            yield f"{what} is unhealthy, as Docker says"
    for backing in observed.backing:
        if not backing.running:
            yield f"backing service {backing.service} does not run"


def _unserved(observed: Observed, release: str) -> Iterator[str]:
    """The services of `release` that run and get nothing, though nginx has a route for them."""
    is_old = observed.nginx is not None and not observed.nginx.resolves
    why = ": before 1.27.3 it goes on with their addresses from before; `releasekit up` mends it"
    for upstream in observed.route.upstreams:
        replicas = [r for r in observed.of(release) if r.service == upstream.service and r.running]
        names = {replica.name for replica in replicas if release}
        if names and not names & {*upstream.replicas}:
            yield f"nginx sends nothing to {', '.join(sorted(names))}{why if is_old else ''}"


def _nginx_problems(observed: Observed) -> Iterator[str]:
    nginx = observed.nginx
    if nginx is None or not observed.current:
        return
    if not nginx.running:
        yield "nginx does not run"
    elif nginx.loaded is None:
        yield "nginx does not say which route it serves"
    if nginx.edited:
        yield (
            "nginx's file is not as releasekit wrote it: it was edited by hand; `releasekit up` "
            f"stops at it, `up --adopt` takes it over\n{nginx.edited}"
        )
    missing = sorted(observed.route.names - {replica.name for replica in observed.replicas})
    for name in missing:
        yield f"nginx sends traffic to {name}, which does not exist"
