"""What is held, what is refused, and how a hold ends."""

# ruff: noqa: E501  # a plan is compared as people read it

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from releasekit.check import check_plan, checked_plan
from releasekit.errors import Held, StrategyError, UsageError
from releasekit.holding import (
    dropped,
    held_plan,
    recorded,
    require_free,
    require_spare,
    restored,
    unheld,
)
from releasekit.observed import Observed, Replica, Route, Upstream
from releasekit.plan import Plan
from releasekit.steps import Announce, AwaitHealthy, Start
from releasekit.strategies import registry
from releasekit.strategies.blue_green import BlueGreen, BlueGreenOptions
from releasekit.strategies.mixed import Chosen, Mix
from releasekit.strategies.recreate import Recreate
from releasekit.strategies.rolling import Rolling, RollingOptions
from releasekit.target import Service, Target
from tests.strategies.shop import (
    API,
    BLUE_A,
    EMPTY_HOST,
    GREEN_B,
    OLD_NGINX,
    PLAIN_A,
    RECREATED_A,
    ROUTED_B,
    THREE_A,
    WEB,
    WEB_3,
    WITH_API,
    WORKER,
    A,
    B,
    C,
    State,
    names,
    replica,
    target,
)

BLUE_GREEN, ROLLING, RECREATE = (Mix.single(each) for each in (BlueGreen(), Rolling(), Recreate()))
WEB_B = "shop-releases-web-green-1"
NOTES = """\
note: users get bbbbbbb only by `releasekit promote`
note: starts with the promotion: worker
"""


def planned(state: State, mix: Mix = BLUE_GREEN, to: Target | None = None) -> Plan:
    return held_plan(mix, state.observed, to or target(B), preview=True)


HELD_B = (
    State(replace(BLUE_A.observed, held=B))
    .having([replica("web", "green", B)])
    .with_nginx(loaded=Route((Upstream("web", names("blue"), preview=names("green")),), "8", "5e"))
)
"""As a hold of B leaves it: its web runs in green, and nginx shows it to who knows the way."""


# What is held


def test_what_nginx_asks_comes_up_and_nothing_that_users_notice_happens() -> None:
    plan = held_plan(BLUE_GREEN, BLUE_A.observed, target(B), preview=False)
    golden = f"""\
blue-green to bbbbbbb; downtime: none
{NOTES}1 prepare Start         web x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      {WEB_B}   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  {WEB_B}   (traffic only for what is proven healthy)"""
    assert plan.render() == golden
    assert plan.based_on == BLUE_A.observed.fingerprint()


def test_with_previews_nginx_shows_what_is_proven_and_nothing_else_changes() -> None:
    *_, last = planned(BLUE_A).steps
    assert isinstance(last, Announce)
    assert last.upstreams == (Upstream("web", names("blue"), preview=(WEB_B,)),)
    assert str(last) == f"on preview: {WEB_B}"


def test_an_old_nginx_shows_it_too() -> None:
    *before, last = planned(BLUE_A.with_nginx(version=OLD_NGINX)).steps
    assert isinstance(last, Announce)
    assert last.upstreams == (Upstream("web", names("blue"), preview=(WEB_B,)),)
    assert not [step for step in before if isinstance(step, Announce)]


def test_what_waits_warm_goes_on_waiting() -> None:
    warm = BLUE_A.having([replica("web", "green", C)]).committed(C, A)
    state = warm.serving(*names("blue"), standby=names("green"))
    *_, last = planned(state, to=target(C)).steps
    assert isinstance(last, Announce)
    assert last.upstreams == (Upstream("web", names("blue"), preview=names("green")),)


def test_a_service_that_nginx_does_not_know_yet_is_not_shown_by_it() -> None:
    plan = planned(BLUE_A, to=target(B, API, WEB, WORKER))
    *_, last = plan.steps
    assert isinstance(last, Announce)
    assert [upstream.service for upstream in last.upstreams if upstream.preview] == ["web"]
    (started,) = (step for step in plan.steps if isinstance(step, Start))
    assert started.replicas == (("api", 1), ("web", 1))


@pytest.mark.parametrize("state", [PLAIN_A.committed(A), EMPTY_HOST], ids=["plain", "empty"])
def test_before_nginx_has_a_route_it_can_be_tried_at_its_own_address_only(state: State) -> None:
    plan = planned(state)
    assert "no preview through nginx, which has loaded no route yet" in plan.notes[-1]
    assert isinstance(plan.steps[-1], AwaitHealthy)


def test_a_rolling_release_whose_replicas_all_come_up_can_be_held() -> None:
    assert planned(BLUE_A, ROLLING).steps[-1] == planned(BLUE_A).steps[-1]
    surge = Mix.single(Rolling(), RollingOptions(max_surge=3))
    (gate,) = (
        step
        for step in planned(THREE_A, surge, target(B, WEB_3)).steps
        if isinstance(step, AwaitHealthy)
    )
    assert {name for _, name in gate.replicas} == {*names("green", 3)}


# Once more


def test_what_is_held_already_is_nothing_to_do() -> None:
    assert planned(HELD_B).is_empty


def test_what_was_held_and_is_gone_comes_up_again() -> None:
    plan = planned(HELD_B.without(WEB_B))
    assert [type(step).__name__ for step in plan.steps if not isinstance(step, Announce)] == [
        "Start",
        "AwaitHealthy",
    ]
    assert plan.steps[-1] == planned(BLUE_A).steps[-1]


def test_a_preview_that_was_switched_off_goes() -> None:
    plan = held_plan(BLUE_GREEN, HELD_B.observed, target(B), preview=False)
    (step,) = (step for step in plan.steps if isinstance(step, Announce))
    assert step.upstreams == (Upstream("web", names("blue"), names("green")),)


def test_brought_up_by_a_run_that_was_killed_it_is_only_proven() -> None:
    killed = State(replace(HELD_B.observed, held=""))
    assert [type(step) for step in planned(killed).steps] == [AwaitHealthy]


# What is refused


@pytest.mark.parametrize(
    ("state", "mix", "to", "message", "hint"),
    [
        (BLUE_A, RECREATE, target(B), "with recreate: not all replicas of web", "--strategy blue"),
        (EMPTY_HOST, RECREATE, target(B), "not all replicas of web", "--strategy blue"),
        (THREE_A, ROLLING, target(B, WEB_3, WORKER), "not all replicas of web", "--strategy blue"),
        (
            WITH_API,
            Mix(BLUE_GREEN.default, {"api": RECREATE.default}),
            target(B, API, WEB, WORKER),
            "with blue-green, api: recreate: not all replicas of api come up",
            "as the service's own strategy",
        ),
        (BLUE_A, BLUE_GREEN, target(B, WORKER), "nginx asks none of its services", ""),
        (
            BLUE_A,
            BLUE_GREEN,
            target(B, replace(WEB, replicas=0), WORKER),
            "nginx asks none of its services",
            "",
        ),
        (
            BLUE_A,
            BLUE_GREEN,
            target(B, replace(WEB, after=("worker",)), WORKER),
            "web needs worker, and what takes work by itself starts only with the promotion",
            "",
        ),
        (
            BLUE_A.without("shop-releases-worker-blue-1"),
            BLUE_GREEN,
            target(A),
            "aaaaaaa serves already: there is nothing to hold",
            "`releasekit up` repairs",
        ),
    ],
)
def test_what_cannot_be_held_is_told_with_what_can(
    state: State, mix: Mix, to: Target, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        planned(state, mix, to)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_what_serves_as_it_should_is_nothing_to_do() -> None:
    assert planned(BLUE_A, to=target(A)).is_empty


# How it ends


def test_promoted_it_is_an_ordinary_release_that_starts_the_workers_first() -> None:
    golden = f"""\
blue-green to bbbbbbb; downtime: none
1 prepare Start         worker x1 of bbbbbbb in green   (the release to serve)
1 prepare Announce      {WEB_B}   (nginx resolves names after a reload, not before it)
1 prepare AwaitHealthy  {WEB_B} shop-releases-worker-green-1   (traffic only for what is proven healthy)
2 shift   Route         web -> {WEB_B}   (bbbbbbb is healthy)
2 shift   ConfirmRoute  web -> {WEB_B}   (exit 0 of a reload proves nothing)
3 settle  MarkCurrent   bbbbbbb   (the commit point)
3 settle  Drain         at most 30 s   (old workers finish their requests)
3 settle  Stop          shop-releases-web-blue-1 shop-releases-worker-blue-1   (bbbbbbb serves)"""
    assert HELD_B.blue_green(target(B)) == golden


@pytest.mark.parametrize("mix", [BLUE_GREEN, ROLLING], ids=lambda mix: mix.name)
def test_aborted_nginx_forgets_it_before_it_goes(mix: Mix) -> None:
    assert drop(HELD_B, mix).splitlines()[1:3] == [
        "1 prepare Announce      no others   (nobody is to try it any more)",
        "1 prepare Drain         at most 30 s   (old workers finish their requests)",
    ]
    assert [line[10:52].rstrip() for line in drop(HELD_B, mix).splitlines()[-2:]] == [
        f"Stop          {WEB_B}",
        f"Remove        {WEB_B}",
    ]


def test_aborted_without_a_preview_nothing_is_reloaded_or_drained_for_it() -> None:
    state = BLUE_A.having([replica("web", "green", B)])
    golden = f"""\
blue-green to aaaaaaa; downtime: none
3 settle  Stop          {WEB_B}   (aaaaaaa serves)
3 settle  Remove        {WEB_B}   (nothing goes back to it)"""
    assert drop(state) == golden


def test_aborted_what_waits_for_a_rollback_goes_on_waiting() -> None:
    waiting = replica("web", "green", C)
    state = RECREATED_A.having([replica("web", "blue", B), waiting]).committed(C, A)
    upstream = Upstream("web", names(""), (waiting.name,), ("shop-releases-web-blue-1",))
    shown = state.with_nginx(loaded=Route((upstream,), "8"))
    forget, *_ = dropped(shown.observed, target(B), Earlier(target(A)), BLUE_GREEN).steps
    assert isinstance(forget, Announce)
    assert forget.upstreams == (Upstream("web", names(""), (waiting.name,)),)


def test_aborted_a_container_that_is_gone_is_no_obstacle() -> None:
    state = HELD_B.without(WEB_B)
    forget, *_ = dropped(state.observed, target(B), Earlier(target(A)), BLUE_GREEN).steps
    assert isinstance(forget, Announce)
    assert forget.upstreams == (Upstream("web", names("blue")),)


def test_aborted_after_a_promotion_that_was_killed_users_go_back() -> None:
    steps = [line.split()[2] for line in drop(ROUTED_B).splitlines()[1:]]
    assert steps.index("AwaitHealthy") < steps.index("Route") < steps.index("Stop")


def test_a_first_release_that_is_aborted_leaves_nothing() -> None:
    state = EMPTY_HOST.having([replica("web", "blue", B)])
    plan = dropped(state.observed, target(B), None, BLUE_GREEN)
    assert [type(step).__name__ for step in plan.steps] == ["Stop", "Remove"]


def test_what_users_get_and_nothing_came_before_is_not_aborted() -> None:
    state = ROUTED_B.committed()
    with pytest.raises(UsageError, match="users get bbbbbbb already, and there is no other"):
        require_spare(B, state.observed)
    require_spare(B, ROUTED_B.observed)
    require_spare(B, HELD_B.observed)


class Earlier:
    def __init__(self, to: Target) -> None:
        self._to = to

    def target(self) -> Target:
        return self._to


def drop(state: State, mix: Mix = BLUE_GREEN) -> str:
    plan = dropped(state.observed, target(B), Earlier(target(A)), mix)
    assert check_plan(state.observed, target(A), plan) == ()
    return plan.render()


# Who may go on

RECORD = {"release": B, "at": "2026-11-20T06:15:09.000+00:00", "by": "kim"}


@pytest.mark.parametrize("wanted", [B, B.partition("~")[0]])
def test_the_release_that_is_held_may_go_on(wanted: str) -> None:
    require_free(RECORD, wanted, "releasing it")
    require_free(None, "anything", "releasing it")


@pytest.mark.parametrize(
    ("wanted", "doing", "told"),
    [
        (A, "releasing aaaaaaa", "releasing aaaaaaa has to wait for its end"),
        (f"{B}9", "releasing bbbbbbb", "releasing bbbbbbb with another configuration has to wait"),
        ("", "a rollback", "a rollback has to wait for its end"),
    ],
)
def test_anything_else_is_refused_with_who_holds_it_and_how_to_end_that(
    wanted: str, doing: str, told: str
) -> None:
    with pytest.raises(Held, match="bbbbbbb is held since 2026-11-20 06:15 UTC by kim: ") as caught:
        require_free(RECORD, wanted, doing)
    assert told in caught.value.message
    assert "`releasekit promote`" in caught.value.hint
    assert "`releasekit abort`" in caught.value.hint
    assert caught.value.release == B
    assert caught.value.exit_code == 2


# The strategies of a hold


def test_the_strategies_and_their_options_are_restored_as_they_were() -> None:
    options = BlueGreenOptions(keep_previous="running")
    blue_green = Chosen(registry.load("blue-green"), options)
    rolling = Chosen(registry.load("rolling"), RollingOptions(max_surge="50%"))
    mix = restored(recorded(Mix(blue_green, {"api": rolling})))
    assert mix.name == "blue-green, api: rolling"
    assert mix.default.options == options
    assert mix.services["api"].options == rolling.options


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"strategy": "blue-green", "options": {"gone": 1}}, "no longer knows the options"),
        ({"strategy": "no-such", "options": {}}, "there is no strategy 'no-such'"),
    ],
)
def test_strategies_that_are_not_what_they_were_are_refused(
    told: dict[str, Any], message: str
) -> None:
    with pytest.raises(StrategyError, match=message):
        restored({"default": told, "services": {}})


def test_a_service_that_may_not_overlap_does_not_stand_in_the_way_of_a_hold() -> None:
    worker = Service("worker", overlaps=False, after=("web",))
    plan = planned(GREEN_B, to=target(C, WEB, worker))
    assert [step.replicas for step in plan.steps if isinstance(step, Start)] == [(("web", 1),)]
    assert plan.downtime == ()


def test_as_if_nothing_were_held_its_replicas_and_its_preview_are_not_there() -> None:
    nothing = BLUE_A.observed
    assert nothing.nginx
    assert unheld(nothing) == nothing
    there = Replica("web", "green", WEB_B, C, "c9")
    shown = tuple(replace(each, preview=(WEB_B,)) for each in nothing.route.upstreams)
    holding = replace(
        nothing,
        held=C,
        replicas=(*nothing.replicas, there),
        nginx=replace(nothing.nginx, loaded=Route(shown, "7", "5ec4e7")),
    )
    seen = unheld(holding)
    assert seen.replicas == nothing.replicas
    assert seen.route.upstreams == nothing.route.upstreams
    assert planned_to_current(seen).is_empty


def planned_to_current(observed: Observed) -> Plan:
    return checked_plan(Mix.single(BlueGreen()), observed, target(observed.current))


def test_what_users_get_already_is_there_held_or_not() -> None:
    promoted = replace(GREEN_B.observed, held=B)
    assert unheld(promoted).routed() == promoted.routed()
    assert unheld(promoted).route.names == promoted.route.names
