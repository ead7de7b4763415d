"""Watches a release while it serves: its health, its restarts, and what its users get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from releasekit.baking import (
    FINE,
    Judgement,
    Limits,
    Tally,
    Verdict,
    Whereabouts,
    judge,
    numbers,
    tally,
)
from releasekit.errors import Breach, ReleasekitError
from releasekit.events import EventSink, StepProgress, Warned
from releasekit.naming import tag_of
from releasekit.ports import LOG_LINES, Clock, Engine, Host, Page, Probe
from releasekit.release import short
from releasekit.steps import Watch

EVERY_S = 0.5
IN_A_ROW = 3
"""How often a watched release must be found bad: one look that finds it busy says little."""
PAGE_S = 5.0


class RequestLog(Protocol):
    """What nginx logged."""

    def lines(self) -> Sequence[str]:
        """What came since the last time; raises `ReleasekitError`."""
        ...


@dataclass
class Requests:
    """Judges a release by what nginx logs: of it, and of the one before."""

    limits: Limits
    log: RequestLog
    whereabouts: Callable[[Sequence[str]], Sequence[Whereabouts]]
    """Where containers, by name, are reached."""
    _new: Tally = field(default_factory=Counter, init=False)
    _old: Tally = field(default_factory=Counter, init=False)

    def judged(self, step: Watch) -> Verdict:
        """Raises `ReleasekitError` when it cannot tell."""
        new, old = (
            self.whereabouts([name for _, name in pairs]) for pairs in (step.replicas, step.beside)
        )
        lines = self.log.lines()
        self._new += tally(lines, new)
        self._old += tally(lines, old)
        return judge(self.limits, numbers(self._new), numbers(self._old))


@dataclass
class PublicCheck:
    """Asks the real URL. `header` is the one in which the app tells its release, "" for none.

    What is wrong outside of the project (a host that does not reach its own public address, a
    certificate that expired) was so before the release, and is not its fault.
    """

    host: Host
    url: str
    statuses: tuple[int, ...] = (200,)
    header: str = ""
    _before: Page | None = field(default=None, init=False)
    """What the release before showed; None when it was not asked."""

    def look_before(self, step: Watch) -> None:
        """Ask the page while the release before has all traffic; the first time counts."""
        if self._before is None and step.beside and not step.resumed:
            with suppress(Exception):  # it is only asked to excuse something
                self._before = self.host.fetch(self.url, deadline_s=PAGE_S)

    def judged(self, step: Watch) -> Verdict:
        if not step.beside:
            return FINE  # no bake: another release may have a part of the traffic
        page = self.host.fetch(self.url, deadline_s=PAGE_S)
        wrong = self._wrong(page, tag_of(step.release))
        if not wrong:
            return FINE
        said = f"{self.url}: {wrong}"
        if self._before is None and page.status is None:
            return Verdict(Judgement.INCONCLUSIVE, f"nobody knows how it was before: {said}")
        if self._was_so(page, tag_of(step.previous)):
            return Verdict(Judgement.INCONCLUSIVE, f"it was so before the release: {said}")
        return Verdict(Judgement.INCONCLUSIVE if page.is_unknown else Judgement.BREACH, said)

    def _was_so(self, page: Page, previous: str) -> bool:
        """Whether the page of the release before was wrong too, and in the same way."""
        before = self._before
        if before is None or not self._wrong(before, previous):
            return False
        return self._way(before) == self._way(page)

    def _way(self, page: Page) -> tuple[int | None, str]:
        """In which way a page that is wrong is so."""
        if page.status in self.statuses:
            return 0, self._told(page)
        return page.status, page.detail if page.status is None else ""

    def _wrong(self, page: Page, tag: str) -> str:
        if page.status is None:
            return page.detail
        if page.status not in self.statuses:
            return f"{page.status} {page.detail}".rstrip()
        said = self._told(page)
        if self.header and said != tag:
            return f"{self.header} says {said[:80]!r}, and {tag!r} was released"
        return ""

    def _told(self, page: Page) -> str:
        return page.headers.get(self.header.lower(), "")


class Judge(Protocol):
    """Judges the release of a step by what users get now; raises `ReleasekitError`."""

    def judged(self, step: Watch) -> Verdict: ...


@dataclass
class Watcher:
    """One watch. A release that is bad ends it; who cannot tell only says so."""

    step: Watch
    engine: Engine
    clock: Clock
    events: EventSink
    judges: Sequence[Judge]
    _bad: Counter[str] = field(default_factory=Counter, init=False)
    """How often in a row something was found bad: a replica, or what one of the judges judges."""
    _doubts: dict[str, str] = field(default_factory=dict, init=False)
    """What cannot be told about it now."""
    _runs: dict[str, str] = field(default_factory=dict, init=False)
    """The run in which each replica was found first."""

    def watch(self, stop_on_request: Callable[[], None]) -> None:
        """Return when the time is up; raises `Breach` when the release is bad."""
        ends = self.clock.now() + self.step.seconds
        self._sick_before()  # in which runs they are
        while (left := ends - self.clock.now()) > 0:
            stop_on_request()
            self._look(left)
            self.clock.sleep(min(EVERY_S, left))
        for _ in range(IN_A_ROW):  # what was bad at last is looked at until that is certain
            if not any(self._bad.values()):
                break
            stop_on_request()
            self._look(0.0)
            self.clock.sleep(EVERY_S)
        for doubt in dict.fromkeys(self._doubts.values()):
            self.events(
                Warned(f"{short(self.step.release)} was watched, and cannot be judged: {doubt}")
            )

    def _look(self, left: float) -> None:
        told = [f"{left:.0f} s left"]
        self._look_at_replicas()
        for each in self.judges:
            verdict = self._judged(each)
            if self._is_certain(type(each).__name__, verdict):
                raise Breach(f"it serves and is not well: {verdict.why}")
            told += [verdict.why] if verdict.why else []
        self.events(StepProgress(self.step, "; ".join(told)))

    def _judged(self, each: Judge) -> Verdict:
        try:
            return each.judged(self.step)
        except Exception as error:  # a bug of the measurer is not the release's fault either
            return Verdict(Judgement.INCONCLUSIVE, _reason(error))

    def _look_at_replicas(self) -> None:
        if not self.step.replicas:
            return
        try:
            probes = self.engine.probe(self.step.release, self.step.replicas)
        except Exception as error:
            self._doubts["Docker"] = _reason(error)
            return
        self._doubts.pop("Docker", None)
        wrong = {name: self._wrong(name, probe) for name, probe in probes.items()}
        failing = [name for name, verdict in wrong.items() if self._is_certain(name, verdict)]
        if failing:
            why = "; ".join(wrong[name].why for name in failing)
            tails = {name: self.engine.log_tail(name, LOG_LINES) for name in failing}
            raise Breach(f"not healthy: {why}", log_tail=tails)

    def _wrong(self, name: str, probe: Probe) -> Verdict:
        has_restarted = self._has_restarted(name, probe)
        if probe.is_healthy and not has_restarted:
            return FINE
        if probe.is_lost or has_restarted:
            self._bad[name] += IN_A_ROW  # that is no busy moment
        what = "it restarted while it was watched" if probe.is_healthy else probe.detail
        return Verdict(Judgement.BREACH, f"{name}: {what}")

    def _has_restarted(self, name: str, probe: Probe) -> bool:
        return self._runs.setdefault(name, probe.run) != probe.run

    def _is_certain(self, subject: str, verdict: Verdict) -> bool:
        """Whether this was found bad so often in a row, and is not to be blamed on something that
        makes the release before sick too."""
        self._doubts.pop(subject, None)
        if verdict.judgement is Judgement.BREACH:
            self._bad[subject] += 1
            sick = self._sick_before()
            if not sick:
                return self._bad[subject] >= IN_A_ROW
            self._doubts[subject] = f"{verdict.why}; but the release before is sick too: {sick}"
        if verdict.judgement is Judgement.INCONCLUSIVE:
            self._doubts[subject] = verdict.why
        self._bad[subject] = 0
        return False

    def _sick_before(self) -> str:
        """What is wrong with the release before, as far as it still runs; "" when a part of it is
        well, or nobody knows."""
        if not self.step.beside:
            return ""
        try:
            probes = self.engine.probe(self.step.previous, self.step.beside)
        except Exception:
            return ""
        restarted = {name for name, probe in probes.items() if self._has_restarted(name, probe)}
        if any(probe.is_healthy and name not in restarted for name, probe in probes.items()):
            return ""
        return "; ".join(
            f"{name}: {'it restarted too' if name in restarted else probe.detail}"
            for name, probe in probes.items()
        )


def _reason(error: Exception) -> str:
    """Why it cannot be told. What a library says may quote what Docker told, and so a secret."""
    if isinstance(error, ReleasekitError):
        return error.message
    return f"unexpected: {type(error).__name__}"
