"""docs/guarantees.md promises nothing that no test shows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "guarantees.md"
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows() -> list[str]:
    lines = PAGE.read_text().splitlines()
    return [line for line in lines if line.startswith("| ") and "---" not in line]


def test_every_test_that_is_named_exists() -> None:
    named = {match for row in rows() for match in NAMED.findall(row)}
    assert named
    assert sorted(named - {pair for file, _ in named for pair in functions_of(file)}) == []


def test_every_promise_names_a_test() -> None:
    promises = [row for row in rows() if not row.startswith("| what happens |")]
    assert [row for row in promises if not NAMED.search(row)] == []


def functions_of(file: str) -> set[tuple[str, str]]:
    tree = ast.parse((TESTS / file).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return {(file, node.name) for node in functions if node.name.startswith("test_")}
