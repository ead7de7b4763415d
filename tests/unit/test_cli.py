"""The command line: its verbs, exit codes and JSON, against a project that does as it is told."""

from __future__ import annotations

import dataclasses
import inspect
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, NoReturn

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from releasekit import errors, events
from releasekit.cli import app as verbs
from releasekit.cli import main
from releasekit.cli.json_lines import JsonLines, facts, failure, plain
from releasekit.cli.telling import Telling
from releasekit.forecast import Forecast
from releasekit.observed import Backing, Health, Nginx, Observed, Replica, Route, Upstream
from releasekit.outcome import (
    Freeze,
    HeldReplica,
    HistoryEntry,
    Hold,
    Outcome,
    Preview,
    Status,
)
from releasekit.plan import Plan
from releasekit.release import Release
from releasekit.steps import AwaitHealthy, MarkCurrent

OLD, NEW = "1b2c3d4" + "0" * 33 + "~0a0a0a0a", "3f2a9c1" + "0" * 33 + "~1b1b1b1b"
SUBJECT = "장바구니: fix the cart"
WEB = "shop-releases-web-blue-1"
STEP = AwaitHealthy(release=NEW, replicas=(("web", WEB),), deadline_s=60.0, cause="starts cold")
PLAN = Plan("blue-green", NEW, "f" * 16, (STEP, MarkCurrent(NEW, "it serves")), notes=("pulls",))
FORECAST = Forecast("shop", PLAN, current=OLD)
OUTCOME = Outcome("released", NEW, OLD, "blue-green", "run-1", 8.4123456)
ENTRIES = tuple(
    HistoryEntry(
        number=number,
        run=f"run-{number}",
        kind="up",
        release=NEW,
        subject=SUBJECT,
        author="Kim",
        by="deploy",
        origin="ci-7",
        strategy="blue-green",
        started="2026-10-01T12:00:00+00:00",
        seconds=8.4 if number > 1 else None,
        result="released" if number > 1 else "running",
        reason="",
    )
    for number in range(30, 0, -1)
)
ROUTE = Route((Upstream("web", (WEB,)),), "7")
STATUS = Status(
    Observed(
        project="shop",
        replicas=(Replica("web", "blue", WEB, NEW, "c1", "shop:1", health=Health.HEALTHY),),
        backing=(Backing("db", "c2"), Backing("queue", "c3", running=False)),
        nginx=Nginx((1, 27, 4), running=True, loaded=ROUTE),
        current=NEW,
    ),
    live=NEW,
    problems=("backing service queue does not run",),
)
NEVER = errors.NeverHealthy(
    f"not healthy: {WEB}: 503", log_tail={WEB: ("boot", "\x1b]0;owned\x07::error::boom")}
)
FAILED = errors.ReleaseFailed("3f2a9c1 was not released", reason=NEVER, serving=OLD, hint="fix it")

FREEZE = Freeze("kim", "ci-7", "2026-11-20T06:15:09+00:00", "inventory until Monday")

ALL_EVENTS: tuple[events.Event, ...] = (
    events.LockAwaited("locked by kim from ci-7 (process 7): up 1b2c3d4, since today", 299.87),
    events.RunStarted("run-1", "up", "shop", NEW, SUBJECT),
    events.PlanMade(PLAN),
    events.StepStarted(1, 2, STEP),
    events.StepProgress(STEP, f"{WEB}: 503"),
    events.StepEnded(1, 2, STEP, 2.25),
    events.Warned("nginx 1.22 cannot spare idle clients"),
    events.DowntimeMeasured(2.13),
    events.RunEnded("run-1", "released", NEW, NEW, 8.4),
)


class FakeProject:
    """Answers like a project whose releases go well, or raises what `trouble` says."""

    name = "shop"
    trouble: BaseException | None = None
    forecast: Forecast = FORECAST
    asked: typing.ClassVar[list[tuple[Any, ...]]] = []

    def __init__(self, sink: events.EventSink) -> None:
        self._sink = sink

    @classmethod
    def load(
        cls, folder: Path | str = ".", *, events: events.EventSink, **overrides: object
    ) -> FakeProject:
        cls.asked = [("load", Path(folder))]
        return cls(events)

    def release(self, sha: str | None = None, *, dirty: bool = False) -> Release:
        self._do("release", sha, dirty)
        return Release(NEW.partition("~")[0].partition(".")[0], SUBJECT, "Kim")

    def plan(
        self,
        release: Release,
        *,
        strategy: str | None = None,
        options: Mapping[str, Any] | None = None,
        hold: bool = False,
        migration: str | None = None,
    ) -> Forecast:
        asked = [*(["hold"] if hold else []), *([migration] if migration else [])]
        self._do("plan", release.tag, strategy, options, *asked)
        return self.forecast

    def up(
        self,
        release: Release,
        *,
        strategy: str | None = None,
        options: Mapping[str, Any] | None = None,
        hold: bool = False,
        migration: str | None = None,
        ignore_memory: bool = False,
        adopt: bool = False,
        wait: float = 0.0,
        stop: threading.Event | None = None,
    ) -> Outcome:
        given = (("hold", hold), ("adopt", adopt), ("tight", ignore_memory))
        flags = [name for name, is_set in given if is_set]
        more = [*flags, *([migration] if migration else []), *_waiting(wait)]
        return self._run("up", release.tag, strategy, options, *more, stop)

    def promote(
        self, *, adopt: bool = False, wait: float = 0.0, stop: threading.Event | None = None
    ) -> Outcome:
        return self._run("promote", *_adopting(adopt), *_waiting(wait), stop)

    def abort(
        self, *, adopt: bool = False, wait: float = 0.0, stop: threading.Event | None = None
    ) -> Outcome:
        return self._run("abort", *_adopting(adopt), *_waiting(wait), stop)

    def rollback(
        self,
        to: str | None = None,
        *,
        adopt: bool = False,
        wait: float = 0.0,
        stop: threading.Event | None = None,
    ) -> Outcome:
        return self._run("rollback", to, *_adopting(adopt), *_waiting(wait), stop)

    def recover(
        self, *, adopt: bool = False, wait: float = 0.0, stop: threading.Event | None = None
    ) -> Outcome:
        return self._run("recover", *_adopting(adopt), *_waiting(wait), stop)

    def lock(self, message: str) -> Freeze:
        self._do("lock", message)
        return FREEZE

    def unlock(self) -> Freeze | None:
        self._do("unlock")
        return FREEZE

    def status(self) -> Status:
        self._do("status")
        return STATUS

    def history(self) -> tuple[HistoryEntry, ...]:
        self._do("history")
        return ENTRIES

    def _run(self, *asked: Any) -> Outcome:
        for event in ALL_EVENTS:
            self._sink(event)
        self._do(*asked)
        return OUTCOME

    def _do(self, *asked: Any) -> None:
        type(self).asked.append(asked)
        if self.trouble is not None:
            raise self.trouble


def _adopting(adopt: bool) -> list[str]:
    return ["adopt"] if adopt else []


def _waiting(wait: float) -> list[str]:
    return [f"waits {wait:g} s"] if wait else []


def in_trouble(error: BaseException) -> type[FakeProject]:
    return type("InTrouble", (FakeProject,), {"trouble": error})


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[FakeProject]], None]:
    """Puts a fake in the project's place; another one when it is called."""

    def use(fake: type[FakeProject]) -> None:
        monkeypatch.setitem(
            sys.modules, "releasekit.project", typing.cast("Any", SimpleNamespace(Project=fake))
        )

    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    use(FakeProject)
    return use


def run(*argv: str, **env: str) -> Any:
    return CliRunner().invoke(verbs.app, argv, env=env, catch_exceptions=False)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- verbs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "asked"),
    [
        (["up"], [("release", None, False), ("up", NEW[:40], None, {})]),
        (
            ["up", "3f2a", "--strategy", "rolling", "--dirty"],
            [("release", "3f2a", True), ("up", NEW[:40], "rolling", {})],
        ),
        (
            ["up", "--set", "max_surge=2", "--set", "keep_previous=removed"],
            [
                ("release", None, False),
                ("up", NEW[:40], None, {"max_surge": 2, "keep_previous": "removed"}),
            ],
        ),
        (["up", "--plan"], [("release", None, False), ("plan", NEW[:40], None, {})]),
        (
            ["plan", "3f2a", "--strategy", "recreate", "--dirty", "--set", "steps=[5, 50]"],
            [("release", "3f2a", True), ("plan", NEW[:40], "recreate", {"steps": [5, 50]})],
        ),
        (["up", "--hold"], [("release", None, False), ("up", NEW[:40], None, {}, "hold")]),
        (["up", "--adopt"], [("release", None, False), ("up", NEW[:40], None, {}, "adopt")]),
        (
            ["up", "--hold", "--plan"],
            [("release", None, False), ("plan", NEW[:40], None, {}, "hold")],
        ),
        (
            ["up", "--migration", "done"],
            [("release", None, False), ("up", NEW[:40], None, {}, "done")],
        ),
        (
            ["up", "--plan", "--migration", "again"],
            [("release", None, False), ("plan", NEW[:40], None, {}, "again")],
        ),
        (
            ["up", "--ignore-memory"],
            [("release", None, False), ("up", NEW[:40], None, {}, "tight")],
        ),
        (["promote"], [("promote",)]),
        (["promote", "--adopt"], [("promote", "adopt")]),
        (["abort", "--adopt"], [("abort", "adopt")]),
        (["rollback", "--adopt"], [("rollback", None, "adopt")]),
        (["recover", "--adopt"], [("recover", "adopt")]),
        (["abort"], [("abort",)]),
        (["rollback"], [("rollback", None)]),
        (["rollback", "1b2c"], [("rollback", "1b2c")]),
        (["recover"], [("recover",)]),
        (["recover", "--wait", "1h"], [("recover", "waits 3600 s")]),
        (
            ["up", "--wait", "5m"],
            [("release", None, False), ("up", NEW[:40], None, {}, "waits 300 s")],
        ),
        (["promote", "--wait", "5m"], [("promote", "waits 300 s")]),
        (["abort", "--wait", "5m"], [("abort", "waits 300 s")]),
        (["rollback", "1b2c", "--wait", "30"], [("rollback", "1b2c", "waits 30 s")]),
        (["lock", "-m", "until Monday"], [("lock", "until Monday")]),
        (["lock", "--message", "until Monday"], [("lock", "until Monday")]),
        (["unlock"], [("unlock",)]),
        (["status"], [("status",), ("history",)]),
        (["history"], [("history",)]),
    ],
)
def test_a_verb_asks_the_library_for_what_was_typed(
    argv: list[str], asked: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    assert run("-C", str(tmp_path), *argv).exit_code == 0

    told = [
        tuple(a for a in call if not isinstance(a, threading.Event)) for call in FakeProject.asked
    ]
    assert told == [("load", tmp_path), *asked]


@pytest.mark.parametrize("said", ["max_surge", "=2", ""])
def test_an_option_without_name_or_value_is_refused_before_anything_is_asked(said: str) -> None:
    FakeProject.asked = []

    result = run("up", "--set", said)

    assert result.exit_code == 2
    assert "--set takes NAME=VALUE, such as --set max_surge=2" in result.stderr
    assert FakeProject.asked == []


@pytest.mark.parametrize("verb", ["up", "promote", "abort", "rollback", "recover"])
@pytest.mark.parametrize("said", ["soon", "-1", "", "25h"])
def test_a_wait_that_is_no_duration_is_refused_before_anything_is_asked(
    verb: str, said: str
) -> None:
    FakeProject.asked = []

    result = run(verb, "--wait", said)

    assert result.exit_code == 2
    assert 'error: --wait must be "500ms", "15s", "2m", "1h"' in result.stderr
    assert FakeProject.asked == []


def test_a_lock_by_hand_says_why() -> None:
    FakeProject.asked = []

    assert run("lock").exit_code == 2
    assert FakeProject.asked == []


def test_a_lock_by_hand_is_told_and_so_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    what = "locked by kim from ci-7 since 2026-11-20 06:15 UTC: inventory until Monday"
    locked, unlocked = run("lock", "-m", "x"), run("unlock")
    assert locked.stderr.splitlines() == [
        f"✓ {what}",
        "next: releasekit unlock, when that is over",
    ]
    assert unlocked.stderr.splitlines() == [f"✓ not locked by hand any more: it was {what}"]
    assert locked.stdout == unlocked.stdout == ""
    frozen = lines(run("lock", "-m", "x", "--json").stdout)[0]["frozen"]
    assert frozen == dataclasses.asdict(FREEZE)
    assert lines(run("unlock", "--json").stdout)[0]["was"] == frozen

    monkeypatch.setattr(FakeProject, "unlock", lambda self: None)
    assert "nobody had locked it by hand" in run("unlock").stderr
    assert lines(run("unlock", "--json").stdout)[0]["was"] is None


def test_who_waits_for_another_run_is_told_for_whose() -> None:
    first = run("up", "--wait", "5m").stderr.splitlines()[0]

    assert first == (
        "locked by kim from ci-7 (process 7): up 1b2c3d4, since today; waiting, 4 min 59 s at most"
    )


@pytest.mark.parametrize("verb", ["up", "promote", "abort", "rollback", "recover"])
def test_a_run_can_be_stopped(verb: str) -> None:
    run(verb)

    assert isinstance(FakeProject.asked[-1][-1], threading.Event)


@pytest.mark.parametrize(
    "verb",
    [
        *("release", "plan", "up", "promote", "abort", "rollback", "recover", "lock", "unlock"),
        *("status", "history", "load"),
    ],
)
def test_the_fake_takes_what_the_project_takes(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "releasekit.project")
    from releasekit.project import Project

    real = inspect.signature(getattr(Project, verb)).parameters
    fake = inspect.signature(getattr(FakeProject, verb)).parameters

    assert {(name, fake[name].kind) for name in fake} <= {(name, real[name].kind) for name in real}


def test_a_release_tells_its_progress_on_stderr_and_nothing_on_stdout() -> None:
    result = run("up")

    assert result.stdout == ""
    assert result.stderr.splitlines()[1] == f"shop: releasing 3f2a9c1 ({SUBJECT}) with blue-green"
    assert "prepare AwaitHealthy  shop-releases-web-blue-1" in result.stderr
    assert "warning: nginx 1.22 cannot spare idle clients" in result.stderr
    assert "✓ 3f2a9c1 serves; 8.4 s, no downtime; previous 1b2c3d4" in result.stderr
    assert "next: releasekit rollback" in result.stderr


@pytest.mark.parametrize("argv", [["plan"], ["up", "--plan"]])
def test_a_plan_is_printed_as_it_renders_itself(argv: list[str]) -> None:
    assert run(*argv).stdout == FORECAST.render() + "\n"


@pytest.mark.parametrize("argv", [["plan"], ["up", "--plan"]])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_the_exit_code_of_a_plan_tells_whether_there_is_something_to_do(
    argv: list[str], as_json: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    detailed = [*argv, "--detailed-exitcode", *as_json]
    result = run(*detailed)
    assert result.exit_code == 2
    assert not as_json or lines(result.stdout)[0]["exit_code"] == 2
    assert run(*argv, *as_json).exit_code == 0

    monkeypatch.setattr(
        FakeProject, "forecast", Forecast("shop", dataclasses.replace(PLAN, steps=()))
    )
    assert run(*detailed).exit_code == 0


@pytest.mark.parametrize(
    "argv",
    [
        ["plan", "--bogus"],
        ["up", "--plan", "one", "too-many"],
        ["-C", "/nowhere", "plan"],
        ["up"],
        ["up", "--plan", "--set", "max_surge"],
    ],
)
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_no_error_ends_like_a_plan_that_has_something_to_do(
    argv: list[str], as_json: list[str]
) -> None:
    result = run(*argv, "--detailed-exitcode", *as_json)

    assert result.exit_code == 1
    told = lines(result.stdout)
    assert [line["exit_code"] for line in told] in ([1], [])


def test_with_it_only_the_codes_that_could_be_mistaken_change(
    project: Callable[[type[FakeProject]], None],
) -> None:
    project(in_trouble(errors.NeedsPerson("look")))
    assert run("plan", "--detailed-exitcode").exit_code == 3
    project(in_trouble(errors.EngineError("no engine")))
    assert run("plan", "--detailed-exitcode").exit_code == 1
    assert run("plan").exit_code == 2


def test_history_shows_the_last_twenty_unless_told_otherwise() -> None:
    assert len(run("history").stdout.splitlines()) == 1 + 20
    assert len(run("history", "-n", "3").stdout.splitlines()) == 1 + 3


def test_strategies_are_those_that_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from releasekit.strategies import registry

    info = registry.StrategyInfo("calm", "calm-plugin", "waits", has_downtime=True)
    monkeypatch.setattr(registry, "available", lambda: (info,))

    assert run("strategies").stdout == "calm  (some downtime, from calm-plugin)\n  waits\n"


def test_the_version_is_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"9.9 of {name}")

    assert run("--version").stdout == "releasekit 9.9 of releasekit\n"


def test_every_command_and_option_has_help() -> None:
    group: Any = get_command(verbs.app)
    for command in (group, *group.commands.values()):
        assert command.help
        assert command.epilog
        assert [p.name for p in command.params if not p.help] == []


@pytest.mark.parametrize(
    "verb",
    ["up", "plan", "rollback", "recover", "lock", "unlock", "status", "history", "strategies"],
)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_a_verb_shows_examples(verb: str, option: str) -> None:
    result = run(verb, option)

    assert result.exit_code == 0
    assert f"Examples:\n    releasekit {verb}" in result.stdout


def test_without_arguments_it_helps() -> None:
    assert "Usage: " in run().stderr


# --- exit codes -----------------------------------------------------------------------------------

EXIT_CODES = {
    "ReleasekitError": 1,
    "UsageError": 2,
    "SettingsError": 2,
    "InvalidRelease": 2,
    "UnknownRelease": 2,
    "AmbiguousRelease": 2,
    "DirtyTree": 2,
    "NoRoom": 2,
    "Held": 2,
    "ForeignChange": 2,
    "StrategyError": 2,
    "UnsafePlan": 2,
    "EngineError": 2,
    "MissingImage": 2,
    "CommandFailed": 1,
    "DeadlineExceeded": 1,
    "HostError": 1,
    "StepFailed": 1,
    "NeverHealthy": 1,
    "Breach": 1,
    "RouteRefused": 1,
    "ReleaseFailed": 1,
    "NeedsPerson": 3,
    "MigrationUnfinished": 3,
    "Locked": 4,
    "Frozen": 4,
    "Interrupted": 130,
}


def error_of(name: str) -> errors.ReleasekitError:
    match name:
        case "SettingsError":
            return errors.SettingsError(["a: no", "b: no"])
        case "ReleaseFailed":
            return FAILED
        case _:
            error: errors.ReleasekitError = getattr(errors, name)("it failed", hint="do this")
            return error


@pytest.mark.parametrize(("name", "code"), EXIT_CODES.items())
def test_an_error_ends_with_its_exit_code(name: str, code: int, project: Any) -> None:
    project(in_trouble(error_of(name)))

    assert run("up").exit_code == code
    assert code in verbs.EXIT_CODES


def test_every_error_has_a_tested_exit_code() -> None:
    """So that no code changes, and no error comes, without somebody deciding it."""
    known = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.ReleasekitError)
    }

    assert set(EXIT_CODES) == known


def test_help_documents_the_exit_codes() -> None:
    for code, meaning in {
        0: "done, or nothing to do",
        1: "failed; the previous release is serving",
        2: "usage or settings",
        3: "needs a person",
        4: "locked by somebody else",
        130: "interrupted and reverted",
    }.items():
        assert f"    {code:<5}{meaning}\n" in run("--help").stdout


@pytest.mark.parametrize(
    "argv",
    [["upp"], ["up", "--bad"], ["up", "a", "b"], ["history", "-n", "0"], ["-C", "/no/such", "up"]],
)
def test_what_cannot_be_parsed_exits_2(argv: list[str]) -> None:
    assert run(*argv).exit_code == 2


def test_an_unexpected_error_is_one_line(project: Any) -> None:
    project(in_trouble(KeyError("web")))
    result = run("status")

    assert result.exit_code == 1
    assert result.stderr == (
        "error: unexpected: KeyError: 'web'\nnext: run again with --debug for the traceback\n"
    )


def test_debug_shows_the_traceback(project: Any) -> None:
    project(in_trouble(KeyError("web")))
    result = run("--debug", "status")

    assert "Traceback" in result.stderr
    assert result.stderr.index("error: unexpected") < result.stderr.index("Traceback")


def test_ctrl_c_outside_a_run_exits_130(project: Any) -> None:
    project(in_trouble(KeyboardInterrupt()))
    result = run("status", "--json")

    assert result.exit_code == 130
    assert lines(result.stdout)[-1]["error"] == "Interrupted"


# --- what an error says ---------------------------------------------------------------------------


def test_a_failed_release_says_why_what_serves_and_what_is_next(project: Any) -> None:
    project(in_trouble(FAILED))
    told = run("up").stderr

    assert told[told.index("error:") :].splitlines() == [
        "error: 3f2a9c1 was not released",
        f"because: not healthy: {WEB}: 503",
        f"last log lines of {WEB}:",
        "  | boot",
        "  | ::error::boom",
        "next: fix it",
    ]


def test_settings_errors_are_one_line_each(project: Any) -> None:
    project(in_trouble(errors.SettingsError(["keep_releases: must be > 0", "bake: unknown key"])))

    assert run("status").stderr.splitlines() == [
        "error: keep_releases: must be > 0",
        "error: bake: unknown key",
    ]


def test_a_failed_command_shows_the_end_of_its_output(project: Any) -> None:
    output = "\n".join(f"line {number}" for number in range(100))
    project(in_trouble(errors.CommandFailed("compose failed", status=1, output=output)))
    told = run("status").stderr.splitlines()

    assert told[:3] == ["error: compose failed", "its output:", "  | line 80"]
    assert told[-1] == "  | line 99"


def test_foreign_text_cannot_give_orders_to_a_ci_runner(project: Any) -> None:
    """In a log GitHub obeys lines that begin with `::`, whatever the indentation."""
    project(in_trouble(errors.CommandFailed("a\n::set-env name=PATH::/evil", output="::error::x")))
    told = run("status", GITHUB_ACTIONS="true").stderr.splitlines()

    assert told[:2] == ["error: a", "  | ::set-env name=PATH::/evil"]
    assert told[3].startswith("::stop-commands::")
    assert told[4:] == ["  | ::error::x", "::" + told[3].removeprefix("::stop-commands::") + "::"]


# --- JSON -----------------------------------------------------------------------------------------

HEAD = ["schema", "event"]
RESULT = [*HEAD, "command", "result", "exit_code"]
STEP_KEYS = ["phase", "step", "what", "cause"]
EVENT_KEYS = {
    "lock_awaited": [*HEAD, "holder", "left_s"],
    "run_started": [*HEAD, "run", "kind", "project", "release", "subject"],
    "plan_made": [*HEAD, "plan"],
    "step_started": [*HEAD, "number", "total", "step"],
    "step_progress": [*HEAD, "step", "detail"],
    "step_ended": [*HEAD, "number", "total", "step", "seconds", "error"],
    "warned": [*HEAD, "message"],
    "downtime_measured": [*HEAD, "seconds"],
    "run_ended": [*HEAD, "run", "result", "release", "serving", "seconds", "reason"],
}
OUTCOME_KEYS = ["release", "previous", "strategy", "run", "seconds", "downtime_s"]


def test_json_of_events_keeps_its_keys() -> None:
    """Scripts rely on them: a key that goes or changes its meaning is a new schema."""
    told = lines(run("up", "--json").stdout)

    assert {line["event"]: list(line) for line in told[:-1]} == EVENT_KEYS
    assert list(told[-1]) == RESULT + OUTCOME_KEYS
    assert {line["schema"] for line in told} == {1}


def test_every_event_is_tested() -> None:
    assert {type(event) for event in ALL_EVENTS} == set(typing.get_args(events.Event))
    assert len(EVENT_KEYS) == len(ALL_EVENTS)


def test_json_of_steps_is_the_plans() -> None:
    told = {line["event"]: line for line in lines(run("up", "--json").stdout)}

    assert told["plan_made"]["plan"] == PLAN.to_dict()
    assert told["step_started"]["step"] == PLAN.to_dict()["steps"][0]
    assert list(told["step_started"]["step"]) == STEP_KEYS


@pytest.mark.parametrize(
    ("argv", "keys"),
    [
        (["plan"], list(FORECAST.to_dict())),
        (["up", "--plan"], list(FORECAST.to_dict())),
        (["lock", "-m", "x"], ["frozen"]),
        (["unlock"], ["was"]),
        (["status"], ["status"]),
        (["history"], ["history"]),
        (["strategies"], ["strategies"]),
    ],
)
def test_json_of_data_is_one_line(argv: list[str], keys: list[str]) -> None:
    (told,) = lines(run(*argv, "--json").stdout)

    assert list(told) == RESULT + keys
    assert (told["command"], told["result"], told["exit_code"]) == (argv[0], "ok", 0)


def test_json_of_status_keeps_its_keys() -> None:
    status = lines(run("status", "--json").stdout)[0]["status"]

    assert status == {
        "project": "shop",
        "live": NEW,
        "replicas": [
            {
                "service": "web",
                "slot": "blue",
                "name": WEB,
                "release": NEW,
                "id": "c1",
                "image": "shop:1",
                "running": True,
                "health": "healthy",
            }
        ],
        "route": {"web": [WEB]},
        "nginx": {"version": "1.27.4", "running": True, "draining": False},
        "backing": [
            {"service": "db", "id": "c2", "running": True},
            {"service": "queue", "id": "c3", "running": False},
        ],
        "problems": ["backing service queue does not run"],
        "held": None,
        "degraded": False,
        "frozen": None,
        "running": "",
        "subject": SUBJECT,
    }


def test_json_of_a_hold_has_the_ways_to_try_it() -> None:
    replicas = (HeldReplica(WEB, "http://172.18.0.7:8080"),)
    hold = Hold(NEW, "2026-11-20", "kim", replicas, Preview("X-Releasekit-Preview", "5ec4e7"))

    assert facts(dataclasses.replace(STATUS, held=hold))["held"] == {
        "release": NEW,
        "since": "2026-11-20",
        "by": "kim",
        "replicas": [{"name": WEB, "address": "http://172.18.0.7:8080"}],
        "preview": {"header": "X-Releasekit-Preview", "secret": "5ec4e7"},
    }


def test_json_of_history_keeps_its_keys() -> None:
    told = lines(run("history", "--json", "-n", "1").stdout)[0]["history"]

    assert [list(entry) for entry in told] == [
        [
            *("number", "run", "kind", "release", "subject", "author", "by", "origin", "strategy"),
            *("started", "seconds", "result", "reason", "downtime_s"),
        ]
    ]


@pytest.mark.parametrize(
    ("error", "keys"),
    [
        (errors.Locked("by Kim"), []),
        (KeyError("web"), []),
        (errors.SettingsError(["a: no"]), ["problems"]),
        (NEVER, ["log_tail"]),
        (FAILED, ["log_tail", "reason", "serving"]),
        (errors.NeedsPerson("look"), ["log_tail", "reason"]),
    ],
)
def test_json_of_errors_keeps_its_keys(error: Exception, keys: list[str], project: Any) -> None:
    project(in_trouble(error))
    result = run("up", "--json")
    told = lines(result.stdout)[-1]

    assert list(told) == [*RESULT, "error", "message", "hint", *keys]
    assert (told["result"], told["error"]) == ("error", type(error).__name__)
    assert told["exit_code"] == result.exit_code
    assert "error: " in result.stderr


def test_json_of_a_failed_release_has_its_reason() -> None:
    told = failure(FAILED)

    assert told["serving"] == OLD
    assert told["reason"]["error"] == "NeverHealthy"
    assert list(told["log_tail"]) == [WEB]


def test_json_of_what_needs_a_person_has_what_went_wrong_first() -> None:
    told = failure(errors.NeedsPerson("the way back failed too", reason=NEVER))

    assert told["reason"] == failure(NEVER)
    assert told["log_tail"] == told["reason"]["log_tail"] == plain(NEVER.log_tail)
    assert failure(errors.NeedsPerson("look"))["reason"] is None


def test_json_answers_also_what_cannot_be_parsed() -> None:
    (told,) = lines(run("up", "--bad", "--json").stdout)

    assert list(told) == [*RESULT, "error", "message", "hint"]
    assert (told["command"], told["error"], told["exit_code"]) == ("up", "UsageError", 2)


def test_json_is_ascii_and_one_object_a_line_whatever_the_text() -> None:
    result = run("up", "--json")

    assert result.stdout.isascii()
    assert plain(1.23456789) == 1.235
    assert lines(result.stdout)[-1]["seconds"] == 8.412


# --- what cannot be printed -----------------------------------------------------------------------


class Broken(io.TextIOBase):
    def write(self, text: str) -> NoReturn:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("argv", [["up"], ["up", "--json"], ["rollback", "--json"]])
def test_a_release_goes_on_when_nobody_reads(
    stream: str, argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, stream, Broken())

    assert main(argv) == 0
    assert FakeProject.asked[-1][0] == argv[0]


def test_a_renderer_that_fails_is_switched_off(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []

    def show(event: object) -> None:
        shown.append(event)
        raise ZeroDivisionError

    telling = Telling(JsonLines("up"))
    sink = telling.later(show)
    sink(1)
    sink(2)
    telling.end(0)

    assert shown == [1]
    assert capsys.readouterr().err == "warning: the rest is not shown: ZeroDivisionError: \n"


def test_an_error_keeps_its_exit_code_when_nobody_reads(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(in_trouble(errors.Locked("by Kim")))
    monkeypatch.setattr(sys, "stdout", Broken())
    monkeypatch.setattr(sys, "stderr", Broken())

    assert main(["up", "--json"]) == 4


# --- the real process -----------------------------------------------------------------------------


def spawn(*argv: str, **options: Any) -> subprocess.Popen[str]:
    """This file as a program: the command line over the fake, or over one of those below."""
    env = {**os.environ, **options.pop("env", {})}
    env.pop("PYTHONUNBUFFERED", None)
    return subprocess.Popen(
        [sys.executable, __file__, *argv],
        text=True,
        env=env,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
    )


def stderr_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stderr is not None
    told = ""
    while text not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    return told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("verb", ["up", "rollback"])
def test_the_first_signal_asks_the_run_to_end_well(number: int, verb: str) -> None:
    with spawn(verb, env={"FAKE": "stops"}) as process:
        stderr_until(process, "waiting")
        process.send_signal(number)
        told = stderr_until(process, "error: ")

        assert "stopping: bringing the previous release back" in told
        assert "(again: leave at once)\n" in told
        assert "error: stopped" in told
        assert process.wait(60) == 130


def test_the_second_signal_ends_it_at_once() -> None:
    with spawn("up", env={"FAKE": "deaf"}) as process:
        stderr_until(process, "waiting")
        process.send_signal(signal.SIGTERM)
        stderr_until(process, "stopping")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)

        assert process.wait(60) == 130
        assert time.monotonic() - began < 15


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    """`nohup releasekit up &` is not to be stopped by somebody else's Ctrl-C."""

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    with spawn("up", env={"FAKE": "patient"}, preexec_fn=ignore) as process:
        stderr_until(process, "waiting")
        process.send_signal(signal.SIGINT)

        assert process.wait(60) == 0


def test_signals_do_as_before_when_the_run_is_over() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run("up")

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("argv", [["up", "--json"], ["history", "-n", "30"], ["history", "--json"]])
def test_a_reader_that_leaves_changes_no_exit_code(argv: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with spawn(*argv, stdout=write) as process:
        os.close(write)
        _, told = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "BrokenPipe" not in told


def test_a_release_is_done_also_when_both_outputs_are_gone() -> None:
    read, write = os.pipe()
    os.close(read)
    with spawn("up", stdout=write, stderr=write) as process:
        os.close(write)

        assert process.wait(60) == 0


@contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe that is full."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, b"\n" * select.PIPE_BUF)
    os.set_blocking(write, True)
    yield read, write
    os.close(read)
    with suppress(OSError):  # a test may have closed it
        os.close(write)


@contextmanager
def stopped_terminal() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal after Ctrl-S."""
    master, terminal = pty.openpty()
    termios.tcflow(terminal, termios.TCOOFF)
    yield master, terminal
    os.close(terminal)
    os.close(master)


@contextmanager
def busy(*argv: str, fake: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """The command line with a run that tells more than a pipe holds, and where that run says by
    itself how far it is."""
    read, write = os.pipe()
    env = {"FAKE": fake, "PROGRESS": str(write), "TERM": "xterm"}
    with os.fdopen(read) as progress, spawn(*argv, env=env, pass_fds=[write], **options) as process:
        os.close(write)
        assert progress.readline() == "waiting\n"
        yield process, progress


@pytest.mark.parametrize("unread", [full_pipe, stopped_terminal])
@pytest.mark.parametrize("argv", [["up"], ["rollback", "--json"]])
def test_a_reader_that_stops_reading_holds_up_neither_a_release_nor_a_signal(
    unread: Callable[[], AbstractContextManager[tuple[int, int]]], argv: list[str]
) -> None:
    with unread() as (_, out):
        with busy(*argv, fake="busy", stdout=out, stderr=out) as (process, progress):
            process.send_signal(signal.SIGTERM)

            assert progress.readline() == "stopped\n"
            assert process.wait(60) == 130


def test_a_reader_that_stops_reading_changes_no_exit_code() -> None:
    with full_pipe() as (_, out), spawn("up", "--json", stdout=out) as process:
        assert process.wait(60) == 0


def test_a_reader_that_goes_on_gets_every_line() -> None:
    with full_pipe() as (read, write):
        with busy("up", "--json", fake="busy", stdout=write) as (process, progress):
            os.close(write)
            process.send_signal(signal.SIGTERM)
            assert progress.readline() == "stopped\n"
            with os.fdopen(read, closefd=False) as pipe:
                told = lines(pipe.read().lstrip())

    assert [line["event"] for line in told] == ["warned"] * Busy.WARNINGS + ["result"]


def test_a_second_signal_ends_it_at_once_also_where_a_terminal_is_stopped() -> None:
    with stopped_terminal() as (_, out):
        with busy("up", fake="busy and deaf", stdout=out, stderr=out) as (process, progress):
            process.send_signal(signal.SIGTERM)
            assert progress.readline() == "stopped\n"
            process.send_signal(signal.SIGTERM)

            assert process.wait(20) == 130


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(("argv", "code"), [(["up", "--json"], 0), (["history"], 1)])
def test_a_full_disk_fails_the_answer_and_not_the_release(argv: list[str], code: int) -> None:
    with Path("/dev/full").open("w") as full, spawn(*argv, stdout=full) as process:
        _, told = process.communicate(timeout=60)

    assert process.returncode == code
    assert "No space left" in told


@pytest.mark.parametrize("argv", [["up"], ["up", "--json"], ["history"], ["status"]])
def test_closed_outputs_do_no_harm(argv: list[str]) -> None:
    command = f"exec {sys.executable} {__file__} {' '.join(argv)} >&- 2>&-"

    assert subprocess.run(["sh", "-c", command], timeout=60).returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_utf8_gets_what_it_can_show(encoding: str) -> None:
    with spawn("history", env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}) as process:
        out, told = process.communicate(timeout=60)

    assert (process.returncode, told) == (0, "")
    assert "fix the cart" in out


COMPLETING = {
    "_RELEASEKIT_COMPLETE": "complete_bash",
    "COMP_WORDS": "releasekit up --strategy ",
    "COMP_CWORD": "3",
}
HEAVY = {"docker", "fabric", "paramiko", "pydantic_settings", "python_on_whales", "rich"}


def modules_of(argv: Sequence[str], **env: str) -> set[str]:
    program = f"""
import sys
from releasekit.cli import main
main({list(argv)!r})
print("\\nmodules", *sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **env}
    )
    return set(done.stdout.rpartition("modules")[2].split())


@pytest.mark.parametrize(
    ("argv", "env"),
    [
        (["--help"], {}),
        (["--version"], {}),
        (["up", "--help"], {}),
        ([], COMPLETING),
    ],
)
def test_help_version_and_completion_import_nothing_that_takes_long(
    argv: list[str], env: dict[str, str]
) -> None:
    """Completion runs at every press of a key."""
    modules = modules_of(argv, **env)

    assert "releasekit.cli.app" in modules
    assert modules & HEAVY == set()


def test_a_log_needs_no_rich() -> None:
    with spawn("up", env={"FAKE": "modules"}) as process:
        out, _ = process.communicate(timeout=60)

    assert "releasekit.cli.render" in out.split()
    assert "rich" not in out.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("releasekit ", ["lock", "recover", "unlock"]),
        ("releasekit rec", ["recover"]),
        ("releasekit rollback --w", ["--wait"]),
    ],
)
def test_completion_knows_the_verbs_and_their_options(typed: str, offered: list[str]) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", "from releasekit.cli import main; main([])"],
        capture_output=True,
        text=True,
        env={**os.environ, **COMPLETING, **words},
    )

    assert {*offered} <= {*done.stdout.split()}


def test_completion_knows_the_strategies() -> None:
    assert {"blue-green", "recreate"} <= set(verbs.strategy_names(""))
    assert verbs.strategy_names("rec") == ["recreate"]


class Stops(FakeProject):
    """Waits until it is asked to stop, and does."""

    def up(self, *_: Any, stop: threading.Event | None = None, **__: Any) -> Outcome:
        assert stop is not None
        sys.stderr.write("waiting\n")
        if stop.wait(60):
            raise errors.Interrupted("stopped")
        return OUTCOME

    rollback = up


class Deaf(FakeProject):
    """Does not end when it is asked to."""

    def up(self, *_: Any, **__: Any) -> Outcome:
        sys.stderr.write("waiting\n")
        time.sleep(30)
        return OUTCOME


class Busy(FakeProject):
    """Tells more than any pipe holds, waits until it is asked to stop, and does."""

    WARNINGS = 2000

    def up(self, *_: Any, stop: threading.Event | None = None, **__: Any) -> Outcome:
        assert stop is not None
        with os.fdopen(int(os.environ["PROGRESS"]), "w", buffering=1) as progress:
            for _number in range(self.WARNINGS):
                self._sink(events.Warned("as long as a line is " * 5))
            progress.write("waiting\n")
            stop.wait()
            progress.write("stopped\n")
        self.end()
        raise errors.Interrupted("stopped")

    rollback = up

    def end(self) -> None:
        """Nothing is left to do."""


class BusyAndDeaf(Busy):
    """Does not end when it is asked to."""

    def end(self) -> None:
        threading.Event().wait()


class Patient(FakeProject):
    """Is done after a while."""

    def up(self, *_: Any, **__: Any) -> Outcome:
        sys.stderr.write("waiting\n")
        time.sleep(1)
        return OUTCOME


class Modules(FakeProject):
    """Says what has been imported."""

    def up(self, *_: Any, **__: Any) -> Outcome:
        sys.stdout.write(" ".join(sys.modules))
        return OUTCOME


if __name__ == "__main__":
    fakes = {
        "stops": Stops,
        "deaf": Deaf,
        "patient": Patient,
        "modules": Modules,
        "busy": Busy,
        "busy and deaf": BusyAndDeaf,
    }
    fake = fakes.get(os.environ.get("FAKE", ""), FakeProject)
    sys.modules["releasekit.project"] = typing.cast("Any", SimpleNamespace(Project=fake))
    sys.exit(main())
