"""What `status` tells of a project: everything there is to see, and nothing is changed."""

from __future__ import annotations

from dataclasses import replace

from releasekit import journal as journals
from releasekit.freezing import frozen
from releasekit.outcome import Status
from releasekit.status import hold_of, journal_problems, status_of
from releasekit.workspace import Workspace


def overview(workspace: Workspace) -> Status:
    """What serves now, and whatever does not fit together."""
    site = workspace.current_site()
    observed = site.observe()
    reading, running = workspace.reading(site.project)
    record = journals.hold(reading.records)
    replicas = [r.name for r in observed.of(record["release"])] if record else []
    peers = site.engine.peers(replicas) if replicas else {}
    hold = hold_of(record, observed, peers) if record else None
    unfinished, degraded = journals.unfinished(reading.records), journals.degraded(reading.records)
    status = status_of(observed, hold, unfinished, degraded)
    return replace(
        status,
        problems=(*status.problems, *journal_problems(reading, is_running=bool(running))),
        frozen=frozen(workspace.host, workspace.place(site.project)),
        running=running,
    )
