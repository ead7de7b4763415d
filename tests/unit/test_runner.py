"""The runner: it does what the plan says, in order, records it, and gives up when it must."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest

from releasekit.downtime import Downtime
from releasekit.errors import (
    CommandFailed,
    DeadlineExceeded,
    ForeignChange,
    HostError,
    Interrupted,
    MigrationUnfinished,
    NeverHealthy,
    RouteRefused,
    StepFailed,
)
from releasekit.events import (
    DowntimeMeasured,
    Event,
    StepEnded,
    StepProgress,
    StepStarted,
    Warned,
)
from releasekit.journal import Journal
from releasekit.observed import PLAIN, Nginx, Route, Upstream
from releasekit.plan import Plan
from releasekit.ports import Probe
from releasekit.runner import CONFIRM_DEADLINE_S, Runner
from releasekit.steps import (
    AwaitHealthy,
    ConfirmRoute,
    Drain,
    EnsureBacking,
    MarkCurrent,
    Phase,
    Pull,
    Remove,
    RunOnce,
    Start,
    Step,
    Stop,
    Watch,
)
from releasekit.steps import Route as RouteStep
from releasekit.strategies.blue_green import BlueGreen
from releasekit.strategies.recreate import Recreate
from releasekit.target import Service, Target
from releasekit.testing import App, FakeEngine, FakeHost, FakeRouter, Fault, Simulator, World

A, B = "a" * 40 + "~0a", "b" * 40 + "~0b"
NGINX = Nginx((1, 30, 6))
WEB = "shop-releases-web-blue-1"
AWAIT = AwaitHealthy(B, (("web", WEB),), 10.0, "it has to answer")
ROUTE = (Upstream("web", (WEB,)),)


def target(release: str) -> Target:
    return Target("shop", release, (Service("web", port=8080), Service("worker")))


@dataclass
class Stage:
    """A world with a runner in it, and what it told."""

    world: World
    events: list[Event] = field(default_factory=list)
    is_stopped: Callable[[], bool] = lambda: False

    @property
    def journal(self) -> Journal:
        return Journal(FakeHost(self.world), self.world.clock, "journal")

    def runner(self, engine: FakeEngine | None = None) -> Runner:
        router = FakeRouter(self.world) if self.world.nginx else None
        engine = engine or FakeEngine(self.world)
        clock = self.world.clock
        return Runner(engine, router, self.journal, clock, self.hear, self.is_stopped)

    def hear(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StepStarted):
            self.world.step += 1

    def run(self, *steps: Step, engine: FakeEngine | None = None) -> None:
        self.runner(engine).run(Plan("test", B, "", steps), "run-1")

    def told(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]

    @property
    def recorded(self) -> list[tuple[str, str, int]]:
        """(step, "begin" or "end", number) of each record, and ("commit", release, 0)."""
        return [
            ("commit", r["release"], 0)
            if r["event"] == "commit"
            else (r["step"], r["state"], r["number"])
            for r in self.journal.records()
        ]


def stage(nginx: Nginx | None = NGINX, **apps: App) -> Stage:
    return Stage(World(nginx=nginx, apps={B: apps.get("b", App(1.0))}))


def started(**apps: App) -> Stage:
    """A stage where B's web was just started in blue."""
    made = stage(**apps)
    FakeEngine(made.world).start(B, "blue", [("web", 1)])
    return made


@dataclass
class Scripted(FakeEngine):
    """Probes answer what the script says, and its last word from then on."""

    world: World
    script: list[Probe]
    asked: int = 0

    def probe(self, release: str, replicas: Sequence[tuple[str, str]]) -> dict[str, Probe]:
        answer = self.script[min(self.asked, len(self.script) - 1)]
        self.asked += 1
        return {name: answer for _, name in replicas}


WELL, ILL = Probe(True, "GET /up: 200"), Probe(False, "GET /up: 503")


# What is written down


def test_every_step_is_recorded_before_and_after_and_the_commit_within_its_step() -> None:
    simulator = Simulator(World(nginx=NGINX))
    plan = simulator.plan(target(B), BlueGreen())
    made = Stage(simulator.world)
    made.runner().run(plan, "run-1")
    kinds = [type(step).__name__ for step in plan.steps]
    assert kinds == ["Start", "AwaitHealthy", "Route", "ConfirmRoute", "MarkCurrent"]
    assert made.recorded == [
        *(
            record
            for number, kind in enumerate(kinds[:-1], start=1)
            for record in ((kind, "begin", number), (kind, "end", number))
        ),
        ("MarkCurrent", "begin", 5),
        ("commit", B, 0),
        ("MarkCurrent", "end", 5),
    ]


def test_what_is_told_goes_along_with_what_is_done() -> None:
    made = started()
    made.run(Pull(("shop:1",), "not here"), AWAIT)
    assert made.events[0] == StepStarted(1, 2, Pull(("shop:1",), "not here"))
    assert isinstance(made.events[1], StepEnded)
    assert made.events[2] == StepStarted(2, 2, AWAIT)
    assert made.events[3] == StepProgress(AWAIT, f"{WEB}: GET /up: 503")
    assert isinstance(made.events[-1], StepEnded)
    assert made.events[-1].seconds == pytest.approx(1.1, abs=0.2)


def test_a_failing_step_is_recorded_with_its_error_and_ends_the_run() -> None:
    made = stage()
    made.world.faults = (Fault(1, "before", lambda: StepFailed("no space left")),)
    with pytest.raises(StepFailed, match="no space left"):
        made.run(Pull(("shop:1",), "not here"), MarkCurrent(B, "done"))
    assert made.recorded == [("Pull", "begin", 1), ("Pull", "end", 1)]
    assert made.journal.records()[-1]["error"] == "no space left"
    ended = made.events[-1]
    assert isinstance(ended, StepEnded)
    assert ended.error == "no space left"


def test_an_error_that_nobody_expected_is_not_recorded_as_success() -> None:
    made = stage()
    made.world.faults = (Fault(1, "before", lambda: ZeroDivisionError()),)
    with pytest.raises(ZeroDivisionError):
        made.run(Pull(("shop:1",), "not here"))
    assert made.journal.records()[-1]["error"] == "ZeroDivisionError()"


# Before and after the commit point


def test_after_the_commit_point_a_failing_step_only_warns_and_the_run_goes_forward() -> None:
    made = started()
    blue = FakeEngine(made.world).observe()[0]
    gone = Remove(blue, "nothing goes back to it")
    made.run(MarkCurrent(B, "done"), gone, Stop(blue, "B serves"), gone)
    assert made.warnings == [f"Remove: {WEB} runs: stop it first"]
    assert made.world.containers == {}


def test_after_the_commit_point_a_bug_of_ours_only_warns_too() -> None:
    made = started()
    made.world.faults = (Fault(2, "before", lambda: ValueError("not a row of `docker top`")),)
    blue = FakeEngine(made.world).observe()[0]
    made.run(MarkCurrent(B, "done"), Drain(5.0, "in flight", Phase.SETTLE), Stop(blue, "B serves"))
    assert made.warnings == ["Drain: unexpected: ValueError: not a row of `docker top`"]
    assert [container.running for container in made.world.containers.values()] == [True]


def test_what_was_not_drained_is_not_stopped() -> None:
    made = started()
    blue = FakeEngine(made.world).observe()[0]
    runner = made.runner()
    runner.journal = Journal(FullAfter(made.world, '"step": "Drain"'), made.world.clock, "journal")
    steps = (MarkCurrent(B, "done"), Drain(5.0, "in flight"), Stop(blue, "B serves"))
    runner.run(Plan("test", B, "", steps), "run-1")
    assert made.warnings == ["Drain: the disk is full"]
    assert [container.running for container in made.world.containers.values()] == [True]


def test_a_way_back_that_stops_at_a_drain_in_its_midst_is_not_done() -> None:
    made = draining(request_s=3.0)
    made.world.faults = (Fault(1, "before", lambda: ValueError("not a row of `docker top`")),)
    with pytest.raises(ValueError, match="not a row"):
        made.run(Drain(30.0, ""), Start(A, "blue", (("web", 2),), "not all of it runs"))
    assert made.warnings == []


class FullAfter(FakeHost):
    """A disk that is full as soon as this stands in a line that is to be appended."""

    def __init__(self, world: World, word: str) -> None:
        super().__init__(world)
        self.word = word

    def append(self, path: str, text: str) -> None:
        if self.word in text:
            raise HostError("the disk is full")
        super().append(path, text)


@pytest.mark.parametrize(
    ("word", "is_committed"), [('"state": "end"', True), ('"event": "commit"', False)]
)
def test_what_is_on_record_is_committed_to_whatever_fails_right_after(
    word: str, is_committed: bool
) -> None:
    made = started()
    runner = made.runner()
    runner.journal = Journal(FullAfter(made.world, word), made.world.clock, "journal")
    with nullcontext() if is_committed else pytest.raises(HostError):
        runner.run(Plan("test", B, "", (MarkCurrent(B, "done"),)), "run-1")
    assert bool(made.warnings) == is_committed


def test_before_the_commit_point_it_does_not() -> None:
    made = started()
    blue = FakeEngine(made.world).observe()[0]
    with pytest.raises(CommandFailed, match="stop it first"):
        made.run(Remove(blue, "in the way", Phase.PREPARE), MarkCurrent(B, "done"))
    assert made.warnings == []


def test_a_plan_that_commits_to_nothing_is_committed_from_its_start() -> None:
    made = started()
    blue = FakeEngine(made.world).observe()[0]
    made.run(Remove(blue, "left over"))
    assert made.warnings == [f"Remove: {WEB} runs: stop it first"]


# Interruptions


def test_it_stops_between_two_steps_when_asked_to() -> None:
    made = stage()
    made.is_stopped = lambda: made.world.step >= 1
    with pytest.raises(Interrupted):
        made.run(Pull(("shop:1",), ""), Pull(("shop:2",), ""), MarkCurrent(B, ""))
    assert made.recorded == [("Pull", "begin", 1), ("Pull", "end", 1)]


def test_it_stops_within_a_wait_when_asked_to() -> None:
    made = started(b=App(fate="sick"))
    made.is_stopped = lambda: made.world.clock.now() > 3
    with pytest.raises(Interrupted):
        made.run(AWAIT, MarkCurrent(B, ""))
    assert made.world.clock.now() < 4


def test_it_stops_while_it_waits_for_the_route_when_asked_to() -> None:
    made = started(b=App(fate="sick"))
    made.is_stopped = lambda: made.world.clock.now() > 3
    with pytest.raises(Interrupted):
        made.run(RouteStep(ROUTE, ""), ConfirmRoute(ROUTE, ""), MarkCurrent(B, ""))
    assert made.world.clock.now() < 4


def test_it_stops_while_it_drains_before_the_commit_point_when_asked_to() -> None:
    """Rolling drains before every batch's stop, for hours where settings say so."""
    made = draining(request_s=3600.0)
    made.is_stopped = lambda: made.world.clock.now() > 3
    with pytest.raises(Interrupted):
        made.run(Drain(7200.0, ""), MarkCurrent(B, ""))
    assert made.world.clock.now() < 4


def test_a_drain_after_the_commit_point_goes_on_when_asked_to_stop() -> None:
    made = draining(request_s=30.0)
    made.is_stopped = lambda: made.world.clock.now() > 3
    made.world.put("web", "blue", 1, B, running=True)
    made.run(MarkCurrent(B, "done"), Drain(60.0, ""))
    assert made.world.clock.now() == pytest.approx(30, abs=1)


@pytest.mark.parametrize("step", [EnsureBacking(("db",), ""), RouteStep(ROUTE, "")], ids=repr)
def test_it_stops_while_backing_services_or_another_projects_turn_are_waited_for(
    step: Step,
) -> None:
    made = started()

    def wait(on_wait: Callable[[], None]) -> None:
        while made.world.clock.now() < 60.0:
            on_wait()
            made.world.clock.sleep(0.1)

    class Engine(FakeEngine):
        def ensure_backing(
            self, release: str, services: Sequence[str], on_wait: Callable[[], None] = int
        ) -> None:
            wait(on_wait)

    class Router(FakeRouter):
        def apply(self, upstreams: Sequence[Upstream], on_wait: Callable[[], None] = int) -> bool:
            wait(on_wait)
            return True

    made.is_stopped = lambda: made.world.clock.now() > 3
    runner = made.runner(Engine(made.world))
    runner.router = Router(made.world)
    with pytest.raises(Interrupted):
        runner.run(Plan("test", B, "", (step, MarkCurrent(B, ""))), "run-1")
    assert made.world.clock.now() < 4


def test_after_the_commit_point_it_goes_on_when_asked_to_stop() -> None:
    made = started()
    blue = FakeEngine(made.world).observe()[0]
    made.is_stopped = lambda: made.world.step >= 1
    made.run(MarkCurrent(B, "done"), Stop(blue, ""), Remove(blue, ""))
    assert made.world.containers == {}


# Waiting for health


def test_a_replica_counts_as_healthy_after_two_good_answers_in_a_row() -> None:
    made = started()
    engine = Scripted(made.world, [WELL, ILL, WELL, WELL])
    made.run(AWAIT, engine=engine)
    assert engine.asked == 4


def test_one_that_falls_while_another_boots_gets_no_traffic() -> None:
    """The web is well twice and then falls; only the worker is still awaited at that time."""
    both = (("web", "shop-web-1"), ("worker", "shop-worker-1"))
    answers = {"shop-web-1": [WELL, WELL, ILL], "shop-worker-1": [ILL, ILL, WELL, WELL]}
    made = started()

    class Falling(FakeEngine):
        def probe(self, release: str, replicas: Sequence[tuple[str, str]]) -> dict[str, Probe]:
            return {
                name: (given.pop(0) if (given := answers[name]) else ILL) for _, name in replicas
            }

    with pytest.raises(NeverHealthy, match="shop-web-1"):
        made.run(AwaitHealthy(B, both, 5.0, ""), engine=Falling(made.world))


def test_one_that_never_gets_healthy_is_given_up_at_the_deadline_with_its_last_lines() -> None:
    made = started(b=App(fate="sick"))
    with pytest.raises(NeverHealthy) as raised:
        made.run(AWAIT)
    assert raised.value.message == f"not healthy: {WEB}: GET /up: 503 (waited 10 s)"
    assert raised.value.log_tail == {WEB: (f"{WEB} is starting", f"{WEB} says no more")}
    assert made.world.clock.now() == pytest.approx(10, abs=0.2)


def test_one_that_exited_is_given_up_at_once_with_its_own_last_lines() -> None:
    made = stage(b=App(1.0, "exits", frozenset({"worker"})))
    FakeEngine(made.world).start(B, PLAIN, [("web", 1), ("worker", 1)])
    both = (("web", "shop-web-1"), ("worker", "shop-worker-1"))
    with pytest.raises(NeverHealthy) as raised:
        made.run(AwaitHealthy(B, both, 60.0, ""))
    assert raised.value.message == "not healthy: shop-worker-1: it exited with status 1"
    assert raised.value.log_tail.keys() == {"shop-worker-1"}
    assert made.world.clock.now() < 2


def test_one_that_is_gone_is_given_up_at_once() -> None:
    made = stage()
    with pytest.raises(NeverHealthy, match="the container is gone"):
        made.run(AWAIT)
    assert made.world.clock.now() < 1


# The route


def test_a_route_that_nginx_does_not_serve_in_time_is_refused() -> None:
    made = started(b=App(fate="sick"))
    with pytest.raises(RouteRefused, match=f"nginx does not serve the route: {WEB}"):
        made.run(RouteStep(ROUTE, ""), ConfirmRoute(ROUTE, ""))
    assert made.world.clock.now() == pytest.approx(CONFIRM_DEADLINE_S, abs=0.2)


def test_without_nginx_there_is_no_route_to_move() -> None:
    with pytest.raises(RouteRefused, match="the project has no nginx"):
        stage(nginx=None).run(RouteStep(ROUTE, ""))


# Draining


def draining(request_s: float) -> Stage:
    """The route has just left what still has requests in flight."""
    made = stage()
    made.world.request_s = request_s
    for number in (1, 2):
        made.world.put("web", "blue", number, B, running=True)
    first, second = sorted(made.world.containers)
    made.world.serve(Route((Upstream("web", (first,)),)))
    made.world.load(Route((Upstream("web", (second,)),)))
    return made


def test_a_drain_ends_when_the_old_workers_have_gone() -> None:
    made = draining(request_s=3.0)
    made.run(Drain(30.0, ""))
    assert made.world.clock.now() == pytest.approx(3, abs=0.2)
    assert made.warnings == []


def test_a_drain_that_takes_too_long_warns_and_goes_on() -> None:
    made = draining(request_s=60.0)
    made.run(Drain(5.0, ""), Pull((), ""))
    assert made.world.clock.now() == pytest.approx(5, abs=0.2)
    assert made.warnings == [
        "the drain's time is up, and requests are cut: "
        "1 old nginx workers still serve requests (waited 5 s)"
    ]


def test_nobody_is_cut_because_nginx_could_not_be_asked_once() -> None:
    made = draining(request_s=3.0)
    made.world.faults = (Fault(1, "before", lambda: CommandFailed("docker top failed")),)
    made.run(Drain(30.0, ""))
    assert made.world.clock.now() == pytest.approx(3, abs=0.2)
    assert made.told(StepProgress)[0] == StepProgress(
        Drain(30.0, ""), "nginx does not tell: docker top failed"
    )


# Downtime


def recreated(nginx: Nginx | None, release: str = A) -> Simulator:
    simulator = Simulator(World(nginx=nginx, apps={A: App(2.0), B: App(2.0)}))
    assert simulator.run(to(simulator, release), Recreate()).result == "done"
    return simulator


def to(simulator: Simulator, release: str) -> Target:
    services = (Service("web", port=8080 if simulator.world.nginx else None),)
    return Target("shop", release, services)


def when(events: Sequence[Event], kind: type[Step]) -> int:
    """The place of the first event that tells the end of such a step."""
    return next(
        index
        for index, event in enumerate(events)
        if isinstance(event, StepEnded) and isinstance(event.step, kind)
    )


@pytest.mark.parametrize(("nginx", "gate"), [(NGINX, ConfirmRoute), (None, AwaitHealthy)])
def test_downtime_is_measured_from_the_first_stop_to_the_first_answer_that_was_confirmed(
    nginx: Nginx | None, gate: type[Step]
) -> None:
    simulator = recreated(nginx)
    began = simulator.world.clock.now()
    ended = simulator.run(to(simulator, B), Recreate())
    took = simulator.world.clock.now() - began
    assert ended.downtime_s is not None
    assert 2.0 < ended.downtime_s < took
    assert ended.downtime_s == pytest.approx(took, abs=0.3)  # the proof comes after the answer
    (measured,) = (index for index, e in enumerate(ended.events) if isinstance(e, DowntimeMeasured))
    assert measured == when(ended.events, gate) - 1


@pytest.mark.parametrize("nginx", [NGINX, None])
def test_downtime_goes_on_until_the_previous_release_serves_again(nginx: Nginx | None) -> None:
    simulator = recreated(nginx)
    simulator.world.apps = {**simulator.world.apps, B: App(fate="sick")}
    began = simulator.world.clock.now()
    ended = simulator.run(to(simulator, B), Recreate())
    assert ended.result == "failed"
    assert ended.downtime_s == pytest.approx(simulator.world.clock.now() - began, abs=0.2)
    assert ended.downtime_s > 60.0
    assert len([event for event in ended.events if isinstance(event, DowntimeMeasured)]) == 1


def test_a_release_without_downtime_measures_none() -> None:
    simulator = Simulator(World(nginx=NGINX))
    for release in (A, B):
        ended = simulator.run(target(release), BlueGreen())
    assert ended.downtime_s is None
    assert [event for event in ended.events if isinstance(event, DowntimeMeasured)] == []


def test_a_stop_of_what_is_not_declared_down_is_no_downtime() -> None:
    made = started()
    blue = FakeEngine(made.world).observe()[0]
    runner = made.runner()
    plan = Plan("test", B, "", (Stop(blue, "", Phase.SHIFT),), downtime=("worker",))
    runner.run(plan, "run-1")
    assert runner.downtime == Downtime()


def test_a_start_and_everything_else_goes_to_the_engine_as_the_plan_says() -> None:
    made = stage()
    made.run(Start(B, "green", (("web", 2), ("worker", 1)), ""))
    assert sorted(made.world.containers) == [
        "shop-releases-web-green-1",
        "shop-releases-web-green-2",
        "shop-releases-worker-green-1",
    ]
    assert {container.release for container in made.world.containers.values()} == {B}


# A migration

ONCE = RunOnce(B, "web", "pre_release", 600.0, "once")


def migrations(made: Stage) -> list[str]:
    return [r["state"] for r in made.journal.records() if r["event"] == "migration"]


def test_a_migration_is_recorded_before_and_after() -> None:
    made = stage()
    made.run(ONCE)
    assert [(m.what, m.service, m.release) for m in made.world.history] == [("migrates", "web", B)]
    assert migrations(made) == ["begins", "done"]


def test_one_that_fails_is_recorded_as_ended() -> None:
    made = stage()
    made.world.faults = (Fault(1, "after", lambda: StepFailed("it ended with status 1")),)
    with pytest.raises(StepFailed, match="status 1"):
        made.run(ONCE)
    assert migrations(made) == ["begins", "failed"]


@pytest.mark.parametrize("error", [CommandFailed("no engine"), DeadlineExceeded("no answer")])
def test_one_of_which_nobody_knows_the_end_stays_open_and_needs_a_person(
    error: CommandFailed,
) -> None:
    made = stage()
    made.world.faults = (Fault(1, "midway", lambda: error),)
    with pytest.raises(MigrationUnfinished, match=error.message) as caught:
        made.run(ONCE)
    assert "--migration again" in caught.value.hint
    assert migrations(made) == ["begins"]


class Disturbed(FakeEngine):
    """Somebody else is at the containers."""

    def changed(self) -> tuple[str, ...]:
        return ("shop-db-1 was restarted", "shop-web-1 was created")


def test_a_route_is_not_moved_where_somebody_else_changed_the_containers() -> None:
    made = started()
    engine = Disturbed(made.world)

    with pytest.raises(ForeignChange, match="shop-db-1 was restarted; shop-web-1 was created"):
        made.run(RouteStep(ROUTE, ""), engine=engine)


def test_what_users_do_not_notice_goes_on_meanwhile_and_so_does_the_way_back() -> None:
    made = started()
    engine = Disturbed(made.world)
    made.run(AWAIT, engine=engine)
    runner = made.runner(engine)
    runner.heeds_others = False

    runner.run(Plan("test", B, "", (RouteStep(ROUTE, ""),)), "run-1")


def test_how_users_fare_before_a_watched_release_is_looked_at_before_its_first_step() -> None:
    """A migration, or a worker, is the release's own as well."""
    made = started()
    runner, begun = made.runner(), []

    def look_before(watch: Watch) -> None:
        begun.append(made.told(StepStarted))

    runner.look_before = look_before
    pairs, beside = (("web", WEB),), (("web", "shop-web-1"),)
    steps = (
        AWAIT,
        RouteStep(ROUTE, "it serves"),
        ConfirmRoute(ROUTE, "it serves"),
        Watch(B, pairs, 1.0, "a canary's"),
        Watch(B, pairs, 1.0, "the bake", A, beside),
    )
    runner.run(Plan("test", B, "", steps), "run-1")
    assert begun == [[]]
