"""The page "Strategies" for authors: its code is run, and what it lists is what there is."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import releasekit
from releasekit import check, steps
from releasekit.strategies import registry
from tests.plugins.making import CANARY, ROOT, pip_install

PAGE = (ROOT / "docs" / "strategies.md").read_text()


def blocks() -> dict[str, str]:
    """The page's files by their paths, which their first lines tell."""
    found = re.findall(r"^```\w+\n# (\S+\.\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return dict(found)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's package as its author has it."""
    folder = tmp_path_factory.mktemp("watchful")
    for path, text in blocks().items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.fixture(scope="module")
def installed(package: Path) -> Path:
    """The folder that it is installed to."""
    return pip_install(package, package / "installed")


def test_the_page_has_a_whole_package() -> None:
    assert blocks().keys() == {
        "src/releasekit_watchful.py",
        "tests/test_watchful.py",
        "pyproject.toml",
    }


def test_the_pages_own_tests_pass(package: Path, installed: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, str(package / "tests")]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pages_code_and_the_examples_are_typed_as_strictly_as_ours(package: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(package / "cache")]
    done = subprocess.run(
        [*command, str(package / "src"), str(CANARY / "src")],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_once_installed_it_is_there(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))
    (info,) = [each for each in registry.available() if each.name == "watchful"]
    assert (info.origin, info.problem) == ("releasekit-watchful", "")
    assert {option.name: option.default for option in info.options} == {
        "keep_previous": "stopped",
        "seconds": 15,
    }


def column(head: str) -> list[str]:
    """The first column of the table with this first head, without the code marks."""
    table = PAGE.partition(f"| {head} |")[2].partition("\n\n")[0]
    return [row.split("|")[1].strip() for row in table.splitlines()[2:]]


def test_the_page_lists_every_rule_of_the_check_and_no_other() -> None:
    rules = {
        node.args[0].value
        for node in ast.walk(ast.parse(inspect.getsource(check)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "broken"
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(rules) > 20
    assert {*column("rule")} == rules


def test_the_page_lists_every_step_with_its_fields() -> None:
    told = re.findall(r"`(\w+)\(([\w, ]+)\)`", " ".join(column("step")))
    assert {name for name, _ in told} == {step.__name__ for step in get_args(steps.Step)}
    for name, listed in told:
        fields = inspect.signature(getattr(steps, name)).parameters
        assert listed.split(", ") == [f for f in fields if f not in ("cause", "phase")], name


def test_the_page_lists_every_attribute_of_a_strategy() -> None:
    told = {re.sub(r"`|\(.*", "", name) for name in column("attribute")}
    protocol = releasekit.Strategy
    assert told == {*inspect.get_annotations(protocol), "plan"}


def test_the_page_compares_the_built_in_strategies() -> None:
    for name in ("blue-green", "rolling", "recreate"):
        assert f"| `{name}` |" in PAGE
