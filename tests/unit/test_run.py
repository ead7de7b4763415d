"""A run that fails ends where users are served, whatever it was that failed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from releasekit.downtime import Downtime
from releasekit.errors import (
    Breach,
    DeadlineExceeded,
    EngineError,
    HostError,
    Interrupted,
    MigrationUnfinished,
    NeedsPerson,
    ReleaseFailed,
    ReleasekitError,
    StepFailed,
)
from releasekit.events import Event, PlanMade, RunEnded, Warned, ignore
from releasekit.observed import Nginx, Observed, Replica, Route, Upstream
from releasekit.plan import Plan
from releasekit.ports import Probe
from releasekit.release import Release
from releasekit.run import TRIES, Run
from releasekit.steps import AwaitHealthy, Remove, Stop
from releasekit.steps import Route as RouteStep
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
    mended: int = 0
    sick: frozenset[str] = frozenset()
    """The replicas that do not answer well."""
    heed: Callable[[], None] = lambda: None
    """What ends the wait for nginx."""

    @property
    def store(self) -> Any:
        return self

    def load(self, release: str) -> Bundle | None:
        return Bundle(release) if release else None

    def observe(self) -> Observed:
        return self.observations.pop(0) if len(self.observations) > 1 else self.observations[0]

    def runner(self, events: Any, stop: threading.Event, downtime: Downtime) -> Any:
        return self

    def mend(self, observed: Observed, on_wait: Callable[[], None] = lambda: None) -> None:
        self.heed = on_wait
        self.mended += 1

    @property
    def engine(self) -> Any:
        return self

    def probe(self, release: str, replicas: Sequence[tuple[str, str]]) -> dict[str, Probe]:
        return {name: Probe(name not in self.sick, "") for _, name in replicas}

    def run(self, plan: Any, run: str) -> None:
        self.plays.pop(0)()


class Workspace:
    def __init__(self, site: Site) -> None:
        self._site = site
        self.clock = self
        self.bake_s = 0.0

    def utc(self) -> str:
        return "2026-11-20T06:15:09.000+00:00"

    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        pass

    def site(self, bundle: Bundle) -> Site:
        return self._site

    def give_way(self, project: str, events: Any) -> None:
        pass


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
        (MigrationUnfinished("nobody knows how it ended"), MigrationUnfinished, "failed"),
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


def test_after_a_breach_users_are_led_to_those_of_the_old_release_that_answer_at_once() -> None:
    """To wait for the others would keep them with the bad one."""
    blue, sick = replica(OLD, "blue"), replace(replica(OLD, "blue"), name="sick", id="id-sick")
    half_way = observed(blue, sick, replica(NEW, "green"), serving="green")
    plays = [fail(Breach("it is bad")), lambda: None]
    site = Site([half_way, BACK], plays, sick=frozenset({sick.name}))
    events: list[Event] = []

    with pytest.raises(ReleaseFailed):
        run(site, events)

    plan = [event.plan for event in events if isinstance(event, PlanMade)][-1]
    awaited = next(step for step in plan.steps if isinstance(step, AwaitHealthy))
    route = next(step for step in plan.steps if isinstance(step, RouteStep))
    assert awaited.replicas == (("web", blue.name),)
    assert [upstream.replicas for upstream in route.upstreams] == [(blue.name,)]


def test_nginx_would_start_with_what_it_serves_before_a_run_and_on_its_way_back() -> None:
    """Also where the way back has nothing to route: a master that refused a route serves as ever,
    and its file leads to what was not released."""
    mended: list[int] = []

    def refuse() -> None:
        mended.append(site.mended)
        raise StepFailed("not confirmed")

    site = Site([HALF_WAY, BACK], [refuse, lambda: mended.append(site.mended)])

    with pytest.raises(ReleaseFailed):
        run(site, [])

    assert mended == [1, 2]


def test_a_signal_ends_the_wait_for_nginx_before_the_run_begins() -> None:
    site, stop = Site([HALF_WAY], [lambda: None]), threading.Event()
    workspace, real, bundle = (cast("Any", each) for each in (Workspace(site), site, Bundle(NEW)))
    made = Run("up", "shop", Bundle(NEW).release, workspace, ignore, {})
    made.to(bundle, Mix.single(BlueGreen()), real, BACK, stop)

    site.heed()
    stop.set()
    with pytest.raises(Interrupted, match="before anything was changed"):
        site.heed()


def test_it_would_also_once_what_is_left_of_a_first_release_is_gone() -> None:
    """Its file may lead to that, where the run was killed before the reload."""
    left = replica(NEW, "green")
    site = Site([observed(left, serving="blue", current=""), observed(current="")], [lambda: None])
    plan = Plan("abandon", NEW, "f" * 16, (Stop((left,), "left"), Remove((left,), "left")))
    workspace, real = cast("Any", Workspace(site)), cast("Any", site)
    made = Run("recover", "shop", Bundle(NEW).release, workspace, ignore, {})

    outcome = made.clear(plan, Mix.single(BlueGreen()), real, site.observe(), threading.Event())

    assert (outcome.result, site.mended) == ("recovered", 1)


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


@pytest.mark.parametrize(
    "error",
    [
        EngineError("the Docker engine does not answer"),
        DeadlineExceeded("`docker container ls` did not end within 30 s"),
    ],
)
def test_the_way_back_waits_for_an_engine_that_restarts(error: ReleasekitError) -> None:
    site = Site([BACK], [fail(StepFailed("it is away")), lambda: None])
    away = [error] * 3

    def observe() -> Observed:
        if away:
            raise away.pop()
        return BACK

    site.observe = observe  # type: ignore[method-assign]
    with pytest.raises(ReleaseFailed, match="aaaaaaa serves as before"):
        run(site, [])


def test_a_way_back_in_which_the_engine_goes_away_is_planned_anew() -> None:
    away = fail(EngineError("the Docker engine does not answer"))
    site = Site([HALF_WAY, HALF_WAY, BACK], [fail(StepFailed("no")), away, lambda: None])
    events: list[Event] = []

    with pytest.raises(ReleaseFailed, match="aaaaaaa serves as before"):
        run(site, events)

    assert [e.message for e in events if isinstance(e, Warned)] == [
        "the way back begins anew: the Docker engine does not answer"
    ]


def test_it_is_not_for_ever() -> None:
    away = fail(EngineError("the Docker engine does not answer"))
    site = Site([HALF_WAY], [fail(StepFailed("no")), *[away] * TRIES])

    with pytest.raises(NeedsPerson, match="way back failed too: the Docker engine does not"):
        run(site, [])

    assert site.plays == []


def test_a_failing_repair_of_the_current_release_tells_what_serves() -> None:
    broken = observed(current=NEW)
    site = Site([broken], [fail(StepFailed("not healthy"))])

    with pytest.raises(NeedsPerson, match="nothing serves"):
        run(site, [])


# A disk that is full


class Full(Journal):
    def write(self, event: str, run: str, **facts: Any) -> None:
        raise HostError("No space left on device")


class FullAtLast(Journal):
    """It takes everything but how the run ended."""

    def write(self, event: str, run: str, **facts: Any) -> None:
        if event == "end":
            raise HostError("No space left on device")
        super().write(event, run, **facts)


def test_a_release_that_is_finished_is_that_also_when_its_end_cannot_be_recorded() -> None:
    site, events = Site([BACK], [lambda: None], FullAtLast()), cast("list[Event]", [])

    run(site, events)

    assert [e.result for e in events if isinstance(e, RunEnded)] == ["released"]
    said = [event.message for event in events if isinstance(event, Warned)]
    assert said == ["not in the journal: No space left on device"]


def full(kind: str) -> tuple[Site, Run, list[Event]]:
    events: list[Event] = []
    site = Site([HALF_WAY], [lambda: None], Full())
    workspace: Any = Workspace(site)
    return site, Run(kind, "shop", Bundle(NEW).release, workspace, events.append, {}), events


def test_a_rollback_goes_on_without_a_journal_and_says_so() -> None:
    site, made, events = full("rollback")
    bundle: Any = Bundle(OLD)
    real: Any = site

    outcome = made.to(bundle, Mix.single(BlueGreen()), real, HALF_WAY, threading.Event())

    assert outcome.result == "rolled-back"
    assert not real.must_record
    said = [event.message for event in events if isinstance(event, Warned)]
    assert said == ["not in the journal: No space left on device"] * 2


def test_a_recovery_with_nothing_left_to_do_goes_on_without_a_journal_too() -> None:
    class Opened(Full):
        def records(self) -> Any:
            return ({"event": "begin", "run": "run-1", "release": NEW},)

    site, made, events = full("recover")
    site.journal = Opened()
    plan, real = Plan("abandon", NEW, "f" * 16, ()), cast("Any", site)

    outcome = made.clear(plan, Mix.single(BlueGreen()), real, HALF_WAY, threading.Event())

    assert outcome.result == "nothing-to-do"
    said = [event.message for event in events if isinstance(event, Warned)]
    assert said == ["not in the journal: No space left on device"]


def test_a_release_that_cannot_be_recorded_does_not_begin() -> None:
    site, made, _ = full("up")
    bundle: Any = Bundle(NEW)
    real: Any = site

    with pytest.raises(HostError, match="No space left"):
        made.to(bundle, Mix.single(BlueGreen()), real, HALF_WAY, threading.Event())

    assert site.plays
