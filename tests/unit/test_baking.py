"""The bake's numbers and its judgement, from nginx's lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasekit.baking import (
    FORMAT,
    WORSE,
    Attempt,
    Judgement,
    Limits,
    Numbers,
    Whereabouts,
    attempts,
    judge,
    numbers,
    tally,
)

NEW_AT, OLD_AT = "172.18.0.7", "172.18.0.8"
AT = 1795178903.236
NEW, OLD = Whereabouts((NEW_AT, "10.0.0.7"), 0.0), Whereabouts((OLD_AT,), 0.0)


def line(addresses: str, statuses: str = "200", times: str = "0.010", status: int = 200) -> str:
    return f"{AT}|{status}|0.123|{addresses}|{statuses}|{times}"


# Lines


def test_a_line_names_the_replica_its_status_and_its_time() -> None:
    assert attempts(line(f"{NEW_AT}:8080", "503", "1.234")) == (Attempt(NEW_AT, 503, 1234, AT),)


def test_each_replica_that_was_asked_in_turn_answers_for_itself() -> None:
    """What nginx then gets from another one spares the user, and no replica."""
    asked = line(f"{NEW_AT}:8080, {OLD_AT}:9090", "502, 200", "0.001, 0.020")
    assert attempts(asked) == (Attempt(NEW_AT, 502, 1, AT), Attempt(OLD_AT, 200, 20, AT))
    redirected = line(f"{NEW_AT}:8080 : {OLD_AT}:9090", "200 : 500", "0.001 : 0.020")
    assert attempts(redirected) == (Attempt(NEW_AT, 200, 1, AT), Attempt(OLD_AT, 500, 20, AT))


def test_what_nginx_answers_by_itself_is_no_attempt() -> None:
    assert attempts(line("-", "-", "-")) == ()


def test_an_ipv6_address_has_no_brackets() -> None:
    assert attempts(line("[fd00::7]:8080")) == (Attempt("fd00::7", 200, 10, AT),)


def test_a_client_that_leaves_is_no_error_and_its_wait_counts() -> None:
    (left,) = attempts(line(f"{NEW_AT}:8080", "-", "9.000", status=499))
    assert (left.failed, left.ms) == (False, 9000)


def test_a_websocket_has_no_time() -> None:
    assert attempts(line(f"{NEW_AT}:8080", "101", "3600.000")) == (Attempt(NEW_AT, 101, None, AT),)


@pytest.mark.parametrize(
    "text", ["", "|", FORMAT, line(f"{NEW_AT}:8080, {OLD_AT}:8080"), "a|b|c|d|e|f"]
)
def test_what_is_no_line_tells_nothing(text: str) -> None:
    assert tally([text], [NEW, OLD]) == Counter()


@given(st.text(max_size=60) | st.from_regex(r"[0-9.|:, -]{0,60}", fullmatch=True))
def test_no_line_breaks_the_count(text: str) -> None:
    assert tally([text, line(f"{NEW_AT}:8080")], [NEW])[False, 10] >= 1


def test_each_release_gets_what_its_own_replicas_answered() -> None:
    lines = [
        line(f"{NEW_AT}:8080", "500", "0.002"),
        line("10.0.0.7:8080", "200", "0.004"),
        line(f"{OLD_AT}:8080", "200", "0.006"),
        line("172.18.0.99:8080", "500", "0.008"),
        "cut o",
    ]
    assert numbers(tally(lines, [NEW])) == Numbers(2, 1, 0.004)
    assert numbers(tally(lines, [OLD])) == Numbers(1, 0, 0.006)


def test_an_address_tells_nothing_of_who_had_it_before() -> None:
    """Docker gives it to the next container, and the log may have lines of a run before."""
    lines = [line(f"{NEW_AT}:8080", "500")]
    assert tally(lines, [replace(NEW, since=AT + 0.001)]) == Counter()
    assert tally(lines, [replace(NEW, since=AT)]).total() == 1


def test_a_release_that_was_never_asked_has_numbers_too() -> None:
    assert numbers(tally([], [NEW])) == Numbers()


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=200))
def test_the_p95_is_exact_to_the_millisecond(times: list[int]) -> None:
    p95 = numbers(Counter((False, ms) for ms in times)).p95_s
    assert p95 is not None
    ms = round(p95 * 1000)
    assert ms in times
    assert sum(each <= ms for each in times) >= 0.95 * len(times)
    assert sum(each < ms for each in times) < 0.95 * len(times)


def test_numbers_are_told_in_words() -> None:
    assert str(Numbers(412, 37, 0.12)) == "37 of 412 requests failed (9.0%), p95 120 ms"
    assert str(Numbers()) == "0 of 0 requests failed (0.0%)"


# The judgement

RATE = Limits(max_error_rate=0.05)
SLOW = Limits(max_p95_s=0.5)
SLOWER = Limits(max_p95_factor=1.5)


def n(requests: int = 1000, errors: int = 0, p95: float = 0.1) -> Numbers:
    return Numbers(requests, errors, p95)


@pytest.mark.parametrize(
    ("limits", "new", "old", "judgement", "why"),
    [
        (Limits(), n(errors=1000), n(), "fine", "1000 of 1000 requests failed"),
        (RATE, n(errors=50), n(), "fine", ""),
        (RATE, n(errors=51), n(), "breach", "more than max_error_rate 5.0%; 51 of 1000"),
        (RATE, n(errors=51), Numbers(), "breach", "51 of 1000"),
        (RATE, n(49, 49), n(), "inconclusive", "49 requests tell too little (min_requests is 50)"),
        (RATE, n(50, 50), n(), "breach", ""),
        # A failing dependency: both are sick.
        (RATE, n(errors=900), n(errors=800), "inconclusive", "and so was the release before"),
        (RATE, n(errors=1000), n(errors=1000), "inconclusive", "the release before: 1000 of 1000"),
        (RATE, n(errors=900), n(errors=60), "breach", ""),
        (RATE, n(errors=900), n(errors=40), "breach", ""),
        (RATE, n(errors=900), n(49, 49), "breach", ""),
        (SLOW, n(p95=0.5), n(), "fine", ""),
        (SLOW, n(p95=0.501), n(p95=0.4), "breach", "slower than max_p95 500 ms; 0 of 1000"),
        (SLOW, n(p95=0.9), n(p95=0.6), "inconclusive", "and so was the release before"),
        (SLOW, n(p95=1.3), n(p95=0.6), "breach", ""),
        (SLOWER, n(p95=0.15), n(p95=0.1), "fine", ""),
        (SLOWER, n(p95=0.151), n(p95=0.1), "breach", "slower than max_p95 1.5x, 150 ms"),
        (SLOWER, n(p95=0.9), n(49, p95=0.1), "inconclusive", "nothing to compare with"),
        (SLOWER, n(p95=0.001), n(p95=0.0), "fine", ""),
        # What is certain counts more than what is not.
        (Limits(0.05, None, 1.5), n(errors=500), Numbers(), "breach", "max_error_rate"),
        (Limits(0.05, 0.5), n(errors=90, p95=0.9), n(errors=60), "breach", "max_p95"),
    ],
)
def test_a_release_is_judged(
    limits: Limits, new: Numbers, old: Numbers, judgement: str, why: str
) -> None:
    verdict = judge(limits, new, old)
    assert verdict.judgement is Judgement(judgement), verdict
    assert why in verdict.why


SOME: Any = st.builds(
    lambda requests, share, p95: Numbers(requests, int(requests * share), p95),
    st.integers(0, 2000),
    st.floats(0, 1),
    st.floats(0, 10),
)


@given(SOME, SOME)
def test_no_release_is_blamed_for_what_the_one_before_was_just_as_bad_at(
    new: Numbers, old: Numbers
) -> None:
    limits = Limits(0.05, 0.5)
    is_known = old.requests >= limits.min_requests
    as_sick = old.error_rate > 0.05 and new.error_rate <= WORSE * old.error_rate
    as_slow = old.p95_s is not None and old.p95_s > 0.5 and (new.p95_s or 0) <= WORSE * old.p95_s
    if is_known and as_sick and as_slow:
        assert judge(limits, new, old).judgement is not Judgement.BREACH


@given(SOME, SOME)
def test_too_few_requests_and_no_limits_take_nothing_back(new: Numbers, old: Numbers) -> None:
    few = Limits(0.0, 0.0, min_requests=new.requests + 1)
    assert judge(few, new, old).judgement is Judgement.INCONCLUSIVE
    assert judge(Limits(), new, old).judgement is Judgement.FINE
