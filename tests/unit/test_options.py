"""Strategies and their options in settings: which there are, and what a person is told about
every mistake."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import field_validator

from releasekit import layers, options
from releasekit.errors import SettingsError, StrategyError
from releasekit.options import installed
from releasekit.settings import ServiceSettings, Settings, load_settings
from releasekit.strategies import registry
from releasekit.strategies.base import Options

EXISTING = f"there are: {', '.join(installed())}"
MEANT_BLUE_GREEN = 'no such strategy; did you mean "blue-green"?'
SHARE = 'must be a whole number or a percentage like "25%"'
KEEP = "must be 'running', 'stopped' or 'removed'"
PROJECT = "must be lower-case letters, digits, '-' and '_', a letter or digit first"
WEB = "[services.web]\n"


def load(
    folder: Path, toml: str = "", environ: Mapping[str, str] | None = None, **given: object
) -> Settings:
    (folder / "releasekit.toml").write_text(toml, encoding="utf-8")
    return load_settings(folder, environ=environ or {}, overrides=given)


def problems(folder: Path, toml: str = "", **given: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(folder, toml, **given)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("strategy = 'rollin'", 'strategy: no such strategy; did you mean "rolling"?'),
        ("strategy = 'x'", f"strategy: no such strategy; {EXISTING}"),
        (f"{WEB}strategy = 'bluegreen'", f"services.web.strategy: {MEANT_BLUE_GREEN}"),
        ("[strategies.blue_green]", f"strategies.blue_green: {MEANT_BLUE_GREEN}"),
        ("[strategies.x]\nsteps = 5", f"strategies.x: no such strategy; {EXISTING}"),
        ("[strategies.rolling]\nmax_surge = 'lots'", f"strategies.rolling.max_surge: {SHARE}"),
        ("[strategies.rolling]\nmax_surge = true", f"strategies.rolling.max_surge: {SHARE}"),
        ("[strategies.rolling]\nmax_surge = -1", f"strategies.rolling.max_surge: {SHARE}"),
        (
            "[strategies.rolling]\nmax_surge = 0",
            "strategies.rolling: max_surge and max_unavailable cannot both be 0",
        ),
        (
            "[strategies.rolling]\nmax_srge = 2",
            'strategies.rolling.max_srge: unknown key; did you mean "max_surge"?',
        ),
        (
            "[strategies.rolling]\nzzz = 2",
            "strategies.rolling.zzz: unknown key; known here: max_surge, max_unavailable",
        ),
        ("[strategies.recreate]\nzzz = 2", "strategies.recreate.zzz: recreate has no options"),
        (
            "[strategies.blue-green]\nkeep_previous = 'paused'",
            f"strategies.blue-green.keep_previous: {KEEP}",
        ),
        (
            f"{WEB}options = {{ keep_previous = 'paused' }}",
            f"services.web.options.keep_previous: {KEEP}",
        ),
        (
            f"{WEB}strategy = 'rolling'\noptions = {{ max_surge = 0 }}",
            "services.web.options: max_surge and max_unavailable cannot both be 0",
        ),
        (
            f"{WEB}strategy = 'rolling'\noptions = {{ keep_previous = 'removed' }}",
            "services.web.options.keep_previous: unknown key; known here: max_surge, "
            "max_unavailable",
        ),
        (
            f"strategy = 'recreate'\n{WEB}options = {{ max_surge = 2 }}",
            "services.web.options.max_surge: recreate has no options",
        ),
    ],
)
def test_a_wrong_strategy_or_option_is_told_with_its_place_in_plain_words(
    tmp_path: Path, toml: str, problem: str
) -> None:
    assert problems(tmp_path, toml) == [f"releasekit.toml: {problem}"]


def test_a_service_s_options_are_laid_over_those_of_its_strategy(tmp_path: Path) -> None:
    """Alone, they could not be."""
    toml = (
        "[strategies.rolling]\nmax_unavailable = 1\n"
        f"{WEB}strategy = 'rolling'\noptions = {{ max_surge = 0 }}"
    )
    assert load(tmp_path, toml).services["web"].options == {"max_surge": 0}


def test_an_option_that_is_wrong_for_all_services_is_told_once(tmp_path: Path) -> None:
    toml = (
        "[strategies.rolling]\nmax_surge = 'lots'\n"
        f"{WEB}strategy = 'rolling'\noptions = {{ max_unavailable = 1 }}"
    )
    assert problems(tmp_path, toml) == [
        f"releasekit.toml: strategies.rolling.max_surge: {SHARE}",
    ]


class Broken:
    """A plugin whose options cannot even be looked at."""

    name = "broken"

    class options(Options):  # noqa: N801 - the name that every strategy's options have
        pace: int = 1

        @field_validator("pace")
        @classmethod
        def _look(cls, value: int) -> int:
            raise RuntimeError("not today")


def test_a_plugin_that_fails_to_check_its_options_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_broken(name: str) -> Any:
        return Broken

    monkeypatch.setattr(options, "installed", lambda: ("blue-green", "broken"))
    monkeypatch.setattr(registry, "load", load_broken)

    assert problems(tmp_path, "[strategies.broken]\npace = 2") == [
        "releasekit.toml: strategies.broken: strategy 'broken' from releasekit failed to check its "
        "options: RuntimeError: not today"
    ]


def test_a_plugin_that_fails_to_load_is_named_where_its_options_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> Any:
        raise StrategyError(f"strategy {name!r} from slow-plugin failed to load: no such module")

    monkeypatch.setattr(options, "installed", lambda: ("blue-green", "slow"))
    monkeypatch.setattr(registry, "load", fail)

    assert problems(tmp_path, "[strategies.slow]\npace = 2\n[services.web]\nport = 0") == [
        "releasekit.toml: services.web.port: must be at least 1",
        "releasekit.toml: strategies.slow: strategy 'slow' from slow-plugin failed to load: "
        "no such module",
    ]


def test_a_strategy_without_options_in_settings_is_not_even_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`status` and `rollback` need none, and must not wait for a plugin."""
    monkeypatch.setattr(registry, "load", lambda name: pytest.fail(f"{name} was loaded"))

    load(tmp_path, 'strategy = "rolling"\n[services.worker]\nstrategy = "recreate"')


def test_wrong_options_are_told_along_with_everything_else(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        f"project = 'Shop'\n[strategies.rolling]\nmax_surge = 'lots'\n{WEB}port = 0\n",
        environ={
            "RELEASEKIT_STRATEGIES__BLUE_GREEN__KEEP_PREVIOUS": "paused",
            "RELEASEKIT_SERVICES__WEB__STRATEGY": "rollin",
        },
        strategies={"recreate": {"zzz": 1}},
    )

    assert found == [
        f"releasekit.toml: project: {PROJECT}",
        "releasekit.toml: services.web.port: must be at least 1",
        'RELEASEKIT_SERVICES__WEB__STRATEGY: no such strategy; did you mean "rolling"?',
        f"releasekit.toml: strategies.rolling.max_surge: {SHARE}",
        f"RELEASEKIT_STRATEGIES__BLUE_GREEN__KEEP_PREVIOUS: {KEEP}",
        "argument strategies.recreate.zzz: recreate has no options",
    ]


def test_variables_name_strategies_and_their_options(tmp_path: Path) -> None:
    environ = {
        "RELEASEKIT_STRATEGIES__ROLLING__MAX_SURGE": "2",
        "RELEASEKIT_STRATEGIES__ROLLING__MAX_UNAVAILABLE": "25%",
        "RELEASEKIT_STRATEGIES__BLUE_GREEN__KEEP_PREVIOUS": "running",
        "RELEASEKIT_SERVICES__WEB__STRATEGY": "rolling",
        "RELEASEKIT_SERVICES__WEB__OPTIONS__MAX_SURGE": "3",
        "RELEASEKIT_WORKERS_WAIT": "false",
    }

    read = load(tmp_path, "[strategies.rolling]\nmax_surge = 1", environ)

    assert read.strategies == {
        "rolling": {"max_surge": 2, "max_unavailable": "25%"},
        "blue-green": {"keep_previous": "running"},
    }
    assert read.services["web"] == ServiceSettings(strategy="rolling", options={"max_surge": 3})
    assert not read.workers_wait


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "RELEASEKIT_STRATEGIES__ROLLIN__MAX_SURGE",
            'RELEASEKIT_STRATEGIES__ROLLIN: no such strategy; did you mean "rolling"?',
        ),
        (
            "RELEASEKIT_STRATEGIES__ROLLING__MAX_SRGE",
            "RELEASEKIT_STRATEGIES__ROLLING__MAX_SRGE: unknown variable; did you mean "
            '"RELEASEKIT_STRATEGIES__ROLLING__MAX_SURGE"?',
        ),
        (
            "RELEASEKIT_STRATEGIES__BLUE_GREEN__KEEP_PREVIOUS",
            f"RELEASEKIT_STRATEGIES__BLUE_GREEN__KEEP_PREVIOUS: {KEEP}",
        ),
        (
            "RELEASEKIT_SERVICES__WEB__OPTIONS__KEEP_PREVIOUS",
            f"RELEASEKIT_SERVICES__WEB__OPTIONS__KEEP_PREVIOUS: {KEEP}",
        ),
        ("RELEASEKIT_STRATEGIES__ROLLING", "RELEASEKIT_STRATEGIES__ROLLING: must be a table"),
        ("RELEASEKIT_STRATEGIES", "RELEASEKIT_STRATEGIES: must be a table"),
        ("RELEASEKIT_STRATEGIES__", "RELEASEKIT_STRATEGIES__: must be a table"),
    ],
)
def test_a_wrong_option_in_a_variable_is_told_by_its_name(
    tmp_path: Path, name: str, problem: str
) -> None:
    assert problems(tmp_path, environ={name: "2"}) == [problem]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("0.5", 0.5),
        ("true", True),
        ("[5, 50]", [5, 50]),
        ('{ after = "10s" }', {"after": "10s"}),
        ('"2"', "2"),
        ("'50%'", "50%"),
        ("50%", "50%"),
        ("running", "running"),
        ("True", "True"),
        ("", ""),
        ("[5, 50", "[5, 50"),
        ("1 # all of them", 1),
        ("1\nother = 2", "1\nother = 2"),
    ],
)
def test_an_option_given_as_text_is_what_toml_would_read_or_the_text(
    text: str, value: object
) -> None:
    assert layers.typed(text) == value
