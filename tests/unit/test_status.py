"""What serves, and what does not fit together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from releasekit.chain import Reading
from releasekit.nginx.render import Peer
from releasekit.observed import Backing, Health, Nginx, Observed, Replica, Route, Upstream
from releasekit.outcome import HeldReplica, Preview
from releasekit.status import by_sight, hold_of, journal_problems, status_of, told

A, B = "1a" * 20 + "~aaaaaaaa", "2b" * 20 + "~bbbbbbbb"
WEB = Replica("web", "blue", "shop-releases-web-blue-1", A, "c1", health=Health.HEALTHY)
WORKER = Replica("worker", "blue", "shop-releases-worker-blue-1", A, "c2")
OTHER = Replica("web", "green", "shop-releases-web-green-1", B, "c3")


def nginx(*names: str) -> Nginx:
    return Nginx((1, 30, 6), running=True, loaded=Route((Upstream("web", names),), "7"))


WELL = Observed("shop", (WEB, WORKER), (Backing("db", "d1"),), nginx(WEB.name), A, frozenset({A}))


def test_where_all_is_well_there_is_no_problem() -> None:
    status = status_of(WELL)
    assert (status.live, status.problems, status.observed) == (A, (), WELL)


def test_without_nginx_what_is_recorded_is_live() -> None:
    status = status_of(replace(WELL, replicas=(WORKER,), nginx=None))
    assert (status.live, status.problems) == (A, ())


def test_before_the_first_release_nothing_is_live_and_nothing_is_wrong() -> None:
    status = status_of(Observed("shop", nginx=Nginx((1, 30, 6))))
    assert (status.live, status.problems) == ("", ())


def test_after_a_way_back_that_failed_that_comes_first() -> None:
    status = status_of(replace(WELL, nginx=nginx()), degraded="not healthy")
    assert status.degraded
    assert status.problems[0].startswith("degraded: not healthy; and the way back failed too")
    assert "`releasekit recover`, or `up`" in status.problems[0]


def test_a_stopped_release_that_waits_for_a_rollback_is_no_problem() -> None:
    waiting = replace(OTHER, running=False)
    assert status_of(replace(WELL, replicas=(WEB, WORKER, waiting))).problems == ()


def test_an_nginx_file_that_somebody_edited_is_told_with_what_is_different() -> None:
    edited = replace(nginx(WEB.name), edited="-a\n+b")

    (problem,) = status_of(replace(WELL, nginx=edited)).problems
    assert "edited by hand" in problem
    assert problem.endswith("\n-a\n+b")


def test_replicas_that_nginx_no_longer_finds() -> None:
    old = Nginx((1, 22, 1), running=True, loaded=Route((Upstream("web", ()),), "7"))

    (problem,) = status_of(replace(WELL, nginx=old)).problems
    assert problem.startswith(f"nginx sends nothing to {WEB.name}: before 1.27.3")
    stopped = replace(WEB, running=False)
    assert "sends" not in str(status_of(replace(WELL, replicas=(stopped,), nginx=old)).problems)


RECORD = {"release": B, "at": "2026-11-20T06:15:09.000+00:00", "by": "kim"}
PEERS = {OTHER.name: Peer(8080, "172.18.0.7")}
SHOWN = Route((Upstream("web", (WEB.name,), (), (OTHER.name,)),), "8", "5ec4e7")
HOLDING = replace(
    WELL,
    replicas=(WEB, WORKER, OTHER),
    nginx=Nginx((1, 30, 6), running=True, loaded=SHOWN),
    held=B,
)


def test_a_release_that_is_held_is_told_with_its_ways_in_and_is_no_problem() -> None:
    hold = hold_of(RECORD, HOLDING, PEERS)
    status = status_of(HOLDING, hold)
    assert (status.live, status.problems, status.held) == (A, (), hold)
    assert (hold.release, hold.since, hold.by) == (B, RECORD["at"], "kim")
    assert hold.replicas == (HeldReplica(OTHER.name, "http://172.18.0.7:8080"),)
    assert hold.preview == Preview("X-Releasekit-Preview", "5ec4e7")


def test_an_address_of_ipv6_is_a_url_too() -> None:
    hold = hold_of(RECORD, HOLDING, {OTHER.name: Peer(8080, "fd00::7")})
    assert hold.replicas == (HeldReplica(OTHER.name, "http://[fd00::7]:8080"),)


def test_a_held_replica_that_does_not_run_has_no_address() -> None:
    stopped = replace(HOLDING, replicas=(WEB, WORKER, replace(OTHER, running=False)))
    hold = hold_of(RECORD, stopped, PEERS)
    assert hold.replicas == (HeldReplica(OTHER.name, ""),)


def test_without_a_preview_there_is_no_secret() -> None:
    hold = hold_of(RECORD, replace(HOLDING, nginx=nginx(WEB.name)), PEERS)
    assert hold.preview is None


def test_a_secret_is_not_in_the_text_of_a_status() -> None:
    hold = hold_of(RECORD, HOLDING, PEERS)
    assert "5ec4e7" not in repr(hold)


@pytest.mark.parametrize(
    ("observed", "live", "problem"),
    [
        (
            replace(WELL, replicas=(WEB, OTHER), nginx=nginx(WEB.name, OTHER.name)),
            "",
            "nginx sends traffic to several releases: 1a1a1a1, 2b2b2b2",
        ),
        (
            replace(WELL, replicas=(OTHER,), nginx=nginx(OTHER.name)),
            B,
            "2b2b2b2 serves, but 1a1a1a1 is recorded as current",
        ),
        (replace(WELL, current=""), A, "1a1a1a1 serves, but nothing is recorded as current"),
        (replace(WELL, nginx=Nginx((1, 30, 6))), "", "nginx does not run"),
        (
            replace(WELL, nginx=Nginx((1, 30, 6), running=True)),
            "",
            "nginx does not say which route it serves",
        ),
        (
            replace(WELL, nginx=nginx(WEB.name, "gone-1")),
            A,
            "nginx sends traffic to gone-1, which does not exist",
        ),
        (
            replace(WELL, replicas=(replace(WEB, running=False),)),
            A,
            "shop-releases-web-blue-1 gets traffic, but does not run",
        ),
        (
            replace(WELL, replicas=(replace(WEB, health=Health.UNHEALTHY),)),
            A,
            "shop-releases-web-blue-1 gets traffic, but is unhealthy, as Docker says",
        ),
        (
            replace(WELL, replicas=(WEB, replace(WORKER, running=False))),
            A,
            "shop-releases-worker-blue-1 does not run",
        ),
        (
            replace(WELL, replicas=(WEB, replace(WORKER, health=Health.UNHEALTHY))),
            A,
            "shop-releases-worker-blue-1 is unhealthy, as Docker says",
        ),
        (
            replace(WELL, replicas=(replace(WORKER, running=False),), nginx=None),
            A,
            "shop-releases-worker-blue-1 does not run",
        ),
        (
            replace(WELL, backing=(Backing("db", "d1", running=False),)),
            A,
            "backing service db does not run",
        ),
    ],
)
def test_each_thing_that_does_not_fit_is_told(observed: Observed, live: str, problem: str) -> None:
    status = status_of(observed)
    assert (status.live, status.problems) == (live, (problem,))


# Where the journal cannot be trusted


@pytest.mark.parametrize(
    ("observed", "current"),
    [
        (replace(WELL, current=B), A),
        (replace(WELL, current=""), A),
        (replace(WELL, replicas=(WEB, OTHER), nginx=nginx(WEB.name, OTHER.name)), A),
        (replace(WELL, nginx=nginx(WEB.name), replicas=(replace(WEB, release=""),)), A),
        (replace(WELL, nginx=Nginx((1, 30, 6), running=True)), A),
        (replace(WELL, nginx=None, current=B), A),
        (replace(WELL, nginx=None, replicas=(WEB, OTHER)), A),
        (replace(WELL, nginx=None, replicas=(WEB, replace(OTHER, running=False)), current=""), A),
        (Observed("shop"), ""),
    ],
)
def test_what_serves_counts_as_current_where_that_is_clear(
    observed: Observed, current: str
) -> None:
    seen = by_sight(observed)
    assert seen.current == current
    assert seen.committed == observed.committed | ({current} if current else set())
    assert replace(seen, current="", committed=frozenset()) == replace(
        observed, current="", committed=frozenset()
    )


BEGIN = {"event": "begin", "run": "r1", "kind": "up", "release": B, "by": "kim"}
ROUTE_BEGAN = {"event": "step", "run": "r1", "state": "begin", "step": "Route"}
NEXT = "`releasekit recover` puts that right, and so does the next `up` or `rollback`"


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ((BEGIN,), f"`up 2b2b2b2` by kim was cut short: {NEXT}"),
        ((BEGIN, ROUTE_BEGAN), f"`up 2b2b2b2` by kim was cut short amid Route: {NEXT}"),
        (
            (BEGIN, ROUTE_BEGAN, {**ROUTE_BEGAN, "state": "end"}),
            f"`up 2b2b2b2` by kim was cut short after Route: {NEXT}",
        ),
    ],
)
def test_a_run_that_was_cut_short_is_told_with_the_command_that_puts_it_right(
    records: tuple[dict[str, str], ...], problem: str
) -> None:
    assert list(journal_problems(Reading(records), is_running=False)) == [problem]
    assert list(journal_problems(Reading(records), is_running=True)) == []
    ended = (*records, {"event": "end", "run": "r1"})
    assert list(journal_problems(Reading(ended), is_running=False)) == []


def test_what_is_wrong_with_the_journal_is_told() -> None:
    problems = [f"line {n} cannot be read" for n in range(5)]
    reading = Reading((), tuple(problems), "line 9 is cut off")
    assert list(journal_problems(reading, is_running=False)) == [
        "journal: line 0 cannot be read",
        "journal: line 1 cannot be read",
        "journal: line 2 cannot be read",
        "journal: and 2 more like that",
        "journal: line 9 is cut off",
        "journal: what is current was taken from what serves",
    ]
    assert list(journal_problems(Reading(torn="line 9"), is_running=False)) == ["journal: line 9"]


def test_few_problems_are_told_one_by_one() -> None:
    assert told(["a", "b", "c"]) == ["a", "b", "c"]
    assert told([]) == []
