"""The worlds that releases leave behind, each with its name."""

from __future__ import annotations

from releasekit.observed import PLAIN, Nginx, Route, Upstream
from releasekit.steps import replica_names
from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
from releasekit.strategies.mixed import Chosen
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import Rolling, RollingOptions
from releasekit.target import Target
from releasekit.testing import App
from releasekit.testing.found import BACKING, Start, There, service
from releasekit.testing.worlds import NGINX_VERSIONS, RELEASES

A, B, C = RELEASES
NEW, OLD = (Nginx(version) for version in NGINX_VERSIONS)
BLUE_GREEN, WARM, COLD = (
    Chosen(BlueGreen(), BlueGreenOptions(keep_previous=keep))
    for keep in ("stopped", "running", "removed")
)
RECREATE = Chosen(Recreate(), Recreate.options())
ROLLING = Chosen(Rolling(), RollingOptions())
CHOSEN = {"blue-green": BLUE_GREEN, "recreate": RECREATE, "rolling": ROLLING}


def target(release: str, *, replicas: int = 2) -> Target:
    return Target("shop", release, (service("web", replicas), service("worker")), BACKING)


def workers(release: str) -> Target:
    return Target("shop", release, (service("worker", 2),), BACKING)


def after(*history: tuple[str, Chosen], nginx: Nginx | None = None) -> Start:
    """A world in which these releases were released, in this order, a while ago."""
    targets = {release: (target if nginx else workers)(release) for release in RELEASES}
    apps = {release: App(1.5) for release in RELEASES}
    return Start(targets, apps, nginx=nginx, history=history, rest_s=10.0)


def started_by_compose(nginx: Nginx) -> Start:
    """A runs as plain compose starts it, behind an nginx of the team's own, and was adopted."""
    return Start(
        {release: target(release) for release in RELEASES},
        {release: App(1.5) for release in RELEASES},
        there=tuple(
            There(each.name, PLAIN, number, A)
            for each in target(A).services
            for number in range(1, each.replicas + 1)
        ),
        nginx=nginx,
        route=Route((Upstream("web", replica_names("shop", PLAIN, "web", 2)),)),
        is_ours=False,
        committed=(A,),
    )


STARTS = {
    "nothing": after(nginx=NEW),
    "plain compose": started_by_compose(NEW),
    "plain compose, old nginx": started_by_compose(OLD),
    "one release": after((A, BLUE_GREEN), nginx=NEW),
    "two releases": after((B, BLUE_GREEN), (A, BLUE_GREEN), nginx=NEW),
    "two releases, old nginx": after((B, BLUE_GREEN), (A, BLUE_GREEN), nginx=OLD),
    "a warm previous": after((B, WARM), (A, WARM), nginx=NEW),
    "a warm target": after((C, WARM), (A, WARM), nginx=NEW),
    "a stopped target": after((C, BLUE_GREEN), (A, BLUE_GREEN), nginx=NEW),
    "none kept": after((B, COLD), (A, COLD), nginx=NEW),
    "rolled": after((B, BLUE_GREEN), (A, ROLLING), nginx=NEW),
    "recreated": after((A, RECREATE), nginx=NEW),
    "recreated, old nginx": after((A, RECREATE), nginx=OLD),
    "workers": after((A, BLUE_GREEN)),
    "recreated workers": after((A, RECREATE)),
}
