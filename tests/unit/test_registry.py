"""Strategies by name: whatever a plugin does, it is named, and the others go on."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from releasekit.check import check_plan, checked_plan
from releasekit.errors import StrategyError, UnsafePlan
from releasekit.observed import Upstream
from releasekit.plan import Plan
from releasekit.recovery import way_back
from releasekit.steps import AwaitHealthy, Drain, Route, Start, Step, Stop, Watch
from releasekit.strategies import registry
from releasekit.strategies.guard import Named, guarded
from releasekit.strategies.mixed import Mix
from releasekit.strategies.rolling import RollingOptions
from releasekit.strategies.shape import misshapen
from releasekit.target import Service, Target
from tests.plugins.making import write_plugin
from tests.strategies.shop import BLUE_A, PREPARED, ROUTED_B, A, B, names, replicas, target

BUILT_IN = ("blue-green", "recreate", "rolling")
SOON = 0.2
"""A deadline for what never ends."""

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes plugins that this process finds."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, *changes: str, **facts: str) -> None:
        write_plugin(tmp_path, name, *changes, **facts)

    return write


def planned(name: str) -> Plan:
    """The strategy's plan from A to B, as a release makes it."""
    mix = Mix.single(registry.load(name, deadline_s=SOON))
    return checked_plan(mix, BLUE_A.observed, target(B))


def listed(name: str) -> registry.StrategyInfo:
    (info,) = [each for each in registry.available(deadline_s=SOON) if each.name == name]
    return info


def imported(origin: str) -> list[str]:
    return [module for module in sys.modules if module.startswith(origin)]


# What is there


def test_the_built_in_ones_come_in_by_the_same_door_with_their_options() -> None:
    infos = registry.available()
    assert [info.name for info in infos] == [*BUILT_IN]
    assert {info.origin for info in infos} == {"releasekit"}
    assert {info.problem for info in infos} == {""}
    assert {info.name: info.has_downtime for info in infos}["recreate"]
    options = {info.name: {o.name: o.default for o in info.options} for info in infos}
    assert options["blue-green"] == {"keep_previous": "stopped"}
    assert options["rolling"]["max_surge"] == 1
    assert all(option.summary for info in infos for option in info.options)


def test_a_plugin_is_listed_with_its_origin_and_options(write: Write) -> None:
    write(
        "calm",
        '''
        class CalmOptions(Options):
            pause: float = 1.5
            """How long it
            rests."""
            tags: tuple[str, ...] = ("a", "b")

        Plugin.options = CalmOptions
        ''',
    )
    info = listed("calm")
    assert (info.origin, info.summary, info.problem) == ("calm-plugin", "does what it is told", "")
    assert info.options == (
        registry.OptionInfo("pause", 1.5, "How long it rests."),
        registry.OptionInfo("tags", ["a", "b"], ""),
    )


def test_a_plugin_plans_like_any_other(write: Write) -> None:
    write("calm")
    plan = planned("calm")
    assert plan == replace(planned("blue-green"), strategy="calm")


def test_an_unknown_name_lists_those_that_exist() -> None:
    with pytest.raises(StrategyError, match="there is no strategy 'blue-gren'") as raised:
        registry.load("blue-gren")
    assert raised.value.hint == f"did you mean 'blue-green'? there are: {', '.join(BUILT_IN)}"


def test_loading_one_imports_no_other(write: Write) -> None:
    write("broken", "raise SystemExit('imported')")
    write("calm")
    assert registry.load("calm").name == "calm"
    assert not imported("broken")


@pytest.mark.parametrize(
    "command", ["releasekit --help", "releasekit up --help", "_RELEASEKIT_COMPLETE"]
)
def test_help_and_completion_import_no_plugin(write: Write, tmp_path: Path, command: str) -> None:
    write("broken", "open('imported', 'w').close()")
    environ = {"PYTHONPATH": str(tmp_path), "PATH": str(Path(sys.executable).parent)}
    argv = command.split()
    if command == "_RELEASEKIT_COMPLETE":
        argv = ["releasekit"]
        environ |= {
            "_RELEASEKIT_COMPLETE": "complete_bash",
            "COMP_WORDS": "releasekit up --strategy b",
            "COMP_CWORD": "3",
        }
    done = subprocess.run(
        argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "imported").exists()
    if argv == ["releasekit"]:
        assert "broken" in done.stdout.split()


# What fails to load

UNLOADABLE = {
    "import error": ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
    "syntax error": ("def :", "SyntaxError"),
    "error": ("1 / 0", "ZeroDivisionError: division by zero"),
    "exit": ("raise SystemExit(0)", "SystemExit: 0"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "hang": ("import threading\nthreading.Event().wait()", "did not answer within 0.2 s"),
    "no class": ("del Plugin", "AttributeError"),
    "no callable": ("Plugin = 7", "TypeError"),
    "cannot be made": ("Plugin.__init__ = lambda self: 1 / 0", "ZeroDivisionError"),
    "hangs when made": (
        "import threading\nPlugin.__init__ = lambda self: threading.Event().wait()",
        "did not answer",
    ),
    "no plan": ("del Plugin.plan", "has no attribute 'plan'"),
    "plan is data": ("Plugin.plan = 7", "its `plan` is 7"),
    "no summary": ("del Plugin.summary", "has no attribute 'summary'"),
    "no health": ("del Plugin.needs_health", "has no attribute 'needs_health'"),
    "downtime in words": ("Plugin.has_downtime = 'none'", "its `has_downtime` is 'none'"),
    "summary of lines": ("Plugin.summary = ['a']", "its `summary` is ['a']"),
    "no options": ("del Plugin.options", "has no attribute 'options'"),
    "options of another kind": ("Plugin.options = dict", "made from releasekit.Options"),
    "options made already": ("Plugin.options = Options()", "made from releasekit.Options"),
    "an option without a default": (
        "class Own(Options):\n    pause: int\nPlugin.options = Own",
        "pause",
    ),
    "another name": ("Plugin.name = 'calmer'", "it calls itself 'calmer'"),
    "a property that raises": (
        "Plugin.summary = property(lambda self: 1 / 0)",
        "ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("kind", UNLOADABLE)
def test_what_fails_to_load_is_named_with_its_origin(write: Write, kind: str) -> None:
    code, told = UNLOADABLE[kind]
    write("bad", code)
    with pytest.raises(StrategyError) as raised:
        registry.load("bad", deadline_s=SOON)
    assert raised.value.message.startswith("strategy 'bad' from bad-plugin ")
    assert told in raised.value.message
    assert "bad-plugin" in raised.value.hint
    info = listed("bad")
    assert (info.origin, info.options) == ("bad-plugin", ())
    assert told in info.problem
    assert "bad-plugin" not in info.problem  # the listing says it already


def test_one_bad_plugin_hides_no_other(write: Write) -> None:
    write("bad", "1 / 0")
    write("calm")
    problems = {info.name: bool(info.problem) for info in registry.available()}
    assert problems == {"bad": True, "calm": False, **dict.fromkeys(BUILT_IN, False)}


def test_an_entry_point_that_is_no_reference_is_named(write: Write) -> None:
    write("bad", entry=":")
    assert listed("bad").problem.startswith("failed to load")


def test_a_built_in_ones_name_is_refused_with_both_origins(write: Write) -> None:
    write("blue-green", origin="thief")
    with pytest.raises(StrategyError, match="comes from releasekit and thief") as raised:
        registry.load("blue-green")
    assert raised.value.hint == "uninstall thief"
    assert not imported("thief")
    problems = [(i.origin, i.problem) for i in registry.available() if i.name == "blue-green"]
    told = "comes from releasekit and thief: uninstall thief"
    assert problems == [("releasekit", told), ("thief", told)]
    assert registry.load("rolling").name == "rolling"


def test_of_two_plugins_with_one_name_neither_is_taken(write: Write) -> None:
    write("calm", origin="one")
    write("calm", origin="other")
    with pytest.raises(StrategyError, match="comes from one and other") as raised:
        registry.load("calm")
    assert raised.value.hint == "uninstall one or other"


# What makes no plan

GOOD = "good = Plugin.plan\ndef plan(self, o, t, options):\n    {}\nPlugin.plan = plan"

NO_PLANS = {
    "raises": ("return 1 / 0", "ZeroDivisionError: division by zero"),
    "exits": ("raise SystemExit", "SystemExit"),
    "recurses": ("return plan(self, o, t, options)", "RecursionError"),
    "hangs": ("import threading; threading.Event().wait()", "did not answer within 0.2 s"),
    "is busy": (
        "import time; end = time.monotonic() + 1\n    while time.monotonic() < end: pass",
        "did not answer within 0.2 s",
    ),
    "nothing": ("return None", "it returned None"),
    "words": ("return 'start, then stop'", "it returned 'start, then stop'"),
    "steps alone": ("return good(self, o, t, options).steps", "it returned a tuple"),
    "a list of steps": (
        "p = good(self, o, t, options); return replace(p, steps=list(p.steps))",
        "its `steps` is a list, and has to be a tuple",
    ),
    "no steps": (
        "return replace(good(self, o, t, options), steps=('start',))",
        "its `steps[0]` is 'start', and has to be a step",
    ),
    "another release": (
        "return replace(good(self, o, t, options), release='other')",
        "its `release` is 'other'",
    ),
    "another world": (
        "return replace(good(self, o, t, options), based_on='')",
        "its `based_on` is ''",
    ),
    "another's name": (
        "return replace(good(self, o, t, options), strategy='blue-green')",
        "its `strategy` is 'blue-green', and has to be 'bad'",
    ),
    "another shape": ("return good(self, o)", "TypeError"),
}


@pytest.mark.parametrize("kind", NO_PLANS)
def test_what_makes_no_plan_is_named_with_its_origin(write: Write, kind: str) -> None:
    code, told = NO_PLANS[kind]
    write("bad", GOOD.format(code))
    strategy = registry.load("bad", deadline_s=SOON)
    with pytest.raises(StrategyError) as raised:
        strategy.plan(BLUE_A.observed, target(B), strategy.options())
    assert raised.value.message.startswith("strategy 'bad' from bad-plugin ")
    assert told in raised.value.message


def test_the_traceback_of_a_plugin_is_kept_for_its_author(write: Write) -> None:
    write("bad", GOOD.format("return 1 / 0"))
    with pytest.raises(StrategyError) as raised:
        planned("bad")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert raised.value.__cause__.__traceback__ is not None


def test_an_unsafe_plan_is_refused_with_rule_step_and_origin(write: Write) -> None:
    write(
        "bad",
        GOOD.format(
            "p = good(self, o, t, options); "
            "return replace(p, steps=tuple(s for s in p.steps if not isinstance(s, AwaitHealthy)))"
        ),
    )
    with pytest.raises(UnsafePlan) as raised:
        planned("bad")
    assert "step 3: traffic only for what was proven healthy" in raised.value.message
    assert raised.value.message.startswith("bad made an unsafe plan: ")
    assert raised.value.hint == "choose another strategy, or tell the authors of bad-plugin"


MALFORMED: dict[str, tuple[Any, str]] = {
    "no upstreams": (Route(None, "why"), "its `steps[0].upstreams` is None"),  # type: ignore[arg-type]
    "a list of upstreams": (Route([], "why"), "is a list, and has to be a tuple"),  # type: ignore[arg-type]
    "a name for an upstream": (
        Route(("web",), "why"),  # type: ignore[arg-type]
        "its `steps[0].upstreams[0]` is 'web', and has to be a Upstream",
    ),
    "one name for all": (
        Route((Upstream("web", "one"),), "why"),  # type: ignore[arg-type]
        "its `steps[0].upstreams[0].replicas` is 'one'",
    ),
    "a number for a name": (
        Route((Upstream("web", ("one", 2)),), "why"),  # type: ignore[arg-type]
        "its `steps[0].upstreams[0].replicas[1]` is 2",
    ),
    "half a weight": (
        Route((Upstream("web", ("one",), weights=(0.5,)),), "why"),  # type: ignore[arg-type]
        "weights[0]` is 0.5",
    ),
    "no cause": (Route((), None), "its `steps[0].cause` is None"),  # type: ignore[arg-type]
    "a class": (Route, "its `steps[0]` is a type, and has to be a step"),
    "a count below none": (
        Start(B, "green", (("web", -1),), "why"),
        "its `steps[0].replicas[0][1]` is -1, and has to be a number from 0",
    ),
    "a service without a count": (
        Start(B, "green", (("web",),), "why"),  # type: ignore[arg-type]
        "its `steps[0].replicas[0]` is a tuple, and has to be a tuple of 2",
    ),
    "another slot": (Start(B, "red", (("web", 1),), "why"), "its `steps[0].slot` is 'red'"),
    "a true count": (Start(B, "green", (("web", True),), "why"), "is True"),
    "for ever": (AwaitHealthy(B, (), float("inf"), "why"), "its `steps[0].deadline_s` is inf"),
    "never": (Watch(B, (), float("nan"), "why"), "its `steps[0].seconds` is nan"),
    "before now": (Drain(-0.5, "why"), "its `steps[0].limit_s` is -0.5"),
    "names to stop": (Stop(("one",), "why"), "its `steps[0].replicas[0]` is 'one'"),  # type: ignore[arg-type]
    "a number for a phase": (Stop((), "why", 2), "its `steps[0].phase` is 2"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_step_that_is_not_what_its_type_says_is_named(kind: str) -> None:
    step, told = MALFORMED[kind]
    strategy = in_hand(lambda good: replace(good, steps=(step, *good.steps)))
    with pytest.raises(StrategyError) as raised:
        strategy.plan(BLUE_A.observed, target(B), strategy.options())
    assert raised.value.message.startswith("strategy 'own' from own-plugin made no plan: ")
    assert told in raised.value.message


def test_a_step_of_a_class_made_from_a_steps_is_refused() -> None:
    class Quiet(Route):
        def __str__(self) -> str:
            return "nothing to see"

    strategy = in_hand(lambda good: replace(good, steps=(Quiet((), "why"), *good.steps)))
    with pytest.raises(StrategyError, match=r"`steps\[0\]` is a Quiet, and has to be a step"):
        strategy.plan(BLUE_A.observed, target(B), strategy.options())


def in_hand(change: Callable[[Plan], Plan]) -> Any:
    """A strategy whose plans are blue-green's, changed."""
    blue_green = registry.load("blue-green")

    class Own:
        name = "own"
        summary = "changes plans"
        has_downtime = False
        needs_health = True
        options = blue_green.options

        def plan(self, observed: Any, target: Any, options: Any) -> Plan:
            return change(replace(blue_green.plan(observed, target, options), strategy="own"))

    return guarded(Named("own", "own-plugin"), Own)


def arbitrary(kind: Any) -> st.SearchStrategy[Any]:
    """Values of this type; text is mostly such as means something."""
    if isinstance(kind, UnionType):
        return st.one_of(*map(arbitrary, get_args(kind)))
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        if others == [Ellipsis]:
            return st.lists(arbitrary(first), max_size=3).map(tuple)
        return st.tuples(*map(arbitrary, (first, *others)))
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        own = {field.name: arbitrary(hints[field.name]) for field in dataclasses.fields(kind)}
        return st.builds(kind, **own)
    known = {
        str: st.sampled_from(("web", "worker", "", "blue", "green", A, B, *names("blue"), "\n{}")),
        int: st.integers(-1, 3),
        float: st.floats(),
    }
    return known.get(kind, st.from_type(kind))


@settings(derandomize=True, deadline=None, max_examples=500)
@given(arbitrary(Plan))
def test_whatever_has_the_right_shape_is_judged_and_shown_without_an_error(plan: Plan) -> None:
    if misshapen(plan):
        plan = replace(plan, steps=tuple(s for s in plan.steps if not misshapen(of_one(s))))
    check_plan(BLUE_A.observed, target(B), plan)
    plan.render()
    plan.to_dict()


def of_one(step: Step) -> Plan:
    return Plan("", "", "", (step,))


# How it is guarded


def test_ctrl_c_gets_through_while_a_plugin_hangs(write: Write) -> None:
    write("bad", GOOD.format("import threading; threading.Event().wait()"))
    strategy = registry.load("bad", deadline_s=60)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    began = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        strategy.plan(BLUE_A.observed, target(B), strategy.options())
    assert time.monotonic() - began < 10


def test_a_plugin_that_hangs_keeps_no_process_from_ending(write: Write, tmp_path: Path) -> None:
    write("bad", "import threading; threading.Event().wait()")
    program = (
        "from releasekit.strategies import registry\n"
        f"print(registry.available(deadline_s={SOON})[0].problem)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"did not answer within {SOON} s\n"


def test_the_guard_costs_less_than_a_millisecond_a_plan() -> None:
    web = Service("web", replicas=20, port=8080)
    twenty = PREPARED.having(replicas(A, "blue", web=20)).serving(*names("blue", 20)).committed(A)
    rolling, options = registry.load("rolling"), RollingOptions()
    own = rolling._planner  # type: ignore[attr-defined]

    def fastest(plan: Callable[..., Plan]) -> float:
        took = []
        for _ in range(20):
            began = time.perf_counter()
            plan(twenty.observed, target(B, web), options)
            took.append(time.perf_counter() - began)
        return min(took)

    assert fastest(rolling.plan) - fastest(own.plan) < 0.001


# The way back


@dataclasses.dataclass(frozen=True)
class Stored:
    wanted: Target

    def target(self) -> Target:
        return self.wanted


@pytest.mark.parametrize(
    "code", ["1 / 0", "return None", "return replace(good(self, o, t, options), steps=())"]
)
def test_a_plugin_that_fails_on_the_way_back_keeps_nobody_from_it(write: Write, code: str) -> None:
    write("bad", GOOD.format(code))
    bad = Mix.single(registry.load("bad"))
    back = way_back(BLUE_A.observed, ROUTED_B.observed, B, Stored(target(A)), bad)
    good = Mix.single(registry.load("blue-green"))
    assert back == checked_plan(good, ROUTED_B.observed, target(A))
    assert back.steps


def test_a_service_of_a_plugin_that_may_be_down_goes_back_by_recreate(write: Write) -> None:
    write("bad", "Plugin.needs_health = False", "Plugin.has_downtime = True", GOOD.format("1 / 0"))
    bad, good = (Mix.single(registry.load(name)) for name in ("bad", "blue-green"))
    mix = Mix(good.default, {"worker": bad.default})
    back = way_back(BLUE_A.observed, ROUTED_B.observed, B, Stored(target(A)), mix)
    assert back.strategy == "blue-green, worker: recreate"


def test_a_good_plugin_plans_its_own_way_back(write: Write) -> None:
    write("calm")
    calm = Mix.single(registry.load("calm"))
    back = way_back(BLUE_A.observed, ROUTED_B.observed, B, Stored(target(A)), calm)
    assert back.strategy == "calm"
