"""A run that fails ends where users are served, whatever it was that failed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from releasekit.errors import HostError, Interrupted, NeedsPerson, ReleaseFailed, StepFailed
from releasekit.events import Event, RunEnded
from releasekit.observed import Nginx, Observed, Replica, Route, Upstream
from releasekit.release import Release
from releasekit.run import Run
from releasekit.runner import Downtime
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.mixed import Mix
from releasekit.target import Service, Target

OLD, NEW = "a" * 40 + "~1", "b" * 40 + "~2"


def replica(release: str, slot: str) -> Replica:
    return Replica("web", slot, f"shop-releases-web-{slot}-1", release, f"id-{slot}")


def observed(*replicas: Replica, serving: str = "blue", current: str = OLD) -> Observed:
    route = Route((Upstream("web", (f"shop-releases-web-{serving}-1",)),), "g")
    nginx = Nginx((1, 30, 0), running=True, loaded=route)
    return Observed(
        "shop",
        replicas,
        nginx=nginx,
        current=current,
        committed=frozenset({OLD} if current else ()),
    )


@dataclass
class Bundle:
    id: str
    project: str = "shop"
    release: Release = field(default_factory=lambda: Release("b" * 40, "Say more", "Kim"))

    def target(self) -> Target:
        return Target("shop", self.id, (Service("web", port=8080),))


class Journal:
    def __init__(self) -> None:
        self.written: list[tuple[str, dict[str, Any]]] = []

    def write(self, event: str, run: str, **facts: Any) -> None:
        self.written.append((event, facts))


@dataclass
class Site:
    """Serves `observations` one after the other; runs plans through `play`."""

    observations: list[Observed]
    plays: list[Callable[[], None]]
    journal: Journal = field(default_factory=Journal)

    @property
    def store(self) -> Any:
        return self

    def load(self, release: str) -> Bundle | None:
        return Bundle(release) if release else None

    def observe(self) -> Observed:
        return self.observations.pop(0) if len(self.observations) > 1 else self.observations[0]

    def runner(self, events: Any, stop: threading.Event, downtime: Downtime) -> Any:
        return self

    def run(self, plan: Any, run: str) -> None:
        self.plays.pop(0)()


class Workspace:
    def __init__(self, site: Site) -> None:
        self._site = site
        self.clock = self

    def utc(self) -> str:
        return "2026-11-20T06:15:09.000+00:00"

    def now(self) -> float:
        return 0.0

    def site(self, bundle: Bundle) -> Site:
        return self._site


def fail(error: BaseException) -> Callable[[], None]:
    def play() -> None:
        raise error

    return play


def run(site: Site, events: list[Event]) -> None:
    before = observed(replica(OLD, "blue"))
    workspace: Any = Workspace(site)
    made = Run("up", "shop", Bundle(NEW).release, workspace, events.append, {"by": "kim"})
    bundle: Any = Bundle(NEW)
    real: Any = site
    made.to(bundle, Mix.single(BlueGreen()), real, before, threading.Event())


HALF_WAY = observed(replica(OLD, "blue"), replica(NEW, "green"))
BACK = observed(replica(OLD, "blue"))


@pytest.mark.parametrize(
    ("error", "raised", "result"),
    [
        (StepFailed("not healthy"), ReleaseFailed, "failed"),
        (HostError("the disk is full"), ReleaseFailed, "failed"),
        (RuntimeError("a bug"), ReleaseFailed, "failed"),
        (KeyboardInterrupt(), Interrupted, "interrupted"),
        (Interrupted("stopped on request"), Interrupted, "interrupted"),
    ],
)
def test_whatever_fails_the_previous_release_is_brought_back(
    error: BaseException, raised: type[Exception], result: str
) -> None:
    went_back: list[bool] = []
    site = Site([HALF_WAY, BACK], [fail(error), lambda: went_back.append(True)])
    events: list[Event] = []

    with pytest.raises(raised, match="aaaaaaa serves as before"):
        run(site, events)

    assert went_back
    assert [e.result for e in events if isinstance(e, RunEnded)] == [result]
    assert site.journal.written[-1][1]["result"] == result


def test_a_way_back_that_fails_needs_a_person_and_keeps_the_first_reason() -> None:
    first = StepFailed("not healthy", log_tail={"web": ("boom",)})
    site = Site([HALF_WAY], [fail(first), fail(RuntimeError("engine gone"))])

    with pytest.raises(
        NeedsPerson, match=r"not healthy.*way back failed too.*engine gone"
    ) as caught:
        run(site, [])

    assert caught.value.reason is first


def test_as_before_is_only_said_of_what_was_looked_at() -> None:
    """The previous release's container is gone meanwhile: nobody may be told that it serves."""
    gone = observed()
    site = Site([HALF_WAY, gone], [fail(StepFailed("not healthy")), lambda: None])

    with pytest.raises(NeedsPerson, match="nothing serves"):
        run(site, [])


def test_a_failing_repair_of_the_current_release_tells_what_serves() -> None:
    broken = observed(current=NEW)
    site = Site([broken], [fail(StepFailed("not healthy"))])

    with pytest.raises(NeedsPerson, match="nothing serves"):
        run(site, [])
