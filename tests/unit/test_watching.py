"""The watch: who is taken back, and who only cannot be judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from releasekit.baking import Judgement, Limits, Verdict, Whereabouts
from releasekit.errors import Breach, CommandFailed, Interrupted, StepFailed
from releasekit.events import Event, StepProgress, Warned
from releasekit.ports import Page, Probe
from releasekit.steps import Watch
from releasekit.testing import World
from releasekit.watching import EVERY_S, IN_A_ROW, PublicCheck, Requests, Watcher

A, B = "a" * 40 + "~0a", "b" * 40 + "~0b"
OLD, NEW = "shop-releases-web-blue-1", "shop-releases-web-green-1"
STEP = Watch(B, (("web", NEW),), 10.0, "the bake", A, (("web", OLD),))
WELL, ILL = Probe(True, "GET /up: 200", run="1"), Probe(False, "GET /up: 503", run="1")
FINE, BREACH = Verdict(Judgement.FINE, "all well"), Verdict(Judgement.BREACH, "9 of 10 failed")
URL = "https://shop.example/up"

Script = Callable[[int], Any]


@dataclass
class Engine:
    """Probes by script: what is given, or raised, at the n-th look, from 0."""

    new: Script = lambda _: WELL
    old: Script = lambda _: WELL
    looks: dict[str, int] = field(default_factory=lambda: {A: 0, B: 0})

    def probe(self, release: str, replicas: Sequence[tuple[str, str]]) -> dict[str, Probe]:
        number, self.looks[release] = self.looks[release], self.looks[release] + 1
        said = (self.new if release == B else self.old)(number)
        if isinstance(said, Exception):
            raise said
        return {name: said for _, name in replicas}

    def log_tail(self, name: str, lines: int) -> tuple[str, ...]:
        return (f"the last words of {name}",)


@dataclass
class Judge:
    verdict: Script
    asked: int = 0

    def judged(self, step: Watch) -> Verdict:
        self.asked += 1
        said = self.verdict(self.asked - 1)
        if isinstance(said, Exception):
            raise said
        return said  # type: ignore[no-any-return]


@dataclass
class Watched:
    engine: Any = field(default_factory=Engine)
    judges: Sequence[Any] = ()
    step: Watch = STEP
    events: list[Event] = field(default_factory=list)
    world: World = field(default_factory=World)

    def run(self, stop: Callable[[], None] = lambda: None) -> Watched:
        clock = self.world.clock
        Watcher(self.step, self.engine, clock, self.events.append, self.judges).watch(stop)
        return self

    @property
    def seconds(self) -> float:
        return self.world.clock.now()

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]


def at(*numbers: int) -> Script:
    """Ill at these looks."""
    return lambda number: ILL if number in numbers else WELL


# Health


def test_a_release_that_is_well_is_watched_for_its_time_and_nothing_is_said() -> None:
    watched = Watched()
    watched.run()
    assert watched.seconds == pytest.approx(10.0)
    assert watched.warnings == []


def test_one_that_is_ill_is_given_up_after_some_looks_with_its_last_words() -> None:
    watched = Watched(Engine(new=lambda number: ILL if number >= 4 else WELL))
    with pytest.raises(Breach, match=f"{NEW}: GET /up: 503") as raised:
        watched.run()
    assert watched.engine.looks[B] == 4 + IN_A_ROW
    assert raised.value.log_tail == {NEW: (f"the last words of {NEW}",)}


def test_one_that_was_only_busy_is_not() -> None:
    assert Watched(Engine(new=at(1, 2, 5, 6, 9))).run().warnings == []


def test_one_that_is_lost_is_given_up_at_once() -> None:
    lost = Probe(False, "out of memory: the kernel killed it", is_lost=True)
    watched = Watched(Engine(new=lambda _: lost))
    with pytest.raises(Breach, match="out of memory"):
        watched.run()
    assert watched.seconds == 0.0


def test_one_that_restarts_is_given_up_although_it_is_well_again() -> None:
    watched = Watched(Engine(new=lambda number: WELL if number < 3 else Probe(True, "", run="2")))
    with pytest.raises(Breach, match="it restarted while it was watched"):
        watched.run()
    assert watched.engine.looks[B] == 4


def test_one_that_falls_ill_at_the_very_end_is_looked_at_until_that_is_certain() -> None:
    last = int(STEP.seconds / EVERY_S) - 1
    with pytest.raises(Breach):
        Watched(Engine(new=lambda number: ILL if number >= last else WELL)).run()
    assert Watched(Engine(new=at(last))).run().warnings == []


# What users get


def test_a_breach_is_taken_back_when_it_is_found_some_times_in_a_row() -> None:
    judge = Judge(lambda number: BREACH if number >= 2 else FINE)
    with pytest.raises(StepFailed, match="it serves and is not well: 9 of 10 failed"):
        Watched(judges=[judge]).run()
    assert judge.asked == 2 + IN_A_ROW


def test_the_numbers_are_told_while_it_is_watched() -> None:
    watched = Watched(judges=[Judge(lambda _: FINE)]).run()
    told = [event.detail for event in watched.events if isinstance(event, StepProgress)]
    assert told[0] == "10 s left; all well"


def test_what_was_doubtful_and_is_well_at_last_is_not_warned_of() -> None:
    doubt = Verdict(Judgement.INCONCLUSIVE, "12 requests")
    assert Watched(judges=[Judge(lambda n: doubt if n < 9 else FINE)]).run().warnings == []


# Who cannot measure takes nothing back


FAILURES = [
    (CommandFailed("nginx's log cannot be read: 403"), "nginx's log cannot be read: 403"),
    (ValueError("cut off at POSTGRES_PASSWORD=s3cret"), "unexpected: ValueError"),
]


@pytest.mark.parametrize(("error", "told"), FAILURES)
def test_a_log_that_cannot_be_read_is_only_told(error: Exception, told: str) -> None:
    watched = Watched(judges=[Judge(lambda _: error)]).run()
    (warning,) = watched.warnings
    assert warning == f"{'b' * 7} was watched, and cannot be judged: {told}"


@pytest.mark.parametrize(("error", "told"), FAILURES)
def test_a_docker_that_fails_is_only_told(error: Exception, told: str) -> None:
    watched = Watched(Engine(new=lambda _: error, old=lambda _: error)).run()
    (warning,) = watched.warnings
    assert warning == f"{'b' * 7} was watched, and cannot be judged: {told}"


def test_a_docker_that_failed_for_a_while_is_not_worth_a_word() -> None:
    def hiccup(number: int) -> object:
        return CommandFailed("docker does not answer") if 2 < number < 9 else WELL

    assert Watched(Engine(new=hiccup)).run().warnings == []


# Who is not to blame


@pytest.mark.parametrize(
    ("engine", "judges"),
    [
        (Engine(new=lambda _: ILL, old=lambda _: ILL), []),
        (Engine(old=lambda _: ILL), [Judge(lambda _: BREACH)]),
    ],
)
def test_a_dependency_that_makes_both_releases_sick_blames_neither(
    engine: Engine, judges: list[Judge]
) -> None:
    watched = Watched(engine, judges).run()
    (warning,) = watched.warnings
    assert f"but the release before is sick too: {OLD}: GET /up: 503" in warning


@pytest.mark.parametrize("old", [WELL, CommandFailed("docker does not answer")])
def test_a_release_before_that_is_well_or_unknown_excuses_nothing(old: object) -> None:
    with pytest.raises(Breach):
        Watched(Engine(new=lambda _: ILL, old=lambda _: old)).run()


def test_an_engine_that_restarts_both_releases_blames_neither() -> None:
    def again(number: int) -> Probe:
        return WELL if number < 3 else Probe(True, "GET /up: 200", run="2")

    watched = Watched(Engine(new=again, old=lambda number: again(number + 3 * (number > 0)))).run()
    (warning,) = watched.warnings
    assert "it restarted while it was watched; but the release before is sick too" in warning


def test_a_page_is_not_asked_while_another_release_may_answer() -> None:
    host: Any = Web(Page(503))
    step = Watch(B, (("web", NEW),), 10.0, "a canary's")
    assert PublicCheck(host, URL).judged(step).judgement is Judgement.FINE


def test_once_the_release_before_is_well_again_the_new_one_is_to_blame() -> None:
    recovers = Engine(new=lambda _: ILL, old=lambda number: ILL if number < 5 else WELL)
    with pytest.raises(Breach):
        Watched(recovers).run()
    assert recovers.looks[A] == 5 + IN_A_ROW


def test_it_ends_at_once_when_asked_to() -> None:
    watched = Watched()

    def stop() -> None:
        if watched.seconds >= 2:
            raise Interrupted("stopped on request")

    with pytest.raises(Interrupted):
        watched.run(stop)
    assert watched.seconds == pytest.approx(2.0)


# The requests of nginx's log


@dataclass
class Log:
    parts: list[list[str]]

    def lines(self) -> list[str]:
        return self.parts.pop(0)


def test_requests_are_counted_over_the_whole_watch_for_both_releases() -> None:
    def asked(address: str, status: int) -> str:
        return f"1.0|{status}|0.1|{address}:8080|{status}|0.010"

    def whereabouts(names: Sequence[str]) -> list[Whereabouts]:
        found = {NEW: ("10.1.0.2", "10.2.0.2"), OLD: ("10.1.0.3",)}
        return [Whereabouts(found[name], 0.0) for name in names]

    before = [asked("10.1.0.3", 200)] * 60
    log = Log([before, [asked("10.1.0.2", 200)] * 40, [asked("10.2.0.2", 500)] * 20])
    requests = Requests(Limits(0.1), log, whereabouts)
    assert requests.judged(STEP).judgement is Judgement.INCONCLUSIVE
    assert requests.judged(STEP).judgement is Judgement.INCONCLUSIVE
    verdict = requests.judged(STEP)
    assert verdict.judgement is Judgement.BREACH
    assert "20 of 60 requests failed (33.3%)" in verdict.why
    assert "the release before: 0 of 60 requests failed (0.0%)" in verdict.why


# The public check


@dataclass
class Web:
    page: Page

    def fetch(self, url: str, *, deadline_s: float) -> Page:
        assert (url, deadline_s > 0) == (URL, True)
        return self.page


GOOD = Page(200, {"x-release": "a" * 40})
"""Of the release before."""


def checked(page: Page, before: Page = GOOD, step: Watch = STEP, **options: Any) -> Verdict:
    web = Web(before)
    host: Any = web
    check = PublicCheck(host, URL, **options)
    check.look_before(step)
    web.page = page
    check.look_before(step)  # before another route
    return check.judged(step)


@pytest.mark.parametrize(
    ("page", "options", "judgement", "why"),
    [
        (Page(200), {}, "fine", ""),
        (Page(503), {}, "breach", f"{URL}: 503"),
        (Page(301, detail="/login"), {}, "breach", "301 /login"),
        (Page(204), {"statuses": (200, 204)}, "fine", ""),
        (Page(200, {"x-release": "b" * 40}), {"header": "X-Release"}, "fine", ""),
        (Page(200, {"x-release": "a" * 40}), {"header": "X-Release"}, "breach", "X-Release says"),
        (Page(200), {"header": "X-Release"}, "breach", "X-Release says ''"),
        (Page(None, detail="its certificate is not valid: expired"), {}, "breach", "certificate"),
        (Page(None, detail="connection refused"), {}, "breach", "connection refused"),
        (Page(None, detail="not known", is_unknown=True), {}, "inconclusive", "not known"),
    ],
)
def test_the_public_page_has_to_be_the_new_release_and_well(
    page: Page, options: dict[str, Any], judgement: str, why: str
) -> None:
    verdict = checked(page, **options)
    assert verdict.judgement is Judgement(judgement)
    assert why in verdict.why


@pytest.mark.parametrize(
    ("before", "page", "options", "judgement"),
    [
        (Page(503), Page(503), {}, "inconclusive"),
        (Page(301, detail="/login?1"), Page(301, detail="/login?2"), {}, "inconclusive"),
        (Page(None, detail="no answer"), Page(None, detail="no answer"), {}, "inconclusive"),
        (Page(200), Page(200), {"header": "X-Release"}, "inconclusive"),
        (Page(503), Page(500), {}, "breach"),
        (Page(503), Page(None, detail="no answer"), {}, "breach"),
        (Page(None, detail="expired"), Page(None, detail="no answer"), {}, "breach"),
        (Page(503), Page(200), {"header": "X-Release"}, "breach"),
        (GOOD, GOOD, {"header": "X-Release"}, "breach"),  # it says the release before, still
        (Page(503), Page(200), {}, "fine"),
    ],
)
def test_a_page_that_was_wrong_in_the_same_way_before_the_release_tells_nothing_of_it(
    before: Page, page: Page, options: dict[str, Any], judgement: str
) -> None:
    verdict = checked(page, before, **options)
    assert verdict.judgement is Judgement(judgement)
    assert verdict.why.startswith("it was so before the release: ") is (judgement == "inconclusive")


def test_of_a_run_that_goes_on_nobody_knows_how_the_page_was_before() -> None:
    """What it shows by then is the new release already."""
    resumed = replace(STEP, resumed=True)
    assert checked(Page(503), Page(503), resumed).judgement is Judgement.BREACH
    silence = checked(Page(None, detail="no answer"), GOOD, resumed)
    assert silence.judgement is Judgement.INCONCLUSIVE
    assert silence.why == f"nobody knows how it was before: {URL}: no answer"
