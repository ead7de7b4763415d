"""Worlds in which releases were released before, by real runs, and what is true after each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from releasekit.observed import PLAIN, Backing, Nginx, Route, Upstream
from releasekit.steps import replica_names
from releasekit.strategies.base import KeepPrevious, Strategy
from releasekit.strategies.blue_green import BlueGreenOptions
from releasekit.target import Target
from releasekit.testing import App, Ended, Fault, Simulator, World
from tests.simulation.worlds import BACKING, NGINX_VERSIONS, RELEASES, STRATEGIES, service

A, B, C = RELEASES
Way = Callable[[], Simulator]


def target(release: str, *, replicas: int = 2) -> Target:
    return Target("shop", release, (service("web", replicas), service("worker")), BACKING)


def worker_only(release: str) -> Target:
    return Target("shop", release, (service("worker", 2),), BACKING)


def empty(nginx: Nginx | None = None, keep: KeepPrevious = "stopped") -> Simulator:
    world = World(apps={release: App(1.5) for release in RELEASES}, nginx=nginx)
    world.backing = {name: Backing(name, f"id-{name}") for name in BACKING}
    return Simulator(world, BlueGreenOptions(keep_previous=keep))


def after(*runs: tuple[str, Strategy], nginx: Nginx | None = None, **options: KeepPrevious) -> Way:
    """A world in which these releases were released, in this order."""

    def made() -> Simulator:
        simulator = empty(nginx, **options)
        make = target if nginx else worker_only
        for release, strategy in runs:
            assert simulator.run(make(release), strategy).result == "done"
        simulator.world.clock.sleep(10)
        return simulator

    return made


def started_by_compose(nginx: Nginx) -> Way:
    """A runs as plain compose starts it, behind an nginx of the team's own, and was adopted."""

    def made() -> Simulator:
        simulator = empty(nginx)
        for each in target(A).services:
            for number in range(1, each.replicas + 1):
                simulator.world.put(each.name, PLAIN, number, A, running=True)
        plain = Upstream("web", replica_names("shop", PLAIN, "web", 2))
        simulator.world.serve(Route((plain,)), is_ours=False)
        simulator.commit(target(A))
        return simulator

    return made


NEW, OLD = (Nginx(version) for version in NGINX_VERSIONS)
BLUE_GREEN, RECREATE, ROLLING = STRATEGIES
STARTS: dict[str, Way] = {
    "nothing": lambda: empty(NEW),
    "plain compose": started_by_compose(NEW),
    "plain compose, old nginx": started_by_compose(OLD),
    "one release": after((A, BLUE_GREEN), nginx=NEW),
    "two releases": after((B, BLUE_GREEN), (A, BLUE_GREEN), nginx=NEW),
    "two releases, old nginx": after((B, BLUE_GREEN), (A, BLUE_GREEN), nginx=OLD),
    "a warm previous": after((B, BLUE_GREEN), (A, BLUE_GREEN), nginx=NEW, keep="running"),
    "a warm target": after((C, BLUE_GREEN), (A, BLUE_GREEN), nginx=NEW, keep="running"),
    "a stopped target": after((C, BLUE_GREEN), (A, BLUE_GREEN), nginx=NEW),
    "none kept": after((B, BLUE_GREEN), (A, BLUE_GREEN), nginx=NEW, keep="removed"),
    "recreated": after((A, RECREATE), nginx=NEW),
    "recreated, old nginx": after((A, RECREATE), nginx=OLD),
    "workers": after((A, BLUE_GREEN)),
    "recreated workers": after((A, RECREATE)),
}


def target_in(simulator: Simulator, release: str) -> Target:
    return target(release) if simulator.world.nginx else worker_only(release)


def run(
    simulator: Simulator, release: str, strategy: Strategy, faults: Sequence[Fault] = (), **kw: Any
) -> tuple[Ended, str]:
    """Run it with these faults; how it ended, and the story of it."""
    world, to = simulator.world, target_in(simulator, release)
    had = Counter(c.service for c in world.containers.values() if c.running)
    world.most.clear()
    ended = simulator.run(to, strategy, faults=faults, **kw)
    plans = "\n".join(plan.render() for plan in ended.plans)
    story = f"{ended.result} at step {world.step}: {ended.error!r}\n{plans}"
    for each in to.services:
        assert world.most[each.name] <= had[each.name] + each.replicas, story
    assert {Backing(name, f"id-{name}") for name in BACKING} == {*world.backing.values()}, story
    return ended, story


def assert_serves(simulator: Simulator, release: str, strategy: Strategy, story: str) -> None:
    assert simulator.observe().current == release, story
    assert simulator.plan(target_in(simulator, release), strategy).is_empty, story
    if not strategy.has_downtime:
        assert simulator.world.lost == [], story
