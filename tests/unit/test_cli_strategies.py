"""`releasekit strategies`, as people and scripts read it."""

from __future__ import annotations

import json

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from releasekit.cli import app as verbs
from releasekit.cli import tables
from releasekit.strategies import registry
from releasekit.strategies.registry import OptionInfo, StrategyInfo

CALM = StrategyInfo(
    "calm",
    "calm-plugin",
    "waits a while before it does anything, and then does it all the more slowly",
    has_downtime=True,
    options=(
        OptionInfo(
            "pause", 1.5, "For how many seconds it rests, each time that it has done a step."
        ),
        OptionInfo("steps", ["a", "b"], ""),
        OptionInfo("limit", None, "At most so many."),
    ),
)
BAD = StrategyInfo(
    "bad", "bad-plugin", problem="failed to load: ModuleNotFoundError: No module named 'nowhere'"
)


def shown(capsys: pytest.CaptureFixture[str], *strategies: StrategyInfo) -> str:
    tables.show_strategies(strategies)
    return capsys.readouterr().out


def test_each_stands_with_its_options_and_a_broken_one_with_its_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert (
        shown(capsys, BAD, CALM)
        == """\
bad  (from bad-plugin)
  problem: failed to load: ModuleNotFoundError: No module named 'nowhere'

calm  (some downtime, from calm-plugin)
  waits a while before it does anything, and then does it all the more slowly
    pause = 1.5
        For how many seconds it rests, each time that it has done a step.
    steps = ["a", "b"]
    limit = null
        At most so many.
"""
    )


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_it_fits_any_width(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    told = shown(capsys, CALM, BAD, *registry.available())
    assert max(map(cell_len, told.splitlines())) <= columns


def test_a_text_is_one_line_where_nobody_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    (keep,) = (option for option in registry.available()[0].options)
    assert f"        {keep.summary}\n" in shown(capsys, *registry.available())


def test_foreign_text_cannot_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    red = "\x1b[31mred"
    bad = StrategyInfo(red, red, red, options=(OptionInfo(red, red, red),), problem=red)
    assert "\x1b" not in shown(capsys, bad)


def test_json_has_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "available", lambda: (BAD, CALM))
    told = json.loads(CliRunner().invoke(verbs.app, ["strategies", "--json"]).stdout)
    assert (told["result"], told["exit_code"]) == ("ok", 0)
    bad, calm = told["strategies"]
    assert bad["problem"] == BAD.problem
    assert (calm["name"], calm["origin"], calm["has_downtime"]) == ("calm", "calm-plugin", True)
    assert calm["options"][0] == {
        "name": "pause",
        "default": 1.5,
        "summary": CALM.options[0].summary,
    }
