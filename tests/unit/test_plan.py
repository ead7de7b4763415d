"""A plan as people and as programs read it."""

from __future__ import annotations

import json

from releasekit.observed import Replica, Upstream
from releasekit.plan import Plan, line
from releasekit.steps import (
    GATES,
    Announce,
    AwaitHealthy,
    ConfirmRoute,
    Drain,
    EnsureBacking,
    MarkCurrent,
    Phase,
    Pull,
    Remove,
    Route,
    RunOnce,
    Start,
    Step,
    Stop,
    Watch,
    replica_names,
)

NEW = "3f2a9c1" + "0" * 33 + "~1b1b1b1b"
OLD = Replica("web", "blue", "shop-releases-web-blue-1", "a~b", "id-1")
UPSTREAMS = (
    Upstream("api", ("shop-releases-api-green-1",)),
    Upstream("web", ("shop-releases-web-green-1", "shop-releases-web-green-2"), (OLD.name,)),
)
STEPS: dict[type[Step], tuple[Step, str]] = {
    Pull: (Pull(("shop:1", "shop:2"), "new"), "1 prepare Pull          shop:1 shop:2   (new)"),
    EnsureBacking: (
        EnsureBacking(("db", "cache"), "not running"),
        "1 prepare EnsureBacking db cache   (not running)",
    ),
    RunOnce: (
        RunOnce(NEW, "web", "pre_release", 600.0, "once"),
        "1 prepare RunOnce       pre_release in web of 3f2a9c1   (once)",
    ),
    Start: (
        Start(NEW, "green", (("web", 2), ("worker", 1)), "new"),
        "1 prepare Start         web x2 worker x1 of 3f2a9c1 in green   (new)",
    ),
    Announce: (
        Announce(UPSTREAMS, "soon"),
        "1 prepare Announce      shop-releases-web-blue-1   (soon)",
    ),
    AwaitHealthy: (
        AwaitHealthy(NEW, (("web", "web-1"), ("web", "web-2")), 60.0, "new"),
        "1 prepare AwaitHealthy  web-1 web-2   (new)",
    ),
    Route: (
        Route(UPSTREAMS, "healthy"),
        "2 shift   Route         api -> shop-releases-api-green-1; "
        "web -> shop-releases-web-green-1,shop-releases-web-green-2   (healthy)",
    ),
    ConfirmRoute: (
        ConfirmRoute((Upstream("web", ()),), "sure"),
        "2 shift   ConfirmRoute  web -> nobody   (sure)",
    ),
    Watch: (
        Watch(NEW, (("web", "web-1"), ("web", "web-2")), 90.5, "it may get worse"),
        "2 shift   Watch         web-1 web-2 for 90.5 s   (it may get worse)",
    ),
    MarkCurrent: (MarkCurrent(NEW, "commit"), "3 settle  MarkCurrent   3f2a9c1   (commit)"),
    Drain: (Drain(2.5, "finish"), "3 settle  Drain         at most 2.5 s   (finish)"),
    Stop: (
        Stop((OLD,), "room", Phase.SHIFT),
        "2 shift   Stop          shop-releases-web-blue-1   (room)",
    ),
    Remove: (Remove((OLD,), "gone"), "3 settle  Remove        shop-releases-web-blue-1   (gone)"),
}


def test_every_step_is_one_line_with_its_phase_and_cause() -> None:
    assert set(STEPS) == set(Step.__args__)  # type: ignore[attr-defined]
    for step, text in STEPS.values():
        assert line(step) == text


def test_an_announcement_of_nobody_says_so() -> None:
    step = Announce((Upstream("web", ("web-1",)),), "tidy")
    assert line(step) == "1 prepare Announce      no others   (tidy)"


def test_an_announcement_tells_who_is_on_preview() -> None:
    shown = Upstream("web", ("web-1",), preview=("web-3", "web-2"))
    assert str(Announce((shown,), "held")) == "on preview: web-2 web-3"
    both = Announce((shown, Upstream("api", ("api-1",), ("api-2",))), "held")
    assert str(both) == "api-2; on preview: web-2 web-3"


def test_a_route_tells_the_weights_that_are_not_equal() -> None:
    weighed = Upstream("web", ("web-1", "web-2"), weights=(95, 5))
    assert str(Route((weighed,), "5 %")) == "web -> web-1*95,web-2*5"


def test_a_watch_of_nobody_is_a_pause() -> None:
    assert str(Watch(NEW, (), 30, "let it settle")) == "30 s"


def test_gates_only_look() -> None:
    assert set(GATES) == {AwaitHealthy, ConfirmRoute, Watch, Drain}


def test_a_plan_is_its_head_its_notes_and_its_steps() -> None:
    steps = (MarkCurrent(NEW, "commit"), Drain(30, "finish"))
    plan = Plan("recreate", NEW, "f" * 16, steps, ("web", "worker"), ("mind the gap",))
    assert plan.render() == (
        "recreate to 3f2a9c1; downtime: web, worker\n"
        "note: mind the gap\n"
        "3 settle  MarkCurrent   3f2a9c1   (commit)\n"
        "3 settle  Drain         at most 30 s   (finish)"
    )
    assert not plan.is_empty


def test_an_empty_plan_says_that_there_is_nothing_to_do() -> None:
    plan = Plan("blue-green", NEW, "f" * 16, notes=("mind the gap",))
    assert plan.is_empty
    assert plan.render() == "blue-green to 3f2a9c1: nothing to do"


def test_as_json_a_plan_has_the_keys_that_were_promised() -> None:
    steps = (Stop((OLD,), "room", Phase.SHIFT), MarkCurrent(NEW, "commit"))
    plan = Plan("recreate", NEW, "f" * 16, steps, ("web",), ("mind the gap",))
    assert json.loads(json.dumps(plan.to_dict())) == {
        "strategy": "recreate",
        "release": NEW,
        "based_on": "f" * 16,
        "downtime": ["web"],
        "notes": ["mind the gap"],
        "steps": [
            {
                "phase": "shift",
                "step": "Stop",
                "what": "shop-releases-web-blue-1",
                "cause": "room",
            },
            {"phase": "settle", "step": "MarkCurrent", "what": "3f2a9c1", "cause": "commit"},
        ],
    }


def test_replicas_are_named_as_compose_names_them() -> None:
    assert replica_names("shop", "", "web", 2) == ("shop-web-1", "shop-web-2")
    assert replica_names("shop", "blue", "web", 1) == ("shop-releases-web-blue-1",)
    assert replica_names("shop", "green", "web", 0) == ()
