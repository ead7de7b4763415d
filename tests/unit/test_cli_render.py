"""What people see: progress in a log and on a terminal, tables of any width, foreign text."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from releasekit import events
from releasekit.cli import render, tables
from releasekit.cli.console import Screen
from releasekit.forecast import BackingForecast, Forecast, Memory, MemoryShare
from releasekit.observed import (
    Backing,
    Health,
    Nginx,
    Observed,
    Replica,
    Upstream,
)
from releasekit.observed import Route as Served
from releasekit.outcome import Freeze, HeldReplica, HistoryEntry, Hold, Outcome, Preview, Status
from releasekit.plan import Plan
from releasekit.steps import (
    AwaitHealthy,
    ConfirmRoute,
    Drain,
    MarkCurrent,
    Pull,
    Route,
    Start,
    Step,
)

OLD, NEW = "1b2c3d4" + "0" * 33, "3f2a9c1" + "0" * 33
WEB, WAS = "shop-releases-web-blue-1", "shop-web-1"
TO = (Upstream("web", (WEB,), (WAS,)),)
STEPS: tuple[Step, ...] = (
    Pull(("shop:3f2a9c1",), "not on this host"),
    Start(NEW, "blue", (("web", 1),), "new"),
    AwaitHealthy(release=NEW, replicas=(("web", WEB),), deadline_s=60.0, cause="starts cold"),
    Route(TO, "healthy"),
    ConfirmRoute(TO, "a reload proves nothing"),
    MarkCurrent(NEW, "it serves"),
    Drain(30.0, "the old one may be busy"),
)
PLAN = Plan("blue-green", NEW, "f" * 16, STEPS, notes=("pulls first",))
FORECAST = Forecast(
    "shop",
    PLAN,
    memory=Memory((MemoryShare("web", 1, 2, "limit"),), 1),
    backing=(BackingForecast("db", "differs"),),
    route="--- nginx: now\n+++ nginx: then\n@@ -1 +1 @@\n-old\n+new",
)
ENTRY = HistoryEntry(
    number=7,
    run="run-7",
    kind="up",
    release=NEW,
    subject="장바구니 결제 오류를 고치고 테스트를 더한다 (#128)",
    author="김철수",
    by="deploy",
    origin="ci-7",
    strategy="blue-green",
    started="2026-10-01T12:00:00+00:00",
    seconds=8.4,
    result="failed",
    reason="not healthy: shop-web-1: 503\nand more",
)
STATUS = Status(
    Observed(
        project="shop",
        replicas=(
            Replica("web", "blue", WEB, NEW, "c1", health=Health.HEALTHY),
            Replica("web", "", WAS, OLD, "c2"),
            Replica("worker", "", "shop-worker-1", "", "c3", running=False),
        ),
        backing=(Backing("db", "c4"),),
        nginx=Nginx((1, 27, 4), running=True, loaded=Served(TO), draining=True),
        current=NEW,
    ),
    live=NEW,
    problems=("shop-worker-1 does not run",),
)


def ticking(*times: float) -> Any:
    """A clock that shows these times, one after the other."""
    return iter(times).__next__


def shown(captured: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in captured.readouterr().out.splitlines()]


# --- progress in a log --------------------------------------------------------------------------


def test_a_log_has_a_line_when_a_slow_step_starts_and_when_any_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = render.Plain(ticking(0, 1, 3.25, 3.5, 4, 64))
    for number, step, seconds, error in (
        (1, STEPS[0], 2.25, ""),
        (2, STEPS[1], 0.2, ""),
        (3, STEPS[2], 60, "503"),
    ):
        plain.started(events.StepStarted(number, 3, step))
        plain.progressed(events.StepProgress(step, "still"))
        plain.ended(events.StepEnded(number, 3, step, seconds, error))

    assert capsys.readouterr().err.splitlines() == [
        "   1.0s  prepare Pull          shop:3f2a9c1 …",
        "   3.2s  prepare Pull          shop:3f2a9c1 (2.2 s)",
        "   3.5s  prepare Start         web x1 of 3f2a9c1 in blue (0.2 s)",
        "   4.0s  prepare AwaitHealthy  shop-releases-web-blue-1 …",
        "  64.0s  prepare AwaitHealthy  shop-releases-web-blue-1 (failed: 503; 60.0 s)",
    ]


def tell(terminal: render.Terminal, *, failing: type[Step] | None = None) -> None:
    """A whole run, as the runner tells it."""
    terminal.event(events.RunStarted("run-1", "up", "shop", NEW, "fix the \x1b[2Jcart"))
    terminal.event(events.PlanMade(PLAN))
    for number, step in enumerate(STEPS, start=1):
        terminal.event(events.StepStarted(number, len(STEPS), step))
        terminal.event(events.StepProgress(step, f"{WEB}: \x1b]0;owned\x07503"))
        time.sleep(float(os.environ.get("STEP_S", "0")))
        error = "no answer\n::error::x" if failing is type(step) else ""
        terminal.event(events.StepEnded(number, len(STEPS), step, 0.31, error))
        if error:
            break
    terminal.event(events.Warned("nginx 1.22 drops idle clients"))
    terminal.event(events.DowntimeMeasured(2.134))
    terminal.event(events.RunEnded("run-1", "released", NEW, NEW, 8.4))


def test_foreign_text_cannot_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    tell(render.Terminal(), failing=AwaitHealthy)
    told = capsys.readouterr().err

    assert "\x1b" not in told
    assert "fix the cart" in told
    assert "\n  | ::error::x" in told


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("up", "shop: releasing 3f2a9c1 with recreate"),
        ("rollback", "shop: rolling back to 3f2a9c1 with recreate"),
        ("revert", "shop: bringing back 3f2a9c1 with recreate"),
    ],
)
def test_the_first_line_says_what_is_done(
    kind: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = render.Terminal()
    terminal.event(events.RunStarted("run-1", kind, "shop", NEW))
    terminal.event(events.PlanMade(replace(PLAN, strategy="recreate")))

    assert capsys.readouterr().err == f"{text}\nnote: pulls first\n"


def test_an_empty_plan_has_no_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = render.Terminal()
    terminal.event(events.RunStarted("run-1", "up", "shop", NEW))
    terminal.event(events.PlanMade(replace(PLAN, steps=())))

    assert capsys.readouterr().err == ""


DONE = Outcome("released", NEW, OLD, "blue-green", "run-1", 8.44)


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (
            DONE,
            [
                "✓ 3f2a9c1 serves; 8.4 s, no downtime; previous 1b2c3d4",
                "next: releasekit rollback, if it has to go",
            ],
        ),
        (
            replace(DONE, result="rolled-back", downtime_s=2.128),
            ["✓ 3f2a9c1 serves; 8.4 s, downtime 2.13 s; previous 1b2c3d4"],
        ),
        (replace(DONE, previous=""), ["✓ 3f2a9c1 serves; 8.4 s, no downtime"]),
        (replace(DONE, result="nothing-to-do", previous=NEW), ["✓ nothing to do: 3f2a9c1 serves"]),
        (replace(DONE, result="nothing-to-do"), ["✓ nothing to do: 3f2a9c1 is held already"]),
        (
            replace(DONE, result="nothing-to-do", release="", previous=""),
            ["✓ nothing to do: nothing was ever released here"],
        ),
        (
            replace(DONE, result="recovered", release="", previous=""),
            ["✓ what was left is gone: nothing was ever released here"],
        ),
        (
            replace(DONE, result="recovered", previous=NEW, downtime_s=None),
            ["✓ 3f2a9c1 serves; 8.4 s, no downtime"],
        ),
        (
            replace(DONE, result="held"),
            [
                "✓ 3f2a9c1 is healthy, and held; 8.4 s; 1b2c3d4 serves",
                "try it: releasekit status tells where it answers",
                "next: releasekit promote, or releasekit abort",
            ],
        ),
        (
            replace(DONE, result="aborted", previous=""),
            ["✓ 3f2a9c1 is held no longer; 8.4 s; nothing serves yet"],
        ),
    ],
)
def test_the_last_lines_say_how_it_ended(outcome: Outcome, text: list[str]) -> None:
    assert render.ending(outcome) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (99.94, "99.9 s"), (100, "1 min 40 s"), (659.7, "10 min 59 s")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert render.took(seconds) == text


# --- progress on a terminal ---------------------------------------------------------------------


def on_terminal(*argv: str, columns: int = 80, **env: str) -> str:
    """What this file, run as a program, sends to a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    clean = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS", "FORCE_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, __file__, *argv],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**clean, "TERM": "xterm-256color", **env},
    )
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        told = b"".join(iter(lambda: _read(terminal), b""))
    assert process.wait(60) == 0, told.decode()
    return told.decode()


def _read(terminal: Any) -> bytes:
    try:
        return bytes(terminal.read(65536))
    except OSError:  # Linux's way to say that the other side has closed
        return b""


def left_standing(told: str) -> list[str]:
    """The lines that a person sees in the end: what was written over is gone."""
    lines = re.sub(r"\r\n\x1b\[\?25h\r\x1b\[1A\x1b\[2K", "\r\x1b[2K", told).split("\r\n")
    last = (line.rpartition("\x1b[2K")[2] for line in lines)
    return [text for line in last if (text := re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip())]


def test_a_terminal_sees_phases_and_ticks() -> None:
    assert left_standing(on_terminal("run", STEP_S="0.11")) == [
        "shop: releasing 3f2a9c1 (fix the cart) with blue-green",
        "note: pulls first",
        "prepare",
        "  ✓ Pull          shop:3f2a9c1  0.3 s",
        "  ✓ Start         web x1 of 3f2a9c1 in blue  0.3 s",
        "  ✓ AwaitHealthy  shop-releases-web-blue-1  0.3 s",
        "shift",
        "  ✓ Route         web -> shop-releases-web-blue-1  0.3 s",
        "  ✓ ConfirmRoute  web -> shop-releases-web-blue-1  0.3 s",
        "settle",
        "  ✓ MarkCurrent   3f2a9c1  0.3 s",
        "  ✓ Drain         at most 30 s  0.3 s",
        "warning: nginx 1.22 drops idle clients",
        "downtime: 2.13 s",
    ]


def test_a_terminal_sees_what_fails() -> None:
    told = left_standing(on_terminal("fail"))

    assert told[5:8] == [
        "  ✗ AwaitHealthy  shop-releases-web-blue-1  0.3 s",
        "    no answer",
        "  | ::error::x",
    ]


def test_the_running_step_moves_with_its_time_and_what_it_waits_for() -> None:
    told = on_terminal("run", STEP_S="0.15")

    assert re.search(r"[⠋⠙⠹⠸].*AwaitHealthy.*3/7  0\.[12] s.*503", told)
    assert "owned" not in told
    assert told.rindex("\x1b[?25h") > told.rindex("\x1b[?25l"), "the cursor is back"


@pytest.mark.parametrize("columns", [0, 1, 20, 200])
def test_progress_fits_any_terminal(columns: int) -> None:
    assert "✓" in on_terminal("run", columns=columns, STEP_S="0.11")


def test_no_color_means_none() -> None:
    assert re.findall(r"\x1b\[[0-9;]*3[0-9]m", on_terminal("run")) != []
    assert re.findall(r"\x1b\[[0-9;]*3[0-9]m", on_terminal("run", NO_COLOR="1")) == []


def test_a_dumb_terminal_gets_plain_lines() -> None:
    told = on_terminal("run", TERM="dumb")

    assert "\x1b" not in told
    assert "prepare Pull          shop:3f2a9c1 …" in told


def test_a_log_stays_plain_when_colours_are_forced() -> None:
    """GitHub's runners often set it: colours are one thing, moving lines in a log another."""
    told = subprocess.run(
        [sys.executable, __file__, "run"],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "FORCE_COLOR": "1"},
    ).stderr

    assert "\x1b" not in told


# --- tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [0, 1, 20, 40, 60, 80, 100, 120, 200])
def test_tables_fit_any_width(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    tables.show_history([ENTRY])
    tables.show_status(STATUS, ENTRY.subject)
    tables.show_strategies([])

    assert max(map(cell_len, shown(capsys))) <= max(columns or 80, 1)


def test_history_at_80_columns_has_what_matters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    tables.show_history([ENTRY])
    monkeypatch.delenv("TZ")
    time.tzset()

    assert shown(capsys) == [
        "#  release  subject                                     started           result",
        "7  3f2a9c1  장바구니 결제 오류를 고치고 테스트를 더한…  2026-10-01 21:00  failed",
    ]


def test_a_row_is_one_whole_line_where_nobody_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    tables.show_history([ENTRY])
    row = shown(capsys)[1]

    assert ENTRY.subject in row
    assert "not healthy: shop-web-1: 503 and more" in row


def test_status_shows_replicas_route_nginx_backing_and_problems(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    tables.show_status(STATUS, "fix the cart")

    assert shown(capsys) == [
        "shop serves 3f2a9c1 (fix the cart), blue",
        "service  replica                   release  slot  state    health   traffic",
        "web      shop-web-1                1b2c3d4  -     running  none     standby",
        "web      shop-releases-web-blue-1  3f2a9c1  blue  running  healthy  yes",
        "worker   shop-worker-1             -        -     stopped  none     no",
        "route: web -> shop-releases-web-blue-1",
        "nginx: 1.27.4 running (old workers still serve)",
        "backing: db running",
        "problem: shop-worker-1 does not run",
    ]


def test_status_tells_of_a_run_that_goes_on_and_of_a_lock_by_hand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frozen = Freeze("kim", "ci-7", "2026-11-20T06:15:09+00:00", "inventory until Monday")
    running = "locked by lee from ci-8 (process 7): up 3f2a9c1, since today"
    tables.show_status(replace(STATUS, frozen=frozen, running=running), "")

    assert shown(capsys)[1:3] == [
        f"a run goes on: {running}",
        "locked by kim from ci-7 since 2026-11-20 06:15 UTC: inventory until Monday",
    ]


def test_status_tells_how_to_try_what_is_held(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown_too = replace(TO[0], preview=(WAS,))
    nginx = Nginx((1, 27, 4), running=True, loaded=Served((shown_too,), "8", "5ec4e7"))
    replicas = (HeldReplica(WAS, "http://172.18.0.7:8080"), HeldReplica("shop-api-1", ""))
    preview = Preview("X-Releasekit-Preview", "5ec4e7")
    hold = Hold(OLD, "an hour ago", "kim", replicas, preview)
    observed = replace(STATUS.observed, nginx=nginx)
    tables.show_status(replace(STATUS, observed=observed, held=hold), "")

    told = shown(capsys)
    assert told[2].split()[-1] == "preview"
    assert told[6:11] == [
        "held: 1b2c3d4 since an hour ago by kim; next: releasekit promote, or releasekit abort",
        "try it: shop-web-1 http://172.18.0.7:8080",
        "try it: shop-api-1 does not run",
        "try it: through nginx with the header X-Releasekit-Preview: 5ec4e7",
        "try it: through nginx as 5ec4e7.<your domain>",
    ]


@pytest.mark.parametrize(
    ("observed", "live", "text"),
    [
        (Observed("shop"), "", ["shop serves nothing", "nginx: none"]),
        (
            Observed("shop", nginx=Nginx((1, 26, 0), running=True)),
            OLD,
            ["shop serves 1b2c3d4", "nginx: 1.26.0 running (does not say what it serves)"],
        ),
        (
            Observed("shop", nginx=Nginx((1, 26, 0))),
            "",
            ["shop serves nothing", "nginx: 1.26.0 stopped"],
        ),
    ],
)
def test_status_of_little(
    observed: Observed, live: str, text: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    tables.show_status(Status(observed, live), "")

    assert shown(capsys) == text


def test_status_names_all_releases_that_get_traffic(capsys: pytest.CaptureFixture[str]) -> None:
    upstreams = (Upstream("web", (WEB, WAS)), Upstream("worker", ("shop-worker-1",)))
    nginx = Nginx((1, 27, 4), running=True, loaded=Served(upstreams))
    tables.show_status(Status(replace(STATUS.observed, nginx=nginx), ""), "")

    assert shown(capsys)[0] == "shop serves an unknown release and 1b2c3d4 and 3f2a9c1, blue"


def test_a_plan_is_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    tables.show_plan(FORECAST)

    assert capsys.readouterr().out == FORECAST.render() + "\n"


def test_a_plan_has_colours_on_a_terminal_only() -> None:
    told = on_terminal("plan")

    assert "\x1b[2m   (not on this host)\x1b[0m" in told
    assert "\x1b[33mwarning: that does not fit: the kernel would kill something\x1b[0m" in told
    assert "db: \x1b[33mconfig differs from what runs\x1b[0m, left alone" in told
    assert "\x1b[31m-old\x1b[0m" in told
    assert "\x1b[32m+new\x1b[0m" in told
    assert re.sub(r"\x1b\[[0-9;]*m", "", told).replace("\r\n", "\n") == FORECAST.render() + "\n"


def test_tables_have_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x9b2J"
    tables.show_history([replace(ENTRY, subject=evil, author=evil, reason=evil)])
    tables.show_status(replace(STATUS, problems=(evil,)), evil)
    subjects = {NEW: evil}
    tables.show_plan(replace(FORECAST, plan=replace(PLAN, notes=(evil,)), subjects=subjects))
    told = capsys.readouterr().out

    assert "red" in told
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", told) == []


@pytest.mark.parametrize(
    ("started", "text"),
    [("2026-10-01T12:00:00+00:00", "2026-10-01 12:00"), ("long ago", "long ago"), ("", "")],
)
def test_times_are_local(started: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()

    assert tables.local_time(started) == text

    monkeypatch.delenv("TZ")
    time.tzset()


def test_the_screen_goes_quiet_when_nobody_reads() -> None:
    """rich itself raises SystemExit there: in a run that would be the end of it."""
    read, write = os.pipe()
    os.close(read)
    screen = Screen()
    screen.file = os.fdopen(write, "w")
    screen.print("one")
    screen.print("two")

    assert screen.quiet
    with suppress(BrokenPipeError):
        screen.file.close()


def program(argv: Iterable[str]) -> None:
    match list(argv):
        case ["run"]:
            tell(render.Terminal())
        case ["fail"]:
            tell(render.Terminal(), failing=AwaitHealthy)
        case ["plan"]:
            tables.show_plan(FORECAST)
        case other:
            raise NotImplementedError(other)


if __name__ == "__main__":
    program(sys.argv[1:])
