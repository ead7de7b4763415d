"""What others build on: names, signatures, errors and exit codes. A change here is a decision."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import pytest

import releasekit
from releasekit import errors
from releasekit.strategies import guard, registry

PUBLIC = [
    "BlueGreen",
    "BlueGreenOptions",
    "Forecast",
    "ForeignChange",
    "Held",
    "HistoryEntry",
    "Interrupted",
    "Locked",
    "NeedsPerson",
    "Nginx",
    "Observed",
    "Options",
    "Outcome",
    "Plan",
    "Project",
    "Recreate",
    "Release",
    "ReleaseFailed",
    "ReleasekitError",
    "Replica",
    "Rolling",
    "RollingOptions",
    "Service",
    "SettingsError",
    "Status",
    "Strategy",
    "StrategyError",
    "Target",
    "Upstream",
    "UsageError",
]

SIGNATURES = {
    "Project.load": "(folder: 'Path | str' = '.', *, environ: 'Mapping[str, str] | None' = None, "
    "events: 'EventSink' = ignore, **overrides: 'object') -> 'Project'",
    "Project.release": "(self, sha: 'str | None' = None, *, dirty: 'bool' = False) -> 'Release'",
    "Project.plan": "(self, release: 'Release', *, strategy: 'str | None' = None, "
    "options: 'Mapping[str, Any] | None' = None, hold: 'bool' = False, "
    "migration: 'Decision | None' = None) -> 'Forecast'",
    "Project.up": "(self, release: 'Release', *, strategy: 'str | None' = None, "
    "options: 'Mapping[str, Any] | None' = None, hold: 'bool' = False, "
    "migration: 'Decision | None' = None, ignore_memory: 'bool' = False, adopt: 'bool' = False, "
    "wait: 'float' = 0.0, "
    "stop: 'threading.Event | None' = None) -> 'Outcome'",
    "Project.promote": "(self, *, adopt: 'bool' = False, wait: 'float' = 0.0, "
    "stop: 'threading.Event | None' = None) -> 'Outcome'",
    "Project.abort": "(self, *, adopt: 'bool' = False, wait: 'float' = 0.0, "
    "stop: 'threading.Event | None' = None) -> 'Outcome'",
    "Project.recover": "(self, *, adopt: 'bool' = False, wait: 'float' = 0.0, "
    "stop: 'threading.Event | None' = None) -> 'Outcome'",
    "Project.lock": "(self, message: 'str') -> 'Freeze'",
    "Project.unlock": "(self) -> 'Freeze | None'",
    "Project.rollback": "(self, to: 'str | None' = None, *, adopt: 'bool' = False, "
    "wait: 'float' = 0.0, "
    "stop: 'threading.Event | None' = None) -> 'Outcome'",
    "Project.status": "(self) -> 'Status'",
    "Project.history": "(self) -> 'tuple[HistoryEntry, ...]'",
    "Release.from_git": "(ref: 'str' = 'HEAD', *, dirty: 'bool' = False, "
    "path: 'Path | str' = '.') -> 'Release'",
    "Strategy.plan": "(self, observed: 'Observed', target: 'Target', options: 'Any') -> 'Plan'",
    "Plan.render": "(self) -> 'str'",
    "Plan.to_dict": "(self) -> 'dict[str, Any]'",
    "Forecast.render": "(self) -> 'str'",
    "Forecast.to_dict": "(self) -> 'dict[str, Any]'",
}
"""Of the public methods of what people call or write."""

PROPERTIES = {"Project": {"name", "settings"}, "Plan": {"is_empty"}, "Forecast": {"is_empty"}}

FIELDS = {
    "Release": ["tag", "subject", "author"],
    "Outcome": ["result", "release", "previous", "strategy", "run", "seconds", "downtime_s"],
    "Status": ["observed", "live", "problems", "held", "degraded", "frozen", "running"],
    "Plan": ["strategy", "release", "based_on", "steps", "downtime", "notes"],
    "Forecast": [
        *("project", "plan", "current", "is_adopted", "subjects", "services", "changes"),
        *("route", "memory", "backing", "edited", "stay_down", "pulls"),
    ],
    "HistoryEntry": [
        *("number", "run", "kind", "release", "subject", "author", "by", "origin"),
        *("strategy", "started", "seconds", "result", "reason", "downtime_s"),
    ],
}

EXIT_CODES = {
    "ReleasekitError": 1,
    "UsageError": 2,
    "SettingsError": 2,
    "InvalidRelease": 2,
    "UnknownRelease": 2,
    "AmbiguousRelease": 2,
    "MissingImage": 2,
    "DirtyTree": 2,
    "NoRoom": 2,
    "Held": 2,
    "ForeignChange": 2,
    "StrategyError": 2,
    "UnsafePlan": 2,
    "EngineError": 2,
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


# Names


def test_the_public_names_are_these_and_sorted() -> None:
    assert releasekit.__all__ == PUBLIC
    assert releasekit.__all__ == sorted(releasekit.__all__)


def test_every_public_name_is_there_and_known_to_type_checkers() -> None:
    source = ast.parse(inspect.getsource(releasekit))
    checked = {
        alias.asname or alias.name
        for block in source.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert checked == {*releasekit.__all__}
    for name in releasekit.__all__:
        assert inspect.isclass(getattr(releasekit, name)), name


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'releasekit' has no attribute 'Proejct'"):
        _ = releasekit.Proejct


# Signatures


def public_methods(name: str) -> dict[str, str]:
    owner = getattr(releasekit, name)
    return {
        f"{name}.{method}": re.sub(
            r"<function (\w+) at 0x\w+>", r"\1", str(inspect.signature(getattr(owner, method)))
        )
        for method, value in vars(owner).items()
        if not method.startswith("_") and (callable(value) or isinstance(value, classmethod))
    }


@pytest.mark.parametrize("name", ["Project", "Release", "Strategy", "Plan", "Forecast"])
def test_public_methods_and_their_signatures_are_these(name: str) -> None:
    expected = {key: text for key, text in SIGNATURES.items() if key.startswith(f"{name}.")}
    assert public_methods(name) == expected


@pytest.mark.parametrize("name", PROPERTIES)
def test_public_properties_are_these(name: str) -> None:
    found = {k for k, v in vars(getattr(releasekit, name)).items() if isinstance(v, property)}
    assert {each for each in found if not each.startswith("_")} == PROPERTIES[name]


@pytest.mark.parametrize("name", FIELDS)
def test_the_fields_of_what_is_answered_are_these_and_frozen(name: str) -> None:
    answered = getattr(releasekit, name)
    assert [each.name for each in dataclasses.fields(answered)] == FIELDS[name]
    assert answered.__dataclass_params__.frozen


OPTIONS = {
    "blue-green": {"keep_previous": "stopped"},
    "recreate": {},
    "rolling": {"max_surge": 1, "max_unavailable": 0},
}
"""Of the built-in strategies, with their defaults."""


@pytest.mark.parametrize("name", OPTIONS)
def test_the_options_of_built_in_strategies_are_these_and_explained(name: str) -> None:
    options = registry.load(name).options
    assert options().model_dump() == OPTIONS[name]
    assert all(field.description for field in options.model_fields.values())


def test_options_are_frozen_and_take_nothing_that_they_do_not_know() -> None:
    class Own(releasekit.Options):
        speed: int = 1

    with pytest.raises(ValueError, match="frozen"):
        Own().speed = 2
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Own.model_validate({"sped": 2})


# Errors


def all_errors() -> list[type[errors.ReleasekitError]]:
    found = [each for each in vars(errors).values() if inspect.isclass(each)]
    return [each for each in found if issubclass(each, errors.ReleasekitError)]


def drawn() -> dict[str, str]:
    """Each error's base as the tree in the module's docstring draws it."""
    above: list[str] = []
    bases: dict[str, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^((?:│   |    )*)(?:[├└]── )?([A-Z]\w+)(?:$|  +\S)", line)
        if match is None:
            continue
        depth = len(match[1]) // 4 + (1 if "── " in line else 0)
        bases[match[2]] = above[depth - 1] if depth else "Exception"
        above[depth:] = [match[2]]
    return bases


def test_the_tree_of_errors_is_as_it_is_drawn() -> None:
    assert drawn() == {each.__name__: each.__base__.__name__ for each in all_errors()}


def test_every_error_has_its_exit_code() -> None:
    assert {each.__name__: each.exit_code for each in all_errors()} == EXIT_CODES


def test_every_public_error_is_a_releasekit_error() -> None:
    exceptions = [
        each for name in PUBLIC if issubclass(each := getattr(releasekit, name), BaseException)
    ]
    assert len(exceptions) == 10
    assert {*exceptions} <= {*all_errors()}


# The package


def test_it_is_typed() -> None:
    assert (files("releasekit") / "py.typed").is_file()


@pytest.mark.parametrize(
    ("statement", "needed"),
    [
        ("import releasekit", set()),
        ("from releasekit import Project, Release", set()),
        ("from releasekit import Options, Strategy", {"pydantic"}),
    ],
)
def test_importing_it_has_no_side_effect_and_loads_nothing_heavy(
    statement: str, needed: set[str], tmp_path: Path
) -> None:
    program = f"""
import os, sys, threading
before = dict(os.environ)
{statement}
heavy = {{"python_on_whales", "fabric", "paramiko", "pydantic", "pydantic_settings", "typer"}}
assert heavy & sys.modules.keys() == {needed}, heavy & sys.modules.keys()
assert dict(os.environ) == before
assert threading.active_count() == 1
assert os.listdir() == []
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("name", ["blue-green", "recreate", "rolling"])
def test_built_in_strategies_come_in_by_the_entry_points_of_everybody(name: str) -> None:
    (entry,) = [each for each in entry_points(group=registry.GROUP) if each.name == name]
    assert entry.dist is not None
    assert entry.dist.name == "releasekit"
    strategy = registry.load(name)
    assert strategy.name == name
    assert guard.origin(strategy) == "releasekit"


def test_the_command_is_installed() -> None:
    (entry,) = [each for each in entry_points(group="console_scripts") if each.name == "releasekit"]
    assert callable(entry.load())


def test_what_authors_of_strategies_test_with_is_there() -> None:
    testing = importlib.import_module("releasekit.testing")
    assert {"StrategyContract", "Simulator", "World", "App", "Fault"} <= {*testing.__all__}
    for name in testing.__all__:
        assert hasattr(testing, name)
