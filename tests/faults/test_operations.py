"""Killed at its first file or process operation, its second and so on, until a release passes:
whatever those operations are, in whatever order. Each costs two releases: it takes long. Those of a
cutover alone are fast, and tried in tests/contract/test_bootable.py too."""

from __future__ import annotations

from itertools import count, cycle

import pytest

from tests.faults.stage import Pair, assert_fit, assert_settled, standing

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(3600)]

PARTS = 4
"""Tests that share the operations, so that workers may."""


@pytest.mark.parametrize("amid", [False, True], ids=["before", "amid"])
@pytest.mark.parametrize("start", range(1, PARTS + 1))
def test_killed_at_any_operation_one_command_puts_it_right(
    pair: Pair, start: int, amid: bool
) -> None:
    team, first, second = standing(pair, "watched")
    files = team.files
    with team.load() as load:
        for number, sha in zip(count(start, PARTS), cycle((second, first)), strict=False):
            ran = team.up(sha, {"operation": number, "amid": amid})
            team.up(sha).ended(0)
            assert_settled(team, sha, files)
            if ran.status == 0:
                break
            assert ran.status == -9, ran
    assert number > start
    assert_fit(team.shop, load.report)
